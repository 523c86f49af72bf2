//! Test data with exact sums, and the comparison with a reference.

use std::ops::{Deref, DerefMut};

/// The number of bytes in two cache lines.
const PAIR_BYTES: usize = 128;

/// A buffer of f32 that starts at a pair of cache lines, like the trainer's buffers.
pub struct Buffer {
    all: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        let pair = PAIR_BYTES / size_of::<f32>();
        // Every element is written here, because pages that were never written share one page of zeros.
        let mut all = Vec::with_capacity(len + pair);
        all.extend((0..len + pair).map(|_| std::hint::black_box(0.0)));
        let start = all.as_ptr().align_offset(PAIR_BYTES).min(pair);
        Self { all, start, len }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.all[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.all[self.start..self.start + self.len]
    }
}

/// `len` whole numbers in -4..=4, a pure function of `seed`. Sums of up to a million of their products are
/// exact in f32, in any order. So a kernel must give exactly the value of the reference.
pub fn integers(len: usize, seed: u64) -> Buffer {
    let mut buffer = Buffer::zeroed(len);
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for x in buffer.iter_mut() {
        // A linear congruential generator modulo 2^64 (Knuth). Only its high bits are random enough.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *x = ((state >> 33) % 9) as f32 - 4.0;
    }
    buffer
}

/// The same values in f64.
pub fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// Asserts `|y[i] - reference[i]| <= tolerance * (1 + |reference[i]|)`. A tolerance of 0 requires equality.
pub fn assert_close(what: &str, y: &[f32], reference: &[f64], tolerance: f64) {
    assert_eq!(
        y.len(),
        reference.len(),
        "{what}: there are {} values, but the reference has {}",
        y.len(),
        reference.len()
    );
    for (i, (y, r)) in y.iter().zip(reference).enumerate() {
        let (error, bound) = ((f64::from(*y) - r).abs(), tolerance * (1.0 + r.abs()));
        assert!(
            error <= bound,
            "{what}: element {i} is {y:e}, but the reference is {r:e}: the error {error:e} is above {bound:e}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_start_on_a_line_and_keep_their_length() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let buffer = integers(len, 7);
            assert_eq!((buffer.as_ptr() as usize % PAIR_BYTES, buffer.len()), (0, len));
        }
    }

    #[test]
    fn integers_take_all_nine_values_and_differ_by_seed() {
        let (a, b) = (integers(1000, 1), integers(1000, 2));
        for value in -4..=4 {
            assert!(a.contains(&(value as f32)), "{value} is missing");
        }
        assert!(a.iter().all(|x| x.fract() == 0.0 && x.abs() <= 4.0));
        assert_ne!(*a, *b);
    }

    #[test]
    fn not_a_number_is_not_close() {
        let compare = || assert_close("test", &[f32::NAN], &[0.0], 1.0);
        assert!(std::panic::catch_unwind(compare).is_err());
    }
}
