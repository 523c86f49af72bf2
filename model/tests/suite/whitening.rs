//! A first convolution that whitens the samples.

use crate::common::{build, in_pool, samples_innermost};
use isograd_datasets::{Arrays, Dataset, Normalization, Normalized, Synthetic};
use isograd_kernels::Isa;
use isograd_model::{
    Error, Network, Shape, State, TrainConfig, Trainer, WhitenError, Whitened, Whitening, layer::*, layers,
    zoo,
};

const SHAPE: [usize; 3] = [3, 7, 6];
const SAMPLES: usize = 300;

fn samples() -> Arrays<'static> {
    Synthetic { seed: 5, sample_shape: SHAPE, num_classes: 4 }.samples(0..SAMPLES as u64).expect("a set")
}

/// As the network sees them: with another mean and deviation in each channel.
fn normalized(set: &dyn Dataset) -> Normalized<'_> {
    let normalization = Normalization::new(vec![0.01, 0.05, 0.02], vec![-1.0, 2.0, 0.0]).expect("numbers");
    Normalized::new(set, normalization).expect("three channels")
}

fn convolution(conv: Conv2D) -> Network<f64> {
    let [c, h, w] = SHAPE;
    build(layers![Input::new(c, h, w), conv])
}

fn whitened(network: &Network<f64>, whitening: Whitening) -> (Whitened<f64>, State<f64>) {
    let set = samples();
    let whitened = whitening.compute(network, &normalized(&set)).expect("samples that fit");
    let mut state = network.initial_state(0).expect("memory");
    whitened.write(&mut state);
    (whitened, state)
}

/// The outputs `[filters, positions]` of the network for all samples.
fn outputs(network: &Network<f64>, state: &State<f64>) -> Vec<Vec<f64>> {
    let (set, elements) = (samples(), SHAPE.iter().product::<usize>());
    let normalized = normalized(&set);
    let mut x = Vec::with_capacity(SAMPLES * elements);
    for index in 0..SAMPLES {
        let pixels = set.sample(index).pixels.bytes().expect("bytes");
        let coefficients = normalized.normalization().scale().iter().zip(normalized.normalization().shift());
        for (plane, (scale, shift)) in pixels.chunks(elements / 3).zip(coefficients) {
            x.extend(plane.iter().map(|pixel| f64::from(*pixel) * scale + shift));
        }
    }
    let y = network.predict(state, Isa::best(), &samples_innermost(&x, SAMPLES), SAMPLES);
    y.chunks(y.len() / network.output_shape().c).map(<[f64]>::to_vec).collect()
}

fn covariance(one: &[f64], other: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let [m, n] = [mean(one), mean(other)];
    one.iter().zip(other).map(|(a, b)| (a - m) * (b - n)).sum::<f64>() / one.len() as f64
}

/// The covariance of the outputs is the identity, their mean 0, and the filters behind them are their
/// negatives.
#[test]
fn outputs_are_white() {
    let whitening = Whitening { samples: SAMPLES, epsilon: 1e-12 };
    for (conv, directions) in [
        (Conv2D::new(24, 2), 12),
        (Conv2D::new(12, 2), 6),
        (Conv2D::new(7, [1, 2]), 4),
        (Conv2D::new(6, 1), 3),
        (Conv2D::new(20, 3).stride(2), 10),
    ] {
        let network = convolution(conv);
        let (_, state) = whitened(&network, whitening);
        let y = outputs(&network, &state);
        for (i, one) in y.iter().enumerate() {
            let mean = one.iter().sum::<f64>() / one.len() as f64;
            assert!(mean.abs() < 1e-9, "filter {i}: mean {mean:e}");
            for (j, other) in y.iter().enumerate() {
                let expected = match (i % directions == j % directions, i / directions == j / directions) {
                    (true, true) => 1.0,
                    (true, false) => -1.0,
                    (false, _) => 0.0,
                };
                let got = covariance(one, other);
                assert!((got - expected).abs() < 1e-6, "filters {i} and {j}: {got}, expected {expected}");
            }
        }
    }
}

/// The variance falls from filter to filter without the division: the first ones have the most.
#[test]
fn the_directions_of_most_variance_come_first() {
    let network = convolution(Conv2D::new(12, 2));
    // An epsilon above all variances divides all directions by nearly the same number.
    let (_, state) = whitened(&network, Whitening { samples: SAMPLES, epsilon: 1e6 });
    let y = outputs(&network, &state);
    let variances: Vec<f64> = y[..6].iter().map(|y| covariance(y, y)).collect();
    assert!(variances.is_sorted_by(|one, other| one >= other), "{variances:?}");
    assert!(variances[0] > 1.5 * variances[5], "{variances:?}");
}

#[test]
fn threads_change_no_bit() {
    let network = convolution(Conv2D::new(24, 2));
    let of = |threads| in_pool(threads, || whitened(&network, Whitening::default()).0);
    let one = of(1);
    assert_eq!((of(2), of(5)), (one.clone(), one));
}

/// More samples than there are: all. Fewer: those at equal distances.
#[test]
fn samples_are_at_equal_distances() {
    let network = convolution(Conv2D::new(24, 2));
    let of = |samples| whitened(&network, Whitening { samples, ..Whitening::default() }).0;
    assert_eq!(of(SAMPLES), of(1_000_000));
    let set = samples();
    let every_third: Vec<u8> =
        (0..100).flat_map(|index| set.sample(3 * index).pixels.bytes().expect("bytes").to_vec()).collect();
    let third = Arrays::from_u8(every_third, vec![0; 100], SHAPE, 1).expect("a set");
    let expected = Whitening { samples: 100, ..Whitening::default() };
    assert_eq!(of(100), expected.compute(&network, &normalized(&third)).expect("samples that fit"));
    assert_ne!(of(100), of(SAMPLES));
}

/// What does not vary has no variance to divide by; epsilon stands for it.
#[test]
fn constant_channels_give_finite_weights() {
    let pixels: Vec<u8> = (0..50 * 32)
        .map(|i: usize| if (i / 16).is_multiple_of(2) { 9 } else { (i * i % 251) as u8 })
        .collect();
    let set = Arrays::from_u8(pixels, vec![0; 50], [2, 4, 4], 1).expect("a set");
    let network =
        build::<f32>(layers![Input::new(2, 4, 4), Conv2D::new(16, 2), Flatten, Dense::new(2), Softmax]);
    let mut state = network.initial_state(0).expect("memory");
    Whitening::default().compute(&network, &set).expect("samples that fit").write(&mut state);
    let weights = &state.params()[network.parameters()[0].range.clone()];
    assert!(weights.iter().all(|weight| weight.is_finite() && weight.abs() <= 1.0 / 5e-4_f32.sqrt()));
    // The last directions lie in the constant channel alone.
    let last = &weights[7 * 8..8 * 8];
    assert!(last[..4].iter().any(|weight| weight.abs() > 1.0), "{last:?}");
    assert!(last[4..].iter().all(|weight| weight.abs() < 1e-3), "{last:?}");
    // One sample of one pixel has no variance at all.
    let one = Arrays::from_u8(vec![7, 8], vec![0], [2, 1, 1], 1).expect("a set");
    let network =
        build::<f32>(layers![Input::new(2, 1, 1), Conv2D::new(4, 1), Flatten, Dense::new(2), Softmax]);
    let mut state = network.initial_state(0).expect("memory");
    Whitening::default().compute(&network, &one).expect("a sample that fits").write(&mut state);
    assert!(state.params().iter().all(|value| value.is_finite()));
}

#[test]
fn training_leaves_the_weights_and_trains_the_bias() {
    let set = samples();
    let mut network = Network::<f32>::build(
        zoo::find("airbench94_cifar10").expect("known").layers(Shape::image(3, 32, 32), 4),
    )
    .expect("it fits");
    let images =
        Synthetic { seed: 5, sample_shape: [3, 32, 32], num_classes: 4 }.samples(0..160).expect("a set");
    assert_eq!(Whitening::weights(&network).expect("a convolution"), "whiten.weight");
    let whitened = Whitening::default().compute(&network, &images).expect("samples that fit");
    network.freeze(whitened.weights()).expect("a known name");
    let mut trainer = Trainer::new(network, TrainConfig::default()).expect("memory");
    whitened.write(trainer.state_mut());
    let [weight, bias] = [0, 1].map(|tensor: usize| trainer.network().parameters()[tensor].range.clone());
    let before = trainer.state().params().to_vec();
    trainer.train_epoch(&images, |_| ()).expect("a finite loss");
    let after = trainer.state().params();
    assert_eq!(before[weight.clone()], after[weight]);
    assert_ne!(before[bias.clone()], after[bias]);
    let error = Whitening::default().compute(trainer.network(), &set).expect_err("another shape");
    assert_eq!(error.to_string(), "the network takes samples of 3x32x32, the data set has samples of 3x7x6");
}

#[test]
fn what_cannot_be_whitened_is_refused() {
    let set = samples();
    let problem = |network: &Network<f64>| match Whitening::weights(network).expect_err("no such layer") {
        Error::Whiten(error) => {
            let compute = Whitening::default().compute(network, &set).expect_err("no such layer");
            assert_eq!(compute.to_string(), error.to_string());
            error
        }
        other => panic!("{other}"),
    };
    let [c, h, w] = SHAPE;
    let dense = build(layers![Input::new(c, h, w), Flatten, Dense::new(4)]);
    assert_eq!(problem(&dense), WhitenError::NoConvolution);
    let behind = build(layers![Input::new(c, h, w), ReLU, Conv2D::new(4, 2)]);
    assert_eq!(problem(&behind), WhitenError::NoConvolution);
    for (conv, expected) in [
        (Conv2D::new(25, 2), "has 25 filters of 12 elements, of which whitening gives at most 24"),
        (Conv2D::new(6, 2).groups(3), "needs a convolution with one group and dilation 1"),
        (Conv2D::new(6, 2).dilation(2), "needs a convolution with one group and dilation 1"),
        (Conv2D::new(6, [8, 1]).padding(1), "its kernel of 8x1 does not fit into samples of 7x6"),
    ] {
        let error = problem(&convolution(conv)).to_string();
        assert!(error.starts_with("layer 1 (Conv2D)") && error.contains(expected), "{error}");
    }
    let large = build::<f64>(layers![Input::new(3, 20, 20), Conv2D::new(6, [15, 14])]);
    assert!(Whitening::weights(&large).is_err_and(|error| error.to_string().contains("have 630 elements")));
    let network = convolution(Conv2D::new(6, 2));
    for (samples, epsilon, expected) in [
        (0, 1.0, "the number of samples for whitening must be at least 1, it is 0"),
        (1, 0.0, "the epsilon of whitening must be a number above 0, it is 0"),
        (1, f64::NAN, "the epsilon of whitening must be a number above 0, it is NaN"),
    ] {
        let error = Whitening { samples, epsilon }.compute(&network, &set).expect_err("out of range");
        assert_eq!(error.to_string(), expected);
    }
    let values = vec![f32::NAN; SHAPE.iter().product()];
    let bad = Arrays::from_f32(values, vec![0], SHAPE, 1).expect("a set");
    let error = Whitening::default().compute(&network, &bad).expect_err("not finite");
    assert_eq!(error.to_string(), "the samples hold infinite values or NaN, so they cannot be whitened");
}
