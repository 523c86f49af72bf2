//! A metric that was asked for, and how its values are printed.

use isograd_datasets::Dataset;
use isograd_model::metric::{self, Metric};
use isograd_model::{Element, Error};
use std::fmt;
use std::sync::Arc;

/// The metric that every test of classes reports.
pub(crate) const ACCURACY: &str = "categorical_accuracy";
/// The metrics of a test of numbers that names none.
const OF_NUMBERS: [&str; 2] = ["regression_mse", "regression_mae"];
/// Losses that are metrics as well.
const OF_LOSSES: [(&str, &str); 2] =
    [("mean_squared_error", OF_NUMBERS[0]), ("mean_absolute_error", OF_NUMBERS[1])];

/// What the targets of samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetKind {
    /// Classes, or shares of classes.
    Classes,
    /// Numbers: the network is a regression.
    Numbers,
}

impl TargetKind {
    pub(crate) fn of(dataset: &dyn Dataset) -> Self {
        let is_regression = dataset.target_values().is_some() && dataset.num_classes() == 0;
        if is_regression { Self::Numbers } else { Self::Classes }
    }

    /// What a test measures that names no metric.
    pub(crate) fn metrics<T: Element>(self) -> Vec<Arc<dyn Metric<T>>> {
        let names = match self {
            Self::Classes => &[ACCURACY][..],
            Self::Numbers => &OF_NUMBERS,
        };
        names.iter().map(|name| metric::by_name(name).expect("a metric of the library")).collect()
    }
}

/// The metrics that a training with `loss` reports which names none: the accuracy of classes; of numbers, the
/// loss' own.
pub(crate) fn of_training(targets: TargetKind, loss: &str) -> Vec<MetricPlan> {
    let own = OF_LOSSES.iter().find(|(name, _)| *name == loss).map(|(_, metric)| *metric);
    let names = match (targets, &own) {
        (TargetKind::Classes, _) => &[ACCURACY][..],
        (TargetKind::Numbers, Some(own)) => std::slice::from_ref(own),
        (TargetKind::Numbers, None) => &OF_NUMBERS,
    };
    names.iter().map(|name| MetricPlan::new(name).expect("a metric of the library")).collect()
}

/// A metric of the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetricPlan {
    name: String,
    label: String,
    is_percent: bool,
}

impl MetricPlan {
    /// The metric called `name`.
    pub(crate) fn new(name: &str) -> Result<Self, Error> {
        let metric = metric::by_name::<f32>(name)?;
        let (name, label) = (metric.name().into_owned(), metric.label().into_owned());
        Ok(Self { name, label, is_percent: metric.is_percent() })
    }

    /// The metric for networks of `T`.
    pub(crate) fn build<T: Element>(&self) -> Arc<dyn Metric<T>> {
        metric::by_name(&self.name).expect("the name of a metric of the library")
    }

    /// A few letters for lines of progress.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// `93.81%`, or `0.1234567`.
    pub(crate) fn show(&self, value: f64) -> String {
        if self.is_percent { format!("{value:.2}%") } else { format!("{value:.7}") }
    }
}

impl fmt::Display for MetricPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_that_names_no_metric_reports_what_its_targets_have() {
        let of = |targets, loss| {
            of_training(targets, loss).iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        assert_eq!(of(TargetKind::Classes, "mean_squared_error"), ACCURACY);
        assert_eq!(of(TargetKind::Numbers, "mean_squared_error"), "regression_mse");
        assert_eq!(of(TargetKind::Numbers, "mean_absolute_error"), "regression_mae");
        assert_eq!(of(TargetKind::Numbers, "huber"), "regression_mse,regression_mae");
    }
}
