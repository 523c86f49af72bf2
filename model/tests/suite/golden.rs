//! simplecnn against PyTorch: logits, loss, every gradient, and the loss curves of the optimizers. The
//! expected values are in `golden/simplecnn.json`, which `golden/simplecnn.py` wrote.
//!
//! # Bounds
//!
//! A rounding is off by at most `eps / 2`, and by `eps / sqrt(12)` in the root of the mean square; a sum of
//! `m` terms is off by `sqrt(m)` times that of the size of its partial sums, since its roundings are
//! independent. [`error_factor`] adds that up over the network's sums and allows [`SPREAD`] times as much. It
//! holds in both element types, against the largest element of each tensor: weights and data are exact in
//! f32, and `margin` says that f32 takes the same side of each kink.

use crate::common::{assert_close, build, labels, largest, samples_innermost, values};
use isograd_datasets::Arrays;
use isograd_kernels::Isa;
use isograd_model::loss::CategoricalCrossEntropy;
use isograd_model::optimizer::{Adam, Optimizer, RmsProp, Sgd};
use isograd_model::{Element, Network, Randomness, Shape, State, TrainConfig, Trainer, zoo};
use serde_json::Value;
use std::sync::Arc;

/// As in the script.
const SEED: u64 = 131;
const DIVISORS: [f64; 8] = [2.0, 8.0, 4.0, 8.0, 16.0, 8.0, 8.0, 8.0];
const PIXELS: u64 = 8;
const LABELS: u64 = 9;
const IMAGE: usize = 28 * 28;
/// The terms of each sum on the way from a pixel to a logit.
const FORWARD_TERMS: [usize; 4] = [9, 4 * 9, 8 * 12 * 12, 128];
/// The pixels of the first convolution's output, over which its weight gradient is summed, for each sample.
const PIXEL_TERMS: usize = 26 * 26;

/// How far beyond its standard deviation the worst of 150,000 elements may be.
const SPREAD: f64 = 5.0;

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/simplecnn.json")).expect("valid JSON")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list")).iter().map(number).collect()
}

/// Units of rounding, relative to the largest element, that a gradient summed over `samples` may be off by:
/// those of the forward pass, those of the same sums backwards, and those of the sum over samples and pixels.
fn error_factor(samples: usize) -> f64 {
    let both_ways = 2.0 * FORWARD_TERMS.iter().map(|m| (*m as f64).sqrt()).sum::<f64>();
    SPREAD / 12f64.sqrt() * (both_ways + ((samples * PIXEL_TERMS) as f64).sqrt())
}

fn simplecnn<T: Element>() -> Network<T> {
    build(zoo::simplecnn(Shape::image(1, 28, 28), 10))
}

fn set_parameters<T: Element>(network: &Network<T>, state: &mut State<T>) {
    for (stream, (tensor, divisor)) in network.parameters().iter().zip(DIVISORS).enumerate() {
        let tensor_values = values(SEED, stream as u64, tensor.range.len(), 1.0 / divisor);
        state.params_mut()[tensor.range.clone()].copy_from_slice(&tensor_values);
    }
}

fn state<T: Element>(network: &Network<T>) -> State<T> {
    let mut state = network.initial_state(0).expect("memory");
    set_parameters(network, &mut state);
    state
}

fn pixels<T: Element>(samples: usize) -> Vec<T> {
    values(SEED, PIXELS, samples * IMAGE, 1.0)
}

fn check_batch<T: Element>(isa: Isa, batch: &Value) {
    let samples = batch["samples"].as_u64().expect("a count") as usize;
    let network = simplecnn::<T>();
    let state = state(&network);
    let x = samples_innermost(&pixels(samples), samples);
    let what = |name: &str| format!("{isa} {} {samples} samples: {name}", T::NAME);
    let unit = error_factor(samples) * T::EPSILON.to_f64();

    // Without its softmax the network gives the logits.
    let mut headless = zoo::simplecnn::<T>(Shape::image(1, 28, 28), 10);
    headless.pop();
    let expected: Vec<f64> = batch["logits"].as_array().expect("rows").iter().flat_map(numbers).collect();
    let expected = samples_innermost(&expected, samples);
    let logits = build(headless).predict(&state, isa, &x, samples);
    assert_close(&what("logits"), &logits, &expected, unit * largest(&expected));

    let (loss, gradients) = network.loss_and_gradients(
        &state,
        isa,
        &CategoricalCrossEntropy::new(),
        Randomness::default(),
        &x,
        &labels(SEED, LABELS, samples, 10),
    );
    let expected_loss = number(&batch["loss"]);
    assert_close(&what("loss"), &[loss], &[expected_loss], unit * expected_loss);

    for tensor in network.parameters() {
        let golden = &batch["gradients"][&tensor.name];
        let gradient = &gradients[tensor.range.clone()];
        let what = what(&tensor.name);
        if let Some(every) = golden["every"].as_u64() {
            let sampled: Vec<T> = gradient.iter().step_by(every as usize).copied().collect();
            let expected = numbers(&golden["sampled"]);
            let (norm, sum) = (number(&golden["norm"]), number(&golden["sum"]));
            assert_close(&what, &sampled, &expected, unit * largest(&expected));
            let wide = || gradient.iter().map(|g| g.to_f64());
            let got = wide().map(|g| g * g).sum::<f64>().sqrt();
            assert_close(&format!("{what}, norm"), &[got], &[norm], unit * norm);
            // By Cauchy and Schwarz, an error of `unit * norm` may add up to this.
            let bound = unit * norm * (gradient.len() as f64).sqrt();
            assert_close(&format!("{what}, sum"), &[wide().sum::<f64>()], &[sum], bound);
        } else {
            let expected = numbers(&golden["whole"]);
            assert_close(&what, gradient, &expected, unit * largest(&expected));
        }
    }
}

#[test]
fn logits_loss_and_gradients_are_those_of_pytorch() {
    for batch in golden()["batches"].as_array().expect("batches") {
        let margin = number(&batch["margin"]);
        // Pre-activations are of the order of 1 and sums of up to 1152 terms.
        let rounding = f64::from(f32::EPSILON) * 1152f64.sqrt();
        assert!(margin > rounding, "f32 rounds by {rounding:e}, the network is only {margin:e} from a kink");
        for isa in Isa::available() {
            check_batch::<f64>(isa, batch);
            check_batch::<f32>(isa, batch);
        }
    }
}

/// The optimizers of the script, all with the defaults of this crate.
fn optimizers<T: Element>() -> [(&'static str, Arc<dyn Optimizer<T>>); 4] {
    [
        ("sgd", Arc::new(Sgd::default())),
        ("sgd_nesterov", Arc::new(Sgd { nesterov: true, ..Sgd::default() })),
        ("rmsprop", Arc::new(RmsProp::default())),
        ("adam", Arc::new(Adam::default())),
    ]
}

/// Losses before each step and after the last, of steps that each take all samples: one an epoch.
fn curve<T: Element>(optimizer: Arc<dyn Optimizer<T>>, samples: usize, steps: usize) -> Vec<f64> {
    let x: Vec<f32> = pixels(samples);
    let data = Arrays::from_f32(x, labels(SEED, LABELS, samples, 10), [1, 28, 28], 10).expect("a data set");
    let learning_rate = optimizer.default_learning_rate();
    let config = TrainConfig { batch_size: samples, optimizer, learning_rate, ..TrainConfig::default() };
    let mut trainer = Trainer::new(simplecnn::<T>(), config).expect("a valid configuration");
    let network = simplecnn::<T>();
    set_parameters(&network, trainer.state_mut());
    let mut losses: Vec<f64> =
        (0..steps).map(|_| trainer.train_epoch(&data, |_| ()).expect("finite losses").train.loss).collect();
    losses.push(trainer.evaluate(&data).expect("a data set that fits").loss);
    losses
}

fn check_curves<T: Element>() {
    let golden = golden();
    for (name, optimizer) in optimizers::<T>() {
        let expected = numbers(&golden["curves"][name]);
        let got = curve::<T>(optimizer, 48, expected.len() - 1);
        for (step, (got, expected)) in got.iter().zip(&expected).enumerate() {
            // Each step adds the error of its gradient to those before it.
            let bound = (step + 1) as f64 * error_factor(48) * T::EPSILON.to_f64() * expected;
            assert_close(
                &format!("{} {name}, loss after {step} steps", T::NAME),
                &[*got],
                &[*expected],
                bound,
            );
        }
    }
}

#[test]
fn loss_curves_are_those_of_pytorch_in_f64() {
    check_curves::<f64>();
}

#[test]
fn loss_curves_are_those_of_pytorch_in_f32() {
    check_curves::<f32>();
}
