//! Images of another size, by the filter of [`resample`](crate::resample). What lies outside of the part that
//! is resized has no say in it: the part is cut out first, as torchvision's `RandomResizedCrop` does.

use std::ops::Range;

use super::image::{Image, Pixel};
use crate::resample::{filter_columns, filter_rows};

/// Makes the image the part `rows` x `columns` of itself, in the size `size`.
pub(super) fn resize<P: Pixel>(
    image: &mut Image<'_, P>,
    rows: Range<usize>,
    columns: Range<usize>,
    size: [usize; 2],
) {
    let [c, h, w] = image.shape();
    let (height, width, [new_h, new_w]) = (rows.len(), columns.len(), size);
    if columns != (0..new_w) || new_w != w || height != h {
        image.rewrite([c, height, new_w], |weights, old, new| {
            weights.set::<P>(width, 0.0, width as f64, new_w);
            let part = rows.start * w + columns.start..(rows.end - 1) * w + columns.end;
            for (old, new) in old.chunks_exact(h * w).zip(new.chunks_exact_mut(height * new_w)) {
                filter_rows(&old[part.clone()], w, 1, weights, new);
            }
        });
    }
    if height != new_h {
        image.rewrite([c, new_h, new_w], |weights, old, new| {
            weights.set::<P>(height, 0.0, height as f64, new_h);
            for (old, new) in old.chunks_exact(height * new_w).zip(new.chunks_exact_mut(new_h * new_w)) {
                filter_columns(old, new_w, 0, weights, new);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::tests::{changed, golden, numbered};
    use super::*;

    /// Values from `tests/golden/augment.py`.
    #[test]
    fn bytes_are_those_of_pillow() {
        for [h, w] in [[3, 5], [6, 20], [13, 3], [1, 1]] {
            let pixels = numbered([3, 9, 12]);
            let (_, made) = changed([3, 9, 12], &pixels, |image| resize(image, 2..8, 1..11, [h, w]));
            let made: Vec<f32> = made.into_iter().map(f32::from).collect();
            assert_eq!(made, golden(&format!("resize {h} {w}")), "{h}x{w}");
        }
    }

    #[test]
    fn the_same_size_is_the_same_image() {
        let pixels = numbered([3, 7, 9]);
        let made = changed([3, 7, 9], &pixels, |image| resize(image, 0..7, 0..9, [7, 9]));
        assert_eq!(made, ([3, 7, 9], pixels));
    }

    #[test]
    fn a_part_in_its_own_size_is_a_window() {
        let pixels: Vec<u8> = (0..20).collect();
        let made = changed([1, 4, 5], &pixels, |image| resize(image, 1..3, 2..5, [2, 3]));
        assert_eq!(made, ([1, 2, 3], vec![7, 8, 9, 12, 13, 14]));
        let made = changed([1, 4, 5], &pixels, |image| resize(image, 1..3, 0..5, [2, 5]));
        assert_eq!(made, ([1, 2, 5], (5..15).collect()));
    }

    #[test]
    fn one_colour_stays_what_it_is() {
        for value in [0, 1, 127, 254, 255_u8] {
            for size in [[1, 1], [3, 11], [5, 7], [29, 2], [40, 60]] {
                let made = changed([2, 13, 11], &[value; 2 * 13 * 11], |image| {
                    resize(image, 1..12, 0..10, size);
                });
                assert_eq!(made, ([2, size[0], size[1]], vec![value; 2 * size[0] * size[1]]), "{size:?}");
            }
        }
    }

    /// A naive sum over all pixels, in f64.
    #[test]
    fn floats_are_the_weighted_mean_of_all_pixels() {
        let shape = [2, 9, 12];
        let pixels: Vec<f32> = numbered(shape).into_iter().map(|byte| f32::from(byte) / 7.0).collect();
        let weights = |new: usize, new_len: usize, len: usize| {
            let scale = len as f64 / new_len as f64;
            let centre = (new as f64 + 0.5) * scale;
            let weights: Vec<f64> = (0..len)
                .map(|p| (1.0 - ((p as f64 + 0.5 - centre) / scale.max(1.0)).abs()).max(0.0))
                .collect();
            let total: f64 = weights.iter().sum();
            weights.into_iter().map(|weight| weight / total).collect::<Vec<_>>()
        };
        let (rows, columns) = (2..8, 1..11);
        for [h, w] in [[3, 5], [6, 20], [11, 10], [1, 1], [13, 3]] {
            let (_, made) =
                changed(shape, &pixels, |image| resize(image, rows.clone(), columns.clone(), [h, w]));
            for (place, made) in made.iter().enumerate() {
                let (plane, y, x) = (place / (h * w), place / w % h, place % w);
                let mut expected = 0.0;
                for (row, weight) in rows.clone().zip(weights(y, h, rows.len())) {
                    for (column, other) in columns.clone().zip(weights(x, w, columns.len())) {
                        expected += weight * other * f64::from(pixels[plane * 108 + row * 12 + column]);
                    }
                }
                // 40 terms below 36, each rounded a few times to 24 bits.
                let error = (expected - f64::from(*made)).abs();
                assert!(error < 36.0 * 44.0 * 6e-8, "{h}x{w}, {plane}, {y}, {x}: {made}, not {expected}");
            }
        }
    }
}
