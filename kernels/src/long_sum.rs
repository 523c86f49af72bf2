//! Sums over long slices, without long chains of additions in `T`.
//!
//! A sum is cut into chunks of 1024 vectors. Each chunk is added up in `T`, and the totals of the chunks are
//! added up in f64. So the rounding error is that of about 256 additions in `T`, whatever the length.
//!
//! Within a chunk there are four accumulators, because four independent additions hide the latency of one.
//! Vector `i` is added to accumulator `i mod 4`. The vectors behind the last group of four, and a last
//! partial vector, are added to the first accumulator. At the end the accumulators are added in pairs, and
//! then the upper half of the lanes to the lower half until one lane is left. The order of all additions
//! depends only on the length and on the number of lanes.

use crate::element::Element;
use crate::simd::Level;

/// The number of vectors in a chunk.
const CHUNK: usize = 1024;

/// The terms of `OUT` sums over the elements of `IN` slices of equal length.
pub(crate) trait Terms<T: Element, const IN: usize, const OUT: usize>: Copy {
    /// Adds the terms of one vector of each slice.
    fn add<S: Level>(self, s: S, sums: [T::V<S>; OUT], x: [T::V<S>; IN]) -> [T::V<S>; OUT];

    /// Elements whose terms are zero. They fill the unused lanes of a partial vector.
    #[inline(always)]
    fn nothing(self) -> [T; IN] {
        [T::ZERO; IN]
    }
}

/// Whether slices of `len` elements fit in one chunk.
#[inline(always)]
pub(crate) fn is_short<S: Level, T: Element>(len: usize) -> bool {
    len <= CHUNK * T::lanes::<S>()
}

/// The sums over whole slices.
#[inline(always)]
pub(crate) fn sums<S: Level, T: Element, const IN: usize, const OUT: usize>(
    s: S,
    terms: impl Terms<T, IN, OUT>,
    x: [&[T]; IN],
) -> [f64; OUT] {
    let len = x[0].len();
    let step = CHUNK * T::lanes::<S>();
    let mut totals = [0.0; OUT];
    for start in (0..len).step_by(step) {
        let end = len.min(start + step);
        let mut chunk = x;
        for x in &mut chunk {
            *x = &x[start..end];
        }
        let sums = chunk_sums(s, terms, chunk);
        for (total, sum) in totals.iter_mut().zip(sums) {
            *total += sum.to_f64();
        }
    }
    totals
}

/// The sums over slices that fit in one chunk, in `T`.
#[inline(always)]
pub(crate) fn chunk_sums<S: Level, T: Element, const IN: usize, const OUT: usize>(
    s: S,
    terms: impl Terms<T, IN, OUT>,
    x: [&[T]; IN],
) -> [T; OUT] {
    let x = x.map(T::split::<S>);
    let vectors = x[0].0.len();
    // The compiler sees here that all slices have one length, and leaves out the bounds checks in the loop.
    let mut whole = [x[0].0; IN];
    for (whole, (all, _)) in whole.iter_mut().zip(&x) {
        *whole = &all[..vectors];
    }
    let mut sums = [[T::zero(s); OUT]; 4];
    let grouped = vectors - vectors % 4;
    for first in (0..grouped).step_by(4) {
        for (k, sums) in sums.iter_mut().enumerate() {
            *sums = terms.add(s, *sums, load_each::<S, T, IN>(s, whole, first + k));
        }
    }
    for i in grouped..vectors {
        sums[0] = terms.add(s, sums[0], load_each::<S, T, IN>(s, whole, i));
    }
    if !x[0].1.is_empty() {
        let mut padded = [T::zero(s); IN];
        for ((padded, nothing), (_, rest)) in padded.iter_mut().zip(terms.nothing()).zip(&x) {
            *padded = T::splat(s, nothing);
            bytemuck::cast_slice_mut::<T::V<S>, T>(std::slice::from_mut(padded))[..rest.len()]
                .copy_from_slice(rest);
        }
        sums[0] = terms.add(s, sums[0], padded);
    }
    let [a, b, c, d] = sums;
    let mut totals = [T::ZERO; OUT];
    for (i, total) in totals.iter_mut().enumerate() {
        let sum = T::vadd(s, T::vadd(s, a[i], b[i]), T::vadd(s, c[i], d[i]));
        *total = T::sum_lanes(s, sum);
    }
    totals
}

#[inline(always)]
fn load_each<S: Level, T: Element, const IN: usize>(s: S, x: [&[T::V<S>]; IN], i: usize) -> [T::V<S>; IN] {
    let mut lanes = [T::zero(s); IN];
    for (lanes, x) in lanes.iter_mut().zip(x) {
        *lanes = x[i];
    }
    lanes
}
