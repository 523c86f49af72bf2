//! The bias, the addition and the activation after the sums of a product.
//!
//! Kernels finish a strip of rows as soon as its sums are complete, while the strip is in the cache: with
//! few terms, a pass over the result takes as long as the product.

use super::MatMut;
use crate::element::Element;
use crate::{Activation, Finish, Isa, activation, elementwise};
use std::ops::Range;

/// A bias, an addend and an activation for a matrix with contiguous rows.
#[derive(Debug, Clone, Copy)]
pub struct RowFinish<'a, T> {
    /// Added to all elements of a row; one for each row.
    pub bias: Option<&'a [T]>,
    /// Its addend has the strides of the matrix.
    pub finish: Finish<'a, T>,
}

impl<T: Element> RowFinish<'_, T> {
    /// The sums stay as they are.
    pub(crate) const NONE: Self =
        Self { bias: None, finish: Finish { addend: None, activation: Activation::Identity } };

    /// Panics if there is something to do for a matrix whose rows are not contiguous: a kernel may take it as
    /// its transpose, whose rows have other biases.
    pub(super) fn check(&self, c: &MatMut<'_, T>) {
        let MatMut { row_stride, col_stride, .. } = *c;
        assert!(
            self.is_none() || col_stride == 1,
            "a result with strides {row_stride} and {col_stride} cannot be finished: its rows are not contiguous"
        );
    }

    fn is_none(&self) -> bool {
        let Finish { addend, activation } = self.finish;
        self.bias.is_none() && addend.is_none() && activation == Activation::Identity
    }

    /// Finishes `rows` by `columns` of `c`.
    pub(super) fn apply(&self, isa: Isa, c: &mut MatMut<'_, T>, rows: Range<usize>, columns: Range<usize>) {
        if self.is_none() || columns.is_empty() {
            return;
        }
        let Finish { addend, activation } = self.finish;
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
