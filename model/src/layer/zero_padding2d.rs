//! Zeros around images.

use super::{
    Backward, BackwardReads, Channels, Context, Layer, LayerPlan, Memory, Options, OutputKind, part,
};
use crate::error::BuildError;
use crate::shape::Shape;
use isograd_kernels::Element;
use isograd_kernels::padding::Padding2d;

/// A number for each side of an image.
///
/// ```
/// use isograd_model::layer::Sides;
/// assert_eq!(Sides::from(1), Sides { top: 1, bottom: 1, left: 1, right: 1 });
/// assert_eq!(Sides::from([1, 2]), Sides { top: 1, bottom: 1, left: 2, right: 2 });
/// assert_eq!(Sides::from([1, 2, 3, 4]), Sides { top: 1, bottom: 2, left: 3, right: 4 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides {
    /// Rows above the image.
    pub top: usize,
    /// Rows below the image.
    pub bottom: usize,
    /// Columns on the left.
    pub left: usize,
    /// Columns on the right.
    pub right: usize,
}

impl From<usize> for Sides {
    /// The same number on all sides.
    fn from(all: usize) -> Self {
        Self::from([all; 4])
    }
}

impl From<[usize; 2]> for Sides {
    /// `[top and bottom, left and right]`.
    fn from([rows, columns]: [usize; 2]) -> Self {
        Self::from([rows, rows, columns, columns])
    }
}

impl From<[usize; 4]> for Sides {
    /// `[top, bottom, left, right]`.
    fn from([top, bottom, left, right]: [usize; 4]) -> Self {
        Self { top, bottom, left, right }
    }
}

/// Adds rows and columns of zeros around each image.
///
/// A convolution or a pooling pads its input itself, at no cost in memory: this layer is for padding that
/// differs from side to side.
#[derive(Debug, Clone, Copy)]
pub struct ZeroPadding2D {
    sides: Sides,
    built: Option<Padding2d>,
}

impl ZeroPadding2D {
    /// Pads with `sides`: one number for all sides, `[height, width]` for both sides of each dimension, or
    /// `[top, bottom, left, right]`.
    pub fn new(sides: impl Into<Sides>) -> Self {
        Self { sides: sides.into(), built: None }
    }

    fn built(&self) -> &Padding2d {
        self.built.as_ref().expect("a layer is built before it is used")
    }
}

impl<T: Element> Layer<T> for ZeroPadding2D {
    fn kind(&self) -> &'static str {
        "ZeroPadding2D"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        let (Shape { c, h, w }, Sides { top, bottom, left, right }) = (input, self.sides);
        let padding = Padding2d { c, h, w, top, bottom, left, right };
        let [h, w] = padding.output().ok_or(BuildError::TooLarge)?;
        self.built = Some(padding);
        Ok(Shape { c, h, w })
    }

    fn output_kind(&self, input: OutputKind, _: Shape) -> OutputKind {
        match input {
            // Zeros do not add up to 1.
            OutputKind::Distribution if self.sides != Sides::from(0) => OutputKind::Probabilities,
            input => input,
        }
    }

    fn options(&self) -> Option<Options> {
        Some(Options::new().with("sides", self.sides))
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::NOTHING
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let (padding, mut team) = (*self.built(), memory.team);
        team.channels(Channels::new(padding.c, y.len()), &mut [], [y], |channels, [y], _| {
            let x = part(x, padding.c, &channels);
            Padding2d { c: channels.len(), ..padding }.forward(cx.n, x, y);
        });
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let Backward { dy, dx: Some(dx), .. } = tensors else { return };
        let (padding, mut team) = (*self.built(), memory.team);
        team.channels(Channels::new(padding.c, dx.len()), &mut [], [dx], |channels, [dx], _| {
            let dy = part(dy, padding.c, &channels);
            Padding2d { c: channels.len(), ..padding }.backward(cx.n, dy, dx);
        });
    }
}
