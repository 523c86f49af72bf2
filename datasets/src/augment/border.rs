//! What surrounds an image, and windows that reach into it.

use std::ops::Range;

use super::error::AugmentError;
use super::image::{Image, Pixel};

/// What an image is surrounded with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Border {
    /// Stored zeros: black.
    #[default]
    Zeros,
    /// The image mirrored at its outermost pixels, which are not repeated: `c b | a b c | b a`.
    Reflect,
    /// The outermost pixels repeated: `a a | a b c | c c`.
    Edge,
}

impl Border {
    /// Checks that an image of `image` pixels can have a border of `width` of this kind.
    pub(super) fn check(self, width: usize, image: [usize; 2]) -> Result<(), AugmentError> {
        match self {
            Self::Reflect if width > 0 && width >= image[0].min(image[1]) => {
                Err(AugmentError::Reflection { border: width, image })
            }
            _ => Ok(()),
        }
    }

    /// Where the value at `place`, which may be outside, comes from in a row or column of `len`.
    fn origin(self, place: isize, len: usize) -> Option<usize> {
        let last = len as isize - 1;
        let inside = match self {
            Self::Zeros if place < 0 || place > last => return None,
            Self::Zeros => place,
            Self::Edge => place.clamp(0, last),
            Self::Reflect if place < 0 => -place,
            Self::Reflect => last - (last - place).abs(),
        };
        Some(inside as usize)
    }
}

/// Makes an image the window of `size` pixels of itself whose upper left corner is at `corner`, which may lie
/// outside. What is outside of the image is its border.
pub(super) fn window<P: Pixel>(
    image: &mut Image<'_, P>,
    border: Border,
    corner: [isize; 2],
    size: [usize; 2],
) {
    let [c, h, w] = image.shape();
    if (corner, size) == ([0, 0], [h, w]) {
        return;
    }
    let [new_h, new_w] = size;
    let columns = overlap(corner[1], new_w, w);
    image.rewrite([c, new_h, new_w], |_, old, new| {
        let planes = old.chunks_exact(h * w).zip(new.chunks_exact_mut(new_h * new_w));
        for (old, new) in planes {
            for (y, new) in (corner[0]..).zip(new.chunks_exact_mut(new_w)) {
                match border.origin(y, h) {
                    Some(y) => copy_row(border, &old[y * w..][..w], corner[1], columns.clone(), new),
                    None => new.fill(P::default()),
                }
            }
        }
    });
}

/// Which of `len` places from `start` on are among the first `of` ones.
fn overlap(start: isize, len: usize, of: usize) -> Range<usize> {
    let [first, end] = [-start, of as isize - start].map(|place| place.clamp(0, len as isize) as usize);
    first..end
}

/// Overwrites `new` with the places from `start` on of `old` and its border. The places `inside` of `new` are
/// in `old` itself, and are copied as a whole.
#[inline]
fn copy_row<P: Pixel>(border: Border, old: &[P], start: isize, inside: Range<usize>, new: &mut [P]) {
    let from = (start + inside.start as isize).clamp(0, old.len() as isize) as usize;
    new[inside.clone()].copy_from_slice(&old[from..from + inside.len()]);
    for place in (0..inside.start).chain(inside.end..new.len()) {
        let origin = border.origin(start + place as isize, old.len());
        new[place] = origin.map_or_else(P::default, |origin| old[origin]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::tests::{changed, numbered};
    use super::*;

    fn row(border: Border, start: isize, len: usize) -> Vec<u8> {
        changed([1, 1, 4], &[1_u8, 2, 3, 4], |image| window(image, border, [0, start], [1, len])).1
    }

    #[test]
    fn borders_are_what_they_say() {
        assert_eq!(row(Border::Zeros, -2, 8), [0, 0, 1, 2, 3, 4, 0, 0]);
        assert_eq!(row(Border::Edge, -2, 8), [1, 1, 1, 2, 3, 4, 4, 4]);
        assert_eq!(row(Border::Reflect, -3, 10), [4, 3, 2, 1, 2, 3, 4, 3, 2, 1]);
        // Windows inside, over one end, and outside.
        assert_eq!((row(Border::Reflect, 1, 2), row(Border::Zeros, 3, 3)), (vec![2, 3], vec![4, 0, 0]));
        assert_eq!((row(Border::Zeros, 7, 2), row(Border::Zeros, -9, 3)), (vec![0; 2], vec![0; 3]));
        assert_eq!((row(Border::Edge, 7, 2), row(Border::Edge, -9, 3)), (vec![4; 2], vec![1; 3]));
    }

    #[test]
    fn the_same_holds_for_columns_and_channels() {
        let pixels = [1_u8, 2, 3, 4, 5, 6, 7, 8];
        let shape = [2, 2, 2];
        let of = |border| changed(shape, &pixels, |image| window(image, border, [-1, -1], [3, 3])).1;
        assert_eq!(of(Border::Zeros), [0, 0, 0, 0, 1, 2, 0, 3, 4, 0, 0, 0, 0, 5, 6, 0, 7, 8]);
        assert_eq!(of(Border::Edge), [1, 1, 2, 1, 1, 2, 3, 3, 4, 5, 5, 6, 5, 5, 6, 7, 7, 8]);
        assert_eq!(of(Border::Reflect), [4, 3, 4, 2, 1, 2, 4, 3, 4, 8, 7, 8, 6, 5, 6, 8, 7, 8]);
    }

    /// A window is what reading each value by itself gives.
    #[test]
    fn windows_of_all_places_and_sizes() {
        let (shape, pixels) = ([2, 5, 4], numbered([2, 5, 4]));
        let [c, h, w] = shape;
        for border in [Border::Zeros, Border::Edge, Border::Reflect] {
            for (top, left) in (-3..=4).flat_map(|top| (-3..=4).map(move |left| (top, left))) {
                for size in [[1, 1], [3, 2], [5, 4], [4, 3]] {
                    // A reflection has no more than the image itself to each side.
                    let ends = [(top, size[0], h), (left, size[1], w)];
                    let reaches =
                        |(start, len, of): (isize, usize, usize)| start + len as isize > 2 * of as isize - 1;
                    if border == Border::Reflect && ends.into_iter().any(reaches) {
                        continue;
                    }
                    let made = changed(shape, &pixels, |image| window(image, border, [top, left], size));
                    let mut expected = Vec::new();
                    for (plane, y, x) in (0..c)
                        .flat_map(|p| (0..size[0]).flat_map(move |y| (0..size[1]).map(move |x| (p, y, x))))
                    {
                        let y = border.origin(top + y as isize, h);
                        let x = border.origin(left + x as isize, w);
                        expected.push(y.zip(x).map_or(0, |(y, x)| pixels[plane * h * w + y * w + x]));
                    }
                    let context = format!("{border:?}, corner {top}, {left}, size {size:?}");
                    assert_eq!(made, ([c, size[0], size[1]], expected), "{context}");
                }
            }
        }
    }

    #[test]
    fn a_reflection_must_have_something_to_reflect() {
        assert_eq!(Border::Reflect.check(3, [4, 5]), Ok(()));
        assert_eq!(
            Border::Reflect.check(4, [4, 5]).unwrap_err().to_string(),
            "a border of 4 cannot reflect an image of 4x5: it must be smaller than both"
        );
        assert_eq!((Border::Edge.check(9, [4, 5]), Border::Reflect.check(0, [1, 1])), (Ok(()), Ok(())));
    }
}
