//! Gradient descent, with and without momentum.

use super::decayed;
use crate::element::Element;
use crate::elementwise::{Lanewise, update};
use crate::isa::Isa;
use crate::simd::Level;

/// Hyper-parameters of [`sgd`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// The share of the velocity that a step keeps, in [0, 1); 0 is plain gradient descent.
    pub momentum: f64,
    /// Whether the step looks ahead along the new velocity (Nesterov).
    pub nesterov: bool,
    /// Decoupled weight decay; 0 for none.
    pub weight_decay: f64,
}

#[derive(Clone, Copy)]
struct SgdUpdate<T> {
    neg_lr: T,
    momentum: T,
    nesterov: bool,
    decay: T,
}

impl<T: Element> Lanewise<T, 2, 1> for SgdUpdate<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, [w, v]: [T::V<S>; 2], [g]: [T::V<S>; 1]) -> [T::V<S>; 2] {
        let momentum = T::splat(s, self.momentum);
        let v = T::mul_add(s, momentum, v, g);
        let step = if self.nesterov { T::mul_add(s, momentum, v, g) } else { v };
        [T::mul_add(s, T::splat(s, self.neg_lr), step, decayed(s, self.decay, w)), v]
    }
}

/// Stochastic gradient descent with momentum: `v = momentum * v + g`, then `w -= lr * v`, or with Nesterov's
/// look-ahead `w -= lr * (g + momentum * v)`.
///
/// Updates `w` and `v` in place. Without weight decay, this is PyTorch's `SGD` with dampening 0. PyTorch's
/// weight decay differs: it is part of the gradient.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// Sutskever, Martens, Dahl, Hinton: "On the importance of initialization and momentum in deep learning",
/// ICML 2013, in the form whose velocity does not contain the learning rate.
pub fn sgd<T: Element>(isa: Isa, hyper: &Sgd, g: &[T], w: &mut [T], v: &mut [T]) {
    let op = SgdUpdate {
        neg_lr: T::from_f64(-hyper.lr),
        momentum: T::from_f64(hyper.momentum),
        nesterov: hyper.nesterov,
        decay: T::from_f64(hyper.lr * hyper.weight_decay),
    };
    update(isa, "sgd", op, [w, v], [g]);
}

#[derive(Clone, Copy)]
struct Descent<T> {
    neg_lr: T,
    decay: T,
}

impl<T: Element> Lanewise<T, 1, 1> for Descent<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, [w]: [T::V<S>; 1], [g]: [T::V<S>; 1]) -> [T::V<S>; 1] {
        [T::mul_add(s, T::splat(s, self.neg_lr), g, decayed(s, self.decay, w))]
    }
}

/// A step along `g` without momentum: `w -= decay * w`, then `w -= lr * g`.
///
/// Updates `w` in place. With `decay = lr * weight_decay`, this is [`sgd`] with a momentum of 0, but without
/// its velocity. Optimizers that compute a direction of their own take their step with it.
///
/// # Panics
/// When the lengths differ.
pub fn descend<T: Element>(isa: Isa, lr: f64, decay: f64, g: &[T], w: &mut [T]) {
    let op = Descent { neg_lr: T::from_f64(-lr), decay: T::from_f64(decay) };
    update(isa, "descend", op, [w], [g]);
}
