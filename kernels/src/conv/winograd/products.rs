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
use super::input::Planes;
use crate::element::Element;
use crate::simd::Level;
use crate::tile::{Tile, panel_width};
use std::ops::Range;

/// The inputs of a block.
const DEPTH: usize = 128;

/// The product of one point.
pub(super) struct Product<'a, W> {
    /// The transformed weights of all points, `[panel][point][input][output channel of the panel]`.
    pub(super) u: &'a [W],
    pub(super) points: usize,
    pub(super) point: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// The transformed inputs of the point.
    pub(super) v: &'a [W],
    pub(super) v_row: usize,
    /// The number of columns.
    pub(super) columns: usize,
    /// The distance between the rows of the result.
    pub(super) row: usize,
}

impl<W: bytemuck::Pod> Product<'_, W> {
    /// Computes the rows `rows` of the result, with those of their panels around them.
    #[inline(always)]
    pub(super) fn run<T: Element, S: Level, F: Factors<T, S, Word = W>>(
        &self,
        s: S,
        factors: F,
        rows: &Range<usize>,
        result: &mut [T],
    ) {
        for first in (0..self.inputs).step_by(DEPTH) {
            let depth = DEPTH.min(self.inputs - first);
            let vectors = self.columns.div_ceil(T::lanes::<S>());
            let mut vector = 0;
            while vector < vectors {
                // Four vectors are better cut into 2 + 2 than into 3 + 1.
                vector += match vectors - vector {
                    3 | 5.. if S::WIDE_FILE => {
                        self.panels::<T, S, F, 3>(s, factors, rows, first, depth, vector, result)
                    }
                    2.. => self.panels::<T, S, F, 2>(s, factors, rows, first, depth, vector, result),
                    _ => self.panels::<T, S, F, 1>(s, factors, rows, first, depth, vector, result),
                };
            }
        }
    }

    /// All panels of `rows` over `V` vectors of columns. Returns `V`.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "a part of the product, and where it goes")]
    fn panels<T: Element, S: Level, F: Factors<T, S, Word = W>, const V: usize>(
        &self,
        s: S,
        factors: F,
        rows: &Range<usize>,
        first: usize,
        depth: usize,
        vector: usize,
        result: &mut [T],
    ) -> usize {
        let column = vector * T::lanes::<S>();
        let x = &self.v[first * self.v_row + column..];
        let mut output = 0;
        while output < rows.end {
            let width = panel_width::<S>(self.outputs - output);
            if output + width > rows.start {
                let u = (output * self.points + self.point * width) * self.inputs + first * width;
                let (u, add) = (&self.u[u..][..depth * width], first > 0);
                let result = &mut result[output * self.row + column..];
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
        V
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
        let len = V * T::lanes::<S>();
        let mut acc: Tile<T, S, P, V> = [[T::zero(s); V]; P];
        if add {
            for f in 0..P {
                let (sums, _) = T::split::<S>(&result[f * self.row..][..len]);
                acc[f].copy_from_slice(sums);
            }
        }
        factors.accumulate::<P, V>(s, u, x, self.v_row, &mut acc);
        for (f, sums) in acc.iter().enumerate() {
            T::split_mut::<S>(&mut result[f * self.row..][..len]).0.copy_from_slice(sums);
        }
    }
}

/// The planes of `rows` rows for a block of `columns` columns.
pub(super) fn planes(rows: usize, columns: usize) -> Planes {
    let row = super::plan::row_len(columns);
    Planes { row, plane: super::plan::plane_len(rows, row) }
}
