//! The pooling layers.

use super::{
    Backward, BackwardReads, Context, Fusion, Geometry, Layer, LayerPlan, Memory, Mode, OutputKind, Size2,
};
use crate::error::BuildError;
use crate::shape::Shape;
use isograd_kernels::pool::{self, Pool2d, Pool2dShape};
use isograd_kernels::{Activation, Element};

/// Window, stride, padding and dilation of a pooling layer.
#[derive(Debug, Clone, Copy)]
struct Window {
    size: Size2,
    /// The window's size if the user sets none.
    stride: Option<Size2>,
    padding: Size2,
    dilation: Size2,
    built: Option<Pool2d>,
}

impl Window {
    fn new(size: Size2) -> Self {
        Self { size, stride: None, padding: Size2::from(0), dilation: Size2::from(1), built: None }
    }

    fn build(&mut self, input: Shape) -> Result<(Pool2d, Shape), BuildError> {
        let Shape { c, h, w } = input;
        let Size2 { h: kh, w: kw } = self.size;
        let whole = |size: usize, dimension: usize| if size == 0 { dimension } else { size };
        let window = Size2 { h: whole(kh, h), w: whole(kw, w) };
        let stride = self.stride.unwrap_or(window);
        let Self { padding, dilation, .. } = *self;
        let pool = Pool2d::new(Pool2dShape {
            c,
            h,
            w,
            kh,
            kw,
            stride,
            padding,
            dilation,
            rounding: pool::Rounding::Down,
            divisor: pool::Divisor::Inside,
        })?;
        self.built = Some(pool);
        Ok((pool, Shape::image(c, pool.oh(), pool.ow())))
    }

    fn built(&self) -> &Pool2d {
        self.built.as_ref().expect("a layer is built before it is used")
    }

    fn geometry(&self) -> Geometry {
        Geometry { padding: self.padding, stride: self.built().shape().stride }
    }
}

macro_rules! window_options {
    () => {
        /// A window of `size` (`2`, or `[height, width]`; 0 is the whole dimension) that steps by its size,
        /// without padding or dilation.
        pub fn new(size: impl Into<Size2>) -> Self {
            Window::new(size.into()).into()
        }

        /// Steps by `stride`.
        #[must_use]
        pub fn stride(mut self, stride: impl Into<Size2>) -> Self {
            self.window.stride = Some(stride.into());
            self
        }

        /// Adds `padding` on each side, which takes no part in the result.
        #[must_use]
        pub fn padding(mut self, padding: impl Into<Size2>) -> Self {
            self.window.padding = padding.into();
            self
        }

        /// Takes window elements that are `dilation` apart.
        #[must_use]
        pub fn dilation(mut self, dilation: impl Into<Size2>) -> Self {
            self.window.dilation = dilation.into();
            self
        }
    };
}

/// The maximum over each window. A ReLU in front is absorbed: the maximum of ReLUs is the ReLU of the
/// maximum.
#[derive(Debug, Clone, Copy)]
pub struct MaxPool2D {
    window: Window,
    relu: Activation,
}

impl From<Window> for MaxPool2D {
    fn from(window: Window) -> Self {
        Self { window, relu: Activation::Identity }
    }
}

impl MaxPool2D {
    window_options!();
}

impl<T: Element> Layer<T> for MaxPool2D {
    fn kind(&self) -> &'static str {
        "MaxPool2D"
    }

    fn build(&mut self, input: Shape, plan: &mut LayerPlan) -> Result<Shape, BuildError> {
        let (_, output) = self.window.build(input)?;
        plan.save(output.elements(), 0);
        Ok(output)
    }

    fn output_kind(&self, input: OutputKind, _: Shape) -> OutputKind {
        match input {
            OutputKind::Distribution => OutputKind::Probabilities,
            input => input,
        }
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let pool = self.window.built();
        match cx.mode {
            Mode::Train => pool::max_pool(cx.isa, pool, cx.n, self.relu, x, y, memory.saved),
            Mode::Eval => pool::max_pool_eval(cx.isa, pool, cx.n, self.relu, x, y),
        }
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        if let Some(dx) = tensors.dx {
            pool::max_pool_backward(cx.isa, self.window.built(), cx.n, memory.saved, tensors.dy, dx);
        }
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::NOTHING
    }

    fn fuse(&mut self, fusion: Fusion) -> bool {
        let is_in_front = fusion == Fusion::ReluInFront;
        if is_in_front {
            self.relu = Activation::Relu;
        }
        is_in_front
    }

    fn geometry(&self) -> Option<Geometry> {
        Some(self.window.geometry())
    }
}

/// The mean over each window's elements inside the image.
#[derive(Debug, Clone, Copy)]
pub struct AveragePool2D {
    window: Window,
}

impl From<Window> for AveragePool2D {
    fn from(window: Window) -> Self {
        Self { window }
    }
}

impl AveragePool2D {
    window_options!();
}

impl<T: Element> Layer<T> for AveragePool2D {
    fn kind(&self) -> &'static str {
        "AveragePool2D"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        Ok(self.window.build(input)?.1)
    }

    fn output_kind(&self, input: OutputKind, _: Shape) -> OutputKind {
        // The mean of distributions is a distribution.
        input
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], _: Memory<'_, T>) {
        pool::average_pool(cx.isa, self.window.built(), cx.n, x, y);
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, _: Memory<'_, T>) {
        if let Some(dx) = tensors.dx {
            pool::average_pool_backward(cx.isa, self.window.built(), cx.n, tensors.dy, dx);
        }
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::NOTHING
    }

    fn geometry(&self) -> Option<Geometry> {
        Some(self.window.geometry())
    }
}
