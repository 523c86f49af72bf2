//! The weight gradient: for each weight, a dot product of `dy` with a shifted image.
//!
//! ```text
//! for each filter
//!   for each band of rows, each strip of it, each block, each window of the kernel elements
//!     for each vector of the strip
//!       sums of the strip += vector of dy * vector of x, for each element of the window
//!     sums += sums of the strip
//!   dw = the sums over the lanes
//! ```
//!
//! The sums of a strip start from zero, because the error of a chain of additions through all strips would
//! grow with its length.

use super::plan::{Block, Plan};
use crate::Accum;
use crate::element::Element;
use crate::simd::{Kernel, Level};
use std::ops::Range;

pub struct DepthwiseWeightGradientPass<'a, T> {
    /// The plan of the forward pass.
    pub(super) plan: &'a Plan,
    /// The number of filters of each channel.
    pub(super) multiplier: usize,
    pub(super) n: usize,
    pub(super) x: &'a [T],
    pub(super) dy: &'a [T],
    pub(super) accum: Accum,
    pub(super) dw: &'a mut [T],
    pub(super) scratch: &'a mut [T],
}

/// The image and the gradient of one filter.
#[derive(Clone, Copy)]
struct Planes<'a, T> {
    x: &'a [T],
    dy: &'a [T],
}

/// The sums of a window, in the lanes of vectors.
type Sums<T, S, const R: usize, const C: usize> = [[<T as crate::simd::Vectors>::V<S>; C]; R];

impl<T: Element> Kernel for DepthwiseWeightGradientPass<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        let Self { plan, multiplier, n, x, dy, accum, dw, scratch } = self;
        let [x_len, dy_len] = [plan.source_pixels * n, plan.target_pixels * n];
        let sums = &mut T::split_mut::<S>(scratch).0[..plan.kernel_len];
        for (f, dw) in dw.chunks_exact_mut(plan.kernel_len).enumerate() {
            let x = &x[f / multiplier * x_len..][..x_len];
            sums.fill(T::zero(s));
            plane(s, plan, n, Planes { x, dy: &dy[f * dy_len..][..dy_len] }, sums);
            for (dw, lanes) in dw.iter_mut().zip(&*sums) {
                let sum = T::sum_lanes(s, *lanes);
                *dw = match accum {
                    Accum::Replace => sum,
                    Accum::Add => *dw + sum,
                };
            }
        }
    }
}

/// Adds the products of one filter to the sums of its kernel elements.
#[inline(always)]
fn plane<T: Element, S: Level>(s: S, plan: &Plan, n: usize, planes: Planes<'_, T>, sums: &mut [T::V<S>]) {
    let strip = plan.strip_rows(n * size_of::<T>());
    for band in &plan.bands {
        for first in (0..band.rows).step_by(strip) {
            let rows = first..(first + strip).min(band.rows);
            for block in &band.blocks {
                let rows = rows.clone();
                match (block.window[0], block.window[1]) {
                    (3, 3) => window::<T, S, 3, 3>(s, block, rows, n, planes, sums),
                    (3, 2) => window::<T, S, 3, 2>(s, block, rows, n, planes, sums),
                    (3, 1) => window::<T, S, 3, 1>(s, block, rows, n, planes, sums),
                    (2, 3) => window::<T, S, 2, 3>(s, block, rows, n, planes, sums),
                    (2, 2) => window::<T, S, 2, 2>(s, block, rows, n, planes, sums),
                    (2, 1) => window::<T, S, 2, 1>(s, block, rows, n, planes, sums),
                    (1, 3) => window::<T, S, 1, 3>(s, block, rows, n, planes, sums),
                    (1, 2) => window::<T, S, 1, 2>(s, block, rows, n, planes, sums),
                    (1, 1) => window::<T, S, 1, 1>(s, block, rows, n, planes, sums),
                    _ => {}
                }
            }
        }
    }
}

/// Adds the products of a window of `R` by `C` kernel elements over some rows of a block.
#[inline(always)]
fn window<T: Element, S: Level, const R: usize, const C: usize>(
    s: S,
    block: &Block,
    rows: Range<usize>,
    n: usize,
    planes: Planes<'_, T>,
    sums: &mut [T::V<S>],
) {
    let strip: Sums<T, S, R, C> = match block.pixel_vectors(n, T::lanes::<S>()) {
        2 => pixels::<T, S, R, C, 2>(s, block, rows, planes),
        4 => pixels::<T, S, R, C, 4>(s, block, rows, planes),
        _ => pieces(s, block, rows, n, planes),
    };
    for r in 0..R {
        for c in 0..C {
            let sum = &mut sums[block.element(r, c)];
            *sum = T::vadd(s, *sum, strip[r][c]);
        }
    }
}

/// The sums of a window for pixels of `V` vectors, if the window's columns are neighbours.
#[inline(always)]
fn pixels<T: Element, S: Level, const R: usize, const C: usize, const V: usize>(
    s: S,
    block: &Block,
    rows: Range<usize>,
    Planes { x, dy }: Planes<'_, T>,
) -> Sums<T, S, R, C> {
    let mut sums = [[T::zero(s); C]; R];
    let x = T::split::<S>(x).0.as_chunks::<V>().0;
    let dy = T::split::<S>(dy).0.as_chunks::<V>().0;
    for row in rows {
        let mut images: [&[[T::V<S>; V]]; R] = [&[]; R];
        for (r, image) in images.iter_mut().enumerate() {
            let first = block.source + row * block.source_steps[0] + r * block.window_steps[0];
            *image = &x[first..][..block.source_span()];
        }
        let dy = &dy[block.target + row * block.target_steps[0]..][..block.columns];
        for (q, dy) in dy.iter().enumerate() {
            for r in 0..R {
                let image = &images[r][q * block.source_steps[1]..][..C];
                for c in 0..C {
                    for v in 0..V {
                        sums[r][c] = T::mul_add(s, dy[v], image[c][v], sums[r][c]);
                    }
                }
            }
        }
    }
    sums
}

/// The sums of a window for any number of samples and any dilation.
#[inline(always)]
fn pieces<T: Element, S: Level, const R: usize, const C: usize>(
    s: S,
    block: &Block,
    rows: Range<usize>,
    n: usize,
    planes: Planes<'_, T>,
) -> Sums<T, S, R, C> {
    let mut sums = [[T::zero(s); C]; R];
    let [pieces, piece_pixels] = block.pieces();
    let len = piece_pixels * n;
    for row in rows {
        for q in 0..pieces {
            let source = block.source + row * block.source_steps[0] + q * block.source_steps[1];
            let target = block.target + row * block.target_steps[0] + q * block.target_steps[1];
            let mut x: [[&[T]; C]; R] = [[&[]; C]; R];
            for (r, x) in x.iter_mut().enumerate() {
                for (c, x) in x.iter_mut().enumerate() {
                    let first = source + r * block.window_steps[0] + c * block.window_steps[1];
                    *x = &planes.x[first * n..][..len];
                }
            }
            piece(s, &x, &planes.dy[target * n..][..len], &mut sums);
        }
    }
    sums
}

/// Adds the products of a window over one piece, which is contiguous in `dy` and in the image.
#[inline(always)]
fn piece<T: Element, S: Level, const R: usize, const C: usize>(
    s: S,
    x: &[[&[T]; C]; R],
    dy: &[T],
    sums: &mut Sums<T, S, R, C>,
) {
    let (dy, dy_tail) = T::split::<S>(dy);
    let mut vectors: [[&[T::V<S>]; C]; R] = [[&[]; C]; R];
    let mut tails: [[&[T]; C]; R] = [[&[]; C]; R];
    for r in 0..R {
        for c in 0..C {
            let (whole, tail) = T::split::<S>(x[r][c]);
            // The compiler sees here that all slices have one length.
            (vectors[r][c], tails[r][c]) = (&whole[..dy.len()], tail);
        }
    }
    let mut piece = *sums;
    for (i, dy) in dy.iter().enumerate() {
        for r in 0..R {
            for c in 0..C {
                piece[r][c] = T::mul_add(s, *dy, vectors[r][c][i], piece[r][c]);
            }
        }
    }
    if !dy_tail.is_empty() {
        let dy = T::load_partial(s, dy_tail);
        for r in 0..R {
            for c in 0..C {
                piece[r][c] = T::mul_add(s, dy, T::load_partial(s, tails[r][c]), piece[r][c]);
            }
        }
    }
    *sums = piece;
}
