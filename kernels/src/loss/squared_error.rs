//! The squared error.

use super::check_len;
use crate::element::Element;
use crate::elementwise::{Lanewise, update};
use crate::isa::Isa;
use crate::simd::{Kernel, Level};

struct SquaredError<'a, T> {
    y: &'a [T],
    t: &'a [T],
}

impl<T: Element> Kernel for SquaredError<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Level>(self, _: S) -> f64 {
        // This plain loop has eight independent sums, so that the compiler can vectorise it.
        let (y, y_rest) = self.y.as_chunks::<8>();
        let (t, t_rest) = self.t.as_chunks::<8>();
        let mut sums = [0.0; 8];
        for (y, t) in y.iter().zip(t) {
            for lane in 0..8 {
                let d = y[lane].to_f64() - t[lane].to_f64();
                sums[lane] += d * d;
            }
        }
        for (sum, (y, t)) in sums.iter_mut().zip(y_rest.iter().zip(t_rest)) {
            let d = y.to_f64() - t.to_f64();
            *sum += d * d;
        }
        let [a, b, c, d, e, f, g, h] = sums;
        ((a + b) + (c + d)) + ((e + f) + (g + h))
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
    check_len("mean_squared_error", "t", t, y.len());
    if let Some(dy) = dy {
        update(isa, "mean_squared_error", ScaledDifference(T::from_f64(2.0 * scale)), [dy], [y, t]);
    }
    isa.run(SquaredError { y, t })
}
