//! Images of another size.
//!
//! ```text
//! scale = len / new_len, radius = max(scale, 1)
//! new[x] = sum over the places p of old[p] * triangle((p + 1/2 - (x + 1/2) * scale) / radius), normalised
//! triangle(d) = max(0, 1 - |d|)
//! ```
//!
//! That is bilinear interpolation where the image grows, and where it shrinks, a mean of all pixels that a
//! new one covers. Columns come first and then rows; bytes are rounded in between.
//!
//! # Source
//!
//! The filter `BILINEAR` of Pillow's `resize`, which torchvision has by the name of antialiasing. Pillow
//! rounds the weights of bytes to 22 bits and adds up whole numbers; here they are `f32`, so that one byte in
//! some thousands is rounded to the other side.

use std::ops::Range;

use super::image::{Image, Pixel};

/// Makes the image the part `rows` x `columns` of itself, in the size `size`.
pub(super) fn resize<P: Pixel>(
    image: &mut Image<'_, P>,
    rows: Range<usize>,
    columns: Range<usize>,
    size: [usize; 2],
) {
    let [c, h, w] = image.shape();
    let (height, [new_h, new_w]) = (rows.len(), size);
    if columns != (0..new_w) || new_w != w || height != h {
        image.rewrite([c, height, new_w], |weights, old, new| {
            let taps = filter(columns.len(), new_w, weights);
            for (old, new) in old.chunks_exact(h * w).zip(new.chunks_exact_mut(height * new_w)) {
                for (old, new) in old.chunks_exact(w).skip(rows.start).zip(new.chunks_exact_mut(new_w)) {
                    resize_row(&old[columns.clone()], weights, taps, new);
                }
            }
        });
    }
    if height != new_h {
        image.rewrite([c, new_h, new_w], |weights, old, new| {
            let taps = filter(height, new_h, weights);
            let planes = old.chunks_exact(height * new_w).zip(new.chunks_exact_mut(new_h * new_w));
            for (old, new) in planes {
                for (row, filter) in new.chunks_exact_mut(new_w).zip(weights.chunks_exact(taps + 1)) {
                    mix_rows(&old[filter[0] as usize * new_w..], &filter[1..], row);
                }
            }
        });
    }
}

/// Overwrites `weights` with the filter from `len` places to `new_len`: for each new place the first old one,
/// and the weight of that and of those behind it, as many as this returns.
fn filter(len: usize, new_len: usize, weights: &mut Vec<f32>) -> usize {
    let scale = len as f64 / new_len as f64;
    let radius = scale.max(1.0);
    let taps = (2 * radius.ceil() as usize + 1).min(len);
    weights.clear();
    weights.resize((taps + 1) * new_len, 0.0);
    for (place, filter) in weights.chunks_exact_mut(taps + 1).enumerate() {
        let centre = (place as f64 + 0.5) * scale;
        let first = (centre - radius + 0.5).max(0.0) as usize;
        let end = ((centre + radius + 0.5) as usize).min(len);
        let weight = |p: usize| (1.0 - ((p as f64 + 0.5 - centre) / radius).abs()).max(0.0);
        let total: f64 = (first..end).map(weight).sum();
        // At the end of the image, the last taps would lie behind it; their weight is 0.
        let start = first.min(len - taps);
        filter[0] = start as f32;
        for p in first..end {
            filter[1 + p - start] = (weight(p) / total) as f32;
        }
    }
    taps
}

/// Applies a filter to one row.
fn resize_row<P: Pixel>(old: &[P], weights: &[f32], taps: usize, new: &mut [P]) {
    for (new, filter) in new.iter_mut().zip(weights.chunks_exact(taps + 1)) {
        let pixels = &old[filter[0] as usize..][..taps];
        let sum =
            pixels.iter().zip(&filter[1..]).fold(0.0, |sum, (pixel, weight)| sum + pixel.to_f32() * weight);
        *new = P::from_f32(sum);
    }
}

/// Overwrites `new` with the sum of the first rows of `old`, each with its weight.
fn mix_rows<P: Pixel>(old: &[P], weights: &[f32], new: &mut [P]) {
    // Sums of a few columns stay in registers.
    const COLUMNS: usize = 32;
    let width = new.len();
    for (block, new) in new.chunks_mut(COLUMNS).enumerate() {
        let mut sums = [0.0; COLUMNS];
        for (row, weight) in old.chunks_exact(width).zip(weights) {
            for (sum, pixel) in sums.iter_mut().zip(&row[block * COLUMNS..][..new.len()]) {
                *sum += pixel.to_f32() * weight;
            }
        }
        for (new, sum) in new.iter_mut().zip(sums) {
            *new = P::from_f32(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::tests::{changed, golden, numbered};
    use super::*;

    /// Values from `tests/golden/augment.py`.
    #[test]
    fn bytes_are_those_of_pillow() {
        let (mut values, mut different) = (0, 0);
        for [h, w] in [[3, 5], [6, 20], [13, 3], [1, 1]] {
            let expected = golden(&format!("resize {h} {w}"));
            let pixels = numbered([3, 9, 12]);
            let (_, made) = changed([3, 9, 12], &pixels, |image| resize(image, 2..8, 1..11, [h, w]));
            assert_eq!(made.len(), expected.len());
            for (made, expected) in made.iter().zip(expected) {
                let error = (f32::from(*made) - expected).abs();
                assert!(error <= 1.0, "{h}x{w}: {made}, not {expected}");
                values += 1;
                different += u32::from(error > 0.0);
            }
        }
        assert!(different <= values / 200, "{different} of {values} bytes differ");
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
