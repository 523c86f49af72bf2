//! Batch normalisation against the f64 reference: every level, both types, channel lengths around the vector
//! length and around the chunks that its sums are cut into.

mod common;

use common::{Guarded, LENGTHS, additions, assert_close, data, each_isa, widen};
use isograd_kernels::batch_norm::{
    Affine, AffineGradient, BatchStatistics, RunningStatistics, SavedStatistics, batch_norm_backward,
    batch_norm_eval, batch_norm_train,
};
use isograd_kernels::reference::batch_norm::{Gradients, Normalised};
use isograd_kernels::{Accum, Activation, Element, Isa, reference};

const EPS: f64 = 1e-5;
const C: usize = 3;

fn lengths() -> impl Iterator<Item = usize> {
    LENGTHS.into_iter().filter(|&m| m > 0).chain([511, 513, 4096, 4097, 9000, 16_385])
}

struct Trained<T> {
    y: Guarded<T>,
    mean: Guarded<T>,
    inv_std: Guarded<T>,
    var: Guarded<T>,
}

fn train<T: Element>(isa: Isa, x: &[T], gamma: &[T], beta: &[T]) -> Trained<T> {
    let c = gamma.len();
    let mut out = Trained {
        y: Guarded::nan(x.len()),
        mean: Guarded::nan(c),
        inv_std: Guarded::nan(c),
        var: Guarded::nan(c),
    };
    let statistics =
        BatchStatistics { mean: out.mean.slice(), var: out.var.slice(), inv_std: out.inv_std.slice() };
    batch_norm_train(isa, x, Affine { gamma, beta }, EPS, out.y.slice(), statistics);
    out
}

/// The inputs are in `offset + [-1, 1)`. The error of the mean of `m` values is at most `m / lanes + 5`
/// roundings of centred values, plus the roundings of `offset`. The same is true of the squares.
fn check_train<T: Element>(offset: f64) {
    each_isa(|isa| {
        for m in lengths() {
            let mut x = Guarded::new(
                &data::<T>(C * m, 1).iter().map(|v| T::from_f64(v.to_f64() + offset)).collect::<Vec<_>>(),
            );
            let (gamma, beta) = (data::<T>(C, 2), data::<T>(C, 3));
            let out = train(isa, x.slice(), &gamma, &beta);
            let Normalised { y, statistics } =
                reference::batch_norm::train(C, &widen(x.slice()), &widen(&gamma), &widen(&beta), EPS);
            let what = |name: &str| format!("{name} at {isa}, {}, {m} values around {offset}", T::NAME);
            let unit = T::EPSILON.to_f64();
            let sums = (m.min(4096) / 2 + 8) as f64 * unit;
            assert_close(&what("mean"), out.mean.check(), &statistics.mean, |_| sums + unit * offset.abs());
            assert_close(&what("var"), out.var.check(), &statistics.var, |_| 2.0 * sums);
            let inv_std = &statistics.inv_std;
            // d(inv_std) = inv_std^3 / 2 * d(var).
            let inv_std_error = |c: usize| 2.0 * unit * inv_std[c] + inv_std[c].powi(3) * sums;
            assert_close(&what("inv_std"), out.inv_std.check(), inv_std, inv_std_error);
            let y_error = |i: usize| {
                let c = i / m;
                inv_std[c] * (sums + unit * offset.abs())
                    + 2.0 * inv_std_error(c)
                    + 8.0 * unit * (1.0 + 2.0 * inv_std[c])
            };
            assert_close(&what("y"), out.y.check(), &y, y_error);
        }
    });
}

#[test]
fn train_f32() {
    check_train::<f32>(0.0);
}

#[test]
fn train_f64() {
    check_train::<f64>(0.0);
}

/// For such inputs, `E[x^2] - E[x]^2` has no correct digit.
#[test]
fn train_far_from_zero() {
    check_train::<f32>(30_000.0);
}

/// One outlier, at either end of a channel of several chunks, does not spoil the variance.
#[test]
fn variance_with_an_outlier() {
    each_isa(|isa| {
        for at in [0, 300, 4096, 8999] {
            let mut x = data::<f32>(9000, 4);
            x[at] = 1000.0;
            let mut out = train(isa, &x, &[1.0], &[0.0]);
            let Normalised { statistics, .. } =
                reference::batch_norm::train(1, &widen(&x), &[1.0], &[0.0], EPS);
            let bound = 1e-5 * statistics.var[0];
            assert_close("var", out.var.slice(), &statistics.var, |_| bound);
        }
    });
}

#[test]
fn nan_stays_in_its_channel() {
    each_isa(|isa| {
        let mut x = data::<f32>(2 * 40, 5);
        x[7] = f32::NAN;
        let mut out = train(isa, &x, &[1.0, 1.0], &[0.0, 0.0]);
        assert!(out.y.slice()[..40].iter().all(|y| y.is_nan()), "{isa}: the first channel is NaN");
        assert!(out.y.slice()[40..].iter().all(|y| y.is_finite()), "{isa}: the second is not");
    });
}

#[test]
fn constant_channels_become_beta() {
    each_isa(|isa| {
        let out = train(isa, &[3.0f32; 50], &[2.0], &[0.25]);
        assert_eq!(out.y.check(), [0.25; 50]);
        assert_eq!((out.mean.check(), out.var.check()), ([3.0].as_slice(), [0.0].as_slice()));
    });
}

#[test]
fn empty_channels() {
    each_isa(|isa| {
        let out = train::<f64>(isa, &[], &[1.0, 1.0], &[0.0, 0.0]);
        assert_eq!((out.mean.check(), out.var.check()), ([0.0; 2].as_slice(), [0.0; 2].as_slice()));
        assert_close("inv_std", out.inv_std.check(), &[1.0 / EPS.sqrt(); 2], |_| 0.0);
    });
}

fn check_eval<T: Element>() {
    each_isa(|isa| {
        for m in lengths() {
            let mut x = Guarded::new(&data::<T>(C * m, 6));
            let (gamma, beta, mean) = (data::<T>(C, 7), data::<T>(C, 8), data::<T>(C, 9));
            let var = [0.5, 1.0, 2.0].map(T::from_f64);
            for activation in [Activation::Identity, Activation::Relu] {
                let mut y = Guarded::nan(C * m);
                let affine = Affine { gamma: &gamma, beta: &beta };
                let running = RunningStatistics { mean: &mean, var: &var };
                batch_norm_eval(isa, x.slice(), affine, running, EPS, activation, y.slice());
                let expected = reference::batch_norm::eval(
                    &widen(x.slice()),
                    &widen(&gamma),
                    &widen(&beta),
                    &widen(&mean),
                    &widen(&var),
                    EPS,
                    activation,
                );
                // |x - mean| < 2 and inv_std < 1.5: five roundings of numbers below 4.
                let bound = 5.0 * 4.0 * T::EPSILON.to_f64();
                assert_close(&format!("eval at {isa}, {m} values"), y.check(), &expected, |_| bound);
            }
        }
    });
}

#[test]
fn eval_f32() {
    check_eval::<f32>();
}

#[test]
fn eval_f64() {
    check_eval::<f64>();
}

#[test]
fn eval_keeps_nan_through_relu() {
    each_isa(|isa| {
        let mut y = [0.0; 2];
        let x = [f32::NAN, -1.0];
        let affine = Affine { gamma: &[1.0], beta: &[0.0] };
        let running = RunningStatistics { mean: &[0.0], var: &[1.0] };
        batch_norm_eval(isa, &x, affine, running, EPS, Activation::Relu, &mut y);
        assert!(y[0].is_nan() && y[1] == 0.0, "{isa}: {y:?}");
    });
}

fn check_backward<T: Element>() {
    each_isa(|isa| {
        for m in lengths() {
            let (mut x, mut dy) = (Guarded::new(&data::<T>(C * m, 10)), Guarded::new(&data::<T>(C * m, 11)));
            let gamma = data::<T>(C, 12);
            let mean = data::<T>(C, 13);
            let inv_std = [0.5, 1.0, 2.0].map(T::from_f64);
            let Gradients { dx, dgamma, dbeta } = reference::batch_norm::backward(
                &widen(x.slice()),
                &widen(dy.slice()),
                &widen(&gamma),
                &widen(&mean),
                &widen(&inv_std),
            );
            let mut sums = [Guarded::new(&[T::ONE; C]), Guarded::new(&[T::ONE; C])];
            let mut got = Guarded::nan(C * m);
            let saved = SavedStatistics { mean: &mean, inv_std: &inv_std };
            let (x, dy) = (x.slice(), dy.slice());
            let [got_dgamma, got_dbeta] = &mut sums;
            let gradient = AffineGradient { dgamma: got_dgamma.slice(), dbeta: got_dbeta.slice() };
            batch_norm_backward(isa, x, dy, &gamma, saved, Accum::Add, Some(got.slice()), gradient);

            // Each addition rounds. So do the differences, the products, the product with inv_std and the
            // result.
            let unit = T::EPSILON.to_f64();
            let roundings = (additions::<T>(isa, m) + 6.0) / 2.0 * unit;
            let (wide_x, wide_dy) = (widen(x), widen(dy));
            let magnitude = |c: usize, xhat: &dyn Fn(usize) -> f64| -> f64 {
                (c * m..(c + 1) * m).map(|i| (wide_dy[i] * xhat(i)).abs()).sum()
            };
            let dbeta_bound = |c: usize| roundings * (1.0 + magnitude(c, &|_| 1.0));
            let dgamma_bound = |c: usize| {
                let (mean, inv_std) = (mean[c].to_f64(), inv_std[c].to_f64());
                roundings * (1.0 + magnitude(c, &|i| (wide_x[i] - mean) * inv_std))
            };
            let plus_one = |sum: &[f64]| sum.iter().map(|s| s + 1.0).collect::<Vec<_>>();
            let what = |name: &str| format!("{name} at {isa}, {}, {m} values", T::NAME);
            assert_close(&what("dgamma"), sums[0].check(), &plus_one(&dgamma), dgamma_bound);
            assert_close(&what("dbeta"), sums[1].check(), &plus_one(&dbeta), dbeta_bound);
            // With |dy| < 1, |xhat| < 4 and inv_std <= 2: the errors of the sums over m, times inv_std and
            // xhat, plus some roundings of terms below 2 * (1 + 1 + 16).
            let dx_bound = 2.0 * (1.0 + 16.0) * roundings + 100.0 * unit;
            assert_close(&what("dx"), got.check(), &dx, |_| dx_bound);

            // Without dx, and with Accum::Replace: the old NaNs must be gone.
            let mut replaced = [Guarded::<T>::nan(C), Guarded::nan(C)];
            let [dgamma, dbeta] = &mut replaced;
            let gradient = AffineGradient { dgamma: dgamma.slice(), dbeta: dbeta.slice() };
            batch_norm_backward(isa, x, dy, &gamma, saved, Accum::Replace, None, gradient);
            for (added, replaced) in sums.iter().zip(&replaced) {
                let plus_one: Vec<T> = replaced.check().iter().map(|sum| T::ONE + *sum).collect();
                assert_eq!(added.check(), plus_one, "{}", what("the sums in the place of others"));
            }
        }
    });
}

#[test]
fn backward_f32() {
    check_backward::<f32>();
}

#[test]
fn backward_f64() {
    check_backward::<f64>();
}

/// The roundings of equal terms go in the same direction. With one chain of additions for each lane, the
/// error would be ten times the bound.
#[test]
fn gradients_of_long_channels() {
    let m = 1 << 20;
    let (x, dy) = (vec![1.0f32; m], vec![0.1f32; m]);
    let expected = m as f64 * f64::from(0.1f32);
    each_isa(|isa| {
        let (mut dgamma, mut dbeta) = ([0.0], [0.0]);
        let saved = SavedStatistics { mean: &[0.0], inv_std: &[1.0] };
        let gradient = AffineGradient { dgamma: &mut dgamma, dbeta: &mut dbeta };
        batch_norm_backward(isa, &x, &dy, &[1.0], saved, Accum::Replace, None, gradient);
        let bound = (additions::<f32>(isa, m) + 6.0) / 2.0 * f64::from(f32::EPSILON);
        for (name, sum) in [("dgamma", dgamma), ("dbeta", dbeta)] {
            assert_close(&format!("{name} at {isa}"), &sum, &[expected], |_| bound * expected);
        }
    });
}

/// The reference's gradients against central differences of the reference's forward pass.
#[test]
fn reference_gradients() {
    const STEP: f64 = 1e-5;
    let m = 7;
    let (x, dy) = (data::<f64>(C * m, 14), data::<f64>(C * m, 15));
    let (gamma, beta) = (data::<f64>(C, 16), data::<f64>(C, 17));
    let Normalised { statistics, .. } = reference::batch_norm::train(C, &x, &gamma, &beta, EPS);
    let Gradients { dx, dgamma, dbeta } =
        reference::batch_norm::backward(&x, &dy, &gamma, &statistics.mean, &statistics.inv_std);
    let loss = |parts: &[Vec<f64>; 3]| -> f64 {
        let Normalised { y, .. } = reference::batch_norm::train(C, &parts[0], &parts[1], &parts[2], EPS);
        y.iter().zip(&dy).map(|(y, dy)| y * dy).sum()
    };
    for (part, expected) in [dx, dgamma, dbeta].iter().enumerate() {
        let mut parts = [x.clone(), gamma.clone(), beta.clone()];
        let differences: Vec<f64> = (0..expected.len())
            .map(|i| {
                let centre = parts[part][i];
                parts[part][i] = centre + STEP;
                let above = loss(&parts);
                parts[part][i] = centre - STEP;
                let below = loss(&parts);
                parts[part][i] = centre;
                (above - below) / (2.0 * STEP)
            })
            .collect();
        assert_close("central differences", &differences, expected, |_| 1e-8);
    }
}

#[test]
#[should_panic(expected = "batch_norm_eval: 7 elements cannot be 2 channels of equal length")]
fn uneven_channels() {
    let two = [1.0f32; 2];
    let (affine, running) = (Affine { gamma: &two, beta: &two }, RunningStatistics { mean: &two, var: &two });
    batch_norm_eval(Isa::best(), &[0.0; 7], affine, running, EPS, Activation::Identity, &mut [0.0; 7]);
}
