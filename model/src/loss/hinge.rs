//! The hinge loss.

use super::{Loss, LossInput};
use isograd_kernels::{Element, loss};

/// `max(0, 1 + largest y of a wrong class - y of the class)`, of any numbers: it is 0 once the class leads by
/// 1. Targets are classes.
///
/// # Source
///
/// Crammer, Singer: "On the algorithmic implementation of multiclass kernel-based vector machines", JMLR 2,
/// 2001.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CategoricalHinge;

impl<T: Element> Loss<T> for CategoricalHinge {
    fn name(&self) -> &'static str {
        "categorical_hinge"
    }

    fn evaluate(&self, input: LossInput<'_, T>) -> f64 {
        let LossInput { isa, n, outputs, global_batch_size, output, targets, gradient, .. } = input;
        let (y, scale) = (output.of_network(), 1.0 / global_batch_size as f64);
        loss::categorical_hinge(isa, outputs, n, y, targets.classes(), scale, gradient)
    }
}
