//! Metrics of how often each class was found, missed and mistaken for another one.

use super::{Direction, Metric, MetricInput};
use isograd_kernels::Element;
use std::borrow::Cow;

/// The mean over the classes of the share of the samples taken for the class that are of it.
///
/// The class of a sample is taken to be that of the largest output, the first of equals; none if one is NaN.
/// A share of no samples is 0. Classes that no sample has or is taken for do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Precision;

/// The mean over the classes of the share of the samples of the class that are taken for it. Otherwise as
/// [`Precision`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recall;

/// The mean over the classes of the harmonic mean of their precision and recall. Otherwise as [`Precision`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct F1;

/// How many samples of each class are taken for each class: number `[class, taken for]` of
/// [`Evaluation::sums`](crate::Evaluation::sums), row after row. As a metric, it is the share of samples on
/// the diagonal, in percent.
///
/// The class of a sample is taken to be that of the largest output, the first of equals. A sample with an
/// output that is NaN is in no column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConfusionMatrix;

/// The number of classes that `outputs` outputs tell apart.
fn classes(outputs: usize) -> usize {
    if outputs == 1 { 2 } else { outputs }
}

/// Counts of a class: samples that are of it and taken for it, samples taken for it, samples of it.
#[derive(Clone, Copy)]
struct Counts {
    hits: f64,
    taken: f64,
    actual: f64,
}

/// Adds the counts of a shard to `sums` `[3, classes]`.
fn add_counts<T: Element>(input: &MetricInput<'_, T>, sums: &mut [f64]) {
    let classes = input.classes();
    for (sample, class) in input.targets.classes().iter().enumerate() {
        let (class, predicted) = (*class as usize, input.predicted(sample));
        if let Some(predicted) = predicted {
            sums[classes + predicted] += 1.0;
        }
        if predicted == Some(class) {
            sums[class] += 1.0;
        }
        sums[2 * classes + class] += 1.0;
    }
}

/// The mean of `of_class` over the classes of `sums` that count.
fn mean(sums: &[f64], of_class: impl Fn(Counts) -> f64) -> f64 {
    let classes = sums.len() / 3;
    let counts = |class: usize| Counts {
        hits: sums[class],
        taken: sums[classes + class],
        actual: sums[2 * classes + class],
    };
    let of_counts = (0..classes).map(counts).filter(|counts| counts.taken + counts.actual > 0.0);
    let (total, count) =
        of_counts.fold((0.0, 0.0), |(total, count), counts| (total + of_class(counts), count + 1.0));
    share(total, count)
}

/// `part / whole`, and 0 of nothing.
fn share(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

/// Implements [`Metric`] for a mean over the classes.
macro_rules! mean_over_classes {
    ($metric:ident, $name:literal, $label:literal, $of_class:expr) => {
        impl<T: Element> Metric<T> for $metric {
            fn name(&self) -> Cow<'static, str> {
                $name.into()
            }

            fn label(&self) -> Cow<'static, str> {
                $label.into()
            }

            fn direction(&self) -> Direction {
                Direction::Higher
            }

            fn width(&self, outputs: usize) -> usize {
                3 * classes(outputs)
            }

            fn add(&self, input: &MetricInput<'_, T>, sums: &mut [f64]) {
                add_counts(input, sums);
            }

            fn finish(&self, sums: &[f64], _: usize) -> f64 {
                mean(sums, $of_class)
            }
        }
    };
}

mean_over_classes!(Precision, "precision", "prec", |Counts { hits, taken, .. }| share(hits, taken));
mean_over_classes!(Recall, "recall", "rec", |Counts { hits, actual, .. }| share(hits, actual));
mean_over_classes!(F1, "f1", "f1", |Counts { hits, taken, actual }| share(2.0 * hits, taken + actual));

impl<T: Element> Metric<T> for ConfusionMatrix {
    fn name(&self) -> Cow<'static, str> {
        "confusion_matrix".into()
    }

    fn label(&self) -> Cow<'static, str> {
        "conf".into()
    }

    fn direction(&self) -> Direction {
        Direction::Higher
    }

    fn is_percent(&self) -> bool {
        true
    }

    fn width(&self, outputs: usize) -> usize {
        classes(outputs).saturating_mul(classes(outputs))
    }

    fn add(&self, input: &MetricInput<'_, T>, sums: &mut [f64]) {
        for (sample, class) in input.targets.classes().iter().enumerate() {
            if let Some(predicted) = input.predicted(sample) {
                sums[*class as usize * input.classes() + predicted] += 1.0;
            }
        }
    }

    fn finish(&self, sums: &[f64], samples: usize) -> f64 {
        let classes = sums.len().isqrt();
        100.0 * sums.iter().step_by(classes + 1).sum::<f64>() / samples as f64
    }
}
