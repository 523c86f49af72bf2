//! The loggers of this program: where the numbers of a run go. [`isograd_model::logger`] has the trait, and
//! what calls loggers as often as each was added for.
//!
//! ```text
//! open, before the ranks meet    // what cannot be written ends the run here
//! start, when the run knows where it goes on from
//! ```

pub(crate) mod console;
pub(crate) mod facts;
mod history;
mod mlflow;
mod tensorboard;

use crate::cli::logging_plan::{LoggerName, LoggingPlan, MlflowPlan, MlflowTarget};
use crate::cli::metric_plan::MetricPlan;
use crate::failure::Failure;
use history::History;
use isograd_model::logger::{Frequency, Loggers, RunLog};
use std::path::{Path, PathBuf};
use tensorboard::TensorBoard;

/// Loggers whose files can be written, and which have not been called.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    plan: &'a LoggingPlan,
    rank: usize,
    /// Metrics that the user asked for.
    metrics: usize,
    run: Option<RunLog>,
    history: Option<History>,
    tensorboard: Option<TensorBoard>,
    mlflow: Option<Mlflow>,
}

#[derive(Debug)]
enum Mlflow {
    Folder(mlflow::Folder),
    Server(mlflow::Server, String),
}

/// Opens those of `plan` that are at `rank`.
pub(crate) fn open<'a>(
    plan: &'a LoggingPlan,
    rank: usize,
    metrics: &[MetricPlan],
    has_validation: bool,
) -> Result<Opened<'a>, Failure> {
    let is_here = |logger| plan.ranks(logger).contains(rank);
    let run = plan.folder.as_ref().filter(|_| is_here(LoggerName::Run));
    let run = run.map(|folder| {
        let failure = |source| Failure::Write { option: "--log", path: folder.join(RunLog::NAME), source };
        RunLog::new(folder).map_err(failure)
    });
    let history = plan.history.as_ref().filter(|_| is_here(LoggerName::History));
    let history = history.map(|file| History::open(file, rank, metrics, has_validation));
    let tensorboard = plan.tensorboard.as_ref().filter(|_| is_here(LoggerName::Tensorboard));
    let has_steps = plan.frequency(LoggerName::Tensorboard) != Frequency::Epoch;
    let tensorboard = tensorboard.map(|folder| TensorBoard::open(folder, rank, has_steps));
    let mlflow = plan.mlflow.as_ref().filter(|_| is_here(LoggerName::Mlflow));
    let mlflow = mlflow.map(|MlflowPlan { target, experiment, parent }| {
        let place = mlflow::Place {
            target: target.to_string(),
            experiment: experiment.clone(),
            parent: parent.clone(),
            rank,
            folder: plan.folder.clone(),
        };
        Ok::<_, Failure>(match target {
            MlflowTarget::Folder(folder) => Mlflow::Folder(mlflow::Folder::open(folder, place)?),
            MlflowTarget::Server(address) => {
                Mlflow::Server(mlflow::Server::new(address, place), format!("--mlflow {address}"))
            }
        })
    });
    Ok(Opened {
        plan,
        rank,
        metrics: metrics.len(),
        run: run.transpose()?,
        history: history.transpose()?,
        tensorboard: tensorboard.transpose()?,
        mlflow: mlflow.transpose()?,
    })
}

impl Opened<'_> {
    /// The loggers of a run that goes on after `epochs` epochs and `steps` steps, which are 0 for a new one.
    pub(crate) fn start(self, epochs: u32, steps: u64) -> Loggers {
        let Self { plan, rank, metrics, run, history, tensorboard, mlflow } = self;
        let mut loggers = Loggers::new(rank).with_metrics(metrics);
        let frequency = |logger| plan.frequency(logger);
        let ranks = |logger| plan.ranks(logger);
        if let Some(log) = run {
            let log = if steps > 0 { log.go_on_from(epochs, steps) } else { log };
            loggers.add(log, frequency(LoggerName::Run), &ranks(LoggerName::Run));
        }
        if let Some(history) = history {
            let history = history.go_on_from(epochs, steps);
            loggers.add(history, frequency(LoggerName::History), &ranks(LoggerName::History));
        }
        if let Some(tensorboard) = tensorboard {
            loggers.add(tensorboard, frequency(LoggerName::Tensorboard), &ranks(LoggerName::Tensorboard));
        }
        let (every, ranks) = (frequency(LoggerName::Mlflow), ranks(LoggerName::Mlflow));
        match mlflow {
            Some(Mlflow::Folder(folder)) => loggers.add(folder, every, &ranks),
            Some(Mlflow::Server(server, name)) => {
                loggers.add(mlflow::Queue::start(server, name), every, &ranks)
            }
            None => {}
        }
        loggers
    }
}

/// The file or folder of rank `rank` where the first rank has `path`: `a.csv`, `a.rank1.csv`.
fn of_rank(path: &Path, rank: usize) -> PathBuf {
    if rank == 0 {
        return path.to_path_buf();
    }
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (stem, ending) = (part(path.file_stem()), part(path.extension()));
    path.with_file_name(match ending.is_empty() {
        true => format!("{stem}.rank{rank}"),
        false => format!("{stem}.rank{rank}.{ending}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rank_has_a_file_of_its_own() {
        let name = |path: &str, rank| of_rank(Path::new(path), rank).display().to_string();
        assert_eq!(
            [name("x/a.csv", 0), name("x/a.csv", 2), name("tb", 1)],
            ["x/a.csv", "x/a.rank2.csv", "tb.rank1"]
        );
    }
}
