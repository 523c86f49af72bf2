//! The pooling layers.

use super::{
    Backward, BackwardReads, Channels, Context, Fusion, Geometry, Layer, LayerPlan, Memory, Options,
    OutputKind, Size2, part,
};
use crate::error::BuildError;
use crate::shape::Shape;
use isograd_kernels::Element;
use isograd_kernels::pool::{self, Divisor, Pool2d, Pool2dShape, Rounding};

/// Window, stride, padding and dilation of a pooling layer.
#[derive(Debug, Clone, Copy)]
struct Window {
    size: Size2,
    /// The window's size if the user sets none.
    stride: Option<Size2>,
    padding: Size2,
    dilation: Size2,
    rounding: Rounding,
    divisor: Divisor,
    built: Option<Pool2d>,
}

impl Window {
    fn new(size: Size2) -> Self {
        let (padding, dilation) = (Size2::from(0), Size2::from(1));
        let (rounding, divisor) = (Rounding::Down, Divisor::Inside);
        Self { size, stride: None, padding, dilation, rounding, divisor, built: None }
    }

    fn build(&mut self, input: Shape) -> Result<(Pool2d, Shape), BuildError> {
        let Shape { c, h, w } = input;
        let Size2 { h: kh, w: kw } = self.size;
        let whole = |size: usize, dimension: usize| if size == 0 { dimension } else { size };
        let window = Size2 { h: whole(kh, h), w: whole(kw, w) };
        let stride = self.stride.unwrap_or(window);
        let Self { padding, dilation, rounding, divisor, .. } = *self;
        let shape = Pool2dShape { c, h, w, kh, kw, stride, padding, dilation, rounding, divisor };
        let pool = Pool2d::new(shape)?;
        self.built = Some(pool);
        Ok((pool, Shape::image(c, pool.oh(), pool.ow())))
    }

    fn built(&self) -> &Pool2d {
        self.built.as_ref().expect("a layer is built before it is used")
    }

    /// The pooling of `c` of the channels.
    fn of_channels(&self, c: usize) -> Pool2d {
        Pool2d::new(Pool2dShape { c, ..self.built().shape() }).expect("a part of a shape that fits")
    }

    fn geometry(&self) -> Geometry {
        Geometry { padding: self.padding, stride: self.built().shape().stride }
    }

    fn options(&self) -> Options {
        let options = match self.size {
            Size2 { h: 0, w: 0 } => Options::new().with("global", true),
            size => Options::new().with("size", size),
        };
        let options = match self.stride {
            Some(stride) => options.with("stride", stride),
            None => options,
        };
        options
            .with_unless("padding", self.padding, Size2::from(0))
            .with_unless("dilation", self.dilation, Size2::from(1))
            .with_unless("ceil_mode", self.rounding == Rounding::Up, false)
            .with_unless("count_padding", self.divisor == Divisor::Padded, false)
    }
}

macro_rules! window_options {
    () => {
        /// A window of `size` (`2`, or `[height, width]`; 0 is the whole dimension) that steps by its size,
        /// without padding or dilation.
        pub fn new(size: impl Into<Size2>) -> Self {
            Window::new(size.into()).into()
        }

        /// A window that is the whole image, whatever its size: one output for each channel.
        pub fn global() -> Self {
            Self::new(0)
        }

        /// Steps by `stride`.
        #[must_use]
        pub fn stride(mut self, stride: impl Into<Size2>) -> Self {
            self.window.stride = Some(stride.into());
            self
        }

        /// Adds `padding` on each side. No element of it enters a maximum or a sum.
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

        /// Keeps a last window of which only a part lies on the padded image, if it begins on the image or in
        /// the padding in front of it; without this, there are only whole windows. The size of the output is
        /// that of PyTorch's `ceil_mode`.
        #[must_use]
        pub fn ceil_mode(mut self) -> Self {
            self.window.rounding = Rounding::Up;
            self
        }
    };
}

/// The maximum over each window. A ReLU in front is absorbed: the maximum of ReLUs is the ReLU of the
/// maximum.
#[derive(Debug, Clone, Copy)]
pub struct MaxPool2D {
    window: Window,
    relu: bool,
}

impl From<Window> for MaxPool2D {
    fn from(window: Window) -> Self {
        Self { window, relu: false }
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
        let Memory { saved, mut team, .. } = memory;
        let saved = if cx.has_backward { saved } else { &mut [] };
        let channels = Channels::new(cx.input.c, x.len());
        team.channels(channels, &mut [], [y, saved], |channels, [y, saved], _| {
            let (pool, x) = (self.window.of_channels(channels.len()), part(x, cx.input.c, &channels));
            if cx.has_backward {
                pool::max_pool(cx.isa, &pool, cx.n, self.relu, x, y, saved);
            } else {
                pool::max_pool_eval(cx.isa, &pool, cx.n, self.relu, x, y);
            }
        });
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let Backward { dy, dx: Some(dx), .. } = tensors else { return };
        let (Memory { saved, mut team, .. }, c) = (memory, cx.input.c);
        let saved = &*saved;
        team.channels(Channels::new(c, dx.len()), &mut [], [dx], |channels, [dx], _| {
            let pool = self.window.of_channels(channels.len());
            let (saved, dy) = (part(saved, c, &channels), part(dy, c, &channels));
            pool::max_pool_backward(cx.isa, &pool, cx.n, saved, dy, dx);
        });
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::NOTHING
    }

    fn fuse(&mut self, fusion: Fusion) -> bool {
        let is_in_front = fusion == Fusion::ReluInFront;
        if is_in_front {
            self.relu = true;
        }
        is_in_front
    }

    fn geometry(&self) -> Option<Geometry> {
        Some(self.window.geometry())
    }

    fn options(&self) -> Option<Options> {
        Some(self.window.options())
    }
}

/// The mean over each window's elements inside the image, or over those of the padded image with
/// [`count_padding`](Self::count_padding).
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

    /// Divides by the number of elements on the padded image, as if the padding were zeros. This is PyTorch's
    /// `count_include_pad`, which is its default.
    #[must_use]
    pub fn count_padding(mut self) -> Self {
        self.window.divisor = Divisor::Padded;
        self
    }
}

impl<T: Element> Layer<T> for AveragePool2D {
    fn kind(&self) -> &'static str {
        "AveragePool2D"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        Ok(self.window.build(input)?.1)
    }

    fn output_kind(&self, input: OutputKind, _: Shape) -> OutputKind {
        match input {
            // Means with zeros among them are smaller.
            OutputKind::Distribution if self.window.divisor == Divisor::Padded => OutputKind::Probabilities,
            // The mean of distributions is a distribution.
            input => input,
        }
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let (mut team, c) = (memory.team, cx.input.c);
        team.channels(Channels::new(c, x.len()), &mut [], [y], |channels, [y], _| {
            let pool = self.window.of_channels(channels.len());
            pool::average_pool(cx.isa, &pool, cx.n, part(x, c, &channels), y);
        });
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let Backward { dy, dx: Some(dx), .. } = tensors else { return };
        let (mut team, c) = (memory.team, cx.input.c);
        team.channels(Channels::new(c, dx.len()), &mut [], [dx], |channels, [dx], _| {
            let pool = self.window.of_channels(channels.len());
            pool::average_pool_backward(cx.isa, &pool, cx.n, part(dy, c, &channels), dx);
        });
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::NOTHING
    }

    fn geometry(&self) -> Option<Geometry> {
        Some(self.window.geometry())
    }

    fn options(&self) -> Option<Options> {
        Some(self.window.options())
    }
}
