//! Reductions in a fixed order: sums, dot products, row sums, maximum, and the check for finite values.
//!
//! Vector `i` of the input goes to accumulator `i mod 4` (the vectors behind the last group of four to the first one), a
//! last partial vector to the first; the four are merged pairwise and then lane halves with lane halves. The order depends
//! on the length and the level's lanes only. Four independent accumulators hide the latency of an addition.

use crate::Accum;
use crate::element::Element;
use crate::isa::Isa;
use crate::simd::{Kernel, Level};

/// How `IN` slices of equal length become one value; the defaults are those of a sum.
trait Fold<T: Element, const IN: usize>: Copy {
    /// Takes one vector of each input into an accumulator.
    fn step<S: Level>(self, s: S, acc: T::V<S>, x: [T::V<S>; IN]) -> T::V<S>;

    /// Where accumulators start, and what fills up a partial vector.
    fn identity(self) -> T {
        T::ZERO
    }

    #[inline(always)]
    fn merge<S: Level>(self, s: S, a: T::V<S>, b: T::V<S>) -> T::V<S> {
        T::vadd(s, a, b)
    }

    #[inline(always)]
    fn across<S: Level>(self, s: S, acc: T::V<S>) -> T {
        T::sum_lanes(s, acc)
    }
}

#[inline(always)]
fn fold_lanes<T: Element, S: Level, F: Fold<T, IN>, const IN: usize>(s: S, op: F, x: [&[T]; IN]) -> T {
    let x = x.map(T::split::<S>);
    let vectors = x[0].0.len();
    let start = T::splat(s, op.identity());
    let mut acc = [start; 4];
    let mut whole = [x[0].0; IN];
    for (whole, (all, _)) in whole.iter_mut().zip(&x) {
        *whole = &all[..vectors];
    }
    let grouped = vectors - vectors % 4;
    for first in (0..grouped).step_by(4) {
        for (k, acc) in acc.iter_mut().enumerate() {
            *acc = op.step(s, *acc, load_each::<T, S, IN>(s, whole, first + k));
        }
    }
    for i in grouped..vectors {
        acc[0] = op.step(s, acc[0], load_each::<T, S, IN>(s, whole, i));
    }
    if !x[0].1.is_empty() {
        let mut padded = [start; IN];
        for (padded, (_, rest)) in padded.iter_mut().zip(&x) {
            bytemuck::cast_slice_mut::<T::V<S>, T>(std::slice::from_mut(padded))[..rest.len()]
                .copy_from_slice(rest);
        }
        acc[0] = op.step(s, acc[0], padded);
    }
    let [a, b, c, d] = acc;
    op.across(s, op.merge(s, op.merge(s, a, b), op.merge(s, c, d)))
}

#[inline(always)]
fn load_each<T: Element, S: Level, const IN: usize>(s: S, x: [&[T::V<S>]; IN], i: usize) -> [T::V<S>; IN] {
    let mut lanes = [T::zero(s); IN];
    for (lanes, x) in lanes.iter_mut().zip(x) {
        *lanes = x[i];
    }
    lanes
}

struct Whole<'a, T, F, const IN: usize>(F, [&'a [T]; IN]);

impl<T: Element, F: Fold<T, IN>, const IN: usize> Kernel for Whole<'_, T, F, IN> {
    type Output = T;

    #[inline(always)]
    fn run<S: Level>(self, s: S) -> T {
        fold_lanes(s, self.0, self.1)
    }
}

#[derive(Clone, Copy)]
struct Sum;

impl<T: Element> Fold<T, 1> for Sum {
    #[inline(always)]
    fn step<S: Level>(self, s: S, acc: T::V<S>, [x]: [T::V<S>; 1]) -> T::V<S> {
        T::vadd(s, acc, x)
    }
}

/// `sum of x[i]`; 0 for an empty slice. Error at most `(len / (4 lanes) + 4 + lanes) * EPSILON / 2 * sum of |x[i]|`.
pub fn sum<T: Element>(isa: Isa, x: &[T]) -> T {
    isa.run(Whole(Sum, [x]))
}

#[derive(Clone, Copy)]
struct Dot;

impl<T: Element> Fold<T, 2> for Dot {
    #[inline(always)]
    fn step<S: Level>(self, s: S, acc: T::V<S>, [a, b]: [T::V<S>; 2]) -> T::V<S> {
        T::mul_add(s, a, b, acc)
    }
}

/// `sum of a[i] * b[i]`; 0 for empty slices.
///
/// # Panics
/// When the lengths differ.
pub fn dot<T: Element>(isa: Isa, a: &[T], b: &[T]) -> T {
    assert_eq!(a.len(), b.len(), "dot: a has {} elements, b has {}", a.len(), b.len());
    isa.run(Whole(Dot, [a, b]))
}

/// `sum of x[i]^2`; 0 for an empty slice. Overflows where the sum does: it is no scaled norm.
pub fn sum_of_squares<T: Element>(isa: Isa, x: &[T]) -> T {
    dot(isa, x, x)
}

#[derive(Clone, Copy)]
struct Max;

impl<T: Element> Fold<T, 1> for Max {
    #[inline(always)]
    fn step<S: Level>(self, s: S, acc: T::V<S>, [x]: [T::V<S>; 1]) -> T::V<S> {
        Fold::<T, 1>::merge(self, s, acc, x)
    }

    fn identity(self) -> T {
        T::from_f64(f64::NEG_INFINITY)
    }

    /// The larger; NaN when either is, since a comparison with NaN is false.
    #[inline(always)]
    fn merge<S: Level>(self, s: S, a: T::V<S>, b: T::V<S>) -> T::V<S> {
        let larger = T::select(s, T::less_or_equal(s, b, a), a, b);
        T::select(s, T::equal(s, a, a), larger, a)
    }

    #[inline(always)]
    fn across<S: Level>(self, _: S, acc: T::V<S>) -> T {
        let mut max = Fold::<T, 1>::identity(self);
        for lane in bytemuck::cast_slice::<T::V<S>, T>(std::slice::from_ref(&acc)) {
            if lane.to_f64().is_nan() {
                return *lane;
            }
            if *lane > max {
                max = *lane;
            }
        }
        max
    }
}

/// The largest element; NaN when one is NaN, minus infinity for an empty slice.
pub fn max<T: Element>(isa: Isa, x: &[T]) -> T {
    isa.run(Whole(Max, [x]))
}

#[derive(Clone, Copy)]
struct NonFinite;

impl<T: Element> Fold<T, 1> for NonFinite {
    /// `x - x` is 0 for a finite `x` and NaN for any other; NaN then stays.
    #[inline(always)]
    fn step<S: Level>(self, s: S, acc: T::V<S>, [x]: [T::V<S>; 1]) -> T::V<S> {
        T::vadd(s, acc, T::vsub(s, x, x))
    }
}

/// Whether no element is infinite or NaN; true for an empty slice.
pub fn all_finite<T: Element>(isa: Isa, x: &[T]) -> bool {
    isa.run(Whole(NonFinite, [x])) == T::ZERO
}

struct SumRows<'a, T> {
    n: usize,
    x: &'a [T],
    accum: Accum,
    y: &'a mut [T],
}

impl<T: Element> Kernel for SumRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        for (r, y) in self.y.iter_mut().enumerate() {
            let sum = fold_lanes(s, Sum, [&self.x[r * self.n..(r + 1) * self.n]]);
            *y = match self.accum {
                Accum::Replace => sum,
                Accum::Add => *y + sum,
            };
        }
    }
}

/// Row sums of a `[rows, n]` matrix: `y[r] = sum over i of x[r, i]`, or `y[r] += ...` with [`Accum::Add`]: the gradient of
/// [`add_bias`](crate::elementwise::add_bias).
///
/// # Panics
/// When `x` has not `rows * n` elements or `y` not `rows`.
pub fn sum_rows<T: Element>(isa: Isa, rows: usize, n: usize, x: &[T], accum: Accum, y: &mut [T]) {
    assert_eq!(x.len(), rows * n, "sum_rows: x has {} elements for {rows} rows of {n}", x.len());
    assert_eq!(y.len(), rows, "sum_rows: y has {} elements for {rows} rows", y.len());
    isa.run(SumRows { n, x, accum, y });
}
