//! Optimizer updates of flat parameters: SGD, RMSProp, Adam, Nadam, and the parts of LARS, LAMB and Muon.
//!
//! The gradients `g`, the parameters `w` and the state slices `m` and `v` have equal lengths. The state
//! starts at zero. An update is one pass: it reads each value once, and writes each parameter and state value
//! once. Scalars are computed in f64 and rounded to the element type once.
//!
//! Weight decay is decoupled unless a function says otherwise (Loshchilov, Hutter: "Decoupled weight decay
//! regularization", ICLR 2019): `w -= lr * weight_decay * w` comes before the step and does not change the
//! state. A weight decay of 0 leaves `w` exactly as it is.
//!
//! A NaN gradient makes the parameter and its state NaN.

mod adam;
mod average;
mod lars;
mod muon;
mod rmsprop;
mod sgd;

pub use adam::{Adam, AdamStep, adam, lamb_direction, nadam};
pub use average::average;
pub use lars::{Lars, lars};
pub use muon::momentum;
pub use rmsprop::{RmsProp, rmsprop};
pub use sgd::{Sgd, descend, sgd};

use crate::element::Element;
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
