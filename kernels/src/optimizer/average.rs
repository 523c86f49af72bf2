//! The exponential moving average.

use crate::element::Element;
use crate::elementwise::{Lanewise, update};
use crate::isa::Isa;
use crate::simd::Level;

#[derive(Clone, Copy)]
struct Average<T>(T);

impl<T: Element> Lanewise<T, 1, 1> for Average<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, [y]: [T::V<S>; 1], [x]: [T::V<S>; 1]) -> [T::V<S>; 1] {
        [T::mul_add(s, T::splat(s, self.0), T::vsub(s, x, y), y)]
    }
}

/// An exponential moving average: `y += (1 - decay) * (x - y)`.
///
/// Updates `y` in place. An average that is equal to `x` stays exactly as it is.
///
/// # Panics
/// When the lengths differ.
pub fn average<T: Element>(isa: Isa, decay: f64, x: &[T], y: &mut [T]) {
    update(isa, "average", Average(T::from_f64(1.0 - decay)), [y], [x]);
}
