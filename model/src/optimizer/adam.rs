//! Adam, Nadam and AdamW.

use super::{Optimizer, Part, Scope, StepNumbers, check_nonnegative, check_share};
use crate::error::Error;
use crate::layer::Tensor;
use isograd_kernels::Element;
use isograd_kernels::optimizer as kernel;

/// Adam, as [`adam`](kernel::adam) computes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Share of the old mean, in [0, 1).
    pub beta1: f64,
    /// Share of the old mean square, in [0, 1).
    pub beta2: f64,
    /// Addend of the root.
    pub eps: f64,
    /// Decoupled weight decay of all parameters.
    pub weight_decay: f64,
}

impl Default for Adam {
    /// Beta1 0.9, beta2 0.999, epsilon 1e-7, no weight decay.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-7, weight_decay: 0.0 }
    }
}

/// Adam with Nesterov's momentum, as [`nadam`](kernel::nadam) computes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nadam {
    /// Share of the old mean, in [0, 1).
    pub beta1: f64,
    /// Share of the old mean square, in [0, 1).
    pub beta2: f64,
    /// Addend of the root.
    pub eps: f64,
    /// Decoupled weight decay of all parameters.
    pub weight_decay: f64,
}

impl Default for Nadam {
    /// Beta1 0.9, beta2 0.999, epsilon 1e-7, no weight decay.
    fn default() -> Self {
        let Adam { beta1, beta2, eps, weight_decay } = Adam::default();
        Self { beta1, beta2, eps, weight_decay }
    }
}

/// Adam with decoupled weight decay, which spares biases and the parameters of normalisations unless
/// [`scope`](Self::scope) says otherwise, as [`adam`](kernel::adam) computes it.
///
/// # Source
///
/// Loshchilov, Hutter: "Decoupled weight decay regularization", ICLR 2019, with the decay multiplied by the
/// learning rate, as in PyTorch. PyTorch's `AdamW` decays all parameters that it is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Share of the old mean, in [0, 1).
    pub beta1: f64,
    /// Share of the old mean square, in [0, 1).
    pub beta2: f64,
    /// Addend of the root.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// The parameters that decay.
    pub scope: Scope,
}

impl Default for AdamW {
    /// Beta1 0.9, beta2 0.999, epsilon 1e-8, weight decay 0.01 of weights alone.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, scope: Scope::Weights }
    }
}

/// The kernel's parameters; the learning rate is that of a step.
macro_rules! hyper {
    ($self:ident, $lr:expr, $weight_decay:expr) => {
        kernel::Adam {
            lr: $lr,
            beta1: $self.beta1,
            beta2: $self.beta2,
            eps: $self.eps,
            weight_decay: $weight_decay,
        }
    };
}

/// Implements [`Optimizer`] for one of the optimizers with Adam's parameters.
macro_rules! adam_like {
    ($name:ident, $kernel:path, |$self:ident, $tensor:pat_param| $weight_decay:expr) => {
        impl<T: Element> Optimizer<T> for $name {
            fn slots(&self, _: &Tensor) -> usize {
                2
            }

            fn check(&self) -> Result<(), Error> {
                check(&hyper!(self, 0.0, self.weight_decay))
            }

            fn constants(&self, step: u64) -> [f64; 4] {
                constants(&hyper!(self, 0.0, 0.0), step)
            }

            fn update(&$self, step: &StepNumbers, mut part: Part<'_, T>) {
                let $tensor = part.tensor;
                let hyper = hyper!($self, step.learning_rate, $weight_decay);
                let [m, v] = part.slots();
                $kernel(step.isa, &at_step(hyper, step), part.gradient, part.weights, m, v);
            }
        }
    };
}

adam_like!(Adam, kernel::adam, |self, _| self.weight_decay);
adam_like!(Nadam, kernel::nadam, |self, _| self.weight_decay);
adam_like!(AdamW, kernel::adam, |self, tensor| if self.scope.covers(tensor) {
    self.weight_decay
} else {
    0.0
});

/// Checks the ranges of Adam's parameters.
pub(super) fn check(hyper: &kernel::Adam) -> Result<(), Error> {
    check_share("beta1", hyper.beta1)?;
    check_share("beta2", hyper.beta2)?;
    check_nonnegative("epsilon", hyper.eps)?;
    check_nonnegative("weight decay", hyper.weight_decay)
}

/// Adam's bias corrections as the constants of a step.
pub(super) fn constants(hyper: &kernel::Adam, step: u64) -> [f64; 4] {
    let [mean, next_mean, square] = hyper.corrections(step);
    [mean, next_mean, square, 0.0]
}

/// The kernel of a step whose constants are those of [`constants`].
pub(super) fn at_step(hyper: kernel::Adam, step: &StepNumbers) -> kernel::AdamStep {
    let [mean, next_mean, square, _] = step.constants;
    hyper.corrected([mean, next_mean, square])
}
