//! The options of loggers. The comments are what `--help` shows.

use crate::cli::logging_plan::{LoggerName, MlflowTarget, Setting};
use clap::Args;
use isograd_model::logger::{Frequency, RankSet};
use std::path::PathBuf;

#[derive(Debug, Clone, Args)]
pub(crate) struct LoggingArgs {
    /// Write the log of the run to FOLDER/log.jsonl, which 'isograd runs' and 'isograd report' read; with
    /// --checkpoint, it is in that folder
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["checkpoint", "resume"])]
    pub(crate) log: Option<PathBuf>,
    /// Write event files for TensorBoard to this folder: numbers, images, the network, the settings
    #[arg(long, value_name = "FOLDER")]
    pub(crate) tensorboard: Option<PathBuf>,
    /// Send parameters and numbers to the MLflow server at http://HOST:PORT, or write its files to
    /// file:FOLDER
    #[arg(long, value_name = "WHERE", value_parser = MlflowTarget::parse)]
    pub(crate) mlflow: Option<MlflowTarget>,
    /// mlflow: name of the experiment [default: isograd]
    #[arg(long, value_name = "NAME", requires = "mlflow")]
    pub(crate) experiment: Option<String>,
    /// mlflow: number of the run that this one is a part of
    #[arg(long, value_name = "ID", requires = "mlflow")]
    pub(crate) parent_run: Option<String>,
    /// Name of the run in its logs [default: that of its folder, or of the network]
    #[arg(long, value_name = "NAME")]
    pub(crate) run_name: Option<String>,
    /// How often steps are logged: epoch (no steps), step, or as 50steps; LOGGER=HOW for one of run, history,
    /// tensorboard, mlflow, console; separated by commas [default: 10steps; mlflow: 100steps; history,
    /// console: epoch]
    #[arg(long, value_name = "HOW", value_delimiter = ',', value_parser = Setting::<Frequency>::parse)]
    pub(crate) log_every: Vec<Setting<Frequency>>,
    /// Which ranks log: all, or as 0+2; LOGGER=RANKS for one of history, tensorboard, mlflow, console
    /// [default: 0]
    #[arg(long, value_name = "RANKS", value_delimiter = ',', value_parser = ranks)]
    pub(crate) log_ranks: Vec<Setting<RankSet>>,
}

fn ranks(text: &str) -> Result<Setting<RankSet>, String> {
    let setting = Setting::parse(text)?;
    match setting.logger {
        Some(LoggerName::Run) => Err("the log of the run is always that of rank 0".to_string()),
        _ => Ok(setting),
    }
}

impl LoggingArgs {
    /// Takes what `given`, beside `--resume`, says instead of these options of the start.
    pub(crate) fn prefer(&mut self, given: Self) {
        // A run that goes on has its log beside its checkpoints.
        let Self { log: _, tensorboard, mlflow, experiment, parent_run, run_name, log_every, log_ranks } =
            given;
        self.tensorboard = tensorboard.or(self.tensorboard.take());
        self.mlflow = mlflow.or(self.mlflow.take());
        self.experiment = experiment.or(self.experiment.take());
        self.parent_run = parent_run.or(self.parent_run.take());
        self.run_name = run_name.or(self.run_name.take());
        // The last one counts.
        self.log_every.extend(log_every);
        self.log_ranks.extend(log_ranks);
    }

    /// The files and folders that they name.
    pub(crate) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let mlflow = self.mlflow.iter_mut().filter_map(|target| match target {
            MlflowTarget::Folder(folder) => Some(folder),
            MlflowTarget::Server(_) => None,
        });
        self.log.iter_mut().chain(self.tensorboard.iter_mut()).chain(mlflow)
    }
}
