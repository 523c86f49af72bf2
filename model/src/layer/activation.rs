//! Activation layers: element-wise functions, and softmax.

use super::{Backward, BackwardReads, Context, Fusible, Layer, LayerPlan, Memory, Options, OutputKind};
use crate::error::BuildError;
use crate::shape::Shape;
use isograd_kernels::{Activation, Element, activation, softmax};

/// A layer around an element-wise kernel and its backward kernel, which takes the input or the output beside
/// `dy`.
macro_rules! elementwise_layer {
    ($(#[$doc:meta])* $name:ident, $forward:path, $backward:path, $of:ident, $kind:expr $(, $fusible:expr)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default)]
        pub struct $name;

        impl<T: Element> Layer<T> for $name {
            fn kind(&self) -> &'static str {
                stringify!($name)
            }

            fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
                Ok(input)
            }

            fn output_kind(&self, _: OutputKind, _: Shape) -> OutputKind {
                $kind
            }

            fn options(&self) -> Option<Options> {
                Some(Options::new())
            }

            fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
                memory.team.elements(y, [x], |y, [x]| $forward(cx.isa, x, y));
            }

            fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
                let Backward { $of, dy, dx: Some(dx), .. } = tensors else { return };
                memory.team.elements(dx, [$of, dy], |dx, [$of, dy]| $backward(cx.isa, $of, dy, dx));
            }

            fn is_cheap(&self) -> bool {
                true
            }

            fn backward_reads(&self) -> BackwardReads {
                BackwardReads { $of: true, ..BackwardReads::NOTHING }
            }
            $(
                fn fusible(&self) -> Option<Fusible> {
                    Some($fusible)
                }
            )?
        }
    };
}

pub(super) use elementwise_layer;

elementwise_layer!(
    /// The logistic function, `1 / (1 + e^-x)`.
    ///
    /// Where it is the last layer and the loss is the binary cross-entropy, the loss is computed from its
    /// input.
    Sigmoid, activation::sigmoid, activation::sigmoid_backward, y, OutputKind::Probabilities, Fusible::Sigmoid
);
elementwise_layer!(
    /// The hyperbolic tangent.
    Tanh, activation::tanh, activation::tanh_backward, y, OutputKind::Bounded
);
elementwise_layer!(
    /// The logarithm of the logistic function.
    LogSigmoid, activation::log_sigmoid, activation::log_sigmoid_backward, y, OutputKind::Bounded
);
elementwise_layer!(
    /// The inverse hyperbolic tangent, of inputs between -1 and 1.
    ArcTanh, activation::arctanh, activation::arctanh_backward, x, OutputKind::Scores
);

/// `max(x, 0)`. A neighbouring layer applies it where it can: a ReLU between convolutions or dense layers
/// costs no pass over memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReLU;

impl<T: Element> Layer<T> for ReLU {
    fn kind(&self) -> &'static str {
        "ReLU"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        Ok(input)
    }

    fn output_kind(&self, input: OutputKind, _: Shape) -> OutputKind {
        // Probabilities are not negative: they stay as they are.
        input
    }

    fn options(&self) -> Option<Options> {
        Some(Options::new())
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        memory.team.elements(y, [x], |y, [x]| activation::relu(cx.isa, x, y));
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let Backward { y, dy, dx: Some(dx), .. } = tensors else { return };
        memory.team.elements(dx, [y, dy], |dx, [y, dy]| activation::relu_backward(cx.isa, y, dy, dx));
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::Y
    }

    fn fusible(&self) -> Option<Fusible> {
        Some(Fusible::Activation(Activation::Relu))
    }
}

/// `e^x / sum of e^x` over the features of a vector, or over the channels at each pixel.
///
/// Where it is the last layer and the loss is the categorical cross-entropy, the loss is computed from its
/// input.
#[derive(Debug, Clone, Copy, Default)]
pub struct Softmax;

impl<T: Element> Layer<T> for Softmax {
    fn kind(&self) -> &'static str {
        "Softmax"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        Ok(input)
    }

    fn output_kind(&self, _: OutputKind, _: Shape) -> OutputKind {
        OutputKind::Distribution
    }

    fn options(&self) -> Option<Options> {
        Some(Options::new())
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], _: Memory<'_, T>) {
        softmax::softmax(cx.isa, cx.input.c, x.len() / cx.input.c, x, y);
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, _: Memory<'_, T>) {
        if let Some(dx) = tensors.dx {
            let columns = tensors.y.len() / cx.input.c;
            softmax::softmax_backward(cx.isa, cx.input.c, columns, tensors.y, tensors.dy, dx);
        }
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::Y
    }

    fn fusible(&self) -> Option<Fusible> {
        Some(Fusible::Softmax)
    }
}
