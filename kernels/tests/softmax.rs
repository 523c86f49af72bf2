//! Softmax and log-softmax against their f64 reference, and that reference against central differences.

mod common;

use common::{Guarded, LENGTHS, assert_close, data, each_isa, widen};
use isograd_kernels::reference::activation as reference;
use isograd_kernels::{Element, Isa, softmax};

const CLASSES: [usize; 4] = [1, 2, 10, 33];

/// Logits between -8 and 8.
fn logits<T: Element>(len: usize, seed: u64) -> Vec<T> {
    data::<T>(len, seed).into_iter().map(|x| x * T::from_f64(8.0)).collect()
}

/// The relative error of a probability. The exponents, up to 16 in magnitude, have a relative error of half
/// an `EPSILON`, and each exponential has an error of 2 ULP, in the numerator and in the sum. The sum rounds
/// once for each class, the quotient once. The bound is twice the total, because the reference in f64 has
/// such errors too.
fn relative<T: Element>(classes: usize) -> f64 {
    2.0 * T::EPSILON.to_f64() * (2.0 * (8.0 + 2.0) + classes as f64 / 2.0 + 1.0)
}

fn check<T: Element>() {
    each_isa(|isa| {
        for (classes, n) in CLASSES.into_iter().flat_map(|classes| LENGTHS.map(|n| (classes, n))) {
            let what = format!("softmax at {isa}, {classes} classes of {n}, {}", T::NAME);
            let x = Guarded::new(&logits::<T>(classes * n, 1));
            let mut y = Guarded::<T>::nan(classes * n);
            softmax::softmax(isa, classes, n, x.check(), y.slice());
            let expected = reference::softmax(classes, n, &widen(x.check()));
            let relative = relative::<T>(classes);
            assert_close(&what, y.check(), &expected, |i| relative * expected[i]);

            let mut log_y = Guarded::<T>::nan(classes * n);
            softmax::log_softmax(isa, classes, n, x.check(), log_y.slice());
            let expected = reference::log_softmax(classes, n, &widen(x.check()));
            let eps = T::EPSILON.to_f64();
            assert_close(&what, log_y.check(), &expected, |i| {
                relative + 2.0 * eps * (16.0 + expected[i].abs())
            });

            let dy = Guarded::new(&data::<T>(classes * n, 2));
            let mut dx = Guarded::<T>::nan(classes * n);
            softmax::softmax_backward(isa, classes, n, y.check(), dy.check(), dx.slice());
            let y = widen(y.check());
            let expected = reference::softmax_backward(classes, n, &y, &widen(dy.check()));
            // |dy| <= 1 and the y of a sample add up to 1, so that their dot product is at most 1 in magnitude.
            assert_close(&what, dx.check(), &expected, |i| 2.0 * eps * y[i] * (classes as f64 / 2.0 + 3.0));
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
fn reference_gradient_matches_central_differences() {
    // Truncation h^2 / 6 * |f'''|, |f'''| < 1, and rounding EPSILON * |f| / h, over the classes of one
    // sample.
    let (classes, n, h) = (5, 3, 1e-5);
    let (x, dy) = (data::<f64>(classes * n, 3), data::<f64>(classes * n, 4));
    let value =
        |x: &[f64]| -> f64 { reference::softmax(classes, n, x).iter().zip(&dy).map(|(y, dy)| y * dy).sum() };
    let differences: Vec<f64> = (0..x.len())
        .map(|i| {
            let (mut above, mut below) = (x.clone(), x.clone());
            above[i] += h;
            below[i] -= h;
            (value(&above) - value(&below)) / (2.0 * h)
        })
        .collect();
    let dx = reference::softmax_backward(classes, n, &reference::softmax(classes, n, &x), &dy);
    assert_close("softmax_backward", &dx, &differences, |_| 1e-9);
}

#[test]
fn huge_logits_neither_overflow_nor_lose_the_answer() {
    each_isa(|isa| {
        let n = 18;
        let x: Vec<f32> = [1e4, 1e4 - 100.0, f32::MIN].into_iter().flat_map(|x| vec![x; n]).collect();
        let (mut y, mut log_y) = (vec![0.0; 3 * n], vec![0.0; 3 * n]);
        softmax::softmax(isa, 3, n, &x, &mut y);
        softmax::log_softmax(isa, 3, n, &x, &mut log_y);
        assert_eq!(y, [vec![1.0; n], vec![0.0; 2 * n]].concat(), "{isa}");
        assert_eq!(log_y[..2 * n], [vec![0.0; n], vec![-100.0; n]].concat(), "{isa}");
        assert!(log_y[2 * n..].iter().all(|y| y.is_finite() && *y < -3.4e38), "{isa}: {log_y:?}");
    });
}

#[test]
fn a_bad_sample_spoils_only_itself() {
    let (classes, n) = (4, 20);
    each_isa(|isa| {
        for bad in [f32::NAN, f32::INFINITY] {
            for class in 0..classes {
                let mut x = logits::<f32>(classes * n, 5);
                x[class * n + 17] = bad;
                let mut y = vec![0.0; classes * n];
                softmax::softmax(isa, classes, n, &x, &mut y);
                for (i, y) in y.iter().enumerate() {
                    assert_eq!(
                        y.is_nan(),
                        i % n == 17,
                        "{bad} in class {class} at {isa}: element {i} is {y}"
                    );
                }
            }
        }
        // Minus infinity excludes a class.
        let mut y = [0.0; 2];
        softmax::softmax(isa, 2, 1, &[f32::NEG_INFINITY, 3.0], &mut y);
        assert_eq!(y, [0.0, 1.0], "{isa}");
    });
}

#[test]
#[should_panic(expected = "softmax: y has 5 elements, but 2 classes of 3 samples need 6")]
fn wrong_matrix_panics_with_its_numbers() {
    softmax::softmax(Isa::portable(), 2, 3, &[0f32; 6], &mut [0f32; 5]);
}
