//! Learning rates that become smaller as training goes on.

use super::bytes::Reader;
use super::patience::Patience;
use super::{Callback, Decision, Quantity, check_epochs, check_factor};
use crate::error::Error;
use crate::train::{FitEpoch, Trainer};
use isograd_kernels::Element;

/// Multiplies the base learning rate by a factor when a number has not become better for some epochs in a
/// row.
#[derive(Debug, Clone)]
pub struct ReduceOnPlateau {
    factor: f64,
    epochs: u32,
    patience: Patience,
    pause: u32,
    paused: u32,
    least_rate: f64,
}

impl ReduceOnPlateau {
    /// Multiplies the rate by `factor`, above 0 and below 1, when the loss has not become better for `epochs`
    /// epochs in a row, at least 1.
    pub fn new(factor: f64, epochs: u32) -> Self {
        Self { factor, epochs, patience: Patience::new(), pause: 0, paused: 0, least_rate: 0.0 }
    }

    /// Watches `quantity` instead of the loss.
    pub fn watch(mut self, quantity: Quantity) -> Self {
        self.patience.quantity = quantity;
        self
    }

    /// A value is better only if it is so by more than `change`, at least 0.
    pub fn least_change(mut self, change: f64) -> Self {
        self.patience.least_change = change;
        self
    }

    /// After a reduction, so many epochs do not count as such without an improvement.
    pub fn pause(mut self, epochs: u32) -> Self {
        self.pause = epochs;
        self
    }

    /// The rate is not reduced to less than `rate`.
    pub fn least_rate(mut self, rate: f64) -> Self {
        self.least_rate = rate;
        self
    }
}

impl<T: Element> Callback<T> for ReduceOnPlateau {
    fn name(&self) -> &'static str {
        "ReduceOnPlateau"
    }

    fn on_train_begin(&mut self, trainer: &mut Trainer<T>) -> Result<Decision, Error> {
        check_factor(self.factor)?;
        check_epochs("the patience before a reduction", self.epochs)?;
        self.patience.check(trainer)?;
        Ok(Decision::Go)
    }

    fn on_epoch_end(&mut self, trainer: &mut Trainer<T>, epoch: &FitEpoch) -> Result<Decision, Error> {
        self.patience.take(trainer, epoch)?;
        if self.paused > 0 {
            self.paused -= 1;
            self.patience.waited = 0;
        }
        if self.patience.waited >= self.epochs {
            let rate = trainer.config().learning_rate;
            // A rate that is below the least one already stays.
            trainer.set_learning_rate((rate * self.factor).max(self.least_rate.min(rate)))?;
            (self.paused, self.patience.waited) = (self.pause, 0);
        }
        Ok(Decision::Go)
    }

    fn state(&self) -> Vec<u8> {
        let mut bytes = self.paused.to_le_bytes().to_vec();
        self.patience.put(&mut bytes);
        bytes
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (mut restored, mut reader) = (self.clone(), Reader::new("ReduceOnPlateau", bytes));
        restored.paused = reader.u32()?;
        restored.patience.restore(&mut reader)?;
        reader.end()?;
        *self = restored;
        Ok(())
    }
}

/// Multiplies the base learning rate by a factor after every so many epochs of the trainer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReduceEvery {
    /// The number of epochs, at least 1.
    pub epochs: u32,
    /// The factor, above 0 and below 1.
    pub factor: f64,
    /// The rate is not reduced to less than this.
    pub least_rate: f64,
}

impl<T: Element> Callback<T> for ReduceEvery {
    fn name(&self) -> &'static str {
        "ReduceEvery"
    }

    fn on_train_begin(&mut self, _: &mut Trainer<T>) -> Result<Decision, Error> {
        check_epochs("the time between two reductions", self.epochs)?;
        check_factor(self.factor)?;
        Ok(Decision::Go)
    }

    fn on_epoch_end(&mut self, trainer: &mut Trainer<T>, _: &FitEpoch) -> Result<Decision, Error> {
        if trainer.epochs().is_multiple_of(self.epochs) {
            let rate = trainer.config().learning_rate;
            // A rate that is below the least one already stays.
            trainer.set_learning_rate((rate * self.factor).max(self.least_rate.min(rate)))?;
        }
        Ok(Decision::Go)
    }
}
