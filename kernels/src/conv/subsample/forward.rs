//! The forward pass of a kernel of one element with a stride.
//!
//! ```text
//! for each block of the pixels that are read, each panel of F filters, each TILE vectors of the block
//!   F x TILE accumulators = bias
//!   for each channel
//!     accumulators += weights (broadcast) * the tile's copy
//!     copy a vector for the next block
//!   store, with the epilogue
//! ```
//!
//! 1. The vectors that a tile multiplies are contiguous in the copy.
//! 2. While the kernel multiplies one block, it copies the next one, with one load in each step, because the
//!    products of a step hide the time of only one load.
//! 3. The length of a block is a compromise. A shorter block stores shorter runs of each filter, and many of
//!    these runs are a power of two apart. The copies of a longer block do not stay in the first-level cache.
//!
//! Every sum is taken in the order of the general kernel.

use super::super::direct::{DirectPass, Epilogue, panel_width};
use super::{MAX_LANES, Subsampling};
use crate::element::Element;
use crate::simd::Level;
use crate::tile::{self, Tile};
use pulp::{Simd, WithSimd};
use std::ops::Range;
use std::slice::ChunksExact;

/// The number of vectors of a tile in one channel.
const TILE: usize = 2;
/// The most tiles in a block.
const MAX_TILES: usize = 8;
/// The most groups of `TILE` vectors in the copy of a block.
const MAX_COPY: usize = 128;
/// The most input channels for which this kernel is used: a block has two tiles or more then.
const MAX_INPUTS: usize = 64;

impl Subsampling {
    /// Whether this kernel computes the forward pass from `inputs` channels.
    pub(in super::super) fn has_small_blocks(&self, inputs: usize) -> bool {
        inputs <= MAX_INPUTS
    }
}

/// The number of elements of scratch memory for `inputs` channels.
pub(in super::super) fn scratch_len(inputs: usize) -> usize {
    2 * block_tiles(inputs) * inputs * TILE * MAX_LANES
}

/// The number of tiles in a block.
fn block_tiles(inputs: usize) -> usize {
    (MAX_COPY / inputs).clamp(1, MAX_TILES)
}

/// A forward pass by this kernel. It is a function of its own, because inlined into the general kernel it
/// would make the general kernel slower.
pub(in super::super) struct SubsampledForward<'a, 'b, T, S> {
    pub(in super::super) s: S,
    pub(in super::super) call: DirectPass<'b, T>,
    pub(in super::super) plan: &'a Subsampling,
}

impl<T: Element, S: Level> WithSimd for SubsampledForward<'_, '_, T, S> {
    type Output = ();

    #[inline(always)]
    fn with_simd<Same: Simd>(mut self, _: Same) {
        let (outputs, group) = (self.call.plan.outputs, self.call.plan.group());
        let (packed, copies) =
            std::mem::take(&mut self.call.scratch).split_at_mut(self.call.plan.weights_len());
        for first in (0..outputs).step_by(group) {
            let filters = first..(first + group).min(outputs);
            self.call.pack::<S>(filters.clone(), packed);
            self.filters(filters, packed, copies);
        }
    }
}

/// An iterator over the places of those vectors of a channel that are read.
struct Places<'a> {
    plan: &'a Subsampling,
    /// The number of vectors in a pixel.
    width: usize,
    row: usize,
    column: usize,
    /// The index in its pixel of the next vector.
    vector: usize,
}

impl Places<'_> {
    /// The next `TILE` places. Behind the last vector that is read, the places mean nothing, but none is
    /// above `last`.
    #[inline(always)]
    fn next(&mut self, last: usize) -> [usize; TILE] {
        let mut places = [0; TILE];
        for place in &mut places {
            let pixel = self.row * self.plan.steps[0] + self.column * self.plan.steps[1];
            *place = (pixel * self.width + self.vector).min(last);
            self.vector += 1;
            if self.vector == self.width {
                (self.vector, self.column) = (0, self.column + 1);
                if self.column == self.plan.pixels[1] {
                    (self.column, self.row) = (0, self.row + 1);
                }
            }
        }
        places
    }
}

impl<T: Element, S: Level> SubsampledForward<'_, '_, T, S> {
    /// Computes the filters `filters` from their `packed` weights. `copies` has room for two blocks.
    #[inline(always)]
    fn filters(&mut self, filters: Range<usize>, packed: &[T], copies: &mut [T]) {
        let (s, inputs) = (self.s, self.call.plan.inputs);
        let relu = match self.call.epilogue {
            Epilogue::Store => false,
            Epilogue::Relu => true,
            Epilogue::Gradient(_) => unreachable!("a forward pass has no operation on gradients"),
        };
        let width = self.call.n / T::lanes::<S>();
        let x = T::split::<S>(self.call.x).0;
        let x_plane = x.len() / inputs;
        let plane = self.call.y.len() / T::lanes::<S>() / self.call.plan.outputs;
        let y = &mut T::split_mut::<S>(self.call.y).0[filters.start * plane..filters.end * plane];
        let (tiles, block) = (plane.div_ceil(TILE), block_tiles(inputs));
        let copies = T::split_mut::<S>(copies).0.as_chunks_mut::<TILE>().0;
        let (mut copy, mut next) = copies[..2 * block * inputs].split_at_mut(block * inputs);
        let share = inputs.div_ceil(filters.len().div_ceil(panel_width::<S>(filters.len())));

        let mut walk = Places { plan: self.plan, width, row: 0, column: 0, vector: 0 };
        for to in copy.chunks_exact_mut(inputs).take(tiles) {
            copy_channels(x.chunks_exact(x_plane), &walk.next(x_plane - 1), to);
        }
        for first in (0..tiles).step_by(block) {
            let tiles_of = |first: usize| block.min(tiles.saturating_sub(first));
            let mut places = [[0; TILE]; MAX_TILES];
            let places = &mut places[..tiles_of(first + block)];
            for places in places.iter_mut() {
                *places = walk.next(x_plane - 1);
            }
            let (mut filter, mut weights, mut y, mut copied) = (filters.start, packed, &mut *y, 0..0);
            while filter < filters.end {
                let f = panel_width::<S>(filters.end - filter);
                let (panel, other_weights) = weights.split_at(f * inputs);
                let (rows, other_rows) = y.split_at_mut(f * plane);
                copied = copied.end..(copied.end + share).min(inputs);
                let from = x.get(copied.start * x_plane..).unwrap_or_default();
                let bias = self.call.bias.map(|bias| &bias[filter..][..f]);
                let work = Panel::<T, S> {
                    weights: panel,
                    bias,
                    copy: &copy[..tiles_of(first) * inputs],
                    from,
                    x_plane,
                    places,
                    next: &mut *next,
                    copied: copied.clone(),
                    y: rows,
                    plane,
                    start: first * TILE,
                    relu,
                };
                match f {
                    8 => work.run::<8>(s),
                    6 => work.run::<6>(s),
                    4 => work.run::<4>(s),
                    3 => work.run::<3>(s),
                    2 => work.run::<2>(s),
                    _ => work.run::<1>(s),
                }
                (filter, weights, y) = (filter + f, other_weights, other_rows);
            }
            std::mem::swap(&mut copy, &mut next);
        }
    }
}

/// Copies the vectors at `places` of each channel.
#[inline(always)]
fn copy_channels<V: Copy>(x: ChunksExact<'_, V>, places: &[usize; TILE], to: &mut [[V; TILE]]) {
    for (to, x) in to.iter_mut().zip(x) {
        for v in 0..TILE {
            to[v] = x[places[v]];
        }
    }
}

/// The tiles of one panel and one block.
struct Panel<'a, T: Element, S: Level> {
    weights: &'a [T],
    bias: Option<&'a [T]>,
    /// The block's copy.
    copy: &'a [[T::V<S>; TILE]],
    /// `x` from the first channel to copy on.
    from: &'a [T::V<S>],
    x_plane: usize,
    /// The places in a channel of the vectors to copy, for each tile of the next block.
    places: &'a [[usize; TILE]],
    next: &'a mut [[T::V<S>; TILE]],
    copied: Range<usize>,
    /// The panel's filters in the output, `plane` vectors each.
    y: &'a mut [T::V<S>],
    plane: usize,
    /// The first vector of the block in each filter.
    start: usize,
    relu: bool,
}

/// An iterator over the vectors to copy, one channel after the other. Within a channel, the pixels have a
/// constant distance, so the hardware fetches them in advance.
struct Sources<'a, V> {
    planes: ChunksExact<'a, V>,
    from: &'a [V],
    places: &'a [[usize; TILE]],
    channel: usize,
    tile: usize,
}

impl<'a, V> Sources<'a, V> {
    /// A channel of `x`, the places of its next vectors, and their place in the copy of `inputs` channels.
    #[inline(always)]
    fn next(&mut self, inputs: usize) -> (&'a [V], &'a [usize; TILE], usize) {
        if self.tile == 0 {
            self.from = self.planes.next().unwrap_or_default();
        }
        let next = (self.from, &self.places[self.tile], self.tile * inputs + self.channel);
        self.tile += 1;
        if self.tile == self.places.len() {
            (self.tile, self.channel) = (0, self.channel + 1);
        }
        next
    }
}

impl<T: Element, S: Level> Panel<'_, T, S> {
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "iterators would keep the accumulators in memory")]
    fn run<const F: usize>(self, s: S) {
        let inputs = self.weights.len() / F;
        let panel = self.weights.as_chunks::<F>().0;
        let mut bias = [T::ZERO; F];
        if let Some(from) = self.bias {
            bias.copy_from_slice(from);
        }
        // The first `beside` channels are copied between products, one vector in each step. The others are
        // copied after these steps.
        let beside = self.copied.len().min(inputs / TILE);
        let (moving_weights, other_weights) = panel.split_at(TILE * beside);
        let moving_weights = moving_weights.as_chunks::<TILE>().0;
        let mut left = self.copied.len() * self.places.len();
        let planes = self.from.chunks_exact(self.x_plane);
        let mut sources =
            Sources { planes, from: &[], places: self.places, channel: self.copied.start, tile: 0 };
        for (i, copy) in self.copy.chunks_exact(inputs).enumerate() {
            let mut acc: Tile<T, S, F, TILE> = [[T::zero(s); TILE]; F];
            for f in 0..F {
                acc[f] = [T::splat(s, bias[f]); TILE];
            }
            let (mut weights, mut columns) = (panel, copy);
            if left > 0 {
                left -= self.copied.len();
                let (moving, others) = copy.split_at(TILE * beside);
                for (weights, columns) in moving_weights.iter().zip(moving.as_chunks::<TILE>().0) {
                    let (from, places, to) = sources.next(inputs);
                    let to = &mut self.next[to];
                    for v in 0..TILE {
                        to[v] = from[places[v]];
                        tile::multiply_add::<T, S, F, TILE>(s, &weights[v], &columns[v], &mut acc);
                    }
                }
                for _ in beside..self.copied.len() {
                    let (from, places, to) = sources.next(inputs);
                    self.next[to] = places.map(|place| from[place]);
                }
                (weights, columns) = (other_weights, others);
            }
            for (weights, column) in weights.iter().zip(columns) {
                tile::multiply_add::<T, S, F, TILE>(s, weights, column, &mut acc);
            }
            if self.relu {
                for f in 0..F {
                    for v in 0..TILE {
                        acc[f][v] = T::relu(s, acc[f][v]);
                    }
                }
            }
            let start = self.start + i * TILE;
            for f in 0..F {
                let row = &mut self.y[f * self.plane..][..self.plane][start..];
                if let Some(row) = row.first_chunk_mut::<TILE>() {
                    *row = acc[f];
                } else {
                    for v in 0..TILE {
                        if v < row.len() {
                            row[v] = acc[f][v];
                        }
                    }
                }
            }
        }
    }
}
