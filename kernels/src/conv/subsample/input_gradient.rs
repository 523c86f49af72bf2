//! The input gradient of a kernel of one element with a stride.
//!
//! ```text
//! for each row of dy, each block of it, each panel of F channels of dx
//!   for each channel of dy
//!     F x BLOCK accumulators += weights (broadcast) * the block's copy
//!     copy a channel of the next block; write a few zeros of the next rows of dx
//!   store, with the epilogue
//! ```
//!
//! 1. A block is so small that its copy stays in the first-level cache. Read in place, channels that are a
//!    power of two apart would push each other out of the cache.
//! 2. Most pixels of `dx` are zero, because no output reads them. The zeros are written in long runs, also
//!    over the places of the results, so that the cache has these lines when the results are written.
//! 3. A pass that adds to `dx` writes no zeros. If it applies the gradient of a ReLU too, it applies that to
//!    the old values where it would write zeros, and to the sums.

use super::super::axis::Axis;
use super::super::direct::{DirectPass, Epilogue, panel_width, relu_gradient};
use super::{MAX_LANES, Subsampling};
use crate::Accum;
use crate::element::Element;
use crate::simd::Level;
use crate::tile::{self, Tile};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// The number of vectors in a block. They belong to one pixel.
const BLOCK: usize = 2;
/// The most channels of `dy` for which this kernel is used. With more of them, the products take most of the
/// time, and the general kernel is faster.
const MAX_INPUTS: usize = 64;
/// The number of vectors of zeros that are written with the products of one channel.
const ZEROS: usize = 2;

/// The plan. It depends on the shape alone and is made once.
#[derive(Debug, Clone)]
pub(in super::super) struct InputGradientPlan {
    joined: Subsampling,
    /// The rows of `dx` to set to zero: first those before the first row of `dy`, then those to write
    /// together with each row of `dy`, up to and including the next row with results.
    zero_rows: Vec<Range<usize>>,
}

impl InputGradientPlan {
    /// The plan, if the kernel is one element with a stride and `inputs`, the number of channels of `dy`, is
    /// small.
    pub(in super::super) fn new(inputs: usize, rows: &Axis, columns: &Axis) -> Option<Self> {
        let joined = Subsampling::new(rows, columns).filter(|_| inputs <= MAX_INPUTS)?;
        let end = |row: usize| if row < rows.outputs { row * rows.stride + 1 } else { rows.inputs };
        let zero_rows = (0..=rows.outputs).map(|row| row.checked_sub(1).map_or(0, end)..end(row)).collect();
        Some(Self { joined, zero_rows })
    }

    /// The number of elements of scratch memory for `inputs` channels of `dy`.
    pub(in super::super) fn scratch_len(inputs: usize) -> usize {
        2 * inputs * BLOCK * MAX_LANES
    }

    /// Whether a pixel of `n` samples is a whole number of blocks.
    pub(in super::super) fn takes(&self, n: usize, lanes: usize) -> bool {
        n > 0 && n.is_multiple_of(BLOCK * lanes)
    }

    /// The place of the results of block `i` of row `row` in a channel of `dx`, in vectors. A pixel has
    /// `width` vectors.
    #[inline(always)]
    fn place(&self, width: usize, row: usize, i: usize) -> usize {
        let blocks = width / BLOCK;
        (row * self.joined.steps[0] + i / blocks * self.joined.steps[1]) * width + i % blocks * BLOCK
    }
}

/// An input gradient by this kernel. It is a function of its own, because inlined into the general kernel it
/// would make the general kernel slower.
pub(in super::super) struct SubsampledInputGradient<'a, 'b, T, S> {
    pub(in super::super) s: S,
    pub(in super::super) call: DirectPass<'b, T>,
    pub(in super::super) plan: &'a InputGradientPlan,
}

impl<T: Element, S: Level> WithSimd for SubsampledInputGradient<'_, '_, T, S> {
    type Output = ();

    #[inline(always)]
    fn with_simd<Same: Simd>(self, _: Same) {
        let Self { s, mut call, plan } = self;
        let (outputs, group) = (call.plan.outputs, call.plan.group());
        let (packed, copies) = std::mem::take(&mut call.scratch).split_at_mut(call.plan.weights_len());
        for first in (0..outputs).step_by(group) {
            let channels = first..(first + group).min(outputs);
            call.pack::<S>(channels.clone(), packed);
            call.subsampled(s, plan, channels, packed, copies);
        }
    }
}

/// The data that a tile moves while it multiplies.
struct Moves<'a, V> {
    /// `dy`, from the next block of the first channel to copy on.
    from: &'a [V],
    /// The number of vectors from one channel of `dy` to the next.
    stride: usize,
    to: &'a mut [[V; BLOCK]],
    /// The vectors of `dx` to set to zero.
    zeros: Range<usize>,
}

/// An iterator over parts of some rows of all channels of `dx`, which are to be set to zero.
struct Sweep {
    channels: Range<usize>,
    /// The number of vectors in a channel.
    plane: usize,
    /// The vectors of these rows in a channel.
    rows: Range<usize>,
    /// The number of vectors of the first channel that are done.
    done: usize,
}

impl Sweep {
    /// At most `most` further vectors; none when all are done.
    #[inline(always)]
    fn next(&mut self, most: usize) -> Range<usize> {
        if self.done == self.rows.len() {
            self.done = 0;
            self.channels.start += 1;
        }
        if self.channels.is_empty() {
            return 0..0;
        }
        let start = self.channels.start * self.plane + self.rows.start + self.done;
        let len = most.min(self.rows.len() - self.done);
        self.done += len;
        start..start + len
    }

    /// The number of vectors in all channels.
    fn len(&self) -> usize {
        self.channels.len() * self.rows.len()
    }
}

impl<T: Element> DirectPass<'_, T> {
    /// Computes the channels `channels` of `dx` from their `packed` weights. `copies` has room for two
    /// blocks.
    #[inline(always)]
    fn subsampled<S: Level>(
        &mut self,
        s: S,
        plan: &InputGradientPlan,
        channels: Range<usize>,
        packed: &[T],
        copies: &mut [T],
    ) {
        let (lanes, inputs) = (T::lanes::<S>(), self.plan.inputs);
        let [rows, columns] = plan.joined.pixels;
        let width = self.n / lanes;
        let blocks = columns * width / BLOCK;
        let panels = self.panels_of::<S>(&channels);
        let dy = T::split::<S>(self.x).0;
        let stride = dy.len() / inputs;
        let plane = self.y.len() / lanes / self.plan.outputs;
        let (mut copy, mut next) = copies[..2 * inputs * BLOCK * lanes].split_at_mut(inputs * BLOCK * lanes);
        for (to, from) in T::split_mut::<S>(copy).0.chunks_exact_mut(BLOCK).zip(dy.chunks(stride)) {
            to.copy_from_slice(&from[..BLOCK]);
        }
        let adds = matches!(self.epilogue, Epilogue::Gradient(gradient) if gradient.accum == Accum::Add);
        self.clear(s, self.sweep::<S>(plan, &channels, 0));
        for row in 0..rows {
            let mut sweep = self.sweep::<S>(plan, &channels, row + 1);
            let share = sweep.len().div_ceil(blocks * panels).next_multiple_of(ZEROS);
            let zeros = if adds { 0 } else { share.min(ZEROS * inputs) };
            for block in 0..blocks {
                let target = plan.place(width, row, block);
                let following = (row * blocks + block + 1) * BLOCK;
                let left = if following < stride { inputs } else { 0 };
                let (mut channel, mut rest, mut copied) = (channels.start, packed, 0..0);
                while channel < channels.end {
                    let f = panel_width::<S>(channels.end - channel);
                    let (weights, tail) = rest.split_at(f * inputs);
                    copied = copied.end..(copied.end + inputs.div_ceil(panels)).min(left);
                    let moves = Moves {
                        from: dy.get(copied.start * stride + following..).unwrap_or_default(),
                        stride,
                        to: &mut T::split_mut::<S>(next).0.as_chunks_mut().0[copied.clone()],
                        zeros: sweep.next(zeros),
                    };
                    let at = [channel * plane + target, plane];
                    match f {
                        8 => self.block::<S, 8>(s, weights, copy, at, moves),
                        6 => self.block::<S, 6>(s, weights, copy, at, moves),
                        4 => self.block::<S, 4>(s, weights, copy, at, moves),
                        3 => self.block::<S, 3>(s, weights, copy, at, moves),
                        2 => self.block::<S, 2>(s, weights, copy, at, moves),
                        _ => self.block::<S, 1>(s, weights, copy, at, moves),
                    }
                    (channel, rest) = (channel + f, tail);
                }
                std::mem::swap(&mut copy, &mut next);
            }
            self.clear(s, sweep);
        }
    }

    fn panels_of<S: Level>(&self, channels: &Range<usize>) -> usize {
        let (mut first, mut panels) = (channels.start, 0);
        while first < channels.end {
            (first, panels) = (first + panel_width::<S>(channels.end - first), panels + 1);
        }
        panels
    }

    /// The `i`-th of the plan's rows of zeros.
    #[inline(always)]
    fn sweep<S: Level>(&self, plan: &InputGradientPlan, channels: &Range<usize>, i: usize) -> Sweep {
        let plane = self.y.len() / self.plan.outputs / T::lanes::<S>();
        let row_len = plane / self.plan.target[0];
        let rows = &plan.zero_rows[i];
        Sweep { channels: channels.clone(), plane, rows: rows.start * row_len..rows.end * row_len, done: 0 }
    }

    /// Writes the zeros that are left of a sweep. A pass that adds applies the gradient of the ReLU to the
    /// old values instead, if there is one.
    #[inline(always)]
    fn clear<S: Level>(&mut self, s: S, mut sweep: Sweep) {
        let y = T::split_mut::<S>(self.y).0;
        loop {
            let places = sweep.next(usize::MAX);
            if places.is_empty() {
                return;
            }
            match self.epilogue {
                Epilogue::Gradient(gradient) if gradient.accum == Accum::Add => {
                    let Some(x) = gradient.relu_output else { return };
                    let x = &T::split::<S>(x).0[places.clone()];
                    for (y, x) in y[places].iter_mut().zip(x) {
                        *y = relu_gradient::<T, S>(s, *y, *x);
                    }
                }
                _ => y[places].fill(T::zero(s)),
            }
        }
    }

    /// Computes the tile of one panel and one block. In `dx` it begins at `target`, and channels are `plane`
    /// vectors apart.
    #[inline(always)]
    fn block<S: Level, const F: usize>(
        &mut self,
        s: S,
        panel: &[T],
        copy: &[T],
        [target, plane]: [usize; 2],
        moves: Moves<'_, T::V<S>>,
    ) {
        let mut acc: Tile<T, S, F, BLOCK> = [[T::zero(s); BLOCK]; F];
        multiply_and_move(s, panel, copy, moves, T::split_mut::<S>(self.y).0, &mut acc);
        if let Epilogue::Gradient(gradient) = self.epilogue {
            let lanes = T::lanes::<S>();
            gradient.apply(s, self.y, [target * lanes, plane * lanes], &mut acc);
        }
        let y = T::split_mut::<S>(self.y).0;
        for f in 0..F {
            y[target + f * plane..][..BLOCK].copy_from_slice(&acc[f]);
        }
    }
}

/// Adds the products of a block to a tile, and moves a little data with each of them.
#[inline(always)]
fn multiply_and_move<T: Element, S: Level, const F: usize>(
    s: S,
    panel: &[T],
    copy: &[T],
    moves: Moves<'_, T::V<S>>,
    y: &mut [T::V<S>],
    acc: &mut Tile<T, S, F, BLOCK>,
) {
    let mut sums = *acc;
    let zero = T::zero(s);
    let (mut copies, mut from) = (moves.to.iter_mut(), moves.from);
    let (pairs, odd) = y[moves.zeros].as_chunks_mut::<ZEROS>();
    let mut zeros = pairs.iter_mut();
    for (weights, column) in panel.as_chunks::<F>().0.iter().zip(copy.chunks_exact(BLOCK * T::lanes::<S>())) {
        if let Some(to) = copies.next() {
            to.copy_from_slice(&from[..BLOCK]);
            from = from.get(moves.stride..).unwrap_or_default();
        }
        if let Some(zeros) = zeros.next() {
            *zeros = [zero; ZEROS];
        }
        tile::accumulate::<T, S, F, BLOCK>(s, weights, column, 0, &mut sums);
    }
    odd.fill(zero);
    *acc = sums;
}
