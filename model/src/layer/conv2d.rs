//! The convolution layer.

use super::{Backward, Context, Fans, Geometry, Layer, LayerPlan, Memory, OutputKind, Size2};
use crate::error::BuildError;
use crate::initializer::Initializer;
use crate::shape::Shape;
use isograd_kernels::conv::{self, Conv2dShape};
use isograd_kernels::{Accum, Activation, Element, Pass};
use std::ops::Range;

/// 2-D convolution: x `[C, H, W, n]`, weights `[F, C, KH, KW]`, bias `[F]`, y `[F, OH, OW, n]`.
#[derive(Debug, Clone)]
pub struct Conv2D {
    filters: usize,
    kernel: Size2,
    stride: Size2,
    padding: Size2,
    dilation: Size2,
    use_bias: bool,
    weights_initializer: Initializer,
    biases_initializer: Initializer,
    built: Option<Built>,
    relu: Activation,
    relu_gradient: bool,
}

#[derive(Debug, Clone)]
struct Built {
    conv: conv::Conv2d,
    weight: Range<usize>,
    bias: Option<Range<usize>>,
}

impl Conv2D {
    /// `filters` filters of `kernel` (`3`, or `[height, width]`) with a bias, stride 1, no padding, dilation
    /// 1; weights glorot_uniform, biases zeros.
    pub fn new(filters: usize, kernel: impl Into<Size2>) -> Self {
        Self {
            filters,
            kernel: kernel.into(),
            stride: Size2::from(1),
            padding: Size2::from(0),
            dilation: Size2::from(1),
            use_bias: true,
            weights_initializer: Initializer::GlorotUniform,
            biases_initializer: Initializer::Zeros,
            built: None,
            relu: Activation::Identity,
            relu_gradient: false,
        }
    }

    /// Steps by `stride`.
    #[must_use]
    pub fn stride(self, stride: impl Into<Size2>) -> Self {
        Self { stride: stride.into(), ..self }
    }

    /// Adds `padding` zeros on each side.
    #[must_use]
    pub fn padding(self, padding: impl Into<Size2>) -> Self {
        Self { padding: padding.into(), ..self }
    }

    /// Takes kernel elements that are `dilation` apart.
    #[must_use]
    pub fn dilation(self, dilation: impl Into<Size2>) -> Self {
        Self { dilation: dilation.into(), ..self }
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

    fn built(&self) -> &Built {
        self.built.as_ref().expect("a layer is built before it is used")
    }
}

impl<T: Element> Layer<T> for Conv2D {
    fn kind(&self) -> &'static str {
        "Conv2D"
    }

    fn build(&mut self, input: Shape, plan: &mut LayerPlan) -> Result<Shape, BuildError> {
        let conv = conv::Conv2d::new(Conv2dShape {
            c: input.c,
            h: input.h,
            w: input.w,
            f: self.filters,
            kh: self.kernel.h,
            kw: self.kernel.w,
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: 1,
        })?;
        let Size2 { h: kh, w: kw } = self.kernel;
        let fans = Fans { inputs: input.c * kh * kw, outputs: self.filters * kh * kw };
        let weight =
            plan.parameter("weight", &[self.filters, input.c, kh, kw], self.weights_initializer, fans)?;
        let bias = match self.use_bias {
            true => Some(plan.parameter("bias", &[self.filters], self.biases_initializer, fans)?),
            false => None,
        };
        let output = Shape::image(self.filters, conv.oh(), conv.ow());
        self.built = Some(Built { conv, weight, bias });
        Ok(output)
    }

    fn output_kind(&self, _: OutputKind, _: Shape) -> OutputKind {
        OutputKind::Scores
    }

    fn scratch_len(&self, n: usize) -> usize {
        self.built().conv.scratch_len(n)
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let Built { conv, weight, bias } = self.built();
        let w = &cx.params[weight.clone()];
        let bias = bias.as_ref().map(|range| &cx.params[range.clone()]);
        conv.forward(Pass { isa: cx.isa, n: cx.n, scratch: memory.scratch }, x, w, bias, self.relu, y);
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let Built { conv, weight, bias } = self.built();
        let Backward { x, dy, dx, mut dw, .. } = tensors;
        conv.weight_gradient(
            Pass { isa: cx.isa, n: cx.n, scratch: memory.scratch },
            x,
            dy,
            Accum::Replace,
            dw.of(weight),
        );
        if let Some(bias) = bias {
            conv.bias_gradient(cx.isa, cx.n, dy, Accum::Replace, dw.of(bias));
        }
        if let Some(dx) = dx {
            let relu_output = self.relu_gradient.then_some(x);
            conv.input_gradient(
                Pass { isa: cx.isa, n: cx.n, scratch: memory.scratch },
                dy,
                &cx.params[weight.clone()],
                relu_output,
                Accum::Replace,
                dx,
            );
        }
    }

    fn fuse_relu(&mut self) -> bool {
        self.relu = Activation::Relu;
        true
    }

    fn fuse_relu_gradient(&mut self) -> bool {
        self.relu_gradient = true;
        true
    }

    fn geometry(&self) -> Option<Geometry> {
        Some(Geometry { padding: self.padding, stride: self.stride })
    }
}
