//! The operators of each layer, by the options that it tells of itself.

use super::OnnxError;
use super::builder::{Builder, Takes, float, int, ints};
use super::pooling;
use crate::layer::{OptionValue, Options, Sides, Size2};
use crate::network::PlainLayer;
use isograd_kernels::Element;

/// Options of a layer, those that it leaves out with their defaults.
pub(super) struct Given(Options);

impl Given {
    fn find(&self, name: &str) -> Option<&OptionValue> {
        self.0.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    pub(super) fn size(&self, name: &str) -> Option<Size2> {
        match self.find(name) {
            Some(OptionValue::Size(size)) => Some(*size),
            _ => None,
        }
    }

    pub(super) fn switch(&self, name: &str) -> bool {
        matches!(self.find(name), Some(OptionValue::Switch(true)))
    }

    fn count(&self, name: &str, default: usize) -> usize {
        match self.find(name) {
            Some(OptionValue::Count(count)) => *count,
            _ => default,
        }
    }

    fn number(&self, name: &str, default: f64) -> f64 {
        match self.find(name) {
            Some(OptionValue::Number(number)) => *number,
            _ => default,
        }
    }

    fn sides(&self, name: &str) -> Sides {
        match self.find(name) {
            Some(OptionValue::Sides(sides)) => *sides,
            _ => Sides::from(0),
        }
    }
}

/// Adds the operators of `layer`.
pub(super) fn add<T: Element>(
    builder: &mut Builder<'_, T>,
    layer: &PlainLayer<'_, T>,
) -> Result<(), OnnxError> {
    let unknown = || OnnxError::Layer { place: layer.place.clone() };
    let given = Given(layer.layer.options().ok_or_else(unknown)?);
    let kind = layer.layer.kind();
    let takes = match kind {
        "Dense" | "Flatten" => Takes::Features,
        "Conv2D" | "LocalResponseNormalization" | "ZeroPadding2D" => Takes::Image,
        _ if kind.contains("Pool2D") => Takes::Image,
        _ => Takes::Either,
    };
    let (x, is_flat) = builder.value(layer.reads, layer.input, takes);
    let y = match kind {
        "Conv2D" => conv(builder, layer, &given, x),
        "Dense" => dense(builder, layer, x),
        "BatchNormalization" => batch_norm(builder, layer, &given, x),
        "MaxPool2D" => pooling::max(builder, layer, &given, x),
        "AveragePool2D" => pooling::average(builder, layer, &given, x)?,
        "AdaptiveAveragePool2D" => pooling::adaptive_average(builder, layer, x),
        "AdaptiveMaxPool2D" => pooling::adaptive_max(builder, layer, x),
        "LocalResponseNormalization" => local_response(builder, layer, &given, x),
        "ZeroPadding2D" => zero_padding(builder, &given, x),
        // Nothing in use, or a view.
        "Dropout" | "Flatten" => x,
        kind => activation(builder, kind, &given, x).ok_or_else(unknown)?,
    };
    builder.set(layer.writes, y, layer.output, is_flat);
    Ok(())
}

fn conv<T: Element>(
    builder: &mut Builder<'_, T>,
    layer: &PlainLayer<'_, T>,
    given: &Given,
    x: String,
) -> String {
    let size = |name, default: usize| given.size(name).unwrap_or(Size2::from(default));
    let (kernel, padding) = (size("kernel", 1), size("padding", 0));
    let (stride, dilation) = (size("stride", 1), size("dilation", 1));
    let mut inputs = vec![x];
    inputs.extend(layer.parameters.iter().map(|tensor| builder.parameter(tensor)));
    let attributes = vec![
        ints("kernel_shape", &[kernel.h, kernel.w]),
        ints("strides", &[stride.h, stride.w]),
        ints("pads", &[padding.h, padding.w, padding.h, padding.w]),
        ints("dilations", &[dilation.h, dilation.w]),
        int("group", given.count("groups", 1) as i64),
    ];
    builder.output("Conv", inputs, attributes)
}

fn dense<T: Element>(builder: &mut Builder<'_, T>, layer: &PlainLayer<'_, T>, x: String) -> String {
    let mut inputs = vec![x];
    inputs.extend(layer.parameters.iter().map(|tensor| builder.parameter(tensor)));
    builder.output("Gemm", inputs, vec![int("transB", 1)])
}

fn batch_norm<T: Element>(
    builder: &mut Builder<'_, T>,
    layer: &PlainLayer<'_, T>,
    given: &Given,
    x: String,
) -> String {
    let channels = layer.input.c;
    let mut parameter = |name: &str, default: f32| {
        let is_it = |found: &str| found.rsplit('.').next() == Some(name);
        match layer.parameters.iter().find(|tensor| is_it(&tensor.name)) {
            Some(tensor) => builder.parameter(tensor),
            None => builder.constant(&[channels], std::iter::repeat_n(default, channels)),
        }
    };
    let mut inputs = vec![x, parameter("weight", 1.0), parameter("bias", 0.0)];
    // The mean, then the variance.
    inputs.extend(layer.statistics.iter().map(|tensor| builder.statistic(tensor)));
    builder.output("BatchNormalization", inputs, vec![float("epsilon", given.number("epsilon", 1e-5))])
}

fn local_response<T: Element>(
    builder: &mut Builder<'_, T>,
    layer: &PlainLayer<'_, T>,
    given: &Given,
    x: String,
) -> String {
    let (size, alpha) = (given.count("size", 5), given.number("alpha", 1e-4));
    let (beta, k) = (given.number("beta", 0.75), given.number("k", 1.0));
    if size % 2 == 1 {
        let attributes =
            vec![int("size", size as i64), float("alpha", alpha), float("beta", beta), float("bias", k)];
        return builder.output("LRN", [x], attributes);
    }
    // Of an even number of channels, LRN has the odd one behind, and these layers have it in front.
    let channels = layer.input.c;
    let share = (alpha / size as f64) as f32;
    let band = (0..channels * channels).map(|cell| {
        let (to, from) = (cell / channels, cell % channels);
        let is_near = from + size / 2 >= to && from < to + size / 2;
        if is_near { share } else { 0.0 }
    });
    let weights = builder.constant(&[channels, channels, 1, 1], band);
    let (k, beta) = (builder.number(k), builder.number(beta));
    let squares = builder.output("Mul", [x.clone(), x.clone()], vec![]);
    let sums = builder.output("Conv", [squares, weights], vec![]);
    let base = builder.output("Add", [sums, k], vec![]);
    let divisor = builder.output("Pow", [base, beta], vec![]);
    builder.output("Div", [x, divisor], vec![])
}

fn zero_padding<T: Element>(builder: &mut Builder<'_, T>, given: &Given, x: String) -> String {
    let Sides { top, bottom, left, right } = given.sides("sides");
    let pads = [0, 0, top, left, 0, 0, bottom, right].map(|side| side as i64);
    let pads = builder.integers(&pads);
    builder.output("Pad", [x, pads], vec![])
}

/// The operators of an activation; `None` if there is none of this name.
fn activation<T: Element>(
    builder: &mut Builder<'_, T>,
    kind: &str,
    given: &Given,
    x: String,
) -> Option<String> {
    Some(match kind {
        "ReLU" => builder.output("Relu", [x], vec![]),
        "Sigmoid" | "Tanh" | "Softplus" | "HardSwish" => builder.output(kind, [x], vec![]),
        "Softmax" => builder.output("Softmax", [x], vec![int("axis", 1)]),
        "ArcTanh" => builder.output("Atanh", [x], vec![]),
        "HardSigmoid" => {
            builder.output("HardSigmoid", [x], vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)])
        }
        "LeakyReLU" => builder.output("LeakyRelu", [x], vec![float("alpha", given.number("slope", 0.01))]),
        "ELU" => builder.output("Elu", [x], vec![float("alpha", given.number("alpha", 1.0))]),
        "ReLU6" => {
            let bounds = [builder.number(0.0), builder.number(6.0)];
            builder.output("Clip", std::iter::once(x).chain(bounds), vec![])
        }
        "SiLU" => {
            let sigmoid = builder.output("Sigmoid", [x.clone()], vec![]);
            builder.output("Mul", [x, sigmoid], vec![])
        }
        "LogSigmoid" => {
            let negative = builder.output("Neg", [x], vec![]);
            let softplus = builder.output("Softplus", [negative], vec![]);
            builder.output("Neg", [softplus], vec![])
        }
        "GELU" => gelu(builder, given.switch("tanh"), x),
        _ => return None,
    })
}

/// `x (1 + erf(x / sqrt 2)) / 2`, or the approximation by a hyperbolic tangent,
/// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`.
fn gelu<T: Element>(builder: &mut Builder<'_, T>, by_tanh: bool, x: String) -> String {
    let [one, half] = [1.0, 0.5].map(|value| builder.number(value));
    let inner = match by_tanh {
        false => {
            let factor = builder.number(std::f64::consts::FRAC_1_SQRT_2);
            let scaled = builder.output("Mul", [x.clone(), factor], vec![]);
            builder.output("Erf", [scaled], vec![])
        }
        true => {
            let [three, cubic] = [3.0, 0.044715].map(|value| builder.number(value));
            let factor = builder.number(std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2);
            let cube = builder.output("Pow", [x.clone(), three], vec![]);
            let cube = builder.output("Mul", [cube, cubic], vec![]);
            let sum = builder.output("Add", [x.clone(), cube], vec![]);
            let scaled = builder.output("Mul", [sum, factor], vec![]);
            builder.output("Tanh", [scaled], vec![])
        }
    };
    let outer = builder.output("Add", [inner, one], vec![]);
    let product = builder.output("Mul", [x, outer], vec![]);
    builder.output("Mul", [product, half], vec![])
}
