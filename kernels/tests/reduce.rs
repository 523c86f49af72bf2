//! Reductions against f64 sums.

mod common;

use common::{Guarded, LENGTHS, additions, assert_close, data, each_isa, widen};
use isograd_kernels::{Accum, Element, Isa, reduce};

/// The sum in twice the precision of f64 (Neumaier, 1974).
fn accurate_sum(x: &[f64]) -> f64 {
    let (mut sum, mut lost) = (0.0f64, 0.0);
    for x in x {
        let next = sum + x;
        lost += if sum.abs() >= x.abs() { (sum - next) + x } else { (x - next) + sum };
        sum = next;
    }
    sum + lost
}

fn check_sums<T: Element>(isa: Isa, a: &[T], b: &[T]) {
    let (wide_a, wide_b) = (widen(a), widen(b));
    let products: Vec<f64> = wide_a.iter().zip(&wide_b).map(|(a, b)| a * b).collect();
    let squares: Vec<f64> = wide_a.iter().map(|a| a * a).collect();
    for (name, result, terms, roundings) in [
        ("sum", reduce::sum(isa, a), &wide_a, additions::<T>(isa, a.len())),
        ("dot", reduce::dot(isa, a, b), &products, additions::<T>(isa, a.len()) + 1.0),
        ("sum_of_squares", reduce::sum_of_squares(isa, a), &squares, additions::<T>(isa, a.len()) + 1.0),
    ] {
        let magnitude: f64 = terms.iter().map(|x| x.abs()).sum();
        let bound = roundings / 2.0 * T::EPSILON.to_f64() * magnitude;
        let what = format!("{name} at {isa}, length {}, {}", a.len(), T::NAME);
        assert_close(&what, &[result], &[accurate_sum(terms)], |_| bound);
    }
}

fn check<T: Element>() {
    each_isa(|isa| {
        for len in LENGTHS.into_iter().chain([128, 1000, 2049, 4097, 8191, 16_384, 16_385, 40_000]) {
            let (a, b) = (Guarded::new(&data::<T>(len, 1)), Guarded::new(&data::<T>(len, 2)));
            check_sums(isa, a.check(), b.check());
            let max = widen(a.check()).into_iter().fold(f64::NEG_INFINITY, f64::max);
            let what = format!("max at {isa}, length {len}, {}", T::NAME);
            assert_eq!(reduce::max(isa, a.check()).to_f64(), max, "{what}");
        }
    });
}

/// The roundings of equal terms go in the same direction. With one chain of additions for each lane, the
/// error would be ten times the bound.
#[test]
fn long_sums_are_as_accurate_as_short_ones() {
    each_isa(|isa| {
        for len in [1 << 20, (1 << 20) - 5] {
            let (a, b) = (vec![0.1f32; len], vec![1.0f32; len]);
            check_sums(isa, &a, &b);
            let (mut rows, whole) = ([0.0; 2], reduce::sum(isa, &a));
            reduce::sum_rows(isa, 2, len, &[&*a, &*a].concat(), Accum::Replace, &mut rows);
            assert_eq!(rows, [whole; 2], "{isa}");
        }
    });
}

#[test]
fn sums_and_maxima_in_f32() {
    check::<f32>();
}

#[test]
fn sums_and_maxima_in_f64() {
    check::<f64>();
}

fn check_squares_in_f64<T: Element>() {
    let lengths = || LENGTHS.into_iter().chain([128, 1000, 2049, 16_385]);
    for len in lengths() {
        let x = Guarded::new(&data::<T>(len, 1));
        let squares: Vec<f64> = widen(x.check()).iter().map(|x| x * x).collect();
        let expected = accurate_sum(&squares);
        let sums: Vec<f64> =
            Isa::available().into_iter().map(|isa| reduce::sum_of_squares_in_f64(isa, x.check())).collect();
        assert!(
            sums.iter().all(|sum| sum.to_bits() == sums[0].to_bits()),
            "levels differ at {len}: {sums:?}"
        );
        let bound = (len / 16 + 6) as f64 * f64::EPSILON / 2.0 * expected;
        assert_close(&format!("length {len}, {}", T::NAME), &sums[..1], &[expected], |_| bound);
    }
}

#[test]
fn squares_in_f64_are_accurate_and_the_same_at_every_level() {
    check_squares_in_f64::<f32>();
    check_squares_in_f64::<f64>();
    each_isa(|isa| {
        // Neither square is in the range of f32.
        assert_eq!(reduce::sum_of_squares_in_f64(isa, &[2f32.powi(100); 20]), 20.0 * 2f64.powi(200), "{isa}");
        assert_eq!(
            reduce::sum_of_squares_in_f64(isa, &[2f32.powi(-100); 20]),
            20.0 * 2f64.powi(-200),
            "{isa}"
        );
        for at in [0, 15, 16, 19] {
            let mut x = [1f32; 20];
            x[at] = f32::NAN;
            assert!(reduce::sum_of_squares_in_f64(isa, &x).is_nan(), "{isa}, NaN at {at}");
        }
    });
}

#[test]
fn integers_add_exactly() {
    each_isa(|isa| {
        for len in LENGTHS {
            let x: Vec<f32> = (1..=len).map(|i| i as f32).collect();
            assert_eq!(reduce::sum(isa, &x), (len * (len + 1) / 2) as f32, "{isa}, length {len}");
        }
    });
}

#[test]
fn one_odd_element_is_found_wherever_it_is() {
    each_isa(|isa| {
        for len in LENGTHS {
            assert!(reduce::all_finite(isa, &data::<f32>(len, 3)), "{isa}, length {len}");
            for at in 0..len {
                let with = |odd: f32| {
                    let mut x = data::<f32>(len, 3);
                    x[at] = odd;
                    x
                };
                for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    assert!(!reduce::all_finite(isa, &with(odd)), "{odd} at {at} of {len} missed at {isa}");
                }
                assert!(reduce::all_finite(isa, &with(f32::MAX)), "{isa}");
                assert!(reduce::max(isa, &with(f32::NAN)).is_nan(), "NaN at {at} of {len} lost at {isa}");
                assert_eq!(reduce::max(isa, &with(7.0)), 7.0, "at {at} of {len} at {isa}");
                assert!(reduce::sum(isa, &with(f32::NAN)).is_nan());
            }
        }
        assert_eq!(reduce::max::<f32>(isa, &[]), f32::NEG_INFINITY);
        assert_eq!(reduce::max(isa, &[f32::NEG_INFINITY; 20]), f32::NEG_INFINITY);
    });
}

#[test]
fn row_sums_replace_or_add() {
    each_isa(|isa| {
        for n in LENGTHS {
            let rows = 5;
            let (x, before) = (data::<f32>(rows * n, 6), data::<f32>(rows, 7));
            let sums: Vec<f32> = (0..rows).map(|r| reduce::sum(isa, &x[r * n..(r + 1) * n])).collect();
            let mut y = Guarded::new(&before);
            reduce::sum_rows(isa, rows, n, &x, Accum::Replace, y.slice());
            assert_eq!(y.check(), sums, "{isa}, n = {n}");
            let mut y = Guarded::new(&before);
            reduce::sum_rows(isa, rows, n, &x, Accum::Add, y.slice());
            let added: Vec<f32> = before.iter().zip(&sums).map(|(a, b)| a + b).collect();
            assert_eq!(y.check(), added, "{isa}, n = {n}");
        }
    });
}

#[test]
fn result_does_not_depend_on_alignment() {
    each_isa(|isa| {
        let x = data::<f32>(1000, 8);
        let aligned = reduce::sum(isa, &x);
        for shift in 1..16 {
            let mut padded = vec![0.0; shift];
            padded.extend(&x);
            assert_eq!(
                reduce::sum(isa, &padded[shift..]).to_bits(),
                aligned.to_bits(),
                "{isa}, shift {shift}"
            );
        }
    });
}

#[test]
#[should_panic(expected = "dot: a has 2 elements, b has 3")]
fn different_lengths_panic_with_both() {
    reduce::dot(Isa::portable(), &[0f32; 2], &[0f32; 3]);
}
