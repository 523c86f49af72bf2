//! Activations against their f64 reference, and that reference against central differences.

mod common;

use common::{Guarded, LENGTHS, assert_close, data, each_isa, ulps, widen};
use isograd_kernels::{Activation, Element, Isa, activation, reference::activation as reference};

type Forward<T> = fn(Isa, &[T], &mut [T]);
type Backward<T> = fn(Isa, &[T], &[T], &mut [T]);
type ReferenceForward = fn(&[f64]) -> Vec<f64>;
type ReferenceBackward = fn(&[f64], &[f64]) -> Vec<f64>;

/// The name, the kernels, their references, whether the backward function takes the output of the forward
/// function instead of its input, and the factor of the data, which is in [-1, 1).
type Case<T> = (&'static str, Forward<T>, Backward<T>, ReferenceForward, ReferenceBackward, bool, f64);

fn cases<T: Element>() -> [Case<T>; 5] {
    use activation as k;
    use reference as r;
    [
        ("relu", k::relu, k::relu_backward, r::relu, r::relu_backward, true, 3.0),
        ("sigmoid", k::sigmoid, k::sigmoid_backward, r::sigmoid, r::sigmoid_backward, true, 20.0),
        ("tanh", k::tanh, k::tanh_backward, r::tanh, r::tanh_backward, true, 5.0),
        (
            "log_sigmoid",
            k::log_sigmoid,
            k::log_sigmoid_backward,
            r::log_sigmoid,
            r::log_sigmoid_backward,
            true,
            20.0,
        ),
        ("arctanh", k::arctanh, k::arctanh_backward, r::arctanh, r::arctanh_backward, false, 1.0),
    ]
}

fn scaled<T: Element>(len: usize, seed: u64, by: f64) -> Vec<T> {
    data::<T>(len, seed).into_iter().map(|x| x * T::from_f64(by)).collect()
}

fn check<T: Element>() {
    each_isa(|isa| {
        for (name, forward, backward, forward_reference, backward_reference, from_output, range) in
            cases::<T>()
        {
            for len in LENGTHS {
                let what = format!("{name} at {isa}, length {len}, {}", T::NAME);
                let x = Guarded::new(&scaled::<T>(len, 1, range));
                let mut y = Guarded::<T>::nan(len);
                forward(isa, x.check(), y.slice());
                let expected = forward_reference(&widen(x.check()));
                assert_close(&what, y.check(), &expected, ulps::<T>(3.0, &expected));

                let kept = if from_output { y.check() } else { x.check() };
                let dy = Guarded::new(&data::<T>(len, 2));
                let mut dx = Guarded::<T>::nan(len);
                backward(isa, kept, dy.check(), dx.slice());
                let expected = backward_reference(&widen(kept), &widen(dy.check()));
                // There are at most four roundings of half an ULP each. The f64 reference may round 1 - y^2,
                // too.
                let cancelled = 2.0 * f64::EPSILON;
                let bound = ulps::<T>(2.0, &expected);
                assert_close(&format!("{what}, backward"), dx.check(), &expected, |i| bound(i) + cancelled);
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

#[test]
fn functions_in_place_are_the_functions() {
    let functions: [(Activation, Forward<f32>); 3] = [
        (Activation::Identity, |_, x, y| y.copy_from_slice(x)),
        (Activation::Relu, activation::relu),
        (Activation::Relu6, activation::relu6),
    ];
    each_isa(|isa| {
        for len in LENGTHS {
            let x: Vec<f32> = data::<f32>(len, 3).iter().map(|x| 10.0 * x).collect();
            for (activation, function) in functions {
                let (mut y, mut in_place) = (vec![0.0; len], Guarded::new(&x));
                function(isa, &x, &mut y);
                activation::apply_in_place(isa, activation, in_place.slice());
                assert_eq!(in_place.check(), y, "{activation:?}, {isa}, length {len}");
            }
            let dy = data::<f32>(len, 4);
            let (mut dx, mut in_place) = (vec![0.0; len], Guarded::new(&dy));
            activation::relu_backward(isa, &x, &dy, &mut dx);
            activation::relu_backward_in_place(isa, &x, in_place.slice());
            assert_eq!(in_place.check(), dx, "{isa}, length {len}");
        }
    });
}

#[test]
fn special_values() {
    let (inf, nan, tiny) = (f32::INFINITY, f32::NAN, f32::from_bits(1));
    each_isa(|isa| {
        let apply = |f: Forward<f32>, x: f32| {
            // Eighteen elements are whole vectors and a partial one, at every level.
            let mut y = [0.0; 18];
            f(isa, &[x; 18], &mut y);
            assert!(
                y.iter().all(|v| v.to_bits() == y[0].to_bits()),
                "lanes differ at {isa} for {x:e}: {y:?}"
            );
            y[0]
        };
        for (name, forward, ..) in cases::<f32>() {
            assert!(apply(forward, nan).is_nan(), "{name}(NaN) at {isa} is no NaN");
        }
        let table: [(Forward<f32>, f32, f32); 14] = [
            (activation::relu, inf, inf),
            (activation::relu, -inf, 0.0),
            (activation::relu, tiny, tiny),
            (activation::relu, -tiny, 0.0),
            (activation::sigmoid, inf, 1.0),
            (activation::sigmoid, -inf, 0.0),
            (activation::sigmoid, tiny, 0.5),
            (activation::tanh, inf, 1.0),
            (activation::tanh, -inf, -1.0),
            (activation::tanh, -tiny, -tiny),
            (activation::log_sigmoid, -inf, -inf),
            (activation::log_sigmoid, inf, 0.0),
            (activation::arctanh, 1.0, inf),
            (activation::arctanh, -1.0, -inf),
        ];
        for (f, x, expected) in table {
            assert_eq!(apply(f, x), expected, "at {isa} for {x:e}");
        }
        assert!(apply(activation::arctanh, 1.5).is_nan());
        assert!(apply(activation::tanh, -0.0).is_sign_negative());

        let mut dx = [9.0; 4];
        activation::relu_backward(isa, &[nan, 0.0, tiny, -0.0], &[1.0, 2.0, 3.0, nan], &mut dx);
        assert_eq!(dx, [1.0, 0.0, 3.0, 0.0], "{isa}");
    });
}

#[test]
fn reference_gradients_match_central_differences() {
    // Truncation h^2 / 6 * |f'''| (at most 31 here) and rounding EPSILON * |f| / h.
    let (h, bound) = (1e-5, 1e-9);
    for (name, _, _, forward, backward, from_output, range) in cases::<f64>() {
        let range = if name == "arctanh" { 0.6 } else { f64::min(range, 3.0) };
        let x: Vec<f64> = scaled::<f64>(50, 5, range).into_iter().filter(|x| x.abs() > h).collect();
        let dy = data::<f64>(x.len(), 6);
        let shifted = |by: f64| forward(&x.iter().map(|x| x + by).collect::<Vec<_>>());
        let kept = if from_output { forward(&x) } else { x.clone() };
        let differences: Vec<f64> = shifted(h)
            .iter()
            .zip(shifted(-h))
            .zip(&dy)
            .map(|((a, b), dy)| dy * (a - b) / (2.0 * h))
            .collect();
        assert_close(name, &backward(&kept, &dy), &differences, |_| bound);
    }
}

#[test]
#[should_panic(expected = "relu: input 0 has 3 elements, but the output has 4")]
fn different_lengths_panic_with_both() {
    activation::relu(Isa::portable(), &[0f32; 3], &mut [0f32; 4]);
}
