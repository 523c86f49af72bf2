//! Training for several epochs, with validation and callbacks.

use super::{EpochReport, Evaluation, Observer, Progress, Trainer};
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
    /// where a trainer is [finished](Self::is_finished).
    ///
    /// A request to [stop](Self::stop_on) interrupts training: its last epoch stays open, is not validated,
    /// and no callback learns of its end, nor of that of training. So a [snapshot](Self::snapshot) that is
    /// taken then, or in any step, can be gone on from: after its [`restore`](Self::restore), `fit` with
    /// equal callbacks completes the epoch and goes on as if nothing had been.
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
        self.fit_observed(train, validation, epochs, callbacks, &mut Unobserved)
    }

    /// As [`fit`](Self::fit), with an observer, which sees the callbacks, too, and may save checkpoints with
    /// their states.
    ///
    /// # Errors
    ///
    /// As `fit`, and those of the observer, which end training at once.
    pub fn fit_observed<O: Observer<T>>(
        &mut self,
        train: &dyn Dataset,
        validation: Option<&dyn Dataset>,
        epochs: u32,
        callbacks: &mut [&mut dyn Callback<T>],
        observer: &mut O,
    ) -> Result<Vec<FitEpoch>, O::Failure> {
        let result = self.fit_epochs(train, validation, epochs, callbacks, observer);
        self.is_ended = false;
        result
    }

    fn fit_epochs<O: Observer<T>>(
        &mut self,
        train: &dyn Dataset,
        validation: Option<&dyn Dataset>,
        epochs: u32,
        callbacks: &mut [&mut dyn Callback<T>],
        observer: &mut O,
    ) -> Result<Vec<FitEpoch>, O::Failure> {
        let mut done = Vec::new();
        let begun = ask(callbacks, |callback| callback.on_train_begin(self))?;
        self.is_ended |= begun == Decision::Stop;
        loop {
            // An epoch that was interrupted is ended even where no step of it is left.
            let is_open = self.open_epoch.is_open();
            let is_over = self.is_ended || self.is_finished() || done.len() >= epochs as usize;
            if is_over && !is_open {
                break;
            }
            if !is_open && ask(callbacks, |callback| callback.on_epoch_begin(self))? == Decision::Stop {
                break;
            }
            observer.on_epoch_begin(self);
            let step_end = |trainer: &mut Self, progress: Progress<'_>| {
                let decisions = callbacks.iter_mut().map(|callback| callback.on_step_end(&progress));
                let decision = decisions.fold(Decision::Go, Decision::and);
                trainer.is_ended |= decision == Decision::Stop;
                observer.on_step(trainer, callbacks, &progress)?;
                Ok::<_, O::Failure>(decision)
            };
            let report = self.run_epoch(train, step_end)?;
            let validation = match validation.filter(|_| !self.is_stopped()) {
                Some(samples) => Some(self.evaluate(samples)?),
                None => None,
            };
            if let Some(evaluation) = &validation {
                let decision = ask(callbacks, |c| c.on_validation_end(self, evaluation))?;
                self.is_ended |= decision == Decision::Stop;
            }
            let epoch = FitEpoch { report, validation };
            if !self.is_stopped() {
                let decision = ask(callbacks, |callback| callback.on_epoch_end(self, &epoch))?;
                self.is_ended |= decision == Decision::Stop;
            }
            observer.on_epoch(self, callbacks, &epoch)?;
            done.push(epoch);
            if self.is_stopped() {
                return Ok(done);
            }
        }
        callbacks.iter_mut().try_for_each(|callback| callback.on_train_end(self))?;
        Ok(done)
    }
}

/// The observer of [`Trainer::fit`].
struct Unobserved;

impl<T> Observer<T> for Unobserved {
    type Failure = Error;
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
