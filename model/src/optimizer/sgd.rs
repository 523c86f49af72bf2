//! Stochastic gradient descent.

use super::{Optimizer, Part, StepNumbers, check_nonnegative, check_share};
use crate::error::Error;
use crate::layer::Tensor;
use isograd_kernels::Element;
use isograd_kernels::optimizer as kernel;

/// Stochastic gradient descent with momentum, as [`sgd`](kernel::sgd) computes it. Without momentum it keeps
/// no velocity.
///
/// ```
/// use isograd_model::{TrainConfig, optimizer::Sgd};
/// use std::sync::Arc;
/// let optimizer = Arc::new(Sgd { momentum: 0.95, nesterov: true, ..Sgd::default() });
/// let config = TrainConfig::<f32> { optimizer, learning_rate: 0.05, ..TrainConfig::default() };
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Share of the old velocity, in [0, 1).
    pub momentum: f64,
    /// Whether the step looks ahead along the velocity, as Nesterov's does.
    pub nesterov: bool,
    /// Decoupled weight decay of all parameters.
    pub weight_decay: f64,
}

impl Default for Sgd {
    /// Momentum 0.9, not Nesterov's, no weight decay.
    fn default() -> Self {
        Self { momentum: 0.9, nesterov: false, weight_decay: 0.0 }
    }
}

impl<T: Element> Optimizer<T> for Sgd {
    fn slots(&self, _: &Tensor) -> usize {
        if self.momentum == 0.0 { 0 } else { 1 }
    }

    fn check(&self) -> Result<(), Error> {
        check_share("momentum", self.momentum)?;
        check_nonnegative("weight decay", self.weight_decay)
    }

    fn update(&self, step: &StepNumbers, mut part: Part<'_, T>) {
        let Self { momentum, nesterov, weight_decay } = *self;
        let lr = step.learning_rate;
        if momentum == 0.0 {
            kernel::descend(step.isa, lr, lr * weight_decay, part.gradient, part.weights);
        } else {
            let [velocity] = part.slots();
            let hyper = kernel::Sgd { lr, momentum, nesterov, weight_decay };
            kernel::sgd(step.isa, &hyper, part.gradient, part.weights, velocity);
        }
    }

    /// 0.01.
    fn default_learning_rate(&self) -> f64 {
        0.01
    }
}
