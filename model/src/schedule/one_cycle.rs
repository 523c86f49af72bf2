//! One cycle.

use super::cosine::half_cosine;
use super::{Schedule, Span, StepPosition, check_positive};
use crate::error::Error;

/// Up to the base rate and down to nearly 0, in half a cosine each.
///
/// The rate starts at `base / div_factor`, reaches `base` after the share [`rise`](Self::rise) of
/// [`over`](Self::over), and ends at `base / div_factor / final_div_factor` in its last step: PyTorch's
/// `OneCycleLR` with two phases. The momentum stays as it is.
///
/// # Source
///
/// Smith, Topin: "Super-convergence: very fast training of neural networks using large learning rates", 2018.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OneCycle {
    /// The time that it takes.
    pub over: Span,
    /// The share of it in which the rate rises, between 0 and 1.
    pub rise: f64,
    /// The base rate over the first one.
    pub div_factor: f64,
    /// The first rate over the last one.
    pub final_div_factor: f64,
}

impl Default for OneCycle {
    /// The whole run, of which the rate rises for 0.3; factors 25 and 10,000.
    fn default() -> Self {
        Self { over: Span::Training, rise: 0.3, div_factor: 25.0, final_div_factor: 1e4 }
    }
}

impl Schedule for OneCycle {
    fn learning_rate(&self, at: &StepPosition) -> f64 {
        let base = at.base_learning_rate;
        let first = base / self.div_factor;
        let (steps, step) = (at.steps(self.over), at.step as f64);
        // The numbers of the step with the base rate and of the last one.
        let (peak, last) = (self.rise * steps - 1.0, steps - 1.0);
        if step <= peak {
            // A peak in the first step has nothing before it.
            let share = if peak > 0.0 { step / peak } else { 1.0 };
            half_cosine(first, base, share)
        } else {
            let share = if last > peak { ((step - peak) / (last - peak)).min(1.0) } else { 1.0 };
            half_cosine(base, first / self.final_div_factor, share)
        }
    }

    fn needs_end(&self) -> bool {
        self.over == Span::Training
    }

    fn check(&self) -> Result<(), Error> {
        self.over.check("the length of the cycle")?;
        if !(0.0..=1.0).contains(&self.rise) {
            let (name, expected) = ("the rising share of the cycle", "between 0 and 1");
            return Err(Error::OutOfRange { name, expected, value: self.rise.to_string() });
        }
        check_positive("the base rate over the first one", self.div_factor)?;
        check_positive("the first rate over the last one", self.final_div_factor)
    }
}
