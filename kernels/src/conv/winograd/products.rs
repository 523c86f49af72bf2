//! The products of the forward pass and of the input gradient: for each point, `M = U V`, a product of
//! matrices.
//!
//! 1. A tile of sums is a panel of output channels by up to three vectors of columns, as in the direct
//!    kernel.
//! 2. All panels use the columns of a block of input channels, which stay in the first-level cache, before
//!    the next block of channels is taken. Between blocks, the sums are in memory; the order of the additions
//!    is that of a single sum.
//!
//! A term is an input channel. Where words have the factors of two terms, "input" means a pair of channels
//! here.

use super::factors::Factors;
use super::records::{Place, Records};
use crate::element::Element;
use crate::simd::Level;
use crate::tile::{Tile, panel_width};
use std::ops::Range;

/// The inputs of a block.
const DEPTH: usize = 128;

/// The products of a block of columns.
pub(super) struct Product<'a, W, const POINTS: usize> {
    /// The transformed weights of all points, `[panel][point][input][output channel of the panel]`.
    pub(super) u: &'a [W],
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// The transformed inputs, a row for each.
    pub(super) v: &'a [W],
    pub(super) of_v: Records<POINTS>,
    /// The number of vectors of columns.
    pub(super) vectors: usize,
    /// The records of the result, a row for each output.
    pub(super) of_m: Records<POINTS>,
}

/// A part of the products: a point, a group of columns, and a block of inputs.
#[derive(Clone, Copy)]
struct At {
    point: usize,
    group: usize,
    /// The first input, and their number.
    first: usize,
    depth: usize,
}

impl<W: bytemuck::Pod, const POINTS: usize> Product<'_, W, POINTS> {
    /// Computes the rows `rows` of the result of one point, with those of their panels around them.
    #[inline(always)]
    pub(super) fn run<T: Element, S: Level, F: Factors<T, S, Word = W>>(
        &self,
        s: S,
        factors: F,
        point: usize,
        rows: &Range<usize>,
        result: &mut [T],
    ) {
        for first in (0..self.inputs).step_by(DEPTH) {
            let depth = DEPTH.min(self.inputs - first);
            let mut place = Place::first::<S>(self.vectors);
            while place.is_filled() {
                let at = At { point, group: place.group, first, depth };
                match place.len {
                    3 if S::WIDE_FILE => self.panels::<T, S, F, 3>(s, factors, rows, at, result),
                    2 => self.panels::<T, S, F, 2>(s, factors, rows, at, result),
                    _ => self.panels::<T, S, F, 1>(s, factors, rows, at, result),
                }
                place = place.next_group::<S>();
            }
        }
    }

    /// All panels of `rows` over a group of `V` vectors of columns.
    #[inline(always)]
    fn panels<T: Element, S: Level, F: Factors<T, S, Word = W>, const V: usize>(
        &self,
        s: S,
        factors: F,
        rows: &Range<usize>,
        at: At,
        result: &mut [T],
    ) {
        let At { point, group, first, depth } = at;
        let x = &self.v[self.of_v.record::<T, S>(group, first) + self.of_v.point::<T, S>(point)..];
        let mut output = 0;
        while output < rows.end {
            let width = panel_width::<S>(self.outputs - output);
            if output + width > rows.start {
                let u = (output * POINTS + point * width) * self.inputs + first * width;
                let (u, add) = (&self.u[u..][..depth * width], first > 0);
                let start = self.of_m.record::<T, S>(group, output) + self.of_m.point::<T, S>(point);
                let result = &mut result[start..];
                match width {
                    8 => self.tile::<T, S, F, 8, V>(s, factors, u, x, add, result),
                    6 => self.tile::<T, S, F, 6, V>(s, factors, u, x, add, result),
                    4 => self.tile::<T, S, F, 4, V>(s, factors, u, x, add, result),
                    3 => self.tile::<T, S, F, 3, V>(s, factors, u, x, add, result),
                    2 => self.tile::<T, S, F, 2, V>(s, factors, u, x, add, result),
                    _ => self.tile::<T, S, F, 1, V>(s, factors, u, x, add, result),
                }
            }
            output += width;
        }
    }

    #[inline(always)]
    fn tile<T: Element, S: Level, F: Factors<T, S, Word = W>, const P: usize, const V: usize>(
        &self,
        s: S,
        factors: F,
        u: &[W],
        x: &[W],
        add: bool,
        result: &mut [T],
    ) {
        let (row, len) = (self.of_m.distance::<T, S>(), V * T::lanes::<S>());
        let mut acc: Tile<T, S, P, V> = [[T::zero(s); V]; P];
        if add {
            for f in 0..P {
                let (sums, _) = T::split::<S>(&result[f * row..][..len]);
                acc[f].copy_from_slice(sums);
            }
        }
        factors.accumulate::<P, V>(s, u, x, self.of_v.distance::<T, S>(), &mut acc);
        for (f, sums) in acc.iter().enumerate() {
            T::split_mut::<S>(&mut result[f * row..][..len]).0.copy_from_slice(sums);
        }
    }
}
