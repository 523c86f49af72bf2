//! The fully connected layer.

use super::folded::Folded;
use super::{
    Backward, BackwardReads, Channels, Context, Fans, Foldable, Fusion, Layer, LayerPlan, Memory, Options,
    OutputKind, Team, part,
};
use crate::error::BuildError;
use crate::initializer::Initializer;
use crate::shape::Shape;
use isograd_kernels::gemm::{MatMut, MatRef, gemm};
use isograd_kernels::{Accum, Activation, Element, Finish, activation, elementwise, reduce};
use std::ops::Range;

/// Rows of a matrix product that a thread computes at least. A product of a single row is summed in another
/// order.
const ROWS: usize = 8;

/// `y = W x + b`: x `[in, n]`, W `[out, in]`, b `[out]`, y `[out, n]`.
#[derive(Debug, Clone)]
pub struct Dense {
    outputs: usize,
    use_bias: bool,
    weights_initializer: Initializer,
    biases_initializer: Initializer,
    inputs: usize,
    weight: Range<usize>,
    bias: Option<Range<usize>>,
    activation: Activation,
    relu_gradient: bool,
    folded: Option<Folded>,
}

impl Dense {
    /// A layer of `outputs` features with a bias; weights glorot_uniform, biases zeros.
    pub fn new(outputs: usize) -> Self {
        Self {
            outputs,
            use_bias: true,
            weights_initializer: Initializer::OF_WEIGHTS,
            biases_initializer: Initializer::OF_BIASES,
            inputs: 0,
            weight: 0..0,
            bias: None,
            activation: Activation::Identity,
            relu_gradient: false,
            folded: None,
        }
    }

    /// Leaves the bias out.
    #[must_use]
    pub fn without_bias(self) -> Self {
        Self { use_bias: false, ..self }
    }

    /// Sets other initial values.
    #[must_use]
    pub fn initializers(self, weights: Initializer, biases: Initializer) -> Self {
        Self { weights_initializer: weights, biases_initializer: biases, ..self }
    }

    /// How `count` outputs, or inputs, are cut into parts, whose products have the bits of the whole.
    fn parts_of(&self, count: usize, n: usize) -> Channels {
        let products = (self.inputs * self.outputs) as u64;
        Channels::new(count, count * n).in_multiples_of(ROWS).with_products(products, n)
    }

    /// The outputs `outputs` of a forward pass: y `[outputs, n]`.
    fn forward_outputs<T: Element>(&self, cx: &Context<'_, T>, outputs: Range<usize>, x: &[T], y: &mut [T]) {
        let weights = &cx.params[self.weight.clone()][outputs.start * self.inputs..outputs.end * self.inputs];
        let w = MatRef::row_major(weights, outputs.len(), self.inputs);
        let x = MatRef::row_major(x, self.inputs, cx.n);
        gemm(cx.isa, w, x, Accum::Replace, MatMut::row_major(y, outputs.len(), cx.n));
        let (bias, activation) = match self.folded.as_ref().filter(|_| cx.folded) {
            Some(Folded { bias, activation }) => (Some(bias), *activation),
            None => (self.bias.as_ref(), self.activation),
        };
        if let Some(bias) = bias {
            let bias = &cx.params[bias.clone()][outputs.clone()];
            elementwise::add_bias(cx.isa, outputs.len(), cx.n, bias, y);
        }
        match cx.finish(activation).part(outputs.start * cx.n..outputs.end * cx.n) {
            Finish { addend: Some(addend), activation } => {
                elementwise::add_assign(cx.isa, addend, activation, y);
            }
            Finish { activation, .. } => activation::apply_in_place(cx.isa, activation, y),
        }
    }
}

impl<T: Element> Layer<T> for Dense {
    fn kind(&self) -> &'static str {
        "Dense"
    }

    fn build(&mut self, input: Shape, plan: &mut LayerPlan) -> Result<Shape, BuildError> {
        if !input.is_vector() {
            return Err(BuildError::NotAVector { input });
        }
        if self.outputs == 0 {
            return Err(BuildError::OutOfRange {
                name: "the number of outputs",
                expected: "at least 1",
                value: 0.0,
            });
        }
        self.inputs = input.c;
        let fans = Fans { inputs: self.inputs, outputs: self.outputs };
        self.weight =
            plan.parameter("weight", &[self.outputs, self.inputs], self.weights_initializer, fans)?;
        if self.use_bias {
            self.bias = Some(plan.parameter("bias", &[self.outputs], self.biases_initializer, fans)?);
        }
        Ok(Shape::vector(self.outputs))
    }

    fn output_kind(&self, _: OutputKind, _: Shape) -> OutputKind {
        OutputKind::Scores
    }

    fn fold(&mut self, activation: Activation, bias: Range<usize>) -> Option<Foldable> {
        self.folded = Some(Folded { bias, activation });
        Some(Foldable { weight: self.weight.clone(), bias: self.bias.clone() })
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let mut team = memory.team;
        team.channels(self.parts_of(self.outputs, cx.n), &mut [], [y], |outputs, [y], _| {
            self.forward_outputs(cx, outputs, x, y);
        });
    }

    // dx = W^T dy, dW = dy x^T, db = sum of dy over the samples.
    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let Backward { x, dy, dx, accum, mut dw, .. } = tensors;
        let mut team = memory.team;
        if let Some(bias) = &self.bias {
            reduce::sum_rows(cx.isa, self.outputs, cx.n, dy, Accum::Replace, dw.of(bias));
        }
        let x_matrix = MatRef::row_major(x, self.inputs, cx.n);
        let dw = dw.of(&self.weight);
        let of_outputs = self.parts_of(self.outputs, cx.n);
        let mut weight_gradient = |mut team: Team<'_, T>, _: &mut [T]| {
            team.channels(of_outputs, &mut [], [dw], |outputs, [dw], _| {
                let dy = MatRef::row_major(part(dy, self.outputs, &outputs), outputs.len(), cx.n);
                let dw = MatMut::row_major(dw, outputs.len(), self.inputs);
                gemm(cx.isa, dy, x_matrix.t(), Accum::Replace, dw);
            });
        };
        let Some(dx) = dx else { return weight_gradient(team, &mut []) };
        let (w, dy) = (&cx.params[self.weight.clone()], MatRef::row_major(dy, self.outputs, cx.n));
        let input_gradient = |mut team: Team<'_, T>, _: &mut [T]| {
            team.channels(self.parts_of(self.inputs, cx.n), &mut [], [dx], |inputs, [dx], _| {
                let w = MatRef::strided(&w[inputs.start..], self.outputs, inputs.len(), self.inputs, 1);
                gemm(cx.isa, w.t(), dy, accum, MatMut::row_major(dx, inputs.len(), cx.n));
                if self.relu_gradient {
                    activation::relu_backward_in_place(cx.isa, part(x, self.inputs, &inputs), dx);
                }
            });
        };
        team.both(of_outputs.work, &mut [], weight_gradient, input_gradient);
    }

    fn multiply_adds(&self) -> u64 {
        (self.inputs * self.outputs) as u64
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::X
    }

    fn can_add_to_dx(&self) -> bool {
        true
    }

    fn can_add_to_y(&self) -> bool {
        self.activation == Activation::Identity
    }

    fn fuse(&mut self, fusion: Fusion) -> bool {
        match fusion {
            Fusion::ActivationForward(activation) => self.activation = activation,
            Fusion::ReluGradient => self.relu_gradient = true,
            _ => return false,
        }
        true
    }

    fn options(&self) -> Option<Options> {
        let options = Options::new()
            .with("outputs", self.outputs)
            .with_unless("bias", self.use_bias, true)
            .with_unless("weight_initializer", self.weights_initializer, Initializer::OF_WEIGHTS)
            .with_unless("bias_initializer", self.biases_initializer, Initializer::OF_BIASES);
        Some(options)
    }
}
