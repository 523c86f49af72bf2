//! Losses: what training minimises.
//!
//! A [`Loss`] gets the output of a shard and its targets, gives the sum of the samples' losses, and leaves
//! the gradient. Those of this module are implementations like any other.
//!
//! A target is a class, or a number for each output. Losses of numbers take a class as the vector that is 1
//! at the class and 0 elsewhere. A network with a single output tells two classes apart: its output is the
//! probability of class 1, and the target is the class. The categorical losses cannot do so: they need an
//! output for each class.

mod binary;
mod categorical;
mod hinge;
mod pass;
mod regression;
mod shares;

pub use binary::BinaryCrossEntropy;
pub use categorical::CategoricalCrossEntropy;
pub use hinge::CategoricalHinge;
pub use regression::{Huber, MeanAbsoluteError, MeanSquaredError};

pub(crate) use pass::{Gradient, evaluate, steps};

use crate::error::Error;
use crate::layer::Fusible;
use crate::targets::Targets;
use isograd_kernels::{Element, Isa};
use std::fmt::Debug;
use std::sync::Arc;

/// What training minimises: the mean over samples.
///
/// A training step is the same bits on any number of threads only if a loss is a pure function of its
/// arguments.
///
/// ```
/// use isograd_model::loss::{Loss, LossInput};
/// use isograd_model::{Element, TrainConfig};
/// use std::sync::Arc;
///
/// /// The sum over the outputs of `(y - t)^4`.
/// #[derive(Debug)]
/// struct FourthPower;
///
/// impl<T: Element> Loss<T> for FourthPower {
///     fn name(&self) -> &'static str {
///         "fourth_power"
///     }
///
///     fn takes_values(&self) -> bool {
///         true
///     }
///
///     fn evaluate(&self, input: LossInput<'_, T>) -> f64 {
///         let y = input.output.of_network();
///         let t = input.targets.dense(input.outputs, input.scratch);
///         let differences = || y.iter().zip(t).map(|(y, t)| y.to_f64() - t.to_f64());
///         if let Some(gradient) = input.gradient {
///             let scale = 4.0 / input.global_batch_size as f64;
///             for (g, d) in gradient.iter_mut().zip(differences()) {
///                 *g = T::from_f64(scale * d * d * d);
///             }
///         }
///         differences().map(|d| d * d * d * d).sum()
///     }
/// }
///
/// let config = TrainConfig::<f32> { loss: Arc::new(FourthPower), ..TrainConfig::default() };
/// ```
pub trait Loss<T>: Debug + Send + Sync {
    /// Its name, in errors and reports.
    fn name(&self) -> &'static str;

    /// The output that it takes. A trainer refuses a network whose output is something else; see
    /// [`LastLayerError`](crate::LastLayerError).
    fn takes(&self) -> Takes {
        Takes::Anything
    }

    /// The function that it computes itself where it is the network's last layer: a softmax over all outputs,
    /// or a sigmoid. Then [`evaluate`](Self::evaluate) gets [`LossOutput::LastLayer`], and leaves the
    /// gradient by that layer's input.
    fn fuses(&self) -> Option<Fusible> {
        None
    }

    /// Whether it takes targets that are classes.
    fn takes_classes(&self) -> bool {
        true
    }

    /// Whether it takes targets that are numbers, one for each output.
    fn takes_values(&self) -> bool {
        false
    }

    /// Whether it takes targets that are the shares of classes: a number for each class, from 0 to 1, that
    /// add up to 1. A loss of numbers takes them as numbers.
    fn takes_shares(&self) -> bool {
        self.takes_values()
    }

    /// Whether it takes the number `target` as a target. When the loss of a step is infinite or NaN, training
    /// ends with an error that names the first sample with a target that is not taken; so of such a target,
    /// [`evaluate`](Self::evaluate) must give an infinite sum or NaN.
    fn takes_value(&self, target: f64) -> bool {
        target.is_finite()
    }

    /// The most classes that a network of `outputs` outputs can be trained for: one for each output, or two
    /// for a single output where the loss allows it.
    fn most_classes(&self, outputs: usize) -> usize {
        outputs
    }

    /// Checks that its parameters are in their ranges, for a network of `outputs` outputs. A trainer does so
    /// before it trains.
    ///
    /// # Errors
    ///
    /// The first parameter that is not.
    fn check(&self, outputs: usize) -> Result<(), Error> {
        let _ = outputs;
        Ok(())
    }

    /// The sum of the losses of a shard's samples. Overwrites the gradient, if it is wanted, with the
    /// derivatives of the sum, divided by the global batch size: so the sum of the gradients of all shards is
    /// the gradient of the mean. It must not allocate, or a step would.
    fn evaluate(&self, input: LossInput<'_, T>) -> f64;
}

/// The output that a loss takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Takes {
    /// Any numbers.
    Anything,
    /// Numbers of any size, which are no probabilities.
    Scores,
    /// Probabilities, each output on its own.
    Probabilities,
    /// Probabilities that add up to 1.
    Distribution,
}

/// A shard's output with its targets.
#[derive(Debug)]
#[non_exhaustive]
pub struct LossInput<'a, T> {
    /// The instruction-set level of all kernels.
    pub isa: Isa,
    /// Samples in the shard.
    pub n: usize,
    /// Outputs of a sample.
    pub outputs: usize,
    /// Samples in the whole step, over all shards: what the gradient is divided by.
    pub global_batch_size: usize,
    /// The output, or what the last layer makes it of.
    pub output: LossOutput<'a, T>,
    /// What the output should be.
    pub targets: Targets<'a, T>,
    /// Memory for [`Targets::dense`]: `outputs` elements for each sample if the targets are classes, and none
    /// if they are values.
    pub scratch: &'a mut [T],
    /// The gradient by the output or by the last layer's input, `[outputs, n]`, to be overwritten; `None` if
    /// it is not wanted.
    pub gradient: Option<&'a mut [T]>,
}

/// What a loss works on.
#[derive(Debug)]
pub enum LossOutput<'a, T> {
    /// The output of the network, `[outputs, n]`, samples innermost.
    Network(&'a [T]),
    /// A last layer that the loss [computes](Loss::fuses).
    LastLayer {
        /// The layer's input, `[outputs, n]`.
        x: &'a [T],
        /// Its output, `[outputs, n]`, to be overwritten.
        y: &'a mut [T],
    },
}

impl<'a, T> LossOutput<'a, T> {
    /// The output of the network, for a loss that computes no last layer.
    ///
    /// # Panics
    ///
    /// When the loss is to compute the last layer.
    pub fn of_network(&self) -> &'a [T] {
        match self {
            Self::Network(y) => y,
            Self::LastLayer { x, .. } => panic!("a last layer of {} numbers is not computed", x.len()),
        }
    }
}

/// The names of this module's losses, for [`by_name`].
pub const NAMES: [&str; 6] = [
    "categorical_cross_entropy",
    "binary_cross_entropy",
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "categorical_hinge",
];

/// The loss of this module called `name`, with its usual parameters.
///
/// # Errors
///
/// [`Error::UnknownName`].
pub fn by_name<T: Element>(name: &str) -> Result<Arc<dyn Loss<T>>, Error> {
    Ok(match name {
        "categorical_cross_entropy" => Arc::new(CategoricalCrossEntropy::new()),
        "binary_cross_entropy" => Arc::new(BinaryCrossEntropy),
        "mean_squared_error" => Arc::new(MeanSquaredError),
        "mean_absolute_error" => Arc::new(MeanAbsoluteError),
        "huber" => Arc::new(Huber::default()),
        "categorical_hinge" => Arc::new(CategoricalHinge),
        _ => return Err(Error::unknown_name("loss", name, &NAMES)),
    })
}

/// The most classes for which a loss of numbers can train `outputs` outputs.
fn one_output_for_two_classes(outputs: usize) -> usize {
    if outputs == 1 { 2 } else { outputs }
}
