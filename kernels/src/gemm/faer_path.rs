//! The product by the library faer.
//!
//! faer is the fastest at AVX-512. It chooses its instructions by the CPU, at run time, and offers no way to
//! pin them. So it serves only the level `avx512`: this is the widest level that faer knows, so a CPU that
//! has it always gets it. At any other level, faer could choose a wider one, and the same level would give
//! different bits on different machines.
//!
//! Cache sizes change the order of faer's loops over rows and columns, but not the order of its sums. It cuts
//! them every 512 terms, except in [products so small](sums_alike) that other loops serve them.

use super::{MatMut, MatRef};
use crate::Accum;
use faer::Par;

/// The most multiply-adds of a product that faer's loops for small products serve.
const SMALL: usize = 4096;
/// Terms after which those loops cut their sums at the earliest, in a way that depends on strides.
const SMALL_SUM: usize = 64;

/// Whether faer sums the products of `depth` terms of any matrix of at least two rows with one of `columns`
/// columns in the same order. It does not where the number of rows decides which of its loops run, and
/// their sums differ.
pub(super) fn sums_alike(columns: usize, depth: usize) -> bool {
    let is_never_small = columns.saturating_mul(depth) > SMALL / 2;
    depth > 0 && (is_never_small || depth <= SMALL_SUM)
}

pub(crate) fn faer_gemm<T: faer::traits::ComplexField>(
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    accum: Accum,
    c: MatMut<'_, T>,
) {
    let accum = match accum {
        Accum::Replace => faer::Accum::Replace,
        Accum::Add => faer::Accum::Add,
    };
    // Of faer's constructors with a stride only the column-major one may be used: in 0.24.4,
    // `from_row_major_slice_with_stride_mut` makes a column-major view that reaches beyond the slice.
    let columns = faer::MatMut::from_column_major_slice_with_stride_mut;
    // faer wants a stride that keeps columns apart, even of a single one.
    let c = if c.col_stride == 1 {
        columns(c.data, c.cols, c.rows, c.row_stride.max(c.cols)).transpose_mut()
    } else {
        columns(c.data, c.rows, c.cols, c.col_stride.max(c.rows))
    };
    faer::linalg::matmul::matmul(c, accum, as_faer(a), as_faer(b), T::one_impl(), Par::Seq);
}

fn as_faer<T>(a: MatRef<'_, T>) -> faer::MatRef<'_, T> {
    let columns = faer::MatRef::from_column_major_slice_with_stride;
    if a.col_stride == 1 {
        columns(a.data, a.cols, a.rows, a.row_stride).transpose()
    } else {
        columns(a.data, a.rows, a.cols, a.col_stride)
    }
}
