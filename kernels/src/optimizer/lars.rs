//! LARS: momentum whose velocity contains the learning rate of the layer.

use crate::element::Element;
use crate::elementwise::{Lanewise, update};
use crate::isa::Isa;
use crate::simd::Level;

/// Hyper-parameters of [`lars`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lars {
    /// Learning rate of the layer: the global one times the layer's trust ratio.
    pub lr: f64,
    /// The share of the velocity that a step keeps, in [0, 1).
    pub momentum: f64,
    /// Weight decay; 0 for none. It is a part of the gradient.
    pub weight_decay: f64,
}

#[derive(Clone, Copy)]
struct LarsUpdate<T> {
    lr: T,
    momentum: T,
    weight_decay: T,
}

impl<T: Element> Lanewise<T, 2, 1> for LarsUpdate<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, [w, v]: [T::V<S>; 2], [g]: [T::V<S>; 1]) -> [T::V<S>; 2] {
        let gradient = T::mul_add(s, T::splat(s, self.weight_decay), w, g);
        let kept = T::vmul(s, T::splat(s, self.momentum), v);
        let v = T::mul_add(s, T::splat(s, self.lr), gradient, kept);
        [T::vsub(s, w, v), v]
    }
}

/// A step of LARS in one layer: `v = momentum * v + lr * (g + weight_decay * w)`, then `w -= v`.
///
/// Updates `w` and `v` in place. Unlike that of [`sgd`](super::sgd), the velocity contains the learning
/// rate, which differs from layer to layer and from step to step.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// You, Gitman, Ginsburg: "Large batch training of convolutional networks", 2017, algorithm 1.
pub fn lars<T: Element>(isa: Isa, hyper: &Lars, g: &[T], w: &mut [T], v: &mut [T]) {
    let op = LarsUpdate {
        lr: T::from_f64(hyper.lr),
        momentum: T::from_f64(hyper.momentum),
        weight_decay: T::from_f64(hyper.weight_decay),
    };
    update(isa, "lars", op, [w, v], [g]);
}
