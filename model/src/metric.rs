//! Metrics of a network's output beside its loss.

use crate::names::named;
use isograd_kernels::Element;

/// A mean over samples. `p` is the output, `t` the target: 1 at the class, 0 elsewhere. A single output is
/// the probability of class 1; that of class 0 is what it leaves of 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Metric {
    /// Whether the largest output is the target's, the first of equals counting; in percent.
    CategoricalAccuracy,
    /// `max(0, 1 + largest p of a wrong class - p of the target)`.
    CategoricalHinge,
    /// `(1 - p of the target)^2`.
    CategoricalMse,
    /// `|1 - p of the target|`.
    CategoricalMae,
    /// The mean over the outputs of `(p - t)^2`.
    RegressionMse,
    /// The mean over the outputs of `|p - t|`.
    RegressionMae,
}

named!(Metric, "metric", {
    "categorical_accuracy" => Self::CategoricalAccuracy,
    "categorical_hinge" => Self::CategoricalHinge,
    "categorical_mse" => Self::CategoricalMse,
    "categorical_mae" => Self::CategoricalMae,
    "regression_mse" => Self::RegressionMse,
    "regression_mae" => Self::RegressionMae,
});

impl Metric {
    /// A few letters for tables and progress lines.
    pub fn label(self) -> &'static str {
        match self {
            Self::CategoricalAccuracy => "acc",
            Self::CategoricalHinge => "hin",
            Self::CategoricalMse => "cat_mse",
            Self::CategoricalMae => "cat_mae",
            Self::RegressionMse => "mse",
            Self::RegressionMae => "mae",
        }
    }

    /// The sum over the samples of `output` `[outputs, n]`, added in sample order.
    pub fn sum<T: Element>(self, output: &[T], labels: &[u32]) -> f64 {
        let n = labels.len();
        if output.len() == n {
            let of_probability = |(p, label): (&T, &u32)| {
                let p = p.to_f64();
                self.of_sample(&[1.0 - p, p], 1, *label as usize)
            };
            return output.iter().zip(labels).map(of_probability).sum();
        }
        labels.iter().enumerate().map(|(i, label)| self.of_sample(&output[i..], n, *label as usize)).sum()
    }

    /// The metric of the sample whose outputs are every `n`-th element.
    fn of_sample<T: Element>(self, output: &[T], n: usize, label: usize) -> f64 {
        let outputs = || output.iter().step_by(n).map(|p| p.to_f64());
        let target = output[label * n].to_f64();
        let wrong = || outputs().enumerate().filter(|(class, _)| *class != label).map(|(_, p)| p);
        match self {
            Self::CategoricalAccuracy => {
                let beaten =
                    outputs().enumerate().all(|(class, p)| p < target || p == target && class >= label);
                if beaten { 100.0 } else { 0.0 }
            }
            Self::CategoricalHinge => {
                // Unlike `f64::max`, comparisons this way round keep a NaN.
                let larger = |a: f64, b: f64| if b <= a || a.is_nan() { a } else { b };
                larger(1.0 + wrong().fold(f64::NEG_INFINITY, larger) - target, 0.0)
            }
            Self::CategoricalMse => (1.0 - target) * (1.0 - target),
            Self::CategoricalMae => (1.0 - target).abs(),
            Self::RegressionMse => {
                let count = outputs().count() as f64;
                (wrong().map(|p| p * p).sum::<f64>() + (1.0 - target) * (1.0 - target)) / count
            }
            Self::RegressionMae => {
                let count = outputs().count() as f64;
                (wrong().map(f64::abs).sum::<f64>() + (1.0 - target).abs()) / count
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two samples of three outputs, samples innermost.
    const OUTPUT: [f64; 6] = [0.2, 0.5, 0.7, 0.5, 0.1, 0.0];
    const LABELS: [u32; 2] = [1, 1];

    #[test]
    fn sums_are_those_of_the_definitions() {
        let expect = |metric: Metric, value: f64| {
            let sum = metric.sum(&OUTPUT, &LABELS);
            assert!((sum - value).abs() < 1e-12, "{metric}: {sum}, expected {value}");
        };
        // In the second sample classes 0 and 1 tie: the first of them counts, which is wrong.
        expect(Metric::CategoricalAccuracy, 100.0);
        expect(Metric::CategoricalHinge, (1.0 + 0.2 - 0.7) + (1.0 + 0.5 - 0.5));
        expect(Metric::CategoricalMse, 0.09 + 0.25);
        expect(Metric::CategoricalMae, 0.3 + 0.5);
        expect(Metric::RegressionMse, (0.04 + 0.09 + 0.01) / 3.0 + (0.25 + 0.25 + 0.0) / 3.0);
        expect(Metric::RegressionMae, (0.2 + 0.3 + 0.1) / 3.0 + (0.5 + 0.5 + 0.0) / 3.0);
    }

    #[test]
    fn one_output_is_the_probability_of_class_1() {
        let expect = |metric: Metric, p: f64, label: u32, value: f64| {
            let got = metric.sum(&[p], &[label]);
            assert!((got - value).abs() < 1e-12, "{metric} of {p}, class {label}: {got}, expected {value}");
        };
        for (p, of_class_0, of_class_1) in [(0.7, 0.0, 100.0), (0.3, 100.0, 0.0), (0.5, 100.0, 0.0)] {
            expect(Metric::CategoricalAccuracy, p, 0, of_class_0);
            expect(Metric::CategoricalAccuracy, p, 1, of_class_1);
        }
        for (label, distance) in [(0, 0.7), (1, 0.3)] {
            expect(Metric::CategoricalHinge, 0.7, label, 2.0 * distance);
            for metric in [Metric::CategoricalMse, Metric::RegressionMse] {
                expect(metric, 0.7, label, distance * distance);
            }
            for metric in [Metric::CategoricalMae, Metric::RegressionMae] {
                expect(metric, 0.7, label, distance);
            }
        }
        assert_eq!(Metric::CategoricalAccuracy.sum(&[f64::NAN], &[1]), 0.0);
    }

    /// An accuracy of 0, and otherwise NaN: wherever the NaN is, if the metric looks there at all.
    #[test]
    fn a_nan_is_never_accurate() {
        for metric in Metric::NAMES.map(|name| name.parse().expect("a known name")) {
            let is_bad = |output: &[f64], label| match metric {
                Metric::CategoricalAccuracy => metric.sum(output, &[label]) == 0.0,
                _ => metric.sum(output, &[label]).is_nan(),
            };
            for label in 0..3 {
                let mut output = [0.25; 3];
                output[label as usize] = f64::NAN;
                assert!(is_bad(&output, label), "{metric} of target {label}, which is NaN");
            }
            if matches!(metric, Metric::CategoricalMse | Metric::CategoricalMae) {
                continue;
            }
            for nan in [0, 1, 2] {
                let mut output = [0.25; 3];
                output[nan] = f64::NAN;
                let label = (nan as u32 + 1) % 3;
                assert!(is_bad(&output, label), "{metric} of target {label} and output {nan}, which is NaN");
            }
        }
    }
}
