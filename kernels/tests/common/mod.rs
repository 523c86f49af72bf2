//! What the kernel tests share: every level of this host, data, guarded buffers, and comparison with derived
//! bounds.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this module")]

pub mod conv;
pub mod winograd;

use isograd_kernels::{Element, Isa};

/// Lengths around the vector lengths of every level and element type.
pub const LENGTHS: [usize; 14] = [0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 67];

/// `len` values in [-1, 1), a pure function of `seed`, exactly representable in f32.
pub fn data<T: Element>(len: usize, seed: u64) -> Vec<T> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    (0..len)
        .map(|_| {
            // xorshift64*
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let bits = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
            T::from_f64(bits as f64 / f64::from(1 << 23) - 1.0)
        })
        .collect()
}

/// The same values in f64.
pub fn widen<T: Element>(x: &[T]) -> Vec<f64> {
    x.iter().map(|v| v.to_f64()).collect()
}

/// `x` rounded to bfloat16, to the nearest value, of two the one with an even last bit.
pub fn rounded(x: &[f32]) -> Vec<f32> {
    let round = |x: &f32| {
        let bits = x.to_bits();
        f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
    };
    x.iter().map(round).collect()
}

/// A buffer that is not aligned to a vector, between guard elements that a kernel must not overwrite.
pub struct Guarded<T> {
    all: Vec<T>,
    start: usize,
    len: usize,
}

const GUARD: f64 = 12_345.0;

impl<T: Element> Guarded<T> {
    /// A copy of `x`, one element off the start of its allocation.
    pub fn new(x: &[T]) -> Self {
        let (start, margin) = (1, 40);
        let mut all = vec![T::from_f64(GUARD); start + x.len() + margin];
        all[start..start + x.len()].copy_from_slice(x);
        Self { all, start, len: x.len() }
    }

    /// `len` NaNs. A kernel that overwrites its output must leave none of them.
    pub fn nan(len: usize) -> Self {
        Self::new(&vec![T::from_f64(f64::NAN); len])
    }

    /// The buffer, to hand to a kernel.
    pub fn slice(&mut self) -> &mut [T] {
        &mut self.all[self.start..self.start + self.len]
    }

    /// The values, after a check that nothing outside them was written.
    pub fn check(&self) -> &[T] {
        let end = self.start + self.len;
        for (i, v) in self.all.iter().enumerate().filter(|(i, _)| *i < self.start || *i >= end) {
            assert!(
                v.to_f64() == GUARD,
                "guard element {i} (buffer is {}..{end}) was overwritten with {v}",
                self.start
            );
        }
        &self.all[self.start..end]
    }
}

/// Asserts `|y[i] - reference[i]| <= bound(i)`; equal infinities and pairs of NaN count as equal.
pub fn assert_close<T: Element>(what: &str, y: &[T], reference: &[f64], bound: impl Fn(usize) -> f64) {
    assert_eq!(y.len(), reference.len(), "{what}: lengths differ");
    for (i, (y, r)) in y.iter().zip(reference).enumerate() {
        let v = y.to_f64();
        let same = v == *r || (v.is_nan() && r.is_nan());
        assert!(
            same || (v - r).abs() <= bound(i),
            "{what}: element {i} is {v:e}, the reference is {r:e}, the difference {:e} exceeds the bound {:e}",
            (v - r).abs(),
            bound(i)
        );
    }
}

/// A bound of `count` units in the last place of each reference value (of the smallest normal value near
/// zero).
pub fn ulps<T: Element>(count: f64, reference: &[f64]) -> impl Fn(usize) -> f64 {
    let tiny = if T::NAME == "float32" { f64::from(f32::MIN_POSITIVE) } else { f64::MIN_POSITIVE };
    move |i| count * T::EPSILON.to_f64() * reference[i].abs().max(tiny)
}

/// The number of roundings in a sum of `len` elements, in units of half an `EPSILON` of the sum of
/// magnitudes, as [`isograd_kernels::reduce`] documents it: additions in a chunk of at most 1024 vectors,
/// which have four accumulators, and additions in f64 of the chunks' totals.
pub fn additions<T: Element>(isa: Isa, len: usize) -> f64 {
    let lanes = isa.vector_bytes() / size_of::<T>();
    let totals = if T::NAME == "float64" { len / (1024 * lanes) } else { 0 };
    ((len / (4 * lanes)).min(256) + 10 + totals) as f64
}

/// Runs `test` at every level of this host.
pub fn each_isa(test: impl Fn(Isa)) {
    Isa::available().into_iter().for_each(test);
}
