//! Getter, splitter and processor: which samples there are, and what becomes of them.
//!
//! A data set travels as the options that name it. Samples are read by those who need them, at each rank.

use super::dataset;
use super::options::{Options, expected};
use super::words::{self, of_dataset};
use crate::cli::address;
use crate::cli::config::table::Given;
use crate::cli::plan::TrainPlan;
use crate::cli::source::Source;
use crate::cli::{AugmentArgs, Command, DataArgs, InputArgs, PrefetchArgs};
use crate::failure::Failure;
use crate::rank::remote_data::local;
use crate::system::names;
use crate::workflow::file::mistake;
use clap::Args;
use isograd_model::workflow::{Component, ComponentError, Port, Value, Values};
use serde_json::{Value as Json, json};
use std::path::Path;

/// The names of the options that `A` has.
fn keys_of<A: Args>() -> Vec<String> {
    let command = A::augment_args(clap::Command::new("options"));
    command.get_arguments().map(|option| option.get_id().to_string()).collect()
}

/// The words of the options `given`, each of which must be among `known`.
fn known_words(given: &[Given], known: &[String]) -> Result<Vec<String>, Failure> {
    for Given { key, origin, .. } in given {
        if !known.contains(&key.replace('-', "_")) {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            return Err(mistake(origin, &names::unknown("key", key, &known)));
        }
    }
    let (found, origins) = words::of_command("train", given)?;
    // Values are checked before anything runs.
    words::parse(&train(&found)).map_err(|failure| origins.explain(failure))?;
    Ok(found)
}

/// The command line of a training with these options.
fn train(options: &[String]) -> Vec<String> {
    std::iter::once("train".to_string()).chain(options.iter().cloned()).collect()
}

/// Opens a data set, and says what is in it.
pub(super) struct Getter {
    words: Vec<String>,
}

impl Getter {
    pub(super) fn new(options: Options) -> Result<Self, Failure> {
        Ok(Self { words: known_words(&options.given(), &keys_of::<DataArgs>())? })
    }

    fn source(&self) -> Result<Source, Failure> {
        match words::parse(&train(&self.words))? {
            Command::Train(args) => Ok(TrainPlan::try_from(args)?.source),
            other => unreachable!("{other:?} for a data set"),
        }
    }

    /// The values of the options, some of which are paths.
    fn values(&self) -> impl Iterator<Item = &str> {
        self.words.iter().filter_map(|word| word.split_once('=')).map(|(_, value)| value)
    }

    /// The state of the files that the options name.
    fn stamp(&self) -> Result<String, Failure> {
        let stamp = |path| Ok::<_, Failure>(words::stamp(&local(Path::new(path), "--dataset")?));
        Ok(self.values().map(stamp).collect::<Result<Vec<_>, Failure>>()?.join(" "))
    }
}

impl Component for Getter {
    fn inputs(&self) -> Vec<Port> {
        Vec::new()
    }

    fn outputs(&self) -> Vec<Port> {
        vec![Port::new("dataset", dataset())]
    }

    fn execute(&mut self, _: Values) -> Result<Values, ComponentError> {
        let samples = self.source()?.load()?;
        let counts = samples.each().map(|(name, set)| (name.to_string(), json!(set.len())));
        let counts: serde_json::Map<_, _> = counts.collect();
        let json = json!({ "options": self.words, "samples": counts, "files": self.stamp()? });
        Ok(Values::new().with("dataset", Value::named("dataset", json)))
    }

    fn fingerprint(&self) -> Option<String> {
        // Whether something at an address has changed, its server says when the step runs.
        if self.values().any(address::is_meant) {
            return None;
        }
        Some(format!("{} {:?} {}", words::program(), self.words, self.stamp().ok()?))
    }
}

/// What changes a data set: a data set goes in, and one with more options comes out.
pub(super) trait Change: Send {
    fn change(&self, set: &mut Json) -> Result<(), ComponentError>;

    /// A text that differs where the change does.
    fn key(&self) -> String;
}

/// A step that changes a data set.
pub(super) struct Changer<C>(pub(super) C);

impl<C: Change> Component for Changer<C> {
    fn inputs(&self) -> Vec<Port> {
        vec![Port::new("dataset", dataset())]
    }

    fn outputs(&self) -> Vec<Port> {
        vec![Port::new("dataset", dataset())]
    }

    fn execute(&mut self, inputs: Values) -> Result<Values, ComponentError> {
        let mut set = inputs.json("dataset")?.clone();
        self.0.change(&mut set)?;
        Ok(Values::new().with("dataset", Value::named("dataset", set)))
    }

    fn fingerprint(&self) -> Option<String> {
        Some(format!("{} {}", words::program(), self.0.key()))
    }
}

/// Splits samples off to validate on.
pub(super) struct Splitter {
    validation: f64,
    is_stratified: bool,
}

const OF_SPLITTER: [&str; 2] = ["validation", "stratified"];

impl Splitter {
    pub(super) fn new(mut options: Options) -> Result<Changer<Self>, Failure> {
        let validation = options.take("validation").ok_or_else(|| options.missing("validation"))?;
        let number = validation.json().as_f64().filter(|number| {
            (0.0..1.0).contains(number) || (*number >= 1.0 && number.fract() == 0.0 && *number < 4e9)
        });
        let what = "a share below 1, as 0.1, or a number of samples, as 5000";
        let number = number.ok_or_else(|| expected(&validation, "validation", what))?;
        let is_stratified = options.switch("stratified")?;
        options.end(&OF_SPLITTER)?;
        Ok(Changer(Self { validation: number, is_stratified }))
    }

    /// The share of the `samples` that validates.
    fn share(&self, samples: u64) -> Result<f64, ComponentError> {
        if self.validation < 1.0 {
            return Ok(self.validation);
        }
        if self.validation >= samples as f64 {
            return Err(format!(
                "validation: {} of {samples} samples leaves none to train on",
                self.validation
            )
            .into());
        }
        Ok(self.validation / samples as f64)
    }
}

impl Change for Splitter {
    fn change(&self, set: &mut Json) -> Result<(), ComponentError> {
        let samples = set.pointer("/samples/training").and_then(Json::as_u64).unwrap_or_default();
        let share = self.share(samples)?;
        add_option(set, format!("--validation-split={share:?}"))?;
        if self.is_stratified { add_option(set, "--stratify".to_string()) } else { Ok(()) }
    }

    fn key(&self) -> String {
        format!("{:?} {}", self.validation, self.is_stratified)
    }
}

/// What a processor may change although it is an option of the data set.
const OF_IMAGES: [&str; 2] = ["resize", "grey"];

/// Says what samples go through on their way to the network.
pub(super) struct Processor {
    words: Vec<String>,
}

impl Processor {
    pub(super) fn new(options: Options) -> Result<Changer<Self>, Failure> {
        let mut known =
            [keys_of::<InputArgs>(), keys_of::<AugmentArgs>(), keys_of::<PrefetchArgs>()].concat();
        known.extend(OF_IMAGES.map(str::to_string));
        Ok(Changer(Self { words: known_words(&options.given(), &known)? }))
    }
}

impl Change for Processor {
    fn change(&self, set: &mut Json) -> Result<(), ComponentError> {
        for word in &self.words {
            add_option(set, word.clone())?;
        }
        // Options that do not fit together are found before training.
        words::parse(&train(&of_dataset(set, "train")))?;
        Ok(())
    }

    fn key(&self) -> String {
        format!("{:?}", self.words)
    }
}

/// Adds an option to a data set, which must not have it.
fn add_option(set: &mut Json, word: String) -> Result<(), ComponentError> {
    let options = set.get_mut("options").and_then(Json::as_array_mut).ok_or("the data set has no options")?;
    let name = |word: &str| word.split('=').next().unwrap_or_default().to_string();
    if options.iter().filter_map(Json::as_str).any(|known| name(known) == name(&word)) {
        return Err(format!("the data set has {} already", name(&word)).into());
    }
    options.push(json!(word));
    Ok(())
}
