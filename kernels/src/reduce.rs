//! Reductions in a fixed order: sums, dot products, row sums, the maximum, and the check for finite values.
//!
//! A sum is cut into chunks of 1024 vectors. Each chunk is added up in the element type, and the totals of
//! the chunks are added up in f64. The order of the additions depends only on the length and on the level's
//! number of lanes.

use crate::Accum;
use crate::element::Element;
use crate::isa::Isa;
use crate::long_sum::{Terms, chunk_sums, is_short, sums};
use crate::simd::{Kernel, Level};

struct Total<'a, T, F, const IN: usize>(F, [&'a [T]; IN]);

impl<T: Element, F: Terms<T, IN, 1>, const IN: usize> Kernel for Total<'_, T, F, IN> {
    type Output = T;

    #[inline(always)]
    fn run<S: Level>(self, s: S) -> T {
        let [total] = sums(s, self.0, self.1);
        T::from_f64(total)
    }
}

#[derive(Clone, Copy)]
struct Elements;

impl<T: Element> Terms<T, 1, 1> for Elements {
    #[inline(always)]
    fn add<S: Level>(self, s: S, [sum]: [T::V<S>; 1], [x]: [T::V<S>; 1]) -> [T::V<S>; 1] {
        [T::vadd(s, sum, x)]
    }
}

/// `sum of x[i]`; 0 for an empty slice.
///
/// The error is at most `(min(len / (4 lanes), 256) + 10) * EPSILON / 2 * sum of |x[i]|`; for `f64` elements,
/// add `len / (1024 lanes)` to the factor in parentheses.
pub fn sum<T: Element>(isa: Isa, x: &[T]) -> T {
    isa.run(Total(Elements, [x]))
}

#[derive(Clone, Copy)]
struct Products;

impl<T: Element> Terms<T, 2, 1> for Products {
    #[inline(always)]
    fn add<S: Level>(self, s: S, [sum]: [T::V<S>; 1], [a, b]: [T::V<S>; 2]) -> [T::V<S>; 1] {
        [T::mul_add(s, a, b, sum)]
    }
}

/// `sum of a[i] * b[i]`; 0 for empty slices. The error is that of [`sum`] over the products, plus one to its
/// factor in parentheses.
///
/// # Panics
/// When the lengths differ.
pub fn dot<T: Element>(isa: Isa, a: &[T], b: &[T]) -> T {
    assert_eq!(a.len(), b.len(), "dot: a has {} elements, b has {}", a.len(), b.len());
    isa.run(Total(Products, [a, b]))
}

/// `sum of x[i]^2`; 0 for an empty slice. The elements are not scaled first, so the sum can overflow where
/// the norm would not.
pub fn sum_of_squares<T: Element>(isa: Isa, x: &[T]) -> T {
    dot(isa, x, x)
}

/// Sums of squares in f64, of every sixteenth element each.
struct SquaresInF64<'a, T>(&'a [T]);

impl<T: Element> Kernel for SquaresInF64<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Level>(self, _: S) -> f64 {
        // The compiler turns each group into the level's vectors: the sums do not depend on each other.
        let (groups, rest) = self.0.as_chunks::<16>();
        let mut sums = [0.0; 16];
        for group in groups {
            for (sum, x) in sums.iter_mut().zip(group) {
                *sum += x.to_f64() * x.to_f64();
            }
        }
        for (sum, x) in sums.iter_mut().zip(rest) {
            *sum += x.to_f64() * x.to_f64();
        }
        let mut half = sums.len() / 2;
        while half > 0 {
            for i in 0..half {
                sums[i] += sums[i + half];
            }
            half /= 2;
        }
        sums[0]
    }
}

/// `sum of x[i]^2` in f64, for norms of tensors whose squares may leave the range of `f32`; 0 for an empty
/// slice. The bits are the same at every level.
///
/// Element `i` is added to sum `i mod 16`, in order; then the upper half of the sums is added to the lower
/// half until one is left. The error is at most `(len / 16 + 6) * f64::EPSILON / 2 * sum of x[i]^2`.
pub fn sum_of_squares_in_f64<T: Element>(isa: Isa, x: &[T]) -> f64 {
    isa.run(SquaresInF64(x))
}

struct Max<'a, T>(&'a [T]);

impl<T: Element> Kernel for Max<'_, T> {
    type Output = T;

    #[inline(always)]
    fn run<S: Level>(self, s: S) -> T {
        let (vectors, rest) = T::split::<S>(self.0);
        let (groups, last) = vectors.as_chunks::<4>();
        let lowest = T::from_f64(f64::NEG_INFINITY);
        let mut largest = [T::splat(s, lowest); 4];
        for group in groups {
            for k in 0..4 {
                largest[k] = larger::<S, T>(s, largest[k], group[k]);
            }
        }
        for vector in last {
            largest[0] = larger::<S, T>(s, largest[0], *vector);
        }
        let lanes: &[T] = bytemuck::cast_slice(&largest);
        let mut max = lowest;
        for x in lanes.iter().chain(rest) {
            if x.to_f64().is_nan() {
                return *x;
            }
            if *x > max {
                max = *x;
            }
        }
        max
    }
}

/// The larger of the two lanes; NaN when either of them is NaN, because a comparison with NaN is false.
#[inline(always)]
fn larger<S: Level, T: Element>(s: S, a: T::V<S>, b: T::V<S>) -> T::V<S> {
    let larger = T::select(s, T::less_or_equal(s, b, a), a, b);
    T::select(s, T::equal(s, a, a), larger, a)
}

/// The largest element; NaN when one is NaN, minus infinity for an empty slice.
pub fn max<T: Element>(isa: Isa, x: &[T]) -> T {
    isa.run(Max(x))
}

#[derive(Clone, Copy)]
struct NonFinite;

impl<T: Element> Terms<T, 1, 1> for NonFinite {
    /// `x - x` is 0 for a finite `x` and NaN for any other. A sum with a NaN stays NaN.
    #[inline(always)]
    fn add<S: Level>(self, s: S, [sum]: [T::V<S>; 1], [x]: [T::V<S>; 1]) -> [T::V<S>; 1] {
        [T::vadd(s, sum, T::vsub(s, x, x))]
    }
}

/// Returns true when no element is infinite or NaN, and for an empty slice.
pub fn all_finite<T: Element>(isa: Isa, x: &[T]) -> bool {
    isa.run(Total(NonFinite, [x])) == T::ZERO
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
        let Self { n, x, accum, y } = self;
        if is_short::<S, T>(n) {
            // The bookkeeping of long sums would take longer than the additions of a short row.
            for (r, y) in y.iter_mut().enumerate() {
                let [sum] = chunk_sums(s, Elements, [&x[r * n..(r + 1) * n]]);
                join(accum, y, sum);
            }
        } else {
            for (r, y) in y.iter_mut().enumerate() {
                let [sum] = sums(s, Elements, [&x[r * n..(r + 1) * n]]);
                join(accum, y, T::from_f64(sum));
            }
        }
    }
}

#[inline(always)]
fn join<T: Element>(accum: Accum, y: &mut T, sum: T) {
    *y = match accum {
        Accum::Replace => sum,
        Accum::Add => *y + sum,
    };
}

/// The row sums of a `[rows, n]` matrix: `y[r] = sum over i of x[r, i]`, or `y[r] += ...` with
/// [`Accum::Add`]. This is the gradient of [`add_bias`](crate::elementwise::add_bias). The error of each sum
/// is that of [`sum`].
///
/// # Panics
/// When `x` does not have `rows * n` elements or `y` does not have `rows`.
pub fn sum_rows<T: Element>(isa: Isa, rows: usize, n: usize, x: &[T], accum: Accum, y: &mut [T]) {
    assert_eq!(
        x.len(),
        rows.saturating_mul(n),
        "sum_rows: x has {} elements for {rows} rows of {n}",
        x.len()
    );
    assert_eq!(y.len(), rows, "sum_rows: y has {} elements for {rows} rows", y.len());
    isa.run(SumRows { n, x, accum, y });
}
