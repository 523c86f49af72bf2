//! The relatives of ReLU.

use super::activation::elementwise_layer;
use super::{Backward, BackwardReads, Context, Fusible, Layer, LayerPlan, Memory, Options, OutputKind};
use crate::error::BuildError;
use crate::shape::Shape;
use isograd_kernels::{Activation, Element, activation};

elementwise_layer!(
    /// `min(max(x, 0), 6)`, the activation of MobileNet v2. A layer in front of it applies it where it can.
    ReLU6, activation::relu6, activation::relu6_backward, y, OutputKind::Scores,
    Fusible::Activation(Activation::Relu6)
);
elementwise_layer!(
    /// The sigmoid linear unit, also called swish: `x / (1 + e^-x)`.
    SiLU, activation::silu, activation::silu_backward, x, OutputKind::Scores
);
elementwise_layer!(
    /// `x * min(max(x + 3, 0), 6) / 6`, the activation of MobileNet v3.
    HardSwish, activation::hard_swish, activation::hard_swish_backward, x, OutputKind::Scores
);
elementwise_layer!(
    /// `min(max(x + 3, 0), 6) / 6`, a logistic function of three straight lines.
    HardSigmoid, activation::hard_sigmoid, activation::hard_sigmoid_backward, y, OutputKind::Probabilities
);
elementwise_layer!(
    /// `ln(1 + e^x)`, a ReLU with a round corner.
    Softplus, activation::softplus, activation::softplus_backward, y, OutputKind::Scores
);

/// A parameter that must be a number of at least 0, so that the sign of the output is that of the input, and
/// the backward pass can do without the input.
fn check_not_negative(name: &'static str, value: f64) -> Result<(), BuildError> {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(BuildError::OutOfRange { name, expected: "a number of at least 0", value })
}

/// `x` where `x > 0`, else `slope * x`.
#[derive(Debug, Clone, Copy)]
pub struct LeakyReLU {
    slope: f64,
}

impl LeakyReLU {
    /// The slope of negative inputs, at least 0. Its default is 0.01.
    pub fn new(slope: f64) -> Self {
        Self { slope }
    }
}

impl Default for LeakyReLU {
    fn default() -> Self {
        Self::new(0.01)
    }
}

impl<T: Element> Layer<T> for LeakyReLU {
    fn kind(&self) -> &'static str {
        "LeakyReLU"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        check_not_negative("the slope", self.slope)?;
        Ok(input)
    }

    fn output_kind(&self, input: OutputKind, _: Shape) -> OutputKind {
        // Probabilities are not negative: they stay as they are.
        input
    }

    fn options(&self) -> Option<Options> {
        Some(Options::new().with_unless("slope", self.slope, Self::default().slope))
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::Y
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let slope = T::from_f64(self.slope);
        memory.team.elements(y, [x], |y, [x]| activation::leaky_relu(cx.isa, slope, x, y));
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let Backward { y, dy, dx: Some(dx), .. } = tensors else { return };
        let slope = T::from_f64(self.slope);
        let backward = activation::leaky_relu_backward;
        memory.team.elements(dx, [y, dy], |dx, [y, dy]| backward(cx.isa, slope, y, dy, dx));
    }
}

/// `x` where `x > 0`, else `alpha * (e^x - 1)`.
#[derive(Debug, Clone, Copy)]
pub struct ELU {
    alpha: f64,
}

impl ELU {
    /// Minus the limit for negative inputs, at least 0. Its default is 1.
    pub fn new(alpha: f64) -> Self {
        Self { alpha }
    }
}

impl Default for ELU {
    fn default() -> Self {
        Self::new(1.0)
    }
}

impl<T: Element> Layer<T> for ELU {
    fn kind(&self) -> &'static str {
        "ELU"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        check_not_negative("alpha", self.alpha)?;
        Ok(input)
    }

    fn output_kind(&self, input: OutputKind, _: Shape) -> OutputKind {
        // Probabilities are not negative: they stay as they are.
        input
    }

    fn options(&self) -> Option<Options> {
        Some(Options::new().with_unless("alpha", self.alpha, Self::default().alpha))
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::Y
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let alpha = T::from_f64(self.alpha);
        memory.team.elements(y, [x], |y, [x]| activation::elu(cx.isa, alpha, x, y));
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let Backward { y, dy, dx: Some(dx), .. } = tensors else { return };
        let alpha = T::from_f64(self.alpha);
        memory.team.elements(dx, [y, dy], |dx, [y, dy]| activation::elu_backward(cx.isa, alpha, y, dy, dx));
    }
}

/// The Gaussian error linear unit: `x Phi(x)` with `Phi` the distribution function of the normal
/// distribution, or its approximation by a hyperbolic tangent.
#[derive(Debug, Clone, Copy, Default)]
pub struct GELU {
    by_tanh: bool,
}

impl GELU {
    /// The exact function.
    pub fn new() -> Self {
        Self::default()
    }

    /// The approximation `x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2`, as BERT and GPT-2 were trained
    /// with: PyTorch's `approximate="tanh"`.
    pub fn tanh() -> Self {
        Self { by_tanh: true }
    }
}

impl<T: Element> Layer<T> for GELU {
    fn kind(&self) -> &'static str {
        "GELU"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        Ok(input)
    }

    fn output_kind(&self, _: OutputKind, _: Shape) -> OutputKind {
        OutputKind::Scores
    }

    fn options(&self) -> Option<Options> {
        Some(Options::new().with_unless("tanh", self.by_tanh, false))
    }

    fn is_cheap(&self) -> bool {
        true
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::X
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let kernel = if self.by_tanh { activation::gelu_tanh } else { activation::gelu };
        memory.team.elements(y, [x], |y, [x]| kernel(cx.isa, x, y));
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let Backward { x, dy, dx: Some(dx), .. } = tensors else { return };
        let kernel = if self.by_tanh { activation::gelu_tanh_backward } else { activation::gelu_backward };
        memory.team.elements(dx, [x, dy], |dx, [x, dy]| kernel(cx.isa, x, dy, dx));
    }
}
