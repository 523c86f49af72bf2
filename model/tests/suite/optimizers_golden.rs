//! Ten steps of each optimizer against PyTorch: losses, and all parameters after the last step. The expected
//! values are in `golden/optimizers.json`, which `golden/optimizers.py` wrote.

use crate::common::{assert_close, build, labels, largest, values};
use isograd_datasets::Arrays;
use isograd_model::optimizer::{Adam, AdamW, Lamb, Lars, Muon, Nadam, Optimizer, RmsProp, Scope, Sgd};
use isograd_model::{Element, Network, State, TrainConfig, Trainer, layer::*, layers};
use serde_json::Value;
use std::sync::Arc;

/// As in the script.
const SEED: u64 = 7;
const DIVISORS: [f64; 8] = [2.0, 4.0, 4.0, 4.0, 2.0, 4.0, 2.0, 4.0];
const PIXELS: u64 = 8;
const LABELS: u64 = 9;
const SAMPLES: usize = 16;
const STEPS: usize = 10;

pub(super) fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/optimizers.json")).expect("valid JSON")
}

pub(super) fn numbers(value: &Value) -> Vec<f64> {
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    value.as_array().unwrap_or_else(|| panic!("{value} is no list")).iter().map(number).collect()
}

/// Convolutions and dense layers with more inputs than outputs and the other way round, without kinks.
fn network<T: Element>() -> Network<T> {
    build(layers![
        Input::new(2, 4, 4),
        Conv2D::new(3, 2),
        Tanh,
        Flatten,
        Dense::new(6),
        Tanh,
        Dense::new(9),
        Tanh,
        Dense::new(4),
        Softmax,
    ])
}

fn data() -> Arrays<'static> {
    let pixels: Vec<f32> = values(SEED, PIXELS, SAMPLES * 32, 1.0);
    Arrays::from_f32(pixels, labels(SEED, LABELS, SAMPLES, 4), [2, 4, 4], 4).expect("a data set")
}

fn trainer<T: Element>(optimizer: Arc<dyn Optimizer<T>>, ema: Option<f64>) -> Trainer<T> {
    let learning_rate = optimizer.default_learning_rate();
    let config = TrainConfig {
        batch_size: SAMPLES,
        shard_size: 5,
        optimizer,
        learning_rate,
        ema,
        ..TrainConfig::default()
    };
    let network = network::<T>();
    let mut trainer = Trainer::new(network, config).expect("a valid configuration");
    let network = self::network::<T>();
    for (stream, (tensor, divisor)) in network.parameters().iter().zip(DIVISORS).enumerate() {
        let initial: Vec<T> = values(SEED, stream as u64, tensor.range.len(), 1.0 / divisor);
        trainer.state_mut().params_mut()[tensor.range.clone()].copy_from_slice(&initial);
    }
    trainer
}

fn assert_parameters<T: Element>(what: &str, state: &State<T>, golden: &Value) {
    for tensor in network::<T>().parameters() {
        let expected = numbers(&golden[&tensor.name]);
        let what = format!("{what}, {}", tensor.name);
        let bound = bound::<T>() * largest(&expected);
        assert_close(&what, &state.params()[tensor.range.clone()], &expected, bound);
    }
}

/// The optimizers of the script, with its parameters: those that are not given are defaults.
fn optimizers<T: Element>() -> [(&'static str, Arc<dyn Optimizer<T>>); 14] {
    let scope = Scope::All;
    [
        ("sgd", Arc::new(Sgd::default())),
        ("sgd_without_momentum", Arc::new(Sgd { momentum: 0.0, ..Sgd::default() })),
        ("sgd_nesterov", Arc::new(Sgd { nesterov: true, ..Sgd::default() })),
        ("rmsprop", Arc::new(RmsProp::default())),
        ("adam", Arc::new(Adam::default())),
        ("nadam", Arc::new(Nadam::default())),
        ("adamw", Arc::new(AdamW::default())),
        ("adamw_all", Arc::new(AdamW { scope, ..AdamW::default() })),
        ("lars", Arc::new(Lars::default())),
        ("lars_all", Arc::new(Lars { scope, ..Lars::default() })),
        ("lamb", Arc::new(Lamb::default())),
        ("lamb_all", Arc::new(Lamb { scope, ..Lamb::default() })),
        ("muon", Arc::new(Muon::default())),
        ("muon_decay", Arc::new(Muon { nesterov: false, weight_decay: 0.1, ..Muon::default() })),
    ]
}

/// Relative to the largest parameter of each tensor, and to the loss: the errors of ten steps, each of some
/// roundings of its largest values.
fn bound<T: Element>() -> f64 {
    100.0 * T::EPSILON.to_f64()
}

fn check<T: Element>() {
    let (golden, data) = (golden(), data());
    for (name, optimizer) in optimizers::<T>() {
        let golden = &golden["optimizers"][name];
        let mut trainer = trainer(optimizer, None);
        let mut losses: Vec<f64> = (0..STEPS)
            .map(|_| trainer.train_epoch(&data, |_| ()).expect("finite losses").train.loss)
            .collect();
        losses.push(trainer.evaluate(&data).expect("a data set that fits").loss);
        let expected = numbers(&golden["losses"]);
        let what = format!("{}, {name}", T::NAME);
        assert_close(&format!("{what}, losses"), &losses, &expected, bound::<T>() * largest(&expected));
        assert_parameters(&what, trainer.state(), &golden["parameters"]);
    }
}

#[test]
fn ten_steps_are_those_of_pytorch() {
    check::<f64>();
    check::<f32>();
}

#[test]
fn averages_are_those_of_pytorch() {
    let golden = &golden()["averages"];
    let data = data();
    let mut trainer = trainer::<f64>(Arc::new(AdamW::default()), golden["decay"].as_f64());
    for _ in 0..STEPS {
        trainer.train_epoch(&data, |_| ()).expect("finite losses");
    }
    let averaged = trainer.averaged_state().expect("averages");
    assert_parameters("averages", averaged, &golden["parameters"]);
    let loss = trainer.evaluate(&data).expect("a data set that fits").loss;
    assert_close("loss", &[loss], &[golden["loss"].as_f64().expect("a number")], bound::<f64>());
}
