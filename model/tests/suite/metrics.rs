//! Metrics in a training run: those of a user, sums of several numbers, and metrics that are NaN.

use crate::common::{build, in_pool, values};
use crate::training::pattern;
use isograd_datasets::Arrays;
use isograd_model::layer::*;
use isograd_model::metric::*;
use isograd_model::{Error, NonFinite, TrainConfig, Trainer, layers};
use std::borrow::Cow;
use std::sync::Arc;

type Metrics = Vec<Arc<dyn Metric<f32>>>;

fn trainer(metrics: Metrics) -> Trainer<f32> {
    let network = build(layers![Input::new(1, 8, 8), Flatten, Dense::new(4), Softmax]);
    let config = TrainConfig { metrics, batch_size: 30, shard_size: 7, ..TrainConfig::default() };
    Trainer::new(network, config).expect("a valid configuration")
}

/// A user's metric of two numbers, whose order of addition shows in the bits: the ratio of two sums of
/// probabilities.
#[derive(Debug)]
struct Ratio;

impl Metric<f32> for Ratio {
    fn name(&self) -> Cow<'static, str> {
        "ratio".into()
    }

    fn direction(&self) -> Direction {
        Direction::Higher
    }

    fn width(&self, outputs: usize) -> usize {
        assert_eq!(outputs, 4);
        2
    }

    fn add(&self, input: &MetricInput<'_, f32>, sums: &mut [f64]) {
        assert_eq!(sums, [0.0; 2]);
        for sample in 0..input.n {
            sums[0] += input.probability(0, sample).sqrt();
            sums[1] += input.probability(1, sample).sqrt();
        }
    }

    fn finish(&self, sums: &[f64], _: usize) -> f64 {
        sums[0] / sums[1]
    }
}

#[test]
fn the_metrics_of_a_user_are_the_same_bits_on_any_number_of_threads() {
    let data = pattern(0..101);
    let run = |threads| {
        in_pool(threads, || {
            let mut trainer = trainer(vec![Arc::new(F1), Arc::new(Ratio), Arc::new(ConfusionMatrix)]);
            let report = trainer.train_epoch(&data, |_| ()).expect("finite losses");
            (report.train, trainer.evaluate(&data).expect("finite losses"))
        })
    };
    let expected = run(1);
    assert_ne!(expected.1.metrics[1], 1.0, "the two sums differ");
    for threads in [2, 3] {
        assert_eq!(run(threads), expected, "{threads} threads");
    }
}

/// The matrix of an evaluation, against single predictions.
#[test]
fn the_sums_of_an_evaluation_are_the_matrix() {
    let data = pattern(0..101);
    let mut trainer = trainer(vec![Arc::new(CategoricalAccuracy), Arc::new(ConfusionMatrix)]);
    trainer.train_epoch(&data, |_| ()).expect("finite losses");
    let evaluation = trainer.evaluate(&data).expect("finite losses");
    let [accuracy, matrix] = &evaluation.sums[..] else { panic!("{evaluation:?}") };
    assert_eq!((accuracy.len(), matrix.len()), (1, 16));
    assert_eq!(matrix.iter().sum::<f64>(), 101.0);
    // The pattern's classes come in turn.
    let rows: Vec<f64> = matrix.chunks(4).map(|row| row.iter().sum()).collect();
    assert_eq!(rows, [26.0, 25.0, 25.0, 25.0]);
    let diagonal: f64 = matrix.iter().step_by(5).sum();
    assert!((evaluation.metrics[0] - 100.0 * diagonal / 101.0).abs() < 1e-12);
    assert!((evaluation.metrics[1] - evaluation.metrics[0]).abs() < 1e-12);
}

/// A user's metric that divides by a sum that stays 0.
#[derive(Debug)]
struct Faulty;

impl Metric<f32> for Faulty {
    fn name(&self) -> Cow<'static, str> {
        "faulty".into()
    }

    fn direction(&self) -> Direction {
        Direction::Lower
    }

    fn width(&self, _: usize) -> usize {
        2
    }

    fn add(&self, _: &MetricInput<'_, f32>, _: &mut [f64]) {}

    fn finish(&self, sums: &[f64], _: usize) -> f64 {
        sums[0] / sums[1]
    }
}

#[test]
fn a_metric_that_is_nan_is_named() {
    let mut trainer = trainer(vec![Arc::new(CategoricalAccuracy), Arc::new(Faulty)]);
    let data = pattern(0..100);
    for (error, samples) in [
        (trainer.train_epoch(&data, |_| ()).expect_err("a NaN"), 30),
        (trainer.evaluate(&data).expect_err("a NaN"), 100),
    ] {
        assert!(matches!(error, Error::NonFinite(NonFinite::Metric { .. })), "{error:?}");
        assert_eq!(error.to_string(), format!("the metric faulty of {samples} samples is NaN"));
    }
}

#[test]
fn metrics_of_classes_do_not_take_numbers() {
    let x: Vec<f32> = values(1, 0, 64 * 8, 1.0);
    let data = Arrays::from_f32_with_values(x, vec![0.25; 4 * 8], [1, 8, 8], 4).expect("a data set");
    let network = || build(layers![Input::new(1, 8, 8), Flatten, Dense::new(4)]);
    let loss = Arc::new(isograd_model::loss::MeanSquaredError);
    let config = TrainConfig { loss, ..TrainConfig::default() };
    let error = Trainer::<f32>::new(network(), config.clone()).expect("fits").evaluate(&data);
    assert_eq!(
        error.expect_err("no classes").to_string(),
        "the metric categorical_accuracy does not take targets that are numbers"
    );
    let config = TrainConfig { metrics: vec![Arc::new(RegressionMse)], ..config };
    let evaluation = Trainer::new(network(), config).expect("fits").evaluate(&data).expect("numbers");
    assert!((evaluation.loss - evaluation.metrics[0]).abs() < 1e-6 * evaluation.loss, "{evaluation:?}");
}

#[test]
fn more_best_outputs_than_classes_are_refused() {
    let network = build::<f32>(layers![Input::new(1, 8, 8), Flatten, Dense::new(4), Softmax]);
    let metrics: Metrics = vec![Arc::new(TopKAccuracy { k: 5 })];
    let error =
        Trainer::new(network, TrainConfig { metrics, ..TrainConfig::default() }).expect_err("4 classes");
    assert_eq!(
        error.to_string(),
        "the k of a top-k accuracy must be at least 1 and at most the number of classes, it is 5 for 4 classes"
    );
}
