//! The levels of x86-64 beyond the portable one.

use crate::simd::Level;
use crate::transpose::BLOCK;
use bytemuck::cast;
use pulp::Simd;
use pulp::x86::{V3, V4};
use safe_arch::prefetch_t0;
use std::arch::x86_64::__m256;

/// What both levels do alike.
macro_rules! both_levels {
    () => {
        // The maximum of x86 is its second operand unless the first one is greater.
        #[inline(always)]
        fn vlarger_f32s(self, a: Self::f32s, b: Self::f32s) -> Self::f32s {
            self.max_f32s(a, b)
        }

        #[inline(always)]
        fn vlarger_f64s(self, a: Self::f64s, b: Self::f64s) -> Self::f64s {
            self.max_f64s(a, b)
        }

        #[inline(always)]
        fn vtranspose_f32(self, block: [[f32; BLOCK]; BLOCK]) -> [[f32; BLOCK]; BLOCK] {
            transpose(&self, block)
        }

        #[inline(always)]
        fn vprefetch<T>(self, place: &T) {
            prefetch_t0(place);
        }
    };
}

impl Level for V3 {
    const FUSED: bool = true;
    const WIDE_FILE: bool = false;

    both_levels!();
}

impl Level for V4 {
    const FUSED: bool = true;
    const WIDE_FILE: bool = true;

    both_levels!();
}

/// The transpose of a block: elements change places within pairs of rows, then pairs of elements within four
/// rows, then halves of rows.
#[inline(always)]
fn transpose(level: &V3, block: [[f32; BLOCK]; BLOCK]) -> [[f32; BLOCK]; BLOCK] {
    let avx = level.avx;
    let rows: [__m256; BLOCK] = block.map(cast);
    let low = |i: usize| avx._mm256_unpacklo_ps(rows[i], rows[i + 1]);
    let high = |i: usize| avx._mm256_unpackhi_ps(rows[i], rows[i + 1]);
    // `pairs[2 * i]` has elements 0, 1, 4 and 5 of rows `2 * i` and `2 * i + 1`, the next one the others.
    let pairs = [low(0), high(0), low(2), high(2), low(4), high(4), low(6), high(6)];
    let first = |i: usize| avx._mm256_shuffle_ps::<0b01_00_01_00>(pairs[i], pairs[i + 2]);
    let second = |i: usize| avx._mm256_shuffle_ps::<0b11_10_11_10>(pairs[i], pairs[i + 2]);
    // `fours[i]` has elements `i` and `i + 4` of the first four rows, `fours[i + 4]` of the others.
    let fours = [first(0), second(0), first(1), second(1), first(4), second(4), first(5), second(5)];
    let lower = |i: usize| avx._mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
    let upper = |i: usize| avx._mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
    let columns = [lower(0), lower(1), lower(2), lower(3), upper(0), upper(1), upper(2), upper(3)];
    columns.map(cast)
}
