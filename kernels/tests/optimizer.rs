//! Optimizer updates against their f64 reference, and that reference against closed forms.

mod common;

use common::{Guarded, LENGTHS, assert_close, data, each_isa, widen};
use isograd_kernels::optimizer::{self, Adam, RmsProp, Sgd};
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
