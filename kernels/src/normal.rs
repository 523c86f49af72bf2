//! The tail of the normal distribution in vector registers, for the Gaussian error linear unit.
//!
//! With `Phi` the distribution function and `phi` the density, the unit is `x Phi(x) = max(x, 0) - t Phi(-t)`
//! for `t = |x|`, and its slope is `Phi(-t) - t phi(t)` for negative `x`, and 1 minus that for positive `x`.
//! So both need the tail `Phi(-t)` for `t >= 0` only, where it is `e^(-t^2/2) q(t)` with a slowly varying
//! factor `q`. Nothing cancels, and the unit is accurate far into its tail.
//!
//! 1. `(t + 3) q(t)` is a polynomial of degree 9 in `(t - 3) / (t + 3)`. Its coefficients minimise the
//!    largest relative error for `t` up to 13.25, which is 1.7e-8. The form is that of Shepherd and
//!    Laframboise ("Chebyshev approximation of (1 + 2x) exp(x^2) erfc(x) in 0 <= x < infinity", 1981).
//! 2. `t^2 / 2` would lose digits that matter in the exponent. So `t = h + l`, with `h` a multiple of 1/16:
//!    `h^2 / 2` is exact, and `(t^2 - h^2) / 2 = l (t + h) / 2` is small.

use crate::exp::{LN_2_HIGH, LN_2_LOW, fma, map_lanes, scaled_exp, whole_ln2s};
use crate::simd::Level;

/// Beyond this, `t Phi(-t)` is subnormal in f32, and 0 takes its place.
const LAST: f32 = 13.15;
/// The coefficients of the polynomial, the highest one first.
const COEFFICIENTS: [f32; 10] = [
    4.439_906_5e-5,
    -2.171_320_4e-4,
    -9.465_511e-4,
    1.027_017_1e-3,
    6.939_729e-3,
    -1.046_480_4e-2,
    -4.725_875e-2,
    2.300_179e-1,
    -5.093_321e-1,
    7.290_837e-1,
];
/// `phi(0) = 1 / sqrt(2 pi)`.
const DENSITY: f64 = 0.398_942_280_401_432_7;

/// `t`, at most [`LAST`], then `q(t)`, then `e^(-t^2/2)`, which is 0 beyond [`LAST`].
#[inline(always)]
fn factors<S: Level>(s: S, t: S::f32s) -> [S::f32s; 3] {
    let last = s.vsplat_f32s(LAST);
    let beyond = s.vless_f32s(last, t);
    let t = s.vselect_f32s(beyond, last, t);

    let three = s.vsplat_f32s(3.0);
    let u = s.vdiv_f32s(s.vsplat_f32s(1.0), s.vadd_f32s(t, three));
    let v = s.vmul_f32s(s.vsub_f32s(t, three), u);
    let mut p = s.vsplat_f32s(COEFFICIENTS[0]);
    for coefficient in &COEFFICIENTS[1..] {
        p = fma(s, p, v, s.vsplat_f32s(*coefficient));
    }

    // 1.5 * 2^19. Neighbouring f32 values near this number are 1/16 apart.
    let rounder = s.vsplat_f32s(786_432.0);
    let h = s.vsub_f32s(s.vadd_f32s(t, rounder), rounder);
    let minus_half = s.vsplat_f32s(-0.5);
    let high = s.vmul_f32s(s.vmul_f32s(h, h), minus_half);
    let low = s.vmul_f32s(s.vmul_f32s(s.vsub_f32s(t, h), s.vadd_f32s(t, h)), minus_half);
    let k = whole_ln2s(s, s.vadd_f32s(high, low));
    let high = fma(s, k, s.vsplat_f32s(-LN_2_HIGH), high);
    let low = fma(s, k, s.vsplat_f32s(-LN_2_LOW), low);
    let e = scaled_exp(s, k, s.vadd_f32s(high, low));
    [t, s.vmul_f32s(p, u), s.vselect_f32s(beyond, s.vsplat_f32s(0.0), e)]
}

/// `t Phi(-t)` in f32 for `t >= 0`, within 6 ULP; 0 beyond 13.15, where it would be subnormal. NaN gives NaN.
#[inline(always)]
pub(crate) fn gelu_tail_f32<S: Level>(s: S, t: S::f32s) -> S::f32s {
    let [t, q, e] = factors(s, t);
    // In this order no product is subnormal.
    s.vmul_f32s(s.vmul_f32s(t, q), e)
}

/// `Phi(-t) - t phi(t)` in f32 for `t >= 0`, within `4 EPSILON (Phi(-t) + t phi(t))`; 0 beyond 13.15. NaN
/// gives NaN.
#[inline(always)]
pub(crate) fn gelu_tail_slope_f32<S: Level>(s: S, t: S::f32s) -> S::f32s {
    let [t, q, e] = factors(s, t);
    s.vmul_f32s(fma(s, t, s.vsplat_f32s(-DENSITY as f32), q), e)
}

/// Beyond this, all the functions here are 0 in f64.
const LAST_F64: f64 = 39.0;

fn tail(t: f64) -> f64 {
    0.5 * libm::erfc(t * std::f64::consts::FRAC_1_SQRT_2)
}

fn gelu_tail_scalar(t: f64) -> f64 {
    if t > LAST_F64 { 0.0 } else { t * tail(t) }
}

fn gelu_tail_slope_scalar(t: f64) -> f64 {
    if t > LAST_F64 { 0.0 } else { tail(t) - t * DENSITY * libm::exp(-0.5 * t * t) }
}

/// `t Phi(-t)` in f64, one lane at a time, within `(t^2 + 4) EPSILON` of its value.
#[inline(always)]
pub(crate) fn gelu_tail_f64<S: Level>(_: S, t: S::f64s) -> S::f64s {
    map_lanes::<f64, S>(t, gelu_tail_scalar)
}

/// `Phi(-t) - t phi(t)` in f64, one lane at a time, within `(t^2 + 4) EPSILON` of its terms.
#[inline(always)]
pub(crate) fn gelu_tail_slope_f64<S: Level>(_: S, t: S::f64s) -> S::f64s {
    map_lanes::<f64, S>(t, gelu_tail_slope_scalar)
}
