//! RMSProp.

use super::{Optimizer, Part, StepNumbers, check_nonnegative, check_share};
use crate::error::Error;
use crate::layer::Tensor;
use isograd_kernels::Element;
use isograd_kernels::optimizer as kernel;

/// RMSProp, as [`rmsprop`](kernel::rmsprop) computes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsProp {
    /// Share of the old mean square, in [0, 1).
    pub rho: f64,
    /// Addend of the root.
    pub eps: f64,
    /// Decoupled weight decay of all parameters.
    pub weight_decay: f64,
}

impl Default for RmsProp {
    /// Rho 0.9, epsilon 1e-7, no weight decay.
    fn default() -> Self {
        Self { rho: 0.9, eps: 1e-7, weight_decay: 0.0 }
    }
}

impl<T: Element> Optimizer<T> for RmsProp {
    fn slots(&self, _: &Tensor) -> usize {
        1
    }

    fn check(&self) -> Result<(), Error> {
        check_share("rho", self.rho)?;
        check_nonnegative("epsilon", self.eps)?;
        check_nonnegative("weight decay", self.weight_decay)
    }

    fn update(&self, step: &StepNumbers, mut part: Part<'_, T>) {
        let Self { rho, eps, weight_decay } = *self;
        let hyper = kernel::RmsProp { lr: step.learning_rate, rho, eps, weight_decay };
        let [mean_square] = part.slots();
        kernel::rmsprop(step.isa, &hyper, part.gradient, part.weights, mean_square);
    }
}
