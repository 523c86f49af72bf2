//! MLflow: runs at a server, by its REST API, or in files as its file store has them.
//!
//! A run has the settings as parameters; facts of the machine and the network as tags; and these metrics, by
//! step: `loss`, `val_loss`, `test_loss` and other metrics under the same names (`acc`, `val_acc`,
//! `test_acc`), `step_loss` of single steps, `learning_rate`, `samples_per_s`. It ends as `FINISHED`,
//! `KILLED` by a signal, or `FAILED`.
//!
//! A run that goes on from a checkpoint goes on with the run that its folder names.

mod folder;
mod queue;
mod server;

pub(super) use folder::Folder;
pub(super) use queue::Queue;
pub(super) use server::Server;

use isograd_model::logger::{Record, RunEnd, RunStart};
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// The name of the file, in the folder of a run, that says which run of MLflow it is.
const NOTE: &str = "mlflow_run";

/// Where a run belongs.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// What the user has called the target, in warnings.
    pub(super) target: String,
    pub(super) experiment: String,
    pub(super) parent: Option<String>,
    pub(super) rank: usize,
    /// The folder of the run, if it has one.
    pub(super) folder: Option<PathBuf>,
}

/// A number at a step.
#[derive(Debug, Clone, PartialEq)]
struct Metric {
    key: String,
    value: f64,
    step: u64,
    time_ms: u64,
}

/// How a run has ended, and MLflow's number of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Finished = 3,
    Failed = 4,
    Killed = 5,
}

impl Status {
    fn of(end: &RunEnd) -> Self {
        match end.reason.as_str() {
            "stopped" => Self::Killed,
            "failed" | "diverged" => Self::Failed,
            _ => Self::Finished,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        }
    }
}

impl Place {
    /// The name of the run of this rank.
    fn run_name(&self, start: &RunStart) -> String {
        match self.rank {
            0 => start.run.clone(),
            rank => format!("{}, rank {rank}", start.run),
        }
    }

    /// Its tags.
    fn tags(&self, start: &RunStart) -> Vec<(String, String)> {
        let tags = [
            ("mlflow.runName", self.run_name(start)),
            ("mlflow.source.name", format!("isograd {}", start.version)),
            ("mlflow.source.type", "LOCAL".to_string()),
            ("rank", self.rank.to_string()),
            ("cpu", start.cpu.clone()),
            ("hosts", start.hosts.join(", ")),
            ("model_parameters", start.parameters.to_string()),
        ];
        let parent = self.parent.iter().map(|parent| ("mlflow.parentRunId", parent.clone()));
        tags.into_iter().chain(parent).map(|(key, value)| (key.to_string(), value)).collect()
    }

    /// The number of the run that goes on: this one, before it was interrupted. Such numbers are random, so a
    /// run that has it is this one, whatever its store was called then: a folder may be named from elsewhere,
    /// or have moved, and a server may have another port.
    fn resumed_run(&self, start: &RunStart) -> Option<String> {
        if start.step == 0 || self.rank > 0 {
            return None;
        }
        let text = fs::read_to_string(self.folder.as_ref()?.join(NOTE)).ok()?;
        let (_, run) = text.trim_end().rsplit_once('\n')?;
        let is_name = !run.is_empty() && run.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        is_name.then(|| run.to_string())
    }

    /// Notes that the run is `run`. Without the note, a run that goes on is a new one there.
    fn note(&self, run: &str) {
        if let Some(folder) = self.folder.as_ref().filter(|_| self.rank == 0) {
            let _ = fs::write(folder.join(NOTE), format!("{}\n{run}\n", self.target));
        }
    }
}

/// Parameters of the run.
fn parameters(start: &RunStart) -> Vec<(String, String)> {
    /// MLflow takes no longer values.
    const MOST: usize = 6000;
    let of_ranks = [("ranks", start.ranks.to_string()), ("global-batch-size", start.batch.to_string())];
    let of_ranks = of_ranks.map(|(key, value)| (key.to_string(), value));
    let mut parameters: Vec<(String, String)> = Vec::new();
    for (key, value) in start.settings.iter().cloned().chain(of_ranks) {
        let key: String = key.chars().map(|c| if c == '-' || c == ' ' { '_' } else { c }).collect();
        if !parameters.iter().any(|(known, _)| *known == key) {
            parameters.push((key, value.chars().take(MOST).collect()));
        }
    }
    parameters
}

/// The numbers of a record.
fn metrics(record: &Record) -> Vec<Metric> {
    let time_ms = now_ms();
    let mut found = Vec::new();
    let mut add = |key: String, step, value| found.push(Metric { key: key_of(&key), value, step, time_ms });
    match record {
        Record::Step(step) => {
            add("step_loss".to_string(), step.step, step.loss);
            add("learning_rate".to_string(), step.step, step.learning_rate);
        }
        Record::Epoch(epoch) => {
            add("epoch".to_string(), epoch.step, f64::from(epoch.epoch));
            add("loss".to_string(), epoch.step, epoch.loss);
            epoch.metrics.iter().for_each(|(label, value)| add(label.clone(), epoch.step, *value));
            epoch.val_loss.iter().for_each(|loss| add("val_loss".to_string(), epoch.step, *loss));
            epoch
                .val_metrics
                .iter()
                .for_each(|(label, value)| add(format!("val_{label}"), epoch.step, *value));
            add("epoch_learning_rate".to_string(), epoch.step, epoch.learning_rate);
            add("samples_per_s".to_string(), epoch.step, epoch.samples_per_s);
        }
        Record::Test(test) => {
            add("test_loss".to_string(), test.step, test.loss);
            test.metrics.iter().for_each(|(label, value)| add(format!("test_{label}"), test.step, *value));
        }
        _ => {}
    }
    found
}

/// `key` with the characters that MLflow takes.
fn key_of(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' }).collect()
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
