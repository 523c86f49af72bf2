//! Rates that fall with every step until an end.

use super::{Schedule, Span, StepPosition, check_nonnegative};
use crate::error::Error;
use std::f64::consts::PI;

/// Half a cosine from the base rate down to [`lowest`](Self::lowest), which it then keeps: with `s` the share
/// of [`over`](Self::over) that lies behind, `lowest + (base - lowest) * (1 + cos(pi s)) / 2`.
///
/// Up to its end this is PyTorch's `CosineAnnealingLR`, which rises again behind it.
///
/// # Source
///
/// Loshchilov, Hutter: "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, without restarts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cosine {
    /// The time that it takes.
    pub over: Span,
    /// The learning rate at its end.
    pub lowest: f64,
}

impl Default for Cosine {
    /// To 0 over the whole run.
    fn default() -> Self {
        Self { over: Span::Training, lowest: 0.0 }
    }
}

impl Schedule for Cosine {
    fn learning_rate(&self, at: &StepPosition) -> f64 {
        half_cosine(at.base_learning_rate, self.lowest, at.share(self.over))
    }

    fn needs_end(&self) -> bool {
        self.over == Span::Training
    }

    fn check(&self) -> Result<(), Error> {
        self.over.check("the length of the cosine")?;
        check_nonnegative("the lowest learning rate", self.lowest)
    }
}

/// From `from` to `to` along half a cosine, of which the share `share` lies behind.
pub(super) fn half_cosine(from: f64, to: f64, share: f64) -> f64 {
    to + (from - to) * (1.0 + libm::cos(PI * share)) / 2.0
}

/// A power of the share of training that lies ahead: with `s` the share of [`over`](Self::over) that lies
/// behind, `base * (1 - s)^power`. PyTorch's `PolynomialLR`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Polynomial {
    /// The time that it takes to reach 0.
    pub over: Span,
    /// The exponent: 1 is a straight line.
    pub power: f64,
}

impl Default for Polynomial {
    /// A straight line over the whole run.
    fn default() -> Self {
        Self { over: Span::Training, power: 1.0 }
    }
}

impl Schedule for Polynomial {
    fn learning_rate(&self, at: &StepPosition) -> f64 {
        at.base_learning_rate * libm::pow(1.0 - at.share(self.over), self.power)
    }

    fn needs_end(&self) -> bool {
        self.over == Span::Training
    }

    fn check(&self) -> Result<(), Error> {
        self.over.check("the length of the polynomial")?;
        check_nonnegative("the power", self.power)
    }
}
