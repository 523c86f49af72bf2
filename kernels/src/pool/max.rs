//! Max pooling.
//!
//! The forward pass stores, beside each maximum, which window element it was; the backward pass compares those indices and
//! never reads the image again.

use super::backward::Backward;
use super::geometry::{Run, Runs};
use super::{Pool2d, blocks, blocks_mut, from_index, load, store, vectors};
use crate::element::Element;
use crate::simd::{Kernel, Level};
use crate::{Activation, Isa};

/// Max pooling: `y = max over the window of x`, and which element it was.
///
/// - `x`: `[C, H, W, N]`; `y` and `argmax`: `[C, OH, OW, N]`, overwritten.
/// - `argmax` holds `i * KW + j` for the element in row `i` and column `j` of the window, exact in `T`: the first of
///   equal ones. It is for [`max_pool_backward`].
/// - With [`Activation::Relu`], `y = max(max over the window of x, 0)`, and `argmax` is -1 where the maximum is at most 0:
///   a ReLU before or after the pooling costs nothing.
///
/// Padding never wins. NaN wins over any number, the first NaN over later ones, and ReLU keeps it.
///
/// # Panics
///
/// When a length does not fit the shape.
pub fn max_pool<T: Element>(
    isa: Isa,
    shape: &Pool2d,
    n: usize,
    activation: Activation,
    x: &[T],
    y: &mut [T],
    argmax: &mut [T],
) {
    shape.check_lengths(n, x.len(), y.len());
    shape.check_lengths(n, x.len(), argmax.len());
    isa.run(Forward::<T, true> { shape, n, relu: activation == Activation::Relu, x, y, argmax });
}

/// [`max_pool`] without `argmax`, for evaluation: the same `y`.
///
/// # Panics
///
/// When a length does not fit the shape.
pub fn max_pool_eval<T: Element>(
    isa: Isa,
    shape: &Pool2d,
    n: usize,
    activation: Activation,
    x: &[T],
    y: &mut [T],
) {
    shape.check_lengths(n, x.len(), y.len());
    isa.run(Forward::<T, false> { shape, n, relu: activation == Activation::Relu, x, y, argmax: &mut [] });
}

/// The input gradient of [`max_pool`]: `dx` at each window's winner is the sum of `dy` over the windows that it won.
///
/// - `argmax`: what the forward pass stored; a window of -1 (clipped by its ReLU) passes nothing.
/// - `dy`: `[C, OH, OW, N]`; `dx`: `[C, H, W, N]`, overwritten.
///
/// Overlapping windows add in a fixed order; the result has the error of a sum of at most
/// `ceil(KH / stride) * ceil(KW / stride)` terms. What belongs to no window gets 0.
///
/// # Panics
///
/// When a length does not fit the shape.
pub fn max_pool_backward<T: Element>(
    isa: Isa,
    shape: &Pool2d,
    n: usize,
    argmax: &[T],
    dy: &[T],
    dx: &mut [T],
) {
    shape.check_lengths(n, dx.len(), dy.len());
    shape.check_lengths(n, dx.len(), argmax.len());
    isa.run(Backward::<T, true> { shape, n, argmax, dy, dx });
}

struct Forward<'a, T, const ARGMAX: bool> {
    shape: &'a Pool2d,
    n: usize,
    relu: bool,
    x: &'a [T],
    y: &'a mut [T],
    argmax: &'a mut [T],
}

impl<T: Element, const ARGMAX: bool> Kernel for Forward<'_, T, ARGMAX> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        let Self { shape, n, relu, x, y, argmax } = self;
        let vectors = vectors::<S, T>(n);
        let done = shape.halves()
            && match vectors {
                1 => halve_max::<S, T, 1, ARGMAX>(s, shape, relu, x, y, argmax),
                2 => halve_max::<S, T, 2, ARGMAX>(s, shape, relu, x, y, argmax),
                4 => halve_max::<S, T, 4, ARGMAX>(s, shape, relu, x, y, argmax),
                _ => false,
            };
        if done {
            return;
        }
        for run in Runs::new(shape, n) {
            let x = &x[run.input..];
            let y = &mut y[run.start..][..run.outputs()];
            let argmax = if ARGMAX { &mut argmax[run.start..][..run.outputs()] } else { &mut [] };
            let start = Winner::start(s, run.first, relu);
            let done = match vectors {
                0 => false,
                v if v % 2 == 0 => max_blocks::<S, T, 2, ARGMAX>(s, &run, start, x, y, argmax),
                _ => max_blocks::<S, T, 1, ARGMAX>(s, &run, start, x, y, argmax),
            };
            if !done {
                max_run::<S, T, ARGMAX>(s, &run, start, x, y, argmax);
            }
        }
    }
}

/// The maxima of 2x2 windows side by side, for samples of `B` vectors, with almost no index arithmetic. Those of windows
/// that hold a NaN are wrong; the result says whether there is certainly none.
#[inline(always)]
fn halve_max<S: Level, T: Element, const B: usize, const ARGMAX: bool>(
    s: S,
    shape: &Pool2d,
    relu: bool,
    x: &[T],
    y: &mut [T],
    argmax: &mut [T],
) -> bool {
    let (x, y, argmax) = (blocks::<S, T, B>(x), blocks_mut::<S, T, B>(y), blocks_mut::<S, T, B>(argmax));
    let (oh, ow) = (shape.oh(), shape.ow());
    let start = Winner::<S, T>::start(s, 0, relu);
    let mut k = [T::zero(s); 4];
    for (index, k) in k.iter_mut().enumerate() {
        *k = T::splat(s, from_index(index));
    }
    // A zero, unless some sum of a window was infinite or NaN.
    let mut zero = T::zero(s);
    for c in 0..shape.c {
        for p in 0..oh {
            let top = (c * shape.h + 2 * p) * shape.w;
            let (top, bottom) = (&x[top..][..2 * ow], &x[top + shape.w..][..2 * ow]);
            let (top, bottom) = (&top.as_chunks::<2>().0[..ow], &bottom.as_chunks::<2>().0[..ow]);
            let to = (c * oh + p) * ow;
            let y = &mut y[to..][..ow];
            let argmax = if ARGMAX { &mut argmax[to..][..ow] } else { &mut *argmax };
            for o in 0..ow {
                let ([a, b], [c, d]) = (&top[o], &bottom[o]);
                for v in 0..B {
                    let winner = start.against(s, a[v], k[0]).against(s, b[v], k[1]);
                    let winner = winner.against(s, c[v], k[2]).against(s, d[v], k[3]);
                    y[o][v] = winner.best;
                    if ARGMAX {
                        argmax[o][v] = winner.arg;
                    }
                    let sum = T::vadd(s, T::vadd(s, a[v], b[v]), T::vadd(s, c[v], d[v]));
                    zero = T::mul_add(s, sum, T::zero(s), zero);
                }
            }
        }
    }
    T::sum_lanes(s, zero) == T::ZERO
}

/// The maxima of a run whose stretches are whole blocks. Those of windows that hold a NaN are wrong; the result says
/// whether there is certainly none.
#[inline(always)]
fn max_blocks<S: Level, T: Element, const B: usize, const ARGMAX: bool>(
    s: S,
    run: &Run,
    start: Winner<S, T>,
    x: &[T],
    y: &mut [T],
    argmax: &mut [T],
) -> bool {
    let run = run.in_units_of(B * T::lanes::<S>());
    let (x, y, argmax) = (blocks(x), blocks_mut(y), blocks_mut(argmax));
    // With known bounds the loops over the window unroll.
    match (run.rows, run.cols) {
        (2, 2) => max_window::<S, T, B, ARGMAX>(s, &run, [2, 2], start, x, y, argmax),
        (3, 3) => max_window::<S, T, B, ARGMAX>(s, &run, [3, 3], start, x, y, argmax),
        (rows, cols) => max_window::<S, T, B, ARGMAX>(s, &run, [rows, cols], start, x, y, argmax),
    }
}

#[inline(always)]
fn max_window<S: Level, T: Element, const B: usize, const ARGMAX: bool>(
    s: S,
    run: &Run,
    [rows, cols]: [usize; 2],
    start: Winner<S, T>,
    x: &[[T::V<S>; B]],
    y: &mut [[T::V<S>; B]],
    argmax: &mut [[T::V<S>; B]],
) -> bool {
    // A zero, unless some sum of a window was infinite or NaN.
    let mut zero = T::zero(s);
    for o in 0..run.count {
        for at in 0..run.len {
            let (from, to) = (o * run.stretch_step + at, o * run.len + at);
            let mut winners = [start; B];
            let mut sums = [T::zero(s); B];
            for i in 0..rows {
                for j in 0..cols {
                    let values = &x[from + i * run.row_step + j * run.col_step];
                    let k = T::splat(s, from_index(run.first + i * run.kw + j));
                    for b in 0..B {
                        winners[b] = winners[b].against(s, values[b], k);
                        sums[b] = T::vadd(s, sums[b], values[b]);
                    }
                }
            }
            for b in 0..B {
                y[to][b] = winners[b].best;
                if ARGMAX {
                    argmax[to][b] = winners[b].arg;
                }
                zero = T::mul_add(s, sums[b], T::zero(s), zero);
            }
        }
    }
    T::sum_lanes(s, zero) == T::ZERO
}

/// The maxima of any run, whatever it holds.
#[inline(always)]
fn max_run<S: Level, T: Element, const ARGMAX: bool>(
    s: S,
    run: &Run,
    start: Winner<S, T>,
    x: &[T],
    y: &mut [T],
    argmax: &mut [T],
) {
    for o in 0..run.count {
        for at in (0..run.len).step_by(T::lanes::<S>()) {
            let len = T::lanes::<S>().min(run.len - at);
            let (from, to) = (o * run.stretch_step + at, o * run.len + at);
            let mut winner = start;
            for i in 0..run.rows {
                for j in 0..run.cols {
                    let values = load(s, &x[from + i * run.row_step + j * run.col_step..][..len]);
                    let next = winner.against(s, values, T::splat(s, from_index(run.first + i * run.kw + j)));
                    let number = T::equal(s, winner.best, winner.best);
                    winner.best = T::select(s, number, next.best, winner.best);
                    winner.arg = T::select(s, number, next.arg, winner.arg);
                }
            }
            store(s, &mut y[to..][..len], winner.best);
            if ARGMAX {
                store(s, &mut argmax[to..][..len], winner.arg);
            }
        }
    }
}

/// The running maximum of a window, and where it was.
#[derive(Clone, Copy)]
struct Winner<S: Level, T: Element> {
    best: T::V<S>,
    arg: T::V<S>,
}

impl<S: Level, T: Element> Winner<S, T> {
    /// What the first element of a window has to exceed.
    #[inline(always)]
    fn start(s: S, first: usize, relu: bool) -> Self {
        let (best, arg) =
            if relu { (T::ZERO, -T::ONE) } else { (T::from_f64(f64::NEG_INFINITY), from_index(first)) };
        Self { best: T::splat(s, best), arg: T::splat(s, arg) }
    }

    /// The larger one of the two. Any NaN loses to what comes after it: that costs a second comparison to prevent, and is
    /// left to the caller.
    #[inline(always)]
    fn against(self, s: S, x: T::V<S>, k: T::V<S>) -> Self {
        let keep = T::less_or_equal(s, x, self.best);
        Self { best: T::select(s, keep, self.best, x), arg: T::select(s, keep, self.arg, k) }
    }
}
