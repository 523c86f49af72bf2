//! `isograd train --resume`: goes on with a run, at any number of ranks.
//!
//! ```text
//! rank 0 reads the settings from the newest checkpoint     // the others have no files of it
//! meet the other ranks, which get the settings, and the statistics of the samples if the run computed them;
//! all check that they agree
//! rank 0 reads the checkpoint; if it is damaged, the one before it; all get the state
//! ```

use crate::cli::TrainArgs;
use crate::cli::network_plan::NetworkPlan;
use crate::cli::plan::{Execution, RankPlan, TrainPlan};
use crate::cli::saved_settings::{NEW_RUN, SETTINGS, SavedSettings};
use crate::failure::Failure;
use crate::output::Output;
use crate::rank::command::{self, RankCommand};
use crate::rank::identity::RankIdentity;
use crate::rank::stop::StopRequest;
use crate::rank::{agreement, train};
use isograd_comm::Communicator;
use isograd_model::{Element, Error, InputInfo, RunFolder, RunInfo, Snapshot, Trainer};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Ranks that have met.
pub(crate) struct Joined {
    pub(crate) request: StopRequest,
    pub(crate) communicator: Communicator,
}

/// A run whose ranks have met already.
struct JoinedRun {
    plan: TrainPlan,
    /// Taken when the run starts.
    joined: Mutex<Option<Joined>>,
}

impl RankCommand for JoinedRun {
    fn ranks(&self) -> &RankPlan {
        &self.plan.ranks
    }

    fn execution(&self) -> &Execution {
        &self.plan.execution
    }

    fn run<T: Element>(&self, identity: &RankIdentity, out: &mut Output) -> Result<(), Failure> {
        let joined = self.joined.lock().expect("no panic before").take();
        train::run::<T>(&self.plan, identity, joined, out)
    }
}

/// Goes on with the run that `args` name.
pub(crate) fn start(args: TrainArgs, out: &mut Output) -> Result<(), Failure> {
    let path = args.checkpoints.resume.clone().expect("--resume was given");
    let ranks = RankPlan::from(args.ranks.clone());
    let identity = RankIdentity::find(&ranks, out)?;
    let told = Told::at_first(&identity, &path)?;
    let request = StopRequest::listen().map_err(Failure::Signals)?;
    let communicator = identity.join(&ranks, &request, agreement::of_resume)?;
    go_on(args, &identity, Joined { request, communicator }, told, out)
}

/// Trains as `args` say, with ranks that have met; with `--resume`, goes on with a run.
pub(crate) fn train_joined(
    args: TrainArgs,
    identity: &RankIdentity,
    mut joined: Joined,
    out: &mut Output,
) -> Result<(), Failure> {
    let abort = |joined: &mut Joined, failure: &Failure| joined.communicator.abort(&failure.to_string());
    let Some(path) = args.checkpoints.resume.clone() else {
        let plan = TrainPlan::try_from(Box::new(args)).inspect_err(|failure| abort(&mut joined, failure))?;
        let run = JoinedRun { plan, joined: Mutex::new(Some(joined)) };
        return command::start_as(identity, &run, out);
    };
    let told = Told::at_first(identity, &path).inspect_err(|failure| abort(&mut joined, failure))?;
    go_on(args, identity, joined, told, out)
}

/// Goes on with the run that `args` name; the first rank has been `told` of it.
fn go_on(
    args: TrainArgs,
    identity: &RankIdentity,
    mut joined: Joined,
    mut told: Vec<u8>,
    out: &mut Output,
) -> Result<(), Failure> {
    share(&mut joined.communicator, &mut told)?;
    let Told { settings, input } = postcard::from_bytes(&told).expect("ranks of one version");
    let merged = SavedSettings::parse(&settings).merge(args);
    let merged = merged.and_then(|args| TrainPlan::try_from(Box::new(args)));
    let plan = merged.and_then(|plan| check_network(&plan, input.as_ref()).map(|()| plan));
    let mut plan = plan.inspect_err(|failure| joined.communicator.abort(&failure.to_string()))?;
    plan.augment.input.keep_computed(input.as_ref());
    let run = JoinedRun { plan, joined: Mutex::new(Some(joined)) };
    command::start_as(identity, &run, out)
}

/// Checks that a network's file is as it was. The summary, which a checkpoint compares, does not show all
/// options of layers.
fn check_network(plan: &TrainPlan, told: Option<&InputInfo>) -> Result<(), Failure> {
    match (&plan.model, told.and_then(|told| told.network.as_ref())) {
        (NetworkPlan::File(file), Some(text)) if file.text() != text => Err(Failure::Usage {
            problem: format!("--resume: {} is not as it was when the run was started", plan.model.argument()),
            hint: Some(NEW_RUN.to_string()),
        }),
        _ => Ok(()),
    }
}

/// What a checkpoint tells of its run before there is a network.
#[derive(Serialize, Deserialize)]
struct Told {
    settings: String,
    /// Checkpoints of older versions do not tell.
    input: Option<InputInfo>,
}

impl Told {
    /// What the first rank tells the others; nothing at those.
    fn at_first(identity: &RankIdentity, path: &Path) -> Result<Vec<u8>, Failure> {
        if !identity.is_first() {
            return Ok(Vec::new());
        }
        Ok(postcard::to_stdvec(&Self::read(path)?).expect("texts and numbers"))
    }

    /// By the newest checkpoint at `path` that tells it.
    fn read(path: &Path) -> Result<Self, Failure> {
        let mut first = None;
        for checkpoint in RunFolder::checkpoints(path).map_err(Failure::Resume)? {
            match RunInfo::read(&checkpoint) {
                Ok(mut info) => match info.notes.remove(SETTINGS) {
                    Some(settings) => return Ok(Self { settings, input: info.input }),
                    None => {
                        return Err(Failure::Usage {
                            problem: format!(
                                "--resume {}: it is no run of this program",
                                checkpoint.display()
                            ),
                            hint: Some(
                                "--load FILE starts a run from the parameters of another one".to_string(),
                            ),
                        });
                    }
                },
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(Failure::Resume(first.expect("a run folder has a checkpoint")))
    }
}

/// Overwrites `bytes` with those of rank 0.
pub(crate) fn share(communicator: &mut Communicator, bytes: &mut Vec<u8>) -> Result<(), Failure> {
    // Exact below 2^24.
    let mut len = [bytes.len() as f32];
    communicator.broadcast(&mut len, 0)?;
    let mut numbers: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte)).collect();
    numbers.resize(len[0] as usize, 0.0);
    communicator.broadcast(&mut numbers, 0)?;
    *bytes = numbers.into_iter().map(|number| number as u8).collect();
    Ok(())
}

/// Reads the newest checkpoint at `path` that is whole, for `trainer`, and what it tells. Says aloud which
/// ones are not.
pub(crate) fn read<T: Element>(
    path: &Path,
    info: &RunInfo,
    trainer: &Trainer<T>,
) -> Result<(Snapshot<T>, PathBuf, RunInfo), Failure> {
    let checkpoints = RunFolder::checkpoints(path).map_err(Failure::Resume)?;
    let mut first = None;
    for (index, checkpoint) in checkpoints.iter().enumerate() {
        let result = Snapshot::read(checkpoint, info, trainer)
            .and_then(|snapshot| Ok((snapshot, checkpoint.clone(), RunInfo::read(checkpoint)?)));
        match result {
            Ok(found) => return Ok(found),
            Err(Error::Folder { path, reason }) if reason.is_damage() => {
                let error = Error::Folder { path, reason };
                if let Some(next) = checkpoints.get(index + 1) {
                    log::warn!("--resume {error}; the one before it is tried: {}", next.display());
                }
                first = first.or(Some(error));
            }
            Err(error) => return Err(Failure::Resume(error)),
        }
    }
    Err(Failure::Resume(first.expect("a run folder has a checkpoint")))
}
