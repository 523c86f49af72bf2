//! What follows the sums of a product: a bias, an addition, an activation.
//!
//! Kernels do this for a strip of rows as soon as its sums are complete, while the strip is in the cache:
//! with few terms, a pass over the result takes as long as the product.

use super::MatMut;
use crate::element::Element;
use crate::{Activation, Finish, Isa, activation, elementwise};
use std::ops::Range;

/// What follows the sums of a matrix with contiguous rows.
#[derive(Debug, Clone, Copy)]
pub struct RowFinish<'a, T> {
    /// Added to all elements of a row; one for each row.
    pub bias: Option<&'a [T]>,
    /// Its addend has the strides of the matrix.
    pub finish: Finish<'a, T>,
}

impl<T: Element> RowFinish<'_, T> {
    /// Nothing follows.
    pub(crate) const NONE: Self =
        Self { bias: None, finish: Finish { addend: None, activation: Activation::Identity } };

    /// Finishes `rows` by `columns` of `c`.
    pub(super) fn apply(&self, isa: Isa, c: &mut MatMut<'_, T>, rows: Range<usize>, columns: Range<usize>) {
        let Finish { addend, activation } = self.finish;
        if self.bias.is_none() && addend.is_none() && activation == Activation::Identity {
            return;
        }
        assert_eq!(c.col_stride, 1, "only contiguous rows are finished");
        for row in rows {
            let start = row * c.row_stride + columns.start;
            let y = &mut c.data[start..][..columns.len()];
            let addend = addend.map(|addend| &addend[start..][..columns.len()]);
            match (self.bias, addend) {
                (Some(bias), _) => elementwise::add_scalar(isa, bias[row], Finish { addend, activation }, y),
                (None, Some(addend)) => elementwise::add_assign(isa, addend, activation, y),
                (None, None) => activation::apply_in_place(isa, activation, y),
            }
        }
    }
}
