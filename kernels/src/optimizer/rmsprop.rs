//! RMSProp.

use super::{blend, decayed};
use crate::element::Element;
use crate::elementwise::{Lanewise, update};
use crate::isa::Isa;
use crate::simd::Level;

/// Hyper-parameters of [`rmsprop`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsProp {
    /// Learning rate.
    pub lr: f64,
    /// The share of the mean square that a step keeps, in [0, 1).
    pub rho: f64,
    /// Added to the root, so that the step stays bounded where gradients are tiny.
    pub eps: f64,
    /// Decoupled weight decay; 0 for none.
    pub weight_decay: f64,
}

#[derive(Clone, Copy)]
struct RmsPropUpdate<T> {
    neg_lr: T,
    rho: [T; 2],
    eps: T,
    decay: T,
}

impl<T: Element> Lanewise<T, 2, 1> for RmsPropUpdate<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, [w, v]: [T::V<S>; 2], [g]: [T::V<S>; 1]) -> [T::V<S>; 2] {
        let v = blend(s, self.rho, v, T::vmul(s, g, g));
        let root = T::vadd(s, T::sqrt(s, v), T::splat(s, self.eps));
        let step = T::vdiv(s, T::vmul(s, T::splat(s, self.neg_lr), g), root);
        [T::vadd(s, decayed(s, self.decay, w), step), v]
    }
}

/// RMSProp: `v = rho * v + (1 - rho) * g^2`, then `w -= lr * g / (sqrt(v) + eps)`.
///
/// Updates `w` and `v` in place. Without weight decay, this is PyTorch's `RMSprop`, not centred and without
/// momentum. PyTorch's weight decay differs: it is part of the gradient.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// Tieleman, Hinton: "Neural networks for machine learning", lecture 6.5, 2012. PyTorch added `eps`.
pub fn rmsprop<T: Element>(isa: Isa, hyper: &RmsProp, g: &[T], w: &mut [T], v: &mut [T]) {
    let op = RmsPropUpdate {
        neg_lr: T::from_f64(-hyper.lr),
        rho: [T::from_f64(hyper.rho), T::from_f64(1.0 - hyper.rho)],
        eps: T::from_f64(hyper.eps),
        decay: T::from_f64(hyper.lr * hyper.weight_decay),
    };
    update(isa, "rmsprop", op, [w, v], [g]);
}
