//! Losses with targets that are numbers, with smoothing, weights and parameters out of range.

use crate::common::{assert_close, build, labels, largest, values};
use isograd_datasets::augment::{Augmented, CutMix, Mixing, Mixup};
use isograd_datasets::{Arrays, Synthetic};
use isograd_kernels::{Element, Isa};
use isograd_model::layer::*;
use isograd_model::loss::*;
use isograd_model::{DataError, Error, Network, Randomness, Targets, TrainConfig, Trainer, layers};
use std::sync::Arc;

type Layers<T> = Vec<Box<dyn Layer<T>>>;

const N: usize = 9;

/// Four outputs behind `head`.
fn network<T: Element>(head: Layers<T>) -> Network<T> {
    let mut layers = layers![Input::vector(5), Dense::new(4)];
    layers.extend(head);
    build(layers)
}

fn evaluate(
    network: &Network<f64>,
    isa: Isa,
    params: &[f64],
    loss: &dyn Loss<f64>,
    targets: Targets<'_, f64>,
) -> (f64, Vec<f64>) {
    let mut state = network.initial_state(0).expect("memory");
    state.params_mut().copy_from_slice(params);
    let x = values::<f64>(3, 0, 5 * N, 1.0);
    network.loss_and_gradients(&state, isa, loss, Randomness::default(), &x, targets)
}

/// Compares the gradients with central differences, at every level.
fn check_gradient(what: &str, loss: &dyn Loss<f64>, head: fn() -> Layers<f64>, targets: Targets<'_, f64>) {
    const H: f64 = 1.0 / (1u64 << 18) as f64;
    let network = network(head());
    let params = values::<f64>(3, 1, network.parameter_count(), 1.0);
    for isa in Isa::available() {
        let (value, gradient) = evaluate(&network, isa, &params, loss, targets);
        let size = largest(&gradient);
        assert!(size > 1e-3, "{what}: the largest gradient is {size:e}, which checks nothing");
        let bound = 64.0 * f64::EPSILON * value / H + 1e3 * H * H * size;
        for (i, gradient) in gradient.iter().enumerate() {
            let at = |by: f64| {
                let mut params = params.clone();
                params[i] += by;
                evaluate(&network, isa, &params, loss, targets).0
            };
            let difference = (at(H) - at(-H)) / (2.0 * H);
            assert!(
                (gradient - difference).abs() <= bound,
                "{isa}, {what}: the gradient by parameter {i} is {gradient}, the difference quotient {difference}"
            );
        }
    }
}

fn softmax() -> Layers<f64> {
    layers![Softmax]
}

/// A softmax that the loss does not compute.
fn open_softmax() -> Layers<f64> {
    layers![Softmax, Flatten]
}

fn sigmoid() -> Layers<f64> {
    layers![Sigmoid]
}

fn open_sigmoid() -> Layers<f64> {
    layers![Sigmoid, Flatten]
}

fn scores() -> Layers<f64> {
    layers![]
}

#[test]
fn gradients_are_central_differences() {
    let labels = labels(3, 2, N, 4);
    let numbers = values::<f64>(3, 3, 4 * N, 1.0);
    let shares: Vec<f64> = numbers.iter().map(|value| (value + 1.0) / 2.0).collect();
    let (classes, numbers, shares) =
        (Targets::Classes(&labels), Targets::Values(&numbers), Targets::Values(&shares));
    let smoothed = CategoricalCrossEntropy { smoothing: 0.2, class_weights: Some(vec![1.0, 0.5, 0.0, 2.0]) };
    check_gradient("smoothed", &smoothed, softmax, classes);
    check_gradient("smoothed, of probabilities", &smoothed, open_softmax, classes);
    for head in [softmax, open_softmax] {
        check_gradient("shares", &CategoricalCrossEntropy::new(), head, shares);
        check_gradient("smoothed shares", &smoothed, head, shares);
    }
    check_gradient("hinge", &CategoricalHinge, scores, classes);
    check_gradient("binary, of values", &BinaryCrossEntropy, sigmoid, shares);
    check_gradient("binary, of values and probabilities", &BinaryCrossEntropy, open_sigmoid, shares);
    for targets in [classes, numbers] {
        check_gradient("squared", &MeanSquaredError, scores, targets);
        check_gradient("absolute", &MeanAbsoluteError, scores, targets);
        check_gradient("Huber", &Huber { delta: 0.5 }, scores, targets);
    }
}

/// The loss that computes the last layer, against the one that works on its output.
#[test]
fn of_scores_they_are_those_of_probabilities() {
    let labels = labels(3, 2, N, 4);
    let shares: Vec<f64> = values::<f64>(3, 3, 4 * N, 0.5).iter().map(|value| value + 0.5).collect();
    let smoothed = CategoricalCrossEntropy { smoothing: 0.1, class_weights: Some(vec![1.0, 0.5, 3.0, 2.0]) };
    let of = |loss: &dyn Loss<f64>, head: Layers<f64>, targets| {
        let network = network(head);
        let params = values::<f64>(3, 1, network.parameter_count(), 1.0);
        evaluate(&network, Isa::best(), &params, loss, targets)
    };
    for ((fused, gradient), (open, open_gradient)) in [
        (
            of(&smoothed, softmax(), Targets::Classes(&labels)),
            of(&smoothed, open_softmax(), Targets::Classes(&labels)),
        ),
        (
            of(&smoothed, softmax(), Targets::Values(&shares)),
            of(&smoothed, open_softmax(), Targets::Values(&shares)),
        ),
        (
            of(&BinaryCrossEntropy, sigmoid(), Targets::Values(&shares)),
            of(&BinaryCrossEntropy, open_sigmoid(), Targets::Values(&shares)),
        ),
    ] {
        // Probabilities are not small: a few roundings.
        let unit = 64.0 * f64::EPSILON;
        assert_close("loss", &[fused], &[open], unit * open);
        assert_close("gradient", &gradient, &open_gradient, unit * largest(&open_gradient));
    }
}

/// Classes whose share is 1 are the classes.
#[test]
fn shares_of_one_class_are_that_class() {
    let labels = labels(3, 2, N, 4);
    let mut shares = vec![0.0; 4 * N];
    for (sample, label) in labels.iter().enumerate() {
        shares[*label as usize * N + sample] = 1.0;
    }
    let weights = CategoricalCrossEntropy { smoothing: 0.2, class_weights: Some(vec![1.0, 0.5, 0.0, 2.0]) };
    for loss in [CategoricalCrossEntropy::new(), weights] {
        for head in [softmax, open_softmax] {
            let network = network(head());
            let params = values::<f64>(3, 1, network.parameter_count(), 1.0);
            let of = |targets| evaluate(&network, Isa::best(), &params, &loss, targets);
            let (value, gradient) = of(Targets::Values(&shares));
            let (expected, expected_gradient) = of(Targets::Classes(&labels));
            let unit = 64.0 * f64::EPSILON;
            assert_close("loss", &[value], &[expected], unit * expected);
            assert_close("gradient", &gradient, &expected_gradient, unit * largest(&expected_gradient));
        }
    }
}

/// Mixed samples have shares of classes, which train a network that tells the classes apart; numbers are
/// refused.
#[test]
fn mixed_samples_are_trained_on_and_numbers_are_not() {
    let set = Synthetic { seed: 1, sample_shape: [1, 8, 8], num_classes: 4 }.samples(0..256).expect("a set");
    let mixing = Mixing::Either(Mixup { alpha: 0.2 }, CutMix { alpha: 1.0 });
    let mixed = Augmented::new(&set, 3, []).and_then(|set| set.with_mixing(mixing)).expect("alphas");
    let train = |threads| {
        let network = build::<f32>(layers![Input::new(1, 8, 8), Flatten, Dense::new(4), Softmax]);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            let config = TrainConfig { learning_rate: 0.01, ..TrainConfig::default() };
            let mut trainer = Trainer::new(network, config).expect("a valid configuration");
            let report = (0..8).map(|_| trainer.train_epoch(&mixed, |_| ()).expect("finite losses")).last();
            assert!(report.expect("epochs").train.metrics[0] > 50.0);
            assert!(trainer.evaluate(&set).expect("a finite loss").metrics[0] > 90.0);
            trainer.state().params_sha256()
        })
    };
    assert_eq!(train(1), train(3));
    let numbers = Arrays::from_f32_with_values(vec![0.5; 12], vec![0.25; 8], [3, 1, 1], 2).expect("a set");
    let network = build::<f32>(layers![Input::vector(3), Dense::new(2), Softmax]);
    let mut trainer = Trainer::new(network, TrainConfig::default()).expect("a valid configuration");
    let error = trainer.train_epoch(&numbers, |_| ()).expect_err("numbers");
    assert_eq!(error.to_string(), "categorical_cross_entropy does not take targets that are numbers");
}

/// Targets that are the classes in numbers give the bits of the classes themselves.
#[test]
fn classes_are_numbers_that_are_0_and_1() {
    let labels = labels(3, 2, N, 4);
    let mut numbers = vec![0.0; 4 * N];
    labels.iter().enumerate().for_each(|(sample, label)| numbers[*label as usize * N + sample] = 1.0);
    let network = network(sigmoid());
    let params = values::<f64>(3, 1, network.parameter_count(), 1.0);
    let losses: [&dyn Loss<f64>; 4] =
        [&BinaryCrossEntropy, &MeanSquaredError, &MeanAbsoluteError, &Huber { delta: 1.0 }];
    for loss in losses {
        let of = |targets| evaluate(&network, Isa::best(), &params, loss, targets);
        assert_eq!(of(Targets::Classes(&labels)), of(Targets::Values(&numbers)), "{}", loss.name());
    }
}

fn config<T: Element>(loss: Arc<dyn Loss<T>>) -> TrainConfig<T> {
    TrainConfig { loss, metrics: vec![], learning_rate: 0.05, shard_size: 12, ..TrainConfig::default() }
}

/// Two linear functions of the input, which a dense layer can give exactly; the last batch is ragged.
#[test]
fn a_regression_finds_the_function() {
    let x: Vec<f32> = values(5, 0, 3 * 200, 1.0);
    let targets: Vec<f32> = x.chunks(3).flat_map(|x| [0.5 * x[0] - x[1] + 0.25, 2.0 * x[2] - 0.5]).collect();
    let data = Arrays::from_f32_with_values(x, targets, [3, 1, 1], 2).expect("a data set");
    for name in ["mean_squared_error", "mean_absolute_error", "huber"] {
        let network = build::<f32>(layers![Input::vector(3), Dense::new(2)]);
        let mut trainer = Trainer::new(network, config(by_name(name).expect("a known name"))).expect("fits");
        let untrained = trainer.evaluate(&data).expect("numbers").loss;
        for _ in 0..60 {
            trainer.train_epoch(&data, |_| ()).expect("numbers");
        }
        let trained = trainer.evaluate(&data).expect("numbers").loss;
        assert!(trained < 0.05 * untrained, "{name}: {trained} after {untrained}");
    }
}

/// A target of its own for each of three outputs: the sign of each input.
#[test]
fn several_labels_are_learnt_at_a_time() {
    let x: Vec<f32> = values(6, 0, 3 * 300, 1.0);
    let targets: Vec<f32> = x.iter().map(|x| if *x > 0.0 { 1.0 } else { 0.0 }).collect();
    let data = Arrays::from_f32_with_values(x.clone(), targets.clone(), [3, 1, 1], 3).expect("a data set");
    let network = build::<f32>(layers![Input::vector(3), Dense::new(3), Sigmoid]);
    let mut trainer = Trainer::new(network, config(Arc::new(BinaryCrossEntropy))).expect("fits");
    for _ in 0..40 {
        trainer.train_epoch(&data, |_| ()).expect("numbers");
    }
    let right = x.chunks(3).zip(targets.chunks(3)).filter(|(x, t)| {
        let y = trainer.network().predict(trainer.state(), Isa::best(), x, 1);
        y.iter().zip(*t).all(|(y, t)| (*y > 0.5) == (*t > 0.5))
    });
    let right = right.count();
    assert!(right > 270, "all three labels of {right} of 300 samples");
}

#[test]
fn targets_that_a_loss_does_not_take_are_refused() {
    let of_numbers = |targets: Vec<f32>, values| {
        Arrays::from_f32_with_values(vec![0.5; 12], targets, [3, 1, 1], values).expect("a data set")
    };
    let trainer = |name: &str| {
        let layers = layers![Input::vector(3), Dense::new(2), Softmax];
        Trainer::new(build::<f32>(layers), config(by_name(name).expect("a known name"))).expect("fits")
    };
    let refuse = |name: &str, data: &Arrays<'_>, expected: &str| {
        let mut trainer = trainer(name);
        let before = trainer.state().params_sha256();
        let training = trainer.train_epoch(data, |_| ()).expect_err("other targets");
        let evaluation = trainer.evaluate(data).expect_err("other targets");
        for error in [training, evaluation] {
            assert_eq!(error.to_string(), expected);
            assert!(matches!(error, Error::Data(_)), "{error:?}");
        }
        assert_eq!((trainer.steps(), trainer.state().params_sha256()), (0, before));
    };
    refuse(
        "categorical_cross_entropy",
        &of_numbers(vec![0.5; 8], 2),
        "categorical_cross_entropy does not take targets that are numbers",
    );
    refuse(
        "mean_squared_error",
        &of_numbers(vec![0.5; 12], 3),
        "the network has 2 outputs, the targets of the data set have 3 values",
    );
    let mut targets = vec![0.5; 8];
    targets[5] = 1.5;
    refuse(
        "binary_cross_entropy",
        &of_numbers(targets.clone(), 2),
        "the target of sample 2 has the value 1.5, which binary_cross_entropy does not take",
    );
    trainer("mean_squared_error").train_epoch(&of_numbers(targets.clone(), 2), |_| ()).expect("any numbers");
    targets[5] = f32::NAN;
    refuse(
        "mean_squared_error",
        &of_numbers(targets, 2),
        "the target of sample 2 has the value NaN, which mean_squared_error does not take",
    );
}

/// A loss of numbers alone, and classes.
#[derive(Debug)]
struct OfNumbers;

impl Loss<f32> for OfNumbers {
    fn name(&self) -> &'static str {
        "of_numbers"
    }

    fn takes_classes(&self) -> bool {
        false
    }

    fn evaluate(&self, _: LossInput<'_, f32>) -> f64 {
        unreachable!("nothing is trained")
    }
}

#[test]
fn a_loss_of_numbers_may_refuse_classes() {
    let network = build::<f32>(layers![Input::vector(3), Dense::new(2)]);
    let data = Arrays::from_f32(vec![0.5; 12], vec![0; 4], [3, 1, 1], 2).expect("a data set");
    let error = Trainer::new(network, config(Arc::new(OfNumbers))).expect("fits").train_epoch(&data, |_| ());
    let error = error.expect_err("classes");
    assert!(matches!(error, Error::Data(DataError::TargetKind { are_values: false, .. })), "{error}");
    assert_eq!(error.to_string(), "of_numbers does not take targets that are classes");
}

#[test]
fn parameters_out_of_range_are_refused() {
    let refuse = |loss: Arc<dyn Loss<f32>>, expected: &str| {
        let network = build(layers![Input::vector(3), Dense::new(2), Softmax]);
        let error = Trainer::new(network, config(loss)).expect_err("out of range");
        assert_eq!(error.to_string(), expected);
    };
    let weighted = |weights: &[f64]| {
        Arc::new(CategoricalCrossEntropy {
            class_weights: Some(weights.to_vec()),
            ..CategoricalCrossEntropy::default()
        })
    };
    for smoothing in [-0.1, 1.1, f64::NAN] {
        refuse(
            Arc::new(CategoricalCrossEntropy { smoothing, ..CategoricalCrossEntropy::default() }),
            &format!("the label smoothing must be at least 0 and at most 1, it is {smoothing}"),
        );
    }
    refuse(
        weighted(&[1.0; 3]),
        "the number of class weights must be that of the network's outputs, it is 3 for 2 outputs",
    );
    refuse(
        weighted(&[1.0, -1.0]),
        "the weight of each class must be a number of at least 0, it is -1 for class 1",
    );
    refuse(Arc::new(Huber { delta: 0.0 }), "the delta of the Huber loss must be a number above 0, it is 0");
}
