//! The input layer: the shape of a sample.

use super::{Layer, LayerPlan, Options, OutputKind, Placement};
use crate::error::BuildError;
use crate::shape::Shape;
use isograd_kernels::Element;

/// Gives the shape of a sample. It is the first layer of every network, and cannot stand elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    shape: Shape,
}

impl Input {
    /// Images of `c` channels, `h` high and `w` wide.
    pub fn new(c: usize, h: usize, w: usize) -> Self {
        Self { shape: Shape::image(c, h, w) }
    }

    /// Vectors of `features` elements.
    pub fn vector(features: usize) -> Self {
        Self { shape: Shape::vector(features) }
    }
}

impl<T: Element> Layer<T> for Input {
    fn kind(&self) -> &'static str {
        "Input"
    }

    fn build(&mut self, _: Shape, plan: &mut LayerPlan) -> Result<Shape, BuildError> {
        if plan.index() > 0 {
            return Err(BuildError::InputInside);
        }
        for (name, value) in
            [("the channels", self.shape.c), ("the height", self.shape.h), ("the width", self.shape.w)]
        {
            if value == 0 {
                return Err(BuildError::OutOfRange { name, expected: "at least 1", value: 0.0 });
            }
        }
        self.shape
            .c
            .checked_mul(self.shape.h)
            .and_then(|e| e.checked_mul(self.shape.w))
            .ok_or(BuildError::TooLarge)?;
        Ok(self.shape)
    }

    fn output_kind(&self, _: OutputKind, _: Shape) -> OutputKind {
        OutputKind::Scores
    }

    fn placement(&self) -> Placement {
        Placement::InPlace
    }

    fn options(&self) -> Option<Options> {
        let Shape { c, h, w } = self.shape;
        let dims = if self.shape.is_vector() { vec![c] } else { vec![c, h, w] };
        Some(Options::new().with("shape", dims))
    }
}
