//! Pooling to images of a given size.

use super::{
    Backward, BackwardReads, Channels, Context, Layer, LayerPlan, Memory, Options, OutputKind, Size2, part,
};
use crate::error::BuildError;
use crate::shape::Shape;
use isograd_kernels::Element;
use isograd_kernels::pool::{self, AdaptivePool2d};

/// A size to pool to, and the pooling once the input is known.
#[derive(Debug, Clone, Copy)]
struct Adaptive {
    size: Size2,
    built: Option<AdaptivePool2d>,
}

impl Adaptive {
    fn build(&mut self, input: Shape) -> Result<Shape, BuildError> {
        let Shape { c, h, w } = input;
        self.built = Some(AdaptivePool2d::new(c, Size2 { h, w }, self.size)?);
        Ok(Shape::image(c, self.size.h, self.size.w))
    }

    /// The pooling of `c` of the channels.
    fn of_channels(&self, c: usize) -> AdaptivePool2d {
        let built = self.built.as_ref().expect("a layer is built before it is used");
        AdaptivePool2d::new(c, built.input(), built.output()).expect("a part of a shape that fits")
    }
}

/// The mean over windows that divide an image of any size into an image of a given size.
///
/// Output row `p` of `OH` is the mean of the rows from `p H / OH`, rounded down, to `(p + 1) H / OH`, rounded
/// up and exclusive; columns likewise. Where the sizes do not divide, windows overlap. The output may be
/// larger than the input: then elements are repeated.
#[derive(Debug, Clone, Copy)]
pub struct AdaptiveAveragePool2D(Adaptive);

impl AdaptiveAveragePool2D {
    /// Pools to `size`: one number for a square image, or `[height, width]`.
    pub fn new(size: impl Into<Size2>) -> Self {
        Self(Adaptive { size: size.into(), built: None })
    }
}

impl<T: Element> Layer<T> for AdaptiveAveragePool2D {
    fn kind(&self) -> &'static str {
        "AdaptiveAveragePool2D"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        self.0.build(input)
    }

    fn output_kind(&self, input: OutputKind, _: Shape) -> OutputKind {
        // The mean of distributions is a distribution.
        input
    }

    fn options(&self) -> Option<Options> {
        Some(Options::new().with("size", self.0.size))
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::NOTHING
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let (mut team, c) = (memory.team, cx.input.c);
        team.channels(Channels::new(c, x.len()), &mut [], [y], |channels, [y], _| {
            let (pool, x) = (self.0.of_channels(channels.len()), part(x, c, &channels));
            pool::adaptive_average_pool(cx.isa, &pool, cx.n, x, y);
        });
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let Backward { dy, dx: Some(dx), .. } = tensors else { return };
        let (mut team, c) = (memory.team, cx.input.c);
        team.channels(Channels::new(c, dx.len()), &mut [], [dx], |channels, [dx], _| {
            let (pool, dy) = (self.0.of_channels(channels.len()), part(dy, c, &channels));
            pool::adaptive_average_pool_backward(cx.isa, &pool, cx.n, dy, dx);
        });
    }
}

/// The maximum over the windows of [`AdaptiveAveragePool2D`].
#[derive(Debug, Clone, Copy)]
pub struct AdaptiveMaxPool2D(Adaptive);

impl AdaptiveMaxPool2D {
    /// Pools to `size`: one number for a square image, or `[height, width]`.
    pub fn new(size: impl Into<Size2>) -> Self {
        Self(Adaptive { size: size.into(), built: None })
    }
}

impl<T: Element> Layer<T> for AdaptiveMaxPool2D {
    fn kind(&self) -> &'static str {
        "AdaptiveMaxPool2D"
    }

    fn build(&mut self, input: Shape, plan: &mut LayerPlan) -> Result<Shape, BuildError> {
        let output = self.0.build(input)?;
        plan.save(output.elements(), 0);
        Ok(output)
    }

    fn output_kind(&self, input: OutputKind, _: Shape) -> OutputKind {
        match input {
            OutputKind::Distribution => OutputKind::Probabilities,
            input => input,
        }
    }

    fn options(&self) -> Option<Options> {
        Some(Options::new().with("size", self.0.size))
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::NOTHING
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let (Memory { saved, mut team, .. }, c) = (memory, cx.input.c);
        let saved = if cx.has_backward { saved } else { &mut [] };
        team.channels(Channels::new(c, x.len()), &mut [], [y, saved], |channels, [y, saved], _| {
            let (pool, x) = (self.0.of_channels(channels.len()), part(x, c, &channels));
            if cx.has_backward {
                pool::adaptive_max_pool(cx.isa, &pool, cx.n, x, y, saved);
            } else {
                pool::adaptive_max_pool_eval(cx.isa, &pool, cx.n, x, y);
            }
        });
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let Backward { dy, dx: Some(dx), .. } = tensors else { return };
        let (Memory { saved, mut team, .. }, c) = (memory, cx.input.c);
        let saved = &*saved;
        team.channels(Channels::new(c, dx.len()), &mut [], [dx], |channels, [dx], _| {
            let pool = self.0.of_channels(channels.len());
            let (saved, dy) = (part(saved, c, &channels), part(dy, c, &channels));
            pool::adaptive_max_pool_backward(cx.isa, &pool, cx.n, saved, dy, dx);
        });
    }
}
