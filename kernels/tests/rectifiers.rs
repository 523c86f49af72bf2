//! The relatives of ReLU against their f64 reference, and that reference against central differences.

mod common;

use common::{Guarded, LENGTHS, assert_close, data, each_isa, widen};
use isograd_kernels::{Element, Isa, activation as k, reference::activation as r};

type Forward<T> = fn(Isa, &[T], &mut [T]);
type Backward<T> = fn(Isa, &[T], &[T], &mut [T]);

/// An activation function, the kernels, and what they are compared with.
struct Case<T> {
    name: &'static str,
    forward: Forward<T>,
    backward: Backward<T>,
    /// Whether `backward` takes the output of `forward` instead of its input.
    from_output: bool,
    reference: fn(&[f64]) -> Vec<f64>,
    /// The gradient from the *input* and `dy`.
    gradient: fn(&[f64], &[f64]) -> Vec<f64>,
    /// The bound of the error at an input, in `EPSILON` times the output.
    error: fn(f64) -> f64,
    /// The bound of the error of the slope at an input, in `EPSILON`.
    slope_error: fn(f64) -> f64,
    /// Where the function has no slope. Inputs keep a distance from there.
    kinks: &'static [f64],
}

/// The slope of the leaky ReLU and the alpha of ELU here, exact in both types.
const SLOPE: f64 = 0.1875;
const ALPHA: f64 = 1.25;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The exponent of the sigmoid that GELU's approximation is.
fn exponent(x: f64) -> f64 {
    2.0 * std::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044715 * x * x * x)
}

fn piecewise<T: Element>() -> [Case<T>; 4] {
    [
        Case {
            name: "leaky_relu",
            forward: |isa, x, y| k::leaky_relu(isa, T::from_f64(SLOPE), x, y),
            backward: |isa, y, dy, dx| k::leaky_relu_backward(isa, T::from_f64(SLOPE), y, dy, dx),
            from_output: true,
            reference: |x| r::leaky_relu(SLOPE, x),
            gradient: |x, dy| r::leaky_relu_backward(SLOPE, x, dy),
            error: |_| 0.5,
            slope_error: |_| 0.5,
            kinks: &[0.0],
        },
        Case {
            name: "relu6",
            forward: k::relu6,
            backward: k::relu6_backward,
            from_output: true,
            reference: r::relu6,
            gradient: r::relu6_backward,
            error: |_| 0.0,
            slope_error: |_| 0.0,
            kinks: &[0.0, 6.0],
        },
        Case {
            name: "hard_sigmoid",
            forward: k::hard_sigmoid,
            backward: k::hard_sigmoid_backward,
            from_output: true,
            reference: r::hard_sigmoid,
            gradient: r::hard_sigmoid_backward,
            error: |_| 1.5,
            slope_error: |_| 0.25,
            kinks: &[-3.0, 3.0],
        },
        Case {
            name: "hard_swish",
            forward: k::hard_swish,
            backward: k::hard_swish_backward,
            from_output: false,
            reference: r::hard_swish,
            gradient: r::hard_swish_backward,
            error: |_| 2.0,
            slope_error: |x| if x.abs() < 3.0 { 2.0 * (x.abs() / 3.0 + 0.5) } else { 0.5 },
            kinks: &[-3.0, 3.0],
        },
    ]
}

fn smooth<T: Element>() -> [Case<T>; 5] {
    [
        Case {
            name: "silu",
            forward: k::silu,
            backward: k::silu_backward,
            from_output: false,
            reference: r::silu,
            gradient: r::silu_backward,
            error: |_| 4.0,
            slope_error: |x| 8.0 * (sigmoid(x) + x.abs() * sigmoid(x) * sigmoid(-x)),
            kinks: &[],
        },
        Case {
            name: "gelu",
            forward: k::gelu,
            backward: k::gelu_backward,
            from_output: false,
            reference: r::gelu,
            gradient: r::gelu_backward,
            // In f64, the reference and the kernel round the argument of the exponential.
            error: |x| {
                let rounded_argument =
                    if T::NAME == "float64" && x < 0.0 { 2.0 * x * x + 100.0 } else { 0.0 };
                6.0 + rounded_argument
            },
            slope_error: |x| {
                let terms = r::normal_distribution(x) + x.abs() * r::normal_density(x);
                let rounded_argument = if T::NAME == "float64" { 2.0 * x * x + 100.0 } else { 0.0 };
                (6.0 + rounded_argument) * terms
            },
            kinks: &[],
        },
        Case {
            name: "gelu_tanh",
            forward: k::gelu_tanh,
            backward: k::gelu_tanh_backward,
            from_output: false,
            reference: r::gelu_tanh,
            gradient: r::gelu_tanh_backward,
            error: |x| 5.0 + if x < 0.0 { 3.0 * exponent(-x) } else { 0.0 },
            slope_error: |x| {
                let (z, dz) = (exponent(x), (exponent(x + 1e-6) - exponent(x - 1e-6)) / 2e-6);
                (8.0 + 3.0 * z.abs()) * (sigmoid(z) + x.abs() * dz * sigmoid(z) * sigmoid(-z))
            },
            kinks: &[],
        },
        Case {
            name: "elu",
            forward: |isa, x, y| k::elu(isa, T::from_f64(ALPHA), x, y),
            backward: |isa, y, dy, dx| k::elu_backward(isa, T::from_f64(ALPHA), y, dy, dx),
            from_output: true,
            reference: |x| r::elu(ALPHA, x),
            gradient: |x, dy| r::elu_backward(ALPHA, x, dy),
            error: |_| 3.0,
            // The output is off by 3 EPSILON of at most alpha.
            slope_error: |x| if x > 0.0 { 0.5 } else { 5.0 * ALPHA },
            kinks: &[0.0],
        },
        Case {
            name: "softplus",
            forward: k::softplus,
            backward: k::softplus_backward,
            from_output: true,
            reference: r::softplus,
            gradient: r::softplus_backward,
            error: |_| 6.0,
            // y e^-y / (1 - e^-y) is at most 1: an error of the output makes no larger one of the slope.
            slope_error: |x| 10.0 * sigmoid(x),
            kinks: &[],
        },
    ]
}

fn cases<T: Element>() -> Vec<Case<T>> {
    piecewise().into_iter().chain(smooth()).collect()
}

/// `len` values in [-9, 9), away from kinks.
fn inputs<T: Element>(case: &Case<T>, len: usize, seed: u64) -> Vec<T> {
    let apart = |x: &T| case.kinks.iter().all(|kink| (x.to_f64() - kink).abs() > 1e-3);
    let nine = T::from_f64(9.0);
    data::<T>(2 * len + 8, seed).into_iter().map(|x| x * nine).filter(apart).take(len).collect()
}

fn check<T: Element>() {
    let eps = T::EPSILON.to_f64();
    // Where a product would be subnormal, it may become 0.
    let tiny = if T::NAME == "float32" { 1e-36 } else { 1e-300 };
    each_isa(|isa| {
        for case in cases::<T>() {
            for len in LENGTHS {
                let what = format!("{} at {isa}, length {len}, {}", case.name, T::NAME);
                let x = Guarded::new(&inputs(&case, len, 1));
                let wide = widen(x.check());
                let mut y = Guarded::<T>::nan(len);
                (case.forward)(isa, x.check(), y.slice());
                let expected = (case.reference)(&wide);
                let bound = |i: usize| (case.error)(wide[i]) * eps * expected[i].abs() + tiny;
                assert_close(&what, y.check(), &expected, bound);

                let kept = if case.from_output { y.check() } else { x.check() };
                let dy = Guarded::new(&data::<T>(len, 2));
                let mut dx = Guarded::<T>::nan(len);
                (case.backward)(isa, kept, dy.check(), dx.slice());
                let wide_dy = widen(dy.check());
                let expected = (case.gradient)(&wide, &wide_dy);
                // The product with dy rounds once more.
                let bound = |i: usize| {
                    eps * ((case.slope_error)(wide[i]) * wide_dy[i].abs() + expected[i].abs()) + tiny
                };
                assert_close(&format!("{what}, backward"), dx.check(), &expected, bound);
            }
        }
    });
}

#[test]
fn kernels_match_the_reference_in_f32() {
    check::<f32>();
}

#[test]
fn kernels_match_the_reference_in_f64() {
    check::<f64>();
}

/// The value and the slope of `case` at `x`: whole vectors of them and a partial one, at every level.
fn at<T: Element>(case: &Case<T>, isa: Isa, x: f64) -> [f64; 2] {
    let x = [T::from_f64(x); 18];
    let (mut y, mut dx) = ([T::ZERO; 18], [T::ZERO; 18]);
    (case.forward)(isa, &x, &mut y);
    (case.backward)(isa, if case.from_output { &y } else { &x }, &[T::ONE; 18], &mut dx);
    for values in [&y, &dx] {
        // Which NaN it is may differ.
        let is_same = |v: &T| v.to_f64().is_nan() && values[0].to_f64().is_nan() || v == &values[0];
        let same = values.iter().all(is_same);
        assert!(same, "{}: lanes differ at {isa} for {:?}: {values:?}", case.name, x[0]);
    }
    [y[0].to_f64(), dx[0].to_f64()]
}

fn check_special_values<T: Element>() {
    let inf = f64::INFINITY;
    // The limits on the right, and those on the left.
    let limits = [
        ("leaky_relu", [inf, 1.0], [-inf, SLOPE]),
        ("relu6", [6.0, 0.0], [0.0, 0.0]),
        ("hard_sigmoid", [1.0, 0.0], [0.0, 0.0]),
        ("hard_swish", [inf, 1.0], [0.0, 0.0]),
        ("silu", [inf, 1.0], [0.0, 0.0]),
        ("gelu", [inf, 1.0], [0.0, 0.0]),
        ("gelu_tanh", [inf, 1.0], [0.0, 0.0]),
        ("elu", [inf, 1.0], [-ALPHA, 0.0]),
        ("softplus", [inf, 1.0], [0.0, 0.0]),
    ];
    each_isa(|isa| {
        for (case, (name, right, left)) in cases::<T>().into_iter().zip(limits) {
            assert_eq!(case.name, name);
            for (x, expected) in [(inf, right), (1e30, right), (-inf, left), (-1e30, left)] {
                let [y, slope] = at(&case, isa, x);
                let unbounded = expected[0].is_infinite() && x.is_finite();
                let expected_y = match (name, unbounded) {
                    ("leaky_relu", true) if x < 0.0 => T::from_f64(SLOPE * x).to_f64(),
                    (_, true) => T::from_f64(x).to_f64(),
                    _ => expected[0],
                };
                let close = y == expected_y || (y / expected_y - 1.0).abs() < 1e-6;
                assert!(close, "{name}({x:e}) at {isa} is {y:e}, not {expected_y:e}");
                assert_eq!(slope, expected[1], "slope of {name} at {x:e}, {isa}");
            }
            let [y, slope] = at(&case, isa, f64::NAN);
            assert!(y.is_nan(), "{name}(NaN) at {isa} is {y}");
            // ReLU's relatives of straight lines hand the gradient on at NaN, as ReLU does.
            assert!(slope.is_nan() || slope > 0.0, "slope of {name} at NaN is {slope} at {isa}");
        }
    });
}

#[test]
fn infinities_have_limits_and_nan_stays_nan() {
    check_special_values::<f32>();
    check_special_values::<f64>();
}

#[test]
fn values_at_kinks() {
    each_isa(|isa| {
        let [leaky, six, hard_sigmoid, hard_swish] = piecewise::<f32>();
        let tiny = f64::from(f32::from_bits(1));
        for (case, x, expected) in [
            (&leaky, 0.0, [0.0, SLOPE]),
            (&leaky, tiny, [tiny, 1.0]),
            (&six, 0.0, [0.0, 0.0]),
            (&six, 6.0, [6.0, 0.0]),
            (&six, 5.75, [5.75, 1.0]),
            (&hard_sigmoid, -3.0, [0.0, 0.0]),
            (&hard_sigmoid, 0.0, [0.5, f64::from(1f32 / 6.0)]),
            (&hard_sigmoid, 3.0, [1.0, 0.0]),
            (&hard_swish, -3.0, [0.0, 0.0]),
            (&hard_swish, 0.0, [0.0, 0.5]),
            (&hard_swish, 3.0, [3.0, 1.0]),
        ] {
            assert_eq!(at(case, isa, x), expected, "{} at {x}, {isa}", case.name);
        }
        let elu = &smooth::<f32>()[3];
        assert_eq!(at(elu, isa, 0.0), [0.0, ALPHA], "elu at 0, {isa}");
    });
}

#[test]
fn reference_gradients_match_central_differences() {
    // Truncation h^2 / 6 * |f'''| (at most 1 here) and rounding EPSILON * |f| / h.
    let (h, bound) = (1e-5, 1e-9);
    for case in cases::<f64>() {
        let x = inputs(&case, 200, 5);
        let dy = data::<f64>(x.len(), 6);
        let shifted = |by: f64| (case.reference)(&x.iter().map(|x| x + by).collect::<Vec<_>>());
        let differences: Vec<f64> = shifted(h)
            .iter()
            .zip(shifted(-h))
            .zip(&dy)
            .map(|((a, b), dy)| dy * (a - b) / (2.0 * h))
            .collect();
        assert_close(case.name, &(case.gradient)(&x, &dy), &differences, |_| bound);
    }
}

/// Values of `Phi` to 16 digits, from tables of the normal distribution.
#[test]
fn reference_of_the_normal_distribution() {
    for (x, phi) in [
        (0.0, 0.5),
        (1.0, 0.841_344_746_068_542_9),
        (-1.0, 0.158_655_253_931_457_05),
        (-2.0, 0.022_750_131_948_179_21),
        (-3.0, 1.349_898_031_630_094_6e-3),
        (-6.0, 9.865_876_450_376_98e-10),
        (-10.0, 7.619_853_024_160_527e-24),
    ] {
        let got = r::normal_distribution(x);
        assert!((got - phi).abs() <= 1e-13 * phi, "Phi({x}) = {got:e}, not {phi:e}");
    }
}

#[test]
#[should_panic(expected = "gelu: input 0 has 3 elements, but the output has 4")]
fn different_lengths_panic_with_both() {
    k::gelu(Isa::portable(), &[0f32; 3], &mut [0f32; 4]);
}
