//! Optimizer updates against their f64 reference, and that reference against closed forms.

mod common;

use common::{Guarded, LENGTHS, assert_close, data, each_isa, widen};
use isograd_kernels::optimizer::{self, Adam, Lars, RmsProp, Sgd};
use isograd_kernels::reference::optimizer as reference;
use isograd_kernels::{Element, Isa};

const SGD: Sgd = Sgd { lr: 0.05, momentum: 0.9, nesterov: false, weight_decay: 0.0 };
const RMSPROP: RmsProp = RmsProp { lr: 0.01, rho: 0.95, eps: 1e-7, weight_decay: 0.0 };
const ADAM: Adam = Adam { lr: 0.001, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };

/// An update with given hyper-parameters. It takes parameters, gradients, and the first and second moment.
/// SGD's velocity is the first moment. An optimizer does not change a moment that it does not use.
type Update<'a, T> = (String, Box<dyn Fn(&mut [T], &[T], &mut [T], &mut [T]) + 'a>);

/// The kernels of every optimizer in several settings.
fn updates<'a, T: Element>(isa: Isa) -> Vec<Update<'a, T>> {
    all_updates(
        move |h, w, g, m| optimizer::sgd(isa, h, g, w, m),
        move |h, w, g, v| optimizer::rmsprop(isa, h, g, w, v),
        move |h, step, w, g, m, v| optimizer::adam(isa, &h.at_step(step), g, w, m, v),
        move |h, step, w, g, m, v| optimizer::nadam(isa, &h.at_step(step), g, w, m, v),
    )
}

fn references<'a>() -> Vec<Update<'a, f64>> {
    all_updates(reference::sgd, reference::rmsprop, reference::adam, reference::nadam)
}

fn all_updates<'a, T: 'a>(
    sgd: impl Fn(&Sgd, &mut [T], &[T], &mut [T]) + Copy + 'a,
    rmsprop: impl Fn(&RmsProp, &mut [T], &[T], &mut [T]) + Copy + 'a,
    adam: impl Fn(&Adam, u64, &mut [T], &[T], &mut [T], &mut [T]) + Copy + 'a,
    nadam: impl Fn(&Adam, u64, &mut [T], &[T], &mut [T], &mut [T]) + Copy + 'a,
) -> Vec<Update<'a, T>> {
    let mut all: Vec<Update<'a, T>> = Vec::new();
    for weight_decay in [0.0, 0.1] {
        for nesterov in [false, true] {
            let hyper = Sgd { nesterov, weight_decay, ..SGD };
            all.push((format!("{hyper:?}"), Box::new(move |w, g, m, _| sgd(&hyper, w, g, m))));
        }
        let hyper = RmsProp { weight_decay, ..RMSPROP };
        all.push((format!("{hyper:?}"), Box::new(move |w, g, _, v| rmsprop(&hyper, w, g, v))));
        for (beta1, step) in [(0.9, 1), (0.9, 2), (0.9, 100_000), (0.5, 3)] {
            let hyper = Adam { beta1, weight_decay, ..ADAM };
            let name = format!("{hyper:?} at step {step}");
            all.push((format!("N{name}"), Box::new(move |w, g, m, v| nadam(&hyper, step, w, g, m, v))));
            all.push((name, Box::new(move |w, g, m, v| adam(&hyper, step, w, g, m, v))));
        }
    }
    all
}

fn check<T: Element>() {
    let eps = T::EPSILON.to_f64();
    each_isa(|isa| {
        for ((name, kernel), (_, reference)) in updates::<T>(isa).iter().zip(references()) {
            for len in LENGTHS {
                let what = format!("{name} at {isa}, length {len}, {}", T::NAME);
                let (w, g, m) = (data::<T>(len, 1), Guarded::new(&data::<T>(len, 2)), data::<T>(len, 3));
                let v: Vec<T> = data::<T>(len, 4).into_iter().map(|v| v * v).collect();
                let (mut new_w, mut new_m, mut new_v) =
                    (Guarded::new(&w), Guarded::new(&m), Guarded::new(&v));
                kernel(new_w.slice(), g.check(), new_m.slice(), new_v.slice());

                let (mut w, wide_g, mut m, mut v) = (widen(&w), widen(g.check()), widen(&m), widen(&v));
                // An update of zero parameters in which all values have one sign gives the magnitudes that
                // are rounded.
                let magnitudes = |x: &[f64]| x.iter().map(|x| x.abs()).collect::<Vec<_>>();
                let (mut steps, mut m_sizes) = (vec![0.0; len], magnitudes(&m));
                reference(&mut steps, &magnitudes(&wide_g), &mut m_sizes, &mut v.clone());
                let w_sizes = magnitudes(&w);
                reference(&mut w, &wide_g, &mut m, &mut v);

                // At most ten roundings, of hyper-parameters and results, contribute to each value.
                assert_close(&what, new_w.check(), &w, |i| 5.0 * eps * steps[i].abs() + eps * w_sizes[i]);
                assert_close(&what, new_m.check(), &m, |i| 2.0 * eps * m_sizes[i]);
                assert_close(&what, new_v.check(), &v, |i| 2.0 * eps * v[i]);
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

/// Compares a kernel that updates two slices with its reference. `sizes` are the sums of the magnitudes that
/// are rounded on the way to the first and to the second; at most ten roundings contribute to each.
fn check_pair<T: Element>(
    what: &str,
    [x, y]: [&[T]; 2],
    kernel: impl Fn(&mut [T], &mut [T]),
    reference: impl Fn(&mut [f64], &mut [f64]),
    sizes: impl Fn(usize) -> [f64; 2],
) {
    let (mut new_x, mut new_y) = (Guarded::new(x), Guarded::new(y));
    kernel(new_x.slice(), new_y.slice());
    let (mut x, mut y) = (widen(x), widen(y));
    reference(&mut x, &mut y);
    let bound = |size: f64| 5.0 * T::EPSILON.to_f64() * size;
    assert_close(what, new_x.check(), &x, |i| bound(sizes(i)[0]));
    assert_close(what, new_y.check(), &y, |i| bound(sizes(i)[1]));
}

fn check_layer_wise<T: Element>() {
    each_isa(|isa| {
        for len in LENGTHS {
            let what = |name: &str| format!("{name} at {isa}, length {len}, {}", T::NAME);
            let [w, g, v] = [1, 2, 3].map(|seed| data::<T>(len, seed));
            let guarded = Guarded::new(&g);
            let (g, wide) = (guarded.check(), [&w, &g, &v].map(|x| widen(x)));
            let [size_w, size_g, size_v] = [0, 1, 2].map(|k| {
                let x = &wide[k];
                move |i: usize| x[i].abs()
            });

            for weight_decay in [0.0, 0.1] {
                let lars = Lars { lr: 0.05, momentum: 0.9, weight_decay };
                let step = |i| size_v(i) + 0.05 * (size_g(i) + weight_decay * size_w(i));
                check_pair(
                    &what("lars"),
                    [&w, &v],
                    |w, v| optimizer::lars(isa, &lars, g, w, v),
                    |w, v| reference::lars(&lars, w, &wide[1], v),
                    |i| [size_w(i) + step(i), step(i)],
                );
            }
            for nesterov in [false, true] {
                check_pair(
                    &what("momentum"),
                    [g, &v],
                    |g, v| optimizer::momentum(isa, 0.95, nesterov, g, v),
                    |g, v| reference::momentum(0.95, nesterov, g, v),
                    |i| [size_g(i) + size_v(i); 2],
                );
            }
            check_pair(
                &what("descend and average"),
                [&w, &v],
                |w, v| {
                    optimizer::descend(isa, 0.05, 0.01, g, w);
                    optimizer::average(isa, 0.9, g, v);
                },
                |w, v| {
                    w.iter_mut().zip(&wide[1]).for_each(|(w, g)| *w -= 0.01 * *w + 0.05 * g);
                    v.iter_mut().zip(&wide[1]).for_each(|(v, g)| *v = 0.9 * *v + (1.0 - 0.9) * g);
                },
                |i| [size_w(i) + 0.05 * size_g(i), size_v(i) + size_g(i)],
            );
        }
    });
}

fn check_lamb<T: Element>() {
    each_isa(|isa| {
        for len in LENGTHS {
            for (weight_decay, step) in [(0.0, 1), (0.1, 1), (0.1, 100_000)] {
                let hyper = Adam { weight_decay, ..ADAM };
                let what = format!("lamb_direction in step {step} at {isa}, length {len}, {}", T::NAME);
                let [w, g, m] = [1, 2, 3].map(|seed| data::<T>(len, seed));
                let v: Vec<T> = data::<T>(len, 4).into_iter().map(|v| v * v).collect();
                let [mut new_g, mut new_m, mut new_v] = [&g, &m, &v].map(|x| Guarded::new(x));
                let at_step = hyper.at_step(step);
                optimizer::lamb_direction(isa, &at_step, &w, new_g.slice(), new_m.slice(), new_v.slice());
                // The direction of magnitudes has the magnitudes that are rounded.
                let magnitudes = |x: &[T]| x.iter().map(|x| x.to_f64().abs()).collect::<Vec<_>>();
                let [size_w, mut size_r, mut size_m] = [&w, &g, &m].map(|x| magnitudes(x));
                reference::lamb_direction(&hyper, step, &size_w, &mut size_r, &mut size_m, &mut widen(&v));
                let [w, mut r, mut m, mut v] = [&w, &g, &m, &v].map(|x| widen(x));
                reference::lamb_direction(&hyper, step, &w, &mut r, &mut m, &mut v);
                let eps = T::EPSILON.to_f64();
                assert_close(&what, new_g.check(), &r, |i| 5.0 * eps * size_r[i]);
                assert_close(&what, new_m.check(), &m, |i| 2.0 * eps * size_m[i]);
                assert_close(&what, new_v.check(), &v, |i| 2.0 * eps * v[i]);
            }
        }
    });
}

#[test]
fn the_parts_of_layer_wise_optimizers_match_the_reference() {
    check_layer_wise::<f32>();
    check_layer_wise::<f64>();
    check_lamb::<f32>();
    check_lamb::<f64>();
}

/// Without momentum, the velocity is the gradient: it need not be kept.
#[test]
fn descent_is_sgd_without_its_velocity() {
    each_isa(|isa| {
        for len in LENGTHS {
            let (g, before) = (data::<f32>(len, 1), data::<f32>(len, 2));
            let (mut w, mut expected) = (before.clone(), before);
            let hyper = Sgd { lr: 0.3, momentum: 0.0, nesterov: false, weight_decay: 0.5 };
            optimizer::sgd(isa, &hyper, &g, &mut expected, &mut data(len, 3));
            optimizer::descend(isa, 0.3, 0.3 * 0.5, &g, &mut w);
            assert_eq!(w, expected, "{isa}, length {len}");
        }
    });
}

#[test]
fn an_average_of_equal_values_stays() {
    each_isa(|isa| {
        let x = data::<f32>(33, 5);
        let mut y = x.clone();
        (0..100).for_each(|_| optimizer::average(isa, 0.999, &x, &mut y));
        assert_eq!(y, x, "{isa}");
    });
}

#[test]
fn nan_gradients_reach_what_they_enter() {
    each_isa(|isa| {
        let mut g = [0.5f32; 20];
        g[13] = f32::NAN;
        let assert_one = |what: &str, x: &[f32]| {
            for (i, x) in x.iter().enumerate() {
                assert_eq!(x.is_nan(), i == 13, "{what} at {isa}: element {i} is {x}");
            }
        };
        let (mut w, mut v) = ([1.0; 20], [0.0; 20]);
        optimizer::lars(isa, &Lars { lr: 0.1, momentum: 0.9, weight_decay: 0.0 }, &g, &mut w, &mut v);
        assert_one("lars", &w);
        let (mut direction, mut v) = (g, [0.0; 20]);
        optimizer::momentum(isa, 0.9, true, &mut direction, &mut v);
        assert_one("momentum", &direction);
        let (mut direction, mut m, mut v) = (g, [0.0; 20], [0.0; 20]);
        optimizer::lamb_direction(isa, &ADAM.at_step(1), &[1.0; 20], &mut direction, &mut m, &mut v);
        assert_one("lamb_direction", &direction);
        let mut w = [1.0; 20];
        optimizer::descend(isa, 0.1, 0.0, &g, &mut w);
        assert_one("descend", &w);
        let mut mean = [1.0; 20];
        optimizer::average(isa, 0.9, &g, &mut mean);
        assert_one("average", &mean);
    });
}

#[test]
fn first_steps_have_closed_forms() {
    let (g, lr) = (0.25, ADAM.lr);
    let first = |name: &str| -> f64 {
        let (_, update) =
            references().into_iter().find(|(n, _)| n.starts_with(name)).expect("it is in the list");
        let mut w = [0.0];
        update(&mut w, &[g], &mut [0.0], &mut [0.0]);
        -w[0]
    };
    let adam = lr * g / (g + ADAM.eps);
    for (name, expected) in [
        ("Sgd", SGD.lr * g),
        ("Sgd { lr: 0.05, momentum: 0.9, nesterov: true", SGD.lr * 1.9 * g),
        ("RmsProp", RMSPROP.lr * g / ((1.0 - RMSPROP.rho).sqrt() * g + RMSPROP.eps)),
        ("Adam", adam),
        // beta1 (1 - beta1) / (1 - beta1^2) + 1
        ("NAdam", adam * (0.9 / 1.9 + 1.0)),
    ] {
        let step = first(name);
        assert!((step - expected).abs() <= 1e-14 * expected, "{name}: {step}, expected {expected}");
    }
}

#[test]
fn momentum_accumulates() {
    // Velocities under a constant gradient of 1: 1, 1.9, 2.71.
    each_isa(|isa| {
        let (mut w, mut v) = ([1f64; 3], [0f64; 3]);
        for _ in 0..3 {
            optimizer::sgd(isa, &SGD, &[1.0; 3], &mut w, &mut v);
        }
        assert_close("v", &v, &[2.71; 3], |_| 1e-15);
        assert_close("w", &w, &[1.0 - 0.05 * 5.61; 3], |_| 1e-15);
    });
}

#[test]
fn no_gradient_and_no_decay_change_nothing() {
    each_isa(|isa| {
        for (name, update) in
            updates::<f32>(isa).into_iter().filter(|(name, _)| name.contains("weight_decay: 0.0"))
        {
            let before = [1.0, -0.0, f32::from_bits(1), f32::MAX, -3.5];
            let mut w = before;
            update(&mut w, &[0.0; 5], &mut [0.0; 5], &mut [0.0; 5]);
            // -0.0 may become 0.0, which is the same parameter.
            assert_eq!(w, before, "{name} at {isa}");
        }
    });
}

#[test]
fn decay_alone_shrinks_by_its_rate() {
    each_isa(|isa| {
        let step = Adam { lr: 0.5, weight_decay: 0.25, ..ADAM }.at_step(1);
        let mut w = [8f32, -16.0, 0.0];
        optimizer::adam(isa, &step, &[0.0; 3], &mut w, &mut [0.0; 3], &mut [0.0; 3]);
        assert_eq!(w, [7.0, -14.0, 0.0], "{isa}");
    });
}

#[test]
fn nan_gradient_is_not_hidden() {
    each_isa(|isa| {
        for (name, update) in updates::<f32>(isa) {
            let mut w = [1.0; 20];
            let mut g = [0.5; 20];
            g[13] = f32::NAN;
            update(&mut w, &g, &mut [0.0; 20], &mut [0.0; 20]);
            for (i, w) in w.iter().enumerate() {
                assert_eq!(w.is_nan(), i == 13, "{name} at {isa}: w[{i}] = {w}");
            }
        }
    });
}

#[test]
#[should_panic(expected = "steps are counted from 1, but step is 0")]
fn adam_counts_from_one() {
    ADAM.at_step(0);
}

#[test]
#[should_panic(expected = "sgd: output 1 has 2 elements, but output 0 has 3")]
fn state_of_another_length_panics_with_both() {
    optimizer::sgd(Isa::portable(), &SGD, &[0.0; 3], &mut [0f32; 3], &mut [0.0; 2]);
}
