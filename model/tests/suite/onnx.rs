//! Networks in the ONNX format against our own outputs, by onnx's checker and onnxruntime, where
//! `ISOGRAD_PYTHON` names a Python that has them.

use crate::common::branching;
use crate::formula::{network, pixels, predictor, python, run, state};
use isograd_kernels::Element;
use isograd_model::layer::*;
use isograd_model::onnx::{OnnxOptions, to_onnx};
use isograd_model::{Network, RunInfo, Scores, Shape, State, layers, zoo};
use std::fs;
use std::path::Path;

/// A network of each family, some for smaller images than they were made for.
const NETWORKS: [(&str, usize); 17] = [
    ("simplecnn", 28),
    ("simplemlp", 28),
    ("vgg3dobn", 32),
    ("alexnet_cifar10", 32),
    ("alexnet", 99),
    ("vgg11_cifar10", 32),
    ("vgg16bn_cifar10", 32),
    ("resnet20_cifar10", 32),
    ("resnet50v15_imagenet", 64),
    ("densenet_cifar10", 32),
    ("densenet121_imagenet", 64),
    ("googlenet_imagenet", 64),
    ("inceptionv3_cifar10", 32),
    ("mobilenetv1_cifar10", 32),
    ("mobilenetv2_imagenet", 64),
    ("resnet9_cifar10", 32),
    ("airbench94_cifar10", 32),
];

/// What no family has: each activation, and pooling and padding of every kind.
fn odd_layers() -> Layers<f32> {
    layers![
        Input::new(6, 17, 13),
        ZeroPadding2D::new([1, 0, 2, 3]),
        Conv2D::new(6, [3, 2]).stride([2, 1]).dilation([1, 2]).groups(3).without_bias(),
        BatchNormalization::new().without_scale(),
        LeakyReLU::new(0.2),
        AveragePool2D::new(3).stride(2).padding(1).ceil_mode(),
        ELU::new(0.7),
        AdaptiveMaxPool2D::new([5, 3]),
        GELU::new(),
        AveragePool2D::new(2).stride(1).padding(1).count_padding(),
        HardSwish,
        LocalResponseNormalization::new().size(4).alpha(0.3),
        MaxPool2D::new(2).stride(3).padding(1).ceil_mode(),
        SiLU,
        AdaptiveAveragePool2D::new([4, 5]),
        HardSigmoid,
        LocalResponseNormalization::new().size(3).alpha(0.3).k(2.0),
        Softplus,
        Residual::new(layers![AveragePool2D::new(1), Tanh]),
        GELU::tanh(),
        AveragePool2D::new(2).stride(1).dilation(2),
        LogSigmoid,
        Flatten,
        Dense::new(7).without_bias(),
        Concatenation::new([layers![Sigmoid], layers![Dense::new(3), ReLU6], layers![]]),
        BatchNormalization::new(),
        Dense::new(4),
        Sigmoid,
    ]
}

/// Spatial pyramid pooling and a sum: paths end in a `Flatten`, so parts are images of several sizes.
fn flattened_paths() -> Layers<f32> {
    let pooled = |size: usize| layers![AdaptiveMaxPool2D::new(size), Flatten];
    layers![
        Input::new(3, 9, 9),
        Conv2D::new(4, 3),
        Concatenation::new([pooled(1), pooled(2), pooled(4)]),
        Dense::new(16),
        ReLU,
        Concatenation::new([layers![Sigmoid], layers![]]),
        Conv2D::new(8, 1),
        Flatten,
        Dense::new(4),
        Softmax,
    ]
}

/// Writes a network with samples and our outputs to `folder`.
fn write(folder: &Path, name: &str, network: Network<f32>, logits: bool) {
    let (state, x) = (state(&network), pixels(&network));
    let (scores, options) = match logits {
        true => (Scores::Logits, OnnxOptions::logits()),
        false => (Scores::Output, OnnxOptions::default()),
    };
    let mut info = RunInfo::new(name);
    info.class_names = vec!["cat".to_string(), "dog".to_string()];
    let bytes = to_onnx(&network, &state, &info, options).expect("layers of this library");
    let y = predictor(network, state, scores).predict_nchw(&x).expect("whole samples");
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    for (ending, bytes) in [("onnx", bytes), ("x", floats(&x)), ("y", floats(&y))] {
        fs::write(folder.join(format!("{name}.{ending}")), bytes).expect("room on the disk");
    }
}

#[test]
fn onnxruntime_agrees() {
    let Some(python) = python("ISOGRAD_PYTHON", true) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let check = || run(&python, "tests/onnx/check.py", &[folder.path().to_str().expect("UTF-8")]);
    write(folder.path(), "odd_layers", network(odd_layers()), false);
    write(folder.path(), "flattened_paths", network(flattened_paths()), false);
    write(folder.path(), "branching", branching(), false);
    for (name, side) in NETWORKS {
        let model = zoo::find(name).expect("a known name");
        let layers = model.layers(Shape::image(model.input.c, side, side), 10);
        write(folder.path(), name, network(layers), true);
    }
    check();
}

/// A layer of another crate.
#[derive(Debug)]
struct Own;

impl<T: Element> Layer<T> for Own {
    fn kind(&self) -> &'static str {
        "Own"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, isograd_model::BuildError> {
        Ok(input)
    }
}

#[test]
fn a_layer_of_another_crate_is_one_clear_error() {
    let network = Network::<f32>::build(layers![Input::vector(3), Dense::new(2), Own]).expect("it fits");
    let state: State<f32> = network.initial_state(0).expect("memory");
    let error = to_onnx(&network, &state, &RunInfo::new("own"), OnnxOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "layer 2 (Own) cannot be written to ONNX: its type is not one of this library's"
    );
}
