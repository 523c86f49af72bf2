//! The transform of the weights: `U = G w G^T` for each pair of channels, packed as the products read them.
//!
//! 1. The inputs and outputs of a point follow each other, so vectors are full whatever a panel's width.
//! 2. Kernels of nine elements are read eight at a time and transposed in registers. Those that follow are
//!    prefetched, because for the input gradient they lie far apart.
//! 3. Up to a cache line of each point is written at once. The points of a panel are often so far apart that
//!    their lines compete for a few places of the first-level cache.

use super::super::direct::WeightStrides;
use super::super::strided_rows::CACHE_LINE;
use super::factors::{Factors, Full, Rounded};
use super::transform;
use crate::bf16::{Bf16, Bf16Kernel};
use crate::element::Element;
use crate::simd::{Kernel, Level};
use crate::tile::panel_width;
use crate::transpose::BLOCK;
use std::ops::Range;

/// The number of kernels that are read before any is transformed: a multiple of two vectors of any level.
/// They are stored in rows of a block and loaded in vectors, and a load soon after a store of another length
/// waits for it.
const GROUP: usize = 8 * BLOCK;
/// How many inputs ahead kernels are prefetched.
const AHEAD: usize = 16;

/// Any range of output channels that begins at a multiple of this begins with a panel, at every level.
pub(in super::super) const PANELS: usize = 24;

/// Writes the transformed weights of some output channels, `[panel][point][input][output channel of the
/// panel]`, where words of two terms are pairs of inputs; without a second one, its weights are zeros.
pub struct WinogradWeights<'a, T> {
    /// The weights, with nine elements for each pair of channels.
    pub(in super::super) w: &'a [T],
    pub(in super::super) strides: WeightStrides,
    /// Whether the kernels are mirrored along both axes, as the input gradient needs them.
    pub(in super::super) mirrored: bool,
    pub(in super::super) inputs: usize,
    /// The output channels to write: from a multiple of [`PANELS`] on, to another one or the last channel.
    pub(in super::super) outputs: Range<usize>,
    /// The number of outputs of a tile along each axis: 2 or 4.
    pub(in super::super) m: usize,
    /// The transformed weights of `outputs`.
    pub(in super::super) u: &'a mut [T],
}

impl<T: Element> Kernel for WinogradWeights<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        self.panels(s, Full);
    }
}

impl Bf16Kernel for WinogradWeights<'_, f32> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level, B: Bf16<S>>(self, s: S, bf16: B) {
        self.panels(s, Rounded(bf16));
    }
}

/// A factor of a panel: its word's first input, the output, and the term in the word.
#[derive(Clone, Copy, Default)]
struct Factor {
    input: usize,
    output: usize,
    term: usize,
}

impl Factor {
    /// Goes on to the next one, in a panel of `width` outputs, whose words have `terms` terms.
    #[inline(always)]
    fn advance(&mut self, width: usize, terms: usize) {
        self.term += 1;
        if self.term == terms {
            (self.output, self.term) = (self.output + 1, 0);
        }
        if self.output == width {
            (self.input, self.output) = (self.input + terms, 0);
        }
    }
}

impl<T: Element> WinogradWeights<'_, T> {
    #[inline(always)]
    fn panels<S: Level, F: Factors<T, S>>(mut self, s: S, factors: F) {
        let points = (self.m + 2) * (self.m + 2);
        let mut rest: &mut [F::Factor] = bytemuck::cast_slice_mut(std::mem::take(&mut self.u));
        let mut first = self.outputs.start;
        while first < self.outputs.end {
            let width = panel_width::<S>(self.outputs.end - first);
            let len = width * points * self.inputs.next_multiple_of(F::TERMS);
            let (panel, tail) = rest.split_at_mut(len);
            match self.m {
                2 => self.panel::<S, F, 4>(s, factors, first, width, panel),
                _ => self.panel::<S, F, 6>(s, factors, first, width, panel),
            }
            (first, rest) = (first + width, tail);
        }
    }

    /// The panel of the `width` output channels from `first` on.
    #[inline(always)]
    fn panel<S: Level, F: Factors<T, S>, const A: usize>(
        &self,
        s: S,
        factors: F,
        first: usize,
        width: usize,
        panel: &mut [F::Factor],
    ) {
        let len = self.inputs.next_multiple_of(F::TERMS) * width;
        let mut kernels = [[T::ZERO; GROUP]; 9];
        let mut factor = Factor::default();
        for start in (0..len).step_by(GROUP) {
            let count = GROUP.min(len - start);
            for block in (0..count).step_by(BLOCK) {
                self.read_block::<S, F>(s, first, width, &mut factor, block..count, &mut kernels);
            }
            let lanes = T::lanes::<S>();
            let panel = &mut panel[start..];
            if 2 * lanes * size_of::<F::Factor>() <= CACHE_LINE * size_of::<f32>() {
                for first in (0..count).step_by(2 * lanes) {
                    self.vectors::<S, F, A, 2>(s, factors, &kernels, first..count, len, panel);
                }
            } else {
                for first in (0..count).step_by(lanes) {
                    self.vectors::<S, F, A, 1>(s, factors, &kernels, first..count, len, panel);
                }
            }
        }
    }

    /// Writes the kernels of the factors from `factor` on, in the panel of the `width` output channels from
    /// `first` on, to the lanes `these` of `kernels`, but not more than a block. Where a word has no second
    /// input, and in the rest of the block, there are zeros.
    #[inline(always)]
    fn read_block<S: Level, F: Factors<T, S>>(
        &self,
        s: S,
        first: usize,
        width: usize,
        factor: &mut Factor,
        these: Range<usize>,
        kernels: &mut [[T; GROUP]; 9],
    ) {
        let place = |k: usize| if self.mirrored { 8 - k } else { k };
        let mut rows = [[T::ZERO; BLOCK]; BLOCK];
        for (row, values) in rows.iter_mut().enumerate() {
            let lane = these.start + row;
            let (input, output) = (factor.input + factor.term, first + factor.output);
            let mut last = T::ZERO;
            if lane < these.end && input < self.inputs {
                let start = output * self.strides.output + input * self.strides.input;
                let kernel = &self.w[start..][..9];
                values.copy_from_slice(&kernel[..BLOCK]);
                last = kernel[8];
                if let Some(later) = self.w.get(start + AHEAD * self.strides.input) {
                    s.vprefetch(later);
                }
            }
            kernels[place(8)][lane] = last;
            factor.advance(width, F::TERMS);
        }
        for (k, row) in T::transpose(s, rows).iter().enumerate() {
            kernels[place(k)][these.start..these.start + BLOCK].copy_from_slice(row);
        }
    }

    /// Transforms `N` vectors of kernels, the first of `these`, and stores those that there are.
    #[inline(always)]
    fn vectors<S: Level, F: Factors<T, S>, const A: usize, const N: usize>(
        &self,
        s: S,
        factors: F,
        kernels: &[[T; GROUP]; 9],
        these: Range<usize>,
        point_len: usize,
        u: &mut [F::Factor],
    ) {
        let lanes = T::lanes::<S>();
        let mut rows = [[[T::zero(s); 3]; A]; N];
        for (v, rows) in rows.iter_mut().enumerate() {
            for j in 0..3 {
                let mut w = [T::zero(s); 3];
                for i in 0..3 {
                    w[i] = T::split::<S>(&kernels[i * 3 + j][these.start + v * lanes..][..lanes]).0[0];
                }
                let w = transform::weights::<T, S, A>(s, w);
                for i in 0..A {
                    rows[i][j] = w[i];
                }
            }
        }
        for i in 0..A {
            let mut points = [[T::zero(s); A]; N];
            for v in 0..N {
                points[v] = transform::weights::<T, S, A>(s, rows[v][i]);
            }
            for j in 0..A {
                let u = &mut u[(i * A + j) * point_len..];
                for (v, points) in points.iter().enumerate() {
                    let first = these.start + v * lanes;
                    let end = these.end.min(first + lanes);
                    if first < end {
                        factors.store(s, points[j], &mut u[first..end]);
                    }
                }
            }
        }
    }
}
