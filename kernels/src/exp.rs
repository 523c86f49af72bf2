//! The exponential function, the hyperbolic tangent and logarithms in vector registers.
//!
//! The identity is `e^x = 2^k * e^r` with `k = round(x / ln 2)` and `|r| <= ln(2)/2`.
//!
//! 1. An addition of [`ROUNDER`] rounds `x / ln 2` to the integer `k`: the sum is so large that no fraction
//!    bits are left.
//! 2. `r = x - k ln 2` is computed with `ln 2` in two parts, so that the subtraction is exact enough (Cody
//!    and Waite, "Software Manual for the Elementary Functions", 1980).
//! 3. `e^r` is a Taylor polynomial.
//! 4. `2^k` is made by moving `k` into the exponent bits of a number.

use crate::element::Element;
use crate::simd::{Level, Vectors};

/// `e^a` in f32, within 2 ULP where the result is normal. Below -87.3, where the result would be subnormal,
/// it is 0; above 88.72 it is infinity. NaN gives NaN.
#[inline(always)]
pub(crate) fn exp_f32<S: Level>(s: S, a: S::f32s) -> S::f32s {
    const UNDERFLOW: f32 = -87.336_54;
    const OVERFLOW: f32 = 88.722_83;

    let k = whole_ln2s(s, a);
    let r = fma(s, k, s.vsplat_f32s(-LN_2_HIGH), a);
    let result = scaled_exp(s, k, fma(s, k, s.vsplat_f32s(-LN_2_LOW), r));

    let result = s.vselect_f32s(s.vless_f32s(a, s.vsplat_f32s(UNDERFLOW)), s.vsplat_f32s(0.0), result);
    let result =
        s.vselect_f32s(s.vless_f32s(s.vsplat_f32s(OVERFLOW), a), s.vsplat_f32s(f32::INFINITY), result);
    s.vselect_f32s(s.vequal_f32s(a, a), result, a)
}

/// `ln 2` in two parts. The first one has so few bits that its product with an exponent is exact.
pub(crate) const LN_2_HIGH: f32 = 0.693_359_4;
pub(crate) const LN_2_LOW: f32 = -2.121_944_4e-4;

/// `k = round(a / ln 2)`, for |a| < 2^22.
#[inline(always)]
pub(crate) fn whole_ln2s<S: Level>(s: S, a: S::f32s) -> S::f32s {
    let shifted = fma(s, a, s.vsplat_f32s(std::f32::consts::LOG2_E), s.vsplat_f32s(ROUNDER));
    s.vsub_f32s(shifted, s.vsplat_f32s(ROUNDER))
}

/// `2^k e^r` for whole `-126 <= k <= 128` and `|r| <= 0.36`.
#[inline(always)]
pub(crate) fn scaled_exp<S: Level>(s: S, k: S::f32s, r: S::f32s) -> S::f32s {
    let mut p = s.vsplat_f32s(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = fma(s, p, r, s.vsplat_f32s(coefficient));
    }

    // 2^k is the product of two factors, because k = 128 occurs just below the overflow bound and 2^128 is
    // not an f32.
    let half = s.vsub_f32s(fma(s, k, s.vsplat_f32s(0.5), s.vsplat_f32s(ROUNDER)), s.vsplat_f32s(ROUNDER));
    s.vmul_f32s(s.vmul_f32s(p, exp2_integer(s, half)), exp2_integer(s, s.vsub_f32s(k, half)))
}

/// `e^a - 1` in f32 for `a <= 0`, within 2 ULP, also near 0; NaN for NaN.
///
/// With `a = k ln 2 + r`, it is `2^k (e^r - 1) + (2^k - 1)`. The polynomial gives `e^r - 1` without its
/// leading 1, so that no digits cancel where `k` is 0.
#[inline(always)]
pub(crate) fn exp_m1_f32<S: Level>(s: S, a: S::f32s) -> S::f32s {
    /// From here down, the nearest f32 is -1.
    const SATURATED: f32 = -80.0;

    let a = <f32 as Vectors>::larger(s, s.vsplat_f32s(SATURATED), a);
    let k = whole_ln2s(s, a);
    let r = fma(s, k, s.vsplat_f32s(-LN_2_LOW), fma(s, k, s.vsplat_f32s(-LN_2_HIGH), a));
    let mut p = s.vsplat_f32s(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5] {
        p = fma(s, p, r, s.vsplat_f32s(coefficient));
    }
    let rise = fma(s, s.vmul_f32s(r, r), p, r);
    let power = exp2_integer(s, k);
    let result = fma(s, rise, power, s.vsub_f32s(power, s.vsplat_f32s(1.0)));
    s.vselect_f32s(s.vequal_f32s(a, a), result, a)
}

/// `tanh a` in f32, within 3 ULP everywhere. The sign of zero is kept, and NaN gives NaN.
///
/// Below 0.625 the function is the continued fraction `x / (1 + x^2/(3 + x^2/(5 + x^2/(7 + x^2/9))))`
/// (Lambert, 1761), written as one quotient; its relative error there is 1e-9. From 0.625 on it is
/// `(e^2x - 1) / (e^2x + 1)`, where the numerator no longer cancels. Both branches share one division.
#[inline(always)]
pub(crate) fn tanh_f32<S: Level>(s: S, a: S::f32s) -> S::f32s {
    const SMALL: f32 = 0.625;
    /// From here on the nearest f32 is 1.
    const SATURATED: f32 = 9.02;

    let magnitude = <f32 as Vectors>::abs(s, a);
    let saturated = s.vsplat_f32s(SATURATED);
    let clamped = s.vselect_f32s(s.vless_f32s(saturated, magnitude), saturated, magnitude);
    let e = exp_f32(s, s.vadd_f32s(clamped, clamped));
    let one = s.vsplat_f32s(1.0);
    let rise = s.vsub_f32s(e, one);
    let rise = s.vselect_f32s(s.vless_f32s(a, s.vsplat_f32s(0.0)), s.neg_f32s(rise), rise);

    let a2 = s.vmul_f32s(a, a);
    let numerator = fma(s, s.vadd_f32s(a2, s.vsplat_f32s(105.0)), a2, s.vsplat_f32s(945.0));
    let denominator = fma(s, fma(s, a2, s.vsplat_f32s(15.0), s.vsplat_f32s(420.0)), a2, s.vsplat_f32s(945.0));

    let small = s.vless_f32s(magnitude, s.vsplat_f32s(SMALL));
    s.vdiv_f32s(
        s.vselect_f32s(small, s.vmul_f32s(a, numerator), rise),
        s.vselect_f32s(small, denominator, s.vadd_f32s(e, one)),
    )
}

/// `ln(1 + a)` in f32 for `0 <= a <= 1`, within 3 ULP; NaN for NaN.
///
/// It equals `2 artanh(s)` with `s = a / (2 + a) <= 1/3`. The Taylor polynomial up to `s^15` has a relative
/// error below 2e-9.
#[inline(always)]
pub(crate) fn ln_1p_f32<S: Level>(s: S, a: S::f32s) -> S::f32s {
    let quotient = s.vdiv_f32s(a, s.vadd_f32s(s.vsplat_f32s(2.0), a));
    let square = s.vmul_f32s(quotient, quotient);
    let mut p = s.vsplat_f32s(1.0 / 15.0);
    for odd in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        p = fma(s, p, square, s.vsplat_f32s(1.0 / odd));
    }
    s.vmul_f32s(s.vadd_f32s(quotient, quotient), p)
}

/// `ln a` in f32 for normal `a > 0`, within 3 ULP; infinity for infinity, and NaN for NaN.
///
/// With `a = 2^e m` and `m` between the square roots of 1/2 and 2, it is `e ln 2 + 2 artanh(q)`, where `q =
/// (m - 1) / (m + 1)` is at most 0.172. The Taylor polynomial up to `q^9` has a relative error below 3e-9.
#[inline(always)]
pub(crate) fn ln_f32<S: Level>(s: S, a: S::f32s) -> S::f32s {
    /// The bits of 1, and of the square root of 1/2.
    const ONE: u32 = 0x3f80_0000;
    const ROOT: u32 = 0x3f35_04f3;

    let significand_bits = s.splat_u32s(23);
    let bits = s.transmute_u32s_f32s(a);
    // e + 127.
    let biased = s.wrapping_dyn_shr_u32s(s.add_u32s(bits, s.splat_u32s(ONE - ROOT)), significand_bits);
    let power = s.wrapping_dyn_shl_u32s(biased, significand_bits);
    let m = s.transmute_f32s_u32s(s.sub_u32s(s.add_u32s(bits, s.splat_u32s(ONE)), power));
    // The last bits of 2^23 + b are those of the whole number b.
    let e = s.transmute_f32s_u32s(s.add_u32s(biased, s.splat_u32s(0x4b00_0000)));
    let e = s.vsub_f32s(e, s.vsplat_f32s(8_388_608.0 + 127.0));

    let one = s.vsplat_f32s(1.0);
    let q = s.vdiv_f32s(s.vsub_f32s(m, one), s.vadd_f32s(m, one));
    let square = s.vmul_f32s(q, q);
    let mut p = s.vsplat_f32s(1.0 / 9.0);
    for odd in [7.0, 5.0, 3.0, 1.0] {
        p = fma(s, p, square, s.vsplat_f32s(1.0 / odd));
    }
    let result = fma(s, e, s.vsplat_f32s(LN_2_LOW), s.vmul_f32s(s.vadd_f32s(q, q), p));
    let result = fma(s, e, s.vsplat_f32s(LN_2_HIGH), result);
    s.vselect_f32s(s.vless_f32s(a, s.vsplat_f32s(f32::INFINITY)), result, a)
}

/// 1.5 * 2^23. Neighbouring f32 values near this number are 1 apart, so adding a number to it rounds the
/// number to an integer.
const ROUNDER: f32 = 12_582_912.0;

#[inline(always)]
pub(crate) fn fma<S: Level>(s: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    <f32 as Vectors>::mul_add(s, a, b, c)
}

/// `2^k` for integers -126 <= k <= 127.
#[inline(always)]
fn exp2_integer<S: Level>(s: S, k: S::f32s) -> S::f32s {
    let bits = s.transmute_u32s_f32s(s.vadd_f32s(k, s.vsplat_f32s(ROUNDER + 127.0)));
    s.transmute_f32s_u32s(s.wrapping_dyn_shl_u32s(bits, s.splat_u32s(23)))
}

/// `e^a` in f64, one lane at a time: f64 serves gradient checks, which need no speed.
#[inline(always)]
pub(crate) fn exp_f64<S: Level>(_: S, a: S::f64s) -> S::f64s {
    map_lanes::<f64, S>(a, libm::exp)
}

/// `tanh a` in f64, one lane at a time.
#[inline(always)]
pub(crate) fn tanh_f64<S: Level>(_: S, a: S::f64s) -> S::f64s {
    map_lanes::<f64, S>(a, libm::tanh)
}

/// `ln(1 + a)` in f64, one lane at a time.
#[inline(always)]
pub(crate) fn ln_1p_f64<S: Level>(_: S, a: S::f64s) -> S::f64s {
    map_lanes::<f64, S>(a, libm::log1p)
}

/// `e^a - 1` in f64, one lane at a time.
#[inline(always)]
pub(crate) fn exp_m1_f64<S: Level>(_: S, a: S::f64s) -> S::f64s {
    map_lanes::<f64, S>(a, libm::expm1)
}

/// `ln a` in f64, one lane at a time.
#[inline(always)]
pub(crate) fn ln_f64<S: Level>(_: S, a: S::f64s) -> S::f64s {
    map_lanes::<f64, S>(a, libm::log)
}

/// Applies `f` to each lane in f64 and rounds each result once.
///
/// Functions that no hot loop needs go through here. `f` comes from the crate `libm`, which gives the same
/// bits on every machine; the platform's C library does not.
#[inline(always)]
pub(crate) fn map_lanes<T: Element, S: Level>(mut a: T::V<S>, f: fn(f64) -> f64) -> T::V<S> {
    for lane in bytemuck::cast_slice_mut::<T::V<S>, T>(std::slice::from_mut(&mut a)) {
        *lane = T::from_f64(f(lane.to_f64()));
    }
    a
}
