//! Networks whose parameters are a formula, as in `examples/pytorch/exchange.py`, and Python programs.

use crate::common::{build, values};
use isograd_model::layer::Layers;
use isograd_model::{InputInfo, Network, Predictor, Scores, State};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const SEED: u64 = 131;
pub(crate) const SAMPLES: usize = 2;
const PIXELS: u64 = 9;

/// A number for the name of a tensor.
fn stream(name: &str) -> u64 {
    name.bytes().fold(0, |number, byte| (number * 31 + u64::from(byte)) % (1 << 32))
}

/// The values of a tensor: weights of the size that keeps that of activations.
fn tensor_values(name: &str, dims: &[usize]) -> impl Iterator<Item = f32> + use<> {
    let of_filter = dims.iter().skip(1).product::<usize>() as f64;
    let [factor, addend] = match (dims.len(), name.rsplit('.').next()) {
        (2.., _) => [(6.0 / of_filter).sqrt(), 0.0],
        (_, Some("running_var")) => [0.5, 1.0],
        (_, Some("weight")) => [0.25, 1.0],
        _ => [0.125, 0.0],
    };
    let all: Vec<f64> = values(SEED, stream(name), dims.iter().product(), 1.0);
    all.into_iter().map(move |value| (addend + factor * value) as f32)
}

/// The state of `network` whose values are the formula.
pub(crate) fn state(network: &Network<f32>) -> State<f32> {
    let mut state = network.initial_state(0).expect("memory");
    for tensor in network.parameters() {
        let values = tensor_values(&tensor.name, &tensor.dims);
        state.params_mut()[tensor.range.clone()].iter_mut().zip(values).for_each(|(to, value)| *to = value);
    }
    for tensor in network.statistics() {
        let values = tensor_values(&tensor.name, &tensor.dims);
        let to = &mut state.statistics_mut()[tensor.range.clone()];
        to.iter_mut().zip(values).for_each(|(to, value)| *to = value);
    }
    state
}

/// Samples, `[SAMPLES, C, H, W]`.
pub(crate) fn pixels(network: &Network<f32>) -> Vec<f32> {
    values(SEED, PIXELS, SAMPLES * network.input_shape().elements(), 1.0)
}

pub(crate) fn network(layers: Layers<f32>) -> Network<f32> {
    build(layers)
}

/// The network in use, with its input as it is.
pub(crate) fn predictor(network: Network<f32>, state: State<f32>, scores: Scores) -> Predictor {
    let shape = network.input_shape();
    let mut input = InputInfo::new([shape.c, shape.h, shape.w], network.output_shape().elements());
    (input.is_bytes, input.scale) = (false, vec![1.0; shape.c]);
    Predictor::new(network, state, input, Vec::new()).expect("memory").with_scores(scores)
}

/// The Python that the environment variable `variable` names. Without one, says so; `is_required` in CI.
pub(crate) fn python(variable: &str, is_required: bool) -> Option<PathBuf> {
    let python = std::env::var_os(variable).map(PathBuf::from);
    if python.is_none() {
        assert!(!(is_required && std::env::var_os("CI").is_some()), "{variable} names no Python");
        eprintln!("SKIPPED: {variable} names no Python, so nothing is compared with other programs");
    }
    python
}

/// Runs a script of this crate, and requires success.
#[track_caller]
pub(crate) fn run(python: &Path, script: &str, args: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let output = Command::new(python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(script)
        .args(args)
        .output()
        .expect("Python starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    print!("{}", text(&output.stdout));
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// Requires equal numbers up to `1e-5` of the largest.
#[track_caller]
pub(crate) fn assert_near(name: &str, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (f64::from(*found) - expected).abs();
        assert!(off <= 1e-5 * largest, "{name}: output {index} is {found}, expected {expected}");
    }
}
