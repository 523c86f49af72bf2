//! The product by the library faer.
//!
//! faer is the fastest at AVX-512. It chooses its instructions by the CPU, at run time, and offers no way to
//! pin them. So it serves only the level `avx512`: this is the widest level that faer knows, so a CPU that
//! has it always gets it. At any other level, faer could choose a wider one, and the same level would give
//! different bits on different machines.
//!
//! Cache sizes change the order of faer's loops over rows and columns, but not the order of its sums: it cuts
//! them every 512 terms.

use super::{MatMut, MatRef};
use crate::Accum;
use faer::Par;

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
