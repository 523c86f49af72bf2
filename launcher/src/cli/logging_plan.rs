//! Where the numbers of a run go.

use crate::cli::LoggingArgs;
use crate::cli::parsers::HistoryFile;
use crate::system::names;
use isograd_model::logger::{Frequency, RankSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A logger of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoggerName {
    Run,
    History,
    Tensorboard,
    Mlflow,
    Console,
}

impl LoggerName {
    const NAMES: [&str; 5] = ["run", "history", "tensorboard", "mlflow", "console"];
    const ALL: [Self; 5] = [Self::Run, Self::History, Self::Tensorboard, Self::Mlflow, Self::Console];

    fn parse(text: &str) -> Result<Self, String> {
        let place = Self::NAMES.iter().position(|name| *name == text);
        place.map(|place| Self::ALL[place]).ok_or_else(|| names::unknown("logger", text, &Self::NAMES))
    }

    fn default_frequency(self) -> Frequency {
        match self {
            Self::Run | Self::Tensorboard => Frequency::Steps(10),
            Self::Mlflow => Frequency::Steps(100),
            Self::History | Self::Console => Frequency::Epoch,
        }
    }
}

/// `VALUE` for all loggers, or `LOGGER=VALUE`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting<V> {
    pub(crate) logger: Option<LoggerName>,
    pub(crate) value: V,
}

impl<V: FromStr<Err = String>> Setting<V> {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) => Ok(Self { logger: Some(LoggerName::parse(name)?), value: value.parse()? }),
            None => Ok(Self { logger: None, value: text.parse()? }),
        }
    }
}

/// Where MLflow keeps runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MlflowTarget {
    /// The address of a server, without a `/` at the end.
    Server(String),
    /// A folder with its files, `mlruns`.
    Folder(PathBuf),
}

impl MlflowTarget {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(folder) = text.strip_prefix("file://").or_else(|| text.strip_prefix("file:")) {
            return match folder {
                "" => Err("file: needs the name of a folder, as file:mlruns".to_string()),
                folder => Ok(Self::Folder(folder.into())),
            };
        }
        if text.starts_with("https://") {
            return Err(format!(
                "speaks HTTP without TLS: a proxy or an SSH tunnel on this host can lead to '{text}'"
            ));
        }
        let host = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        match host
            .filter(|host| !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control()))
        {
            Some(host) => Ok(Self::Server(format!("http://{host}"))),
            None => Err(format!("must be as http://127.0.0.1:5000 or file:mlruns, it is '{text}'")),
        }
    }
}

impl fmt::Display for MlflowTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(address) => f.write_str(address),
            Self::Folder(folder) => write!(f, "file:{}", folder.display()),
        }
    }
}

/// MLflow, and where a run belongs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MlflowPlan {
    pub(crate) target: MlflowTarget,
    pub(crate) experiment: String,
    /// The number of the run that this one is a part of.
    pub(crate) parent: Option<String>,
}

/// The loggers of a run.
#[derive(Debug)]
pub(crate) struct LoggingPlan {
    /// The folder of the run's own log.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) history: Option<HistoryFile>,
    pub(crate) tensorboard: Option<PathBuf>,
    pub(crate) mlflow: Option<MlflowPlan>,
    pub(crate) run_name: Option<String>,
    every: Vec<Setting<Frequency>>,
    ranks: Vec<Setting<RankSet>>,
}

impl LoggingPlan {
    /// `checkpoint` is the folder of checkpoints, if there are some.
    pub(crate) fn new(args: LoggingArgs, history: Option<HistoryFile>, checkpoint: Option<&Path>) -> Self {
        let LoggingArgs { log, tensorboard, mlflow, experiment, parent_run, run_name, log_every, log_ranks } =
            args;
        let mlflow = mlflow.map(|target| MlflowPlan {
            target,
            experiment: experiment.unwrap_or_else(|| "isograd".to_string()),
            parent: parent_run,
        });
        Self {
            folder: checkpoint.map(Path::to_path_buf).or(log),
            history,
            tensorboard,
            mlflow,
            run_name,
            every: log_every,
            ranks: log_ranks,
        }
    }

    /// How often `logger` gets steps.
    pub(crate) fn frequency(&self, logger: LoggerName) -> Frequency {
        of(&self.every, logger).copied().unwrap_or(logger.default_frequency())
    }

    /// The ranks that `logger` is at.
    pub(crate) fn ranks(&self, logger: LoggerName) -> RankSet {
        of(&self.ranks, logger).cloned().filter(|_| logger != LoggerName::Run).unwrap_or_default()
    }

    /// The name of the run, whose network is `model`.
    pub(crate) fn name(&self, model: &str) -> String {
        let folder = || Some(self.folder.as_ref()?.file_name()?.to_string_lossy().into_owned());
        self.run_name.clone().or_else(folder).unwrap_or_else(|| model.to_string())
    }

    /// Whether a logger takes pictures.
    pub(crate) fn has_pictures(&self) -> bool {
        self.tensorboard.is_some() || self.mlflow.is_some()
    }

    /// The options in force, for the table of settings.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        let mut path =
            |name, path: Option<&PathBuf>| rows.extend(path.map(|path| (name, path.display().to_string())));
        path("history", self.history.as_ref().map(|history| &history.path));
        path("tensorboard", self.tensorboard.as_ref());
        path("log", self.folder.as_ref().map(|folder| folder.join("log.jsonl")).as_ref());
        if let Some(MlflowPlan { target, experiment, parent: _ }) = &self.mlflow {
            rows.push(("mlflow", format!("{target} (experiment {experiment})")));
        }
        rows
    }
}

/// The last setting for `logger`; one for all counts where there is none for it alone.
fn of<V>(settings: &[Setting<V>], logger: LoggerName) -> Option<&V> {
    let find = |logger| settings.iter().rev().find(|setting| setting.logger == logger);
    find(Some(logger)).or_else(|| find(None)).map(|setting| &setting.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plan::TrainPlan;
    use crate::cli::{Arguments, Command};
    use clap::Parser;

    fn plan(options: &str) -> Result<LoggingPlan, String> {
        let args =
            ["isograd", "train", "--dataset", "synthetic"].into_iter().chain(options.split_whitespace());
        match Arguments::try_parse_from(args).map_err(|error| error.to_string())?.command {
            Command::Train(args) => {
                Ok(TrainPlan::try_from(args).map_err(|failure| failure.to_string())?.logging)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_logger_has_its_frequency_and_ranks() {
        let frequency = |options: &str, logger| plan(options).unwrap().frequency(logger);
        assert_eq!(frequency("", LoggerName::Run), Frequency::Steps(10));
        assert_eq!(frequency("", LoggerName::Console), Frequency::Epoch);
        let both = "--log-every 5steps,console=2steps";
        assert_eq!(frequency(both, LoggerName::Run), Frequency::Steps(5));
        assert_eq!(frequency(both, LoggerName::Console), Frequency::Steps(2));
        let plan = plan("--log-ranks all,history=0+2").unwrap();
        assert_eq!(plan.ranks(LoggerName::Tensorboard), RankSet::All);
        assert_eq!(plan.ranks(LoggerName::History), RankSet::List(vec![0, 2]));
        assert_eq!(plan.ranks(LoggerName::Run), RankSet::First);
    }

    #[test]
    fn a_run_is_called_like_its_folder_or_its_network() {
        let name = |options| plan(options).unwrap().name("simplecnn");
        assert_eq!([name(""), name("--log a/b"), name("--checkpoint runs/c")], ["simplecnn", "b", "c"]);
        assert_eq!(name("--checkpoint runs/c --run-name d"), "d");
    }

    #[test]
    fn targets_are_servers_or_folders() {
        let parse = |text| MlflowTarget::parse(text).map(|target| target.to_string());
        assert_eq!(parse("http://127.0.0.1:5000/"), Ok("http://127.0.0.1:5000".to_string()));
        assert_eq!(
            [parse("file:a/b"), parse("file:///c")],
            ["file:a/b", "file:/c"].map(|t| Ok(t.to_string()))
        );
        for text in ["", "mlruns", "http://", "http://a b", "ftp://x", "file:", "https://host"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (options, expected) in [
            ("--log a --checkpoint b", "cannot be used with"),
            ("--experiment x", "--mlflow"),
            ("--log-every hourly", "must be epoch, step or a number of steps as 50steps, it is 'hourly'"),
            ("--log-every tensorbord=step", "did you mean 'tensorboard'?"),
            ("--log-ranks run=all", "always that of rank 0"),
        ] {
            let problem = plan(options).unwrap_err();
            assert!(problem.contains(expected), "{options}: {problem}");
        }
    }
}
