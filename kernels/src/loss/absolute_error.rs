//! The absolute error, and the Huber loss, which is quadratic near 0.

use super::pairs::{self, PairLoss};
use crate::element::Element;
use crate::elementwise::Lanewise;
use crate::isa::Isa;
use crate::simd::Level;

#[derive(Clone, Copy)]
struct AbsoluteError;

impl PairLoss for AbsoluteError {
    #[inline(always)]
    fn of(self, y: f64, t: f64) -> f64 {
        (y - t).abs()
    }
}

#[derive(Clone, Copy)]
struct ScaledSign<T>(T);

impl<T: Element> Lanewise<T, 1, 2> for ScaledSign<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, _: [T::V<S>; 1], [y, t]: [T::V<S>; 2]) -> [T::V<S>; 1] {
        let (zero, scale, d) = (T::zero(s), T::splat(s, self.0), T::vsub(s, y, t));
        // What is neither above nor below 0 is 0 or NaN, and its own gradient.
        let below = T::select(s, T::less_than(s, d, zero), T::vneg(s, scale), d);
        [T::select(s, T::less_than(s, zero, d), scale, below)]
    }
}

/// The absolute error (L1): the sum over all elements of `|y[i] - t[i]|`. For a mean, the caller divides.
///
/// `y`, `t` and `dy` have one length. Overwrites `dy`, if given, with `scale * sign(y - t)`, which is 0 where
/// the two are equal. The sum is computed in f64, with element `i` in partial sum `i mod 8`, and has the same
/// bits at every level. NaN makes the sum and the gradient NaN.
///
/// # Panics
/// When the lengths differ.
pub fn mean_absolute_error<T: Element>(isa: Isa, y: &[T], t: &[T], scale: f64, dy: Option<&mut [T]>) -> f64 {
    let gradient = ScaledSign(T::from_f64(scale));
    pairs::run(isa, "mean_absolute_error", AbsoluteError, gradient, [y, t], dy)
}

/// The difference at which the loss becomes linear.
#[derive(Clone, Copy)]
struct Huber(f64);

impl PairLoss for Huber {
    #[inline(always)]
    fn of(self, y: f64, t: f64) -> f64 {
        let d = y - t;
        // `clamp` keeps NaN.
        let slope = d.clamp(-self.0, self.0);
        slope * (d - 0.5 * slope)
    }
}

#[derive(Clone, Copy)]
struct ClampedDifference<T> {
    scale: T,
    delta: T,
}

impl<T: Element> Lanewise<T, 1, 2> for ClampedDifference<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, _: [T::V<S>; 1], [y, t]: [T::V<S>; 2]) -> [T::V<S>; 1] {
        let (d, delta) = (T::vsub(s, y, t), T::splat(s, self.delta));
        let minus_delta = T::vneg(s, delta);
        let d = T::select(s, T::less_than(s, delta, d), delta, d);
        let d = T::select(s, T::less_than(s, d, minus_delta), minus_delta, d);
        [T::vmul(s, T::splat(s, self.scale), d)]
    }
}

/// The Huber loss: the sum over all elements of `d^2 / 2` where `|d| <= delta` and `delta (|d| - delta / 2)`
/// elsewhere, with `d = y[i] - t[i]`. For a mean, the caller divides.
///
/// `y`, `t` and `dy` have one length. Overwrites `dy`, if given, with `scale * min(max(d, -delta), delta)`.
/// The sum is computed in f64, with element `i` in partial sum `i mod 8`, and has the same bits at every
/// level. NaN makes the sum and the gradient NaN.
///
/// # Panics
/// When the lengths differ, or `delta` is not above 0.
///
/// # Source
/// Huber: "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.
pub fn huber<T: Element>(isa: Isa, delta: f64, y: &[T], t: &[T], scale: f64, dy: Option<&mut [T]>) -> f64 {
    assert!(delta > 0.0, "huber: delta is {delta}, but must be above 0");
    let gradient = ClampedDifference { scale: T::from_f64(scale), delta: T::from_f64(delta) };
    pairs::run(isa, "huber", Huber(delta), gradient, [y, t], dy)
}
