//! Pooling to a given size against the f64 reference, and windows by hand.

mod common;

use common::{Guarded, assert_close, data, each_isa, widen};
use isograd_kernels::pool::{
    AdaptivePool2d, PoolError, adaptive_average_pool, adaptive_average_pool_backward, adaptive_max_pool,
    adaptive_max_pool_backward, adaptive_max_pool_eval,
};
use isograd_kernels::reference::pool::{self as reference, Maxima};
use isograd_kernels::{Element, Isa};
use proptest::prelude::*;

const SAMPLES: [usize; 7] = [0, 1, 3, 16, 17, 32, 48];

fn pool(c: usize, input: [usize; 2], output: [usize; 2]) -> AdaptivePool2d {
    AdaptivePool2d::new(c, input.into(), output.into()).expect("a possible shape")
}

/// Windows side by side, with an overlap in one or both dimensions, of one element, and repeated elements.
fn shapes() -> Vec<AdaptivePool2d> {
    vec![
        pool(2, [6, 8], [3, 2]),
        pool(3, [5, 5], [1, 1]),
        pool(2, [7, 5], [3, 2]),
        pool(1, [10, 7], [7, 7]),
        pool(2, [6, 5], [3, 3]),
        pool(1, [3, 2], [7, 5]),
        pool(2, [1, 1], [3, 3]),
    ]
}

fn input_len(shape: &AdaptivePool2d, n: usize) -> usize {
    shape.channels() * shape.input().h * shape.input().w * n
}

/// A bound of the number of elements in a window, and of windows over an element.
fn taps(shape: &AdaptivePool2d) -> f64 {
    let (input, output) = (shape.input(), shape.output());
    let most = |a: usize, b: usize| (a.max(b).div_ceil(a.min(b)) + 1) as f64;
    most(input.h, output.h) * most(input.w, output.w)
}

fn check_average<T: Element>(isa: Isa, shape: &AdaptivePool2d, n: usize) {
    let x = Guarded::new(&data::<T>(input_len(shape, n), 1));
    let expected = reference::adaptive_average_pool(shape, n, &widen(x.check()));
    let mut y = Guarded::nan(expected.len());
    adaptive_average_pool(isa, shape, n, x.check(), y.slice());
    let what = format!("{isa} {} n={n} {shape:?}", T::NAME);
    // See the test of `average_pool`.
    let (taps, eps) = (taps(shape), T::EPSILON.to_f64());
    assert_close(&format!("average of {what}"), y.check(), &expected, |_| (taps + 2.0) * eps);

    let dy = Guarded::new(&data::<T>(expected.len(), 2));
    let expected = reference::adaptive_average_pool_backward(shape, n, &widen(dy.check()));
    let mut dx = Guarded::nan(expected.len());
    adaptive_average_pool_backward(isa, shape, n, dy.check(), dx.slice());
    assert_close(&format!("dx of {what}"), dx.check(), &expected, |_| taps * (taps + 2.0) * eps);
}

/// Compares maxima and their indices. Nothing is rounded, so they must be equal.
fn check_max<T: Element>(isa: Isa, shape: &AdaptivePool2d, n: usize, x: &[T]) {
    let Maxima { y: y_ref, argmax: argmax_ref } = reference::adaptive_max_pool(shape, n, &widen(x));
    let (x, mut y, mut argmax) = (Guarded::new(x), Guarded::nan(y_ref.len()), Guarded::nan(y_ref.len()));
    adaptive_max_pool(isa, shape, n, x.check(), y.slice(), argmax.slice());
    let what = format!("{isa} {} n={n} {shape:?}", T::NAME);
    assert_close(&format!("max of {what}"), y.check(), &y_ref, |_| 0.0);
    assert_close(&format!("argmax of {what}"), argmax.check(), &argmax_ref, |_| 0.0);
    let mut eval = Guarded::nan(y_ref.len());
    adaptive_max_pool_eval(isa, shape, n, x.check(), eval.slice());
    assert_close(&format!("max without argmax of {what}"), eval.check(), &y_ref, |_| 0.0);

    let dy = Guarded::new(&data::<T>(y_ref.len(), 3));
    let expected = reference::adaptive_max_pool_backward(shape, n, &argmax_ref, &widen(dy.check()));
    let mut dx = Guarded::nan(expected.len());
    adaptive_max_pool_backward(isa, shape, n, argmax.check(), dy.check(), dx.slice());
    let bound = taps(shape).powi(2) * T::EPSILON.to_f64();
    assert_close(&format!("dx of {what}"), dx.check(), &expected, |_| bound);
}

fn check_all<T: Element>() {
    each_isa(|isa| {
        for (shape, n) in shapes().iter().flat_map(|shape| SAMPLES.map(|n| (shape, n))) {
            check_average::<T>(isa, shape, n);
            check_max(isa, shape, n, &data::<T>(input_len(shape, n), 7));
        }
    });
}

#[test]
fn matches_reference_f32() {
    check_all::<f32>();
}

#[test]
fn matches_reference_f64() {
    check_all::<f64>();
}

#[test]
fn maxima_of_special_values() {
    let values = [f32::NAN, 1.0, 1.0, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0, 1e-40, -2.0];
    each_isa(|isa| {
        for (shape, n) in shapes().iter().flat_map(|shape| [1, 16, 33].map(|n| (shape, n))) {
            let pick = |v: &f32| values[((v + 1.0) * 0.5 * values.len() as f32) as usize];
            let x: Vec<f32> = data::<f32>(input_len(shape, n), 11).iter().map(pick).collect();
            check_max(isa, shape, n, &x);
        }
    });
}

/// The windows of 5 elements for 3 outputs are 0..2, 1..4 and 3..5; those of 2 elements for 3 outputs are
/// 0..1, 0..2 and 1..2.
#[test]
fn windows_by_hand() {
    let isa = Isa::best();
    for (x, outputs, expected) in [
        (vec![1.0, 3.0, 5.0, 10.0, 20.0], 3, vec![2.0, 6.0, 15.0]),
        (vec![1.0, 5.0], 3, vec![1.0, 3.0, 5.0]),
        (vec![1.0, 5.0], 4, vec![1.0, 1.0, 5.0, 5.0]),
    ] {
        let (rows, columns) = (pool(1, [x.len(), 1], [outputs, 1]), pool(1, [1, x.len()], [1, outputs]));
        for shape in [rows, columns] {
            let mut y = vec![0.0; outputs];
            adaptive_average_pool(isa, &shape, 1, &x, &mut y);
            assert_close(&format!("{shape:?}"), &y, &expected, |_| 4.0 * f64::EPSILON);
        }
    }
}

#[test]
fn impossible_sizes() {
    let new = |c, input: [usize; 2], output: [usize; 2]| AdaptivePool2d::new(c, input.into(), output.into());
    assert_eq!(new(1, [0, 3], [1, 1]), Err(PoolError::EmptyImage { c: 1, h: 0, w: 3 }));
    assert_eq!(new(1, [3, 3], [1, 0]), Err(PoolError::EmptyOutput { output: [1, 0].into() }));
    assert_eq!(new(1, [5001, 5001], [1, 1]), Err(PoolError::TooManyTaps { kh: 5001, kw: 5001 }));
    let huge = usize::MAX / 4;
    assert_eq!(new(8, [1, 1], [huge, 1]), Err(PoolError::Overflow { c: 8, h: 1, w: 1 }));
    assert_eq!(new(1, [5, 1], [huge, 1]), Err(PoolError::Overflow { c: 1, h: 5, w: 1 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_sizes(
        (h, w) in (1usize..9, 1usize..9),
        output in [1usize..9, 1usize..9],
        n in prop::sample::select(vec![1usize, 5, 16, 32]),
    ) {
        let shape = pool(2, [h, w], output);
        check_average::<f32>(Isa::best(), &shape, n);
        check_max(Isa::best(), &shape, n, &data::<f32>(input_len(&shape, n), 23));
    }

    /// `<average(x), dy> = <x, average_backward(dy)>`.
    #[test]
    fn average_adjoint(seed in 0u64..1000, output in [1usize..9, 1usize..9]) {
        let (shape, n) = (pool(2, [7, 5], output), 3);
        let x = data::<f64>(input_len(&shape, n), seed);
        let dy = data::<f64>(2 * output[0] * output[1] * n, seed + 1);
        let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
        adaptive_average_pool(Isa::best(), &shape, n, &x, &mut y);
        adaptive_average_pool_backward(Isa::best(), &shape, n, &dy, &mut dx);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let bound = 2.0 * (x.len() + 40) as f64 * f64::EPSILON * y.len() as f64;
        prop_assert!((dot(&y, &dy) - dot(&x, &dx)).abs() <= bound);
    }
}
