//! The weight gradient of a kernel of one element with a stride.
//!
//! ```text
//! for each pane of at most 64 filters and 32 channels
//!   for each block of pixels
//!     copy the channels' part of it
//!     for each 4 filters, each 4 channels
//!       load the tile's accumulators
//!       for each vector of the block
//!         4 x 4 accumulators += vectors of dy * vectors of x, both from copies
//!         copy a vector of dy for the next 4 filters
//!       store the accumulators
//!   sum their lanes
//! ```
//!
//! 1. The vectors that a tile multiplies are next to each other in the copies.
//! 2. While the kernel multiplies one group of filters, it copies the next group.
//! 3. The accumulators of a pane are loaded from the second-level cache and stored there once for each block.
//!    So a longer block moves less, but its copies must leave room in the first-level cache.
//!
//! Every sum is taken in the order of the pixels, as in the general kernel.

use super::super::weight_gradient::WeightGradientPass;
use super::{MAX_LANES, Subsampling};
use crate::Accum;
use crate::element::Element;
use crate::simd::Level;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// The most channels and filters whose accumulators are in scratch memory together.
const PANE: [usize; 2] = [32, 64];
/// The most vectors of a block in one channel.
const BLOCK: usize = 24;
/// About the number of vectors of a block in all channels.
const X_BLOCK: usize = 512;
/// The number of filters in a tile, and the most channels in a tile.
const SIDE: usize = 4;

/// The number of elements of scratch memory for `c` channels and `f` filters.
pub(in super::super) fn scratch_len([c, f]: [usize; 2]) -> usize {
    let [c, f] = [c.min(PANE[0]).next_multiple_of(SIDE), f.min(PANE[1]).next_multiple_of(SIDE)];
    (c * f + (c + 2 * SIDE) * BLOCK) * MAX_LANES
}

impl Subsampling {
    /// Whether this kernel can compute the weight gradient: there are enough channels and filters, `counts`,
    /// to fill a tile, and `n` samples are a whole number of vectors that fits in a block.
    pub(in super::super) fn has_tiles(&self, counts: [usize; 2], n: usize, lanes: usize) -> bool {
        counts.iter().all(|count| *count >= SIDE)
            && n.is_multiple_of(lanes)
            && (1..=BLOCK).contains(&(n / lanes))
    }
}

/// A weight gradient by this kernel. It is a function of its own, because inlined into the general kernel it
/// would make the general kernel slower.
pub(in super::super) struct SubsampledWeightGradient<'a, 'b, T, S> {
    pub(in super::super) s: S,
    pub(in super::super) call: WeightGradientPass<'b, T>,
    pub(in super::super) plan: &'a Subsampling,
}

impl<T: Element, S: Level> WithSimd for SubsampledWeightGradient<'_, '_, T, S> {
    type Output = ();

    #[inline(always)]
    fn with_simd<Same: Simd>(mut self, _: Same) {
        let [c, f] = self.call.plan.counts();
        let scratch = std::mem::take(&mut self.call.scratch);
        for channel in (0..c).step_by(PANE[0]) {
            for filter in (0..f).step_by(PANE[1]) {
                let pane = [channel..(channel + PANE[0]).min(c), filter..(filter + PANE[1]).min(f)];
                if S::WIDE_FILE {
                    self.pane::<SIDE>(pane, scratch);
                } else {
                    self.pane::<{ SIDE / 2 }>(pane, scratch);
                }
            }
        }
    }
}

/// The accumulators of a tile.
type Tile<V, const B: usize> = [[V; B]; SIDE];

impl<'b, T: Element, S: Level> SubsampledWeightGradient<'_, 'b, T, S> {
    /// Computes the weights of the pane's channels and filters, with `B` channels in a tile.
    #[inline(always)]
    fn pane<const B: usize>(&mut self, [channels, filters]: [Range<usize>; 2], scratch: &mut [T]) {
        let (s, zero) = (self.s, T::zero(self.s));
        let width = self.call.n / T::lanes::<S>();
        let (pixels, step) = (self.plan.len(), (X_BLOCK / channels.len()).clamp(width, BLOCK) / width);
        let groups = [channels.len().div_ceil(B), filters.len().div_ceil(SIDE)];
        let (tiles, copies) = T::split_mut::<S>(scratch).0.split_at_mut(groups[0] * groups[1] * SIDE * B);
        let tiles = tiles.as_chunks_mut::<B>().0.as_chunks_mut::<SIDE>().0;
        let (x, copies) = copies.split_at_mut(groups[0] * B * BLOCK);
        let (dy, next_dy) = copies[..2 * SIDE * BLOCK].as_chunks_mut::<SIDE>().0.split_at_mut(BLOCK);
        let (x, mut dy, mut next_dy) = (x.as_chunks_mut::<B>().0, dy, next_dy);

        tiles.fill([[zero; B]; SIDE]);
        let mut next = Part { filters: first_of(&filters), pixels: 0..step.min(pixels) };
        self.copy_filters(&next, 0, dy);
        for first in (0..pixels).step_by(step) {
            let block = first..(first + step).min(pixels);
            let len = block.len() * width;
            for (i, x) in x.chunks_exact_mut(BLOCK).enumerate() {
                let first = channels.start + i * B;
                self.copy_channels(first..(first + B).min(channels.end), block.clone(), &mut x[..len]);
            }
            for tiles in tiles.chunks_exact_mut(groups[0]) {
                let left = next.filters.end..filters.end;
                next = if left.is_empty() {
                    Part { filters: first_of(&filters), pixels: block.end..(block.end + step).min(pixels) }
                } else {
                    Part { filters: first_of(&left), pixels: block.clone() }
                };
                let is_as_long = next.pixels.len() == block.len();
                let beside = if is_as_long { groups[0].min(next.filters.len()) } else { 0 };
                let mut rows: [&[T::V<S>]; SIDE] = [&[]; SIDE];
                for (i, row) in rows[..beside].iter_mut().enumerate() {
                    *row = self.filter(&next, i);
                }
                let (moving, others) = tiles.split_at_mut(beside);
                let (x, other_x) = x.split_at(beside * BLOCK);
                for (i, ((tile, x), row)) in
                    moving.iter_mut().zip(x.chunks_exact(BLOCK)).zip(rows).enumerate()
                {
                    multiply_and_move::<T, S, B>(s, &x[..len], dy, tile, row, next_dy, i);
                }
                for (tile, x) in others.iter_mut().zip(other_x.chunks_exact(BLOCK)) {
                    multiply::<T, S, B>(s, &x[..len], dy, tile);
                }
                self.copy_filters(&next, beside, next_dy);
                std::mem::swap(&mut dy, &mut next_dy);
            }
        }
        for (i, tile) in tiles.iter().enumerate() {
            let first = [channels.start + i % groups[0] * B, filters.start + i / groups[0] * SIDE];
            self.store(tile, [first[0]..channels.end, first[1]..filters.end]);
        }
    }

    /// The vectors of filter `i` of `part`.
    #[inline(always)]
    fn filter(&self, part: &Part, i: usize) -> &'b [T::V<S>] {
        let (width, dy) = (self.call.n / T::lanes::<S>(), T::split::<S>(self.call.dy).0);
        let start = (part.filters.start + i) * self.plan.len() + part.pixels.start;
        &dy[start * width..][..part.pixels.len() * width]
    }

    /// Copies the filters of `part`, beginning with number `from`.
    #[inline(always)]
    fn copy_filters(&self, part: &Part, from: usize, to: &mut [[T::V<S>; SIDE]]) {
        for i in from..part.filters.len() {
            for (to, from) in to.iter_mut().zip(self.filter(part, i)) {
                to[i] = *from;
            }
        }
    }

    /// Copies the pixels of `x` that the output pixels `block` read.
    #[inline(always)]
    fn copy_channels<const B: usize>(
        &self,
        channels: Range<usize>,
        block: Range<usize>,
        mut to: &mut [[T::V<S>; B]],
    ) {
        let (width, x) = (self.call.n / T::lanes::<S>(), T::split::<S>(self.call.x).0);
        let plane = x.len() / self.call.plan.counts()[0];
        let mut pixel = block.start;
        while pixel < block.end {
            let len = self.plan.left_of_row(pixel).min(block.end - pixel);
            let start = self.plan.place(pixel) * width;
            let (run, rest) = to.split_at_mut(len * width);
            for (lane, channel) in channels.clone().enumerate() {
                let from = &x[channel * plane..][..plane][start..];
                match width {
                    1 => copy_pixels::<_, B, 1>(from, self.plan.steps[1], run, lane),
                    2 => copy_pixels::<_, B, 2>(from, self.plan.steps[1], run, lane),
                    4 => copy_pixels::<_, B, 4>(from, self.plan.steps[1], run, lane),
                    _ => {
                        let from = from.chunks(self.plan.steps[1] * width);
                        for (to, from) in run.chunks_exact_mut(width).zip(from) {
                            for (to, from) in to.iter_mut().zip(from) {
                                to[lane] = *from;
                            }
                        }
                    }
                }
            }
            (pixel, to) = (pixel + len, rest);
        }
    }

    /// Sums the lanes of a tile into `dw`. The accumulators behind the last channel and filter are left out.
    #[inline(always)]
    fn store<const B: usize>(&mut self, tile: &Tile<T::V<S>, B>, [channels, filters]: [Range<usize>; 2]) {
        let c = self.call.plan.counts()[0];
        for (filter, row) in filters.zip(tile) {
            let dw = &mut self.call.dw[filter * c..][channels.clone()];
            for (dw, lanes) in dw.iter_mut().zip(row) {
                let sum = T::sum_lanes(self.s, *lanes);
                *dw = match self.call.accum {
                    Accum::Replace => sum,
                    Accum::Add => *dw + sum,
                };
            }
        }
    }
}

/// Some pixels of at most as many filters as a tile has.
struct Part {
    filters: Range<usize>,
    pixels: Range<usize>,
}

/// The first filters of `filters`: as many as a tile has, or all.
fn first_of(filters: &Range<usize>) -> Range<usize> {
    filters.start..(filters.start + SIDE).min(filters.end)
}

/// Copies pixels of `W` vectors, `stride` apart in `from`.
#[inline(always)]
fn copy_pixels<V: Copy, const B: usize, const W: usize>(
    from: &[V],
    stride: usize,
    to: &mut [[V; B]],
    lane: usize,
) {
    assert!(lane < B, "lane {lane} of {B}");
    let from = from.as_chunks::<W>().0.chunks(stride);
    for (to, from) in to.as_chunks_mut::<W>().0.iter_mut().zip(from) {
        for w in 0..W {
            to[w][lane] = from[0][w];
        }
    }
}

/// Adds the products of a block to a tile.
#[inline(always)]
fn multiply<T: Element, S: Level, const B: usize>(
    s: S,
    x: &[[T::V<S>; B]],
    dy: &[[T::V<S>; SIDE]],
    tile: &mut Tile<T::V<S>, B>,
) {
    let mut sums = *tile;
    for (x, dy) in x.iter().zip(dy) {
        add_products::<T, S, B>(s, x, dy, &mut sums);
    }
    *tile = sums;
}

/// [`multiply`], which also copies a vector of `from` to `to` in each step.
#[inline(always)]
fn multiply_and_move<T: Element, S: Level, const B: usize>(
    s: S,
    x: &[[T::V<S>; B]],
    dy: &[[T::V<S>; SIDE]],
    tile: &mut Tile<T::V<S>, B>,
    from: &[T::V<S>],
    to: &mut [[T::V<S>; SIDE]],
    lane: usize,
) {
    assert!(lane < SIDE, "lane {lane} of {SIDE}");
    let mut sums = *tile;
    for (((x, dy), from), to) in x.iter().zip(dy).zip(from).zip(to) {
        to[lane] = *from;
        add_products::<T, S, B>(s, x, dy, &mut sums);
    }
    *tile = sums;
}

#[inline(always)]
fn add_products<T: Element, S: Level, const B: usize>(
    s: S,
    x: &[T::V<S>; B],
    dy: &[T::V<S>; SIDE],
    sums: &mut Tile<T::V<S>, B>,
) {
    for f in 0..SIDE {
        for b in 0..B {
            sums[f][b] = T::mul_add(s, dy[f], x[b], sums[f][b]);
        }
    }
}
