//! Training up to a goal.

use super::{Callback, Decision, Quantity};
use crate::error::Error;
use crate::train::{FitEpoch, Trainer};
use isograd_kernels::Element;

/// Ends training after the first epoch in which a number is as good as `goal`, or better.
#[derive(Debug, Clone, PartialEq)]
pub struct StopAt {
    /// The number.
    pub quantity: Quantity,
    /// What it is to be.
    pub goal: f64,
}

impl<T: Element> Callback<T> for StopAt {
    fn name(&self) -> &'static str {
        "StopAt"
    }

    fn on_train_begin(&mut self, trainer: &mut Trainer<T>) -> Result<Decision, Error> {
        self.quantity.check(trainer)?;
        Ok(Decision::Go)
    }

    fn on_epoch_end(&mut self, trainer: &mut Trainer<T>, epoch: &FitEpoch) -> Result<Decision, Error> {
        let (value, direction) = self.quantity.of(trainer, epoch)?;
        Ok(Decision::stop_if(value == self.goal || direction.is_better(value, self.goal, 0.0)))
    }
}
