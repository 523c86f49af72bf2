//! Places and lengths in a training run.

use super::check_positive;
use crate::error::Error;

/// The place of a step in a training run.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StepPosition {
    /// The step, from 0: steps of the epochs before this one, had all of them as many as this one, and those
    /// of this epoch.
    pub step: u64,
    /// The epoch, from 0.
    pub epoch: u32,
    /// Steps in an epoch, at least 1.
    pub steps_per_epoch: u64,
    /// Steps in the whole run, if it is known when training ends.
    pub total_steps: Option<u64>,
    /// The learning rate of the configuration.
    pub base_learning_rate: f64,
}

impl StepPosition {
    /// The place of step `step`, counted from 0, of a run without a known end.
    ///
    /// # Panics
    ///
    /// When `steps_per_epoch` is 0.
    pub fn new(step: u64, steps_per_epoch: u64, base_learning_rate: f64) -> Self {
        assert!(steps_per_epoch > 0, "an epoch without steps");
        let epoch = u32::try_from(step / steps_per_epoch).unwrap_or(u32::MAX);
        Self { step, epoch, steps_per_epoch, total_steps: None, base_learning_rate }
    }

    /// This place in a run of `total_steps` steps.
    #[must_use]
    pub fn of(self, total_steps: u64) -> Self {
        Self { total_steps: Some(total_steps), ..self }
    }

    /// The length of `span` in steps, whole or not; infinite for [`Span::Training`] without a known end.
    pub fn steps(&self, span: Span) -> f64 {
        match span {
            Span::Steps(steps) => steps as f64,
            Span::Epochs(epochs) => {
                let steps = epochs * self.steps_per_epoch as f64;
                // 0.7 epochs of 10 steps are 7 steps, not 7.000000000000001.
                let whole = libm::round(steps);
                if (steps - whole).abs() < 1e-6 { whole } else { steps }
            }
            Span::Training => self.total_steps.map_or(f64::INFINITY, |steps| steps as f64),
        }
    }

    /// The share of `span` that the steps before this one make up, at most 1.
    pub(super) fn share(&self, span: Span) -> f64 {
        // Also 1 of a span without steps, where the quotient is infinite or NaN.
        (self.step as f64 / self.steps(span)).min(1.0)
    }

    /// How often `span` fits in the steps before this one.
    pub(super) fn times(&self, span: Span) -> f64 {
        libm::floor(self.step as f64 / self.steps(span))
    }
}

/// A length of training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Span {
    /// Steps.
    Steps(u64),
    /// Epochs, whole or not.
    Epochs(f64),
    /// The whole run.
    Training,
}

impl Span {
    /// Checks that the span is not empty and not infinite.
    pub(super) fn check(self, name: &'static str) -> Result<(), Error> {
        match self {
            Self::Steps(steps) => check_positive(name, steps as f64),
            Self::Epochs(epochs) => check_positive(name, epochs),
            Self::Training => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_epochs_are_whole_steps_where_they_can_be() {
        let at = StepPosition::new(0, 10, 1.0);
        for tenths in 1..200u32 {
            assert_eq!(at.steps(Span::Epochs(f64::from(tenths) * 0.1)), f64::from(tenths));
        }
        assert_eq!(at.steps(Span::Epochs(0.25)), 2.5);
        assert_eq!(StepPosition::new(7, 10, 1.0).times(Span::Epochs(0.7)), 1.0);
        assert_eq!((at.steps(Span::Training), at.of(30).steps(Span::Training)), (f64::INFINITY, 30.0));
    }

    #[test]
    fn a_span_without_steps_lies_behind() {
        let at = |step| StepPosition::new(step, 10, 1.0).of(0);
        assert_eq!((at(0).share(Span::Training), at(1).share(Span::Training)), (1.0, 1.0));
        assert_eq!((StepPosition::new(5, 10, 1.0).share(Span::Epochs(2.0))), 0.25);
    }
}
