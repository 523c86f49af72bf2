//! Schedules: the learning rate of each step.
//!
//! A [`Schedule`] is a pure function of a step's place in the training run, so there is nothing to save, and
//! nothing about which ranks could disagree. Those of this module are implementations like any other. They
//! compute what PyTorch's schedulers of these names do; unlike them, they know how many steps an epoch has,
//! so that a [`Span`] can be given in steps or in epochs.

mod chained;
mod cosine;
mod decay;
mod one_cycle;
mod span;
mod warm_up;

pub use chained::Chained;
pub use cosine::{Cosine, Polynomial};
pub use decay::{Exponential, MultiStep, StepDecay};
pub use one_cycle::OneCycle;
pub use span::{Span, StepPosition};
pub use warm_up::WarmUp;

use crate::error::Error;
use std::fmt::Debug;

/// A rule that gives each step its learning rate.
///
/// ```
/// use isograd_model::{Schedule, StepPosition, TrainConfig};
/// use std::sync::Arc;
///
/// /// A rate that falls with the root of the step.
/// #[derive(Debug)]
/// struct InverseRoot;
///
/// impl Schedule for InverseRoot {
///     fn learning_rate(&self, at: &StepPosition) -> f64 {
///         at.base_learning_rate / (1.0 + at.step as f64).sqrt()
///     }
/// }
///
/// let config = TrainConfig::<f32> { schedule: Arc::new(InverseRoot), ..TrainConfig::default() };
/// ```
pub trait Schedule: Debug + Send + Sync {
    /// The learning rate of the step at `at`. Training ends with an error when it is negative, infinite or
    /// NaN.
    fn learning_rate(&self, at: &StepPosition) -> f64;

    /// Whether the rate depends on [`StepPosition::total_steps`]. Then a trainer refuses a configuration
    /// that does not say when training ends.
    fn needs_end(&self) -> bool {
        false
    }

    /// Checks that its parameters are in their ranges. A trainer does so before it trains.
    ///
    /// # Errors
    ///
    /// The first parameter that is not.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// The base learning rate in every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Constant;

impl Schedule for Constant {
    fn learning_rate(&self, at: &StepPosition) -> f64 {
        at.base_learning_rate
    }
}

/// Checks that `value` is finite and not negative.
fn check_nonnegative(name: &'static str, value: f64) -> Result<(), Error> {
    match value >= 0.0 && value.is_finite() {
        true => Ok(()),
        false => {
            Err(Error::OutOfRange { name, expected: "a number of at least 0", value: value.to_string() })
        }
    }
}

/// Checks that `value` is finite and above 0.
fn check_positive(name: &'static str, value: f64) -> Result<(), Error> {
    match value > 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(Error::OutOfRange { name, expected: "a number above 0", value: value.to_string() }),
    }
}
