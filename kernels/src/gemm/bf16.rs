//! The matrix product of factors that are rounded to bfloat16, with sums in f32.
//!
//! As in the [other kernel](super::packed), blocks fit in the caches, and a tile of results stays in
//! registers. Both factors are always packed: rounded, as words of two terms.
//!
//! ```text
//! for each block of columns, for each block of terms
//!   pack the block of b into panels of V vectors of columns, as [pair of terms][column]
//!   for each strip of rows
//!     pack the strip of a into panels of F rows, as [pair of terms][row]
//!     for each V vectors of columns, for each F rows of the strip
//!       F x V accumulators over the pairs, then into c
//!     finish the strip, if these terms are the last
//! ```
//!
//! A packed row of `a` serves a whole block of columns, so blocks are wide.

use super::scratch::with_scratch;
use super::{MatMut, MatRef, RowFinish};
use crate::Accum;
use crate::bf16::{Bf16, Bf16Kernel};
use crate::isa::Isa;
use crate::simd::Level;
use crate::tile::{self, panel_width};
use crate::transpose::transpose;
use std::ops::Range;

/// The most terms and the most columns in a block of `b`, where its rows are contiguous, and where its
/// columns are: more terms then, because a block reads as many neighbouring elements. The columns are a
/// multiple of those in the widest tile of every level. The block has half a megabyte.
const BLOCKS: [[usize; 2]; 2] = [[256, 960], [512, 480]];
const BLOCK_WORDS: usize = BLOCKS[0][0] * BLOCKS[0][1] / 2;
/// The most terms of a block.
const MOST_TERMS: usize = BLOCKS[1][0];
/// The most rows in a strip: a multiple of the number of rows in the largest tile of every level.
const STRIP: usize = 48;
/// The most columns in a panel of `b`, and at least the rows in one of `a`.
const WIDEST: usize = 48;

/// `c = a b` or `c += a b`, as [`gemm`](super::gemm).
pub(crate) fn gemm(
    isa: Isa,
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
    accum: Accum,
    c: MatMut<'_, f32>,
    finish: RowFinish<'_, f32>,
) {
    if c.rows == 0 || c.cols == 0 {
        return;
    }
    // Rows of c are written as vectors, so the product is transposed if that makes them contiguous.
    let (c, a, b) = if c.col_stride != 1 && c.row_stride == 1 { (c.t(), b.t(), a.t()) } else { (c, a, b) };
    let [strip, panel] = [STRIP, WIDEST].map(|rows| rows * MOST_TERMS / 2);
    with_scratch(strip + panel + BLOCK_WORDS, |words: &mut [u32]| {
        let (packed_a, words) = words.split_at_mut(strip);
        let (rounded, packed_b) = words.split_at_mut(panel);
        isa.run_bf16(Product { isa, c, accum, a, b, finish, packed_a, packed_b, rounded });
    });
}

struct Product<'a, 's> {
    isa: Isa,
    c: MatMut<'a, f32>,
    accum: Accum,
    a: MatRef<'a, f32>,
    b: MatRef<'a, f32>,
    finish: RowFinish<'a, f32>,
    packed_a: &'s mut [u32],
    packed_b: &'s mut [u32],
    /// A panel before its words are transposed.
    rounded: &'s mut [u32],
}

/// The place of a panel of columns.
#[derive(Clone, Copy)]
struct Panel {
    /// The panel's first column, in its block.
    column: usize,
    /// The number of columns; the others of a partial vector lie outside the product.
    len: usize,
    /// The first column of the block.
    block: usize,
    /// The pairs of terms in the block.
    pairs: usize,
    accum: Accum,
}

impl Bf16Kernel for Product<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level, B: Bf16<S>>(mut self, s: S, bf16: B) {
        // Tiles of 8 x 3 sums of 32 registers, or of 6 x 2 of 16.
        if S::WIDE_FILE { self.blocks::<S, B, 3>(s, bf16) } else { self.blocks::<S, B, 2>(s, bf16) }
    }
}

impl Product<'_, '_> {
    #[inline(always)]
    fn blocks<S: Level, B: Bf16<S>, const V: usize>(&mut self, s: S, bf16: B) {
        let (m, n, k) = (self.c.rows, self.c.cols, self.a.cols);
        let a = self.a.t();
        let [most_terms, most_columns] = BLOCKS[usize::from(self.b.col_stride != 1)];
        for block in (0..n).step_by(most_columns) {
            let width = most_columns.min(n - block);
            // There is at least one block, because an empty sum overwrites `c` with zeros.
            let blocks = k.div_ceil(most_terms).max(1);
            for index in 0..blocks {
                let terms = index * most_terms..k.min((index + 1) * most_terms);
                let pairs = terms.len().div_ceil(2);
                let accum = if index == 0 { self.accum } else { Accum::Add };
                self.pack_b::<S, B, V>(s, bf16, terms.clone(), block..block + width);
                for row in (0..m).step_by(STRIP) {
                    let height = STRIP.min(m - row);
                    let mut done = 0;
                    while done < height {
                        let panel = panel_width::<S>(height - done);
                        let rows = row + done..row + done + panel;
                        let packed = &mut self.packed_a[done * pairs..][..panel * pairs];
                        pack(s, bf16, &a, terms.clone(), rows, panel, self.rounded, packed);
                        done += panel;
                    }
                    for (column, len) in panels::<S, V>(width) {
                        let at = Panel { column, len: len.min(width - column), block, pairs, accum };
                        match len / S::F32_LANES {
                            1 => self.strip::<S, B, 1>(s, bf16, at, row, height),
                            _ => self.strip::<S, B, V>(s, bf16, at, row, height),
                        }
                    }
                    if index + 1 == blocks {
                        let (rows, columns) = (row..row + height, block..block + width);
                        self.finish.apply(self.isa, &mut self.c, rows, columns);
                    }
                }
            }
        }
    }

    /// Packs a block of `b`: panels of V vectors of columns, then of single vectors. The panel of the block's
    /// column `j` starts at `j * pairs`.
    #[inline(always)]
    fn pack_b<S: Level, B: Bf16<S>, const V: usize>(
        &mut self,
        s: S,
        bf16: B,
        terms: Range<usize>,
        columns: Range<usize>,
    ) {
        let pairs = terms.len().div_ceil(2);
        let of_panel =
            |column: usize, len: usize| columns.start + column..columns.end.min(columns.start + column + len);
        if self.b.col_stride != 1 {
            for (column, len) in panels::<S, V>(columns.len()) {
                let packed = &mut self.packed_b[column * pairs..][..len * pairs];
                let columns = of_panel(column, len);
                pack(s, bf16, &self.b, terms.clone(), columns, len, self.rounded, packed);
            }
            return;
        }
        // Along the rows of `b`, so that its memory is read in order.
        for pair in 0..pairs {
            let terms = terms.start + 2 * pair..terms.end;
            for (column, len) in panels::<S, V>(columns.len()) {
                let packed = &mut self.packed_b[column * pairs + pair * len..][..len];
                pack_pair(s, bf16, &self.b, terms.clone(), of_panel(column, len), packed);
            }
        }
    }

    /// Computes `height` rows of a panel.
    #[inline(always)]
    fn strip<S: Level, B: Bf16<S>, const V: usize>(
        &mut self,
        s: S,
        bf16: B,
        at: Panel,
        row: usize,
        height: usize,
    ) {
        let mut done = 0;
        while done < height {
            let width = panel_width::<S>(height - done);
            match width {
                8 => self.tile::<S, B, 8, V>(s, bf16, at, row, done),
                6 => self.tile::<S, B, 6, V>(s, bf16, at, row, done),
                4 => self.tile::<S, B, 4, V>(s, bf16, at, row, done),
                3 => self.tile::<S, B, 3, V>(s, bf16, at, row, done),
                2 => self.tile::<S, B, 2, V>(s, bf16, at, row, done),
                _ => self.tile::<S, B, 1, V>(s, bf16, at, row, done),
            }
            done += width;
        }
    }

    /// Computes the `F` rows from `row + in_strip` on.
    #[inline(always)]
    fn tile<S: Level, B: Bf16<S>, const F: usize, const V: usize>(
        &mut self,
        s: S,
        bf16: B,
        at: Panel,
        row: usize,
        in_strip: usize,
    ) {
        let Panel { pairs, .. } = at;
        let place = [row + in_strip, at.block + at.column];
        self.c.prefetch(s, place, F);
        let mut acc = [[s.vsplat_f32s(0.0); V]; F];
        let a = &self.packed_a[in_strip * pairs..][..F * pairs];
        let b = &self.packed_b[at.column * pairs..];
        tile::accumulate_pairs::<S, B, F, V>(s, bf16, a, b, V * S::F32_LANES, &mut acc);
        self.c.write(s, place, at.len, at.accum, &acc);
    }
}

/// The first column and the length of each panel of `width` columns: `V` vectors, then single ones, of which
/// the last may be partly empty.
#[inline(always)]
fn panels<S: Level, const V: usize>(width: usize) -> impl Iterator<Item = (usize, usize)> {
    let wide = V * S::F32_LANES;
    let rest = width - width % wide;
    let vectors = (rest..width).step_by(S::F32_LANES).map(|column| (column, S::F32_LANES));
    (0..rest).step_by(wide).map(move |column| (column, wide)).chain(vectors)
}

/// Packs `terms` by `columns` of `b` as `[pair of terms][width]`. There are at most `width` columns; the rest
/// of each row is zeros, and so is the second term of the last pair of an odd number.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a part of a matrix, and where it goes")]
fn pack<S: Level, B: Bf16<S>>(
    s: S,
    bf16: B,
    b: &MatRef<'_, f32>,
    terms: Range<usize>,
    columns: Range<usize>,
    width: usize,
    rounded: &mut [u32],
    packed: &mut [u32],
) {
    if b.col_stride == 1 {
        for (pair, packed) in packed.chunks_exact_mut(width).enumerate() {
            pack_pair(s, bf16, b, terms.start + 2 * pair..terms.end, columns.clone(), packed);
        }
        return;
    }
    let pairs = terms.len().div_ceil(2);
    let rounded = &mut rounded[..width * pairs];
    let mut gathered = [0.0; MOST_TERMS];
    for (j, words) in rounded.chunks_exact_mut(pairs.max(1)).enumerate() {
        if j >= columns.len() {
            words.fill(0);
            continue;
        }
        let start = (columns.start + j) * b.col_stride + terms.start * b.row_stride;
        if b.row_stride == 1 {
            round(s, bf16, &b.data[start..][..terms.len()], words);
        } else {
            for (i, value) in gathered[..terms.len()].iter_mut().enumerate() {
                *value = b.data[start + i * b.row_stride];
            }
            round(s, bf16, &gathered[..terms.len()], words);
        }
    }
    let (rounded, packed) = (bytemuck::cast_slice::<u32, f32>(rounded), bytemuck::cast_slice_mut(packed));
    transpose::<f32, S>(s, width, pairs, |j| &rounded[j * pairs..][..pairs], packed);
}

/// One row of words, of the first two of `terms`, for a matrix with contiguous rows. Where there is no second
/// term and behind the last column, the values are zeros.
#[inline(always)]
fn pack_pair<S: Level, B: Bf16<S>>(
    s: S,
    bf16: B,
    b: &MatRef<'_, f32>,
    terms: Range<usize>,
    columns: Range<usize>,
    packed: &mut [u32],
) {
    let row = |term: usize| &b.data[term * b.row_stride + columns.start..][..columns.len()];
    let first = row(terms.start);
    let second: &[f32] = if terms.len() > 1 { row(terms.start + 1) } else { &[] };
    let lanes = S::F32_LANES;
    for (start, packed) in (0..).step_by(lanes).zip(packed.chunks_mut(lanes)) {
        let load = |row: &[f32]| {
            let part = &row[start.min(row.len())..row.len().min(start + lanes)];
            match S::as_simd_f32s(part).0.first() {
                Some(whole) => *whole,
                None => s.partial_load_f32s(part),
            }
        };
        let words = bf16.pair(s, load(first), load(second));
        match S::as_mut_simd_u32s(packed).0.first_mut() {
            Some(whole) => *whole = words,
            None => s.partial_store_u32s(packed, words),
        }
    }
}

/// Rounds values that follow each other, two to a word.
#[inline(always)]
fn round<S: Level, B: Bf16<S>>(s: S, bf16: B, x: &[f32], words: &mut [u32]) {
    // The lower half of a word comes first, as on all machines that have a level.
    let halves: &mut [u16] = bytemuck::cast_slice_mut(words);
    halves[x.len()..].fill(0);
    bf16.store_all(s, x, halves);
}
