//! The average over whole images.
//!
//! Samples of whole vectors are summed in the order of memory, several pixels at a time. With one sum, each
//! addition would wait for the one before it.

use super::{blocks, blocks_mut, reciprocal, vectors};
use crate::element::Element;
use crate::simd::Level;

/// Computes the averages over images of `pixels` pixels if there is a loop for this number of samples, and
/// returns whether it did. `x` is `[C, pixels, N]`, `y` is `[C, N]`.
#[inline(always)]
pub(super) fn average<S: Level, T: Element>(s: S, pixels: usize, n: usize, x: &[T], y: &mut [T]) -> bool {
    match vectors::<S, T>(n) {
        1 => average_blocks::<S, T, 1, 8>(s, pixels, x, y),
        2 => average_blocks::<S, T, 2, 4>(s, pixels, x, y),
        4 => average_blocks::<S, T, 4, 2>(s, pixels, x, y),
        8 => average_blocks::<S, T, 8, 1>(s, pixels, x, y),
        _ => return false,
    }
    true
}

/// The averages for samples of `B` vectors. Pixel `i` is added to sum `i mod P`; at the end, the upper half
/// of the sums is added to the lower half until one is left.
#[inline(always)]
fn average_blocks<S: Level, T: Element, const B: usize, const P: usize>(
    s: S,
    pixels: usize,
    x: &[T],
    y: &mut [T],
) {
    let share = T::splat(s, reciprocal(pixels));
    let images = blocks::<S, T, B>(x).chunks_exact(pixels);
    for (image, y) in images.zip(blocks_mut::<S, T, B>(y)) {
        let (groups, rest) = image.as_chunks::<P>();
        let mut sums = [[T::zero(s); B]; P];
        for group in groups {
            for p in 0..P {
                for b in 0..B {
                    sums[p][b] = T::vadd(s, sums[p][b], group[p][b]);
                }
            }
        }
        for (sum, pixel) in sums.iter_mut().zip(rest) {
            for b in 0..B {
                sum[b] = T::vadd(s, sum[b], pixel[b]);
            }
        }
        let mut left = P;
        while left > 1 {
            left /= 2;
            let (lower, upper) = sums.split_at_mut(left);
            for (lower, upper) in lower.iter_mut().zip(upper) {
                for b in 0..B {
                    lower[b] = T::vadd(s, lower[b], upper[b]);
                }
            }
        }
        let total = sums[0];
        for b in 0..B {
            y[b] = T::vmul(s, total[b], share);
        }
    }
}
