//! The trainer: `isograd train` on all ranks, with a run folder of its own.

use super::options::Options;
use super::words::{self, of_dataset};
use super::{Pause, Surroundings, dataset, model};
use crate::cli::Command;
use crate::cli::plan::TrainPlan;
use crate::failure::Failure;
use crate::workflow::lock;
use isograd_model::logger::LoggedRun;
use isograd_model::workflow::{Component, ComponentError, Port, Value, Values};
use isograd_model::{RunFolder, SavedNetwork};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// Trains a network.
pub(super) struct Trainer {
    step: String,
    words: Vec<String>,
    around: Surroundings,
}

/// Options by which a run goes on or ends early, which are no training of a workflow.
const REFUSED: [&str; 3] = ["resume", "find_lr", "pause_after"];
/// The option by which a training has a run folder of its own, which is not gone on with.
const OWN_FOLDER: &str = "--checkpoint=";

/// The command line of a training without its data set, and its plan.
fn planned(options: Options) -> Result<(Vec<String>, TrainPlan), Failure> {
    let given = options.given();
    if let Some(refused) = given.iter().find(|given| REFUSED.contains(&given.key.replace('-', "_").as_str()))
    {
        let problem = format!("a trainer has no '{}': it goes on by itself", refused.key);
        return Err(crate::workflow::file::mistake(&refused.origin, &problem));
    }
    let (found, origins) = words::of_command("train", &given)?;
    let words: Vec<String> = std::iter::once("train".to_string()).chain(found).collect();
    // What depends on the data set is found in the step.
    let plan = words::parse(&words).and_then(|command| match command {
        Command::Train(args) => TrainPlan::try_from(args),
        other => unreachable!("{other:?} for a training"),
    });
    let plan = plan.map_err(|failure| origins.explain(failure))?;
    Ok((words, plan))
}

/// The epochs of a training, if it can pause after each of them.
pub(super) fn epochs(options: Options) -> Result<u32, Failure> {
    let origin = options.origin.clone();
    let (words, plan) = planned(options)?;
    let problem = match plan.steps {
        Some(_) => "a training that can pause ends after epochs, not after 'steps'",
        None if words.iter().any(|word| word.starts_with(OWN_FOLDER)) => {
            "a training with a 'checkpoint' of its own cannot pause"
        }
        None => return Ok(plan.epochs),
    };
    Err(crate::workflow::file::mistake(&origin, problem))
}

impl Trainer {
    pub(super) fn new(options: Options, around: Surroundings) -> Result<Self, Failure> {
        let step = options.step.clone();
        let (words, _) = planned(options)?;
        Ok(Self { step, words, around })
    }

    /// The command line of a training on `set`.
    fn line(&self, set: &Json) -> Vec<String> {
        self.words.iter().cloned().chain(of_dataset(set, "train")).collect()
    }

    /// The folder that the options name.
    fn given_folder(&self) -> Option<PathBuf> {
        let folder = self.words.iter().find_map(|word| word.strip_prefix(OWN_FOLDER))?;
        Some(PathBuf::from(folder))
    }

    /// Where the workflow pauses, if that is here.
    fn pause(&self) -> Option<&Pause> {
        self.around.pause.as_ref().filter(|pause| pause.step == self.step)
    }

    /// The run folder of a training with this command line: another one for another training, so that nothing
    /// is lost.
    fn own_folder(&self, line: &[String], set: &Json) -> PathBuf {
        let key = words::short(&format!("{} {} {set}", words::program(), words::with_files(line)));
        self.around.results.join(format!("{}-{key}", self.step))
    }
}

impl Component for Trainer {
    fn inputs(&self) -> Vec<Port> {
        vec![Port::optional("dataset", dataset())]
    }

    fn outputs(&self) -> Vec<Port> {
        vec![Port::new("model", model())]
    }

    fn execute(&mut self, inputs: Values) -> Result<Values, ComponentError> {
        let set = inputs.get("dataset").and_then(Value::json).cloned().unwrap_or_default();
        let mut line = self.line(&set);
        let (given, pause) = (self.given_folder(), self.pause());
        let folder = given.clone().unwrap_or_else(|| self.own_folder(&line, &set));
        if given.is_none() {
            // A training that a kill has ended goes on; the folder's name says that it is the same one.
            let can_go_on = !self.around.is_fresh && RunFolder::checkpoints(&folder).is_ok();
            if can_go_on {
                line = vec!["train".to_string(), format!("--resume={}", folder.display())];
            } else {
                if folder.exists() {
                    std::fs::remove_dir_all(&folder)?;
                }
                line.push(format!("--checkpoint={}", folder.display()));
            }
        }
        line.extend(pause.map(|pause| format!("--pause-after={}", pause.after_epoch)));
        let says_threads = self.words.iter().any(|word| word.starts_with("--threads="));
        let threads = self.around.threads.filter(|_| !says_threads);
        line.extend(threads.map(|threads| format!("--threads={threads}")));
        let mut out = self.around.output();
        lock(&self.around.crew).train(&line, &mut out)?;
        if let Some(pause) = pause
            && LoggedRun::read(&folder)?.end.is_some_and(|end| end.reason == "paused")
        {
            pause.is_over.store(true, Ordering::Relaxed);
            return Err("the training has paused".into());
        }
        let value = found(&folder)?;
        Ok(Values::new().with("model", value))
    }

    fn fingerprint(&self) -> Option<String> {
        Some(format!("{} {}", words::program(), words::with_files(&self.words)))
    }

    fn is_intact(&self, outputs: &Values) -> bool {
        outputs.json("model").is_ok_and(is_intact)
    }
}

/// The network in the run folder `folder`.
fn found(folder: &Path) -> Result<Value, ComponentError> {
    let saved = SavedNetwork::find(folder)?;
    let json = json!({ "path": folder, "sha256": words::digest(&saved.file)? });
    Ok(Value::named("model", json))
}

/// Whether the network is where it was, and the same.
pub(super) fn is_intact(model: &Json) -> bool {
    let Some(path) = model.get("path").and_then(Json::as_str) else { return false };
    let digest = SavedNetwork::find(Path::new(path)).ok().and_then(|saved| words::digest(&saved.file).ok());
    digest.is_some() && digest.as_deref() == model.get("sha256").and_then(Json::as_str)
}
