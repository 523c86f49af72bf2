//! Cross-entropy with shared targets, the hinge loss and errors of numbers against their f64 reference, and
//! that reference against central differences.

mod common;

use common::{Guarded, LENGTHS, assert_close, data, each_isa, widen};
use isograd_kernels::loss::{self, LabelShares};
use isograd_kernels::reference::loss as reference;
use isograd_kernels::{Element, Isa};

const SCALE: f64 = 1.0 / 48.0;
const DELTA: f64 = 0.75;

fn labels(n: usize, classes: usize) -> Vec<u32> {
    (0..n).map(|s| (s * 7 % classes) as u32).collect()
}

/// Logits between -8 and 8.
fn logits<T: Element>(len: usize, seed: u64) -> Vec<T> {
    data::<T>(len, seed).into_iter().map(|x| x * T::from_f64(8.0)).collect()
}

/// Probabilities in (0, 1).
fn probs<T: Element>(len: usize, seed: u64) -> Vec<T> {
    data::<f64>(len, seed).into_iter().map(|x| T::from_f64(0.5 + 0.499 * x)).collect()
}

/// Weights between 0.5 and 2, and 0 for the third class.
fn weights(classes: usize) -> Vec<f64> {
    (0..classes).map(|k| if k == 2 { 0.0 } else { 0.5 + 1.5 * (k as f64 / classes as f64) }).collect()
}

fn total_is_close(what: &str, total: f64, expected: f64, bound: f64) {
    assert!((total - expected).abs() <= bound, "{what}: total {total}, expected {expected}, bound {bound:e}");
}

/// Every combination of no, some and only smoothing with no and some weights.
fn shares(weights: &[f64]) -> Vec<(LabelShares<'_>, Vec<f64>)> {
    let ones = vec![1.0; weights.len()];
    [0.0, 0.1, 1.0]
        .into_iter()
        .flat_map(|smoothing| {
            [
                (LabelShares { smoothing, weights: None }, ones.clone()),
                (LabelShares { smoothing, weights: Some(weights) }, weights.to_vec()),
            ]
        })
        .collect()
}

fn check_smoothed<T: Element>() {
    let eps = T::EPSILON.to_f64();
    each_isa(|isa| {
        for (classes, n) in [1, 2, 10, 33].into_iter().flat_map(|classes| LENGTHS.map(|n| (classes, n))) {
            let weights = weights(classes);
            let labels = labels(n, classes);
            for (shares, plain_weights) in shares(&weights) {
                let what = format!("{isa}, {classes} classes of {n}, {}, {shares:?}", T::NAME);
                let targets = reference::shared_targets(&labels, shares.smoothing, &plain_weights);
                let len = classes * n;
                let x = Guarded::new(&logits::<T>(len, 1));
                let (mut p, mut dx) = (Guarded::<T>::nan(len), Guarded::<T>::nan(len));
                let run = |p: &mut [T], dx: Option<&mut [T]>| {
                    loss::smoothed_softmax_cross_entropy(
                        isa,
                        classes,
                        n,
                        x.check(),
                        &labels,
                        shares,
                        SCALE,
                        p,
                        dx,
                    )
                };
                let total = run(p.slice(), Some(dx.slice()));
                // See tests/loss.rs for the relative error of a probability. The targets of a sample add up
                // to at most 2, each times a distance of at most 16, which is a sum of `classes` terms.
                let relative = 2.0 * eps * (2.0 * (8.0 + 2.0) + classes as f64 / 2.0 + 1.0);
                let wide = widen(x.check());
                let expected = reference::softmax_cross_entropy_of_targets(classes, n, &wide, &targets);
                let distance_error = eps * 16.0 * (classes as f64 + 2.0);
                total_is_close(&what, total, expected, 2.0 * n as f64 * (relative + distance_error));
                let expected =
                    reference::softmax_cross_entropy_of_targets_backward(classes, n, &wide, &targets, SCALE);
                let bound = 2.0 * SCALE * (relative + 3.0 * eps);
                assert_close(&what, dx.check(), &expected, |_| bound);

                let mut eval_p = Guarded::<T>::nan(len);
                let eval = run(eval_p.slice(), None);
                assert_eq!(eval.to_bits(), total.to_bits(), "{what}: the gradient changes the loss");
                assert_eq!(eval_p.check(), p.check(), "{what}: the gradient changes the probabilities");
                if shares.smoothing == 0.0 && shares.weights.is_none() {
                    let (mut plain_p, mut plain_dx) = (vec![T::ZERO; len], vec![T::ZERO; len]);
                    let plain = loss::softmax_cross_entropy(
                        isa,
                        classes,
                        n,
                        x.check(),
                        &labels,
                        SCALE,
                        &mut plain_p,
                        &mut plain_dx,
                    );
                    total_is_close(&what, total, plain, 1e-14 * (1.0 + plain));
                    assert_eq!(p.check(), plain_p, "{what}: other probabilities than without shares");
                }

                let (p, mut dp) = (Guarded::new(&probs::<T>(len, 3)), Guarded::<T>::nan(len));
                let total = loss::smoothed_cross_entropy(
                    classes,
                    n,
                    p.check(),
                    &labels,
                    shares,
                    SCALE,
                    Some(dp.slice()),
                );
                let wide = widen(p.check());
                let expected = reference::cross_entropy_of_targets(&wide, &targets, 1e-8);
                total_is_close(&what, total, expected, 1e-13 * (len as f64 + 1.0));
                let expected = reference::cross_entropy_of_targets_backward(&wide, &targets, SCALE, 1e-8);
                // The targets and the reference round too, in f64.
                assert_close(&what, dp.check(), &expected, |i| {
                    (eps + 2.0 * f64::EPSILON) * expected[i].abs()
                });
                let without =
                    loss::smoothed_cross_entropy(classes, n, p.check(), &labels, shares, SCALE, None);
                assert_eq!(without, total, "{what}: the gradient changes the loss");
            }
        }
    });
}

#[test]
fn smoothed_cross_entropy_in_f32() {
    check_smoothed::<f32>();
}

#[test]
fn smoothed_cross_entropy_in_f64() {
    check_smoothed::<f64>();
}

/// Two classes with logits ln 3 and 0, so with the probabilities 3/4 and 1/4.
#[test]
fn smoothed_cross_entropy_by_hand() {
    let weights = [2.0, 0.5];
    let (mut p, mut dx) = ([0.0; 2], [0.0; 2]);
    let shares = LabelShares { smoothing: 0.2, weights: Some(&weights) };
    let total = loss::smoothed_softmax_cross_entropy(
        Isa::best(),
        2,
        1,
        &[3f64.ln(), 0.0],
        &[0],
        shares,
        1.0,
        &mut p,
        Some(&mut dx),
    );
    // The targets are 2 (0.8 + 0.1) and 0.5 * 0.1.
    let expected = -1.8 * 0.75f64.ln() - 0.05 * 0.25f64.ln();
    assert!((total - expected).abs() < 1e-14, "{total}, not {expected}");
    assert_close("dx", &dx, &[1.85 * 0.75 - 1.8, 1.85 * 0.25 - 0.05], |_| 1e-15);
    let total = loss::smoothed_cross_entropy(2, 1, &[0.75, 0.25], &[0], shares, 1.0, Some(&mut dx));
    assert!((total - expected).abs() < 1e-14, "{total}, not {expected}");
    assert_close("dp", &dx, &[-1.8 / 0.75, -0.05 / 0.25], |_| 1e-15);
}

#[test]
fn smoothed_cross_entropy_of_special_values() {
    const INF: f32 = f32::INFINITY;
    each_isa(|isa| {
        let run = |x: &[f32; 3], smoothing: f64, weights: [f64; 3]| {
            let (mut p, mut dx) = ([0f32; 3], [0f32; 3]);
            let shares = LabelShares { smoothing, weights: Some(&weights) };
            let total =
                loss::smoothed_softmax_cross_entropy(isa, 3, 1, x, &[0], shares, 1.0, &mut p, Some(&mut dx));
            (total, dx)
        };
        // A class that is ruled out costs nothing if it has no target, and everything if it has one.
        let (total, dx) = run(&[0.0, 0.0, -INF], 0.3, [1.0, 1.0, 0.0]);
        assert!((total - 0.9 * 2f64.ln()).abs() < 1e-6 && dx[2] == 0.0, "{isa}: {total} {dx:?}");
        assert_eq!(run(&[0.0, 0.0, -INF], 0.3, [1.0; 3]).0, f64::INFINITY, "{isa}");
        assert_eq!(run(&[-INF, 0.0, 0.0], 0.0, [1.0; 3]).0, f64::INFINITY, "{isa}");
        assert!(run(&[-INF, 0.0, 0.0], 0.0, [0.0, 1.0, 1.0]).0 == 0.0, "{isa}");
        for bad in [f32::NAN, INF] {
            for at in 0..3 {
                let mut x = [0.5, 1.0, 0.25];
                x[at] = bad;
                assert!(run(&x, 0.1, [1.0; 3]).0.is_nan(), "{isa}, {bad} at {at}");
            }
        }
        // Far from underflow: the first class has the probability e^-1000.
        let (total, _) = run(&[-500.0, 500.0, 500.0], 0.0, [1.0; 3]);
        assert!((total - 1000.0 - 2f64.ln()).abs() < 1e-6, "{isa}: {total}");
    });
}

fn check_hinge<T: Element>() {
    let eps = T::EPSILON.to_f64();
    each_isa(|isa| {
        for (classes, n) in [1, 2, 10, 33].into_iter().flat_map(|classes| LENGTHS.map(|n| (classes, n))) {
            let what = format!("{isa}, {classes} classes of {n}, {}", T::NAME);
            // Quarters, so that scores are often equal.
            let quarter = |x: T| T::from_f64((x.to_f64() * 8.0).round() / 4.0);
            let x: Vec<T> = data::<T>(classes * n, 1).into_iter().map(quarter).collect();
            let (x, labels) = (Guarded::new(&x), labels(n, classes));
            let mut dx = Guarded::<T>::nan(classes * n);
            let total = loss::categorical_hinge(isa, classes, n, x.check(), &labels, SCALE, Some(dx.slice()));
            let wide = widen(x.check());
            // All numbers are multiples of a quarter: nothing is rounded but the scale.
            assert_eq!(total, reference::categorical_hinge(classes, n, &wide, &labels), "{what}");
            let expected = reference::categorical_hinge_backward(classes, n, &wide, &labels, SCALE);
            assert_close(&what, dx.check(), &expected, |_| eps * SCALE);
            let without = loss::categorical_hinge(isa, classes, n, x.check(), &labels, SCALE, None);
            assert_eq!(without, total, "{what}: the gradient changes the loss");
        }
    });
}

#[test]
fn hinge_in_f32() {
    check_hinge::<f32>();
}

#[test]
fn hinge_in_f64() {
    check_hinge::<f64>();
}

#[test]
fn hinge_of_special_values() {
    const INF: f32 = f32::INFINITY;
    each_isa(|isa| {
        let run = |x: [f32; 3]| {
            let mut dx = [9f32; 3];
            let total = loss::categorical_hinge(isa, 3, 1, &x, &[1], 2.0, Some(&mut dx));
            (total, dx)
        };
        // The first of two equal rivals; a label that is far enough ahead; negative scores.
        assert_eq!(run([1.0, 0.5, 1.0]), (1.5, [2.0, -2.0, 0.0]), "{isa}");
        assert_eq!(run([1.0, 2.0, 1.0]), (0.0, [0.0; 3]), "{isa}");
        assert_eq!(run([-3.0, -2.5, -4.0]), (0.5, [2.0, -2.0, 0.0]), "{isa}");
        assert_eq!(run([-INF, 0.0, -INF]), (0.0, [0.0; 3]), "{isa}");
        assert_eq!(run([INF, 0.0, 1.0]), (f64::INFINITY, [2.0, -2.0, 0.0]), "{isa}");
        for at in 0..3 {
            let mut x = [1.0, 5.0, 2.0];
            x[at] = f32::NAN;
            let (total, dx) = run(x);
            assert!(total.is_nan() && dx[1].is_nan(), "{isa}, NaN at {at}: {total} {dx:?}");
        }
    });
}

fn check_errors<T: Element>() {
    let eps = T::EPSILON.to_f64();
    each_isa(|isa| {
        for n in LENGTHS {
            let what = format!("{isa}, {n} elements, {}", T::NAME);
            let twice = |seed| data::<T>(n, seed).into_iter().map(|x| x + x).collect::<Vec<T>>();
            let (y, mut t) = (Guarded::new(&twice(1)), twice(2));
            // An error of 0, and one at which the Huber loss becomes linear.
            t.iter_mut().take(1).for_each(|t| *t = y.check()[0]);
            t.iter_mut().enumerate().skip(1).take(1).for_each(|(i, t)| {
                *t = y.check()[i] - T::from_f64(DELTA);
            });
            let (wide, wide_t) = (widen(y.check()), widen(&t));
            let sum_bound = 1e-14 * (n as f64 + 1.0);

            let mut dy = Guarded::<T>::nan(n);
            let total = loss::mean_absolute_error(isa, y.check(), &t, SCALE, Some(dy.slice()));
            total_is_close(&what, total, reference::mean_absolute_error(&wide, &wide_t), sum_bound);
            let expected = reference::mean_absolute_error_backward(&wide, &wide_t, SCALE);
            assert_close(&what, dy.check(), &expected, |_| eps * SCALE);
            let without = loss::mean_absolute_error(isa, y.check(), &t, SCALE, None);
            assert_eq!(without, total, "{what}: the gradient changes the loss");

            let mut dy = Guarded::<T>::nan(n);
            let total = loss::huber(isa, DELTA, y.check(), &t, SCALE, Some(dy.slice()));
            total_is_close(&what, total, reference::huber(DELTA, &wide, &wide_t), sum_bound);
            let expected = reference::huber_backward(DELTA, &wide, &wide_t, SCALE);
            assert_close(&what, dy.check(), &expected, |i| 2.0 * eps * expected[i].abs());
            let without = loss::huber(isa, DELTA, y.check(), &t, SCALE, None);
            assert_eq!(without, total, "{what}: the gradient changes the loss");
        }
    });
}

#[test]
fn errors_of_numbers_in_f32() {
    check_errors::<f32>();
}

#[test]
fn errors_of_numbers_in_f64() {
    check_errors::<f64>();
}

#[test]
fn errors_of_special_values() {
    const INF: f32 = f32::INFINITY;
    each_isa(|isa| {
        // In whole vectors and in a partial one.
        for n in [1, 33] {
            for (y, absolute, huber, slopes) in
                [(INF, f64::INFINITY, f64::INFINITY, [1.0, 0.5]), (-3.0, 3.0, 1.375, [-1.0, -0.5])]
            {
                let (y, t, mut dy) = (vec![y; n], vec![0f32; n], vec![9f32; n]);
                let total = loss::mean_absolute_error(isa, &y, &t, 1.0, Some(&mut dy));
                assert_eq!((total, dy.as_slice()), (absolute * n as f64, vec![slopes[0]; n].as_slice()));
                let total = loss::huber(isa, 0.5, &y, &t, 1.0, Some(&mut dy));
                assert_eq!((total, dy.as_slice()), (huber * n as f64, vec![slopes[1]; n].as_slice()));
            }
            let (y, t, mut dy) = (vec![f32::NAN; n], vec![0f32; n], vec![9f32; n]);
            assert!(loss::mean_absolute_error(isa, &y, &t, 1.0, Some(&mut dy)).is_nan());
            assert!(dy.iter().all(|dy| dy.is_nan()), "{isa}: {dy:?}");
            assert!(loss::huber(isa, 0.5, &y, &t, 1.0, Some(&mut dy)).is_nan());
            assert!(dy.iter().all(|dy| dy.is_nan()), "{isa}: {dy:?}");
        }
    });
}

#[test]
fn reference_gradients_match_central_differences() {
    let (classes, n, h) = (4, 6, 1e-5);
    let labels = labels(n, classes);
    let x = probs::<f64>(classes * n, 5).iter().map(|p| 0.2 + 0.6 * p).collect::<Vec<_>>();
    let t = probs::<f64>(classes * n, 6);
    let targets = reference::shared_targets(&labels, 0.3, &weights(classes));
    let differences = |value: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
        let shifted = |i: usize, by: f64| {
            let mut x = x.clone();
            x[i] += by;
            SCALE * value(&x)
        };
        (0..x.len()).map(|i| (shifted(i, h) - shifted(i, -h)) / (2.0 * h)).collect()
    };
    // See tests/loss.rs. No difference is so small, and no two scores are so close, that h crosses a kink.
    let gaps = x.iter().zip(&t).map(|(x, t)| (x - t).abs());
    assert!(gaps.clone().all(|gap| gap > h && (gap - 0.2).abs() > h), "{gaps:?}");
    for (what, gradient, value) in [
        (
            "softmax_cross_entropy_of_targets",
            reference::softmax_cross_entropy_of_targets_backward(classes, n, &x, &targets, SCALE),
            &(|x: &[f64]| reference::softmax_cross_entropy_of_targets(classes, n, x, &targets))
                as &dyn Fn(&[f64]) -> f64,
        ),
        (
            "cross_entropy_of_targets",
            reference::cross_entropy_of_targets_backward(&x, &targets, SCALE, 1e-8),
            &|x: &[f64]| reference::cross_entropy_of_targets(x, &targets, 1e-8),
        ),
        (
            "categorical_hinge",
            reference::categorical_hinge_backward(classes, n, &x, &labels, SCALE),
            &|x: &[f64]| reference::categorical_hinge(classes, n, x, &labels),
        ),
        ("mean_absolute_error", reference::mean_absolute_error_backward(&x, &t, SCALE), &|x: &[f64]| {
            reference::mean_absolute_error(x, &t)
        }),
        ("huber", reference::huber_backward(0.2, &x, &t, SCALE), &|x: &[f64]| reference::huber(0.2, x, &t)),
    ] {
        assert_close(what, &gradient, &differences(value), |_| 1e-9);
    }
}

#[test]
#[should_panic(expected = "smoothed_cross_entropy: the weight of class 1 is -1, but must be at least 0")]
fn negative_weights_panic_with_their_class() {
    let shares = LabelShares { smoothing: 0.1, weights: Some(&[1.0, -1.0]) };
    loss::smoothed_cross_entropy(2, 1, &[0.5f32; 2], &[0], shares, 1.0, None);
}

#[test]
#[should_panic(expected = "huber: delta is 0, but must be above 0")]
fn a_delta_of_zero_panics() {
    loss::huber(Isa::portable(), 0.0, &[0f32], &[0.0], 1.0, None);
}
