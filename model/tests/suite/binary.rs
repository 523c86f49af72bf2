//! Binary cross-entropy: of logits, and of networks with one output.

use crate::common::{assert_close, build, values};
use isograd_datasets::Synthetic;
use isograd_kernels::{Element, Isa};
use isograd_model::loss::{self, BinaryCrossEntropy};
use isograd_model::metric::{CategoricalAccuracy, RegressionMse};
use isograd_model::{Metric, Randomness, TrainConfig, Trainer, layer::*, layers};
use std::sync::Arc;

/// `1 / (1 + e^-x)`.
fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(1 + e^x)`.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Loss and gradient by the weight of `sigmoid(weight * 1)`, for a `weight` that is the logit.
fn at_logit<T: Element>(isa: Isa, logit: f64, label: u32) -> (f64, T) {
    let network = build(layers![Input::vector(1), Dense::new(1).without_bias(), Sigmoid]);
    let mut state = network.initial_state(0).expect("memory");
    state.params_mut()[0] = T::from_f64(logit);
    let (loss, gradient) = network.loss_and_gradients(
        &state,
        isa,
        &BinaryCrossEntropy,
        Randomness::default(),
        &[T::ONE],
        &[label],
    );
    (loss, gradient[0])
}

/// Also where the sigmoid rounds to 0 or 1, and the gradient by its output tells nothing any more.
fn gradients_lead_away_from_confident_mistakes<T: Element>(smallest_normal: f64) {
    for isa in Isa::available() {
        for logit in [0.0, 1.0, -1.0, 30.0, -30.0, 100.0, -100.0] {
            for (label, gradient, loss) in
                [(0, sigmoid(logit), softplus(logit)), (1, -sigmoid(-logit), softplus(-logit))]
            {
                let got = at_logit::<T>(isa, logit, label);
                let what = format!("{isa} {}, logit {logit}, class {label}", T::NAME);
                // The kernel's bounds.
                let bound = |value: f64| 8.0 * T::EPSILON.to_f64() * value.abs() + smallest_normal;
                assert_close(&format!("{what}: loss"), &[got.0], &[loss], bound(loss));
                assert_close(&what, &[got.1], &[gradient], bound(gradient));
            }
            // A mistake of 30 or 100 has nearly the largest gradient that there is.
            if logit.abs() >= 30.0 {
                let mistaken = at_logit::<T>(isa, logit, u32::from(logit < 0.0)).1.to_f64();
                assert_eq!(mistaken as f32, logit.signum() as f32, "{isa} {}, logit {logit}", T::NAME);
            }
        }
    }
}

#[test]
fn gradients_lead_away_from_confident_mistakes_in_f32() {
    gradients_lead_away_from_confident_mistakes::<f32>(f64::from(f32::MIN_POSITIVE));
}

#[test]
fn gradients_lead_away_from_confident_mistakes_in_f64() {
    gradients_lead_away_from_confident_mistakes::<f64>(f64::MIN_POSITIVE);
}

/// The loss that works on the sigmoid's input, against the one that works on its output.
#[test]
fn of_logits_it_is_that_of_their_sigmoids() {
    let layers = |is_open| {
        let mut layers: Vec<Box<dyn Layer<f64>>> = layers![Input::vector(5), Dense::new(4), Sigmoid];
        if is_open {
            // In front of a further layer, the sigmoid is an ordinary one.
            layers.push(Box::new(Flatten));
        }
        build(layers)
    };
    let (x, labels) = (values::<f64>(3, 0, 5 * 9, 1.0), [0, 1, 2, 3, 3, 2, 1, 0, 2]);
    let [fused, open] = [false, true].map(|is_open| {
        let network = layers(is_open);
        let state = network.initial_state(0).expect("memory");
        let outputs = network.predict(&state, Isa::best(), &x, 9);
        (
            network.loss_and_gradients(
                &state,
                Isa::best(),
                &BinaryCrossEntropy,
                Randomness::default(),
                &x,
                &labels,
            ),
            outputs,
        )
    });
    let ((fused, fused_outputs), (open, open_outputs)) = (fused, open);
    assert_eq!(fused_outputs, open_outputs);
    // Probabilities are not small: a few roundings, and sums of 9.
    let unit = 64.0 * f64::EPSILON;
    assert_close("loss", &[fused.0], &[open.0], unit * open.0);
    assert_close("gradient", &fused.1, &open.1, unit);
}

#[test]
fn one_output_learns_two_classes() {
    let data = |range| {
        Synthetic { seed: 5, sample_shape: [1, 6, 6], num_classes: 2 }.samples(range).expect("a data set")
    };
    for name in ["binary_cross_entropy", "mean_squared_error"] {
        let loss = loss::by_name(name).expect("a known name");
        let network = build::<f32>(layers![Input::new(1, 6, 6), Flatten, Dense::new(1), Sigmoid]);
        let metrics: Vec<Arc<dyn Metric<f32>>> = vec![Arc::new(CategoricalAccuracy), Arc::new(RegressionMse)];
        let config = TrainConfig { loss, metrics, learning_rate: 0.02, ..TrainConfig::default() };
        let mut trainer = Trainer::new(network, config).expect("a configuration");
        let untrained = trainer.evaluate(&data(256..512)).expect("two classes");
        for _ in 0..10 {
            trainer.train_epoch(&data(0..256), |_| ()).expect("two classes");
        }
        let trained = trainer.evaluate(&data(256..512)).expect("two classes");
        assert!(trained.metrics[0] > 95.0, "{name}: {} %", trained.metrics[0]);
        assert!(trained.loss < 0.5 * untrained.loss, "{name}: {} after {}", trained.loss, untrained.loss);
        if name == "mean_squared_error" {
            assert_close("squared error", &[trained.loss], &trained.metrics[1..], 1e-6);
        }
    }
}
