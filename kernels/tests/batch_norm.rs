//! Batch normalisation against the f64 reference: every level, both types, channel lengths around the vector
//! length and around the chunks that its sums are cut into.

mod common;

use common::{Guarded, LENGTHS, additions, assert_close, data, each_isa, widen};
use isograd_kernels::batch_norm::{
    Affine, AffineGradient, BatchStatistics, GradientSums, InputGradient, Moments, Normalisation,
    RunningStatistics, SavedStatistics, batch_norm_affine_gradient, batch_norm_backward, batch_norm_eval,
    batch_norm_gradient_sums, batch_norm_input_gradient, batch_norm_moments, batch_norm_normalise,
    batch_norm_train,
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
    let affine = Affine { gamma: Some(gamma), beta: Some(beta) };
    train_with(isa, gamma.len(), x, affine, Activation::Identity)
}

fn train_with<T: Element>(
    isa: Isa,
    c: usize,
    x: &[T],
    affine: Affine<'_, T>,
    activation: Activation,
) -> Trained<T> {
    let mut out = Trained {
        y: Guarded::nan(x.len()),
        mean: Guarded::nan(c),
        inv_std: Guarded::nan(c),
        var: Guarded::nan(c),
    };
    let statistics =
        BatchStatistics { mean: out.mean.slice(), var: out.var.slice(), inv_std: out.inv_std.slice() };
    batch_norm_train(isa, x, affine, EPS, activation, out.y.slice(), statistics);
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

fn bits<T: Element>(x: &[T]) -> Vec<u64> {
    x.iter().map(|x| x.to_f64().to_bits()).collect()
}

fn relu<T: Element>(x: &[T]) -> Vec<T> {
    x.iter().map(|x| if *x < T::ZERO { T::ZERO } else { *x }).collect()
}

/// An absent factor is 1 and an absent addend 0, to the bit. So is a ReLU in the same pass as one behind it.
fn check_options_of_train<T: Element>() {
    each_isa(|isa| {
        for m in LENGTHS.into_iter().filter(|&m| m > 0) {
            let (x, gamma, beta) = (data::<T>(C * m, 18), data::<T>(C, 19), data::<T>(C, 20));
            let (ones, zeros) = (vec![T::ONE; C], vec![T::ZERO; C]);
            for (affine, same) in [
                (Affine { gamma: None, beta: None }, Affine { gamma: Some(&*ones), beta: Some(&*zeros) }),
                (
                    Affine { gamma: Some(&*gamma), beta: None },
                    Affine { gamma: Some(&*gamma), beta: Some(&*zeros) },
                ),
                (
                    Affine { gamma: None, beta: Some(&*beta) },
                    Affine { gamma: Some(&*ones), beta: Some(&*beta) },
                ),
            ] {
                let expected = train_with(isa, C, &x, same, Activation::Identity);
                let what = format!("{isa}, {}, {m} values", T::NAME);
                let out = train_with(isa, C, &x, affine, Activation::Identity);
                assert_eq!(bits(out.y.check()), bits(expected.y.check()), "{what}");
                let out = train_with(isa, C, &x, affine, Activation::Relu);
                assert_eq!(out.y.check(), relu(expected.y.check()), "{what}, ReLU");
                assert_eq!(bits(out.var.check()), bits(expected.var.check()), "{what}, variance");

                let running = RunningStatistics { mean: out.mean.check(), var: out.var.check() };
                let [mut y, mut same_y] = [Guarded::nan(x.len()), Guarded::nan(x.len())];
                batch_norm_eval(isa, &x, affine, running, EPS, Activation::Identity, y.slice());
                batch_norm_eval(isa, &x, same, running, EPS, Activation::Identity, same_y.slice());
                assert_eq!(bits(y.check()), bits(same_y.check()), "{what}, evaluation");
            }
        }
    });
}

#[test]
fn options_of_train_f32() {
    check_options_of_train::<f32>();
}

#[test]
fn options_of_train_f64() {
    check_options_of_train::<f64>();
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
            let gamma: Vec<T> = gamma.iter().map(|gamma| T::from_f64(8.0 * gamma.to_f64())).collect();
            for activation in [Activation::Identity, Activation::Relu, Activation::Relu6] {
                let mut y = Guarded::nan(C * m);
                let affine = Affine { gamma: Some(&*gamma), beta: Some(&*beta) };
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
                // |x - mean| < 2, inv_std < 1.5 and |gamma| < 8: five roundings of numbers below 25.
                let bound = 5.0 * 25.0 * T::EPSILON.to_f64();
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
        let affine = Affine { gamma: Some(&[1.0][..]), beta: Some(&[0.0][..]) };
        let running = RunningStatistics { mean: &[0.0], var: &[1.0] };
        batch_norm_eval(isa, &x, affine, running, EPS, Activation::Relu, &mut y);
        assert!(y[0].is_nan() && y[1] == 0.0, "{isa}: {y:?}");
    });
}

/// A forward pass without an activation.
fn plain<'a, T>(gamma: Option<&'a [T]>, saved: SavedStatistics<'a, T>) -> Normalisation<'a, T> {
    Normalisation { affine: Affine { gamma, beta: None }, saved, activation: Activation::Identity }
}

fn no_gradient<'a, T>() -> AffineGradient<'a, T> {
    AffineGradient { accum: Accum::Replace, dgamma: None, dbeta: None }
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
            let gradient = AffineGradient {
                accum: Accum::Add,
                dgamma: Some(got_dgamma.slice()),
                dbeta: Some(got_dbeta.slice()),
            };
            let input = InputGradient { accum: Accum::Replace, dx: got.slice() };
            batch_norm_backward(isa, x, dy, plain(Some(&gamma), saved), Some(input), gradient);

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
            let gradient = AffineGradient {
                accum: Accum::Replace,
                dgamma: Some(dgamma.slice()),
                dbeta: Some(dbeta.slice()),
            };
            batch_norm_backward(isa, x, dy, plain(Some(&gamma), saved), None, gradient);
            for (added, replaced) in sums.iter().zip(&replaced) {
                let plus_one: Vec<T> = replaced.check().iter().map(|sum| T::ONE + *sum).collect();
                assert_eq!(added.check(), plus_one, "{}", what("the sums in the place of others"));
            }

            // With Accum::Add, dx is the old value plus the same gradient.
            let mut sum = Guarded::new(x);
            let input = InputGradient { accum: Accum::Add, dx: sum.slice() };
            batch_norm_backward(isa, x, dy, plain(Some(&gamma), saved), Some(input), no_gradient());
            let expected: Vec<T> = x.iter().zip(got.check()).map(|(x, dx)| *x + *dx).collect();
            assert_eq!(bits(sum.check()), bits(&expected), "{}", what("dx, added"));

            // Without factors, they are ones.
            let ones = [T::ONE; C];
            let [mut with, mut without] = [Guarded::nan(C * m), Guarded::nan(C * m)];
            for (gamma, dx) in [(Some(ones.as_slice()), &mut with), (None, &mut without)] {
                let input = InputGradient { accum: Accum::Replace, dx: dx.slice() };
                batch_norm_backward(isa, x, dy, plain(gamma, saved), Some(input), no_gradient());
            }
            assert_eq!(bits(with.check()), bits(without.check()), "{}", what("dx without factors"));
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
        let gradient = AffineGradient {
            accum: Accum::Replace,
            dgamma: Some(&mut dgamma[..]),
            dbeta: Some(&mut dbeta[..]),
        };
        batch_norm_backward(isa, &x, &dy, plain(Some(&[1.0]), saved), None, gradient);
        let bound = (additions::<f32>(isa, m) + 6.0) / 2.0 * f64::from(f32::EPSILON);
        for (name, sum) in [("dgamma", dgamma), ("dbeta", dbeta)] {
            assert_close(&format!("{name} at {isa}"), &sum, &[expected], |_| bound * expected);
        }
    });
}

/// The parts of the two passes, run one after the other over the values of one shard, give the bits of the
/// passes.
fn check_parts<T: Element>() {
    each_isa(|isa| {
        for m in lengths() {
            let what = |name: &str| format!("{name} at {isa}, {}, {m} values", T::NAME);
            let (x, dy) = (data::<T>(C * m, 21), data::<T>(C * m, 22));
            let (gamma, beta) = (data::<T>(C, 23), data::<T>(C, 24));
            let affine = Affine { gamma: Some(&*gamma), beta: Some(&*beta) };
            let whole = train_with(isa, C, &x, affine, Activation::Relu);

            let mut moments = [Moments::default(); C];
            batch_norm_moments(isa, &x, &mut moments);
            let mean = moments.map(|moments| T::from_f64(moments.mean));
            let var = moments.map(|moments| T::from_f64(moments.variance()));
            let inv_std = moments.map(|moments| T::from_f64(moments.inverse_std(EPS)));
            assert_eq!(moments.map(|moments| moments.count), [m as f64; C]);
            for (name, got, expected) in
                [("mean", mean, &whole.mean), ("var", var, &whole.var), ("inv_std", inv_std, &whole.inv_std)]
            {
                assert_eq!(bits(&got), bits(expected.check()), "{}", what(name));
            }
            let saved = SavedStatistics { mean: &mean, inv_std: &inv_std };
            let mut y = Guarded::nan(C * m);
            batch_norm_normalise(isa, &x, affine, saved, Activation::Relu, y.slice());
            assert_eq!(bits(y.check()), bits(whole.y.check()), "{}", what("y"));

            let run = |parts: bool, accum: Accum| {
                let [mut dgamma, mut dbeta] = [Guarded::new(&gamma), Guarded::new(&beta)];
                let mut dx = Guarded::new(&x);
                let gradient =
                    AffineGradient { accum, dgamma: Some(dgamma.slice()), dbeta: Some(dbeta.slice()) };
                let input = InputGradient { accum, dx: dx.slice() };
                if parts {
                    let mut sums = [[f64::NAN; 2]; C];
                    batch_norm_gradient_sums(isa, &x, &dy, plain(Some(&gamma), saved), &mut sums);
                    batch_norm_affine_gradient(&sums, &inv_std, gradient);
                    let sums = GradientSums { count: m as f64, sums: &sums };
                    batch_norm_input_gradient(isa, &x, &dy, plain(Some(&gamma), saved), sums, input);
                } else {
                    batch_norm_backward(isa, &x, &dy, plain(Some(&gamma), saved), Some(input), gradient);
                }
                [dx, dgamma, dbeta].map(|gradient| bits(gradient.check()))
            };
            for accum in [Accum::Replace, Accum::Add] {
                assert_eq!(run(true, accum), run(false, accum), "{}", what("gradients"));
            }
        }
    });
}

#[test]
fn parts_f32() {
    check_parts::<f32>();
}

#[test]
fn parts_f64() {
    check_parts::<f64>();
}

/// Three shards of unequal length, with statistics and sums over all of them, against the reference over all
/// values.
#[test]
fn statistics_over_shards() {
    const CENTRE: f64 = 7.5;
    let shards = [40, 300, 5000];
    let total: usize = shards.iter().sum();
    let all: Vec<f32> = data::<f32>(total, 25).iter().map(|x| x + 8.0).collect();
    let all_dy = data::<f32>(total, 26);
    let (gamma, beta) = ([1.25f32], [0.5f32]);
    let Normalised { y, statistics } = reference::batch_norm::train(1, &widen(&all), &[1.25], &[0.5], EPS);
    let Gradients { dx, dgamma, dbeta } = reference::batch_norm::backward(
        &widen(&all),
        &widen(&all_dy),
        &[1.25],
        &statistics.mean,
        &statistics.inv_std,
    );
    let cut = |values: &[f32]| -> Vec<Vec<f32>> {
        let mut rest = values;
        shards.iter().map(|len| rest.split_off(..*len).expect("long enough").to_vec()).collect()
    };
    let (x, dy) = (cut(&all), cut(&all_dy));
    // Values are below 10 and sums have less than 6000 terms, of which a chain adds less than 1100.
    let bound = 1100.0 * f64::from(f32::EPSILON);
    each_isa(|isa| {
        let mut sums = [0.0; 2];
        for x in &x {
            let mut moments = [Moments::default()];
            batch_norm_moments(isa, x, &mut moments);
            let [sum, squares] = moments[0].sums(CENTRE);
            sums = [sums[0] + sum, sums[1] + squares];
        }
        let moments = Moments::from_sums(total as f64, CENTRE, sums);
        assert_close("mean", &[moments.mean], &statistics.mean, |_| bound);
        assert_close("var", &[moments.variance()], &statistics.var, |_| bound);
        let (mean, inv_std) = ([moments.mean as f32], [moments.inverse_std(EPS) as f32]);
        let saved = SavedStatistics { mean: &mean, inv_std: &inv_std };

        let mut sums = [[0.0; 2]];
        let (mut got_y, mut got_dgamma, mut got_dbeta) = (Vec::new(), [0.0], [0.0]);
        for (x, dy) in x.iter().zip(&dy) {
            let mut y = vec![f32::NAN; x.len()];
            let affine = Affine { gamma: Some(&gamma[..]), beta: Some(&beta[..]) };
            batch_norm_normalise(isa, x, affine, saved, Activation::Identity, &mut y);
            got_y.extend(y);
            let mut part = [[f64::NAN; 2]];
            batch_norm_gradient_sums(isa, x, dy, plain(Some(&gamma), saved), &mut part);
            sums[0] = [sums[0][0] + part[0][0], sums[0][1] + part[0][1]];
            let gradient = AffineGradient {
                accum: Accum::Add,
                dgamma: Some(&mut got_dgamma[..]),
                dbeta: Some(&mut got_dbeta[..]),
            };
            batch_norm_affine_gradient(&part, &inv_std, gradient);
        }
        assert_close("y", &got_y, &y, |_| 4.0 * bound);
        let magnitude: f64 = widen(&all_dy).iter().map(|dy| dy.abs()).sum();
        assert_close("dbeta", &got_dbeta, &dbeta, |_| bound * magnitude);
        assert_close("dgamma", &got_dgamma, &dgamma, |_| 4.0 * bound * magnitude);
        let mut got_dx = Vec::new();
        for (x, dy) in x.iter().zip(&dy) {
            let mut dx = vec![f32::NAN; x.len()];
            let sums = GradientSums { count: total as f64, sums: &sums };
            let input = InputGradient { accum: Accum::Replace, dx: &mut dx };
            batch_norm_input_gradient(isa, x, dy, plain(Some(&gamma), saved), sums, input);
            got_dx.extend(dx);
        }
        assert_close("dx", &got_dx, &dx, |_| 20.0 * bound);
    });
}

/// Sums about any centre hold the same moments; NaN stays NaN, and no values have no moments.
#[test]
fn moments_from_sums() {
    let moments = Moments { count: 12.0, mean: -3.5, squares: 6.0 };
    for centre in [0.0, -3.5, 100.0] {
        let same = Moments::from_sums(12.0, centre, moments.sums(centre));
        assert_close("moments", &[same.count, same.mean, same.squares], &[12.0, -3.5, 6.0], |_| {
            4.0 * f64::EPSILON * 12.0 * (centre + 3.5).powi(2).max(10.0)
        });
    }
    let constant = Moments { count: 3.0, mean: 0.1, squares: 0.0 };
    assert!(Moments::from_sums(3.0, 0.0, constant.sums(0.0)).squares >= 0.0);
    assert!(Moments::from_sums(3.0, 0.0, [f64::NAN; 2]).variance().is_nan());
    assert_eq!(Moments::from_sums(0.0, 1.0, [0.0; 2]), Moments::default());
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
    let running = RunningStatistics { mean: &two, var: &two };
    let activation = Activation::Identity;
    batch_norm_eval(Isa::best(), &[0.0; 7], Affine::default(), running, EPS, activation, &mut [0.0; 7]);
}

/// With an activation, the gradients are those without one of a `dy` that is 0 where the output is constant.
fn check_backward_of_activations<T: Element>() {
    each_isa(|isa| {
        for m in lengths() {
            let (x, dy) = (data::<T>(C * m, 20), data::<T>(C * m, 21));
            let (gamma, beta) = ([6.0, -9.0, 12.0].map(T::from_f64), data::<T>(C, 23));
            let (mean, inv_std) = (data::<T>(C, 24), [0.5, 1.0, 2.0].map(T::from_f64));
            let saved = SavedStatistics { mean: &mean, inv_std: &inv_std };
            let affine = Affine { gamma: Some(&gamma), beta: Some(&beta) };
            let run = |dy: &[T], activation| {
                let (mut dx, mut sums) = (vec![T::ZERO; C * m], [[T::ZERO; C]; 2]);
                let [dgamma, dbeta] = &mut sums;
                let gradient =
                    AffineGradient { accum: Accum::Replace, dgamma: Some(dgamma), dbeta: Some(dbeta) };
                let input = InputGradient { accum: Accum::Replace, dx: &mut dx };
                let forward = Normalisation { affine, saved, activation };
                batch_norm_backward(isa, &x, dy, forward, Some(input), gradient);
                let mut parts = [[f64::NAN; 2]; C];
                batch_norm_gradient_sums(isa, &x, dy, forward, &mut parts);
                let mut apart = vec![T::ZERO; C * m];
                let input = InputGradient { accum: Accum::Replace, dx: &mut apart };
                let parts = GradientSums { count: m as f64, sums: &parts };
                batch_norm_input_gradient(isa, &x, dy, forward, parts, input);
                assert_eq!(bits(&dx), bits(&apart), "in one call and in parts");
                (bits(&dx), sums.map(|sums| bits(&sums)))
            };
            for (activation, ceiling) in [(Activation::Relu, f64::INFINITY), (Activation::Relu6, 6.0)] {
                let mut y = vec![T::ZERO; C * m];
                batch_norm_normalise(isa, &x, affine, saved, activation, &mut y);
                let passes = |y: &T| *y > T::ZERO && y.to_f64() < ceiling;
                let masked: Vec<T> =
                    y.iter().zip(&dy).map(|(y, dy)| if passes(y) { *dy } else { T::ZERO }).collect();
                let expected = run(&masked, Activation::Identity);
                assert_eq!(run(&dy, activation), expected, "{activation:?}, {isa}, {m} values");
            }
        }
    });
}

#[test]
fn backward_of_activations_f32() {
    check_backward_of_activations::<f32>();
}

#[test]
fn backward_of_activations_f64() {
    check_backward_of_activations::<f64>();
}
