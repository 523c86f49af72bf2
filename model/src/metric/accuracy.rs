//! Shares of samples whose class is found.

use super::{Direction, Metric, MetricInput};
use crate::error::Error;
use isograd_kernels::Element;
use std::borrow::Cow;

/// The share of samples whose largest output is the target's, the first of equals counting; in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CategoricalAccuracy;

impl<T: Element> Metric<T> for CategoricalAccuracy {
    fn name(&self) -> Cow<'static, str> {
        "categorical_accuracy".into()
    }

    fn label(&self) -> Cow<'static, str> {
        "acc".into()
    }

    fn direction(&self) -> Direction {
        Direction::Higher
    }

    fn is_percent(&self) -> bool {
        true
    }

    fn takes_shares(&self) -> bool {
        true
    }

    fn add(&self, input: &MetricInput<'_, T>, sums: &mut [f64]) {
        sums[0] +=
            input.sum_of_classes(|class, sample| if input.rank(class, sample) == 0 { 100.0 } else { 0.0 });
    }
}

/// The share of samples whose target is among the `k` largest outputs, the first of equals counting and NaN
/// before all numbers; in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopKAccuracy {
    /// How many outputs count, from 1 to the number of classes.
    pub k: usize,
}

impl TopKAccuracy {
    /// The metric that is called `name`, if `name` is that of a top-k accuracy.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let k = name.strip_prefix("top_")?.strip_suffix("_accuracy")?;
        let is_plain = k.starts_with(|first| matches!(first, '1'..='9'));
        k.parse().ok().filter(|_| is_plain).map(|k| Self { k })
    }
}

impl<T: Element> Metric<T> for TopKAccuracy {
    fn name(&self) -> Cow<'static, str> {
        format!("top_{}_accuracy", self.k).into()
    }

    fn label(&self) -> Cow<'static, str> {
        format!("top{}", self.k).into()
    }

    fn direction(&self) -> Direction {
        Direction::Higher
    }

    fn is_percent(&self) -> bool {
        true
    }

    fn takes_shares(&self) -> bool {
        true
    }

    fn check(&self, outputs: usize) -> Result<(), Error> {
        let classes = if outputs == 1 { 2 } else { outputs };
        if (1..=classes).contains(&self.k) {
            return Ok(());
        }
        let (name, expected) = ("the k of a top-k accuracy", "at least 1 and at most the number of classes");
        Err(Error::OutOfRange { name, expected, value: format!("{} for {classes} classes", self.k) })
    }

    fn add(&self, input: &MetricInput<'_, T>, sums: &mut [f64]) {
        sums[0] += input.sum_of_classes(
            |class, sample| {
                if input.rank(class, sample) < self.k { 100.0 } else { 0.0 }
            },
        );
    }
}
