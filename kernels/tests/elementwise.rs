//! Element-wise arithmetic against plain loops.

mod common;

use common::{Guarded, LENGTHS, assert_close, data, each_isa};
use isograd_kernels::{Activation, Element, Isa, elementwise, reference};

/// Runs `f` on a guarded copy of `y` and compares the result with `expected`. They must be equal, unless
/// `magnitude` allows for the one rounding that a fused multiply-add saves.
fn check<T: Element>(
    what: &str,
    y: &[T],
    expected: impl Fn(usize) -> T,
    magnitude: f64,
    f: impl Fn(&mut [T]),
) {
    let mut guarded = Guarded::new(y);
    f(guarded.slice());
    let expected: Vec<f64> = (0..y.len()).map(|i| expected(i).to_f64()).collect();
    assert_close(what, guarded.check(), &expected, |_| magnitude * T::EPSILON.to_f64());
}

fn check_all<T: Element>() {
    each_isa(|isa| {
        for len in LENGTHS {
            let what = format!("{isa}, length {len}, {}", T::NAME);
            let (a, b, y) = (data::<T>(len, 1), data::<T>(len, 2), data::<T>(len, 3));
            let alpha = T::from_f64(-1.7);
            check(&what, &y, |i| a[i] * b[i], 0.0, |y| elementwise::mul(isa, &a, &b, y));
            check(&what, &y, |i| y[i] * a[i], 0.0, |y| elementwise::mul_assign(isa, &a, y));
            check(&what, &y, |i| alpha * y[i], 0.0, |y| elementwise::scale(isa, alpha, y));
            check(&what, &y, |i| y[i] + alpha * a[i], 2.7, |y| elementwise::axpy(isa, alpha, &a, y));
            // Above six as well.
            let [a, b, y] = [&a, &b, &y]
                .map(|values| values.iter().map(|v| T::from_f64(8.0 * v.to_f64())).collect::<Vec<T>>());
            for activation in [Activation::Identity, Activation::Relu, Activation::Relu6] {
                let activate = |y: T| T::from_f64(reference::activation::apply(activation, y.to_f64()));
                let what = format!("{what}, {activation:?}");
                let sum = |i: usize| activate(a[i] + b[i]);
                check(&what, &y, sum, 0.0, |y| elementwise::add(isa, &a, &b, activation, y));
                let sum = |i: usize| activate(y[i] + a[i]);
                check(&what, &y, sum, 0.0, |y| elementwise::add_assign(isa, &a, activation, y));
            }
        }
    });
}

#[test]
fn arithmetic_in_f32() {
    check_all::<f32>();
}

#[test]
fn arithmetic_in_f64() {
    check_all::<f64>();
}

#[test]
fn bias_goes_to_every_sample_of_its_row() {
    each_isa(|isa| {
        for n in LENGTHS {
            for rows in [0, 1, 5] {
                let (bias, y) = (data::<f32>(rows, 4), data::<f32>(rows * n, 5));
                let expected = |i: usize| y[i] + bias[i / n];
                let what = format!("{isa}, {rows} rows of {n}");
                check(&what, &y, expected, 0.0, |y| elementwise::add_bias(isa, rows, n, &bias, y));
            }
        }
    });
}

#[test]
fn infinities_and_nan_follow_ieee_rules() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    each_isa(|isa| {
        let mut y = [0.0; 4];
        let identity = Activation::Identity;
        elementwise::add(isa, &[inf, inf, nan, -0.0], &[1.0, -inf, 1.0, -0.0], identity, &mut y);
        assert!(y[0] == inf && y[1].is_nan() && y[2].is_nan() && y[3].is_sign_negative(), "{isa}: {y:?}");
        elementwise::add(isa, &[inf, inf, nan, -inf], &[1.0, -inf, 1.0, 1.0], Activation::Relu, &mut y);
        assert!(y[0] == inf && y[1].is_nan() && y[2].is_nan() && y[3] == 0.0, "{isa}: {y:?}");
        elementwise::mul(isa, &[inf, inf, nan, f32::MIN_POSITIVE], &[-1.0, 0.0, 0.0, 0.5], &mut y);
        assert!(y[0] == -inf && y[1].is_nan() && y[2].is_nan(), "{isa}: {y:?}");
        assert!(y[3] == f32::MIN_POSITIVE / 2.0, "subnormal flushed at {isa}");
    });
}

#[test]
#[should_panic(expected = "add_bias: y has 7 elements for 2 rows of 3")]
fn wrong_matrix_panics_with_its_numbers() {
    elementwise::add_bias(Isa::portable(), 2, 3, &[0f32; 2], &mut [0f32; 7]);
}
