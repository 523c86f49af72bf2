//! The vector exponential and the functions that use it, against f64 over the whole range of f32.

mod common;

use common::{LENGTHS, data, each_isa, widen};
use isograd_kernels::reference::activation as reference;
use isograd_kernels::{Element, Isa, activation, elementwise};

/// A name, a kernel, and the function that it computes.
type Function<T> = (&'static str, fn(Isa, &[T], &mut [T]), fn(f64) -> f64);

/// Every 4,099th bit pattern of f32 (4,099 is prime): all exponents, both signs, NaNs and subnormals.
fn sampled_f32() -> Vec<f32> {
    (0..=u32::MAX).step_by(4099).map(f32::from_bits).collect()
}

/// One unit in the last place of `reference`, for a significand of `T`.
fn ulp<T: Element>(reference: f64) -> f64 {
    let exponent = (reference.abs().to_bits() >> 52) as i32 - 1023;
    2f64.powi(exponent) * T::EPSILON.to_f64()
}

/// Asserts that `f` is within `bound` ULP of `reference` where the reference is normal in f32, and within
/// `smallest` elsewhere.
fn check_sampled(
    what: &str,
    f: fn(Isa, &[f32], &mut [f32]),
    reference: fn(f64) -> f64,
    bound: f64,
    smallest: f64,
) {
    let x = sampled_f32();
    each_isa(|isa| {
        let mut y = vec![0.0; x.len()];
        f(isa, &x, &mut y);
        for (x, y) in x.iter().zip(&y) {
            let expected = reference(f64::from(*x));
            if expected.is_nan() || f64::from(f32::MAX) < expected {
                assert!(
                    y.is_nan() == expected.is_nan() && (y.is_nan() || y.is_infinite()),
                    "{what}({x:e}) = {y:e}"
                );
                continue;
            }
            let normal = expected.abs() >= f64::from(f32::MIN_POSITIVE);
            let allowed = if normal { bound * ulp::<f32>(expected) } else { smallest };
            let error = (f64::from(*y) - expected).abs();
            assert!(error <= allowed, "{what}({x:e}) at {isa} = {y:e}, not {expected:e}: off by {error:e}");
        }
    });
}

#[test]
fn exp_is_within_two_ulp() {
    check_sampled("exp", elementwise::exp, f64::exp, 2.0, f64::from(f32::MIN_POSITIVE));
}

#[test]
fn tanh_is_within_three_ulp() {
    check_sampled("tanh", activation::tanh, f64::tanh, 3.0, 0.0);
}

#[test]
fn sigmoid_is_within_three_ulp() {
    let reference = |x: f64| 1.0 / (1.0 + (-x).exp());
    check_sampled("sigmoid", activation::sigmoid, reference, 3.0, f64::from(f32::MIN_POSITIVE));
}

#[test]
fn log_sigmoid_is_within_three_ulp() {
    let reference = |x: f64| if x < 0.0 { x - x.exp().ln_1p() } else { -(-x).exp().ln_1p() };
    check_sampled("log_sigmoid", activation::log_sigmoid, reference, 3.0, f64::from(f32::MIN_POSITIVE));
}

#[test]
fn silu_is_within_four_ulp() {
    // Below, the exponential overflows, and the kernel gives 0.
    let silu = |x: f64| if x < -88.722_83 { 0.0 } else { reference::silu(&[x])[0] };
    check_sampled("silu", activation::silu, silu, 4.0, f64::from(f32::MIN_POSITIVE));
}

#[test]
fn gelu_is_within_six_ulp() {
    check_sampled("gelu", activation::gelu, |x| reference::gelu(&[x])[0], 6.0, f64::from(f32::MIN_POSITIVE));
}

#[test]
fn elu_is_within_three_ulp() {
    let elu: fn(Isa, &[f32], &mut [f32]) = |isa, x, y| activation::elu(isa, 1.0, x, y);
    check_sampled("elu", elu, |x| reference::elu(1.0, &[x])[0], 3.0, f64::from(f32::MIN_POSITIVE));
}

#[test]
fn softplus_is_within_six_ulp() {
    let softplus = |x: f64| reference::softplus(&[x])[0];
    check_sampled("softplus", activation::softplus, softplus, 6.0, f64::from(f32::MIN_POSITIVE));
}

#[test]
fn hard_functions_are_within_three_ulp() {
    let [hard_sigmoid, hard_swish]: [fn(f64) -> f64; 2] =
        [|x| reference::hard_sigmoid(&[x])[0], |x| reference::hard_swish(&[x])[0]];
    check_sampled("hard_sigmoid", activation::hard_sigmoid, hard_sigmoid, 2.0, f64::from(f32::MIN_POSITIVE));
    check_sampled("hard_swish", activation::hard_swish, hard_swish, 3.0, f64::from(f32::MIN_POSITIVE));
}

#[test]
fn exp_at_its_edges() {
    let cases = [
        (0.0, 1.0),
        (-0.0, 1.0),
        (f32::from_bits(1), 1.0),
        (f32::NEG_INFINITY, 0.0),
        (f32::INFINITY, f32::INFINITY),
        (88.722_83, 3.402_798_5e38), // the largest argument whose exponential is finite
        (f32::from_bits(88.722_83f32.to_bits() + 1), f32::INFINITY),
        (-87.336_55, 0.0),
        (-1e30, 0.0),
        (f32::MAX, f32::INFINITY),
    ];
    each_isa(|isa| {
        for (x, expected) in cases {
            // The special value is in every lane of a vector, and in a partial vector of every length.
            for len in LENGTHS {
                let mut y = vec![f32::NAN; len];
                elementwise::exp(isa, &vec![x; len], &mut y);
                let close = |y: &f32| y == &expected || (y - expected).abs() <= 2.0 * f32::EPSILON * expected;
                assert!(
                    y.iter().all(close),
                    "exp({x:e}) at {isa}, length {len}: {y:?}, expected {expected:e}"
                );
            }
        }
        let mut smallest = [0.0];
        elementwise::exp(isa, &[-87.336_54], &mut smallest);
        assert!(smallest[0] >= f32::MIN_POSITIVE, "exp(-87.33654) at {isa} = {:e}", smallest[0]);
    });
}

#[test]
fn f64_functions_are_within_three_ulp() {
    let x: Vec<f64> = data::<f64>(5_000, 1).iter().map(|x| x * 40.0).chain(data(5_000, 2)).collect();
    let functions: [Function<f64>; 3] = [
        ("exp", elementwise::exp, f64::exp),
        ("tanh", activation::tanh, f64::tanh),
        ("sigmoid", activation::sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
    ];
    each_isa(|isa| {
        for (what, f, reference) in functions {
            let mut y = vec![0.0; x.len()];
            f(isa, &x, &mut y);
            for (x, y) in widen(&x).iter().zip(&y) {
                let expected = reference(*x);
                let error = (y - expected).abs() / ulp::<f64>(expected);
                assert!(error <= 3.0, "{what}({x:e}) at {isa} = {y:e}, not {expected:e}: {error} ULP");
            }
        }
    });
}
