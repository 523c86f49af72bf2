//! Runs that are gone on with by any number of ranks: the bits of a run that was not interrupted.

use crate::ranks::{Group, Over, each_rank};
use crate::resume::{EPOCHS, Saver, config, data, info, network};
use crate::training::optimizers;
use isograd_model::callback::{Callback, EarlyStopping, ReduceOnPlateau};
use isograd_model::{Error, Evaluation, FitEpoch, Observer, TrainConfig, Trainer};
use std::path::Path;

/// Everything that a run gives.
#[derive(Debug, PartialEq)]
struct Outcome {
    params_sha256: String,
    averages_sha256: Option<String>,
    statistics: Vec<f32>,
    learning_rate: f64,
    steps: u64,
    /// Of the last epoch, as it was reported: its samples, its steps, and the validation.
    last: Option<(u32, u64, Evaluation, Option<Evaluation>)>,
    evaluation: Evaluation,
}

/// Trains to the end, with patience that matters: no epoch is better by a loss of 10 than the one before it.
fn finish<O: Observer<f32, Failure = Error>>(
    mut trainer: Trainer<f32>,
    checkpoint: Option<&Path>,
    observer: &mut O,
) -> Result<Outcome, Error> {
    let [train, validation] = data();
    let mut stopping = EarlyStopping::new(3).restore_best();
    let mut plateau = ReduceOnPlateau::new(0.5, 1).least_change(10.0);
    let callbacks: &mut [&mut dyn Callback<f32>] = &mut [&mut stopping, &mut plateau];
    if let Some(folder) = checkpoint {
        trainer.resume(folder, &info(), callbacks)?;
    }
    let epochs = trainer.fit_observed(&train, Some(&validation), EPOCHS, callbacks, observer)?;
    let last = epochs
        .into_iter()
        .next_back()
        .map(|FitEpoch { report, validation, .. }| (report.epoch, report.steps, report.train, validation));
    let evaluation = trainer.evaluate(&validation)?;
    let state = trainer.state();
    Ok(Outcome {
        params_sha256: state.params_sha256(),
        averages_sha256: trainer.averaged_state().map(|state| state.params_sha256()),
        statistics: state.statistics().to_vec(),
        learning_rate: trainer.config().learning_rate,
        steps: trainer.steps(),
        last,
        evaluation,
    })
}

/// Does nothing.
struct Nobody;

impl Observer<f32> for Nobody {
    type Failure = Error;
}

#[test]
fn a_run_goes_on_from_every_step_with_every_optimizer_at_any_number_of_ranks() {
    for (optimizer, learning_rate) in optimizers() {
        let config = TrainConfig { optimizer: optimizer.clone(), learning_rate, ..config() };
        let folder = tempfile::tempdir().expect("a folder");
        let mut saver = Saver { folder: folder.path(), saved: Vec::new() };
        let trainer = Trainer::new(network(), config.clone()).expect("a valid configuration");
        let expected = finish(trainer, None, &mut saver).expect("finite losses");
        assert_eq!((expected.steps, saver.saved.len()), (6, 8));
        // The rate was reduced, so that patience was a part of the run.
        assert_eq!(expected.learning_rate, 0.5 * learning_rate);
        for (number, checkpoint) in saver.saved.iter().enumerate() {
            for world in 1..=3 {
                let mut group = Group::new(Over::SharedMemory, 1 + number % 2, true, world);
                group.network = network;
                let outcomes =
                    each_rank(&group, &config, |_, trainer| finish(trainer, Some(checkpoint), &mut Nobody));
                for outcome in outcomes {
                    let what = format!("{optimizer:?}, checkpoint {number}, {world} ranks");
                    match number {
                        // There is no epoch left.
                        7 => {
                            assert_eq!(Outcome { last: None, ..expected.clone_without() }, outcome, "{what}")
                        }
                        _ => assert_eq!(outcome, expected, "{what}"),
                    }
                }
            }
        }
    }
}

impl Outcome {
    fn clone_without(&self) -> Self {
        Self {
            params_sha256: self.params_sha256.clone(),
            averages_sha256: self.averages_sha256.clone(),
            statistics: self.statistics.clone(),
            evaluation: self.evaluation.clone(),
            last: None,
            ..*self
        }
    }
}
