//! The matrix product by our own kernel, at any level.
//!
//! The kernel works on blocks that fit in the caches. Within a block, a tile of results stays in registers
//! while the sum runs.
//!
//! ```text
//! for each block of rows, for each block of terms
//!   pack the block of a into panels of F rows, unless its rows are contiguous, and the terms or columns few
//!   for each block of columns
//!     pack the block of b into panels of V vectors of columns, unless it can be read in place
//!     for each strip of rows
//!       for each V vectors of columns, for each F rows of the strip
//!         F x V accumulators over the terms, then into c
//!       finish the strip, if these terms are the last
//! ```
//!
//! A panel of `b` stays in the first-level cache while the panels of a strip pass by; the strip and the block
//! of `b` stay in the second-level cache. Packing takes time for each element, so `a` is packed once for all
//! columns, and `b` once for as many rows as possible.
//!
//! The forward pass of a dense layer with 32 samples packs nothing.

use super::pack::pack;
use super::scratch::with_scratch;
use super::{MatMut, MatRef, RowFinish};
use crate::Accum;
use crate::element::Element;
use crate::isa::Isa;
use crate::simd::{Kernel, Level};
use crate::tile::{self, Tile, panel_width};

/// The most terms in a block. With this many, a panel of `a` and a panel of `b` stay in the first-level
/// cache.
const BLOCK_K: usize = 256;
/// The elements of a block of `b`: in f32, a quarter of a megabyte.
const BLOCK: usize = BLOCK_K * 256;
/// The most columns in a block are a multiple of those in the widest tile of every level.
const COLUMNS: usize = 64;
/// With so many columns, a strip of results stays in the second-level cache until it is finished.
const MOST_COLUMNS: usize = 512;
/// The most rows in a block: in f32, half a megabyte of `a`, which may stay in the third-level cache.
const ROWS: usize = 528;
/// The most rows in a strip: like those of a block, a multiple of the number of rows in the largest tile of
/// every level.
const STRIP: usize = 96;
/// The number of vectors of columns in a tile.
const V: usize = 2;
/// With at least this many terms and columns, rows of `a` are packed although they could be read in place:
/// rows that are a power of two apart would compete for the same few places of the cache.
const PACK_A_FROM: usize = 128;
/// With at least this many rows and columns, `b` is packed for the same reason.
const PACK_B_FROM: [usize; 2] = [48, 64];

pub(super) fn gemm<T: Element>(
    isa: Isa,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    accum: Accum,
    c: MatMut<'_, T>,
    finish: RowFinish<'_, T>,
) {
    if c.rows == 0 || c.cols == 0 {
        return;
    }
    // Rows of c are written as vectors, so the product is transposed if that makes them contiguous.
    let (c, a, b) = if c.col_stride != 1 && c.row_stride == 1 { (c.t(), b.t(), a.t()) } else { (c, a, b) };
    with_scratch(ROWS * BLOCK_K + BLOCK, |scratch: &mut [T]| {
        let (packed_a, packed_b) = scratch.split_at_mut(ROWS * BLOCK_K);
        T::product(isa, Product { isa, c, accum, a, b, finish, packed_a, packed_b });
    });
}

pub struct Product<'a, 's, T> {
    isa: Isa,
    c: MatMut<'a, T>,
    accum: Accum,
    a: MatRef<'a, T>,
    b: MatRef<'a, T>,
    finish: RowFinish<'a, T>,
    packed_a: &'s mut [T],
    packed_b: &'s mut [T],
}

/// A block of the product.
#[derive(Clone, Copy)]
struct Block {
    /// The first row.
    row: usize,
    /// The number of rows.
    height: usize,
    /// The first term.
    term: usize,
    /// The number of terms.
    depth: usize,
    /// The first column.
    column: usize,
    /// The number of columns.
    width: usize,
    a_is_packed: bool,
    b_is_packed: bool,
    accum: Accum,
    /// Whether the sums end in this block.
    is_last: bool,
}

/// The place of a tile in its block.
#[derive(Clone, Copy)]
struct At {
    row: usize,
    column: usize,
    /// The number of columns; the others of a partial vector lie outside the product.
    len: usize,
}

impl<T: Element> Kernel for Product<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(mut self, s: S) {
        let (m, n, k) = (self.c.rows, self.c.cols, self.a.cols);
        let most_columns = (BLOCK / k.clamp(1, BLOCK_K) / COLUMNS * COLUMNS).min(MOST_COLUMNS);
        for row in (0..m).step_by(ROWS) {
            let height = ROWS.min(m - row);
            // There is at least one block, because an empty sum overwrites `c` with zeros.
            let blocks = k.div_ceil(BLOCK_K).max(1);
            for index in 0..blocks {
                let term = index * BLOCK_K;
                let depth = BLOCK_K.min(k - term);
                let a_is_packed = self.a.col_stride != 1 || (depth >= PACK_A_FROM && n >= PACK_A_FROM);
                let accum = if index == 0 { self.accum } else { Accum::Add };
                if a_is_packed {
                    let (terms, rows) = (term..term + depth, row..row + height);
                    pack(s, &self.a.t(), terms, rows, panel_width::<S>, self.packed_a);
                }
                for column in (0..n).step_by(most_columns) {
                    let width = most_columns.min(n - column);
                    let in_place = self.b.col_stride == 1
                        && width % T::lanes::<S>() == 0
                        && (height < PACK_B_FROM[0] || width < PACK_B_FROM[1]);
                    let b_is_packed = !in_place && depth > 0;
                    let block = Block {
                        row,
                        height,
                        term,
                        depth,
                        column,
                        width,
                        a_is_packed,
                        b_is_packed,
                        accum,
                        is_last: index + 1 == blocks,
                    };
                    self.block(s, &block);
                }
            }
        }
    }
}

impl<T: Element> Product<'_, '_, T> {
    #[inline(always)]
    fn block<S: Level>(&mut self, s: S, block: &Block) {
        let lanes = T::lanes::<S>();
        if block.b_is_packed {
            let Block { term, depth, column, width, .. } = *block;
            // Panels of V vectors of columns come first, then panels of single vectors.
            let panel_width = |left: usize| if left >= V * lanes { V * lanes } else { lanes };
            pack(s, &self.b, term..term + depth, column..column + width, panel_width, self.packed_b);
        }
        for row in (0..block.height).step_by(STRIP) {
            let height = STRIP.min(block.height - row);
            let mut column = 0;
            while block.width - column >= V * lanes {
                self.strip::<S, V>(s, block, At { row, column, len: V * lanes }, height);
                column += V * lanes;
            }
            while column < block.width {
                let len = lanes.min(block.width - column);
                self.strip::<S, 1>(s, block, At { row, column, len }, height);
                column += len;
            }
            if block.is_last {
                let first = block.row + row;
                let columns = block.column..block.column + block.width;
                self.finish.apply(self.isa, &mut self.c, first..first + height, columns);
            }
        }
    }

    /// Computes `height` rows by V vectors of columns.
    #[inline(always)]
    fn strip<S: Level, const V: usize>(&mut self, s: S, block: &Block, at: At, height: usize) {
        let mut done = 0;
        while done < height {
            let at = At { row: at.row + done, ..at };
            done += match panel_width::<S>(height - done) {
                8 => self.tile::<S, 8, V>(s, block, at),
                6 => self.tile::<S, 6, V>(s, block, at),
                4 => self.tile::<S, 4, V>(s, block, at),
                3 => self.tile::<S, 3, V>(s, block, at),
                2 => self.tile::<S, 2, V>(s, block, at),
                _ => self.tile::<S, 1, V>(s, block, at),
            };
        }
    }

    /// Computes `F` rows by V vectors of columns. Returns `F`.
    #[inline(always)]
    fn tile<S: Level, const F: usize, const V: usize>(&mut self, s: S, block: &Block, at: At) -> usize {
        let mut acc: Tile<T, S, F, V> = [[T::zero(s); V]; F];
        let Block { term, depth, .. } = *block;
        let place = [block.row + at.row, block.column + at.column];
        self.c.prefetch(s, place, F);
        if depth > 0 {
            let (b, stride) = if block.b_is_packed {
                (&self.packed_b[at.column * depth..], V * T::lanes::<S>())
            } else {
                let start = term * self.b.row_stride + place[1];
                (&self.b.data[start..], self.b.row_stride)
            };
            if !block.a_is_packed {
                let mut rows: [&[T]; F] = [&[]; F];
                for (f, row) in rows.iter_mut().enumerate() {
                    *row = &self.a.data[(place[0] + f) * self.a.row_stride + term..][..depth];
                }
                tile::accumulate_rows(s, &rows, b, stride, &mut acc);
            } else {
                let a = &self.packed_a[at.row * depth..][..F * depth];
                tile::accumulate::<T, S, F, V>(s, a, b, stride, &mut acc);
            }
        }
        self.c.write(s, place, at.len, block.accum, &acc);
        F
    }
}
