//! LAMB: Adam with a learning rate for each layer.

use super::adam;
use super::whole::for_parts;
use super::{Extent, Optimizer, Part, Scope, StepNumbers, norm};
use crate::error::Error;
use crate::layer::Tensor;
use isograd_kernels::Element;
use isograd_kernels::optimizer as kernel;

/// Layer-wise adaptive moments, for large batches: Adam, where a step of a tensor is in proportion to the
/// norm of its parameters.
///
/// With `r` the direction of Adam's step plus `weight_decay * w`
/// ([`lamb_direction`](kernel::lamb_direction)), and `ratio = |w| / |r|`, or 1 where one of them is 0:
/// `w -= lr * ratio * r`. Tensors that [`scope`](Self::scope) spares have a ratio of 1 and no weight decay:
/// [`Adam`](super::Adam) updates them.
///
/// # Source
///
/// You et al.: "Large batch optimization for deep learning: training BERT in 76 minutes", ICLR 2020,
/// algorithm 2, where the function phi is the identity. That biases and normalisations are spared is its
/// authors' practice; [`Scope::All`] is the paper's algorithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lamb {
    /// Share of the old mean, in [0, 1).
    pub beta1: f64,
    /// Share of the old mean square, in [0, 1).
    pub beta2: f64,
    /// Addend of the root.
    pub eps: f64,
    /// Weight decay, as a part of the direction.
    pub weight_decay: f64,
    /// The tensors with a ratio and with weight decay.
    pub scope: Scope,
}

impl Default for Lamb {
    /// Beta1 0.9, beta2 0.999, epsilon 1e-6, weight decay 0.01, of weights alone.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-6, weight_decay: 0.01, scope: Scope::Weights }
    }
}

impl Lamb {
    fn hyper(&self, lr: f64, weight_decay: f64) -> kernel::Adam {
        kernel::Adam { lr, beta1: self.beta1, beta2: self.beta2, eps: self.eps, weight_decay }
    }
}

impl<T: Element> Optimizer<T> for Lamb {
    fn slots(&self, _: &Tensor) -> usize {
        2
    }

    fn extent(&self, tensor: &Tensor) -> Extent {
        if self.scope.covers(tensor) { Extent::Whole { scratch: 0 } } else { Extent::Range }
    }

    fn check(&self) -> Result<(), Error> {
        adam::check(&self.hyper(0.0, self.weight_decay))
    }

    fn constants(&self, step: u64) -> [f64; 4] {
        adam::constants(&self.hyper(0.0, 0.0), step)
    }

    fn update(&self, step: &StepNumbers, mut part: Part<'_, T>) {
        let (isa, lr) = (step.isa, step.learning_rate);
        let [m, v] = part.slots();
        let Part { tensor, weights, gradient, .. } = part;
        if !self.scope.covers(tensor) {
            let hyper = adam::at_step(self.hyper(lr, 0.0), step);
            return kernel::adam(isa, &hyper, gradient, weights, m, v);
        }
        let hyper = adam::at_step(self.hyper(lr, self.weight_decay), step);
        for_parts([&mut *weights, &mut *gradient, m, v], &|[w, g, m, v]| {
            kernel::lamb_direction(isa, &hyper, w, g, m, v);
        });
        let (w, r) = (norm(isa, weights), norm(isa, gradient));
        let ratio = if w > 0.0 && r > 0.0 { w / r } else { 1.0 };
        for_parts([weights, gradient], &|[w, r]| kernel::descend(isa, lr * ratio, 0.0, r, w));
    }
    /// 0.002.
    fn default_learning_rate(&self) -> f64 {
        0.002
    }
}
