//! Metrics: what is reported of a network's outputs beside its loss.
//!
//! A [`Metric`] adds up any number of f64 over the samples of a shard; the trainer adds those of the shards
//! in the tree that gradients take, and the metric makes one number of the sums. So metrics are the same bits
//! on any number of threads and ranks, whoever wrote them. Those of this module are implementations like any
//! other.
//!
//! In their formulas `p` is the output, and `t` the target: a number for each output, or 1 at the class and 0
//! elsewhere. Where targets are shares of classes, an accuracy takes the class with the largest one, the
//! first of equals. A single output is the probability of class 1; that of class 0 is what it leaves of 1.

mod accuracy;
mod counts;
mod distance;
mod input;

pub use accuracy::{CategoricalAccuracy, TopKAccuracy};
pub use counts::{ConfusionMatrix, F1, Precision, Recall};
pub use distance::{CategoricalHinge, CategoricalMae, CategoricalMse, RegressionMae, RegressionMse};
pub use input::MetricInput;

use crate::error::Error;
use isograd_kernels::Element;
use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

/// A number that tells how good the outputs of many samples are.
///
/// ```
/// use isograd_model::metric::{Direction, Metric, MetricInput};
/// use isograd_model::{Element, TrainConfig};
/// use std::borrow::Cow;
/// use std::sync::Arc;
///
/// /// The mean probability of the class.
/// #[derive(Debug)]
/// struct Confidence;
///
/// impl<T: Element> Metric<T> for Confidence {
///     fn name(&self) -> Cow<'static, str> {
///         "confidence".into()
///     }
///
///     fn direction(&self) -> Direction {
///         Direction::Higher
///     }
///
///     fn add(&self, input: &MetricInput<'_, T>, sums: &mut [f64]) {
///         for (sample, class) in input.targets.classes().iter().enumerate() {
///             sums[0] += input.probability(*class as usize, sample);
///         }
///     }
/// }
///
/// let config = TrainConfig::<f32> { metrics: vec![Arc::new(Confidence)], ..TrainConfig::default() };
/// ```
pub trait Metric<T>: Debug + Send + Sync {
    /// Its name, in errors and reports.
    fn name(&self) -> Cow<'static, str>;

    /// A few letters for tables and progress lines.
    fn label(&self) -> Cow<'static, str> {
        self.name()
    }

    /// Whether a higher or a lower number is better.
    fn direction(&self) -> Direction;

    /// Whether it is a number of percent.
    fn is_percent(&self) -> bool {
        false
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
    /// add up to 1. A metric of numbers takes them as numbers.
    fn takes_shares(&self) -> bool {
        self.takes_values()
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

    /// How many numbers it adds up, for a network of `outputs` outputs. A trainer keeps as many of each shard
    /// of a step or an evaluation.
    fn width(&self, outputs: usize) -> usize {
        let _ = outputs;
        1
    }

    /// Adds the samples of a shard to `sums`, which are [`width`](Self::width) numbers, 0 before. It must not
    /// allocate, or a step would.
    fn add(&self, input: &MetricInput<'_, T>, sums: &mut [f64]);

    /// The metric of `samples` samples, at least one, with these sums over all of them. The default is the
    /// mean of the first number. If it is NaN, training or evaluation ends with an error.
    fn finish(&self, sums: &[f64], samples: usize) -> f64 {
        sums[0] / samples as f64
    }
}

/// Which of two numbers is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The higher one, as of an accuracy.
    Higher,
    /// The lower one, as of an error.
    Lower,
}

impl Direction {
    /// Whether `value` is better than `other` by more than `by`.
    pub fn is_better(self, value: f64, other: f64, by: f64) -> bool {
        match self {
            Self::Higher => value > other + by,
            Self::Lower => value < other - by,
        }
    }
}

/// The names of this module's metrics, for [`by_name`].
pub const NAMES: [&str; 11] = [
    "categorical_accuracy",
    "categorical_hinge",
    "categorical_mse",
    "categorical_mae",
    "regression_mse",
    "regression_mae",
    "top_5_accuracy",
    "precision",
    "recall",
    "f1",
    "confusion_matrix",
];

/// The metric of this module called `name`. In the name of a top-k accuracy, any number from 1 on can stand
/// in the place of 5.
///
/// # Errors
///
/// [`Error::UnknownName`].
pub fn by_name<T: Element>(name: &str) -> Result<Arc<dyn Metric<T>>, Error> {
    Ok(match name {
        "categorical_accuracy" => Arc::new(CategoricalAccuracy),
        "categorical_hinge" => Arc::new(CategoricalHinge),
        "categorical_mse" => Arc::new(CategoricalMse),
        "categorical_mae" => Arc::new(CategoricalMae),
        "regression_mse" => Arc::new(RegressionMse),
        "regression_mae" => Arc::new(RegressionMae),
        "precision" => Arc::new(Precision),
        "recall" => Arc::new(Recall),
        "f1" => Arc::new(F1),
        "confusion_matrix" => Arc::new(ConfusionMatrix),
        _ => match TopKAccuracy::parse(name) {
            Some(metric) => Arc::new(metric),
            None => return Err(Error::unknown_name("metric", name, &NAMES)),
        },
    })
}

#[cfg(test)]
mod tests;
