//! Optimizer updates of flat parameters: SGD, RMSProp, Adam and Nadam.
//!
//! The gradients `g`, the parameters `w` and the state slices `m` and `v` have equal lengths. The state
//! starts at zero. An update is one pass: it reads each value once, and writes each parameter and state value
//! once. Scalars are computed in f64 and rounded to the element type once.
//!
//! Weight decay is decoupled in all of them (Loshchilov, Hutter: "Decoupled weight decay regularization",
//! ICLR 2019): `w -= lr * weight_decay * w` comes before the step and does not change the state. A weight
//! decay of 0 leaves `w` exactly as it is.
//!
//! A NaN gradient makes the parameter and its state NaN.

use crate::element::Element;
use crate::elementwise::{Lanewise, update};
use crate::isa::Isa;
use crate::simd::Level;

/// `w - decay * w`; exactly `w` when `decay` is 0.
#[inline(always)]
fn decayed<T: Element, S: Level>(s: S, decay: T, w: T::V<S>) -> T::V<S> {
    if decay == T::ZERO { w } else { T::mul_add(s, T::splat(s, -decay), w, w) }
}

/// `a * x + b * y`.
#[inline(always)]
fn blend<T: Element, S: Level>(s: S, [a, b]: [T; 2], x: T::V<S>, y: T::V<S>) -> T::V<S> {
    T::mul_add(s, T::splat(s, a), x, T::vmul(s, T::splat(s, b), y))
}

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

/// Hyper-parameters of [`adam`] and [`nadam`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// The share of the mean gradient that a step keeps, in [0, 1).
    pub beta1: f64,
    /// The share of the mean square that a step keeps, in [0, 1).
    pub beta2: f64,
    /// Added to the root, so that the step stays bounded where gradients are tiny.
    pub eps: f64,
    /// Decoupled weight decay; 0 for none.
    pub weight_decay: f64,
}

impl Adam {
    /// The update of step `step`, counted from 1.
    ///
    /// The running means start at zero, so they are too small at first. The correction depends only on the
    /// step; it is computed here once for all parameters.
    ///
    /// # Panics
    /// When `step` is 0.
    pub fn at_step(self, step: u64) -> AdamStep {
        assert!(step >= 1, "Adam: steps are counted from 1, but step is {step}");
        let missing = |beta, exponent: u64| 1.0 - libm::pow(beta, exponent as f64);
        AdamStep {
            hyper: self,
            mean: missing(self.beta1, step),
            next_mean: missing(self.beta1, step + 1),
            square: missing(self.beta2, step),
        }
    }
}

/// One step of [`adam`] or [`nadam`]. [`Adam::at_step`] makes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    hyper: Adam,
    /// `1 - beta1^step`.
    mean: f64,
    /// `1 - beta1^(step + 1)`.
    next_mean: f64,
    /// `1 - beta2^step`.
    square: f64,
}

/// The update of Adam and Nadam. Adam's step is made from `m`, Nadam's from `m` and `g`.
#[derive(Clone, Copy)]
struct AdamUpdate<T, const NESTEROV: bool> {
    beta1: [T; 2],
    beta2: [T; 2],
    /// The factors of `m` and of `g` in the step: `-lr` and the bias corrections. Adam's factor of `g` is 0.
    rates: [T; 2],
    /// `1 / sqrt(1 - beta2^step)`.
    root_scale: T,
    eps: T,
    decay: T,
}

impl<T: Element, const NESTEROV: bool> AdamUpdate<T, NESTEROV> {
    fn new(step: &AdamStep) -> Self {
        let AdamStep { hyper, mean, next_mean, square } = *step;
        let rates = if NESTEROV {
            [-hyper.lr * hyper.beta1 / next_mean, -hyper.lr * (1.0 - hyper.beta1) / mean]
        } else {
            [-hyper.lr / mean, 0.0]
        };
        Self {
            beta1: [hyper.beta1, 1.0 - hyper.beta1].map(T::from_f64),
            beta2: [hyper.beta2, 1.0 - hyper.beta2].map(T::from_f64),
            rates: rates.map(T::from_f64),
            root_scale: T::from_f64(square.sqrt().recip()),
            eps: T::from_f64(hyper.eps),
            decay: T::from_f64(hyper.lr * hyper.weight_decay),
        }
    }
}

impl<T: Element, const NESTEROV: bool> Lanewise<T, 3, 1> for AdamUpdate<T, NESTEROV> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, [w, m, v]: [T::V<S>; 3], [g]: [T::V<S>; 1]) -> [T::V<S>; 3] {
        let m = blend(s, self.beta1, m, g);
        let v = blend(s, self.beta2, v, T::vmul(s, g, g));
        let root = T::mul_add(s, T::sqrt(s, v), T::splat(s, self.root_scale), T::splat(s, self.eps));
        let rise =
            if NESTEROV { blend(s, self.rates, m, g) } else { T::vmul(s, T::splat(s, self.rates[0]), m) };
        [T::vadd(s, decayed(s, self.decay, w), T::vdiv(s, rise, root)), m, v]
    }
}

/// Adam: with `t` the step, `m = beta1 m + (1 - beta1) g`, `v = beta2 v + (1 - beta2) g^2`, then
/// `w -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)`.
///
/// Updates `w`, `m` and `v` in place. This is PyTorch's `AdamW`, and without weight decay also PyTorch's
/// `Adam`. Instead of dividing by `sqrt(1 - beta2^t)`, it multiplies by the reciprocal.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// Kingma, Ba: "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
pub fn adam<T: Element>(isa: Isa, step: &AdamStep, g: &[T], w: &mut [T], m: &mut [T], v: &mut [T]) {
    update(isa, "adam", AdamUpdate::<T, false>::new(step), [w, m, v], [g]);
}

/// Adam with Nesterov momentum: `m` and `v` as in [`adam`], then
/// `w -= lr * n / (sqrt(v / (1 - beta2^t)) + eps)` with
/// `n = beta1 m / (1 - beta1^(t+1)) + (1 - beta1) g / (1 - beta1^t)`.
///
/// Updates `w`, `m` and `v` in place.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// Dozat: "Incorporating Nesterov momentum into Adam", ICLR workshop 2016, but `beta1` is constant and has no
/// schedule.
pub fn nadam<T: Element>(isa: Isa, step: &AdamStep, g: &[T], w: &mut [T], m: &mut [T], v: &mut [T]) {
    update(isa, "nadam", AdamUpdate::<T, true>::new(step), [w, m, v], [g]);
}
