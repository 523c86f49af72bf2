//! Networks that branch, against PyTorch: logits, loss, every gradient, and the outputs in use. The expected
//! values are in `golden/branches.json`, which `golden/branches.py` wrote.

use crate::common::{assert_close, build, labels, largest, samples_innermost, values};
use isograd_datasets::Arrays;
use isograd_kernels::Isa;
use isograd_model::layer::*;
use isograd_model::loss::CategoricalCrossEntropy;
use isograd_model::{Network, Randomness, TrainConfig, Trainer, layers, zoo};
use serde_json::Value;

/// As in the script.
const SEED: u64 = 17;
const SAMPLES: usize = 3;
const PIXELS: u64 = 10_000;
const LABELS: u64 = 10_001;
/// How far a number may be off, relative to the largest of its tensor, and a loss. Roundings of f64 are
/// 1e-16; batch normalisation over few values makes them some thousand times larger.
const BOUND: f64 = 1e-9;

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap_or_else(|| panic!("{value} is no list"));
    list.iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn conv(filters: usize, kernel: usize) -> Conv2D {
    Conv2D::new(filters, kernel).padding(kernel / 2).without_bias()
}

fn normalised(conv: (&str, Conv2D), bn: &str) -> Layers<f64> {
    layers![named(conv.0, conv.1), named(bn, BatchNormalization::new())]
}

fn bottleneck(stride: usize, projects: bool) -> Residual<f64> {
    let mut body = normalised(("conv1", conv(4, 1).stride(stride)), "bn1");
    body.push(Box::new(ReLU));
    body.extend(normalised(("conv2", conv(4, 3)), "bn2"));
    body.push(Box::new(ReLU));
    body.extend(normalised(("conv3", conv(16, 1)), "bn3"));
    let shortcut = normalised(("0", conv(16, 1).stride(stride)), "1");
    let block = Residual::new(body);
    if projects { block.projection(layers![named("downsample", Sequence::new(shortcut))]) } else { block }
}

fn dense_layer(number: usize) -> Named<f64> {
    let mut path = layers![named("norm1", BatchNormalization::new()), ReLU, named("conv1", conv(8, 1))];
    path.extend(layers![named("norm2", BatchNormalization::new()), ReLU, named("conv2", conv(2, 3))]);
    named(format!("denselayer{number}"), Concatenation::new([layers![], path]))
}

fn basic(name: &str, filters: usize, kernel: usize) -> Named<f64> {
    let normalisation = BatchNormalization::new().epsilon(1e-3);
    named(
        name,
        Sequence::new(layers![named("conv", conv(filters, kernel)), named("bn", normalisation), ReLU]),
    )
}

fn inception() -> Named<f64> {
    let path = |name: &str, layers| layers![named(name, Sequence::new(layers))];
    let pooled = layers![MaxPool2D::new(3).stride(1).padding(1), basic("1", 4, 1)];
    let paths = [
        layers![basic("branch1", 3, 1)],
        path("branch2", layers![basic("0", 3, 1), basic("1", 5, 3)]),
        path("branch3", layers![basic("0", 2, 1), basic("1", 2, 3)]),
        path("branch4", pooled),
    ];
    named("", Concatenation::new(paths))
}

fn depthwise() -> Layers<f64> {
    let mut layers = normalised(("depthwise1", conv(4, 3).groups(4)), "norm1");
    layers.push(Box::new(ReLU));
    layers.extend(normalised(("pointwise1", conv(6, 1)), "norm2"));
    layers.push(Box::new(ReLU));
    layers.extend(normalised(("depthwise2", conv(6, 3).stride(2).groups(6)), "norm3"));
    layers.push(Box::new(ReLU));
    layers.extend(normalised(("pointwise2", conv(8, 1)), "norm4"));
    layers.push(Box::new(ReLU));
    layers
}

/// The layers between input and pooling, by the names of the script.
fn small_networks() -> Vec<(&'static str, Layers<f64>)> {
    vec![
        (
            "bottleneck",
            layers![named("first", bottleneck(2, true)), ReLU, named("second", bottleneck(1, false)), ReLU],
        ),
        (
            "dense",
            layers![
                named("block", Sequence::new((1..=3).map(|k| Box::new(dense_layer(k)) as Box<_>).collect())),
                named("norm", BatchNormalization::new()),
                ReLU,
                named("conv", conv(5, 1)),
                AveragePool2D::new(2),
            ],
        ),
        ("inception", layers![inception()]),
        ("depthwise", depthwise()),
    ]
}

/// Puts input and head around `features`; `softmax` or not.
fn network(features: Layers<f64>, softmax: bool) -> Network<f64> {
    let mut layers = layers![Input::new(4, 8, 8)];
    layers.extend(features);
    layers.extend(layers![AveragePool2D::global(), Flatten, named("fc", Dense::new(10))]);
    if softmax {
        layers.push(Box::new(Softmax));
    }
    build(layers)
}

fn resnet20(softmax: bool) -> Network<f64> {
    let model = zoo::find("resnet20_cifar10").expect("a known name");
    let mut layers = model.layers(model.input, model.classes);
    if !softmax {
        layers.pop();
    }
    build(layers)
}

/// The parameters of the script.
fn parameters(network: &Network<f64>) -> Vec<f64> {
    let mut names: Vec<&str> = network.parameters().iter().map(|tensor| tensor.name.as_str()).collect();
    names.sort_unstable();
    let mut params = vec![0.0; network.parameter_count()];
    for tensor in network.parameters() {
        let stream = names.binary_search(&tensor.name.as_str()).expect("a name of the network");
        let raw: Vec<f64> = values(SEED, stream as u64, tensor.range.len(), 1.0);
        let fan_in = tensor.dims.iter().skip(1).product::<usize>() as f64;
        let scaled = |v: &f64| match tensor.dims.len() {
            1 if tensor.name.ends_with("weight") => 1.0 + v / 4.0,
            1 => v / 8.0,
            _ => v / (fan_in.sqrt() / 2.0).log2().floor().exp2(),
        };
        params[tensor.range.clone()].copy_from_slice(&raw.iter().map(scaled).collect::<Vec<_>>());
    }
    params
}

fn check(what: &str, golden: &Value, network: Network<f64>, headless: &Network<f64>) {
    let shape = network.input_shape();
    let (raw, classes) =
        (values(SEED, PIXELS, shape.elements() * SAMPLES, 1.0), labels(SEED, LABELS, SAMPLES, 10));
    let x = samples_innermost(&raw, SAMPLES);
    let params = parameters(&network);
    let rows = |name: &str| -> Vec<f64> {
        let rows: Vec<f64> = golden[name].as_array().expect("rows").iter().flat_map(numbers).collect();
        samples_innermost(&rows, SAMPLES)
    };

    for isa in Isa::available() {
        let what = |name: &str| format!("{isa} {what}: {name}");
        let mut state = network.initial_state(0).expect("memory");
        state.params_mut().copy_from_slice(&params);
        let loss = CategoricalCrossEntropy::new();
        let (value, gradients) =
            network.loss_and_gradients(&state, isa, &loss, Randomness::default(), &x, &classes);
        let expected = golden["loss"].as_f64().expect("a number");
        assert_close(&what("loss"), &[value], &[expected], BOUND * expected);
        for tensor in network.parameters() {
            let golden = &golden["gradients"][&tensor.name];
            let gradient = &gradients[tensor.range.clone()];
            let norm = golden["norm"].as_f64().unwrap_or_else(|| panic!("no gradient of {}", tensor.name));
            let got = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            assert_close(&what(&tensor.name), &[got], &[norm], BOUND * norm);
            let shown = numbers(&golden["shown"]);
            let stride = golden["stride"].as_u64().expect("a number") as usize;
            let got: Vec<f64> = gradient.iter().step_by(stride).take(shown.len()).copied().collect();
            assert_close(&what(&tensor.name), &got, &shown, BOUND * norm);
        }
    }

    // One step that changes the running statistics alone.
    let data: Vec<f32> = raw.iter().map(|v| *v as f32).collect();
    let data = Arrays::from_f32(data, classes, [shape.c, shape.h, shape.w], 10).expect("a data set");
    let config = TrainConfig { batch_size: SAMPLES, learning_rate: 0.0, ..TrainConfig::default() };
    let mut trainer = Trainer::new(network, config).expect("a trainer");
    trainer.state_mut().params_mut().copy_from_slice(&params);
    trainer.train_epoch(&data, |_| ()).expect("finite losses");
    let used = headless.predict(trainer.state(), Isa::best(), &x, SAMPLES);
    let expected = rows("used");
    // The trainer takes the samples in another order.
    assert_close(&format!("{what} in use"), &used, &expected, BOUND * largest(&expected));
}

#[test]
fn networks_that_branch_are_those_of_pytorch() {
    let golden: Value = serde_json::from_str(include_str!("../golden/branches.json")).expect("valid JSON");
    check("resnet20", &golden["resnet20"], resnet20(true), &resnet20(false));
    for ((name, features), (_, headless)) in small_networks().into_iter().zip(small_networks()) {
        check(name, &golden[name], network(features, true), &network(headless, false));
    }
}
