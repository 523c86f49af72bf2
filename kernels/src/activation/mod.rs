//! Activation functions, forward and backward, on slices of any equal length.
//!
//! Every function is element-wise, so none takes a shape. A backward function takes the output `y` of the
//! forward function where the output tells the slope, because the input need not be kept then. Where it does
//! not, the backward function takes the input `x`: those of arctanh, SiLU, both forms of GELU, and
//! hard-swish. Every function gives NaN for NaN.

mod piecewise;
mod smooth;

pub(crate) use piecewise::between;
pub use piecewise::{
    hard_sigmoid, hard_sigmoid_backward, hard_swish, hard_swish_backward, leaky_relu, leaky_relu_backward,
    relu6, relu6_backward,
};
pub use smooth::{
    elu, elu_backward, gelu, gelu_backward, gelu_tanh, gelu_tanh_backward, silu, silu_backward, softplus,
    softplus_backward,
};

use crate::Activation;
use crate::element::Element;
use crate::elementwise::{Lanewise, lanewise, update};
use crate::exp::map_lanes;
use crate::isa::Isa;
use crate::simd::Level;

lanewise!(Relu<1, 1>, s, [_], [x] => [T::relu(s, x)]);
lanewise!(ReluInPlace<1, 0>, s, [y], [] => [T::relu(s, y)]);
lanewise!(Relu6InPlace<1, 0>, s, [y], [] => [T::relu6(s, y)]);
lanewise!(ReluBackward<1, 2>, s, [_], [y, dy] => [relu_backward_lanes::<T, S>(s, y, dy)]);
lanewise!(ReluBackwardInPlace<1, 1>, s, [dy], [y] => [relu_backward_lanes::<T, S>(s, y, dy)]);

#[inline(always)]
fn relu_backward_lanes<T: Element, S: Level>(s: S, y: T::V<S>, dy: T::V<S>) -> T::V<S> {
    T::select(s, T::less_or_equal(s, y, T::zero(s)), T::zero(s), dy)
}

/// The rectified linear unit: `y[i] = max(x[i], 0)`; overwrites `y`. Exact; NaN stays NaN.
///
/// # Panics
/// When the lengths differ.
pub fn relu<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    update(isa, "relu", Relu, [y], [x]);
}

/// Applies a function in place: `y[i] = activation(y[i])`. Exact; NaN stays NaN.
pub fn apply_in_place<T: Element>(isa: Isa, activation: Activation, y: &mut [T]) {
    match activation {
        Activation::Identity => {}
        Activation::Relu => update(isa, "apply_in_place", ReluInPlace, [y], []),
        Activation::Relu6 => update(isa, "apply_in_place", Relu6InPlace, [y], []),
    }
}

/// The gradient of [`relu`]: `dx[i] = dy[i]` where `y[i] > 0`, else 0; overwrites `dx`.
///
/// `y` may be the output or the input of the forward pass. Where `y` is NaN, `dx` is `dy`.
///
/// # Panics
/// When the lengths differ.
pub fn relu_backward<T: Element>(isa: Isa, y: &[T], dy: &[T], dx: &mut [T]) {
    update(isa, "relu_backward", ReluBackward, [dx], [y, dy]);
}

/// [`relu_backward`] in place: `dy[i] = 0` where `y[i] <= 0`.
///
/// # Panics
/// When the lengths differ.
pub fn relu_backward_in_place<T: Element>(isa: Isa, y: &[T], dy: &mut [T]) {
    update(isa, "relu_backward_in_place", ReluBackwardInPlace, [dy], [y]);
}

lanewise!(Sigmoid<1, 1>, s, [_], [x] => {
    let one = T::splat(s, T::ONE);
    [T::vdiv(s, one, T::vadd(s, one, T::exp(s, T::vneg(s, x))))]
});
lanewise!(SigmoidBackward<1, 2>, s, [_], [y, dy] => {
    let slope = T::vmul(s, y, T::vsub(s, T::splat(s, T::ONE), y));
    [T::vmul(s, dy, slope)]
});

/// The logistic function: `y[i] = 1 / (1 + e^-x[i])`; overwrites `y`.
///
/// The result is within 3 ULP where it is normal. In f32, it is 0 below -88.7, where it would be subnormal.
///
/// # Panics
/// When the lengths differ.
pub fn sigmoid<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    update(isa, "sigmoid", Sigmoid, [y], [x]);
}

/// The gradient of [`sigmoid`] from its output: `dx[i] = dy[i] * y[i] * (1 - y[i])`; overwrites `dx`.
///
/// # Panics
/// When the lengths differ.
pub fn sigmoid_backward<T: Element>(isa: Isa, y: &[T], dy: &[T], dx: &mut [T]) {
    update(isa, "sigmoid_backward", SigmoidBackward, [dx], [y, dy]);
}

lanewise!(Tanh<1, 1>, s, [_], [x] => [T::tanh(s, x)]);
lanewise!(TanhBackward<1, 2>, s, [_], [y, dy] => {
    let one = T::splat(s, T::ONE);
    let slope = T::vmul(s, T::vsub(s, one, y), T::vadd(s, one, y));
    [T::vmul(s, dy, slope)]
});

/// The hyperbolic tangent: `y[i] = tanh(x[i])`; overwrites `y`.
///
/// The result is within 3 ULP everywhere, also near 0. It cannot overflow.
///
/// # Panics
/// When the lengths differ.
pub fn tanh<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    update(isa, "tanh", Tanh, [y], [x]);
}

/// The gradient of [`tanh`] from its output: `dx[i] = dy[i] * (1 - y[i]^2)`; overwrites `dx`.
///
/// The slope is computed as `(1 - y)(1 + y)`, which stays accurate where `y` is close to -1 or 1.
///
/// # Panics
/// When the lengths differ.
pub fn tanh_backward<T: Element>(isa: Isa, y: &[T], dy: &[T], dx: &mut [T]) {
    update(isa, "tanh_backward", TanhBackward, [dx], [y, dy]);
}

lanewise!(LogSigmoid<1, 1>, _, [_], [x] => [map_lanes::<T, S>(x, log_sigmoid_scalar)]);
lanewise!(LogSigmoidBackward<1, 2>, s, [_], [y, dy] => [T::vmul(s, dy, map_lanes::<T, S>(y, one_minus_exp))]);

fn log_sigmoid_scalar(x: f64) -> f64 {
    let larger = if x > 0.0 { 0.0 } else { x };
    larger - libm::log1p(libm::exp(-x.abs()))
}

fn one_minus_exp(y: f64) -> f64 {
    -libm::expm1(y)
}

/// The logarithm of [`sigmoid`]: `y[i] = ln(1 / (1 + e^-x[i])) = min(x[i], 0) - ln(1 + e^-|x[i]|)`;
/// overwrites `y`.
///
/// The result is within 3 ULP and cannot overflow. It is computed in f64, one lane at a time.
///
/// # Panics
/// When the lengths differ.
pub fn log_sigmoid<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    update(isa, "log_sigmoid", LogSigmoid, [y], [x]);
}

/// The gradient of [`log_sigmoid`] from its output: `dx[i] = dy[i] * (1 - e^y[i])`; overwrites `dx`.
///
/// # Panics
/// When the lengths differ.
pub fn log_sigmoid_backward<T: Element>(isa: Isa, y: &[T], dy: &[T], dx: &mut [T]) {
    update(isa, "log_sigmoid_backward", LogSigmoidBackward, [dx], [y, dy]);
}

lanewise!(Arctanh<1, 1>, _, [_], [x] => [map_lanes::<T, S>(x, libm::atanh)]);
lanewise!(ArctanhBackward<1, 2>, s, [_], [x, dy] => {
    let one = T::splat(s, T::ONE);
    [T::vdiv(s, dy, T::vmul(s, T::vsub(s, one, x), T::vadd(s, one, x)))]
});

/// The inverse hyperbolic tangent: `y[i] = artanh(x[i])`; overwrites `y`.
///
/// The result is within 2 ULP. It is infinite at -1 and 1, and NaN outside of them. It is computed in f64,
/// one lane at a time.
///
/// # Panics
/// When the lengths differ.
pub fn arctanh<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    update(isa, "arctanh", Arctanh, [y], [x]);
}

/// The gradient of [`arctanh`] from its *input*: `dx[i] = dy[i] / (1 - x[i]^2)`; overwrites `dx`.
///
/// # Panics
/// When the lengths differ.
pub fn arctanh_backward<T: Element>(isa: Isa, x: &[T], dy: &[T], dx: &mut [T]) {
    update(isa, "arctanh_backward", ArctanhBackward, [dx], [x, dy]);
}
