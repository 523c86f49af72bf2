//! The products of the forward pass and of the input gradient: for each point, `M = U V`, a product of
//! matrices.
//!
//! 1. A tile of sums is a panel of output channels by up to three vectors of columns, as in the direct
//!    kernel.
//! 2. All panels use the columns of a block of input channels, which stay in the first-level cache, before
//!    the next block of channels is taken. Between blocks, the sums are in memory; the order of the additions
//!    is that of a single sum.

use super::super::direct::panel_width;
use super::input::Planes;
use crate::element::Element;
use crate::simd::Level;
use crate::tile::{self, Tile};
use std::ops::Range;

/// The input channels of a block.
const DEPTH: usize = 128;

/// The product of one point.
pub(super) struct Product<'a, T> {
    /// The transformed weights of all points, `[panel][point][input][output channel of the panel]`.
    pub(super) u: &'a [T],
    pub(super) points: usize,
    pub(super) point: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// The transformed inputs of the point.
    pub(super) v: &'a [T],
    pub(super) v_row: usize,
    /// The number of columns.
    pub(super) columns: usize,
    /// The distance between the rows of the result.
    pub(super) row: usize,
}

impl<T: Element> Product<'_, T> {
    /// Computes the rows `rows` of the result, with those of their panels around them.
    #[inline(always)]
    pub(super) fn run<S: Level>(&self, s: S, rows: &Range<usize>, result: &mut [T]) {
        for first in (0..self.inputs).step_by(DEPTH) {
            let depth = DEPTH.min(self.inputs - first);
            let vectors = self.columns.div_ceil(T::lanes::<S>());
            let mut vector = 0;
            while vector < vectors {
                // Four vectors are better cut into 2 + 2 than into 3 + 1.
                vector += match vectors - vector {
                    3 | 5.. if S::WIDE_FILE => self.panels::<S, 3>(s, rows, first, depth, vector, result),
                    2.. => self.panels::<S, 2>(s, rows, first, depth, vector, result),
                    _ => self.panels::<S, 1>(s, rows, first, depth, vector, result),
                };
            }
        }
    }

    /// All panels of `rows` over `V` vectors of columns. Returns `V`.
    #[inline(always)]
    fn panels<S: Level, const V: usize>(
        &self,
        s: S,
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
                    8 => self.tile::<S, 8, V>(s, u, x, add, result),
                    6 => self.tile::<S, 6, V>(s, u, x, add, result),
                    4 => self.tile::<S, 4, V>(s, u, x, add, result),
                    3 => self.tile::<S, 3, V>(s, u, x, add, result),
                    2 => self.tile::<S, 2, V>(s, u, x, add, result),
                    _ => self.tile::<S, 1, V>(s, u, x, add, result),
                }
            }
            output += width;
        }
        V
    }

    #[inline(always)]
    fn tile<S: Level, const F: usize, const V: usize>(
        &self,
        s: S,
        u: &[T],
        x: &[T],
        add: bool,
        result: &mut [T],
    ) {
        let len = V * T::lanes::<S>();
        let mut acc: Tile<T, S, F, V> = [[T::zero(s); V]; F];
        if add {
            for f in 0..F {
                let (sums, _) = T::split::<S>(&result[f * self.row..][..len]);
                acc[f].copy_from_slice(sums);
            }
        }
        tile::accumulate::<T, S, F, V>(s, u, x, self.v_row, &mut acc);
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
