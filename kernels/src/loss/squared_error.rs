//! The squared error.

use super::pairs::{self, PairLoss};
use crate::element::Element;
use crate::elementwise::Lanewise;
use crate::isa::Isa;
use crate::simd::Level;

#[derive(Clone, Copy)]
struct SquaredError;

impl PairLoss for SquaredError {
    #[inline(always)]
    fn of(self, y: f64, t: f64) -> f64 {
        let d = y - t;
        d * d
    }
}

#[derive(Clone, Copy)]
struct ScaledDifference<T>(T);

impl<T: Element> Lanewise<T, 1, 2> for ScaledDifference<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, _: [T::V<S>; 1], [y, t]: [T::V<S>; 2]) -> [T::V<S>; 1] {
        [T::vmul(s, T::splat(s, self.0), T::vsub(s, y, t))]
    }
}

/// The squared error: the sum over all elements of `(y[i] - t[i])^2`. For a mean, the caller divides.
///
/// `y`, `t` and `dy` have one length. Overwrites `dy`, if given, with `scale * 2 (y - t)`. The sum is
/// computed in f64, with element `i` in partial sum `i mod 8`, and has the same bits at every level. NaN
/// makes the sum and the gradient NaN.
///
/// # Panics
/// When the lengths differ.
pub fn mean_squared_error<T: Element>(isa: Isa, y: &[T], t: &[T], scale: f64, dy: Option<&mut [T]>) -> f64 {
    let gradient = ScaledDifference(T::from_f64(2.0 * scale));
    pairs::run(isa, "mean_squared_error", SquaredError, gradient, [y, t], dy)
}
