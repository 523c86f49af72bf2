//! Losses of the distance between outputs and targets.

use super::{Loss, LossInput, one_output_for_two_classes};
use crate::error::Error;
use isograd_kernels::{Element, Isa, loss};

/// The mean over the outputs of `(y - t)^2`, of any numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MeanSquaredError;

/// The mean over the outputs of `|y - t|`, of any numbers. Its slope where both are equal is taken to be 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MeanAbsoluteError;

/// The mean over the outputs of `d^2 / 2` where `|d| <= delta` and of `delta (|d| - delta / 2)` elsewhere,
/// with `d = y - t`: a squared error that outliers do not rule.
///
/// # Source
///
/// Huber: "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Huber {
    /// The distance from which on the loss is linear.
    pub delta: f64,
}

impl Default for Huber {
    /// Linear from a distance of 1 on.
    fn default() -> Self {
        Self { delta: 1.0 }
    }
}

/// The sum over the samples of the mean over their outputs, by a `kernel` that takes outputs, targets, the
/// scale of the gradient, and memory for it.
fn evaluate<T: Element>(
    input: LossInput<'_, T>,
    kernel: impl FnOnce(Isa, &[T], &[T], f64, Option<&mut [T]>) -> f64,
) -> f64 {
    let LossInput { isa, outputs, global_batch_size, output, targets, scratch, gradient, .. } = input;
    let scale = 1.0 / global_batch_size as f64 / outputs as f64;
    kernel(isa, output.of_network(), targets.dense(outputs, scratch), scale, gradient) / outputs as f64
}

impl<T: Element> Loss<T> for MeanSquaredError {
    fn name(&self) -> &'static str {
        "mean_squared_error"
    }

    fn takes_values(&self) -> bool {
        true
    }

    fn most_classes(&self, outputs: usize) -> usize {
        one_output_for_two_classes(outputs)
    }

    fn evaluate(&self, input: LossInput<'_, T>) -> f64 {
        evaluate(input, loss::mean_squared_error)
    }
}

impl<T: Element> Loss<T> for MeanAbsoluteError {
    fn name(&self) -> &'static str {
        "mean_absolute_error"
    }

    fn takes_values(&self) -> bool {
        true
    }

    fn most_classes(&self, outputs: usize) -> usize {
        one_output_for_two_classes(outputs)
    }

    fn evaluate(&self, input: LossInput<'_, T>) -> f64 {
        evaluate(input, loss::mean_absolute_error)
    }
}

impl<T: Element> Loss<T> for Huber {
    fn name(&self) -> &'static str {
        "huber"
    }

    fn takes_values(&self) -> bool {
        true
    }

    fn most_classes(&self, outputs: usize) -> usize {
        one_output_for_two_classes(outputs)
    }

    fn check(&self, _: usize) -> Result<(), Error> {
        if self.delta > 0.0 && self.delta.is_finite() {
            return Ok(());
        }
        let (name, expected) = ("the delta of the Huber loss", "a number above 0");
        Err(Error::OutOfRange { name, expected, value: self.delta.to_string() })
    }

    fn evaluate(&self, input: LossInput<'_, T>) -> f64 {
        evaluate(input, |isa, y, t, scale, dy| loss::huber(isa, self.delta, y, t, scale, dy))
    }
}
