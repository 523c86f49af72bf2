//! Test-time augmentation: the mean over views of each sample.

use crate::common::{build, in_pool, samples_innermost};
use crate::formula::{self, predictor};
use isograd_datasets::{Arrays, Synthetic};
use isograd_kernels::Isa;
use isograd_model::loss::MeanSquaredError;
use isograd_model::{Network, Scores, TestTime, TrainConfig, Trainer, layer::*, layers};
use std::sync::Arc;

const SHAPE: [usize; 3] = [2, 6, 5];
const SAMPLES: usize = 70;
const CLASSES: usize = 4;

/// A network that tells a sample from its mirror image, with a batch normalisation that is folded in use.
fn network(last: Option<Box<dyn Layer<f32>>>) -> Network<f32> {
    let [c, h, w] = SHAPE;
    let mut layers = layers![
        Input::new(c, h, w),
        Conv2D::new(5, 3).padding(1),
        BatchNormalization::new(),
        ReLU,
        Flatten,
        Dense::new(CLASSES),
    ];
    layers.extend(last);
    build(layers)
}

fn samples() -> Arrays<'static> {
    Synthetic { seed: 8, sample_shape: SHAPE, num_classes: CLASSES }
        .samples(0..SAMPLES as u64)
        .expect("a set")
}

/// `[n, C, H, W]`, scaled as in training.
fn pixels() -> Vec<f32> {
    let set = samples();
    let sample = |index| set.sample(index).pixels.bytes().expect("bytes").to_vec();
    (0..SAMPLES).flat_map(sample).map(|byte| f32::from(byte) * (1.0 / 255.0)).collect()
}

/// Each row from `from(x)`, each column from `from(y)` where it is moved.
fn view(pixels: &[f32], shift: isize, is_flipped: bool) -> Vec<f32> {
    let [_, h, w] = SHAPE;
    let inside = |place: usize, len: usize| match place as isize + shift {
        -1 => 1,
        place if place == len as isize => len - 2,
        place => place as usize,
    };
    let plane = |plane: &[f32]| -> Vec<f32> {
        let moved = |y, x| plane[inside(y, h) * w + inside(x, w)];
        let at = |place: usize| match is_flipped {
            true => moved(place / w, w - 1 - place % w),
            false => moved(place / w, place % w),
        };
        (0..h * w).map(at).collect()
    };
    pixels.chunks(h * w).flat_map(plane).collect()
}

/// What a predictor gives is the mean of what it gives for the views one by one, in front of the softmax.
#[test]
fn scores_are_means_over_views() {
    let pixels = pixels();
    for (test_time, views) in [
        (TestTime::Plain, vec![(0, false)]),
        (TestTime::Flip, vec![(0, false), (0, true)]),
        (
            TestTime::FlipTranslate,
            vec![(0, false), (0, true), (1, false), (1, true), (-1, false), (-1, true)],
        ),
    ] {
        let of = |last: Option<Box<dyn Layer<f32>>>, scores, test_time| {
            let network = network(last);
            let state = formula::state(&network);
            predictor(network, state, scores).with_test_time(test_time).expect("images")
        };
        let softmax = || Some(Box::new(Softmax) as Box<dyn Layer<f32>>);
        let plain = of(softmax(), Scores::Logits, TestTime::Plain);
        let mut mean = vec![0.0; SAMPLES * CLASSES];
        for (shift, is_flipped) in &views {
            let scores = plain.predict_nchw(&view(&pixels, *shift, *is_flipped)).expect("whole samples");
            mean.iter_mut().zip(scores).for_each(|(mean, score)| *mean += score);
        }
        mean.iter_mut().for_each(|mean| *mean *= (1.0 / views.len() as f64) as f32);
        let logits = of(softmax(), Scores::Logits, test_time).predict_nchw(&pixels).expect("whole samples");
        assert_eq!(logits, mean, "{test_time}");
        // Without a softmax, the logits are the output.
        let outputs = of(None, Scores::Output, test_time).predict_nchw(&pixels).expect("whole samples");
        assert_eq!(outputs, mean, "{test_time}");
        let probabilities =
            of(softmax(), Scores::Output, test_time).predict_nchw(&pixels).expect("whole samples");
        for (sample, (got, logits)) in probabilities.chunks(CLASSES).zip(mean.chunks(CLASSES)).enumerate() {
            let exponentials: Vec<f64> = logits.iter().map(|logit| f64::from(*logit).exp()).collect();
            for (got, exponential) in got.iter().zip(&exponentials) {
                let expected = exponential / exponentials.iter().sum::<f64>();
                assert!(
                    (f64::from(*got) - expected).abs() < 1e-6,
                    "{test_time}, sample {sample}: {got}, {expected}"
                );
            }
        }
    }
}

/// A test measures what a predictor gives, on any number of threads, with a loss that has the softmax in it
/// and with one that has not.
#[test]
fn tests_are_of_the_same_means() {
    let set = samples();
    let network = || network(Some(Box::new(Softmax)));
    let evaluation = |config: TrainConfig, test_time, threads| {
        in_pool(threads, || {
            let mut trainer = Trainer::new(network(), config).expect("memory");
            let state = formula::state(trainer.network());
            *trainer.state_mut() = state;
            trainer.evaluate_views(&set, test_time).expect("finite losses")
        })
    };
    for test_time in [TestTime::Flip, TestTime::FlipTranslate] {
        let state = formula::state(&network());
        let predictor =
            predictor(network(), state, Scores::Output).with_test_time(test_time).expect("images");
        let scores = predictor.predict_nchw(&pixels()).expect("whole samples");
        let right = scores.chunks(CLASSES).enumerate().filter(|(sample, scores)| {
            predictor.top(scores, 1)[0].0 == set.sample(*sample).target.class().expect("a class") as usize
        });
        let expected = 100.0 * right.count() as f64 / SAMPLES as f64;
        let squares = TrainConfig { loss: Arc::new(MeanSquaredError), ..TrainConfig::default() };
        for config in [TrainConfig::default(), squares] {
            let found = evaluation(config.clone(), test_time, 1);
            assert!(
                (found.metrics[0] - expected).abs() < 1e-9,
                "{test_time}: {found:?}, expected {expected}"
            );
            assert_ne!(found.loss, evaluation(config.clone(), TestTime::Plain, 1).loss);
            for threads in [2, 5] {
                assert_eq!(evaluation(config.clone(), test_time, threads), found);
            }
        }
    }
}

/// A session gives the same bits as a predictor, as a part of a larger batch, too.
#[test]
fn sessions_have_the_same_views() {
    let network = network(Some(Box::new(Softmax)));
    let state = formula::state(&network);
    let x = samples_innermost(&pixels(), SAMPLES);
    let session = network.session(&state, Isa::best(), SAMPLES).expect("memory");
    let mut session = session.with_test_time(TestTime::FlipTranslate).expect("images");
    let y = session.predict(&x, SAMPLES).to_vec();
    assert_eq!(session.predict(&x, SAMPLES), y);
    let predictor =
        predictor(self::network(Some(Box::new(Softmax))), formula::state(&network), Scores::Output)
            .with_test_time(TestTime::FlipTranslate)
            .expect("images");
    assert_eq!(samples_innermost(&predictor.predict_nchw(&pixels()).expect("whole samples"), SAMPLES), y);
}

#[test]
fn vectors_have_no_views() {
    let network = build::<f32>(layers![Input::vector(4), Dense::new(3), Softmax]);
    let set = Synthetic { seed: 8, sample_shape: [4, 1, 1], num_classes: 3 }.samples(0..8).expect("a set");
    let mut trainer = Trainer::new(network, TrainConfig::default()).expect("memory");
    let error = trainer.evaluate_views(&set, TestTime::Flip).expect_err("no view").to_string();
    assert_eq!(
        error,
        "the height and the width of samples for test-time augmentation must be at least 2, it is those of 4"
    );
    assert!(trainer.evaluate(&set).is_ok());
}
