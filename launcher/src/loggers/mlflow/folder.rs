//! The files of MLflow's file store.
//!
//! ```text
//! mlruns/EXPERIMENT/meta.yaml
//! mlruns/EXPERIMENT/RUN/meta.yaml
//! mlruns/EXPERIMENT/RUN/params/NAME      the value
//! mlruns/EXPERIMENT/RUN/tags/NAME        the value
//! mlruns/EXPERIMENT/RUN/metrics/NAME     lines: milliseconds since 1970, value, step
//! mlruns/EXPERIMENT/RUN/artifacts/       files
//! ```

use super::{Metric, Place, Status, metrics, now_ms, parameters};
use crate::failure::Failure;
use isograd_model::logger::{LogError, Logger, Record, RunEnd, RunStart};
use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const META: &str = "meta.yaml";
/// The file in the store that is locked while an experiment is looked for and created. MLflow takes only
/// folders for experiments.
const LOCK: &str = ".isograd-lock";

/// Writes a run into a file store.
#[derive(Debug)]
pub(crate) struct Folder {
    place: Place,
    /// The store.
    root: PathBuf,
    run: Option<Run>,
}

#[derive(Debug)]
struct Run {
    folder: PathBuf,
    id: String,
    experiment: String,
    name: String,
    start_ms: u64,
}

impl Folder {
    /// The store at `root`, which is created.
    pub(crate) fn open(root: &Path, place: Place) -> Result<Self, Failure> {
        let failure = |source| Failure::Write { option: "--mlflow", path: root.to_path_buf(), source };
        fs::create_dir_all(root).map_err(failure)?;
        let root = fs::canonicalize(root).map_err(failure)?;
        Ok(Self { place, root, run: None })
    }

    fn start(&mut self, start: &RunStart) -> io::Result<()> {
        let experiment = self.experiment()?;
        let runs = self.root.join(&experiment);
        let resumed = self.place.resumed_run(start);
        let resumed = resumed.and_then(|id| Some((fs::read_to_string(runs.join(&id).join(META)).ok()?, id)));
        let is_resumed = resumed.is_some();
        let (id, start_ms) = match resumed {
            Some((meta, id)) => (id, value_of(&meta, "start_time").and_then(|time| time.parse().ok())),
            None => (random_hex()?, None),
        };
        let folder = runs.join(&id);
        for name in ["metrics", "params", "tags", "artifacts"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let name = self.place.run_name(start);
        let run = Run { folder, id, experiment, name, start_ms: start_ms.unwrap_or_else(now_ms) };
        run.write_meta(None)?;
        if is_resumed {
            run.cut(start.step)?;
        }
        for (key, value) in parameters(start) {
            fs::write(run.folder.join("params").join(super::key_of(&key)), value)?;
        }
        for (key, value) in self.place.tags(start) {
            fs::write(run.folder.join("tags").join(key), value)?;
        }
        self.place.note(&run.id);
        self.run = Some(run);
        Ok(())
    }

    /// The number of the experiment, which is created if there is none of its name. Runs that start at once,
    /// as trials and ranks do, look for it one after the other.
    fn experiment(&self) -> io::Result<String> {
        // Some file systems have no locks, and the experiment may be there in a store that is not ours.
        let path = self.root.join(LOCK);
        // Another user's file can be locked, too.
        let file = File::create(&path).or_else(|_| File::open(&path));
        let lock = file.and_then(|file| file.lock().map(|()| file));
        let experiment = self.find_or_create_experiment();
        if let Ok(lock) = lock {
            // Closing the file is not enough: a process that another thread is just starting has it open.
            let _ = lock.unlock();
        }
        experiment
    }

    fn find_or_create_experiment(&self) -> io::Result<String> {
        let name = &self.place.experiment;
        for entry in fs::read_dir(&self.root)?.flatten() {
            let Ok(text) = fs::read_to_string(entry.path().join(META)) else { continue };
            if value_of(&text, "name").as_ref() == Some(name)
                && value_of(&text, "lifecycle_stage").is_none_or(|stage| stage == "active")
                && let Ok(id) = entry.file_name().into_string()
            {
                return Ok(id);
            }
        }
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        // 18 digits, as MLflow has.
        let id = (u64::from_le_bytes(bytes) % 900_000_000_000_000_000 + 100_000_000_000_000_000).to_string();
        let folder = self.root.join(&id);
        fs::create_dir_all(&folder)?;
        let now = now_ms();
        let text = format!(
            "artifact_location: {}\ncreation_time: {now}\nexperiment_id: {}\nlast_update_time: {now}\n\
             lifecycle_stage: active\nname: {}\n",
            quoted(&uri(&folder)),
            quoted(&id),
            quoted(name)
        );
        fs::write(folder.join(META), text)?;
        Ok(id)
    }

    fn end(&self, end: &RunEnd) -> io::Result<()> {
        let Some(run) = &self.run else { return Ok(()) };
        if let Some(hash) = &end.hash {
            fs::write(run.folder.join("tags").join("params_sha256"), hash)?;
        }
        run.write_meta(Some(Status::of(end)))
    }
}

impl Run {
    /// Writes what the run is, with its status if it has ended.
    fn write_meta(&self, status: Option<Status>) -> io::Result<()> {
        const RUNNING: i32 = 1;
        let user = std::env::var("USER").unwrap_or_default();
        let end = status.map_or_else(|| "null".to_string(), |_| now_ms().to_string());
        let text = format!(
            "artifact_uri: {}\nend_time: {end}\nentry_point_name: ''\nexperiment_id: {}\nlifecycle_stage: active\n\
             run_id: {id}\nrun_name: {}\nrun_uuid: {id}\nsource_name: ''\nsource_type: 4\nsource_version: ''\n\
             start_time: {}\nstatus: {}\ntags: []\nuser_id: {}\n",
            quoted(&uri(&self.folder.join("artifacts"))),
            quoted(&self.experiment),
            quoted(&self.name),
            self.start_ms,
            status.map_or(RUNNING, |status| status as i32),
            quoted(&user),
            id = quoted(&self.id),
        );
        // Readers see the old file or the new one.
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(self.folder.join(META))?;
        Ok(())
    }

    fn append(&self, metric: &Metric) -> io::Result<()> {
        let Metric { key, value, step, time_ms } = metric;
        let file = self.folder.join("metrics").join(key);
        let mut file = OpenOptions::new().append(true).create(true).open(file)?;
        file.write_all(format!("{time_ms} {value} {step}\n").as_bytes())
    }

    /// Removes the numbers behind step `step`.
    fn cut(&self, step: u64) -> io::Result<()> {
        for entry in fs::read_dir(self.folder.join("metrics"))? {
            let path = entry?.path();
            let text = fs::read_to_string(&path)?;
            let step_of = |line: &str| line.trim_end().rsplit(' ').next()?.parse::<u64>().ok();
            let is_kept =
                |line: &&str| line.ends_with('\n') && step_of(line).is_some_and(|found| found <= step);
            let kept: String = text.split_inclusive('\n').filter(is_kept).collect();
            if kept.len() != text.len() {
                fs::write(&path, kept)?;
            }
        }
        Ok(())
    }
}

impl Logger for Folder {
    fn name(&self) -> Cow<'_, str> {
        format!("--mlflow {}", self.place.target).into()
    }

    fn log(&mut self, record: &Record) -> Result<(), LogError> {
        match record {
            Record::Start(start) => self.start(start)?,
            Record::End(end) => self.end(end)?,
            Record::Image(image) => {
                if let Some(run) = &self.run {
                    let name = format!("{}.png", super::key_of(&image.name));
                    fs::write(run.folder.join("artifacts").join(name), &image.png)?;
                }
            }
            record => {
                if let Some(run) = &self.run {
                    metrics(record).iter().try_for_each(|metric| run.append(metric))?;
                }
            }
        }
        Ok(())
    }
}

/// The value of a key of the top level; of the kinds of YAML that such files have.
fn value_of(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?.trim();
    if value.starts_with('"') {
        return serde_json::from_str(value).ok();
    }
    match value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')) {
        Some(inner) => Some(inner.replace("''", "'")),
        None => Some(value.to_string()),
    }
}

/// A string of YAML, of which those of JSON are a part.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn uri(path: &Path) -> String {
    let mut uri = "file://".to_string();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => uri.push(*byte as char),
            byte if byte.is_ascii_alphanumeric() => uri.push(*byte as char),
            byte => uri += &format!("%{byte:02X}"),
        }
    }
    uri
}

fn random_hex() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::super::NOTE;
    use super::*;
    use std::sync::Barrier;
    use std::thread;

    fn open(root: &Path, experiment: &str) -> Folder {
        let place = Place {
            target: "file:mlruns".to_string(),
            experiment: experiment.to_string(),
            parent: None,
            rank: 0,
            folder: None,
        };
        Folder::open(root, place).unwrap()
    }

    /// The folders in `folder`.
    fn folders(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    }

    #[test]
    fn runs_that_start_at_once_share_an_experiment() {
        const RUNS: usize = 4;
        let root = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..25).map(|number| number.to_string()).collect();
        let barrier = Barrier::new(RUNS);
        let run = || -> Vec<io::Result<String>> {
            let experiment = |name: &String| {
                let folder = open(root.path(), name);
                barrier.wait();
                folder.experiment()
            };
            names.iter().map(experiment).collect()
        };
        let of_runs: Vec<Vec<String>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..RUNS).map(|_| scope.spawn(run)).collect();
            let of_run = |found: Vec<io::Result<String>>| found.into_iter().map(Result::unwrap).collect();
            threads.into_iter().map(|thread| of_run(thread.join().unwrap())).collect()
        });
        assert!(of_runs.iter().all(|found| *found == of_runs[0]), "{of_runs:?}");
        assert_eq!(folders(root.path()).len(), names.len());
    }

    #[test]
    fn a_run_goes_on_whatever_its_store_is_called() {
        let (root, run_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let start = |target: &str, step| {
            let mut folder = open(root.path(), "tests");
            folder.place.target = target.to_string();
            folder.place.folder = Some(run_folder.path().to_path_buf());
            folder.start(&RunStart { step, ..RunStart::default() }).unwrap();
            folder.run.unwrap().folder
        };
        let run = start("file:mlruns", 0);
        let meta = || fs::read_to_string(run.join(META)).unwrap();
        let started = value_of(&meta(), "start_time").unwrap();
        fs::write(run.join(META), meta().replace(&started, "1234")).unwrap();
        assert_eq!(start("file:/elsewhere/mlruns", 10), run);
        assert_eq!(value_of(&meta(), "start_time").as_deref(), Some("1234"));
        // A new run, and one that goes on in another store.
        assert_ne!(start("file:mlruns", 0), run);
        fs::write(run_folder.path().join(NOTE), "file:mlruns\n0123\n").unwrap();
        start("file:mlruns", 10);
        assert_eq!(folders(run.parent().unwrap()).len(), 3);
    }

    #[test]
    fn keys_are_found_however_they_are_quoted() {
        let text = "artifact_location: file:///x\nname: 'it''s'\nexperiment_id: \"12\"\nname2: plain\n";
        let value = |key| value_of(text, key);
        assert_eq!(
            [value("name"), value("experiment_id")],
            ["it's", "12"].map(|text| Some(text.to_string()))
        );
        assert_eq!((value("name2"), value("nam")), (Some("plain".to_string()), None));
        assert_eq!(uri(Path::new("/a b/é")), "file:///a%20b/%C3%A9");
    }
}
