//! Activation functions that look like a ReLU with a round corner: SiLU, GELU, ELU and softplus.

use crate::element::Element;
use crate::elementwise::{Lanewise, lanewise, update};
use crate::isa::Isa;
use crate::simd::Level;

/// `x sigmoid(z)`, where `z` has the sign of `x`.
#[inline(always)]
fn gated<T: Element, S: Level>(s: S, x: T::V<S>, z: T::V<S>) -> T::V<S> {
    let e = T::exp(s, T::vneg(s, z));
    let y = T::vdiv(s, x, T::vadd(s, T::splat(s, T::ONE), e));
    // Where both x and e are infinite, the quotient is NaN. The limit is 0.
    let infinity = T::splat(s, T::from_f64(f64::INFINITY));
    T::select(s, T::equal(s, e, infinity), T::zero(s), y)
}

/// The derivative of [`gated`], where `dz` is that of `z`: `p (1 + x dz (1 - p))` with `p = sigmoid(z)`.
#[inline(always)]
fn gated_slope<T: Element, S: Level>(s: S, x: T::V<S>, [z, dz]: [T::V<S>; 2]) -> T::V<S> {
    let one = T::splat(s, T::ONE);
    let e = T::exp(s, T::vneg(s, z));
    let p = T::vdiv(s, one, T::vadd(s, one, e));
    // 1 - p would lose all digits where p is close to 1.
    let not_p = T::vmul(s, e, p);
    let slope = T::vmul(s, p, T::mul_add(s, T::vmul(s, x, dz), not_p, one));
    // Where e is infinite or x is, the products may be NaN. The limits are 0 and 1.
    let infinity = T::splat(s, T::from_f64(f64::INFINITY));
    let slope = T::select(s, T::equal(s, e, infinity), T::zero(s), slope);
    T::select(s, T::equal(s, e, T::zero(s)), one, slope)
}

lanewise!(Silu<1, 1>, s, [_], [x] => [gated::<T, S>(s, x, x)]);
lanewise!(SiluBackward<1, 2>, s, [_], [x, dy] => {
    [T::vmul(s, dy, gated_slope::<T, S>(s, x, [x, T::splat(s, T::ONE)]))]
});

/// The sigmoid linear unit, also called swish: `y[i] = x[i] / (1 + e^-x[i])`; overwrites `y`.
///
/// The result is within 4 ULP where it is normal. In f32, it is 0 below -88.7, where it would be less than
/// 2.7e-37 from 0. It is 0 for minus infinity.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// Elfwing, Uchibe, Doya: "Sigmoid-weighted linear units for neural network function approximation in
/// reinforcement learning", 2017.
pub fn silu<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    update(isa, "silu", Silu, [y], [x]);
}

/// The gradient of [`silu`] from its *input*: `dx[i] = dy[i] * p (1 + x[i] (1 - p))` with
/// `p = 1 / (1 + e^-x[i])`; overwrites `dx`.
///
/// The error of the slope is at most `8 EPSILON (p + |x| p (1 - p))`, and in f32 at most 2.7e-37 below -88.7.
///
/// # Panics
/// When the lengths differ.
pub fn silu_backward<T: Element>(isa: Isa, x: &[T], dy: &[T], dx: &mut [T]) {
    update(isa, "silu_backward", SiluBackward, [dx], [x, dy]);
}

lanewise!(Gelu<1, 1>, s, [_], [x] => [T::vsub(s, T::relu(s, x), T::gelu_tail(s, T::abs(s, x)))]);
lanewise!(GeluBackward<1, 2>, s, [_], [x, dy] => {
    let tail = T::gelu_tail_slope(s, T::abs(s, x));
    let slope = T::select(s, T::less_than(s, x, T::zero(s)), tail, T::vsub(s, T::splat(s, T::ONE), tail));
    [T::vmul(s, dy, slope)]
});

/// The Gaussian error linear unit: `y[i] = x[i] Phi(x[i])`, where `Phi(x) = (1 + erf(x / sqrt(2))) / 2` is
/// the distribution function of the normal distribution; overwrites `y`.
///
/// In f32, the result is within 6 ULP everywhere, and 0 below -13.15, where it would be subnormal. In f64,
/// its relative error is at most `(x^2 + 4) EPSILON` for negative `x` and `4 EPSILON` for positive `x`. It
/// is 0 for minus infinity.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// Hendrycks, Gimpel: "Gaussian error linear units (GELUs)", 2016.
pub fn gelu<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    update(isa, "gelu", Gelu, [y], [x]);
}

/// The gradient of [`gelu`] from its *input*: `dx[i] = dy[i] * (Phi(x[i]) + x[i] phi(x[i]))`, where
/// `phi(x) = e^(-x^2/2) / sqrt(2 pi)`; overwrites `dx`.
///
/// In f32, the error of the slope is at most `6 EPSILON (Phi(x) + |x| phi(x))`, and the slope is 0 below
/// -13.15, where it would be less than 2e-37 from 0.
///
/// # Panics
/// When the lengths differ.
pub fn gelu_backward<T: Element>(isa: Isa, x: &[T], dy: &[T], dx: &mut [T]) {
    update(isa, "gelu_backward", GeluBackward, [dx], [x, dy]);
}

/// `2 sqrt(2 / pi)`, the slope of [`gelu_tanh`]'s argument at 0.
const SLOPE: f64 = 1.595_769_121_605_730_7;
/// The factor of `x^3` in that argument.
const CUBIC: f64 = 0.044_715 * SLOPE;

/// `2 sqrt(2 / pi) (x + 0.044715 x^3)`.
#[inline(always)]
fn cubic<T: Element, S: Level>(s: S, x: T::V<S>, x2: T::V<S>) -> T::V<S> {
    let (slope, cubic) = (T::splat(s, T::from_f64(SLOPE)), T::splat(s, T::from_f64(CUBIC)));
    T::vmul(s, x, T::mul_add(s, cubic, x2, slope))
}

lanewise!(GeluTanh<1, 1>, s, [_], [x] => [gated::<T, S>(s, x, cubic::<T, S>(s, x, T::vmul(s, x, x)))]);
lanewise!(GeluTanhBackward<1, 2>, s, [_], [x, dy] => {
    let x2 = T::vmul(s, x, x);
    let (slope, cubic_slope) = (T::splat(s, T::from_f64(SLOPE)), T::splat(s, T::from_f64(3.0 * CUBIC)));
    let dz = T::mul_add(s, cubic_slope, x2, slope);
    [T::vmul(s, dy, gated_slope::<T, S>(s, x, [cubic::<T, S>(s, x, x2), dz]))]
});

/// The approximation of [`gelu`] by a hyperbolic tangent:
/// `y[i] = x[i] (1 + tanh u) / 2 = x[i] / (1 + e^(-2 u))` with `u = sqrt(2 / pi) (x[i] + 0.044715 x[i]^3)`;
/// overwrites `y`.
///
/// The relative error is at most `(5 + 3 |2 u|) EPSILON` for negative `x` and `5 EPSILON` for positive `x`,
/// where the result is normal. In f32, the result is 0 where `2 u` is below -88.7.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// Hendrycks, Gimpel: "Gaussian error linear units (GELUs)", 2016; PyTorch's `approximate="tanh"`.
pub fn gelu_tanh<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    update(isa, "gelu_tanh", GeluTanh, [y], [x]);
}

/// The gradient of [`gelu_tanh`] from its *input*: `dx[i] = dy[i] * p (1 + x[i] z' (1 - p))` with
/// `p = 1 / (1 + e^-z)`, `z = 2 sqrt(2 / pi) (x[i] + 0.044715 x[i]^3)` and `z'` its derivative; overwrites
/// `dx`.
///
/// The error of the slope is at most `(8 + 3 |z|) EPSILON (p + |x z'| p (1 - p))`.
///
/// # Panics
/// When the lengths differ.
pub fn gelu_tanh_backward<T: Element>(isa: Isa, x: &[T], dy: &[T], dx: &mut [T]) {
    update(isa, "gelu_tanh_backward", GeluTanhBackward, [dx], [x, dy]);
}

#[derive(Clone, Copy)]
struct Elu<T>(T);

impl<T: Element> Lanewise<T, 1, 1> for Elu<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, _: [T::V<S>; 1], [x]: [T::V<S>; 1]) -> [T::V<S>; 1] {
        let zero = T::zero(s);
        let is_positive = T::less_than(s, zero, x);
        let negative = T::vmul(s, T::splat(s, self.0), T::exp_m1(s, T::select(s, is_positive, zero, x)));
        [T::select(s, is_positive, x, negative)]
    }
}

#[derive(Clone, Copy)]
struct EluBackward<T>(T);

impl<T: Element> Lanewise<T, 1, 2> for EluBackward<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, _: [T::V<S>; 1], [y, dy]: [T::V<S>; 2]) -> [T::V<S>; 1] {
        let negative = T::vmul(s, dy, T::vadd(s, y, T::splat(s, self.0)));
        [T::select(s, T::less_or_equal(s, y, T::zero(s)), negative, dy)]
    }
}

/// The exponential linear unit: `y[i] = x[i]` where `x[i] > 0`, else `alpha * (e^x[i] - 1)`; overwrites `y`.
///
/// The result is within 3 ULP where it is normal, also near 0.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// Clevert, Unterthiner, Hochreiter: "Fast and accurate deep network learning by exponential linear units",
/// ICLR 2016.
pub fn elu<T: Element>(isa: Isa, alpha: T, x: &[T], y: &mut [T]) {
    update(isa, "elu", Elu(alpha), [y], [x]);
}

/// The gradient of [`elu`] from its output: `dx[i] = dy[i]` where `y[i] > 0`, else `dy[i] * (y[i] + alpha)`;
/// overwrites `dx`. `alpha` must not be negative. Where `y` is NaN, `dx` is `dy`.
///
/// # Panics
/// When the lengths differ.
pub fn elu_backward<T: Element>(isa: Isa, alpha: T, y: &[T], dy: &[T], dx: &mut [T]) {
    update(isa, "elu_backward", EluBackward(alpha), [dx], [y, dy]);
}

lanewise!(Softplus<1, 1>, s, [_], [x] => {
    let decay = T::exp(s, T::vneg(s, T::abs(s, x)));
    [T::vadd(s, T::relu(s, x), T::ln_1p(s, decay))]
});
lanewise!(SoftplusBackward<1, 2>, s, [_], [y, dy] => {
    [T::vneg(s, T::vmul(s, dy, T::exp_m1(s, T::vneg(s, y))))]
});

/// The ReLU with a round corner: `y[i] = ln(1 + e^x[i]) = max(x[i], 0) + ln(1 + e^-|x[i]|)`; overwrites `y`.
///
/// The result is within 6 ULP where it is normal, and cannot overflow. In f32, it is 0 below -87.3, where it
/// would be subnormal.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// Dugas et al.: "Incorporating second-order functional knowledge for better option pricing", NIPS 2000.
pub fn softplus<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    update(isa, "softplus", Softplus, [y], [x]);
}

/// The gradient of [`softplus`] from its output: `dx[i] = dy[i] * (1 - e^-y[i])`, which is
/// `dy[i] * sigmoid(x[i])`; overwrites `dx`.
///
/// # Panics
/// When the lengths differ.
pub fn softplus_backward<T: Element>(isa: Isa, y: &[T], dy: &[T], dx: &mut [T]) {
    update(isa, "softplus_backward", SoftplusBackward, [dx], [y, dy]);
}
