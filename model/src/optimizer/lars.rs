//! LARS: a learning rate for each layer.

use super::whole::for_parts;
use super::{Extent, Optimizer, Part, Scope, StepNumbers, check_nonnegative, check_share, norm};
use crate::error::Error;
use crate::layer::Tensor;
use isograd_kernels::Element;
use isograd_kernels::optimizer as kernel;

/// Layer-wise adaptive rate scaling, for large batches: momentum, where the learning rate of a tensor is in
/// proportion to the norm of its parameters.
///
/// With `ratio = trust_coefficient * |w| / (|g| + weight_decay * |w|)`, or 1 where `|w|` or `|g|` is 0:
/// `v = momentum * v + lr * ratio * (g + weight_decay * w)`, then `w -= v`. Tensors that
/// [`scope`](Self::scope) spares have a ratio of 1 and no weight decay.
///
/// What is spared takes the learning rate as it is. The paper's trust coefficient of 0.001 is for learning
/// rates of 10 and more, which suit biases in networks with normalisations and batches of thousands of
/// samples; the default is for rates like those of [`Sgd`](super::Sgd).
///
/// # Source
///
/// You, Gitman, Ginsburg: "Large batch training of convolutional networks", 2017, algorithm 1. That biases
/// and normalisations are spared is the practice since then; [`Scope::All`] is the paper's algorithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lars {
    /// Share of the old velocity, in [0, 1).
    pub momentum: f64,
    /// Weight decay, as a part of the gradient.
    pub weight_decay: f64,
    /// How far a step with learning rate 1 moves a tensor, relative to its norm.
    pub trust_coefficient: f64,
    /// The tensors with a learning rate of their own and with weight decay.
    pub scope: Scope,
}

impl Default for Lars {
    /// Momentum 0.9; weight decay 0.0005 and a trust coefficient of 0.02, for weights alone.
    fn default() -> Self {
        Self { momentum: 0.9, weight_decay: 5e-4, trust_coefficient: 0.02, scope: Scope::Weights }
    }
}

impl<T: Element> Optimizer<T> for Lars {
    fn slots(&self, _: &Tensor) -> usize {
        1
    }

    fn extent(&self, tensor: &Tensor) -> Extent {
        if self.scope.covers(tensor) { Extent::Whole { scratch: 0 } } else { Extent::Range }
    }

    fn check(&self) -> Result<(), Error> {
        check_share("momentum", self.momentum)?;
        check_nonnegative("weight decay", self.weight_decay)?;
        check_nonnegative("the trust coefficient", self.trust_coefficient)
    }

    fn update(&self, step: &StepNumbers, mut part: Part<'_, T>) {
        let (isa, momentum) = (step.isa, self.momentum);
        let [velocity] = part.slots();
        let Part { tensor, weights, gradient, .. } = part;
        if !self.scope.covers(tensor) {
            let hyper = kernel::Lars { lr: step.learning_rate, momentum, weight_decay: 0.0 };
            return kernel::lars(isa, &hyper, gradient, weights, velocity);
        }
        let (w, g) = (norm(isa, weights), norm(isa, gradient));
        let ratio = match w > 0.0 && g > 0.0 {
            true => self.trust_coefficient * w / (g + self.weight_decay * w),
            false => 1.0,
        };
        let weight_decay = self.weight_decay;
        let hyper = kernel::Lars { lr: step.learning_rate * ratio, momentum, weight_decay };
        for_parts([weights, gradient, velocity], &|[w, g, v]| kernel::lars(isa, &hyper, g, w, v));
    }

    /// 0.02.
    fn default_learning_rate(&self) -> f64 {
        0.02
    }
}
