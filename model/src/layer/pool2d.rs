//! The pooling layers.

use super::{Backward, Context, Geometry, Layer, LayerPlan, Memory, Mode, Pair};
use crate::error::BuildError;
use crate::shape::Shape;
use isograd_kernels::pool::{self, Pool2d, Pool2dShape};
use isograd_kernels::{Activation, Element};

/// Window, stride, padding and dilation of a pooling layer.
#[derive(Debug, Clone, Copy)]
struct Window {
    size: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    built: Option<Pool2d>,
}

impl Window {
    fn new(size: Pair) -> Self {
        Self { size: size.0, stride: [1, 1], padding: [0, 0], dilation: [1, 1], built: None }
    }

    fn build(&mut self, input: Shape) -> Result<(Pool2d, Shape), BuildError> {
        let (Shape { c, h, w }, [kh, kw]) = (input, self.size);
        let [stride, padding, dilation] = [self.stride, self.padding, self.dilation].map(Into::into);
        let pool = Pool2d::new(Pool2dShape { c, h, w, kh, kw, stride, padding, dilation })?;
        self.built = Some(pool);
        Ok((pool, Shape::image(input.c, pool.oh(), pool.ow())))
    }

    fn built(&self) -> &Pool2d {
        self.built.as_ref().expect("a layer is built before it is used")
    }

    fn geometry(&self) -> Geometry {
        Geometry { padding: self.padding, stride: self.stride }
    }
}

macro_rules! window_options {
    () => {
        /// A window of `size` (`2`, or `[height, width]`; 0 is the whole dimension), stride 1, no padding, dilation 1.
        pub fn new(size: impl Into<Pair>) -> Self {
            Window::new(size.into()).into()
        }

        /// With steps of `stride`.
        #[must_use]
        pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
            self.window.stride = stride.into().0;
            self
        }

        /// With `padding` on each side, which takes no part in the result.
        #[must_use]
        pub fn padding(mut self, padding: impl Into<Pair>) -> Self {
            self.window.padding = padding.into().0;
            self
        }

        /// With window elements `dilation` apart.
        #[must_use]
        pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
            self.window.dilation = dilation.into().0;
            self
        }
    };
}

/// The maximum over each window. A ReLU in front is absorbed: the maximum of ReLUs is the ReLU of the maximum.
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

    fn absorb_relu(&mut self) -> bool {
        self.relu = Activation::Relu;
        true
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

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], _: Memory<'_, T>) {
        pool::average_pool(cx.isa, self.window.built(), cx.n, x, y);
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, _: Memory<'_, T>) {
        if let Some(dx) = tensors.dx {
            pool::average_pool_backward(cx.isa, self.window.built(), cx.n, tensors.dy, dx);
        }
    }

    fn geometry(&self) -> Option<Geometry> {
        Some(self.window.geometry())
    }
}
