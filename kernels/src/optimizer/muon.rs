//! The momentum of Muon, whose direction is then made orthogonal.

use super::blend;
use crate::element::Element;
use crate::elementwise::{Lanewise, update};
use crate::isa::Isa;
use crate::simd::Level;

#[derive(Clone, Copy)]
struct Momentum<T> {
    /// The shares of the old mean and of the gradient.
    shares: [T; 2],
    nesterov: bool,
}

impl<T: Element> Lanewise<T, 2, 0> for Momentum<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, [g, v]: [T::V<S>; 2], _: [T::V<S>; 0]) -> [T::V<S>; 2] {
        let v = blend(s, self.shares, v, g);
        let direction = if self.nesterov { blend(s, self.shares, v, g) } else { v };
        [direction, v]
    }
}

/// The running mean of the gradients as a direction: `v = momentum * v + (1 - momentum) * g`, then `g = v`,
/// or with Nesterov's look-ahead `g = momentum * v + (1 - momentum) * g`.
///
/// Updates `v` in place, and overwrites the gradient `g` with the direction.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// Jordan et al.: "Muon: an optimizer for hidden layers in neural networks", 2024.
pub fn momentum<T: Element>(isa: Isa, momentum: f64, nesterov: bool, g: &mut [T], v: &mut [T]) {
    let op = Momentum { shares: [momentum, 1.0 - momentum].map(T::from_f64), nesterov };
    update(isa, "momentum", op, [g, v], []);
}
