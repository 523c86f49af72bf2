//! The inner loop of convolution and GEMM: a tile of sums that stays in registers.
//!
//! `acc[f][v] += sum over t of w[t][f] * x[t][v]`: a tile is `F` output rows by `V` vectors of columns. The
//! loop over the depth `t` broadcasts one weight to all lanes of a register and multiplies it with vectors of
//! `x`.
//!
//! 1. Each vector of `x` is loaded once and used in `F` products, so there are fewer loads than products.
//! 2. The tiles are large: 8 x 3 accumulators of 32 registers, or 6 x 2 of 16 (4 x 2 where products need a
//!    register of their own). So there are more independent multiply-adds than the multiply-add units have in
//!    flight, and no instruction waits for the result of the one before it.
//! 3. The compiler keeps accumulators in registers only when it can see every access to them. So the loops
//!    index tiles and never iterate over them. A failed bounds check unwinds to the caller, which could read
//!    the tile then; so a function with such checks sums in a local copy of the tile.

use crate::bf16::Bf16;
use crate::element::Element;
use crate::simd::Level;

/// `F` by `V` accumulators.
pub(crate) type Tile<T, S, const F: usize, const V: usize> = [[<T as crate::simd::Vectors>::V<S>; V]; F];

/// Adds `w[t*F + f] * x[t*stride + v*lanes ..]` over `t` in `0..w.len() / F` to `acc[f][v]`, in order of `t`.
///
/// `x` must reach to `(w.len() / F - 1) * stride + V * lanes`.
#[inline(always)]
pub(crate) fn accumulate<T: Element, S: Level, const F: usize, const V: usize>(
    s: S,
    w: &[T],
    x: &[T],
    stride: usize,
    acc: &mut Tile<T, S, F, V>,
) {
    let mut sums = *acc;
    let (rows, _) = w.as_chunks::<F>();
    for (t, row) in rows.iter().enumerate() {
        let (vectors, _) = T::split::<S>(&x[t * stride..][..V * T::lanes::<S>()]);
        let mut column = [T::zero(s); V];
        column.copy_from_slice(vectors);
        multiply_add(s, row, &column, &mut sums);
    }
    *acc = sums;
}

/// [`accumulate`] for the last `len < lanes` columns of a row: one vector, whose lanes from `len` on are
/// zero.
#[inline(always)]
pub(crate) fn accumulate_partial<T: Element, S: Level, const F: usize>(
    s: S,
    w: &[T],
    x: &[T],
    stride: usize,
    len: usize,
    acc: &mut Tile<T, S, F, 1>,
) {
    let mut sums = *acc;
    let (rows, _) = w.as_chunks::<F>();
    for (t, row) in rows.iter().enumerate() {
        let column = [T::load_partial(s, &x[t * stride..][..len])];
        multiply_add(s, row, &column, &mut sums);
    }
    *acc = sums;
}

/// [`accumulate`] where the weights are `w[f][t]` and all rows of `w` have one length.
#[inline(always)]
pub(crate) fn accumulate_rows<T: Element, S: Level, const F: usize, const V: usize>(
    s: S,
    w: &[&[T]; F],
    x: &[T],
    stride: usize,
    acc: &mut Tile<T, S, F, V>,
) {
    let mut sums = *acc;
    let depth = w[0].len();
    let mut rows: [&[T]; F] = [&[]; F];
    for (row, w) in rows.iter_mut().zip(w) {
        *row = &w[..depth];
    }
    for t in 0..depth {
        let (vectors, _) = T::split::<S>(&x[t * stride..][..V * T::lanes::<S>()]);
        let mut column = [T::zero(s); V];
        column.copy_from_slice(vectors);
        let mut row = [T::ZERO; F];
        for f in 0..F {
            row[f] = rows[f][t];
        }
        multiply_add(s, &row, &column, &mut sums);
    }
    *acc = sums;
}

/// One step of [`accumulate`]: adds the products of one depth `t`.
#[inline(always)]
pub(crate) fn multiply_add<T: Element, S: Level, const F: usize, const V: usize>(
    s: S,
    row: &[T; F],
    column: &[T::V<S>; V],
    acc: &mut Tile<T, S, F, V>,
) {
    for f in 0..F {
        let w = T::splat(s, row[f]);
        for v in 0..V {
            acc[f][v] = T::mul_add(s, w, column[v], acc[f][v]);
        }
    }
}

/// [`accumulate`] of bfloat16s, in words of two terms: `x[t*stride + v*lanes ..]` and `w[t*F + f]` are words.
#[inline(always)]
pub(crate) fn accumulate_pairs<S: Level, B: Bf16<S>, const F: usize, const V: usize>(
    s: S,
    bf16: B,
    w: &[u32],
    x: &[u32],
    stride: usize,
    acc: &mut Tile<f32, S, F, V>,
) {
    let mut sums = *acc;
    let (rows, _) = w.as_chunks::<F>();
    for (t, row) in rows.iter().enumerate() {
        let (vectors, _) = S::as_simd_u32s(&x[t * stride..][..V * S::F32_LANES]);
        let mut column = [s.splat_u32s(0); V];
        column.copy_from_slice(vectors);
        multiply_add_pairs(s, bf16, row, &column, &mut sums);
    }
    *acc = sums;
}

/// [`accumulate_rows`] of bfloat16s, in words of two terms.
#[inline(always)]
pub(crate) fn accumulate_pair_rows<S: Level, B: Bf16<S>, const F: usize, const V: usize>(
    s: S,
    bf16: B,
    w: &[&[u32]; F],
    x: &[u32],
    stride: usize,
    acc: &mut Tile<f32, S, F, V>,
) {
    let mut sums = *acc;
    let depth = w[0].len();
    let mut rows: [&[u32]; F] = [&[]; F];
    for (row, w) in rows.iter_mut().zip(w) {
        *row = &w[..depth];
    }
    for t in 0..depth {
        let (vectors, _) = S::as_simd_u32s(&x[t * stride..][..V * S::F32_LANES]);
        let mut column = [s.splat_u32s(0); V];
        column.copy_from_slice(vectors);
        let mut row = [0; F];
        for f in 0..F {
            row[f] = rows[f][t];
        }
        multiply_add_pairs(s, bf16, &row, &column, &mut sums);
    }
    *acc = sums;
}

/// One step of [`accumulate_pairs`]: adds the products of a pair of terms.
#[inline(always)]
fn multiply_add_pairs<S: Level, B: Bf16<S>, const F: usize, const V: usize>(
    s: S,
    bf16: B,
    row: &[u32; F],
    column: &[S::u32s; V],
    acc: &mut Tile<f32, S, F, V>,
) {
    for f in 0..F {
        let w = s.splat_u32s(row[f]);
        for v in 0..V {
            acc[f][v] = bf16.dot(s, w, column[v], acc[f][v]);
        }
    }
}

/// The number of rows of the next tile when `left` rows are left: as many as the registers hold.
/// Without a fused multiply-add, a product needs a register of its own, so the tiles are smaller.
#[inline(always)]
pub(crate) fn panel_width<S: Level>(left: usize) -> usize {
    match left {
        8.. if S::WIDE_FILE => 8,
        6.. if !S::WIDE_FILE && S::FUSED => 6,
        4.. => 4,
        _ => left,
    }
}
