//! Metrics against their definitions.

use super::*;
use crate::targets::Targets;
use isograd_kernels::Isa;

/// Two samples of three outputs, samples innermost.
const OUTPUT: [f64; 6] = [0.2, 0.5, 0.7, 0.5, 0.1, 0.0];
const LABELS: [u32; 2] = [1, 1];

fn sums_of(name: &str, output: &[f64], targets: Targets<'_, f64>, n: usize) -> (Vec<f64>, f64) {
    let metric = by_name::<f64>(name).expect("a known name");
    let mut sums = vec![0.0; metric.width(output.len() / n)];
    metric.add(&MetricInput::new(Isa::best(), n, output, targets), &mut sums);
    let value = metric.finish(&sums, n);
    (sums, value)
}

fn of(name: &str, output: &[f64], labels: &[u32]) -> f64 {
    sums_of(name, output, Targets::Classes(labels), labels.len()).1
}

fn expect(name: &str, output: &[f64], labels: &[u32], value: f64) {
    let got = of(name, output, labels);
    assert!((got - value).abs() < 1e-12, "{name} of {output:?}, {labels:?}: {got}, expected {value}");
}

#[test]
fn metrics_are_those_of_the_definitions() {
    let expect = |name, sum: f64| expect(name, &OUTPUT, &LABELS, sum / 2.0);
    // In the second sample classes 0 and 1 tie: the first of them counts, which is wrong.
    expect("categorical_accuracy", 100.0);
    expect("top_1_accuracy", 100.0);
    expect("top_2_accuracy", 200.0);
    expect("categorical_hinge", (1.0 + 0.2 - 0.7) + (1.0 + 0.5 - 0.5));
    expect("categorical_mse", 0.09 + 0.25);
    expect("categorical_mae", 0.3 + 0.5);
    expect("regression_mse", (0.04 + 0.09 + 0.01) / 3.0 + (0.25 + 0.25 + 0.0) / 3.0);
    expect("regression_mae", (0.2 + 0.3 + 0.1) / 3.0 + (0.5 + 0.5 + 0.0) / 3.0);
    expect("confusion_matrix", 100.0);
}

/// In the order of the definition: of equal shares the first counts.
#[test]
fn of_shares_the_largest_counts() {
    for (shares, accuracy) in [([0.0, 0.4, 0.6, 0.4, 0.4, 0.2], 100.0), ([0.5, 0.0, 0.0, 0.7, 0.5, 0.3], 0.0)]
    {
        let value = sums_of("categorical_accuracy", &OUTPUT, Targets::Values(&shares), 2).1;
        assert_eq!(value, accuracy, "{shares:?}");
    }
    assert_eq!(sums_of("top_3_accuracy", &OUTPUT, Targets::Values(&[0.3; 6]), 2).1, 100.0);
}

#[test]
fn one_output_is_the_probability_of_class_1() {
    for (p, of_class_0, of_class_1) in [(0.7, 0.0, 100.0), (0.3, 100.0, 0.0), (0.5, 100.0, 0.0)] {
        for name in ["categorical_accuracy", "top_1_accuracy", "confusion_matrix"] {
            expect(name, &[p], &[0], of_class_0);
            expect(name, &[p], &[1], of_class_1);
        }
    }
    for (label, distance) in [(0, 0.7), (1, 0.3)] {
        expect("categorical_hinge", &[0.7], &[label], 2.0 * distance);
        for name in ["categorical_mse", "regression_mse"] {
            expect(name, &[0.7], &[label], distance * distance);
        }
        for name in ["categorical_mae", "regression_mae"] {
            expect(name, &[0.7], &[label], distance);
        }
    }
    assert_eq!(of("categorical_accuracy", &[f64::NAN], &[1]), 0.0);
}

/// Ten samples of three of four classes, as a matrix of what they are taken for.
#[test]
fn counts_are_those_of_the_matrix() {
    let matrix = [[3.0, 1.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [1.0, 1.0, 2.0, 0.0], [0.0; 4]];
    let (mut labels, mut taken) = (Vec::new(), Vec::new());
    for (class, row) in matrix.iter().enumerate() {
        for (other, count) in row.iter().enumerate() {
            labels.extend((0..*count as usize).map(|_| class as u32));
            taken.extend((0..*count as usize).map(|_| other));
        }
    }
    let n = labels.len();
    let mut output = vec![0.125; 4 * n];
    taken.iter().enumerate().for_each(|(sample, class)| output[class * n + sample] = 0.5);
    let (sums, value) = sums_of("confusion_matrix", &output, Targets::Classes(&labels), n);
    assert_eq!((sums, value), (matrix.concat(), 70.0));
    // Class 3 does not occur.
    let (precision, recall) = ([0.75, 0.5, 1.0], [0.75, 1.0, 0.5]);
    expect("precision", &output, &labels, precision.iter().sum::<f64>() / 3.0);
    expect("recall", &output, &labels, recall.iter().sum::<f64>() / 3.0);
    let f1 = precision.iter().zip(recall).map(|(p, r)| 2.0 * p * r / (p + r)).sum::<f64>() / 3.0;
    expect("f1", &output, &labels, f1);
    // A class that is never found has the shares 0, not NaN.
    for name in ["precision", "recall", "f1"] {
        expect(name, &[0.75, 0.25], &[1], 0.0);
    }
}

#[test]
fn numbers_are_compared_with_outputs() {
    let (output, targets) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.5, 2.0, 2.0, 4.0, 5.0, 9.0]);
    let of = |name| sums_of(name, &output, Targets::Values(&targets), 2).1;
    assert!((of("regression_mse") - (0.25 + 1.0 + 9.0) / 6.0).abs() < 1e-12);
    assert!((of("regression_mae") - (0.5 + 1.0 + 3.0) / 6.0).abs() < 1e-12);
    // A single output stands for itself, not for two classes.
    assert_eq!(sums_of("regression_mae", &[3.0], Targets::Values(&[5.0]), 1).1, 2.0);
}

/// An accuracy of 0, and otherwise NaN: wherever the NaN is, if the metric looks there at all.
#[test]
fn a_nan_is_never_accurate() {
    for name in NAMES {
        let is_bad = |output: &[f64], label| match name {
            "top_5_accuracy" => of("top_1_accuracy", output, &[label]) == 0.0,
            "categorical_accuracy" | "precision" | "recall" | "f1" | "confusion_matrix" => {
                of(name, output, &[label]) == 0.0
            }
            _ => of(name, output, &[label]).is_nan(),
        };
        for label in 0..3 {
            let mut output = [0.25; 3];
            output[label as usize] = f64::NAN;
            assert!(is_bad(&output, label), "{name} of target {label}, which is NaN");
        }
        if matches!(name, "categorical_mse" | "categorical_mae") {
            continue;
        }
        for nan in [0, 1, 2] {
            let mut output = [0.25; 3];
            output[nan] = f64::NAN;
            let label = (nan as u32 + 1) % 3;
            assert!(is_bad(&output, label), "{name} of target {label} and output {nan}, which is NaN");
        }
    }
}

#[test]
fn names_are_those_by_which_they_are_found() {
    for name in NAMES.into_iter().chain(["top_1_accuracy", "top_20_accuracy"]) {
        assert_eq!(by_name::<f32>(name).expect("a known name").name(), name);
    }
    for name in ["top_0_accuracy", "top_+5_accuracy", "top_05_accuracy", "top__accuracy", "f2"] {
        let error = by_name::<f32>(name).expect_err("no such metric").to_string();
        assert!(error.starts_with(&format!("unknown metric '{name}'; known are ")), "{error}");
    }
    let error = Metric::<f32>::check(&TopKAccuracy { k: 5 }, 4).expect_err("too many").to_string();
    assert_eq!(
        error,
        "the k of a top-k accuracy must be at least 1 and at most the number of classes, it is 5 for 4 classes"
    );
}
