//! Flatten: from images to vectors.

use super::{Layer, LayerPlan, Options, OutputKind, Placement};
use crate::error::BuildError;
use crate::shape::Shape;
use isograd_kernels::Element;

/// Makes a vector of an image: pixel `(h, w)` of channel `c` becomes feature `(c*H + h)*W + w`. Samples are
/// innermost, so no data move.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flatten;

impl<T: Element> Layer<T> for Flatten {
    fn kind(&self) -> &'static str {
        "Flatten"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        Ok(Shape::vector(input.elements()))
    }

    fn output_kind(&self, input: OutputKind, shape: Shape) -> OutputKind {
        match input {
            // Over all pixels, the probabilities add up to the number of pixels.
            OutputKind::Distribution if !shape.is_vector() => OutputKind::Probabilities,
            input => input,
        }
    }

    fn placement(&self) -> Placement {
        Placement::InPlace
    }

    fn options(&self) -> Option<Options> {
        Some(Options::new())
    }
}
