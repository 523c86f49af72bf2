//! Matrix product: `C = A B` or `C += A B`, sequential, any strides.
//!
//! A product is computed in blocks that fit in the caches. Within a block, a tile of results stays in
//! registers while the sum over `k` runs.
//!
//! # Memory
//!
//! The kernel copies parts of `A` and `B` to a buffer of up to 1.6 MB, half of that for f32. Each thread
//! allocates it at its first product and then keeps it, so that later products allocate nothing. At level
//! `avx512`, most products of matrices with contiguous rows or columns do not use this buffer, but for those
//! in bfloat16.

mod bf16;
mod faer_path;
mod finish;
mod pack;
mod packed;
mod scratch;
mod write;

pub(crate) use bf16::gemm as bf16_gemm;
pub(crate) use faer_path::faer_gemm;
pub(crate) use finish::RowFinish;
pub(crate) use packed::Product;

use crate::Accum;
use crate::element::Element;
use crate::isa::Isa;
use std::ops::Range;

/// A matrix to read: element `(i, j)` is `data[i * row_stride + j * col_stride]`.
#[derive(Debug, Clone, Copy)]
pub struct MatRef<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

/// A matrix to write. Its elements have the places that [`MatRef`] gives; no two elements share one.
#[derive(Debug)]
pub struct MatMut<'a, T> {
    data: &'a mut [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T> MatRef<'a, T> {
    /// `rows` by `cols` elements of `data`, rows contiguous.
    ///
    /// # Panics
    ///
    /// When `data` does not have `rows * cols` elements.
    pub fn row_major(data: &'a [T], rows: usize, cols: usize) -> Self {
        check_len(data.len(), rows, cols);
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// `rows` by `cols` elements of `data` at any strides.
    ///
    /// # Panics
    ///
    /// When an element would lie outside `data`.
    pub fn strided(data: &'a [T], rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Self {
        check_reach(data.len(), rows, cols, row_stride, col_stride);
        Self { data, rows, cols, row_stride, col_stride }
    }

    /// The transpose, without a copy.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// The rows in `range`, without a copy.
    ///
    /// # Panics
    ///
    /// When `range` ends behind the last row.
    #[must_use]
    pub fn rows(self, range: Range<usize>) -> Self {
        let Range { start, end } = range;
        assert!(start <= end && end <= self.rows, "rows {start}..{end} of a matrix with {}", self.rows);
        // An empty range may begin behind the last element.
        let first = (start * self.row_stride).min(self.data.len());
        Self { data: &self.data[first..], rows: end - start, ..self }
    }
}

impl<'a, T> MatMut<'a, T> {
    /// `rows` by `cols` elements of `data`, rows contiguous.
    ///
    /// # Panics
    ///
    /// When `data` does not have `rows * cols` elements.
    pub fn row_major(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        check_len(data.len(), rows, cols);
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// `rows` by `cols` elements of `data`, at any strides that give each element a place of its own.
    ///
    /// # Panics
    ///
    /// When an element would lie outside `data`, or when two elements would share a place.
    pub fn strided(
        data: &'a mut [T],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Self {
        check_reach(data.len(), rows, cols, row_stride, col_stride);
        let rows_apart = rows <= 1 || row_stride > 0 || cols == 0;
        let cols_apart = cols <= 1 || col_stride > 0 || rows == 0;
        let nested = rows <= 1
            || cols <= 1
            || row_stride > (cols - 1) * col_stride
            || col_stride > (rows - 1) * row_stride;
        let apart = rows_apart && cols_apart && nested;
        assert!(
            apart,
            "elements of a {rows} x {cols} matrix with strides {row_stride} and {col_stride} overlap"
        );
        Self { data, rows, cols, row_stride, col_stride }
    }

    /// The same matrix, for a shorter time.
    fn by_ref(&mut self) -> MatMut<'_, T> {
        MatMut { data: self.data, ..*self }
    }

    /// The transpose, without a copy.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

fn check_len(len: usize, rows: usize, cols: usize) {
    // After an overflow this is usize::MAX, and no slice has that length.
    let needed = rows.saturating_mul(cols);
    assert_eq!(len, needed, "a {rows} x {cols} matrix needs {needed} elements, but the slice has {len}");
}

fn check_reach(len: usize, rows: usize, cols: usize, row_stride: usize, col_stride: usize) {
    let needed = if rows == 0 || cols == 0 {
        0
    } else {
        let last_row = (rows - 1).saturating_mul(row_stride);
        last_row.saturating_add((cols - 1).saturating_mul(col_stride)).saturating_add(1)
    };
    assert!(
        len >= needed,
        "a {rows} x {cols} matrix with strides {row_stride} and {col_stride} needs {needed} elements, but the slice has {len}"
    );
}

/// `c = a b` ([`Accum::Replace`]) or `c += a b` ([`Accum::Add`]); `a` is m x k, `b` k x n, `c` m x n.
///
/// Each element is a sum over `k`, in an order that depends only on shape, strides and level: in ascending
/// blocks. At `avx512`, a product with one row or one column may also be summed in vectors of partial sums.
/// Apart from that, the rows of a product have the bits that they have in a product with more rows of `a`.
/// The error is at most `k * EPSILON * sum |a||b|`. With `k = 0`, every sum is zero. NaN and infinities
/// propagate.
///
/// # Panics
///
/// When the shapes do not match.
///
/// ```
/// use isograd_kernels::{Accum, Isa, gemm::{MatMut, MatRef, gemm}};
/// let (a, b, mut c) = ([1.0f32, 2.0, 3.0, 4.0], [5.0, 6.0], [0.0; 2]);
/// let (a, b) = (MatRef::row_major(&a, 2, 2), MatRef::row_major(&b, 2, 1));
/// gemm(Isa::best(), a, b, Accum::Replace, MatMut::row_major(&mut c, 2, 1));
/// assert_eq!(c, [17.0, 39.0]);
/// ```
pub fn gemm<T: Element>(isa: Isa, a: MatRef<'_, T>, b: MatRef<'_, T>, accum: Accum, c: MatMut<'_, T>) {
    finished_gemm(isa, a, b, accum, c, RowFinish::NONE);
}

/// As [`gemm`] of f32s, with the elements of `a` and `b` rounded to bfloat16; sums are in f32.
///
/// Each element is a sum over `k` in ascending blocks, of pairs of terms. Rounding is to nearest, ties to
/// even, so beside the sum's own error the result has one of at most `2^-7 * sum |a||b|`. Subnormal factors
/// and sums count as zeros. The bits depend on shape, strides and level, as with `gemm`: a CPU without
/// instructions for bfloat16 gives the same ones, in more time than `gemm` takes.
///
/// # Panics
///
/// When the shapes do not match, and when `T` is f64.
///
/// ```
/// use isograd_kernels::{Accum, Isa, gemm::{MatMut, MatRef, gemm_bf16}};
/// let (a, b, mut c) = ([1.0f32, 2.0 + 1e-4, 3.0, 4.0], [5.0, 6.0], [0.0; 2]);
/// let (a, b) = (MatRef::row_major(&a, 2, 2), MatRef::row_major(&b, 2, 1));
/// gemm_bf16(Isa::best(), a, b, Accum::Replace, MatMut::row_major(&mut c, 2, 1));
/// assert_eq!(c, [17.0, 39.0]);
/// ```
pub fn gemm_bf16<T: Element>(isa: Isa, a: MatRef<'_, T>, b: MatRef<'_, T>, accum: Accum, c: MatMut<'_, T>) {
    finished_gemm_bf16(isa, a, b, accum, c, RowFinish::NONE);
}

/// [`gemm`] and then `finish`.
pub(crate) fn finished_gemm<T: Element>(
    isa: Isa,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    accum: Accum,
    mut c: MatMut<'_, T>,
    finish: RowFinish<'_, T>,
) {
    check_shapes(&a, &b, &c);
    finish.check(&c);
    let fits_faer =
        [(a.row_stride, a.col_stride), (b.row_stride, b.col_stride), (c.row_stride, c.col_stride)]
            .iter()
            .all(|(row, col)| *row == 1 || *col == 1);
    if isa.is_faers_choice() && fits_faer && faer_path::sums_alike(b.cols, a.cols) {
        let (rows, columns) = (0..c.rows, 0..c.cols);
        T::faer_product(a, b, accum, c.by_ref());
        finish.apply(isa, &mut c, rows, columns);
    } else {
        packed::gemm(isa, a, b, accum, c, finish);
    }
}

/// [`gemm_bf16`] and then `finish`.
pub(crate) fn finished_gemm_bf16<T: Element>(
    isa: Isa,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    accum: Accum,
    c: MatMut<'_, T>,
    finish: RowFinish<'_, T>,
) {
    check_shapes(&a, &b, &c);
    finish.check(&c);
    T::product_bf16(isa, a, b, accum, c, finish);
}

fn check_shapes<T>(a: &MatRef<'_, T>, b: &MatRef<'_, T>, c: &MatMut<'_, T>) {
    assert!(
        a.rows == c.rows && b.cols == c.cols && a.cols == b.rows,
        "shapes do not match: a {} x {} result for {} x {} times {} x {}",
        c.rows,
        c.cols,
        a.rows,
        a.cols,
        b.rows,
        b.cols
    );
}
