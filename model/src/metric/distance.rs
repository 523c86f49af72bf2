//! Distances between outputs and targets.

use super::{Direction, Metric, MetricInput};
use crate::targets::Targets;
use isograd_kernels::Element;
use std::borrow::Cow;

/// The mean of `max(0, 1 + largest p of a wrong class - p of the target)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CategoricalHinge;

/// The mean of `(1 - p of the target)^2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CategoricalMse;

/// The mean of `|1 - p of the target|`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CategoricalMae;

/// The mean over samples and outputs of `(p - t)^2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RegressionMse;

/// The mean over samples and outputs of `|p - t|`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RegressionMae;

/// The larger number. Unlike `f64::max`, it keeps a NaN.
fn larger(a: f64, b: f64) -> f64 {
    if b <= a || a.is_nan() { a } else { b }
}

/// The sum over the samples of the mean over their outputs of a function of `p - t`.
fn sum_of_means<T: Element>(input: &MetricInput<'_, T>, of_difference: impl Fn(f64) -> f64) -> f64 {
    let MetricInput { n, outputs, output, targets, .. } = *input;
    match targets {
        Targets::Values(values) => (0..n).fold(0.0, |sum, sample| {
            let pairs = output[sample..].iter().step_by(n).zip(values[sample..].iter().step_by(n));
            sum + pairs.fold(0.0, |sum, (p, t)| sum + of_difference(p.to_f64() - t.to_f64())) / outputs as f64
        }),
        Targets::Classes(_) => {
            let classes = input.classes();
            input.sum_of_classes(|class, sample| {
                let wrong = (0..classes).filter(|other| *other != class);
                let sum = wrong.fold(0.0, |sum, other| sum + of_difference(input.probability(other, sample)));
                (sum + of_difference(1.0 - input.probability(class, sample))) / classes as f64
            })
        }
    }
}

impl<T: Element> Metric<T> for CategoricalHinge {
    fn name(&self) -> Cow<'static, str> {
        "categorical_hinge".into()
    }

    fn label(&self) -> Cow<'static, str> {
        "hin".into()
    }

    fn direction(&self) -> Direction {
        Direction::Lower
    }

    fn add(&self, input: &MetricInput<'_, T>, sums: &mut [f64]) {
        sums[0] += input.sum_of_classes(|class, sample| {
            let wrong = (0..input.classes()).filter(|other| *other != class);
            let best =
                wrong.fold(f64::NEG_INFINITY, |best, other| larger(best, input.probability(other, sample)));
            larger(1.0 + best - input.probability(class, sample), 0.0)
        });
    }
}

impl<T: Element> Metric<T> for CategoricalMse {
    fn name(&self) -> Cow<'static, str> {
        "categorical_mse".into()
    }

    fn label(&self) -> Cow<'static, str> {
        "cat_mse".into()
    }

    fn direction(&self) -> Direction {
        Direction::Lower
    }

    fn add(&self, input: &MetricInput<'_, T>, sums: &mut [f64]) {
        sums[0] += input.sum_of_classes(|class, sample| {
            let distance = 1.0 - input.probability(class, sample);
            distance * distance
        });
    }
}

impl<T: Element> Metric<T> for CategoricalMae {
    fn name(&self) -> Cow<'static, str> {
        "categorical_mae".into()
    }

    fn label(&self) -> Cow<'static, str> {
        "cat_mae".into()
    }

    fn direction(&self) -> Direction {
        Direction::Lower
    }

    fn add(&self, input: &MetricInput<'_, T>, sums: &mut [f64]) {
        sums[0] += input.sum_of_classes(|class, sample| (1.0 - input.probability(class, sample)).abs());
    }
}

impl<T: Element> Metric<T> for RegressionMse {
    fn name(&self) -> Cow<'static, str> {
        "regression_mse".into()
    }

    fn label(&self) -> Cow<'static, str> {
        "mse".into()
    }

    fn direction(&self) -> Direction {
        Direction::Lower
    }

    fn takes_values(&self) -> bool {
        true
    }

    fn add(&self, input: &MetricInput<'_, T>, sums: &mut [f64]) {
        sums[0] += sum_of_means(input, |difference| difference * difference);
    }
}

impl<T: Element> Metric<T> for RegressionMae {
    fn name(&self) -> Cow<'static, str> {
        "regression_mae".into()
    }

    fn label(&self) -> Cow<'static, str> {
        "mae".into()
    }

    fn direction(&self) -> Direction {
        Direction::Lower
    }

    fn takes_values(&self) -> bool {
        true
    }

    fn add(&self, input: &MetricInput<'_, T>, sums: &mut [f64]) {
        sums[0] += sum_of_means(input, f64::abs);
    }
}
