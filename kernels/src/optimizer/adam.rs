//! Adam, Nadam, and the direction of LAMB, which is that of Adam.

use super::{blend, decayed};
use crate::element::Element;
use crate::elementwise::{Lanewise, update};
use crate::isa::Isa;
use crate::simd::Level;

/// Hyper-parameters of [`adam`], [`nadam`] and [`lamb_direction`].
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
        self.corrected(self.corrections(step))
    }

    /// What [`at_step`](Self::at_step) computes, for [`corrected`](Self::corrected): the sums of the weights
    /// in the running means, `[1 - beta1^step, 1 - beta1^(step + 1), 1 - beta2^step]`. The powers take longer
    /// than the update of a few hundred parameters, so that code that updates small parts computes them once.
    ///
    /// # Panics
    /// When `step` is 0.
    pub fn corrections(&self, step: u64) -> [f64; 3] {
        assert!(step >= 1, "Adam: steps are counted from 1, but step is {step}");
        let missing = |beta, exponent: u64| 1.0 - libm::pow(beta, exponent as f64);
        [missing(self.beta1, step), missing(self.beta1, step + 1), missing(self.beta2, step)]
    }

    /// The update of the step that has these [`corrections`](Self::corrections).
    pub fn corrected(self, [mean, next_mean, square]: [f64; 3]) -> AdamStep {
        AdamStep { hyper: self, mean, next_mean, square }
    }
}

/// One step of [`adam`], [`nadam`] or [`lamb_direction`]. [`Adam::at_step`] makes it.
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

#[derive(Clone, Copy)]
struct LambDirection<T> {
    beta1: [T; 2],
    beta2: [T; 2],
    /// `1 / (1 - beta1^step)`.
    mean_scale: T,
    /// `1 / sqrt(1 - beta2^step)`.
    root_scale: T,
    eps: T,
    decay: T,
}

impl<T: Element> Lanewise<T, 3, 1> for LambDirection<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, [g, m, v]: [T::V<S>; 3], [w]: [T::V<S>; 1]) -> [T::V<S>; 3] {
        let m = blend(s, self.beta1, m, g);
        let v = blend(s, self.beta2, v, T::vmul(s, g, g));
        let root = T::mul_add(s, T::sqrt(s, v), T::splat(s, self.root_scale), T::splat(s, self.eps));
        let ratio = T::vdiv(s, T::vmul(s, T::splat(s, self.mean_scale), m), root);
        [T::mul_add(s, T::splat(s, self.decay), w, ratio), m, v]
    }
}

/// The direction of a LAMB step: `m` and `v` as in [`adam`], then
/// `r = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay * w`.
///
/// Overwrites the gradient `g` with `r`, and updates `m` and `v` in place; `w` stays. LAMB then takes the
/// step `w -= lr * |w| / |r| * r`, whose norms are those of a whole layer ([`descend`](super::descend)). The
/// weight decay is a part of the direction, and the learning rate of `step` is not used.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// You et al.: "Large batch optimization for deep learning: training BERT in 76 minutes", ICLR 2020,
/// algorithm 2.
pub fn lamb_direction<T: Element>(isa: Isa, step: &AdamStep, w: &[T], g: &mut [T], m: &mut [T], v: &mut [T]) {
    let AdamStep { hyper, mean, square, .. } = *step;
    let op = LambDirection {
        beta1: [hyper.beta1, 1.0 - hyper.beta1].map(T::from_f64),
        beta2: [hyper.beta2, 1.0 - hyper.beta2].map(T::from_f64),
        mean_scale: T::from_f64(mean.recip()),
        root_scale: T::from_f64(square.sqrt().recip()),
        eps: T::from_f64(hyper.eps),
        decay: T::from_f64(hyper.weight_decay),
    };
    update(isa, "lamb_direction", op, [g, m, v], [w]);
}
