//! The settings of a run as a checkpoint keeps them: the options of its start, without those of ranks,
//! threads and files, which do not change its bits. What depends on the ranks or on the CPU of the start is
//! kept as the value that came of it.

use super::address;
use super::args::{Arguments, Command, ExecutionArgs, TrainArgs};
use super::config::{self, CommandOptions, Kind};
use super::conv_plan::ConvArgs;
use super::dtype::Dtype;
use super::parsers::DatasetName;
use super::plan::{Execution, TrainPlan};
use crate::failure::Failure;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use isograd_kernels::conv::Precision;
use isograd_model::file::Tuning;
use isograd_model::layer::ConvPath;
use isograd_model::{RunFolder, RunInfo, TestTime};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The name of the note of a checkpoint with its settings.
pub(crate) const SETTINGS: &str = "settings";

/// How to start from a checkpoint what is not the same run.
pub(crate) const NEW_RUN: &str =
    "--load FOLDER/last/model.safetensors starts a new run from the parameters of a checkpoint";

/// Options of one process: they change no bit of a run, and a checkpoint does not keep them.
const OF_A_PROCESS: [&str; 20] = [
    "threads",
    "key-file",
    "transport",
    "timeout",
    "encrypt",
    "host-name",
    "shared-memory",
    "shards-per-rank",
    "bucket-bytes",
    "no-overlap",
    "parallel",
    "recompute",
    "threads-per-shard",
    "resume",
    "checkpoint",
    "pause-after",
    "profile",
    "profile-out",
    "trace",
    "trace-bytes",
];
/// Other options that change no bit of a run, or that are checked where it goes on: they may differ.
const FREE: [&str; 20] = [
    "prefetch",
    "prefetch-threads",
    "dataset-test-path",
    "checkpoint-every",
    "checkpoint-metric",
    "keep",
    "epochs",
    "steps",
    "save",
    "history",
    "dataset-train-path",
    "hash",
    "log",
    "tensorboard",
    "mlflow",
    "experiment",
    "parent-run",
    "run-name",
    "log-every",
    "log-ranks",
];
/// Options that belong to the start of a run alone.
const OF_THE_START: [&str; 2] = ["load", "evaluate"];
/// Options of which a checkpoint keeps what came of them.
const EFFECTIVE: [&str; 7] =
    ["epochs", "steps", "batch-size", "global-batch-size", "scale-learning-rate", "isa", "warm-up-factor"];

/// Options, and the folder that their relative paths start from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SavedSettings {
    pub(crate) words: Vec<String>,
    pub(crate) folder: PathBuf,
}

impl SavedSettings {
    /// Those of the run `plan` of `world` ranks, which was started with `words`, and has `samples` training
    /// samples.
    pub(crate) fn new(plan: &TrainPlan, world: usize, samples: usize) -> Result<Self, Failure> {
        let matches = train_matches(&plan.words)?;
        let scaled = plan.scale_learning_rate;
        let options = CommandOptions::of("train").expect("a command that takes configurations");
        let is_switch =
            |name: &str| options.find(name).is_some_and(|option| Kind::of(option) == Kind::Switch);
        let mut words = Vec::new();
        for (name, values) in given(&matches) {
            let name = name.as_str();
            let is_kept =
                [&OF_A_PROCESS[..], &OF_THE_START, &EFFECTIVE].iter().all(|names| !names.contains(&name));
            if is_kept && !(scaled && name == "learning-rate") {
                words.extend(values.into_iter().map(|value| match is_switch(name) {
                    true => Some(format!("--{name}")),
                    false => Some(format!("--{name}={}", value.to_str()?)),
                }));
            }
        }
        let Execution { isa, .. } = plan.execution;
        words.extend(precision_of_type(plan)?.map(Some));
        // They may be those of a resume.
        words.push(Some(format!("--epochs={}", plan.epochs)));
        words.extend(plan.steps.map(|steps| Some(format!("--steps={steps}"))));
        words.push(Some(format!("--isa={isa}")));
        words.push(Some(format!("--global-batch-size={}", plan.global_batch_size(samples, world))));
        if scaled {
            words.push(Some(format!("--learning-rate={:?}", plan.learning_rate * world as f64)));
        }
        let factor = plan.schedule.effective_warm_up_factor(plan.warm_up_factor(world));
        words.extend(factor.map(|factor| Some(format!("--warm-up-factor={factor:?}"))));
        let words = words.into_iter().collect::<Option<Vec<String>>>();
        let words = words.ok_or_else(|| Failure::Usage {
            problem: "--checkpoint: the names of files in a checkpoint's settings must be UTF-8".to_string(),
            hint: None,
        })?;
        Ok(Self { words, folder: std::env::current_dir().unwrap_or_default() })
    }

    /// The options of the run `plan` by which its network is used and tested: what is not the default, in one
    /// spelling, so that equal parameters give equal files.
    pub(crate) fn of_use(plan: &TrainPlan) -> Result<Self, Failure> {
        let ExecutionArgs { dtype, conv, .. } = arguments(&train_matches(&plan.words)?)?.execution;
        let ConvArgs { conv, conv_precision, tuned } = dtype.conv(conv, plan.execution.isa);
        let path = conv.filter(|path| *path != ConvPath::default());
        let precision = conv_precision.filter(|precision| *precision != Precision::default());
        let words = [
            (dtype != Dtype::F32).then(|| format!("--dtype={dtype}")),
            path.map(|path| format!("--conv={path}")),
            precision.map(precision_word),
            tuned.map(|tuning| format!("--tuned={}", tuning.to_toml())),
            (plan.test_time != TestTime::Plain).then(|| format!("--tta={}", plan.test_time)),
            Some(format!("--loss={}", plan.loss)),
        ];
        Ok(Self { words: words.into_iter().flatten().collect(), folder: PathBuf::new() })
    }

    /// What `info` tells of the options of a training: all of a run, or those of use with saved parameters.
    /// Those of another version may not be known.
    pub(crate) fn told_of_use(info: &RunInfo) -> Option<TrainArgs> {
        let text = info.notes.get(SETTINGS).or(info.notes_of_use.get(SETTINGS))?;
        Self::parse(text).train_args().ok()
    }

    /// Takes the options of a training out of `info`.
    pub(crate) fn forget(info: &mut RunInfo) {
        info.notes.remove(SETTINGS);
        info.notes_of_use.remove(SETTINGS);
    }

    /// The arguments of the run.
    pub(crate) fn train_args(&self) -> Result<TrainArgs, Failure> {
        let words: Vec<OsString> = self.words.iter().map(OsString::from).collect();
        let mut args = arguments(&train_matches(&words)?)?;
        self.find_paths(&mut args);
        Ok(args)
    }

    /// The arguments of a run that goes on with these settings, where `given` were given beside `--resume`.
    pub(crate) fn merge(&self, given_args: TrainArgs) -> Result<TrainArgs, Failure> {
        let saved_words: Vec<OsString> = self.words.iter().map(OsString::from).collect();
        let matches = train_matches(&saved_words)?;
        let given_matches = train_matches(&given_args.words)?;
        let mut args = arguments(&matches)?;
        for (name, values) in given(&given_matches) {
            if OF_A_PROCESS.contains(&name.as_str()) || FREE.contains(&name.as_str()) {
                continue;
            }
            let saved = raw(&matches, &name);
            let choices = |args: &TrainArgs| args.execution.conv.tuned.as_ref().map(Tuning::digest);
            let path = |args: &TrainArgs| args.execution.conv.conv.unwrap_or_default();
            let precision = |args: &TrainArgs| args.execution.conv.conv_precision.unwrap_or_default();
            let is_equal = match name.as_str() {
                "tuned" => choices(&args) == choices(&given_args),
                "conv" => choices(&args).is_none() && path(&args) == path(&given_args),
                "conv-precision" => precision(&args) == precision(&given_args),
                "dtype" => args.execution.dtype == given_args.execution.dtype,
                "evaluate" => true,
                "dataset" => saved.as_deref().map(shown) == Some(shown(&values)),
                _ => saved.as_ref() == Some(&values),
            };
            if !is_equal {
                let show = |values: &[&OsStr]| match name.as_str() {
                    "tuned" => "choices".to_string(),
                    _ => shown(values),
                };
                let was =
                    saved.map_or_else(|| "without it".to_string(), |saved| format!("with {}", show(&saved)));
                return Err(Failure::Usage {
                    problem: format!(
                        "--{name} {}: the run was started {was}, and another value would change its bits",
                        show(&values)
                    ),
                    hint: Some(NEW_RUN.to_string()),
                });
            }
        }
        self.find_paths(&mut args);
        let is_given = |name: &str| given(&given_matches).iter().any(|(given, _)| given == name);
        args.ranks = given_args.ranks;
        args.profile = given_args.profile;
        args.execution.threads = given_args.execution.threads;
        args.recompute = given_args.recompute;
        args.threads_per_shard = given_args.threads_per_shard;
        if is_given("epochs") {
            let (before, now) = (args.training.epochs, given_args.training.epochs);
            if now < before {
                let problem =
                    format!("--epochs {now}: the run was started with {before}, it can only have more");
                return Err(Failure::Usage { problem, hint: None });
            }
            args.training.epochs = now;
        }
        if is_given("steps") {
            args.training.steps = given_args.training.steps;
        }
        args.output.save = given_args.output.save.or(args.output.save);
        args.output.history = given_args.output.history.or(args.output.history);
        args.output.hash |= given_args.output.hash;
        args.logging.prefer(given_args.logging);
        args.output.evaluate = given_args.output.evaluate;
        args.output.load = None;
        args.data.dataset_train_path = given_args.data.dataset_train_path.or(args.data.dataset_train_path);
        args.data.dataset_test_path = given_args.data.dataset_test_path.or(args.data.dataset_test_path);
        // The same address may have another signature.
        if let Some(DatasetName::Path(path)) = &given_args.data.dataset
            && path.to_str().is_some_and(address::is_meant)
        {
            args.data.dataset = given_args.data.dataset;
        }
        if is_given("prefetch") {
            args.prefetch = given_args.prefetch;
        }
        let (checkpoints, given) = (&mut args.checkpoints, given_args.checkpoints);
        checkpoints.checkpoint = given.checkpoint.or_else(|| given.resume.as_deref().map(RunFolder::of));
        checkpoints.checkpoint_every = given.checkpoint_every.or(checkpoints.checkpoint_every);
        checkpoints.checkpoint_metric = given.checkpoint_metric.or(checkpoints.checkpoint_metric.take());
        checkpoints.keep = given.keep.or(checkpoints.keep);
        checkpoints.resume = given.resume;
        checkpoints.pause_after = given.pause_after;
        args.words = saved_words;
        Ok(args)
    }

    /// Relative paths start from the folder of the start, where they lead nowhere from this one.
    fn find_paths(&self, args: &mut TrainArgs) {
        let is_elsewhere = std::env::current_dir().is_ok_and(|folder| folder != self.folder);
        let find = |path: &mut PathBuf| {
            let is_file = !path.to_str().is_some_and(address::is_meant);
            if is_elsewhere && is_file && path.is_relative() && !path.exists() {
                *path = self.folder.join(&path);
            }
        };
        if let super::network_plan::ModelName::File(path) = &mut args.network.model {
            find(path);
        }
        if let Some(DatasetName::Path(path)) = &mut args.data.dataset {
            find(path);
        }
        args.data.dataset_train_path.iter_mut().for_each(find);
        args.data.dataset_test_path.iter_mut().for_each(find);
        args.output.save.iter_mut().for_each(find);
        args.output.history.iter_mut().for_each(|history| find(&mut history.path));
        args.logging.paths().for_each(find);
    }

    /// As a configuration file, from which a new run on any number of ranks starts as this one did. `started`
    /// are the options of its start.
    pub(crate) fn to_toml(&self, started: &[OsString]) -> Result<String, Failure> {
        let matches = train_matches(started)?;
        let mut words: Vec<OsString> = self.words.iter().map(OsString::from).collect();
        for (name, values) in
            given(&matches).into_iter().filter(|(name, _)| OF_THE_START.contains(&name.as_str()))
        {
            words.extend(values.into_iter().map(|value| {
                let mut word = OsString::from(format!("--{name}"));
                if name != "evaluate" {
                    word.push("=");
                    word.push(value);
                }
                word
            }));
        }
        let version = env!("CARGO_PKG_VERSION");
        // A folder's name may have several lines.
        let folder = self.folder.to_string_lossy().replace(char::is_control, "?");
        let head = format!(
            "# The options of this run, by isograd {version}. Relative paths start from {folder}\n\
             # isograd train --config THIS_FILE --checkpoint ANOTHER_FOLDER starts an equal one, on any number of ranks.\n\n"
        );
        Ok(head + &config::effective("train", &words)?)
    }

    /// As a text, for the notes of a checkpoint: the folder, then a word a line, with what would end a line
    /// escaped.
    pub(crate) fn text(&self) -> String {
        let escape = |text: &str| text.replace('\\', "\\\\").replace('\n', "\\n");
        let folder = self.folder.to_string_lossy();
        let lines = std::iter::once(folder.as_ref()).chain(self.words.iter().map(String::as_str));
        lines.map(escape).collect::<Vec<_>>().join("\n")
    }

    /// Reads a [`text`](Self::text).
    pub(crate) fn parse(text: &str) -> Self {
        let unescape = |line: &str| {
            let (mut plain, mut chars) = (String::new(), line.chars());
            while let Some(c) = chars.next() {
                plain.push(match c {
                    '\\' => match chars.next() {
                        Some('n') => '\n',
                        other => other.unwrap_or('\\'),
                    },
                    c => c,
                });
            }
            plain
        };
        let mut lines = text.split('\n').map(unescape);
        let folder = PathBuf::from(lines.next().unwrap_or_default());
        Self { folder, words: lines.collect() }
    }
}

/// What the options `words` of `train` mean to clap.
fn train_matches(words: &[OsString]) -> Result<ArgMatches, Failure> {
    let all = [OsString::from("isograd"), OsString::from("train")].into_iter().chain(words.iter().cloned());
    let all: Vec<OsString> = all.collect();
    Arguments::command().try_get_matches_from(&all).map_err(|error| super::clap_error::failure(&error, &all))
}

fn arguments(matches: &ArgMatches) -> Result<TrainArgs, Failure> {
    match Arguments::from_arg_matches(matches) {
        Ok(Arguments { command: Command::Train(args) }) => Ok(*args),
        Ok(_) => unreachable!("the command was train"),
        Err(error) => Err(super::clap_error::failure(&error, &[])),
    }
}

/// The options of `train` that were given, by their long names, with their values.
fn given(matches: &ArgMatches) -> Vec<(String, Vec<&OsStr>)> {
    let matches = matches.subcommand_matches("train").expect("the command was train");
    // Ids are the names of fields, or, of groups, those of types.
    let ids =
        matches.ids().map(clap::Id::as_str).filter(|id| id.starts_with(|c: char| c.is_ascii_lowercase()));
    ids.filter(|id| matches.value_source(id) == Some(ValueSource::CommandLine))
        .map(|id| (id.replace('_', "-"), matches.get_raw(id).into_iter().flatten().collect()))
        .collect()
}

/// The precision of the factors of convolutions as a word, where it came of the type of values: on another
/// machine, it might be another one.
fn precision_of_type(plan: &TrainPlan) -> Result<Option<String>, Failure> {
    let ExecutionArgs { dtype, conv, .. } = arguments(&train_matches(&plan.words)?)?.execution;
    let is_given = conv.conv_precision.is_some();
    let precision = dtype.conv(conv, plan.execution.isa).conv_precision.filter(|_| !is_given);
    Ok(precision.map(precision_word))
}

/// Values as they may be shown: addresses without what may be secret in them.
fn shown(values: &[&OsStr]) -> String {
    values.iter().map(|value| address::shown(Path::new(value))).collect::<Vec<_>>().join(",")
}

fn precision_word(precision: Precision) -> String {
    format!("--conv-precision={}", if precision == Precision::Bfloat16 { "bfloat16" } else { "full" })
}

/// The values of the option `name`, given or by default.
fn raw<'a>(matches: &'a ArgMatches, name: &str) -> Option<Vec<&'a OsStr>> {
    let matches = matches.subcommand_matches("train").expect("the command was train");
    Some(matches.get_raw(&name.replace('-', "_"))?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::metric_plan::TargetKind;
    use crate::cli::{Parsed, parse};

    fn args(options: &str) -> Result<TrainArgs, String> {
        let words = ["isograd", "train"].into_iter().chain(options.split_whitespace()).map(OsString::from);
        match parse(words) {
            Ok(Parsed::Command(command)) => match *command {
                Command::Train(args) => Ok(*args),
                other => panic!("{other:?}"),
            },
            Ok(Parsed::Text(text)) => Err(text),
            Err(failure) => Err(failure.to_string()),
        }
    }

    fn saved(options: &str, world: usize) -> SavedSettings {
        let plan = TrainPlan::try_from(Box::new(args(options).unwrap())).unwrap();
        SavedSettings::new(&plan, world, 1000).unwrap()
    }

    #[test]
    fn what_depends_on_ranks_is_kept_as_what_came_of_it() {
        let settings = saved(
            "--dataset synthetic --batch_size 20 --threads 3 --learning-rate 0.1 --scale-learning-rate --nesterov \
             --optimizer sgd --warm-up-epochs 2 --metrics acc,mse --transport tcp --isa portable --sync-stats --recompute --threads-per-shard 2 --load x --evaluate",
            4,
        );
        let mut words = settings.words.clone();
        words.sort();
        let expected = [
            "--dataset=synthetic",
            "--epochs=10",
            "--global-batch-size=80",
            "--isa=portable",
            "--learning-rate=0.4",
            "--metrics=acc",
            "--metrics=mse",
            "--nesterov",
            "--optimizer=sgd",
            "--sync-stats",
            "--warm-up-epochs=2",
            "--warm-up-factor=0.25",
        ];
        assert_eq!(words, expected);
        // One rank has the configuration of the four.
        let four =
            TrainPlan::try_from(Box::new(args("--dataset synthetic --batch-size 20").unwrap())).unwrap();
        let merged = settings.merge(args("--resume runs/a --threads 2").unwrap()).unwrap();
        assert_eq!(merged.execution.threads, Some(2));
        let one = TrainPlan::try_from(Box::new(merged)).unwrap();
        assert_eq!(
            one.config::<f32>(1000, TargetKind::Classes, 1).batch_size,
            four.config::<f32>(1000, TargetKind::Classes, 4).batch_size
        );
        assert_eq!(one.config::<f32>(1000, TargetKind::Classes, 1).learning_rate, 0.4);
        assert!(one.load.is_none() && !one.evaluate_before);
        // Saved again, they are the same.
        let mut again = SavedSettings::new(&one, 1, 1000).unwrap().words;
        again.sort();
        assert_eq!(again, expected);
        assert_eq!(SavedSettings::parse(&settings.text()), settings);
        let odd = SavedSettings { words: vec!["--save=a\nb\\n".to_string()], folder: PathBuf::from("/x y") };
        assert_eq!(SavedSettings::parse(&odd.text()), odd);
    }

    #[test]
    fn options_that_would_change_bits_are_refused_by_name() {
        let settings = saved("--dataset synthetic --seed 7 --epochs 5", 1);
        let merge = |options: &str| settings.merge(args(&format!("--resume runs/a {options}")).unwrap());
        let harmless = [
            "",
            "--seed 7",
            "--epochs 9 --steps 4",
            "--hash --save x.st --keep 1 --timeout 3",
            "--conv auto --conv-precision full",
        ];
        for options in harmless {
            merge(options).unwrap_or_else(|failure| panic!("{options}: {failure}"));
        }
        assert_eq!(merge("").unwrap().training.epochs, 5);
        for (options, expected) in [
            ("--seed 8", "--seed 8: the run was started with 7, and another value would change its bits"),
            ("--batch-size 10", "--batch-size 10: the run was started without it, and another value"),
            ("--optimizer sgd", "--optimizer sgd: the run was started with adam, and"),
            ("--conv direct", "--conv direct: the run was started without it, and another value"),
            ("--early-stopping", "--early-stopping true: the run was started with false, and"),
            ("--sync-stats", "--sync-stats true: the run was started with false, and"),
            ("--epochs 4", "--epochs 4: the run was started with 5, it can only have more"),
        ] {
            let error = merge(options).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{options}: {error}");
        }
    }
}
