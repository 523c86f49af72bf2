//! Losses against their f64 reference, and that reference against central differences.

mod common;

use common::{Guarded, LENGTHS, assert_close, data, each_isa, widen};
use isograd_kernels::reference::loss as reference;
use isograd_kernels::{Element, Isa, activation, loss, softmax};

const SCALE: f64 = 1.0 / 48.0;

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

fn total_is_close(what: &str, total: f64, expected: f64, bound: f64) {
    assert!((total - expected).abs() <= bound, "{what}: total {total}, expected {expected}, bound {bound:e}");
}

fn check_softmax_cross_entropy<T: Element>() {
    let eps = T::EPSILON.to_f64();
    each_isa(|isa| {
        for (classes, n) in [1, 2, 10, 33].into_iter().flat_map(|classes| LENGTHS.map(|n| (classes, n))) {
            let what = format!("softmax_cross_entropy at {isa}, {classes} classes of {n}, {}", T::NAME);
            let (x, labels) = (Guarded::new(&logits::<T>(classes * n, 1)), labels(n, classes));
            let (mut p, mut dx) = (Guarded::<T>::nan(classes * n), Guarded::<T>::nan(classes * n));
            let total = loss::softmax_cross_entropy(
                isa,
                classes,
                n,
                x.check(),
                &labels,
                SCALE,
                p.slice(),
                dx.slice(),
            );

            // See tests/softmax.rs for the relative error of a probability; that of the sum is half of it.
            let relative = 2.0 * eps * (2.0 * (8.0 + 2.0) + classes as f64 / 2.0 + 1.0);
            let wide = widen(x.check());
            let expected = reference::softmax_cross_entropy(classes, n, &wide, &labels);
            total_is_close(&what, total, expected, n as f64 * relative);
            let expected = reference::softmax_cross_entropy_backward(classes, n, &wide, &labels, SCALE);
            assert_close(&what, dx.check(), &expected, |_| SCALE * (relative + 2.0 * eps));

            let mut softmax_p = vec![T::ZERO; classes * n];
            softmax::softmax(isa, classes, n, x.check(), &mut softmax_p);
            assert_eq!(p.check(), softmax_p, "{what}: probabilities are not the softmax");

            let mut eval_p = Guarded::<T>::nan(classes * n);
            let eval = loss::softmax_cross_entropy_eval(isa, classes, n, x.check(), &labels, eval_p.slice());
            assert_eq!(eval.to_bits(), total.to_bits(), "{what}: evaluation differs from training");
            assert_eq!(eval_p.check(), p.check(), "{what}: evaluation differs from training");
        }
    });
}

#[test]
fn softmax_cross_entropy_in_f32() {
    check_softmax_cross_entropy::<f32>();
}

#[test]
fn softmax_cross_entropy_in_f64() {
    check_softmax_cross_entropy::<f64>();
}

#[test]
fn loss_survives_where_the_probability_underflows() {
    each_isa(|isa| {
        let (mut p, mut dx) = ([0.0; 2], [0.0; 2]);
        let total = loss::softmax_cross_entropy(isa, 2, 1, &[500f32, -500.0], &[1], 1.0, &mut p, &mut dx);
        assert_eq!((total, p, dx), (1000.0, [1.0, 0.0], [1.0, -1.0]), "{isa}");
        // Here the probability is 1 - 2e-9. ln(1 + e^-20) would be 2.06e-9 in f64; the f32 sum rounds it to
        // 0.
        let total = loss::softmax_cross_entropy(isa, 2, 1, &[20f32, 0.0], &[0], 1.0, &mut p, &mut dx);
        assert!((0.0..=f64::from(f32::EPSILON)).contains(&total), "{isa}: {total:e}");
    });
}

#[test]
fn nan_and_plus_infinity_make_the_loss_nan() {
    each_isa(|isa| {
        for bad in [f32::NAN, f32::INFINITY] {
            for at in 0..3 * 17 {
                let mut x = logits::<f32>(3 * 17, 2);
                x[at] = bad;
                let total = loss::softmax_cross_entropy_eval(isa, 3, 17, &x, &labels(17, 3), &mut [0.0; 51]);
                assert!(total.is_nan(), "{bad} at {at}, {isa}: {total}");
            }
        }
    });
}

#[test]
fn minus_infinity_rules_a_class_out() {
    const INF: f32 = f32::INFINITY;
    each_isa(|isa| {
        let n = 17;
        let finite = logits::<f32>(2 * n, 2);
        let of_two = [vec![0; n], vec![1; n]];
        let with_a_third = [finite.clone(), vec![-INF; n]].concat();
        for labels in of_two {
            let (mut p, mut dx) = (vec![0.0; 2 * n], vec![0.0; 2 * n]);
            let expected = loss::softmax_cross_entropy(isa, 2, n, &finite, &labels, 1.0, &mut p, &mut dx);
            p.resize(3 * n, 0.0);
            dx.resize(3 * n, 0.0);
            let (mut p3, mut dx3) = (vec![f32::NAN; 3 * n], vec![f32::NAN; 3 * n]);
            let total =
                loss::softmax_cross_entropy(isa, 3, n, &with_a_third, &labels, 1.0, &mut p3, &mut dx3);
            assert_eq!((total, p3, dx3), (expected, p, dx), "{isa}");
        }
        let (mut p, mut dx) = ([0.0; 2], [0.0; 2]);
        let total = loss::softmax_cross_entropy(isa, 2, 1, &[2.0, -INF], &[1], 0.5, &mut p, &mut dx);
        assert_eq!((total, p, dx), (f64::INFINITY, [1.0, 0.0], [0.5, -0.5]), "{isa}");
        let nothing_else = loss::softmax_cross_entropy_eval(isa, 2, 1, &[-INF; 2], &[1], &mut p);
        assert!(nothing_else.is_nan(), "{isa}: {nothing_else}");
    });
}

fn check_with_logits<T: Element>(isa: Isa, x: &[T], t: &[T]) {
    let eps = T::EPSILON.to_f64();
    let tiny = if T::NAME == "float32" { f64::from(f32::MIN_POSITIVE) } else { f64::MIN_POSITIVE };
    let what = format!("binary_cross_entropy_with_logits at {isa}, {} of {x:?} for {t:?}", T::NAME);
    let (x, t) = (Guarded::new(x), Guarded::new(t));
    let len = x.check().len();
    let (mut p, mut dx) = (Guarded::<T>::nan(len), Guarded::<T>::nan(len));
    let total =
        loss::binary_cross_entropy_with_logits(isa, x.check(), t.check(), SCALE, p.slice(), dx.slice());

    // The relative errors in a loss are 2.5 EPSILON for e^-|x|, 2 more for ln(1 + e^-|x|), 1 for the other
    // addend, and half an EPSILON for the sum. The reference has such errors too, and each addition in f64
    // has an error of half an f64::EPSILON.
    let (wide_x, wide_t) = (widen(x.check()), widen(t.check()));
    let expected = reference::binary_cross_entropy_with_logits(&wide_x, &wide_t);
    if expected.is_finite() {
        let relative = 6.0 * (eps + f64::EPSILON) + len as f64 * f64::EPSILON;
        total_is_close(&what, total, expected, relative * expected + len as f64 * tiny);
    } else {
        assert!(
            total == expected || (total.is_nan() && expected.is_nan()),
            "{what}: {total}, not {expected}"
        );
    }

    // The error of each part of a gradient is at most 5.5 EPSILON for 1 - p, plus half an EPSILON each for
    // 1 - t, the product, the difference and the scale.
    let expected = reference::binary_cross_entropy_with_logits_backward(&wide_x, &wide_t, SCALE);
    let at_target =
        |t: f64| reference::binary_cross_entropy_with_logits_backward(&wide_x, &vec![t; len], SCALE);
    let (of_p, of_not_p) = (at_target(0.0), at_target(1.0));
    assert_close(&what, dx.check(), &expected, |i| {
        let parts = (1.0 - wide_t[i]) * of_p[i] - wide_t[i] * of_not_p[i];
        8.0 * (eps + f64::EPSILON) * parts + tiny
    });

    let mut sigmoid = vec![T::ZERO; len];
    activation::sigmoid(isa, x.check(), &mut sigmoid);
    let bits = |x: &[T]| x.iter().map(|x| x.to_f64().to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(p.check()), bits(&sigmoid), "{what}: probabilities are not the sigmoid");
    let mut eval_p = Guarded::<T>::nan(len);
    let eval = loss::binary_cross_entropy_with_logits_eval(isa, x.check(), t.check(), eval_p.slice());
    assert_eq!(eval.to_bits(), total.to_bits(), "{what}: evaluation differs from training");
    assert_eq!(bits(eval_p.check()), bits(p.check()), "{what}: evaluation differs from training");
}

fn check_binary_cross_entropy_with_logits<T: Element>() {
    each_isa(|isa| {
        for n in LENGTHS {
            check_with_logits(isa, &logits::<T>(n, 3), &probs::<T>(n, 4));
        }
        let inf = f64::INFINITY;
        for x in [0.0, -0.0, 1.0, -1.0, 18.0, -18.0, 30.0, -30.0, 100.0, -100.0, inf, -inf, f64::NAN] {
            for t in [0.0, 1.0, 0.25] {
                // One element alone in a partial vector, and enough elements for whole vectors.
                for len in [1, 33] {
                    check_with_logits(isa, &vec![T::from_f64(x); len], &vec![T::from_f64(t); len]);
                }
            }
        }
    });
}

#[test]
fn binary_cross_entropy_with_logits_in_f32() {
    check_binary_cross_entropy_with_logits::<f32>();
}

#[test]
fn binary_cross_entropy_with_logits_in_f64() {
    check_binary_cross_entropy_with_logits::<f64>();
}

#[test]
fn a_saturated_sigmoid_has_a_loss_and_a_gradient() {
    each_isa(|isa| {
        let (mut p, mut dx) = ([0.0; 4], [0.0; 4]);
        let (x, t) = ([30f32, 30.0, f32::INFINITY, f32::NEG_INFINITY], [0.0, 1.0, 1.0, 0.0]);
        let total = loss::binary_cross_entropy_with_logits(isa, &x, &t, 1.0, &mut p, &mut dx);
        assert!((total - 30.0).abs() < 1e-12, "{isa}: {total}");
        assert_eq!(p, [1.0, 1.0, 1.0, 0.0], "{isa}");
        assert_eq!([dx[0], dx[2], dx[3]], [1.0, 0.0, 0.0], "{isa}");
        let e = (-30f64).exp();
        assert!((f64::from(dx[1]) + e).abs() < 1e-6 * e, "{isa}: {:e}", dx[1]);
    });
}

fn check_on_probabilities<T: Element>() {
    let eps = T::EPSILON.to_f64();
    each_isa(|isa| {
        for n in LENGTHS {
            let (classes, labels) = (3, labels(n, 3));
            let what = format!("{isa}, {n} samples, {}", T::NAME);
            let p = Guarded::new(&probs::<T>(classes * n, 3));
            let wide = widen(p.check());
            let mut dp = Guarded::<T>::nan(classes * n);
            let total = loss::cross_entropy(classes, n, p.check(), &labels, SCALE, Some(dp.slice()));
            let expected = reference::cross_entropy(n, &wide, &labels, 1e-8);
            total_is_close(&what, total, expected, 1e-14 * (n as f64 + 1.0) * 10.0);
            let expected = reference::cross_entropy_backward(n, &wide, &labels, SCALE, 1e-8);
            assert_close(&what, dp.check(), &expected, |i| eps * expected[i].abs());
            let without = loss::cross_entropy(classes, n, p.check(), &labels, SCALE, None);
            assert_eq!(without, total, "{what}: the gradient changes the loss");

            let t = probs::<T>(classes * n, 4);
            let mut dp = Guarded::<T>::nan(classes * n);
            let total = loss::binary_cross_entropy(p.check(), &t, SCALE, Some(dp.slice()));
            let clamp = if T::NAME == "float32" { f64::from(f32::EPSILON) / 2.0 } else { 1e-8 };
            let expected = reference::binary_cross_entropy(&wide, &widen(&t), clamp);
            total_is_close(&what, total, expected, 1e-14 * (3.0 * n as f64 + 1.0) * 10.0);
            let expected = reference::binary_cross_entropy_backward(&wide, &widen(&t), SCALE, clamp);
            assert_close(&what, dp.check(), &expected, |i| eps * expected[i].abs());

            let mut dy = Guarded::<T>::nan(classes * n);
            let total = loss::mean_squared_error(isa, p.check(), &t, SCALE, Some(dy.slice()));
            let expected = reference::mean_squared_error(&wide, &widen(&t));
            total_is_close(&what, total, expected, 1e-14 * (3.0 * n as f64 + 1.0));
            let expected = reference::mean_squared_error_backward(&wide, &widen(&t), SCALE);
            assert_close(&what, dy.check(), &expected, |i| 2.0 * eps * expected[i].abs());
            let without = loss::mean_squared_error(isa, p.check(), &t, SCALE, None);
            assert_eq!(without, total, "{what}: the gradient changes the loss");
        }
    });
}

#[test]
fn losses_on_probabilities_in_f32() {
    check_on_probabilities::<f32>();
}

#[test]
fn losses_on_probabilities_in_f64() {
    check_on_probabilities::<f64>();
}

#[test]
fn clamped_probabilities_give_finite_losses_and_gradients() {
    let isa = Isa::best();
    let mut dp = [0f32; 2];
    let total = loss::cross_entropy(2, 1, &[0f32, 1.0], &[0], 1.0, Some(&mut dp));
    assert!((total - 18.420_680_743_952_367).abs() < 1e-14, "{total}");
    assert_eq!(dp, [-1e8, 0.0]);

    // A certain and right probability costs nearly nothing. A certain and wrong one costs -ln(2^-24), and its
    // gradient points back.
    let mut dp = [0f32; 4];
    let total = loss::binary_cross_entropy(&[0f32, 1.0, 0.0, 1.0], &[0.0, 1.0, 1.0, 0.0], 1.0, Some(&mut dp));
    let expected = 2.0 * 24.0 * std::f64::consts::LN_2;
    assert!((total - expected).abs() < 1e-6, "{total}");
    assert!(dp[2] < -1e7 && dp[3] > 1e7 && dp.iter().all(|dp| dp.is_finite()), "{dp:?}");
    assert!(loss::binary_cross_entropy(&[f32::NAN], &[1.0], 1.0, None).is_nan());
    assert!(loss::cross_entropy(1, 1, &[f32::NAN], &[0], 1.0, None).is_nan());
    assert!(loss::mean_squared_error(isa, &[f32::NAN], &[1.0], 1.0, None).is_nan());
}

#[test]
fn reference_gradients_match_central_differences() {
    let (classes, n, h) = (4, 6, 1e-5);
    let labels = labels(n, classes);
    let x = probs::<f64>(classes * n, 5).iter().map(|p| 0.2 + 0.6 * p).collect::<Vec<_>>();
    let t = probs::<f64>(classes * n, 6);
    let differences = |value: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
        let shifted = |i: usize, by: f64| {
            let mut x = x.clone();
            x[i] += by;
            SCALE * value(&x)
        };
        (0..x.len()).map(|i| (shifted(i, h) - shifted(i, -h)) / (2.0 * h)).collect()
    };
    // Truncation SCALE * h^2 / 6 * |f'''|, |f'''| <= 2 / 0.2^3, and rounding SCALE * EPSILON * |f| / h, |f| <
    // 60.
    for (what, gradient, value) in [
        (
            "softmax_cross_entropy",
            reference::softmax_cross_entropy_backward(classes, n, &x, &labels, SCALE),
            &(|x: &[f64]| reference::softmax_cross_entropy(classes, n, x, &labels)) as &dyn Fn(&[f64]) -> f64,
        ),
        ("cross_entropy", reference::cross_entropy_backward(n, &x, &labels, SCALE, 1e-8), &|x: &[f64]| {
            reference::cross_entropy(n, x, &labels, 1e-8)
        }),
        (
            "binary_cross_entropy",
            reference::binary_cross_entropy_backward(&x, &t, SCALE, 1e-8),
            &|x: &[f64]| reference::binary_cross_entropy(x, &t, 1e-8),
        ),
        (
            "binary_cross_entropy_with_logits",
            reference::binary_cross_entropy_with_logits_backward(&x, &t, SCALE),
            &|x: &[f64]| reference::binary_cross_entropy_with_logits(x, &t),
        ),
        ("mean_squared_error", reference::mean_squared_error_backward(&x, &t, SCALE), &|x: &[f64]| {
            reference::mean_squared_error(x, &t)
        }),
    ] {
        assert_close(what, &gradient, &differences(value), |_| 1e-9);
    }
}

#[test]
#[should_panic(expected = "softmax_cross_entropy: sample 2 has label 10, but there are only 10 classes")]
fn label_out_of_range_panics_with_its_sample() {
    loss::softmax_cross_entropy_eval(Isa::portable(), 10, 3, &[0f32; 30], &[0, 9, 10], &mut [0f32; 30]);
}

#[test]
#[should_panic(expected = "cross_entropy: there are 2 labels for 3 samples")]
fn missing_labels_panic_with_both_counts() {
    loss::cross_entropy(2, 3, &[0f32; 6], &[0, 1], 1.0, None);
}
