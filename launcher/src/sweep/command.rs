//! The command line of a trial.
//!
//! ```text
//! isograd train --config FILE --set KEY=VALUE … --checkpoint FOLDER …      a configuration
//! isograd train --resume FOLDER …                                          the same, where it has begun
//! isograd run FILE --set KEY=VALUE … --results FOLDER                      a workflow, new or begun
//! isograd local -n N …                                in front of it, with several ranks
//! isograd ssh --hostfile HOSTS --include HOST …       the same, on a host
//! ```

use super::schedule::{Job, Rules};
use super::space::Space;
use crate::cli::config::sweep::{Section, Values};
use crate::cli::plan::TrainPlan;
use crate::cli::{self, Command, Parsed, SearchName, SweepArgs, TrainArgs, config};
use crate::failure::Failure;
use crate::workflow::SearchedFile;
use isograd_model::logger::RunLog;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Options that all trials would share a file by, or that make no run.
const REFUSED: [&str; 8] =
    ["save", "history", "tensorboard", "profile-out", "trace", "resume", "find-lr", "pause-after"];
/// The folder in that of a trial for the results of a workflow.
const RESULTS: &str = "results";
/// The link in the folder of a run to its newest checkpoint.
const LAST: &str = "last";

/// What the command lines of all trials have in common.
#[derive(Debug)]
pub(super) struct TrialCommand {
    /// Of the sweep, from the root.
    pub(super) folder: PathBuf,
    pub(super) section: Section,
    workflow: Option<SearchedFile>,
    file: PathBuf,
    ranks: u32,
    hostfile: Option<PathBuf>,
    /// How to log in there, as options of `ssh`.
    login: Vec<OsString>,
    /// Trials pause.
    has_rungs: bool,
    /// The options of the file, of `train`.
    options: Vec<String>,
    /// Of a trial; of a workflow, those of its last training if trials pause.
    epochs: u32,
    /// Threads that the file gives each trial.
    pub(super) threads: Option<usize>,
}

impl TrialCommand {
    /// `workflow` is what the file is, if it is no configuration.
    pub(super) fn new(
        args: &SweepArgs,
        section: &Section,
        workflow: Option<SearchedFile>,
    ) -> Result<Self, Failure> {
        let stem = args.file.file_stem().unwrap_or_default().to_string_lossy();
        let folder = args.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("sweep-{stem}")));
        let folder = std::path::absolute(&folder).map_err(|source| Failure::Write {
            option: "--out",
            path: folder,
            source,
        })?;
        let mut this = Self {
            folder,
            section: section.clone(),
            workflow,
            file: args.file.clone(),
            ranks: args.ranks,
            hostfile: args.hostfile.clone(),
            login: args.login.words(),
            has_rungs: args.search == SearchName::Asha,
            options: Vec::new(),
            epochs: 1,
            threads: None,
        };
        if let Some(workflow) = &this.workflow {
            if this.has_rungs {
                this.epochs = workflow.epochs(&[])?;
            }
            return Ok(this);
        }
        let train = this.train_args(&[])?;
        let words = train.words.iter().map(|word| word.to_string_lossy().into_owned());
        this.options = words.collect();
        (this.epochs, this.threads) = (train.training.epochs, train.execution.threads);
        this.check_options(&train)?;
        Ok(this)
    }

    /// Checks what the file says beside the values of trials.
    fn check_options(&self, train: &TrainArgs) -> Result<(), Failure> {
        let file = self.file.display();
        let has = |name: &&str| {
            let option = format!("--{name}");
            self.options.iter().any(|word| word.split('=').next() == Some(&option))
        };
        if let Some(name) = REFUSED.iter().find(|name| has(name)) {
            return Err(usage(format!(
                "{file}: --{name}: each trial has a folder of its own, they cannot share this"
            )));
        }
        let key = |name: &str| {
            let is_name = |key: &str| key.rsplit('.').next().unwrap_or(key).replace('-', "_") == name;
            self.section.parameters.iter().any(|parameter| is_name(&parameter.key))
        };
        if self.has_rungs && (key("epochs") || has(&"steps")) {
            return Err(usage(format!(
                "{file}: --search asha compares trials of equally many epochs: it goes with neither --steps nor values for epochs"
            )));
        }
        let validates = train.validation_split > 0.0 || train.test_as_validation || key("validation_split");
        let metric = &self.section.metric;
        if metric.starts_with("val_") && !validates {
            return Err(Failure::Usage {
                problem: format!("{file}: {metric}: there is no validation"),
                hint: Some(
                    "validation_split = 0.1 in the file takes a tenth of the training samples for it"
                        .to_string(),
                ),
            });
        }
        Ok(())
    }

    /// Epochs of a whole trial.
    pub(super) fn epochs(&self) -> u32 {
        self.epochs
    }

    /// Checks that trials with these values, and with the bounds of each parameter, would start.
    pub(super) fn check(
        &self,
        space: &Space,
        trials: impl Iterator<Item = Vec<String>>,
    ) -> Result<(), Failure> {
        let mut all: Vec<Vec<String>> = trials.collect();
        if let Some(workflow) = &self.workflow {
            return all.iter().try_for_each(|values| {
                let sets = self.sets(values);
                workflow.check(&sets)?;
                let epochs = if self.has_rungs { workflow.epochs(&sets)? } else { self.epochs };
                match epochs == self.epochs {
                    true => Ok(()),
                    false => Err(usage(format!(
                        "{}: --search asha compares trials of equally many epochs: they have {} in the file, {epochs} with {}",
                        self.file.display(),
                        self.epochs,
                        sets.join(" ")
                    ))),
                }
            });
        }
        let first = all.first().cloned().unwrap_or_default();
        for (number, parameter) in space.0.iter().enumerate() {
            let bounds = match &parameter.values {
                Values::Choice(values) => values.clone(),
                Values::Real { .. } | Values::Int { .. } => [0.0, 1.0]
                    .map(|end| {
                        let place = vec![end; space.0.len()];
                        space.values(&place)[number].clone()
                    })
                    .to_vec(),
            };
            all.extend(bounds.into_iter().map(|value| {
                let mut values = first.clone();
                values[number] = value;
                values
            }));
        }
        all.iter().try_for_each(|values| {
            let train = self.train_args(&self.sets(values))?;
            TrainPlan::try_from(Box::new(train)).map(|_| ())
        })
    }

    fn sets(&self, values: &[String]) -> Vec<String> {
        let parameters = self.section.parameters.iter();
        parameters.zip(values).map(|(parameter, value)| format!("{}={value}", parameter.key)).collect()
    }

    /// The arguments of `train` with the file and `sets`.
    fn train_args(&self, sets: &[String]) -> Result<TrainArgs, Failure> {
        let mut words: Vec<OsString> = ["isograd", "train", "--config"].map(OsString::from).to_vec();
        words.push(self.file.clone().into());
        words.extend(sets.iter().flat_map(|set| ["--set".into(), set.into()]));
        match cli::parse(words)? {
            Parsed::Command(command) => match *command {
                Command::Train(train) => Ok(*train),
                other => unreachable!("{other:?}"),
            },
            Parsed::Text(text) => unreachable!("{text}"),
        }
    }

    /// The folder of a trial.
    pub(super) fn trial_folder(&self, trial: usize) -> PathBuf {
        self.folder.join("trials").join(format!("{trial:04}"))
    }

    /// The words of a job, without the name of the program. A trial without a checkpoint begins, and what an
    /// earlier try has left is removed.
    pub(super) fn words(
        &self,
        job: Job,
        values: &[String],
        host: Option<&str>,
        threads: Option<usize>,
    ) -> std::io::Result<Vec<OsString>> {
        let folder = self.trial_folder(job.trial);
        let mut words: Vec<OsString> = match (&self.hostfile, host) {
            (Some(file), Some(host)) => {
                let ranks = self.ranks.to_string();
                let mut words: Vec<OsString> = vec!["ssh".into(), "--hostfile".into(), file.into()];
                words.extend(self.login.iter().cloned());
                words.extend(["--include".into(), host.into(), "-n".into(), ranks.into()]);
                words
            }
            _ if self.ranks > 1 => {
                vec!["local".into(), "-n".into(), self.ranks.to_string().into(), "--bind=none".into()]
            }
            _ => Vec::new(),
        };
        let option = |name: &str, value: &Path| {
            let mut word = OsString::from(format!("--{name}="));
            word.push(value);
            word
        };
        let has_begun = folder.join(LAST).exists();
        // A workflow goes on by itself with what it finds in its folder.
        if self.workflow.is_none() && !has_begun && folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        if self.workflow.is_some() {
            words.extend(["run".into(), self.file.clone().into()]);
            words.extend(self.sets(values).iter().flat_map(|set| ["--set".into(), set.into()]));
            words.push(option("results", &folder.join(RESULTS)));
            if job.epochs < self.epochs {
                words.push(format!("--pause-after={}", job.epochs).into());
            }
            words.extend(threads.map(|threads| format!("--threads={threads}").into()));
            return Ok(words);
        }
        words.push("train".into());
        match has_begun {
            true => words.push(option("resume", &folder)),
            false => {
                words.push(option("config", &self.file));
                words.extend(self.sets(values).iter().flat_map(|set| ["--set".into(), set.into()]));
                words.push(option("checkpoint", &folder));
                let name = self.folder.file_name().unwrap_or_default().to_string_lossy();
                words.push(format!("--run-name={name}/{:04}", job.trial).into());
            }
        }
        if !self.options.iter().any(|word| word.starts_with("--keep")) {
            words.push("--keep=1".into());
        }
        if job.epochs < self.epochs {
            words.push(format!("--pause-after={}", job.epochs).into());
        }
        if self.has_rungs {
            words.push("--checkpoint-every=1epoch".into());
        }
        words.extend(threads.map(|threads| format!("--threads={threads}").into()));
        Ok(words)
    }

    /// The folder with the log of a trial: of a workflow, that of the training that ended last.
    pub(super) fn run_folder(&self, trial: usize) -> PathBuf {
        let folder = self.trial_folder(trial);
        if self.workflow.is_none() {
            return folder;
        }
        let results = folder.join(RESULTS);
        let runs = std::fs::read_dir(&results).into_iter().flatten().flatten().map(|run| run.path());
        let written = |run: &Path| run.join(RunLog::NAME).metadata().ok()?.modified().ok();
        let dated = runs.filter_map(|run| Some((written(&run)?, run)));
        dated.max().map_or(results, |(_, run)| run)
    }

    /// The last epoch of a job that counts; without rungs, a workflow alone knows how many it has.
    pub(super) fn last_epoch(&self, job: Job) -> u32 {
        if self.workflow.is_some() && !self.has_rungs { u32::MAX } else { job.epochs }
    }

    /// A file for `train --config` with these values; for a workflow, its command line.
    pub(super) fn best(&self, values: &[String]) -> Result<(&'static str, String), Failure> {
        let sets = self.sets(values);
        if self.workflow.is_some() {
            let quoted = |set: &String| format!(" --set {}", crate::system::quote::quote(set));
            let file = crate::system::quote::quote(&self.file.to_string_lossy());
            return Ok((
                "best.sh",
                format!("isograd run {file}{}\n", sets.iter().map(quoted).collect::<String>()),
            ));
        }
        let text = config::effective("train", &self.train_args(&sets)?.words)?;
        let head = format!("# The best trial of {}.\n\n", self.file.display());
        Ok(("best.toml", head + &text))
    }

    /// What must be the same for a sweep to go on, by name.
    pub(super) fn identity(&self, space: &Space, rules: &Rules) -> Map<String, Value> {
        let mut facts = Map::new();
        let mut fact = |name: &str, value: Value| facts.insert(name.to_string(), value);
        fact("file", json!(self.file.to_string_lossy()));
        match &self.workflow {
            Some(workflow) => {
                let digest = Sha256::digest(workflow.text());
                let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                fact("values of the file", json!(digest))
            }
            None => fact("options of the file", json!(self.options)),
        };
        fact("metric", json!(self.section.metric));
        fact("direction", json!(if self.section.is_max { "max" } else { "min" }));
        for parameter in &space.0 {
            let values = match &parameter.values {
                Values::Choice(values) => format!("choice [{}]", values.join(", ")),
                Values::Int { low, high } => format!("int [{low}, {high}]"),
                Values::Real { low, high, is_log, points } => {
                    let points = points.filter(|_| rules.search == SearchName::Grid);
                    let points = points.map_or_else(String::new, |points| format!(", {points}"));
                    format!("{} [{low:?}, {high:?}{points}]", if *is_log { "loguniform" } else { "uniform" })
                }
            };
            fact(&format!("values of {}", parameter.key), json!(values));
        }
        fact("--search", json!(rules.search.name()));
        if rules.search != SearchName::Grid {
            fact("--seed", json!(rules.seed));
        }
        if matches!(rules.search, SearchName::Asha | SearchName::Tpe) {
            fact("--ahead", json!(rules.ahead));
        }
        if rules.search == SearchName::Asha {
            fact("--eta", json!(rules.eta));
            fact("epochs of the rungs", json!(rules.rungs));
        }
        fact("--ranks", json!(self.ranks));
        facts
    }
}

fn usage(problem: String) -> Failure {
    Failure::Usage { problem, hint: None }
}
