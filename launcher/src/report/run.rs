//! The runs of a report: their folders, their logs, and what state they are in.

use super::evaluation::Evaluation;
use crate::failure::Failure;
use crate::system::count::count;
use crate::system::escape::excerpt;
use crate::system::text_file;
use isograd_model::RunFolder;
use isograd_model::logger::{LoggedRun, RunLog, RunState};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The names of files in the folder of a run.
const LOG: &str = RunLog::NAME;
const CONFIG: &str = "config.toml";
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
    /// Empty if there is none.
    pub(super) log: LoggedRun,
    /// How far it has come; `None` if it has no log.
    pub(super) state: Option<RunState>,
    /// The effective configuration.
    pub(super) config: Option<String>,
    /// The test of its checkpoint, or why there is none; `None` if it was not asked for.
    pub(super) evaluation: Option<Result<Evaluation, String>>,
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
        let log = match LoggedRun::read(&folder) {
            Ok(log) => Some(log),
            Err(error) if is_missing(&error) => None,
            Err(error) => return Err(usage(format!("cannot read {LOG}: {error}"), None)),
        };
        if log.is_none() && !RunFolder::has_checkpoints(&folder) {
            return Err(usage(
                format!("not the folder of a run: it has neither {LOG} nor checkpoints"),
                hint(&folder),
            ));
        }
        let state = log.as_ref().map(LoggedRun::state);
        let log = log.unwrap_or_default();
        let config =
            text_file::read(&folder.join(CONFIG)).ok().filter(|text| text.len() <= MOST_CONFIG_BYTES);
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        let path = path.to_path_buf();
        Ok(Self { path, folder, checkpoint, name, log, state, config, evaluation: None })
    }

    /// A word or two on how far it has come.
    pub(super) fn state_words(&self) -> &str {
        match &self.state {
            Some(RunState::Ended(reason)) => reason,
            Some(RunState::Running) => "running",
            Some(RunState::Killed) => "killed",
            Some(RunState::Open) => "no end in its log",
            None => "no log",
        }
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
            Some(RunState::Ended(_)) => {}
            Some(RunState::Running) => {
                notes.push("the run goes on; the figures are those of its log so far".to_string())
            }
            Some(RunState::Killed) => notes.push("the run was killed: its log has no end".to_string()),
            Some(RunState::Open) => notes.push(format!("{LOG} has no end: the run goes on or was killed")),
            None => notes.push(format!("there is no {LOG}, so there are no curves")),
        }
        if self.state.is_some() && self.log.epochs.is_empty() {
            notes.push(match self.log.steps.len() {
                0 => format!("{LOG} has no step and no epoch yet, so there are no curves"),
                _ => format!("{LOG} has no whole epoch yet"),
            });
        }
        if let Some((number, text)) = &self.log.first_damaged {
            let lines = count(self.log.damaged_lines, "line");
            notes.push(format!(
                "{LOG} has {lines} that cannot be read and were left out, the first is line {number}: {}",
                excerpt(text)
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
