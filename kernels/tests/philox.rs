//! Philox against known answers, and the statistics of the numbers that are made from it.

use isograd_kernels::philox::{OwnPurpose, Purpose, Rng, normal_pair, philox4x32, uniform, uniform_f64};
use std::collections::HashSet;

/// From the `kat_vectors` of Random123, the authors' own implementation.
#[test]
fn known_answers() {
    let (ones, counter) = (0xffff_ffff, [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344]);
    for (counter, key, expected) in [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([ones; 4], [ones; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (counter, [0xa409_3822, 0x299f_31d0], [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
    ] {
        assert_eq!(philox4x32(counter, key), expected, "counter {counter:x?}, key {key:x?}");
    }
}

#[test]
fn the_mapping_is_the_documented_one() {
    let rng = Rng::new(0x1122_3344_5566_7788, Purpose::Dropout).epoch(9).layer(0x00ab_cdef);
    let expected = philox4x32([5, 6, 9, 0x03ab_cdef], [0x5566_7788, 0x1122_3344]);
    assert_eq!(rng.block(5, 6), expected);
}

#[test]
fn every_field_changes_the_block() {
    let mut blocks = HashSet::new();
    let purposes = [
        Purpose::InitialWeights,
        Purpose::Shuffle,
        Purpose::Augmentation,
        Purpose::Dropout,
        Purpose::Synthetic,
        Purpose::Own(OwnPurpose::new(0)),
        Purpose::Own(OwnPurpose::new(127)),
    ];
    for purpose in purposes {
        for seed in [0, 1, 1 << 32] {
            for (epoch, layer) in [(0, 0), (1, 0), (0, 1), (u32::MAX, 0xff_ffff)] {
                for (position, index) in [(0, 0), (1, 0), (0, 1), (u64::from(u32::MAX), u32::MAX)] {
                    blocks.insert(Rng::new(seed, purpose).epoch(epoch).layer(layer).block(position, index));
                }
            }
        }
    }
    assert_eq!(blocks.len(), 7 * 3 * 4 * 4);
}

#[test]
#[should_panic(expected = "layer 16777216 does not fit")]
fn layer_must_fit() {
    let _ = Rng::new(0, Purpose::Dropout).layer(1 << 24);
}

#[test]
#[should_panic(expected = "sample position 4294967296 does not fit")]
fn position_must_fit() {
    Rng::new(0, Purpose::Dropout).block(1 << 32, 0);
}

#[test]
fn uniform_stays_below_one() {
    let ones = u32::MAX;
    assert_eq!((uniform_f64(0, 0), uniform_f64(ones, ones)), (0.0, 1.0 - f64::EPSILON / 2.0));
    assert_eq!(uniform::<f32>(ones, ones), 1.0 - f32::EPSILON / 2.0);
    assert_eq!(uniform::<f64>(ones, ones), 1.0 - f64::EPSILON / 2.0);
    assert_eq!((uniform::<f32>(1 << 31, ones), uniform_f64(1 << 31, 0)), (0.5, 0.5));
    // The lowest bit of either precision.
    assert_eq!(uniform_f64(0, 1 << 11), f64::EPSILON / 2.0);
    assert_eq!((uniform::<f32>(1 << 8, 0), uniform::<f32>(0xff, ones)), (f32::EPSILON / 2.0, 0.0));
}

const DRAWS: u32 = 40_000;

/// Asserts that a mean over `count` independent numbers with the given standard deviation is within five
/// standard errors of the expected one.
fn check_mean(what: &str, values: impl Iterator<Item = f64>, expected: f64, deviation: f64) {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    let (mean, bound) = (sum / count, 5.0 * deviation / f64::sqrt(count));
    assert!(
        (mean - expected).abs() <= bound,
        "{what}: mean {mean} of {count}, expected {expected} within {bound}"
    );
}

#[test]
fn uniform_numbers_are_uniform_and_uncorrelated() {
    let rng = Rng::new(7, Purpose::Synthetic);
    let first = |rng: Rng, position: u64, index: u32| {
        let [a, b, ..] = rng.block(position, index);
        uniform_f64(a, b)
    };
    let u: Vec<f64> = (0..DRAWS).map(|index| first(rng, 0, index)).collect();
    check_mean("u", u.iter().copied(), 0.5, f64::sqrt(1.0 / 12.0));
    // The variance of u^2 is 1/5 - 1/9.
    check_mean("u^2", u.iter().map(|u| u * u), 1.0 / 3.0, f64::sqrt(4.0 / 45.0));

    // Chi-square over 16 bins: mean 15, variance 30.
    let mut counts = [0.0; 16];
    u.iter().for_each(|u| counts[(u * 16.0) as usize] += 1.0);
    let per_bin = f64::from(DRAWS) / 16.0;
    let chi2: f64 = counts.iter().map(|c| (c - per_bin) * (c - per_bin) / per_bin).sum();
    assert!((chi2 - 15.0).abs() <= 5.0 * f64::sqrt(30.0), "chi-square {chi2} with 15 degrees of freedom");

    // Neighbours in every field; the product of two centred uniform numbers has deviation 1/12.
    let neighbours: [(&str, &dyn Fn(u32) -> f64); 5] = [
        ("index", &|i| first(rng, 0, i + 1)),
        ("position", &|i| first(rng, 1, i)),
        ("epoch", &|i| first(rng.epoch(1), 0, i)),
        ("layer", &|i| first(rng.layer(1), 0, i)),
        ("seed", &|i| first(Rng::new(8, Purpose::Synthetic), 0, i)),
    ];
    for (what, neighbour) in neighbours {
        let products = (0..DRAWS).map(|i| (u[i as usize] - 0.5) * (neighbour(i) - 0.5));
        check_mean(what, products, 0.0, 1.0 / 12.0);
    }
}

#[test]
fn normal_numbers_have_normal_moments() {
    let rng = Rng::new(3, Purpose::InitialWeights);
    let pairs: Vec<[f64; 2]> = (0..DRAWS).map(|index| normal_pair(rng.block(0, index))).collect();
    let all = || pairs.iter().flatten().copied();
    check_mean("x", all(), 0.0, 1.0);
    check_mean("x^2", all().map(|x| x * x), 1.0, f64::sqrt(2.0));
    // Moments of order 6 and 8 are 15 and 105.
    check_mean("x^3", all().map(|x| x.powi(3)), 0.0, f64::sqrt(15.0));
    check_mean("x^4", all().map(|x| x.powi(4)), 3.0, f64::sqrt(105.0 - 9.0));
    check_mean("xy", pairs.iter().map(|[x, y]| x * y), 0.0, 1.0);
    check_mean("x > 1", all().map(|x| f64::from(x > 1.0)), 0.158_655, 0.3654);
    let extreme = normal_pair([u32::MAX, u32::MAX, 0, 0]);
    assert!(extreme[0] > 8.5 && extreme[0] < 8.6 && extreme[1] == 0.0, "{extreme:?}");
}
