//! Numbers that lie in memory as bfloat16s, in half of the bytes.
//!
//! A bfloat16 is the upper half of an `f32`: the same range, eight bits of precision. Kernels compute in
//! `f32`; these functions convert. Both work element by element, so any part of a slice is converted as it is
//! in the whole, and give the same bits at all levels.

use crate::bf16::{Bf16, Bf16Kernel};
use crate::element::Element;
use crate::isa::Isa;
use crate::simd::{Kernel, Level};

/// Rounds `x` to bfloat16s: to nearest, ties to even. Numbers that are subnormal become zeros of their sign,
/// numbers beyond the largest bfloat16 become infinite, and NaN stays NaN.
///
/// # Panics
///
/// When the lengths differ, or the elements are `f64`.
pub fn round<T: Element>(isa: Isa, x: &[T], rounded: &mut [u16]) {
    check(x.len(), rounded.len());
    T::round_to_bf16(isa, x, rounded);
}

/// The values of bfloat16s, exactly.
///
/// # Panics
///
/// When the lengths differ, or the elements are `f64`.
pub fn widen<T: Element>(isa: Isa, x: &[u16], y: &mut [T]) {
    check(x.len(), y.len());
    T::widen_bf16(isa, x, y);
}

fn check(x: usize, y: usize) {
    assert_eq!(x, y, "the input has {x} elements, the output has {y}");
}

pub(crate) struct Round<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) rounded: &'a mut [u16],
}

impl Bf16Kernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level, B: Bf16<S>>(self, s: S, bf16: B) {
        bf16.store_all(s, self.x, self.rounded);
    }
}

pub(crate) struct Widen<'a> {
    pub(crate) x: &'a [u16],
    pub(crate) y: &'a mut [f32],
}

impl Kernel for Widen<'_> {
    type Output = ();

    // `Level` has no instruction that widens 16 bits; the compiler finds those of the level by itself.
    #[inline(always)]
    fn run<S: Level>(self, _: S) {
        for (x, y) in self.x.iter().zip(self.y) {
            *y = f32::from_bits(u32::from(*x) << 16);
        }
    }
}
