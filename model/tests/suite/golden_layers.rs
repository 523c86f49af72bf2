//! Layers and losses against PyTorch. The expected values are in `golden/layers.json`, which
//! `golden/layers.py` wrote.

use crate::common::{assert_close, build, labels, largest, samples_innermost, values};
use isograd_kernels::loss::{self, LabelShares};
use isograd_kernels::{Element, Isa};
use isograd_model::layer::*;
use isograd_model::loss::MeanSquaredError;
use isograd_model::{BuildError, Initializer, Randomness, Shape};
use serde_json::Value;
use std::ops::Range;

/// As in the scripts.
const SEED: u64 = 131;
const SAMPLES: usize = 3;
const X: u64 = 20;
const SHIFT: u64 = 21;
const LABELS: u64 = 22;
const WEIGHTS: u64 = 23;
const TARGETS: u64 = 24;
const CLASSES: usize = 7;

/// Adds a parameter to each feature, so that its gradient is the one by the input of the layer behind it.
#[derive(Debug, Default)]
struct Shift(Range<usize>);

impl<T: Element> Layer<T> for Shift {
    fn kind(&self) -> &'static str {
        "Shift"
    }

    fn build(&mut self, input: Shape, plan: &mut LayerPlan) -> Result<Shape, BuildError> {
        self.0 = plan.parameter("shift", &[input.elements()], Initializer::Zeros, Fans::ELEMENTWISE)?;
        Ok(input)
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], _: Memory<'_, T>) {
        for ((y, x), shift) in y.chunks_mut(cx.n).zip(x.chunks(cx.n)).zip(&cx.params[self.0.clone()]) {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = *x + *shift);
        }
    }

    fn backward(&self, cx: &Context<'_, T>, mut tensors: Backward<'_, T>, _: Memory<'_, T>) {
        for (dw, dy) in tensors.dw.of(&self.0).iter_mut().zip(tensors.dy.chunks(cx.n)) {
            *dw = dy.iter().copied().sum();
        }
    }
}

/// A layer of the script: its name, the shape of its input, and the layer here.
type Case<T> = (&'static str, [usize; 3], Box<dyn Layer<T>>);

fn case<T: Element>(name: &'static str, shape: [usize; 3], layer: impl Layer<T> + 'static) -> Case<T> {
    (name, shape, Box::new(layer))
}

fn cases<T: Element>() -> Vec<Case<T>> {
    let strong = LocalResponseNormalization::new().alpha(0.5).k(2.0);
    let even = LocalResponseNormalization::new().size(4).alpha(1.0).beta(0.6);
    vec![
        case("leaky_relu", [2, 3, 2], LeakyReLU::default()),
        case("leaky_relu_0.2", [2, 3, 2], LeakyReLU::new(0.2)),
        case("relu6", [2, 3, 2], ReLU6),
        case("silu", [2, 3, 2], SiLU),
        case("gelu", [2, 3, 2], GELU::new()),
        case("gelu_tanh", [2, 3, 2], GELU::tanh()),
        case("hard_swish", [2, 3, 2], HardSwish),
        case("hard_sigmoid", [2, 3, 2], HardSigmoid),
        case("elu", [2, 3, 2], ELU::default()),
        case("elu_0.5", [2, 3, 2], ELU::new(0.5)),
        case("softplus", [2, 3, 2], Softplus),
        case("lrn", [7, 2, 2], LocalResponseNormalization::new()),
        case("lrn_strong", [7, 2, 2], strong),
        case("lrn_even", [7, 2, 2], even),
        case("zero_padding", [2, 3, 2], ZeroPadding2D::new([1, 0, 3, 1])),
        case("global_average", [5, 4, 3], AveragePool2D::global()),
        case("global_max", [5, 4, 3], MaxPool2D::global()),
        case("adaptive_average", [2, 5, 7], AdaptiveAveragePool2D::new([3, 2])),
        case("adaptive_average_repeats", [2, 2, 3], AdaptiveAveragePool2D::new([3, 7])),
        case("adaptive_max", [2, 5, 7], AdaptiveMaxPool2D::new([3, 2])),
        case("max_ceil", [2, 6, 8], MaxPool2D::new(3).stride(2).ceil_mode()),
        case("max_ceil_small", [2, 2, 2], MaxPool2D::new(3).stride(2).ceil_mode()),
        case("max_ceil_padded", [2, 5, 4], MaxPool2D::new(2).stride(3).padding(1).ceil_mode()),
        case("max_stem", [2, 7, 6], MaxPool2D::new(3).stride(2).padding(1)),
        case("average", [2, 5, 4], AveragePool2D::new(3).stride(1).padding(1)),
        case("average_counted", [2, 5, 4], AveragePool2D::new(3).stride(1).padding(1).count_padding()),
        case("average_ceil", [2, 6, 5], AveragePool2D::new(3).stride(2).padding(1).ceil_mode()),
        case(
            "average_ceil_counted",
            [2, 6, 5],
            AveragePool2D::new(3).stride(2).padding(1).ceil_mode().count_padding(),
        ),
    ]
}

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/layers.json")).expect("valid JSON")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list")).iter().map(number).collect()
}

/// A layer is a few dozen roundings, and the slopes of smooth ones lose as many digits where terms cancel.
fn unit<T: Element>() -> f64 {
    64.0 * T::EPSILON.to_f64()
}

fn check_layers<T: Element>() {
    let golden = golden();
    let expected_names: Vec<_> = golden["layers"].as_object().expect("layers").keys().collect();
    let names: Vec<_> = cases::<T>().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), expected_names.len(), "{names:?} are not {expected_names:?}");
    for isa in Isa::available() {
        for (name, [c, h, w], layer) in cases::<T>() {
            let (expected, what) = (&golden["layers"][name], format!("{name} at {isa}, {}", T::NAME));
            let network = build(vec![Box::new(Input::new(c, h, w)), Box::new(Shift::default()), layer]);
            let mut state = network.initial_state(0).expect("memory");
            state.params_mut().copy_from_slice(&values(SEED, SHIFT, c * h * w, 1.0));
            let x = samples_innermost(&values::<T>(SEED, X, SAMPLES * c * h * w, 8.0), SAMPLES);

            let y = samples_innermost(&numbers(&expected["y"]), SAMPLES);
            let got = network.predict(&state, isa, &x, SAMPLES);
            assert_close(&what, &got, &y, unit::<T>() * largest(&y));

            let outputs = network.output_shape().elements();
            let (loss, gradient) = network.loss_and_gradients(
                &state,
                isa,
                &MeanSquaredError,
                Randomness::default(),
                &x,
                &labels(SEED, LABELS, SAMPLES, outputs as u32),
            );
            let expected_loss = number(&expected["loss"]);
            assert_close(&format!("{what}, loss"), &[loss], &[expected_loss], unit::<T>() * expected_loss);
            let expected = numbers(&expected["gradient"]);
            let bound = unit::<T>() * largest(&expected);
            assert_close(&format!("{what}, gradient"), &gradient, &expected, bound);
        }
    }
}

#[test]
fn layers_are_those_of_pytorch_in_f64() {
    check_layers::<f64>();
}

#[test]
fn layers_are_those_of_pytorch_in_f32() {
    check_layers::<f32>();
}

fn check_losses<T: Element>() {
    let golden = golden();
    let x = samples_innermost(&values::<T>(SEED, X, SAMPLES * CLASSES, 4.0), SAMPLES);
    let targets = samples_innermost(&values::<T>(SEED, TARGETS, SAMPLES * CLASSES, 4.0), SAMPLES);
    let labels = &labels(SEED, LABELS, SAMPLES, CLASSES as u32);
    let weights: Vec<f64> = values::<f64>(SEED, WEIGHTS, CLASSES, 0.5).iter().map(|w| w + 1.0).collect();
    for isa in Isa::available() {
        let smoothed = |smoothing: f64, weights: Option<&[f64]>, dx: &mut [T]| {
            let (shares, mut p) = (LabelShares { smoothing, weights }, vec![T::ZERO; x.len()]);
            loss::smoothed_softmax_cross_entropy(
                isa,
                CLASSES,
                SAMPLES,
                &x,
                labels,
                shares,
                1.0,
                &mut p,
                Some(dx),
            )
        };
        for (name, expected) in golden["losses"].as_object().expect("losses") {
            let what = format!("{name} at {isa}, {}", T::NAME);
            let mut dx = vec![T::ZERO; x.len()];
            let total = match name.as_str() {
                "smoothed" => smoothed(0.1, None, &mut dx),
                "weighted" => smoothed(0.0, Some(&weights), &mut dx),
                "both" => smoothed(0.1, Some(&weights), &mut dx),
                "hinge" => loss::categorical_hinge(isa, CLASSES, SAMPLES, &x, labels, 1.0, Some(&mut dx)),
                "absolute" => loss::mean_absolute_error(isa, &x, &targets, 1.0, Some(&mut dx)),
                "huber" => loss::huber(isa, 1.5, &x, &targets, 1.0, Some(&mut dx)),
                name => panic!("the script knows a loss more: {name}"),
            };
            let expected_total = number(&expected["loss"]);
            assert_close(&what, &[total], &[expected_total], unit::<T>() * expected_total);
            let expected = samples_innermost(&numbers(&expected["gradient"]), SAMPLES);
            assert_close(&format!("{what}, gradient"), &dx, &expected, unit::<T>() * largest(&expected));
        }
    }
}

#[test]
fn losses_are_those_of_pytorch() {
    check_losses::<f64>();
    check_losses::<f32>();
}
