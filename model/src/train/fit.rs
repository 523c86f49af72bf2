//! Training for several epochs, with validation and callbacks.

use super::{EpochReport, Evaluation, Progress, Trainer};
use crate::callback::{Callback, Decision};
use crate::error::Error;
use isograd_datasets::Dataset;
use isograd_kernels::Element;

/// An epoch of [`Trainer::fit`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FitEpoch {
    /// The training.
    pub report: EpochReport,
    /// The evaluation of the validation samples after it, if there are any.
    pub validation: Option<Evaluation>,
}

impl<T: Element> Trainer<T> {
    /// Trains on `train` for up to `epochs` more epochs, evaluates `validation` after each of them, and calls
    /// `callbacks` in their order, all of them even if one [stops](Decision::Stop) training. It also ends
    /// where a trainer is [finished](Self::is_finished). After a request to [stop](Self::stop_on), nothing is
    /// validated any more.
    ///
    /// ```
    /// use isograd_datasets::Synthetic;
    /// use isograd_model::callback::{EarlyStopping, Quantity, StopAt};
    /// use isograd_model::{Network, TrainConfig, Trainer, layer::*, layers};
    ///
    /// let sequence = Synthetic { seed: 1, sample_shape: [1, 8, 8], num_classes: 4 };
    /// let (train, validation) = (sequence.samples(0..256)?, sequence.samples(256..320)?);
    /// let network = Network::<f32>::build(layers![Input::new(1, 8, 8), Flatten, Dense::new(4), Softmax])?;
    /// let config = TrainConfig { learning_rate: 0.01, ..TrainConfig::default() };
    /// let mut trainer = Trainer::new(network, config)?;
    /// let mut stopping = EarlyStopping::new(3).restore_best();
    /// let mut goal = StopAt { quantity: Quantity::metric("categorical_accuracy"), goal: 95.0 };
    /// let epochs = trainer.fit(&train, Some(&validation), 30, &mut [&mut stopping, &mut goal])?;
    /// assert!(epochs.len() < 30);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`train_epoch`](Self::train_epoch) and [`evaluate`](Self::evaluate), and those of the callbacks.
    pub fn fit(
        &mut self,
        train: &dyn Dataset,
        validation: Option<&dyn Dataset>,
        epochs: u32,
        callbacks: &mut [&mut dyn Callback<T>],
    ) -> Result<Vec<FitEpoch>, Error> {
        let mut done = Vec::new();
        let mut decision = ask(callbacks, |callback| callback.on_train_begin(self))?;
        while decision == Decision::Go && done.len() < epochs as usize && !self.is_finished() {
            if ask(callbacks, |callback| callback.on_epoch_begin(self))? == Decision::Stop {
                break;
            }
            let step_end = |progress: Progress<'_>| {
                let decisions = callbacks.iter_mut().map(|callback| callback.on_step_end(&progress));
                let after_step = decisions.fold(Decision::Go, Decision::and);
                decision = decision.and(after_step);
                after_step
            };
            let report = self.run_epoch(train, step_end)?;
            let validation = match validation.filter(|_| !self.is_stopped()) {
                Some(samples) => Some(self.evaluate(samples)?),
                None => None,
            };
            if let Some(evaluation) = &validation {
                decision = decision.and(ask(callbacks, |c| c.on_validation_end(self, evaluation))?);
            }
            let epoch = FitEpoch { report, validation };
            decision = decision.and(ask(callbacks, |callback| callback.on_epoch_end(self, &epoch))?);
            done.push(epoch);
        }
        callbacks.iter_mut().try_for_each(|callback| callback.on_train_end(self))?;
        Ok(done)
    }
}

/// Asks all callbacks, and stops if one does.
fn ask<T>(
    callbacks: &mut [&mut dyn Callback<T>],
    mut question: impl FnMut(&mut dyn Callback<T>) -> Result<Decision, Error>,
) -> Result<Decision, Error> {
    let mut decision = Decision::Go;
    for callback in callbacks {
        decision = decision.and(question(&mut **callback)?);
    }
    Ok(decision)
}
