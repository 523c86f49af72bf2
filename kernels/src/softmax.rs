//! Softmax and log-softmax over the classes of a `[classes, n]` matrix, samples innermost.
//!
//! A vector holds one class of several samples. So a column of vectors is normalised without any operation
//! between lanes, in three passes: one for the maximum, one for the exponentials and their sum, and one for
//! the result.

use crate::element::Element;
use crate::exp::map_lanes;
use crate::isa::Isa;
use crate::simd::{Kernel, Level};

/// `width` neighbouring samples in a `[classes, n]` matrix, at most as many as a vector holds.
#[derive(Clone, Copy)]
pub(crate) struct Columns {
    pub(crate) classes: usize,
    pub(crate) n: usize,
    pub(crate) first: usize,
    pub(crate) width: usize,
}

impl Columns {
    /// The columns from sample `first` on: as many as a vector holds, or as many as are left.
    #[inline(always)]
    pub(crate) fn at<T: Element, S: Level>(classes: usize, n: usize, first: usize) -> Self {
        Self { classes, n, first, width: T::lanes::<S>().min(n - first) }
    }

    #[inline(always)]
    pub(crate) fn load<T: Element, S: Level>(self, s: S, x: &[T], class: usize) -> T::V<S> {
        let start = class * self.n + self.first;
        match T::split::<S>(&x[start..start + self.width]) {
            ([lanes], _) => *lanes,
            (_, rest) => T::load_partial(s, rest),
        }
    }

    #[inline(always)]
    pub(crate) fn store<T: Element, S: Level>(self, s: S, y: &mut [T], class: usize, lanes: T::V<S>) {
        let start = class * self.n + self.first;
        match T::split_mut::<S>(&mut y[start..start + self.width]) {
            ([y], _) => *y = lanes,
            (_, rest) => T::store_partial(s, rest, lanes),
        }
    }

    /// The largest value of each sample. This may miss a NaN, which does no harm: the exponential of the NaN
    /// is NaN anyway.
    #[inline(always)]
    pub(crate) fn max<T: Element, S: Level>(self, s: S, x: &[T]) -> T::V<S> {
        let mut max = self.load(s, x, 0);
        for class in 1..self.classes {
            let x = self.load(s, x, class);
            max = T::select(s, T::less_than(s, max, x), x, max);
        }
        max
    }

    /// Computes `y = e^(x - max)`, and returns the sum over the classes.
    #[inline(always)]
    pub(crate) fn exp_and_sum<T: Element, S: Level>(
        self,
        s: S,
        x: &[T],
        max: T::V<S>,
        y: &mut [T],
    ) -> T::V<S> {
        let mut sum = T::zero(s);
        for class in 0..self.classes {
            let e = T::exp(s, T::vsub(s, self.load(s, x, class), max));
            self.store(s, y, class, e);
            sum = T::vadd(s, sum, e);
        }
        sum
    }
}

fn check_lengths(what: &str, classes: usize, n: usize, lengths: &[(&str, usize)]) {
    for (name, len) in lengths {
        assert_eq!(
            *len,
            classes.saturating_mul(n),
            "{what}: {name} has {len} elements, but {classes} classes of {n} samples need {}",
            classes.saturating_mul(n)
        );
    }
}

/// The softmax, or its logarithm with `LOG`.
struct Softmax<'a, T, const LOG: bool> {
    classes: usize,
    n: usize,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Element, const LOG: bool> Kernel for Softmax<'_, T, LOG> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        for first in (0..self.n).step_by(T::lanes::<S>()) {
            let columns = Columns::at::<T, S>(self.classes, self.n, first);
            let max = columns.max(s, self.x);
            let sum = columns.exp_and_sum(s, self.x, max, self.y);
            let ln_sum = if LOG { map_lanes::<T, S>(sum, libm::log) } else { sum };
            for class in 0..self.classes {
                let y = if LOG {
                    // There are two subtractions, because the sum max + ln(sum) would lose the digits of its
                    // smaller term.
                    T::vsub(s, T::vsub(s, columns.load(s, self.x, class), max), ln_sum)
                } else {
                    T::vdiv(s, columns.load(s, self.y, class), sum)
                };
                columns.store(s, self.y, class, y);
            }
        }
    }
}

/// Softmax over the classes of every sample:
/// `y[c, s] = e^(x[c, s] - m[s]) / sum over k of e^(x[k, s] - m[s])` with `m` the sample's maximum;
/// overwrites `y`.
///
/// `x` and `y` are `[classes, n]`. No finite `x` overflows. A sample with a NaN or a plus infinity becomes
/// NaN, and so does a sample whose values are all minus infinity.
///
/// # Panics
/// When a length is not `classes * n`.
pub fn softmax<T: Element>(isa: Isa, classes: usize, n: usize, x: &[T], y: &mut [T]) {
    check_lengths("softmax", classes, n, &[("x", x.len()), ("y", y.len())]);
    if classes > 0 {
        isa.run(Softmax::<T, false> { classes, n, x, y });
    }
}

struct SoftmaxBackward<'a, T> {
    classes: usize,
    n: usize,
    y: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Element> Kernel for SoftmaxBackward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        for first in (0..self.n).step_by(T::lanes::<S>()) {
            let columns = Columns::at::<T, S>(self.classes, self.n, first);
            let mut mean = T::zero(s);
            for class in 0..self.classes {
                mean = T::mul_add(s, columns.load(s, self.y, class), columns.load(s, self.dy, class), mean);
            }
            for class in 0..self.classes {
                let centred = T::vsub(s, columns.load(s, self.dy, class), mean);
                let dx = T::vmul(s, columns.load(s, self.y, class), centred);
                columns.store(s, self.dx, class, dx);
            }
        }
    }
}

/// The gradient of [`softmax`] from its output:
/// `dx[c, s] = y[c, s] * (dy[c, s] - sum over k of y[k, s] dy[k, s])`; overwrites `dx`.
///
/// `y`, `dy` and `dx` are `[classes, n]`.
///
/// # Panics
/// When a length is not `classes * n`.
pub fn softmax_backward<T: Element>(isa: Isa, classes: usize, n: usize, y: &[T], dy: &[T], dx: &mut [T]) {
    let lengths = [("y", y.len()), ("dy", dy.len()), ("dx", dx.len())];
    check_lengths("softmax_backward", classes, n, &lengths);
    isa.run(SoftmaxBackward { classes, n, y, dy, dx });
}

/// The logarithm of [`softmax`]: `y[c, s] = x[c, s] - m[s] - ln(sum over k of e^(x[k, s] - m[s]))` with `m`
/// the sample's maximum; overwrites `y`.
///
/// `x` and `y` are `[classes, n]`. The result is finite for finite `x` whose differences are finite, also
/// where the softmax itself is 0.
///
/// # Panics
/// When a length is not `classes * n`.
pub fn log_softmax<T: Element>(isa: Isa, classes: usize, n: usize, x: &[T], y: &mut [T]) {
    check_lengths("log_softmax", classes, n, &[("x", x.len()), ("y", y.len())]);
    if classes > 0 {
        isa.run(Softmax::<T, true> { classes, n, x, y });
    }
}
