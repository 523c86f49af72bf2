//! Test-time augmentation: what a network gives for a sample is the mean of what it gives for several views.
//!
//! ```text
//! for each view: x' = view(x); y += network(x')
//! y / views                       in front of a softmax or sigmoid that is the last layer
//! ```
//!
//! Views are made of the input of the network, `[C, H, W, n]`, and so of whatever samples are read from. They
//! come in one order, in which the outputs are added up: the bits do not depend on anything else.

use crate::error::Error;
use crate::names::named;
use crate::shape::Shape;
use isograd_kernels::Element;

/// The views of a sample that the output of a network is the mean of.
///
/// # Source
///
/// Jordan: "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, section 3.6. There, the two views that
/// are not moved weigh twice as much as the four others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TestTime {
    /// The sample itself alone.
    #[default]
    Plain,
    /// The sample and its mirror image, left and right exchanged: twice the work.
    Flip,
    /// The sample, moved by one pixel up and left, and down and right, with what comes in mirrored at the
    /// outermost pixels; each of the three mirrored, too: six times the work.
    FlipTranslate,
}

named!(TestTime, "test-time augmentation", {
    "none" => Self::Plain,
    "flip" => Self::Flip,
    "flip-translate" => Self::FlipTranslate,
});

impl TestTime {
    /// The views, in the order in which their outputs are added up.
    pub(crate) fn views(self) -> &'static [View] {
        const fn views(shift: isize) -> [View; 2] {
            [View { shift, is_flipped: false }, View { shift, is_flipped: true }]
        }
        static VIEWS: [[View; 2]; 3] = [views(0), views(1), views(-1)];
        match self {
            Self::Plain => &VIEWS[0][..1],
            Self::Flip => &VIEWS[0],
            Self::FlipTranslate => VIEWS.as_flattened(),
        }
    }

    /// Checks that samples of `shape` have such views.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when their height or width is 1.
    pub(crate) fn check(self, shape: Shape) -> Result<(), Error> {
        if self == Self::Plain || shape.h.min(shape.w) > 1 {
            return Ok(());
        }
        let name = "the height and the width of samples for test-time augmentation";
        Err(Error::OutOfRange { name, expected: "at least 2", value: format!("those of {shape}") })
    }
}

/// A view of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    /// Rows and columns of the sample that pixel `[0, 0]` of the view comes from.
    shift: isize,
    /// Whether left and right are exchanged then.
    is_flipped: bool,
}

impl View {
    /// Overwrites `to` with the view of the `n` samples `from`, both `[C, H, W, n]` of `shape`.
    pub(crate) fn write<T: Element>(self, shape: Shape, n: usize, from: &[T], to: &mut [T]) {
        let Shape { h, w, .. } = shape;
        let (row_len, plane_len) = (w * n, h * w * n);
        for (from, to) in from.chunks_exact(plane_len).zip(to.chunks_exact_mut(plane_len)) {
            for (y, to) in to.chunks_exact_mut(row_len).enumerate() {
                let from = &from[self.origin(y, h) * row_len..][..row_len];
                for (x, to) in to.chunks_exact_mut(n).enumerate() {
                    let x = if self.is_flipped { w - 1 - x } else { x };
                    to.copy_from_slice(&from[self.origin(x, w) * n..][..n]);
                }
            }
        }
    }

    /// Where place `place` of a moved row or column of `len` comes from; mirrored at the outermost places.
    fn origin(self, place: usize, len: usize) -> usize {
        let last = len as isize - 1;
        let place = (place as isize + self.shift).abs();
        (last - (last - place).abs()) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_what_they_say() {
        let shape = Shape::image(1, 2, 3);
        // Two samples: 1 to 6, and the same times 10.
        let x: Vec<f32> = (1..=6).flat_map(|v| [v as f32, 10.0 * v as f32]).collect();
        let of_first = |view: View| {
            let mut to = vec![f32::NAN; 12];
            view.write(shape, 2, &x, &mut to);
            assert!(to.chunks(2).all(|pair| pair[1] == 10.0 * pair[0]));
            to.iter().step_by(2).copied().collect::<Vec<_>>()
        };
        let views: Vec<_> = TestTime::FlipTranslate.views().iter().map(|view| of_first(*view)).collect();
        assert_eq!(
            views,
            [
                [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
                [3.0, 2.0, 1.0, 6.0, 5.0, 4.0],
                // The row below, the next column; the last ones mirrored.
                [5.0, 6.0, 5.0, 2.0, 3.0, 2.0],
                [5.0, 6.0, 5.0, 2.0, 3.0, 2.0],
                [5.0, 4.0, 5.0, 2.0, 1.0, 2.0],
                [5.0, 4.0, 5.0, 2.0, 1.0, 2.0],
            ]
        );
        assert_eq!(TestTime::Flip.views(), &TestTime::FlipTranslate.views()[..2]);
        assert_eq!(TestTime::Plain.views(), &TestTime::Flip.views()[..1]);
    }

    #[test]
    fn samples_without_two_rows_and_columns_have_no_views() {
        for shape in [Shape::vector(5), Shape::image(3, 1, 8), Shape::image(3, 8, 1)] {
            let error = TestTime::Flip.check(shape).expect_err("no view").to_string();
            assert!(error.contains("must be at least 2"), "{error}");
            assert!(TestTime::Plain.check(shape).is_ok());
        }
        assert!(TestTime::FlipTranslate.check(Shape::image(1, 2, 2)).is_ok());
    }
}
