//! What accompanies `fit` without taking part in it.

use super::{FitEpoch, Progress, Trainer};
use crate::callback::Callback;
use crate::error::Error;

/// What is called at certain points of [`Trainer::fit_observed`]: it shows progress, and saves checkpoints.
/// Unlike a [`Callback`] it decides nothing, so it may depend on times and files.
///
/// It sees the callbacks, whose states are a part of a [snapshot](Trainer::snapshot).
pub trait Observer<T>: Send {
    /// Why it, or the trainer, fails.
    type Failure: From<Error> + Send;

    /// Called before the first step of an epoch that is to come, also of one that was interrupted.
    fn on_epoch_begin(&mut self, trainer: &Trainer<T>) {
        let _ = trainer;
    }

    /// Called after each step, when the callbacks have been.
    ///
    /// # Errors
    ///
    /// End training.
    fn on_step(
        &mut self,
        trainer: &mut Trainer<T>,
        callbacks: &[&mut dyn Callback<T>],
        progress: &Progress<'_>,
    ) -> Result<(), Self::Failure> {
        let _ = (trainer, callbacks, progress);
        Ok(())
    }

    /// Called after each epoch, when the callbacks have been; also after one that a request to stop has
    /// interrupted, which is still open.
    ///
    /// # Errors
    ///
    /// End training.
    fn on_epoch(
        &mut self,
        trainer: &mut Trainer<T>,
        callbacks: &[&mut dyn Callback<T>],
        epoch: &FitEpoch,
    ) -> Result<(), Self::Failure> {
        let _ = (trainer, callbacks, epoch);
        Ok(())
    }
}
