//! Copies of parts of a matrix, in which the elements that a tile reads together are contiguous.

use super::MatRef;
use crate::element::Element;
use std::ops::Range;

/// The side of the squares in which a transposed part is copied. A square stays in registers or in a few
/// cache lines.
const SQUARE: usize = 8;

/// Copies `rows` by `columns` of `b` to `packed`, as `[rows][width]`. There are at most `width` columns; the
/// rest of each row is zero.
#[inline(always)]
pub(super) fn pack<T: Element>(
    b: &MatRef<'_, T>,
    rows: Range<usize>,
    columns: Range<usize>,
    packed: &mut [T],
    width: usize,
) {
    let packed = &mut packed[..rows.len() * width];
    if columns.len() < width {
        packed.fill(T::ZERO);
    }
    if b.col_stride == 1 {
        for (row, packed) in rows.zip(packed.chunks_exact_mut(width)) {
            let start = row * b.row_stride + columns.start;
            for (packed, b) in packed.iter_mut().zip(&b.data[start..start + columns.len()]) {
                *packed = *b;
            }
        }
        return;
    }
    for first_column in (0..columns.len()).step_by(SQUARE) {
        let across = SQUARE.min(columns.len() - first_column);
        for first_row in (0..rows.len()).step_by(SQUARE) {
            let down = SQUARE.min(rows.len() - first_row);
            let (row, column) = (rows.start + first_row, columns.start + first_column);
            let source = &b.data[row * b.row_stride + column * b.col_stride..];
            let target = &mut packed[first_row * width + first_column..];
            if b.row_stride == 1 && across == SQUARE && down == SQUARE {
                transpose(source, b.col_stride, target, width);
            } else {
                for i in 0..down {
                    for j in 0..across {
                        target[i * width + j] = source[i * b.row_stride + j * b.col_stride];
                    }
                }
            }
        }
    }
}

/// `target[i][j] = source[j][i]` for a square. The strides are the distances from one `j` to the next in the
/// source, and from one `i` to the next in the target.
#[inline(always)]
fn transpose<T: Element>(source: &[T], source_stride: usize, target: &mut [T], target_stride: usize) {
    let mut square = [[T::ZERO; SQUARE]; SQUARE];
    for (j, column) in square.iter_mut().enumerate() {
        column.copy_from_slice(&source[j * source_stride..][..SQUARE]);
    }
    for i in 0..SQUARE {
        let mut row = [T::ZERO; SQUARE];
        for j in 0..SQUARE {
            row[j] = square[j][i];
        }
        target[i * target_stride..][..SQUARE].copy_from_slice(&row);
    }
}
