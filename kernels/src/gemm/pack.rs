//! Copies of parts of a matrix, in which the elements that a tile reads together are contiguous.

use super::MatRef;
use crate::element::Element;
use crate::simd::Level;
use crate::transpose::transpose;
use std::ops::Range;

/// Copies `terms` by `columns` of `b` to panels. A panel is `[term][column]`, so the panel whose first column
/// is number `j` of `columns` starts at `j * terms.len()`. `panel_width(left)` is the width of the next panel
/// when `left` columns are left; after the last column, panels have zeros.
#[inline(always)]
pub(super) fn pack<T: Element, S: Level>(
    s: S,
    b: &MatRef<'_, T>,
    terms: Range<usize>,
    columns: Range<usize>,
    panel_width: impl Fn(usize) -> usize,
    packed: &mut [T],
) {
    if b.col_stride == 1 {
        return pack_rows(b, terms, columns, panel_width, packed);
    }
    let (depth, mut done) = (terms.len(), 0);
    while done < columns.len() {
        let width = panel_width(columns.len() - done);
        let panel = &mut packed[done * depth..][..width * depth];
        let first = columns.start + done;
        if b.row_stride == 1 && columns.end - first >= width {
            let column = |j: usize| &b.data[(first + j) * b.col_stride + terms.start..][..depth];
            transpose(s, width, depth, column, panel);
        } else {
            for (term, row) in terms.clone().zip(panel.chunks_exact_mut(width)) {
                row.fill(T::ZERO);
                for (value, column) in row.iter_mut().zip(first..columns.end) {
                    *value = b.data[term * b.row_stride + column * b.col_stride];
                }
            }
        }
        done += width;
    }
}

/// [`pack`] for contiguous rows. Each row is read as a whole: rows of a panel alone are short and far apart,
/// and the processor would wait for memory at each.
#[inline(always)]
fn pack_rows<T: Element>(
    b: &MatRef<'_, T>,
    terms: Range<usize>,
    columns: Range<usize>,
    panel_width: impl Fn(usize) -> usize,
    packed: &mut [T],
) {
    let (depth, full) = (terms.len(), panel_width(usize::MAX));
    for (t, term) in terms.enumerate() {
        let row = &b.data[term * b.row_stride + columns.start..][..columns.len()];
        let mut done = 0;
        // Copies of constant length compile to a few instructions.
        while row.len() - done >= full {
            packed[done * depth + t * full..][..full].copy_from_slice(&row[done..][..full]);
            done += full;
        }
        while done < row.len() {
            let width = panel_width(row.len() - done);
            for (i, value) in packed[done * depth + t * width..][..width].iter_mut().enumerate() {
                *value = row.get(done + i).copied().unwrap_or(T::ZERO);
            }
            done += width;
        }
    }
}
