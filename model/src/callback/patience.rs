//! How long a number has not become better.

use super::Quantity;
use super::bytes::{Reader, put_f64, put_option};
use crate::error::Error;
use crate::train::{FitEpoch, Trainer};
use isograd_kernels::Element;

/// The best value of a quantity so far, and how many epochs have passed since.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    pub(super) quantity: Quantity,
    /// By how much a value must be better to count as better.
    pub(super) least_change: f64,
    best: Option<f64>,
    pub(super) waited: u32,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { quantity: Quantity::Loss, least_change: 0.0, best: None, waited: 0 }
    }

    /// Checks the quantity and the least change.
    pub(super) fn check<T: Element>(&self, trainer: &Trainer<T>) -> Result<(), Error> {
        self.quantity.check(trainer)?;
        if self.least_change >= 0.0 && self.least_change.is_finite() {
            return Ok(());
        }
        let (name, expected) = ("the least change of a callback", "a number of at least 0");
        Err(Error::OutOfRange { name, expected, value: self.least_change.to_string() })
    }

    /// Takes the value of an epoch. Returns whether it is the best so far; if not, another epoch has passed.
    pub(super) fn take<T: Element>(&mut self, trainer: &Trainer<T>, epoch: &FitEpoch) -> Result<bool, Error> {
        let (value, direction) = self.quantity.of(trainer, epoch)?;
        let is_best = self.best.is_none_or(|best| direction.is_better(value, best, self.least_change));
        if is_best {
            (self.best, self.waited) = (Some(value), 0);
        } else {
            self.waited += 1;
        }
        Ok(is_best)
    }

    pub(super) fn best(&self) -> Option<f64> {
        self.best
    }

    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.waited.to_le_bytes());
        put_option(bytes, self.best, put_f64);
    }

    pub(super) fn restore(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        self.waited = reader.u32()?;
        self.best = reader.option(Reader::f64)?;
        Ok(())
    }
}
