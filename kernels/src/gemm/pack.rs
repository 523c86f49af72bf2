//! Copies of parts of a matrix, in which the elements that a tile reads together are contiguous.

use super::MatRef;
use crate::element::Element;
use crate::simd::Level;
use crate::transpose::transpose;
use std::ops::Range;

/// Copies `rows` by `columns` of `b` to `packed`, as `[rows][width]`. There are at most `width` columns; the
/// rest of each row is zero.
#[inline(always)]
pub(super) fn pack<T: Element, S: Level>(
    s: S,
    b: &MatRef<'_, T>,
    rows: Range<usize>,
    columns: Range<usize>,
    packed: &mut [T],
    width: usize,
) {
    let packed = &mut packed[..rows.len() * width];
    if b.row_stride == 1 && columns.len() == width {
        let column = |j: usize| &b.data[(columns.start + j) * b.col_stride + rows.start..][..rows.len()];
        return transpose(s, width, rows.len(), column, packed);
    }
    if columns.len() < width {
        packed.fill(T::ZERO);
    }
    for (row, packed) in rows.zip(packed.chunks_exact_mut(width)) {
        let (packed, start) =
            (&mut packed[..columns.len()], row * b.row_stride + columns.start * b.col_stride);
        if b.col_stride == 1 {
            for (packed, b) in packed.iter_mut().zip(&b.data[start..start + columns.len()]) {
                *packed = *b;
            }
        } else {
            for (column, packed) in packed.iter_mut().enumerate() {
                *packed = b.data[start + column * b.col_stride];
            }
        }
    }
}
