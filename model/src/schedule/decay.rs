//! Rates that are multiplied by a factor from time to time.

use super::{Schedule, Span, StepPosition, check_positive};
use crate::error::Error;

/// The base rate times `gamma` for each whole [`every`](Self::every) that lies behind: PyTorch's `StepLR`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepDecay {
    /// The time between two decays.
    pub every: Span,
    /// The factor.
    pub gamma: f64,
}

impl Default for StepDecay {
    /// A tenth every 30 epochs.
    fn default() -> Self {
        Self { every: Span::Epochs(30.0), gamma: 0.1 }
    }
}

impl Schedule for StepDecay {
    fn learning_rate(&self, at: &StepPosition) -> f64 {
        at.base_learning_rate * libm::pow(self.gamma, at.times(self.every))
    }

    fn needs_end(&self) -> bool {
        self.every == Span::Training
    }

    fn check(&self) -> Result<(), Error> {
        self.every.check("the time between two decays of the learning rate")?;
        check_positive("gamma", self.gamma)
    }
}

/// The base rate times `gamma` for each of [`milestones`](Self::milestones) that is reached: PyTorch's
/// `MultiStepLR`.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiStep {
    /// The times from the start of training at which the rate decays, in any order.
    pub milestones: Vec<Span>,
    /// The factor.
    pub gamma: f64,
}

impl Schedule for MultiStep {
    fn learning_rate(&self, at: &StepPosition) -> f64 {
        let reached = self.milestones.iter().filter(|span| at.steps(**span) <= at.step as f64).count();
        at.base_learning_rate * libm::pow(self.gamma, reached as f64)
    }

    fn needs_end(&self) -> bool {
        self.milestones.contains(&Span::Training)
    }

    fn check(&self) -> Result<(), Error> {
        self.milestones.iter().try_for_each(|span| span.check("a milestone"))?;
        check_positive("gamma", self.gamma)
    }
}

/// The base rate times `gamma` for each whole [`every`](Self::every) that lies behind, by default each epoch:
/// PyTorch's `ExponentialLR`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exponential {
    /// The factor.
    pub gamma: f64,
    /// The time between two decays: one step makes it smooth.
    pub every: Span,
}

impl Default for Exponential {
    /// Five percent less with each epoch.
    fn default() -> Self {
        Self { gamma: 0.95, every: Span::Epochs(1.0) }
    }
}

impl Schedule for Exponential {
    fn learning_rate(&self, at: &StepPosition) -> f64 {
        StepDecay { every: self.every, gamma: self.gamma }.learning_rate(at)
    }

    fn needs_end(&self) -> bool {
        self.every == Span::Training
    }

    fn check(&self) -> Result<(), Error> {
        StepDecay { every: self.every, gamma: self.gamma }.check()
    }
}
