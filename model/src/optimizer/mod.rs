//! Optimizers: what a step does with a gradient.
//!
//! An [`Optimizer`] says for each tensor of parameters how many numbers it keeps for each of them, and
//! whether it updates ranges of the tensor or must see all of it. Those of this module are implementations
//! like any other.
//!
//! ```text
//! sum up the gradient, block by block; for each part of a block that belongs to one tensor:
//!     Extent::Range: update the part while its gradient is in the first-level cache
//!     Extent::Whole: keep the gradient
//! update the tensors that were kept, each in whole
//! ```

mod adam;
mod lamb;
mod lars;
mod muon;
mod part;
mod rmsprop;
mod sgd;
mod whole;

pub use adam::{Adam, AdamW, Nadam};
pub use lamb::Lamb;
pub use lars::Lars;
pub use muon::Muon;
pub use part::{MAX_SLOTS, Part, StepNumbers};
pub use rmsprop::RmsProp;
pub use sgd::Sgd;
pub use whole::norm;

pub(crate) use part::Slots;

use crate::error::Error;
use crate::layer::Tensor;
use isograd_kernels::Element;
use std::fmt::Debug;
use std::sync::Arc;

/// A rule that updates parameters from their gradient.
///
/// A training step is the same bits on any number of threads only if an update is a pure function of its
/// arguments, and if an update of a range does not depend on where the range begins and ends.
///
/// ```
/// use isograd_model::layer::Tensor;
/// use isograd_model::optimizer::{Optimizer, Part, StepNumbers};
/// use isograd_model::{Element, kernels::elementwise};
///
/// /// The sign of the gradient alone (Bernstein et al. 2018).
/// #[derive(Debug)]
/// struct SignSgd;
///
/// impl<T: Element> Optimizer<T> for SignSgd {
///     fn slots(&self, _: &Tensor) -> usize {
///         0
///     }
///
///     fn update(&self, step: &StepNumbers, part: Part<'_, T>) {
///         for g in part.gradient.iter_mut() {
///             *g = T::from_f64(if *g > T::ZERO { 1.0 } else if *g < T::ZERO { -1.0 } else { 0.0 });
///         }
///         elementwise::axpy(step.isa, T::from_f64(-step.learning_rate), part.gradient, part.weights);
///     }
/// }
/// ```
pub trait Optimizer<T>: Debug + Send + Sync {
    /// How many numbers it keeps for each parameter of `tensor` from step to step: at most [`MAX_SLOTS`].
    /// They are 0 before the first step. They are a part of a [`Snapshot`](crate::Snapshot), and not of a
    /// file of parameters: training that starts from one starts with zeros again.
    fn slots(&self, tensor: &Tensor) -> usize;

    /// What [`update`](Self::update) sees of `tensor` at a time.
    fn extent(&self, tensor: &Tensor) -> Extent {
        let _ = tensor;
        Extent::Range
    }

    /// Checks that its parameters are in their ranges. A trainer does so before it trains.
    ///
    /// # Errors
    ///
    /// The first parameter that is not.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Numbers that are the same for all parameters in step `step`, counted from 1, such as Adam's bias
    /// corrections. They are computed once a step; `update` finds them in [`StepNumbers::constants`].
    fn constants(&self, step: u64) -> [f64; 4] {
        let _ = step;
        [0.0; 4]
    }

    /// Updates a part of the parameters. It must not allocate, or a step would.
    fn update(&self, step: &StepNumbers, part: Part<'_, T>);

    /// A learning rate to start with when nothing is known of the problem.
    fn default_learning_rate(&self) -> f64 {
        0.001
    }
}

/// What an optimizer sees of a tensor at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Any range of it. An update of a range computes each parameter from its own numbers alone. It is the
    /// faster way, because the update follows the sum of the gradient while a block is in the cache.
    Range,
    /// The whole tensor, as for a norm or a matrix product. Its gradient is written to memory first.
    Whole {
        /// Elements of scratch memory that the update of this tensor needs. Each tensor has its own, because
        /// several threads update different tensors.
        scratch: usize,
    },
}

/// Which tensors something applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Tensors with two or more dimensions. It spares biases and the parameters of normalisations, which
    /// have one: they are few, and pulling them to 0 does not make a network generalise better.
    #[default]
    Weights,
    /// All tensors.
    All,
}

impl Scope {
    /// Whether it applies to `tensor`.
    pub fn covers(self, tensor: &Tensor) -> bool {
        self == Self::All || tensor.dims.len() >= 2
    }
}

/// The names of this module's optimizers, for [`by_name`].
pub const NAMES: [&str; 8] = ["sgd", "rmsprop", "adam", "nadam", "adamw", "lars", "lamb", "muon"];

/// The optimizer of this module called `name`, with its usual parameters.
///
/// # Errors
///
/// [`Error::UnknownName`].
pub fn by_name<T: Element>(name: &str) -> Result<Arc<dyn Optimizer<T>>, Error> {
    Ok(match name {
        "sgd" => Arc::new(Sgd::default()),
        "rmsprop" => Arc::new(RmsProp::default()),
        "adam" => Arc::new(Adam::default()),
        "nadam" => Arc::new(Nadam::default()),
        "adamw" => Arc::new(AdamW::default()),
        "lars" => Arc::new(Lars::default()),
        "lamb" => Arc::new(Lamb::default()),
        "muon" => Arc::new(Muon::default()),
        _ => return Err(Error::unknown_name("optimizer", name, &NAMES)),
    })
}

/// Checks that `value` is a share of an old value that is kept.
fn check_share(name: &'static str, value: f64) -> Result<(), Error> {
    match (0.0..1.0).contains(&value) {
        true => Ok(()),
        false => {
            Err(Error::OutOfRange { name, expected: "at least 0 and below 1", value: value.to_string() })
        }
    }
}

/// Checks that `value` is finite and not negative.
fn check_nonnegative(name: &'static str, value: f64) -> Result<(), Error> {
    match value >= 0.0 && value.is_finite() {
        true => Ok(()),
        false => {
            Err(Error::OutOfRange { name, expected: "a number of at least 0", value: value.to_string() })
        }
    }
}
