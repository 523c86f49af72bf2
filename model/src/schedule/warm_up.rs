//! The warm-up.

use super::{Constant, Schedule, Span, StepPosition, check_nonnegative};
use crate::error::Error;
use std::sync::Arc;

/// Another schedule, multiplied by a factor that rises from [`from`](Self::from) to 1 with every step of
/// [`over`](Self::over), and stays 1.
///
/// With `s` the share of the warm-up that lies behind: `rate * (from + (1 - from) * s)`. With
/// [`Constant`] this is PyTorch's `LinearLR`, otherwise `ChainedScheduler` with `LinearLR` first: the other
/// schedule counts from the first step, so that its milestones stay where they are.
///
/// # Source
///
/// Goyal et al.: "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017, section 2.2. Of a
/// learning rate that is scaled by the number of workers, one over this number is the factor to start from.
#[derive(Debug, Clone)]
pub struct WarmUp {
    /// The length of the warm-up.
    pub over: Span,
    /// The factor of the first step.
    pub from: f64,
    /// The schedule that is warmed up.
    pub then: Arc<dyn Schedule>,
}

impl Default for WarmUp {
    /// From 0.01 over 5 epochs, to a constant rate.
    fn default() -> Self {
        Self { over: Span::Epochs(5.0), from: 0.01, then: Arc::new(Constant) }
    }
}

impl Schedule for WarmUp {
    fn learning_rate(&self, at: &StepPosition) -> f64 {
        let factor = self.from + (1.0 - self.from) * at.share(self.over);
        self.then.learning_rate(at) * factor
    }

    fn needs_end(&self) -> bool {
        self.over == Span::Training || self.then.needs_end()
    }

    fn check(&self) -> Result<(), Error> {
        self.over.check("the length of the warm-up")?;
        check_nonnegative("the factor that the warm-up starts from", self.from)?;
        self.then.check()
    }
}
