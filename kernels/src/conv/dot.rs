//! The inner loop of the direct weight gradient: dot products of every row of one operand with every row of
//! the other.

use crate::element::Element;
use crate::simd::Level;

/// A matrix whose rows are `row` elements apart.
pub(super) struct Operand<'a, T> {
    pub(super) data: &'a [T],
    pub(super) row: usize,
}

/// `acc[f][b] += dy[f] * x[b]` over `len` elements of row `f` of `dy` and row `b` of `x`. Each lane of `acc`
/// keeps its own sum.
#[inline(always)]
pub(super) fn dot<T: Element, S: Level, const F: usize, const B: usize>(
    s: S,
    dy: &Operand<'_, T>,
    x: &Operand<'_, T>,
    len: usize,
    acc: &mut [[T::V<S>; B]; F],
) {
    let lanes = T::lanes::<S>();
    let (vectors, tail) = (len / lanes, len % lanes);
    let mut dy_rows: [&[T::V<S>]; F] = [&[]; F];
    let mut x_rows: [&[T::V<S>]; B] = [&[]; B];
    for (f, row) in dy_rows.iter_mut().enumerate() {
        *row = &T::split::<S>(&dy.data[f * dy.row..][..len]).0[..vectors];
    }
    for (b, row) in x_rows.iter_mut().enumerate() {
        *row = &T::split::<S>(&x.data[b * x.row..][..len]).0[..vectors];
    }
    let mut sums = *acc;
    for v in 0..vectors {
        let mut column = [T::zero(s); B];
        for b in 0..B {
            column[b] = x_rows[b][v];
        }
        for f in 0..F {
            let dy = dy_rows[f][v];
            for b in 0..B {
                sums[f][b] = T::mul_add(s, dy, column[b], sums[f][b]);
            }
        }
    }
    *acc = sums;
    if tail > 0 {
        for (f, acc) in acc.iter_mut().enumerate() {
            let dy = T::load_partial(s, &dy.data[f * dy.row..][len - tail..len]);
            for (b, acc) in acc.iter_mut().enumerate() {
                let x = T::load_partial(s, &x.data[b * x.row..][len - tail..len]);
                *acc = T::mul_add(s, dy, x, *acc);
            }
        }
    }
}
