//! The runs of a report: their folders, their logs, and what state they are in.

use super::evaluation::Evaluation;
use super::log::RunLog;
use crate::failure::Failure;
use crate::system::count::count;
use crate::system::text_file;
use isograd_model::RunFolder;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// The names of files in the folder of a run.
const LOG: &str = "log.jsonl";
const CONFIG: &str = "config.toml";
const LOCK: &str = ".lock";
/// The most bytes of a configuration that a page shows.
const MOST_CONFIG_BYTES: usize = 1 << 16;
/// Runs that a hint names.
const NAMED: usize = 4;

/// A run, and what is known of it.
#[derive(Debug)]
pub(super) struct Run {
    /// What the user called it.
    pub(super) path: PathBuf,
    pub(super) folder: PathBuf,
    /// The checkpoint that the user named, if it was one.
    pub(super) checkpoint: Option<PathBuf>,
    /// Short, and different from those of the other runs.
    pub(super) name: String,
    pub(super) log: RunLog,
    has_log: bool,
    pub(super) state: State,
    /// The effective configuration.
    pub(super) config: Option<String>,
    /// The test of its checkpoint, or why there is none; `None` if it was not asked for.
    pub(super) evaluation: Option<Result<Evaluation, String>>,
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It ended for this reason.
    Ended(String),
    /// A process writes to its folder.
    Running,
    /// Its log has no end, and no process writes to its folder.
    Killed,
    /// Its log has no end, and whether a process writes to its folder is not known.
    Open,
    /// It has no log.
    Unknown,
}

impl State {
    /// A word or two.
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Ended(reason) => reason,
            Self::Running => "running",
            Self::Killed => "killed",
            Self::Open => "no end in its log",
            Self::Unknown => "no log",
        }
    }
}

/// Finds the runs at `paths`, each once.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<Run>, Failure> {
    let mut runs: Vec<Run> = Vec::new();
    for path in paths {
        let run = Run::read(path)?;
        let is_new =
            runs.iter().all(|other| (&other.folder, &other.checkpoint) != (&run.folder, &run.checkpoint));
        if is_new {
            runs.push(run);
        }
    }
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    for run in &mut runs {
        // Equal names of folders in different places, or of checkpoints.
        if names.iter().filter(|name| **name == run.name).count() > 1 {
            run.name = run.path.to_string_lossy().into_owned();
        }
    }
    Ok(runs)
}

impl Run {
    fn read(path: &Path) -> Result<Self, Failure> {
        let usage = |problem: String, hint| Failure::Usage {
            problem: format!("{}: {problem}", path.display()),
            hint,
        };
        let real = fs::canonicalize(path).map_err(|error| usage(format!("cannot read: {error}"), None))?;
        // The log itself stands for its folder.
        let is_log = real.is_file() && real.file_name().is_some_and(|name| name == LOG);
        let place = if is_log { real.parent().unwrap_or(&real).to_path_buf() } else { real };
        let folder = RunFolder::of(&place);
        let checkpoint = (folder != place).then_some(place);
        let (log, has_log) =
            match File::open(folder.join(LOG)).and_then(|file| RunLog::read(BufReader::new(file))) {
                Ok(log) => (log, true),
                Err(error) if is_missing(&error) => (RunLog::default(), false),
                Err(error) => return Err(usage(format!("cannot read {LOG}: {error}"), None)),
            };
        if !has_log && !RunFolder::has_checkpoints(&folder) {
            return Err(usage(
                format!("not the folder of a run: it has neither {LOG} nor checkpoints"),
                hint(&folder),
            ));
        }
        let state = match (&log.end, has_log, is_locked(&folder)) {
            (_, false, _) => State::Unknown,
            (Some(end), ..) => State::Ended(end.reason.clone()),
            (None, _, Some(true)) => State::Running,
            (None, _, Some(false)) => State::Killed,
            (None, _, None) => State::Open,
        };
        let config =
            text_file::read(&folder.join(CONFIG)).ok().filter(|text| text.len() <= MOST_CONFIG_BYTES);
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        let path = path.to_path_buf();
        Ok(Self { path, folder, checkpoint, name, log, has_log, state, config, evaluation: None })
    }

    /// Its folder as the user called it, where that is what was named.
    pub(super) fn written_folder(&self) -> &Path {
        let is_folder = self.checkpoint.is_none() && self.path.is_dir();
        if is_folder { &self.path } else { &self.folder }
    }

    /// What a reader of its figures should know, in sentences without a full stop.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        match &self.state {
            State::Ended(_) => {}
            State::Running => {
                notes.push("the run goes on; the figures are those of its log so far".to_string())
            }
            State::Killed => notes.push("the run was killed: its log has no end".to_string()),
            State::Open => notes.push(format!("{LOG} has no end: the run goes on or was killed")),
            State::Unknown => notes.push(format!("there is no {LOG}, so there are no curves")),
        }
        if self.has_log && self.log.epochs.is_empty() {
            notes.push(match self.log.steps.len() {
                0 => format!("{LOG} has no step and no epoch yet, so there are no curves"),
                _ => format!("{LOG} has no whole epoch yet"),
            });
        }
        if let Some((number, text)) = &self.log.first_damaged {
            let lines = count(self.log.damaged_lines, "line");
            notes.push(format!(
                "{LOG} has {lines} that cannot be read and were left out, the first is line {number}: {text}"
            ));
        }
        if self.log.is_torn {
            notes.push(format!("{LOG} ends in the middle of a line"));
        }
        match &self.evaluation {
            Some(Err(problem)) => notes.push(format!("no confusion matrix and no mistakes: {problem}")),
            Some(Ok(evaluation)) => notes.extend(evaluation.note.clone()),
            None => {}
        }
        notes
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether a process writes to the folder of a run or to its log, which it locks; `None` if that cannot be
/// known.
fn is_locked(folder: &Path) -> Option<bool> {
    let is_locked = |name: &&str| {
        // Shared, so that two reports do not take each other for a run.
        match File::open(folder.join(name)).ok()?.try_lock_shared() {
            Ok(()) => Some(false),
            Err(TryLockError::WouldBlock) => Some(true),
            Err(TryLockError::Error(_)) => None,
        }
    };
    [LOCK, LOG].iter().filter_map(is_locked).reduce(|one, other| one || other)
}

/// The way out where `folder` is one of several runs.
fn hint(folder: &Path) -> Option<String> {
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut runs: Vec<_> =
        entries.filter(|path| path.join(LOG).exists() || RunFolder::has_checkpoints(path)).collect();
    if runs.is_empty() {
        return Some("train --checkpoint FOLDER makes the folder of a run".to_string());
    }
    runs.sort();
    let more = if runs.len() > NAMED { " …" } else { "" };
    let names: Vec<_> = runs.iter().take(NAMED).map(|path| path.display().to_string()).collect();
    Some(format!("it has the folders of runs: isograd report {}{more}", names.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(log: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LOG), log).unwrap();
        folder
    }

    #[test]
    fn the_state_follows_from_the_log_and_the_lock() {
        let state = |log: &str, locked: Option<&str>| {
            let folder = folder(log);
            fs::write(folder.path().join(LOCK), "").unwrap();
            let lock = locked.map(|name| {
                let file = File::open(folder.path().join(name)).unwrap();
                file.lock().unwrap();
                file
            });
            let state = Run::read(folder.path()).unwrap().state;
            drop(lock);
            state
        };
        let ended = r#"{"event":"end","reason":"early stopping"}"#;
        assert_eq!(state(ended, None), State::Ended("early stopping".to_string()));
        assert_eq!(state("", Some(LOCK)), State::Running);
        assert_eq!(state("", Some(LOG)), State::Running);
        assert_eq!(state("", None), State::Killed);
    }

    #[test]
    fn a_run_is_there_once_and_has_a_name_of_its_own() {
        let (a, b) = (folder(""), folder(""));
        let inner = |folder: &Path| {
            let inner = folder.join("run");
            fs::create_dir(&inner).unwrap();
            fs::write(inner.join(LOG), "").unwrap();
            inner
        };
        let (one, other) = (inner(a.path()), inner(b.path()));
        let runs = find(&[one.clone(), one.join("."), one.join(LOG), other.clone(), a.path().to_path_buf()])
            .unwrap();
        let names: Vec<_> = runs.iter().map(|run| run.name.as_str()).collect();
        let of_a = a.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(names, [one.to_str().unwrap(), other.to_str().unwrap(), of_a]);
    }

    #[test]
    fn what_is_no_run_is_refused_with_a_way_out() {
        let refused = |path: &Path| match Run::read(path).unwrap_err() {
            Failure::Usage { problem, hint } => (problem.replace(path.to_str().unwrap(), "F"), hint),
            other => panic!("{other:?}"),
        };
        let folder = tempfile::tempdir().unwrap();
        let (problem, hint) = refused(folder.path());
        assert_eq!(problem, "F: not the folder of a run: it has neither log.jsonl nor checkpoints");
        assert!(hint.unwrap().starts_with("train --checkpoint"));
        let run = folder.path().join("a");
        fs::create_dir(&run).unwrap();
        fs::write(run.join(LOG), "").unwrap();
        let hint = refused(folder.path()).1.unwrap();
        assert_eq!(hint, format!("it has the folders of runs: isograd report {}", run.display()));
        assert!(refused(&folder.path().join("missing")).0.starts_with("F: cannot read: "));
        fs::create_dir(folder.path().join(LOG)).unwrap();
        assert!(refused(folder.path()).0.starts_with("F: cannot read log.jsonl: "));
    }
}
