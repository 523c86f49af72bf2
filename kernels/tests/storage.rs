//! Bfloat16s in memory.

use isograd_kernels::{Isa, storage};

/// Lengths around those of vectors and of blocks.
const LENGTHS: [usize; 9] = [0, 1, 3, 8, 17, 127, 128, 129, 1000];

/// Numbers of all magnitudes: every bit pattern of the upper half, with lower halves around the ties.
fn numbers() -> Vec<f32> {
    let lower = [0u32, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
    let all =
        (0..=u32::from(u16::MAX)).flat_map(|upper| lower.map(|lower| f32::from_bits(upper << 16 | lower)));
    all.collect()
}

/// The bfloat16 nearest to `x`, by the distances to its neighbours.
fn nearest(x: f32) -> u16 {
    let below = (x.to_bits() >> 16) as u16;
    if x.is_subnormal() {
        return below & 0x8000;
    }
    if x.is_infinite() {
        return below;
    }
    // Behind the largest number lies infinity, as far as another number would.
    let value = |bits: u16| match f64::from(f32::from_bits(u32::from(bits) << 16)) {
        value if value.is_infinite() => 2f64.powi(128).copysign(value),
        value => value,
    };
    let [down, up] = [below, below + 1].map(|bits| (value(bits) - f64::from(x)).abs());
    let is_even = below.is_multiple_of(2);
    if down < up || (down == up && is_even) { below } else { below + 1 }
}

#[test]
fn rounding_is_to_nearest_even_at_all_levels() {
    let x = numbers();
    let mut rounded = vec![0; x.len()];
    for isa in Isa::available() {
        storage::round(isa, &x, &mut rounded);
        for (x, bits) in x.iter().zip(&rounded) {
            let value = f32::from_bits(u32::from(*bits) << 16);
            if x.is_nan() {
                assert!(value.is_nan(), "{isa}: {x:e} is {value:e}");
            } else {
                assert_eq!(*bits, nearest(*x), "{isa}: {x:e} is {value:e}");
            }
        }
    }
}

#[test]
fn widening_gives_the_value_at_all_levels() {
    let x: Vec<u16> = (0..=u16::MAX).collect();
    let mut y = vec![0.0f32; x.len()];
    for isa in Isa::available() {
        storage::widen(isa, &x, &mut y);
        for (x, y) in x.iter().zip(&y) {
            assert_eq!(y.to_bits(), u32::from(*x) << 16, "{isa}");
        }
    }
}

#[test]
fn a_part_is_converted_as_in_the_whole() {
    let x: Vec<f32> = numbers().into_iter().step_by(371).take(1001).collect();
    for isa in Isa::available() {
        let mut whole = vec![0; x.len()];
        storage::round(isa, &x, &mut whole);
        for len in LENGTHS {
            let mut part = vec![0; len];
            storage::round(isa, &x[1..][..len], &mut part);
            assert_eq!(part, whole[1..][..len], "{isa}, {len}");
            let mut values = vec![0.0f32; len];
            storage::widen(isa, &part, &mut values);
            let bits: Vec<u16> = values.iter().map(|value| (value.to_bits() >> 16) as u16).collect();
            assert_eq!(bits, part, "{isa}, {len}");
        }
    }
}

#[test]
#[should_panic(expected = "the input has 3 elements, the output has 2")]
fn lengths_must_agree() {
    storage::round(Isa::portable(), &[0.0f32; 3], &mut [0; 2]);
}
