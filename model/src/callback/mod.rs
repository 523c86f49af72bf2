//! Callbacks: what happens between the epochs of [`Trainer::fit`].
//!
//! ```text
//! on_train_begin
//! for each epoch:
//!     on_epoch_begin
//!     for each step:      train; on_step_end
//!     if there is a validation set:  evaluate; on_validation_end
//!     on_epoch_end
//! on_train_end
//! ```
//!
//! A [`Callback`] sees numbers that are sums over all ranks, so that all ranks decide alike. Those of this
//! module are implementations like any other.

mod bytes;
mod early_stopping;
mod patience;
mod quantity;
mod reduce;
mod stop_at;

pub use early_stopping::EarlyStopping;
pub use quantity::Quantity;
pub use reduce::{ReduceEvery, ReduceOnPlateau};
pub use stop_at::StopAt;

use crate::error::Error;
use crate::train::{Evaluation, FitEpoch, Progress, Trainer};
use std::fmt::Debug;

/// What is done at certain points of [`Trainer::fit`]. Each may end training.
///
/// Among several ranks, a decision must be the same at all of them: it may depend on losses, metrics, epochs
/// and steps, and not on times, which differ. To end training on a time or a signal, use
/// [`Trainer::stop_on`].
///
/// ```
/// use isograd_model::callback::{Callback, Decision};
/// use isograd_model::{Error, FitEpoch, Trainer};
///
/// /// Ends training when the loss has not halved.
/// #[derive(Debug, Default)]
/// struct Impatient {
///     last: Option<f64>,
/// }
///
/// impl<T> Callback<T> for Impatient {
///     fn name(&self) -> &'static str {
///         "Impatient"
///     }
///
///     fn on_epoch_end(&mut self, _: &mut Trainer<T>, epoch: &FitEpoch) -> Result<Decision, Error> {
///         let loss = epoch.report.train.loss;
///         let last = self.last.replace(loss);
///         Ok(Decision::stop_if(last.is_some_and(|last| loss > last / 2.0)))
///     }
/// }
/// ```
pub trait Callback<T>: Debug + Send {
    /// Its name, in errors.
    fn name(&self) -> &'static str;

    /// Called before the first epoch, and when training goes on from a [snapshot](crate::Snapshot), behind
    /// [`restore`](Self::restore).
    ///
    /// # Errors
    ///
    /// End training, as those of all methods do.
    fn on_train_begin(&mut self, trainer: &mut Trainer<T>) -> Result<Decision, Error> {
        let _ = trainer;
        Ok(Decision::Go)
    }

    /// Called before each epoch.
    ///
    /// # Errors
    ///
    /// End training.
    fn on_epoch_begin(&mut self, trainer: &mut Trainer<T>) -> Result<Decision, Error> {
        let _ = trainer;
        Ok(Decision::Go)
    }

    /// Called after each step, with the means of the epoch so far. [`Decision::Stop`] ends the epoch, too. It
    /// should not allocate: a step does not.
    fn on_step_end(&mut self, progress: &Progress<'_>) -> Decision {
        let _ = progress;
        Decision::Go
    }

    /// Called after each validation.
    ///
    /// # Errors
    ///
    /// End training.
    fn on_validation_end(
        &mut self,
        trainer: &mut Trainer<T>,
        validation: &Evaluation,
    ) -> Result<Decision, Error> {
        let _ = (trainer, validation);
        Ok(Decision::Go)
    }

    /// Called after each epoch, and after its validation.
    ///
    /// # Errors
    ///
    /// End training.
    fn on_epoch_end(&mut self, trainer: &mut Trainer<T>, epoch: &FitEpoch) -> Result<Decision, Error> {
        let _ = (trainer, epoch);
        Ok(Decision::Go)
    }

    /// Called after the last epoch, if neither an error nor a request to [stop](Trainer::stop_on) has ended
    /// training.
    ///
    /// # Errors
    ///
    /// Of [`Trainer::fit`].
    fn on_train_end(&mut self, trainer: &mut Trainer<T>) -> Result<(), Error> {
        let _ = trainer;
        Ok(())
    }

    /// What it needs to go on after a break, for a checkpoint. The learning rate is not a part of it: it is
    /// that of the trainer's configuration.
    fn state(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Goes on from a [`state`](Self::state).
    ///
    /// # Errors
    ///
    /// When `bytes` are no state of such a callback.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), Error> {
        bytes::Reader::new(self.name(), bytes).end()
    }
}

/// Whether training goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It goes on.
    Go,
    /// It ends.
    Stop,
}

impl Decision {
    /// [`Stop`](Self::Stop) if `stops`.
    pub fn stop_if(stops: bool) -> Self {
        if stops { Self::Stop } else { Self::Go }
    }

    /// [`Go`](Self::Go) if both are.
    pub fn and(self, other: Self) -> Self {
        Self::stop_if(self == Self::Stop || other == Self::Stop)
    }
}

/// Checks that a callback waits for at least one epoch.
fn check_epochs(name: &'static str, epochs: u32) -> Result<(), Error> {
    match epochs {
        0 => Err(Error::OutOfRange { name, expected: "at least 1 epoch", value: epochs.to_string() }),
        _ => Ok(()),
    }
}

/// Checks that `factor` makes a learning rate smaller.
fn check_factor(factor: f64) -> Result<(), Error> {
    if factor > 0.0 && factor < 1.0 {
        return Ok(());
    }
    let (name, expected) = ("the factor of the learning rate", "above 0 and below 1");
    Err(Error::OutOfRange { name, expected, value: factor.to_string() })
}
