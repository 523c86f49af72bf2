//! Products of factors in bfloat16, with sums in f32.
//!
//! A bfloat16 is the upper half of an f32: the same range, eight bits of precision. Its products are exact in
//! f32. Two factors that follow each other in a sum lie in one word, the first in the lower half, so that a
//! vector of words has two terms of each lane's sum. The instruction `vdpbf16ps` adds both at the rate at
//! which a multiply-add adds one.
//!
//! # Numerics
//!
//! Rounding to bfloat16 is to nearest, ties to even. The products of a word are added one after the other,
//! that of the upper half first, each with one rounding ([two](Level::FUSED) at the portable level, where the
//! first is exact unless the product is beyond the range of f32). Subnormal numbers count as zeros, among the
//! factors and among the sums. These are the rules of `vdpbf16ps`. CPUs without the instruction follow them
//! in several ones, so a level has the same bits on every machine; in NaN, the sign and the payload may
//! differ.

use crate::isa::Isa;
use crate::simd::{Kernel, Level, Vectors};

/// A computation with products of bfloat16s, which is compiled once for each level and, where the level has
/// the instructions on some CPUs only, once more with them. [`Isa::run_bf16`] selects.
pub(crate) trait Bf16Kernel {
    type Output;

    fn run<S: Level, B: Bf16<S>>(self, s: S, b: B) -> Self::Output;
}

/// The operations on bfloat16s at a level. Words are pairs, as the [module](self) says.
pub(crate) trait Bf16<S: Level>: Copy {
    /// Stores the first lanes of `x` rounded, as many as `factors` has.
    fn store(self, s: S, x: S::f32s, factors: &mut [u16]);
    /// Rounds numbers that follow each other.
    #[inline(always)]
    fn store_all(self, s: S, x: &[f32], factors: &mut [u16]) {
        let (vectors, rest) = S::as_simd_f32s(x);
        let (whole, partial) = factors[..x.len()].split_at_mut(x.len() - rest.len());
        for (x, factors) in vectors.iter().zip(whole.chunks_exact_mut(S::F32_LANES)) {
            self.store(s, *x, factors);
        }
        self.store(s, s.partial_load_f32s(rest), partial);
    }
    /// The values rounded, in words.
    fn pair(self, s: S, low: S::f32s, high: S::f32s) -> S::u32s;
    /// `sum` with the products of both halves of `a` and `b` added.
    fn dot(self, s: S, a: S::u32s, b: S::u32s, sum: S::f32s) -> S::f32s;
}

/// The smallest f32 that is not subnormal.
const MIN_NORMAL: f32 = f32::MIN_POSITIVE;
/// A power of two that moves sums from around [`MIN_NORMAL`] to where nothing is subnormal.
const SCALE: f32 = (1u64 << 63) as f32 * 2.0;

/// The operations in instructions that every CPU of a level has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

impl Portable {
    /// The values rounded, as f32s.
    #[inline(always)]
    fn round<S: Level>(s: S, x: S::f32s) -> S::u32s {
        let bits = s.transmute_u32s_f32s(x);
        let magnitude = s.and_u32s(bits, s.splat_u32s(0x7fff_ffff));
        let odd = s.and_u32s(s.wrapping_dyn_shr_u32s(bits, s.splat_u32s(16)), s.splat_u32s(1));
        let rounded = s.add_u32s(bits, s.add_u32s(odd, s.splat_u32s(0x7fff)));
        let is_nan = s.greater_than_u32s(magnitude, s.splat_u32s(0x7f80_0000));
        let quiet = s.or_u32s(bits, s.splat_u32s(0x0040_0000));
        let rounded = s.select_u32s(is_nan, quiet, rounded);
        let is_subnormal = s.less_than_u32s(magnitude, s.splat_u32s(0x0080_0000));
        let zero = s.and_u32s(bits, s.splat_u32s(0x8000_0000));
        s.and_u32s(s.select_u32s(is_subnormal, zero, rounded), s.splat_u32s(0xffff_0000))
    }

    /// The halves of words, as f32s: the lower ones, and the upper ones.
    #[inline(always)]
    fn halves<S: Level>(s: S, words: S::u32s) -> [S::f32s; 2] {
        let low = s.wrapping_dyn_shl_u32s(words, s.splat_u32s(16));
        let high = s.and_u32s(words, s.splat_u32s(0xffff_0000));
        [s.transmute_f32s_u32s(low), s.transmute_f32s_u32s(high)]
    }

    /// `a * b + sum`, where a result that is subnormal before it is stored is a zero of its sign.
    #[inline(always)]
    fn multiply_add<S: Level>(s: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s {
        let result = <f32 as Vectors>::mul_add(s, a, b, sum);
        // The same, where nothing is rounded to a subnormal number. For sums and factors that are too large
        // for it, it is infinite or NaN, and then the result is not small.
        let scale = s.vsplat_f32s(SCALE);
        let (scaled_a, scaled_sum) = (s.vmul_f32s(a, scale), s.vmul_f32s(sum, scale));
        let scaled = <f32 as Vectors>::mul_add(s, scaled_a, b, scaled_sum);
        let is_small = s.vless_f32s(<f32 as Vectors>::abs(s, scaled), s.vsplat_f32s(MIN_NORMAL * SCALE));
        let sign = s.and_u32s(s.transmute_u32s_f32s(result), s.splat_u32s(0x8000_0000));
        s.vselect_f32s(is_small, s.transmute_f32s_u32s(sign), result)
    }
}

impl<S: Level> Bf16<S> for Portable {
    #[inline(always)]
    fn store(self, s: S, x: S::f32s, factors: &mut [u16]) {
        let words = [Self::round(s, x)];
        for (factor, word) in factors.iter_mut().zip(bytemuck::cast_slice::<_, u32>(&words)) {
            *factor = (*word >> 16) as u16;
        }
    }

    #[inline(always)]
    fn store_all(self, s: S, x: &[f32], factors: &mut [u16]) {
        // The compiler takes the upper halves of a block of words with vector instructions, those of a single
        // vector one by one.
        const BLOCK: usize = 128;
        let factors = &mut factors[..x.len()];
        for (x, factors) in x.chunks(BLOCK).zip(factors.chunks_mut(BLOCK)) {
            let mut words = [0; BLOCK];
            let (vectors, rest) = S::as_simd_f32s(x);
            let (rounded, partial) = S::as_mut_simd_u32s(&mut words[..x.len()]);
            for (x, rounded) in vectors.iter().zip(rounded) {
                *rounded = Self::round(s, *x);
            }
            if !rest.is_empty() {
                s.partial_store_u32s(partial, Self::round(s, s.partial_load_f32s(rest)));
            }
            for (factor, word) in factors.iter_mut().zip(&words) {
                *factor = (*word >> 16) as u16;
            }
        }
    }

    #[inline(always)]
    fn pair(self, s: S, low: S::f32s, high: S::f32s) -> S::u32s {
        s.or_u32s(s.wrapping_dyn_shr_u32s(Self::round(s, low), s.splat_u32s(16)), Self::round(s, high))
    }

    #[inline(always)]
    fn dot(self, s: S, a: S::u32s, b: S::u32s, sum: S::f32s) -> S::f32s {
        let ([a_low, a_high], [b_low, b_high]) = (Self::halves(s, a), Self::halves(s, b));
        Self::multiply_add(s, a_low, b_low, Self::multiply_add(s, a_high, b_high, sum))
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "pulp has no bfloat16, and only a check shows that a CPU has it")]
mod avx512 {
    use super::{Bf16, Bf16Kernel};
    use pulp::x86::V4;
    use pulp::{f32x16, u32x16};
    use std::arch::x86_64::*;
    use std::mem::transmute;

    /// The operations in instructions of AVX512-BF16. A value exists only while [`run`] runs.
    #[derive(Debug, Clone, Copy)]
    pub(super) struct Avx512Bf16(());

    /// Runs `kernel` with the instructions, if the CPU has them.
    #[inline]
    pub(super) fn run<K: Bf16Kernel>(token: V4, kernel: K) -> Result<K::Output, K> {
        if !std::arch::is_x86_feature_detected!("avx512bf16") {
            return Err(kernel);
        }
        // SAFETY: the CPU has the one feature, as the line above shows, and the others, as `token` shows.
        Ok(unsafe { run_enabled(token, kernel) })
    }

    /// # Safety
    ///
    /// The CPU must have the features.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16,fma,bmi1,bmi2,lzcnt,popcnt"
    )]
    unsafe fn run_enabled<K: Bf16Kernel>(token: V4, kernel: K) -> K::Output {
        kernel.run(token, Avx512Bf16(()))
    }

    impl Bf16<V4> for Avx512Bf16 {
        #[inline(always)]
        fn store(self, _: V4, x: f32x16, factors: &mut [u16]) {
            // SAFETY: a value of this type exists only where the CPU has the instructions; the types that are
            // cast are vectors of one length, for which all bits are values.
            let rounded = unsafe {
                let rounded = _mm512_cvtneps_pbh(transmute::<f32x16, __m512>(x));
                transmute::<__m256bh, [u16; 16]>(rounded)
            };
            match factors.first_chunk_mut() {
                Some(whole) => *whole = rounded,
                None => factors.copy_from_slice(&rounded[..factors.len()]),
            }
        }

        #[inline(always)]
        fn pair(self, _: V4, low: f32x16, high: f32x16) -> u32x16 {
            const INTERLEAVED: [u16; 32] = {
                let mut order = [0; 32];
                let mut lane = 0;
                while lane < 16 {
                    order[2 * lane as usize] = lane;
                    order[2 * lane as usize + 1] = lane + 16;
                    lane += 1;
                }
                order
            };
            // SAFETY: as in `store`.
            unsafe {
                let [low, high] = [low, high].map(|x| transmute::<f32x16, __m512>(x));
                let halves = transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
                let order = transmute::<[u16; 32], __m512i>(INTERLEAVED);
                transmute::<__m512i, u32x16>(_mm512_permutexvar_epi16(order, halves))
            }
        }

        #[inline(always)]
        fn dot(self, _: V4, a: u32x16, b: u32x16, sum: f32x16) -> f32x16 {
            // SAFETY: as in `store`.
            unsafe {
                let [a, b] = [a, b].map(|words| transmute::<u32x16, __m512bh>(words));
                transmute::<__m512, f32x16>(_mm512_dpbf16_ps(transmute::<f32x16, __m512>(sum), a, b))
            }
        }
    }
}

impl Isa {
    /// Whether this CPU has instructions of the level for products of bfloat16s. Without them, such products
    /// have the same bits and take about five times as long as those of f32s.
    pub fn has_bf16(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        if self.avx512().is_some() {
            return std::arch::is_x86_feature_detected!("avx512bf16");
        }
        false
    }

    /// Runs the instantiation of `kernel` for this level and this CPU.
    #[inline]
    pub(crate) fn run_bf16<K: Bf16Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        if let Some(token) = self.avx512() {
            return avx512::run(token, kernel).unwrap_or_else(|kernel| self.run(WithPortable(kernel)));
        }
        self.run(WithPortable(kernel))
    }
}

/// A kernel with [`Portable`] operations.
struct WithPortable<K>(K);

impl<K: Bf16Kernel> Kernel for WithPortable<K> {
    type Output = K::Output;

    #[inline(always)]
    fn run<S: Level>(self, s: S) -> K::Output {
        self.0.run(s, Portable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All operations on vectors of `x` and `y`, and the sums `z`.
    struct Operations<'a> {
        x: &'a [f32],
        y: &'a [f32],
        z: &'a [f32],
    }

    impl Bf16Kernel for Operations<'_> {
        /// Factors in the upper halves of words, words, and sums.
        type Output = [Vec<u32>; 3];

        #[inline(always)]
        fn run<S: Level, B: Bf16<S>>(self, s: S, b: B) -> Self::Output {
            let [mut stored, mut pair, mut sums] = [vec![], vec![], vec![]];
            let [x, y, z] = [self.x, self.y, self.z].map(|values| S::as_simd_f32s(values).0);
            for ((x, y), z) in x.iter().zip(y).zip(z) {
                let words = [b.pair(s, *x, *y), b.pair(s, *y, *x)];
                let mut factors = [0; 16];
                b.store(s, *x, &mut factors[..S::F32_LANES]);
                stored.extend(factors[..S::F32_LANES].iter().map(|factor| u32::from(*factor) << 16));
                pair.extend_from_slice(bytemuck::cast_slice(&words[..1]));
                let sum = b.dot(s, words[0], words[1], *z);
                sums.extend_from_slice(bytemuck::cast_slice(&[b.dot(s, words[0], words[0], sum)]));
            }
            [stored, pair, sums]
        }
    }

    /// Values of all magnitudes, special ones among them.
    fn values(seed: u64, len: usize) -> Vec<f32> {
        let special =
            [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-40, -1e-45];
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as u32
        };
        let value = |bits: u32, kind: u32| match kind % 8 {
            0 => special[bits as usize % special.len()],
            // Around the smallest normal numbers and their roots, where sums become subnormal.
            1 => f32::from_bits(bits & 0x81ff_ffff),
            2 => f32::from_bits(bits & 0x83ff_ffff | 0x1e00_0000),
            3 => f32::from_bits(bits),
            _ => (bits as f32 / u32::MAX as f32 - 0.5) * 4.0,
        };
        (0..len).map(|_| value(next(), next())).collect()
    }

    /// The value nearest to `x`, by its definition.
    fn round(x: f32) -> f32 {
        let truncated = f32::from_bits(x.to_bits() & 0xffff_0000);
        if x.is_nan() || x.is_infinite() {
            return x;
        }
        if x.is_subnormal() {
            return 0.0f32.copysign(x);
        }
        let above = f32::from_bits((x.to_bits() & 0xffff_0000).wrapping_add(0x1_0000));
        let [down, up] = [truncated, above].map(|end| (f64::from(x) - f64::from(end)).abs());
        let is_even = truncated.to_bits() & 0x1_0000 == 0;
        // Behind the largest number lies infinity, as far as another number would.
        let up =
            if above.is_infinite() { f64::from(f32::MAX) - f64::from(x).abs() + 2f64.powi(104) } else { up };
        if down < up || (down == up && is_even) { truncated } else { above }
    }

    #[test]
    fn rounding_is_to_nearest_even_at_all_levels() {
        let (x, y) = (values(1, 4096), values(2, 4096));
        for isa in Isa::available() {
            let [stored, pair, _] = isa.run_bf16(Operations { x: &x, y: &y, z: &x });
            for ((x, y), (stored, pair)) in x.iter().zip(&y).zip(stored.iter().zip(&pair)) {
                for (value, bits) in [(x, *stored), (x, pair << 16), (y, pair & 0xffff_0000)] {
                    let (result, expected) = (f32::from_bits(bits), round(*value));
                    let same =
                        result.to_bits() == expected.to_bits() || (result.is_nan() && expected.is_nan());
                    assert!(same, "{isa}: {value:e} is {result:e}, not {expected:e}");
                }
            }
        }
    }

    /// `a * b + sum` by the rules of the module.
    fn multiply_add(a: f32, b: f32, sum: f32) -> f32 {
        let result = a.mul_add(b, sum);
        // With a larger range of exponents, larger ones would be rounded to the smallest normal number.
        let least = f64::from(f32::MIN_POSITIVE) * (1.0 - 2f64.powi(-25));
        let exact = f64::from(a) * f64::from(b) + f64::from(sum);
        if exact.abs() < least { 0.0f32.copysign(result) } else { result }
    }

    #[test]
    fn the_upper_half_of_a_word_is_added_first() {
        let count = 1 << 14;
        let [x, y, z] = [6, 7, 8].map(|seed| values(seed, count));
        let z: Vec<f32> = z.iter().map(|z| if z.is_subnormal() { 0.0 } else { *z }).collect();
        let inputs = x.iter().zip(&y).zip(&z);
        let expected: Vec<u32> = inputs
            .map(|((x, y), z)| {
                let (x, y) = (round(*x), round(*y));
                let terms = [[y, x], [x, y], [y, y], [x, x]];
                terms.into_iter().fold(*z, |sum, [a, b]| multiply_add(a, b, sum)).to_bits()
            })
            .collect();
        for isa in Isa::available().into_iter().filter(|isa| *isa != Isa::portable()) {
            let [_, _, sums] = isa.run_bf16(Operations { x: &x, y: &y, z: &z });
            assert_eq!(canonical(&sums), canonical(&expected), "{isa}");
        }
    }

    /// The bits of `sums`, with one bit pattern for all NaN.
    fn canonical(sums: &[u32]) -> Vec<u32> {
        sums.iter()
            .map(|bits| if f32::from_bits(*bits).is_nan() { f32::NAN.to_bits() } else { *bits })
            .collect()
    }

    #[test]
    fn the_instructions_and_their_replacement_give_the_same_bits() {
        let count = 1 << 16;
        let [x, y, z] = [3, 4, 5].map(|seed| values(seed, count));
        // Sums of bfloat16s are never subnormal.
        let z: Vec<f32> = z.iter().map(|z| if z.is_subnormal() { 0.0 } else { *z }).collect();
        for isa in Isa::available() {
            let [stored, pair, sums] = isa.run_bf16(Operations { x: &x, y: &y, z: &z });
            let replaced = isa.run(WithPortable(Operations { x: &x, y: &y, z: &z }));
            assert_eq!(
                (canonical_halves(&stored), canonical_halves(&pair)),
                (canonical_halves(&replaced[0]), canonical_halves(&replaced[1])),
                "{isa}"
            );
            assert_eq!(canonical(&sums), canonical(&replaced[2]), "{isa}");
            assert!(sums.iter().all(|bits| !f32::from_bits(*bits).is_subnormal()), "{isa}");
        }
    }

    /// [`canonical`] for both halves of words.
    fn canonical_halves(words: &[u32]) -> Vec<[u32; 2]> {
        words.iter().map(|word| [canonical(&[word << 16])[0], canonical(&[word & 0xffff_0000])[0]]).collect()
    }
}
