//! Dropout: which elements are dropped, and that parts have the bits of the whole.

mod common;

use common::{Guarded, LENGTHS, data, each_isa};
use isograd_kernels::dropout::Dropout;
use isograd_kernels::philox::{Purpose, Rng};
use isograd_kernels::{Element, Isa};
use std::ops::Range;

fn dropout(rate: f64) -> Dropout {
    Dropout { rng: Rng::new(11, Purpose::Dropout).epoch(2).layer(5), first_position: 1000, rate }
}

/// What ones become, and which are kept.
fn run(dropout: Dropout, features: Range<usize>, n: usize) -> [Vec<f32>; 2] {
    let [mut mask, mut kept] = [n, Dropout::kept_len(n)].map(|row| vec![f32::NAN; features.len() * row]);
    dropout.forward(Isa::best(), features, n, &vec![1.0; mask.len()], &mut mask, &mut kept);
    [mask, kept]
}

fn mask(dropout: Dropout, features: Range<usize>, n: usize) -> Vec<f32> {
    let [mask, _] = run(dropout, features, n);
    mask
}

fn check<T: Element>() {
    let (rate, features) = (0.3, 7);
    let (dropout, threshold) = (dropout(rate), (rate * 4_294_967_296.0_f64).round());
    let keep = T::from_f64(1.0 / 0.7);
    each_isa(|isa| {
        for n in LENGTHS {
            let (x, dy) = (Guarded::new(&data(features * n, 1)), Guarded::new(&data(features * n, 2)));
            let [mut y, mut dx] = [(); 2].map(|()| Guarded::<T>::nan(features * n));
            let mut kept = Guarded::<T>::nan(features * Dropout::kept_len(n));
            dropout.forward(isa, 0..features, n, x.check(), y.slice(), kept.slice());
            dropout.backward(isa, features, n, kept.check(), dy.check(), dx.slice());
            for (i, y) in y.check().iter().enumerate() {
                let (feature, position) = (i / n, 1000 + (i % n) as u64);
                let word = dropout.rng.block(position, feature as u32 / 4)[feature % 4];
                let factor = if f64::from(word) < threshold { T::ZERO } else { keep };
                // As bits: what is dropped keeps its sign.
                let bits = |of: [T; 2]| of.map(|value| value.to_f64().to_bits());
                let expected = bits([x.check()[i] * factor, dy.check()[i] * factor]);
                let got = bits([*y, dx.check()[i]]);
                assert_eq!(got, expected, "feature {feature}, position {position}, n = {n}, {isa}");
            }
        }
    });
}

#[test]
fn dropout_depends_on_feature_and_position_only() {
    check::<f32>();
    check::<f64>();
}

#[test]
fn parts_have_the_bits_of_the_whole() {
    let (dropout, n) = (dropout(0.5), 19);
    let parts = [0..4, 4..12, 12..18, 20..20].map(|features| run(dropout, features, n));
    let joined: [Vec<f32>; 2] =
        [0, 1].map(|tensor| parts.iter().flat_map(|part| part[tensor].clone()).collect());
    assert_eq!(joined, run(dropout, 0..18, n));
}

#[test]
fn it_drops_at_its_rate_and_keeps_the_mean() {
    let (features, n) = (200, 100);
    for rate in [0.1, 0.5, 0.9] {
        let mask: Vec<_> = mask(dropout(rate), 0..features, n).into_iter().map(f64::from).collect();
        let (count, mean) = (mask.len() as f64, mask.iter().sum::<f64>() / mask.len() as f64);
        let dropped = mask.iter().filter(|m| **m == 0.0).count() as f64 / count;
        // Five standard deviations. The seed is fixed.
        let bound = 5.0 * f64::sqrt(rate * (1.0 - rate) / count);
        assert!((dropped - rate).abs() <= bound, "{dropped} are dropped instead of {rate}");
        assert!((mean - 1.0).abs() <= bound / (1.0 - rate), "the mean is {mean} for {rate}");
    }
}

#[test]
fn nothing_and_everything_are_dropped() {
    assert_eq!(mask(dropout(0.0), 0..2, 3), [1.0; 6]);
    assert_eq!(mask(dropout(1.0), 0..2, 3), [0.0; 6]);
}

#[test]
fn what_is_not_finite_stays_so() {
    let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let mut y = [0.0; 3];
    dropout(1.0).forward(Isa::best(), 0..1, 3, &bad, &mut y, &mut [0.0]);
    assert!(y.iter().all(|y| y.is_nan()), "{y:?}");
}

#[test]
fn it_reaches_the_last_position() {
    let last = Dropout { first_position: (1 << 32) - 2, ..dropout(0.0) };
    assert_eq!(mask(last, 0..1, 2), [1.0; 2]);
}

#[test]
#[should_panic(expected = "dropout: rate 1.5 is not in [0, 1]")]
fn rate_must_be_a_probability() {
    mask(dropout(1.5), 0..1, 1);
}

#[test]
#[should_panic(expected = "dropout: features 2..4 do not begin at a multiple of 4")]
fn parts_begin_with_a_random_block() {
    mask(dropout(0.5), 2..4, 1);
}

#[test]
#[should_panic(expected = "dropout: y has 3 elements, but 2 features of 2 samples need 4")]
fn lengths_must_fit() {
    dropout(0.5).forward(Isa::best(), 0..2, 2, &[1.0; 4], &mut [0f32; 3], &mut [0.0; 2]);
}

#[test]
#[should_panic(expected = "dropout: kept has 2 elements, but 2 features of 17 samples need 4")]
fn each_sample_has_a_bit() {
    dropout(0.5).backward(Isa::best(), 2, 17, &[0.0; 2], &[1.0; 34], &mut [0f32; 34]);
}
