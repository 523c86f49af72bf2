//! Optimizers: what a step does with a gradient.

use crate::error::Error;
use crate::names::named;
use isograd_kernels::{Element, Isa, optimizer};

/// An optimizer with its parameters.
///
/// Its name is parsed to the usual ones: `sgd` (momentum 0.9), `rmsprop` (rho 0.9, eps 1e-7), `adam` or `nadam` (beta1 0.9,
/// beta2 0.999, eps 1e-7), without weight decay.
///
/// Weight decay is decoupled (Loshchilov, Hutter: "Decoupled weight decay regularization", ICLR 2019): `w -= lr * decay * w`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum, Nesterov's where asked for.
    Sgd {
        /// Share of the old velocity, in [0, 1).
        momentum: f64,
        /// Whether the step looks ahead along the velocity.
        nesterov: bool,
        /// Decoupled weight decay.
        weight_decay: f64,
    },
    /// RMSProp.
    RmsProp {
        /// Share of the old mean square, in [0, 1).
        rho: f64,
        /// Addend of the root.
        eps: f64,
        /// Decoupled weight decay.
        weight_decay: f64,
    },
    /// Adam.
    Adam(AdamParameters),
    /// Adam with Nesterov's momentum.
    Nadam(AdamParameters),
}

/// Parameters of Adam and Nadam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamParameters {
    /// Share of the old mean, in [0, 1).
    pub beta1: f64,
    /// Share of the old mean square, in [0, 1).
    pub beta2: f64,
    /// Addend of the root.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

impl AdamParameters {
    const DEFAULT: Self = Self { beta1: 0.9, beta2: 0.999, eps: 1e-7, weight_decay: 0.0 };
}

impl Default for AdamParameters {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::Adam(AdamParameters::DEFAULT)
    }
}

named!(Optimizer, "optimizer", {
    "sgd" => Self::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0 },
    "rmsprop" => Self::RmsProp { rho: 0.9, eps: 1e-7, weight_decay: 0.0 },
    "adam" => Self::Adam(AdamParameters::DEFAULT),
    "nadam" => Self::Nadam(AdamParameters::DEFAULT),
});

impl Optimizer {
    /// The learning rate that suits it when nothing is known of the problem: 0.001, and 0.01 for `sgd`.
    pub fn default_learning_rate(&self) -> f64 {
        match self {
            Self::Sgd { .. } => 0.01,
            _ => 0.001,
        }
    }

    /// Checks that all parameters are in their ranges.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let share = |name, value: f64| match (0.0..1.0).contains(&value) {
            true => Ok(()),
            false => {
                Err(Error::OutOfRange { name, expected: "at least 0 and below 1", value: value.to_string() })
            }
        };
        let nonnegative = |name, value: f64| match value >= 0.0 && value.is_finite() {
            true => Ok(()),
            false => {
                Err(Error::OutOfRange { name, expected: "a number of at least 0", value: value.to_string() })
            }
        };
        match self {
            Self::Sgd { momentum, weight_decay, .. } => {
                share("momentum", *momentum)?;
                nonnegative("weight decay", *weight_decay)
            }
            Self::RmsProp { rho, eps, weight_decay } => {
                share("rho", *rho)?;
                nonnegative("epsilon", *eps)?;
                nonnegative("weight decay", *weight_decay)
            }
            Self::Adam(adam) | Self::Nadam(adam) => {
                share("beta1", adam.beta1)?;
                share("beta2", adam.beta2)?;
                nonnegative("epsilon", adam.eps)?;
                nonnegative("weight decay", adam.weight_decay)
            }
        }
    }

    /// The kernel of step `step`, counted from 1.
    pub(crate) fn at_step(&self, lr: f64, step: u64) -> Update {
        let at_step = |adam: AdamParameters| {
            let AdamParameters { beta1, beta2, eps, weight_decay } = adam;
            optimizer::Adam { lr, beta1, beta2, eps, weight_decay }.at_step(step)
        };
        match *self {
            Self::Sgd { momentum, nesterov, weight_decay } => {
                Update::Sgd(optimizer::Sgd { lr, momentum, nesterov, weight_decay })
            }
            Self::RmsProp { rho, eps, weight_decay } => {
                Update::RmsProp(optimizer::RmsProp { lr, rho, eps, weight_decay })
            }
            Self::Adam(adam) => Update::Adam(at_step(adam)),
            Self::Nadam(adam) => Update::Nadam(at_step(adam)),
        }
    }
}

/// What one step does to every parameter.
pub(crate) enum Update {
    Sgd(optimizer::Sgd),
    RmsProp(optimizer::RmsProp),
    Adam(optimizer::AdamStep),
    Nadam(optimizer::AdamStep),
}

impl Update {
    /// Updates a range of the parameters `w` from the gradients `g` of that range, with the optimizer's state `m` and `v`; the
    /// optimizers that have one mean only keep it in `v`.
    pub(crate) fn apply<T: Element>(&self, isa: Isa, w: &mut [T], g: &[T], m: &mut [T], v: &mut [T]) {
        match self {
            Self::Sgd(hyper) => optimizer::sgd(isa, hyper, g, w, v),
            Self::RmsProp(hyper) => optimizer::rmsprop(isa, hyper, g, w, v),
            Self::Adam(step) => optimizer::adam(isa, step, g, w, m, v),
            Self::Nadam(step) => optimizer::nadam(isa, step, g, w, m, v),
        }
    }
}
