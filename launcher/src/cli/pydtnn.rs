//! The command line of PyDTNN, which this program supersedes: its options under their own names, as options
//! of this program.
//!
//! Options that mean the same here are options of this program anyway, some under a second name. The rest is
//! in [`OPTIONS`]: each is put into our words, said to change nothing, or refused with a reason.

use super::config::CommandOptions;
use super::parsers;
use crate::failure::Failure;
use std::ffi::OsString;

/// What becomes of an option of PyDTNN.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    /// This option.
    Is(&'static str),
    /// A switch: these words if it is on, those if it is off.
    Switch(&'static [&'static str], &'static [&'static str]),
    /// It changes nothing here, for this reason.
    Nothing(&'static str),
    /// A switch that must be off, for this reason.
    Off(&'static str),
    /// There is no such thing here, for this reason.
    Refused(&'static str),
    /// The first loss of the list is the loss, the others are metrics.
    LossFunc,
    /// Callbacks, among them one that needs a folder and one that needs a number.
    Schedulers,
    /// The learning rate grows with the ranks for one optimizer alone.
    RateScaling,
    /// A data set whose name means a format here.
    Dataset,
    /// Another data set.
    Synthetic,
    /// Another command.
    EvaluateOnly,
    /// A trace, for which the two options are one here.
    Tracing,
    TracerOutput,
}

use Meaning::{Is, Nothing, Off, Refused, Switch};

const NO_GPU: &str =
    "this program computes on CPUs; --threads N and 'isograd local -n N' use all of their cores";
const FUSED: &str = "layers are always fused where they can be";
const BY_SHAPE: &str = "the convolution is chosen by its shape";
const MODEL: &str = "times are measured here, not modelled ('isograd bench comm' measures the network)";
const SPARSE: &str = "gradients are added up in full, so that the result does not depend on the ranks; \
                      --bucket-bytes and --accumulate make the exchange cheaper";
const POWER: &str = "power meters are not read";

/// The options of PyDTNN that are no options of this program.
const OPTIONS: [(&str, Meaning); 49] = [
    ("evaluate-only", Meaning::EvaluateOnly),
    ("weights-and-bias-filename", Is("load")),
    ("history-file", Is("history")),
    ("shared-storage", Nothing("rank 0 alone reads and writes files of parameters")),
    ("enable-fused-bn-relu", Nothing(FUSED)),
    ("enable-fused-conv-relu", Nothing(FUSED)),
    ("enable-fused-conv-bn", Nothing(FUSED)),
    ("enable-fused-conv-bn-relu", Nothing(FUSED)),
    ("tensor-format", Nothing("samples are innermost in memory, for any network")),
    (
        "enable-best-of",
        Nothing(
            "algorithms are chosen by shape, never by a time that could change the bits; tune measures them",
        ),
    ),
    ("dataset", Meaning::Dataset),
    ("use-synthetic-data", Meaning::Synthetic),
    ("learning-rate-scaling", Meaning::RateScaling),
    ("loss-func", Meaning::LossFunc),
    ("lr-schedulers", Meaning::Schedulers),
    ("enable-conv-gemm", Nothing(BY_SHAPE)),
    ("enable-memory-cache", Nothing("all memory is planned before the first step")),
    ("enable-conv-winograd", Nothing(BY_SHAPE)),
    ("mpi-processes", Nothing("mpirun -np N, or isograd local -n N, says how many ranks there are")),
    ("threads-per-process", Is("threads")),
    ("non-blocking-mpi", Switch(&[], &["--no-overlap"])),
    ("blocking-mpi", Switch(&["--no-overlap"], &[])),
    ("gpus-per-node", Nothing(NO_GPU)),
    ("enable-gpu", Off(NO_GPU)),
    ("enable-gpudirect", Off(NO_GPU)),
    ("enable-nccl", Off(NO_GPU)),
    ("enable-cudnn-auto-conv-alg", Nothing(NO_GPU)),
    ("tracing", Meaning::Tracing),
    ("tracer-output", Meaning::TracerOutput),
    ("cpu-speed", Nothing(MODEL)),
    ("memory-bw", Nothing(MODEL)),
    ("network-bw", Nothing(MODEL)),
    ("network-lat", Nothing(MODEL)),
    ("network-alg", Nothing(MODEL)),
    ("tau", Refused(SPARSE)),
    ("tau-prime", Refused(SPARSE)),
    ("density", Refused(SPARSE)),
    ("enable-conv-i2c", Nothing(BY_SHAPE)),
    ("enable-conv-direct", Nothing(BY_SHAPE)),
    ("conv-direct-method", Nothing(BY_SHAPE)),
    ("conv-direct-methods-for-best-of", Nothing(BY_SHAPE)),
    ("tracer-pmlib-server", Refused(POWER)),
    ("tracer-pmlib-port", Refused(POWER)),
    ("tracer-pmlib-device", Refused(POWER)),
    ("model-checkpoint-save-freq", Is("checkpoint-every")),
    ("stop-at-loss-threshold", Is("stop-at-loss")),
    ("reduce-lr-every-nepochs-nepochs", Is("reduce-lr-every")),
    ("reduce-lr-every-nepochs-factor", Is("reduce-lr-every-factor")),
    ("reduce-lr-every-nepochs-min-lr", Is("reduce-lr-every-min-lr")),
];

/// A command line in this program's own words.
#[derive(Debug)]
pub(super) struct Translated {
    /// The command and its options.
    pub(super) words: Vec<OsString>,
    /// What was given and changes nothing, a line each.
    pub(super) notes: Vec<String>,
}

/// Translates the options of `train` among `words`, which begin with the command.
pub(super) fn translate(options: &CommandOptions, words: &[OsString]) -> Result<Translated, Failure> {
    let mut translation = Translation {
        options,
        words: Vec::new(),
        notes: Vec::new(),
        given: given(words),
        is_test: false,
        dropped: Vec::new(),
    };
    let mut rest = words.iter().skip(1).peekable();
    while let Some(word) = rest.next() {
        let text = word.to_str().and_then(|word| word.strip_prefix("--")).unwrap_or_default();
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let Some((_, meaning)) = OPTIONS.iter().find(|(known, _)| *known == name) else {
            translation.words.push(word.clone());
            continue;
        };
        let is_in_word = value.is_some();
        let value = match value {
            Some(value) => Some(value.to_string()),
            None => rest
                .next_if(|next| !next.to_string_lossy().starts_with("--"))
                .map(|next| next.to_string_lossy().into_owned()),
        };
        // What is meant here as well stays as it is written.
        if matches!(meaning, Meaning::Dataset) && translation.keeps_dataset(value.as_deref()) {
            translation.words.push(word.clone());
            translation.words.extend(value.filter(|_| !is_in_word).map(OsString::from));
            continue;
        }
        translation.add(name, *meaning, value)?;
    }
    let Translation { words: translated, notes, is_test, dropped, .. } = translation;
    let mut translated = only(translated, |name| !dropped.contains(&name));
    let mut command = words.first().cloned().unwrap_or_default();
    if is_test {
        command = "evaluate".into();
        let evaluate = CommandOptions::of("evaluate").expect("a command that takes configurations");
        // The others are of training alone.
        let is_source = |name: &str| ["config", "set", "recipe", "print-config", "help"].contains(&name);
        translated = only(translated, |name| is_source(name) || evaluate.find(name).is_some());
    }
    translated.insert(0, command);
    Ok(Translated { words: translated, notes })
}

/// The names of all options among `words`, with their values where these are in the same word.
fn given(words: &[OsString]) -> Vec<(String, Option<String>)> {
    let mut given = Vec::new();
    let mut words = words.iter().filter_map(|word| word.to_str()).peekable();
    while let Some(word) = words.next() {
        let Some(text) = word.strip_prefix("--") else { continue };
        given.push(match text.split_once('=') {
            Some((name, value)) => (name.to_string(), Some(value.to_string())),
            None => (text.to_string(), words.next_if(|next| !next.starts_with("--")).map(str::to_string)),
        });
    }
    given
}

struct Translation<'o> {
    options: &'o CommandOptions,
    words: Vec<OsString>,
    notes: Vec<String>,
    given: Vec<(String, Option<String>)>,
    is_test: bool,
    /// Options that another one has taken the place of.
    dropped: Vec<&'static str>,
}

impl Translation<'_> {
    fn add(&mut self, name: &str, meaning: Meaning, value: Option<String>) -> Result<(), Failure> {
        let shown = format!("--{}", name.replace('-', "_"));
        let shown_value = value.as_ref().map_or_else(|| shown.clone(), |value| format!("{shown}={value}"));
        let refused =
            |reason: &str| Err(Failure::Usage { problem: format!("{shown_value}: {reason}"), hint: None });
        let is_on = || match value.as_deref() {
            None => Ok(true),
            Some(value) => parsers::switch(value)
                .map_err(|problem| Failure::Usage { problem: format!("{shown}: {problem}"), hint: None }),
        };
        let needed = || {
            value
                .clone()
                .ok_or_else(|| Failure::Usage { problem: format!("{shown} needs a value"), hint: None })
        };
        match meaning {
            Is(option) => self.push(option, &needed()?),
            Switch(on, off) => {
                let words = if is_on()? { on } else { off };
                self.words.extend(words.iter().map(OsString::from));
            }
            Nothing(reason) => self.notes.push(format!("{shown_value} changes nothing: {reason}")),
            Off(reason) if is_on()? => return refused(reason),
            Off(_) => (),
            Refused(reason) => return refused(reason),
            Meaning::LossFunc => self.loss(&needed()?)?,
            Meaning::Schedulers => self.schedulers(&needed()?),
            Meaning::RateScaling => {
                let is_sgd = self.value("optimizer").is_none_or(|name| name.eq_ignore_ascii_case("sgd"));
                match is_on()? {
                    true if is_sgd && self.value("optimizer").is_some() => self.words.push("--scale-learning-rate".into()),
                    true => self.notes.push(format!("{shown_value} changes nothing: PyDTNN scales the rate of --optimizer=sgd alone; --scale-learning-rate does it for any")),
                    false => (),
                }
            }
            Meaning::Dataset if value.as_deref() == Some("imagenet") => {
                match self.value("dataset-train-path") {
                    Some(path) => {
                        let path = path.to_string();
                        self.push("dataset", &path);
                        self.dropped.push("dataset-train-path");
                    }
                    None => {
                        return refused(
                            "it has no files here: --dataset_train_path=FOLDER, or --dataset FOLDER, says where they are",
                        );
                    }
                }
            }
            // Without files, --use_synthetic_data names the set.
            Meaning::Dataset => (),
            Meaning::Synthetic => {
                if is_on()? {
                    self.push("dataset", "synthetic");
                    // Samples that are made are in no files.
                    self.dropped.extend(["dataset-train-path", "dataset-test-path"]);
                }
            }
            Meaning::EvaluateOnly => self.is_test |= is_on()?,
            Meaning::Tracing => {
                if is_on()? && self.value("tracer-output").is_none_or(str::is_empty) {
                    self.trace(&shown, "trace.json")?;
                }
            }
            Meaning::TracerOutput => {
                let is_on = self.value("tracing").is_none_or(|value| parsers::switch(value) != Ok(false));
                let path = needed()?;
                let is_traced = self.given.iter().any(|(name, _)| name == "tracing") && is_on;
                match path.is_empty() {
                    false if is_traced => self.trace(&shown, &path)?,
                    false => self.notes.push(format!("{shown_value} changes nothing without --tracing")),
                    true => (),
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, option: &str, value: &str) {
        self.words.push(format!("--{option}={value}").into());
    }

    /// The value of an option of the whole command line.
    fn value(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(given, _)| given == name)?.1.as_deref()
    }

    /// Whether `--dataset` means the same here.
    fn keeps_dataset(&self, value: Option<&str>) -> bool {
        value != Some("imagenet") && !self.is_synthetic()
    }

    fn is_synthetic(&self) -> bool {
        let given = self.given.iter().find(|(name, _)| name == "use-synthetic-data");
        given
            .is_some_and(|(_, value)| value.as_deref().is_none_or(|value| parsers::switch(value) == Ok(true)))
    }

    fn trace(&mut self, shown: &str, path: &str) -> Result<(), Failure> {
        if self.options.find("trace").is_none() {
            let problem = format!("{shown}: this program writes no traces");
            return Err(Failure::Usage { problem, hint: None });
        }
        self.push("trace", path);
        Ok(())
    }

    /// In PyDTNN's list, losses and metrics stand side by side. A name that is both is a metric, unless there
    /// is no other loss.
    fn loss(&mut self, list: &str) -> Result<(), Failure> {
        let mut names: Vec<&str> = list.split(',').filter(|name| !name.is_empty()).collect();
        let is_loss = |name: &&str| parsers::loss(name).is_ok();
        let place = names.iter().position(|name| is_loss(name) && parsers::metric(name).is_err());
        let Some(place) = place.or_else(|| names.iter().position(is_loss)) else {
            // The parser of --loss knows the nearest name.
            if let [name] = names[..]
                && parsers::metric(name).is_err()
            {
                self.push("loss", name);
                return Ok(());
            }
            let problem = format!("--loss_func={list}: none of these is a loss");
            return Err(Failure::Usage { problem, hint: None });
        };
        let loss = names.remove(place);
        self.push("loss", loss);
        if !names.is_empty() {
            self.push("metrics", &names.join(","));
        }
        Ok(())
    }

    fn schedulers(&mut self, names: &str) {
        let mut kept = Vec::new();
        for name in names.split(',').filter(|name| !name.is_empty()) {
            let name = name.replace('_', "-");
            // These have a number, which is an option of its own and turns them on.
            let numbers: &[&str] = match name.as_str() {
                "stop-at-loss" => &["stop-at-loss-threshold", "stop-at-loss"],
                "warm-up" => &["warm-up-epochs"],
                _ => &[],
            };
            if numbers.iter().all(|number| self.value(number).is_none()) {
                kept.push(name);
            }
        }
        let folders = ["checkpoint", "model-checkpoint", "resume"];
        let has_folder = folders.iter().any(|name| self.value(name).is_some());
        if kept.iter().any(|name| name == "model-checkpoint") && !has_folder {
            let folder = format!("model-{}", self.value("model").unwrap_or("simplecnn"));
            self.notes.push(format!(
                "model_checkpoint writes to the folder {folder}; --checkpoint FOLDER names another one"
            ));
            self.push("checkpoint", &folder);
        }
        if !kept.is_empty() {
            self.push("callbacks", &kept.join(","));
        }
    }
}

/// Those of `words` that are options for which `is_kept` holds, with their values.
fn only(words: Vec<OsString>, is_kept: impl Fn(&str) -> bool) -> Vec<OsString> {
    let mut is_of_kept = true;
    let keep = |word: &OsString| {
        if let Some(name) = word.to_str().and_then(|word| word.strip_prefix("--")) {
            is_of_kept = is_kept(name.split('=').next().unwrap_or_default());
        }
        is_of_kept
    };
    words.into_iter().filter(keep).collect()
}

#[cfg(test)]
#[path = "pydtnn_tests.rs"]
mod tests;
