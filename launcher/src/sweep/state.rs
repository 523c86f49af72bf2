//! What a sweep knows, on the disk.
//!
//! ```text
//! sweep.json      what the sweep is; written once, whole or not at all
//! results.jsonl   a line for each job that has ended, synced before anything depends on it
//! ```
//!
//! Of two lines of a job the later one counts. So a job can run again without anything being removed first.
//! A last line that a kill has cut short is taken off: its job runs again. Any other line that is no result
//! is not of a sweep, and the file is refused as it is.

use super::schedule::Job;
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const SWEEP: &str = "sweep.json";
const RESULTS: &str = "results.jsonl";
/// The key of the number of trials, which may grow.
const TRIALS: &str = "--trials";
/// What else a new sweep would write over, remove or go on from.
const OWN: [&str; 4] = ["trials", "sweep.csv", "best.toml", "best.sh"];
/// Of two lists, so many differences are shown.
const SHOWN: usize = 3;

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct JobResult {
    pub(super) trial: usize,
    pub(super) rung: usize,
    /// Epochs that the trial has done.
    pub(super) epochs: u32,
    /// The metric; none if the job failed, or if it is not a finite number.
    pub(super) value: Option<f64>,
    pub(super) seconds: f64,
    /// Why the job failed, if it did.
    pub(super) problem: Option<String>,
}

impl JobResult {
    /// A small one is good, infinity is that of a job that failed.
    pub(super) fn score(&self, is_max: bool) -> f64 {
        let value = self.value.filter(|_| self.problem.is_none());
        value.map_or(f64::INFINITY, |value| if is_max { -value } else { value })
    }
}

#[derive(Debug)]
pub(super) struct State {
    file: File,
    path: PathBuf,
    /// By trial and rung.
    results: BTreeMap<(usize, usize), JobResult>,
    /// What came of each job at its first try.
    first: BTreeMap<(usize, usize), JobResult>,
}

impl Drop for State {
    fn drop(&mut self) {
        // A process that another thread is just starting has the file open, too, for a moment: closing it
        // alone would not unlock it.
        let _ = self.file.unlock();
    }
}

impl State {
    /// The state of the sweep in `folder`, which is a new one or the same as before.
    pub(super) fn open(
        folder: &Path,
        identity: &Map<String, Value>,
        trials: usize,
        retry_failed: bool,
    ) -> Result<Self, Failure> {
        let failure = |path: &Path| {
            let path = path.to_path_buf();
            move |source| Failure::Write { option: "--out", path, source }
        };
        fs::create_dir_all(folder).map_err(failure(folder))?;
        let path = folder.join(RESULTS);
        if !folder.join(SWEEP).exists() {
            check_new(folder)?;
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(failure(&path))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let problem = format!("--out {}: this sweep is running", folder.display());
                return Err(Failure::Usage { problem, hint: None });
            }
            Err(TryLockError::Error(source)) => return Err(failure(&path)(source)),
            Ok(()) => {}
        }
        let mut this = Self { file, path, results: BTreeMap::new(), first: BTreeMap::new() };
        let mut text = Vec::new();
        this.file.read_to_end(&mut text).map_err(failure(&this.path))?;
        // Before anything is taken off, it must be certain that the file is of this sweep.
        claim(folder, identity, trials)?;
        let whole = this.read(&text)?;
        let cut = this.file.set_len(whole).and_then(|()| this.file.seek(SeekFrom::End(0)));
        cut.map_err(failure(&this.path))?;
        if retry_failed {
            this.results.retain(|_, result| result.problem.is_none());
        }
        Ok(this)
    }

    /// Takes the results in `text`; returns the bytes of its whole lines.
    fn read(&mut self, text: &[u8]) -> Result<u64, Failure> {
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        for (number, line) in text[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
            let result = serde_json::from_slice(line).map_err(|_| Failure::Usage {
                problem: format!(
                    "--out {}: line {} is no result of a sweep",
                    self.path.display(),
                    number + 1
                ),
                hint: Some(
                    "without this line its job runs again; --out FOLDER names another folder".to_string(),
                ),
            })?;
            self.put(result);
        }
        Ok(whole as u64)
    }

    fn put(&mut self, result: JobResult) {
        let job = (result.trial, result.rung);
        self.first.entry(job).or_insert_with(|| result.clone());
        self.results.insert(job, result);
    }

    fn append(&mut self, result: JobResult) -> io::Result<()> {
        let line = serde_json::to_string(&result).map_err(io::Error::other)? + "\n";
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()?;
        self.put(result);
        Ok(())
    }

    /// Notes a result.
    pub(super) fn add(&mut self, result: JobResult) -> Result<(), Failure> {
        let path = self.path.clone();
        self.append(result).map_err(|source| Failure::Write { option: "--out", path, source })
    }

    /// The result of a job, if it has ended.
    pub(super) fn of(&self, job: Job) -> Option<&JobResult> {
        self.results.get(&(job.trial, job.rung))
    }

    /// The result of the first try of a job, if that has ended.
    pub(super) fn first_of(&self, job: Job) -> Option<&JobResult> {
        self.first.get(&(job.trial, job.rung))
    }

    /// The results of a trial, in the order of its rungs.
    pub(super) fn of_trial(&self, trial: usize) -> Vec<&JobResult> {
        self.results.range((trial, 0)..=(trial, usize::MAX)).map(|(_, result)| result).collect()
    }
}

/// Writes what the sweep is, or checks that it is the one in the folder. It may have got more trials.
fn claim(folder: &Path, identity: &Map<String, Value>, trials: usize) -> Result<(), Failure> {
    let path = folder.join(SWEEP);
    let failure = |source| Failure::Write { option: "--out", path: path.clone(), source };
    match fs::read(&path) {
        Ok(text) => {
            let before: Map<String, Value> =
                serde_json::from_slice(&text).map_err(|error| failure(io::Error::other(error)))?;
            if let Some(difference) = difference(&before, identity, trials) {
                return Err(Failure::Usage {
                    problem: format!("--out {}: it has another sweep: {difference}", folder.display()),
                    hint: Some("--out FOLDER names another folder".to_string()),
                });
            }
            if before.get(TRIALS).and_then(Value::as_u64) == Some(trials as u64) {
                return Ok(());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failure(error)),
    }
    let mut facts = identity.clone();
    facts.insert(TRIALS.to_string(), trials.into());
    let text = serde_json::to_string_pretty(&facts).expect("texts and numbers") + "\n";
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)
    });
    written.map(|_| ()).map_err(failure)
}

/// Refuses a folder in which a new sweep would damage what is there.
fn check_new(folder: &Path) -> Result<(), Failure> {
    // A sweep that was killed before it wrote what it is has left an empty file of results.
    let has_results = fs::metadata(folder.join(RESULTS)).is_ok_and(|file| file.len() > 0);
    match has_results.then_some(RESULTS).or_else(|| OWN.into_iter().find(|name| folder.join(name).exists())) {
        None => Ok(()),
        Some(name) => Err(Failure::Usage {
            problem: format!(
                "--out {}: it has '{name}' and no '{SWEEP}', so it is no folder of a sweep",
                folder.display()
            ),
            hint: Some("--out FOLDER names another folder".to_string()),
        }),
    }
}

/// In what two sweeps differ, if they do.
fn difference(before: &Map<String, Value>, now: &Map<String, Value>, trials: usize) -> Option<String> {
    let show = |value: Option<&Value>| match value {
        None => "nothing".to_string(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    for name in before.keys().chain(now.keys()).filter(|name| *name != TRIALS) {
        let (old, new) = (before.get(name), now.get(name));
        if old == new {
            continue;
        }
        if let (Some(Value::Array(old)), Some(Value::Array(new))) = (old, new) {
            let only = |of: &[Value], other: &[Value]| {
                let only: Vec<String> = of
                    .iter()
                    .filter(|word| !other.contains(word))
                    .take(SHOWN)
                    .map(|word| show(Some(word)))
                    .collect();
                if only.is_empty() { "other ones".to_string() } else { only.join(" ") }
            };
            return Some(format!("{name}: {} then, {} now", only(old, new), only(new, old)));
        }
        return Some(format!("{name}: {} then, {} now", show(old), show(new)));
    }
    let old = before.get(TRIALS).and_then(Value::as_u64).unwrap_or(0);
    (old > trials as u64).then(|| format!("{TRIALS}: {old} then, {trials} now; there can only be more"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn identity(seed: u32) -> Map<String, Value> {
        let options = json!(["--epochs=3", format!("--seed={seed}")]);
        [("--seed".to_string(), json!(seed)), ("options of the file".to_string(), options)]
            .into_iter()
            .collect()
    }

    fn result(trial: usize, problem: Option<&str>) -> JobResult {
        let problem = problem.map(str::to_string);
        JobResult { trial, rung: 0, epochs: 3, value: Some(0.1 + trial as f64), seconds: 1.0, problem }
    }

    #[test]
    fn results_survive_a_kill() {
        let folder = tempfile::tempdir().unwrap();
        let open = |retry| State::open(folder.path(), &identity(1), 4, retry);
        let mut state = open(false).unwrap();
        state.add(result(0, None)).unwrap();
        state.add(result(1, Some("error: x"))).unwrap();
        assert!(open(false).unwrap_err().to_string().ends_with("this sweep is running"));
        drop(state);
        // A line that is not whole.
        let path = folder.path().join(RESULTS);
        let mut text = fs::read_to_string(&path).unwrap();
        text += "{\"trial\":2,\"rung\":0,\"ep";
        fs::write(&path, &text).unwrap();
        let mut state = open(false).unwrap();
        assert_eq!(state.of_trial(1), [&result(1, Some("error: x"))]);
        let job = |trial| Job { trial, rung: 0, epochs: 3 };
        assert_eq!((state.of(job(0)), state.of(job(2))), (Some(&result(0, None)), None));
        state.add(result(2, None)).unwrap();
        drop(state);
        let state = open(true).unwrap();
        assert_eq!((state.of(job(1)), state.of(job(2))), (None, Some(&result(2, None))));
    }

    #[test]
    fn to_retry_removes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let open = |retry| State::open(folder.path(), &identity(1), 4, retry).unwrap();
        let mut state = open(false);
        state.add(result(0, Some("error: x"))).unwrap();
        state.add(result(1, None)).unwrap();
        drop(state);
        let path = folder.path().join(RESULTS);
        let before = fs::read_to_string(&path).unwrap();
        drop(open(true));
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        // Without a new result, the old one counts.
        assert_eq!(open(false).of_trial(0), [&result(0, Some("error: x"))]);
        open(true).add(result(0, None)).unwrap();
        assert!(fs::read_to_string(&path).unwrap().starts_with(&before));
        let state = open(true);
        assert_eq!((state.of_trial(0), state.of_trial(1)), (vec![&result(0, None)], vec![&result(1, None)]));
        let job = |trial| Job { trial, rung: 0, epochs: 3 };
        assert_eq!(state.first_of(job(0)), Some(&result(0, Some("error: x"))));
        assert_eq!(state.first_of(job(1)), Some(&result(1, None)));
    }

    #[test]
    fn what_is_of_no_sweep_is_left_as_it_is() {
        let open = |folder: &Path| {
            State::open(folder, &identity(1), 4, false).map(drop).map_err(|failure| failure.to_string())
        };
        for (name, text) in [(RESULTS, "{\"mine\":1}\n"), (RESULTS, "mine"), ("best.toml", "epochs = 3\n")] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(name), text).unwrap();
            let refused = open(folder.path()).unwrap_err();
            let expected = format!("it has '{name}' and no 'sweep.json', so it is no folder of a sweep");
            assert!(refused.ends_with(&expected), "{refused}");
            assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), text);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        // Nor are the results behind a line that is none taken off.
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).unwrap();
        let good = serde_json::to_string(&result(0, None)).unwrap();
        let text = format!("{good}\nmine\n{good}\n{{\"tri");
        fs::write(folder.path().join(RESULTS), &text).unwrap();
        let refused = open(folder.path()).unwrap_err();
        assert!(refused.ends_with("results.jsonl: line 2 is no result of a sweep"), "{refused}");
        assert_eq!(fs::read_to_string(folder.path().join(RESULTS)).unwrap(), text);
    }

    #[test]
    fn another_sweep_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = |seed, trials| {
            State::open(folder.path(), &identity(seed), trials, false)
                .map(drop)
                .map_err(|failure| failure.to_string())
        };
        open(1, 4).unwrap();
        open(1, 8).unwrap();
        let fewer = open(1, 4).unwrap_err();
        assert!(fewer.ends_with("another sweep: --trials: 8 then, 4 now; there can only be more"), "{fewer}");
        let other = open(2, 8).unwrap_err();
        assert!(other.ends_with("another sweep: --seed: 1 then, 2 now"), "{other}");
        let changed =
            |name: &str| difference(&identity(1), &[(name.to_string(), json!([1]))].into_iter().collect(), 0);
        assert_eq!(changed("x").unwrap(), "--seed: 1 then, nothing now");
        let mut options = identity(1);
        options.insert("options of the file".to_string(), json!(["--epochs=3", "--seed=9", "--dtype=f64"]));
        let text = difference(&identity(1), &options, 0).unwrap();
        assert_eq!(text, "options of the file: --seed=1 then, --seed=9 --dtype=f64 now");
    }
}
