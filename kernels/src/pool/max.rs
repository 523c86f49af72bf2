//! Max pooling.
//!
//! The forward pass stores the window index of each maximum. The backward pass compares these indices and
//! does not read the image again.
//!
//! A NaN must win over all numbers, and comparisons that find NaNs are slow. So the fast loops ignore NaNs,
//! and only sum up products that are NaN where an input is NaN. If such a sum is NaN, the maxima are computed
//! again by a slower loop.

use super::backward::PoolBackward;
use super::geometry::{Run, Runs};
use super::{Pool2d, blocks, blocks_mut, from_index, load, store, vectors};
use crate::Isa;
use crate::element::Element;
use crate::simd::{Kernel, Level};
use std::slice::from_ref;

/// Max pooling: `y = max over the window of x`, and the window index of each maximum.
///
/// - `x` is `[C, H, W, N]`; `y` and `argmax` are `[C, OH, OW, N]` and are overwritten.
/// - `argmax` is `i * KW + j` for the element in row `i` and column `j` of the window, exact in `T`. Of equal
///   elements, the first one counts. [`max_pool_backward`] reads it.
/// - With `relu`, `y = max(max over the window of x, 0)`, and `argmax` is -1 where the maximum
///   is at most 0. This is a ReLU before or after the pooling, without a pass of its own.
///
/// Padding is never the maximum. NaN wins over any number, the first NaN wins over later ones, and ReLU keeps
/// NaN.
///
/// # Panics
///
/// When a length does not fit the shape.
pub fn max_pool<T: Element>(
    isa: Isa,
    shape: &Pool2d,
    n: usize,
    relu: bool,
    x: &[T],
    y: &mut [T],
    argmax: &mut [T],
) {
    shape.check_lengths(n, x.len(), y.len());
    shape.check_lengths(n, x.len(), argmax.len());
    T::max_pool(isa, MaxPool { shape, n, relu, x, y, argmax });
}

/// [`max_pool`] without `argmax`, for evaluation: the same `y`.
///
/// # Panics
///
/// When a length does not fit the shape.
pub fn max_pool_eval<T: Element>(isa: Isa, shape: &Pool2d, n: usize, relu: bool, x: &[T], y: &mut [T]) {
    shape.check_lengths(n, x.len(), y.len());
    T::max_pool_eval(isa, MaxPool { shape, n, relu, x, y, argmax: &mut [] });
}

/// The input gradient of [`max_pool`]: `dx` of an element is the sum of `dy` over the windows whose maximum
/// it is.
///
/// - `argmax` comes from the forward pass. A window with -1, which the ReLU clipped, passes no gradient.
/// - `dy` is `[C, OH, OW, N]`; `dx` is `[C, H, W, N]` and is overwritten.
///
/// Overlapping windows add in a fixed order. The error is that of a sum of at most
/// `ceil(KH / stride) * ceil(KW / stride)` terms. Elements that belong to no window get 0.
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
    T::max_pool_backward(isa, PoolBackward { shape, n, argmax, dy, dx });
}

pub struct MaxPool<'a, T, const ARGMAX: bool> {
    shape: &'a Pool2d,
    n: usize,
    relu: bool,
    x: &'a [T],
    y: &'a mut [T],
    argmax: &'a mut [T],
}

impl<T: Element, const ARGMAX: bool> Kernel for MaxPool<'_, T, ARGMAX> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        let Self { shape, n, relu, x, y, argmax } = self;
        let done = shape.halves()
            && match vectors::<S, T>(n) {
                1 => halve_max::<S, T, 1, 8, ARGMAX>(s, shape, relu, x, y, argmax),
                2 => halve_max::<S, T, 2, 4, ARGMAX>(s, shape, relu, x, y, argmax),
                4 => halve_max::<S, T, 4, 2, ARGMAX>(s, shape, relu, x, y, argmax),
                _ => false,
            };
        if done {
            return;
        }
        max_runs::<S, T, ARGMAX>(s, Runs::new(shape, n), n, relu, x, y, argmax);
    }
}

/// The maxima of all `runs`.
#[inline(always)]
pub(super) fn max_runs<S: Level, T: Element, const ARGMAX: bool>(
    s: S,
    runs: impl Iterator<Item = Run>,
    n: usize,
    relu: bool,
    x: &[T],
    y: &mut [T],
    argmax: &mut [T],
) {
    let vectors = vectors::<S, T>(n);
    for run in runs {
        let x = &x[run.input..];
        let y = &mut y[run.start..][..run.outputs()];
        let argmax = if ARGMAX { &mut argmax[run.start..][..run.outputs()] } else { &mut [] };
        let done = match vectors {
            0 => false,
            v if v % 2 == 0 => max_blocks::<S, T, 2, ARGMAX>(s, &run, relu, x, y, argmax),
            _ => max_blocks::<S, T, 1, ARGMAX>(s, &run, relu, x, y, argmax),
        };
        if !done {
            max_run::<S, T, ARGMAX>(s, &run, relu, x, y, argmax);
        }
    }
}

/// The maxima of 2x2 windows side by side, for samples of `B` vectors, with `Q` windows in a burst. The
/// maxima of windows with a NaN are wrong. Returns true if there is certainly no NaN.
#[inline(always)]
fn halve_max<S: Level, T: Element, const B: usize, const Q: usize, const ARGMAX: bool>(
    s: S,
    shape: &Pool2d,
    relu: bool,
    x: &[T],
    y: &mut [T],
    argmax: &mut [T],
) -> bool {
    let (x, y, argmax) = (blocks::<S, T, B>(x), blocks_mut::<S, T, B>(y), blocks_mut::<S, T, B>(argmax));
    let mut halving = Halving::<S, T>::new(s, relu);
    if shape.is_column_of_halves() {
        for (o, [top, bottom]) in x.as_chunks().0.as_chunks().0.iter().enumerate() {
            let argmax = if ARGMAX { &mut argmax[o..] } else { &mut [] };
            halving.burst::<B, 1, ARGMAX>(s, from_ref(top), from_ref(bottom), &mut y[o..], argmax);
        }
        return halving.saw_numbers_only(s);
    }
    let (oh, ow) = (shape.oh(), shape.ow());
    for c in 0..shape.c {
        for p in 0..oh {
            let (top, bottom) = shape.halved_rows(x, c, p);
            let to = (c * oh + p) * ow;
            let y = &mut y[to..][..ow];
            let argmax = if ARGMAX { &mut argmax[to..][..ow] } else { &mut [] };
            let mut o = 0;
            while o + Q <= ow {
                let argmax = if ARGMAX { &mut argmax[o..] } else { &mut [] };
                halving.burst::<B, Q, ARGMAX>(s, &top[o..], &bottom[o..], &mut y[o..], argmax);
                o += Q;
            }
            while o < ow {
                let argmax = if ARGMAX { &mut argmax[o..] } else { &mut [] };
                halving.burst::<B, 1, ARGMAX>(s, &top[o..], &bottom[o..], &mut y[o..], argmax);
                o += 1;
            }
        }
    }
    halving.saw_numbers_only(s)
}

/// The constants of [`halve_max`], and its search for NaNs.
struct Halving<S: Level, T: Element> {
    k: [T::V<S>; 4],
    relu: bool,
    /// Sums of products of inputs. They are numbers unless an input is a NaN or infinite.
    products: [T::V<S>; 2],
}

impl<S: Level, T: Element> Halving<S, T> {
    #[inline(always)]
    fn new(s: S, relu: bool) -> Self {
        let mut k = [T::zero(s); 4];
        for (index, k) in k.iter_mut().enumerate() {
            *k = T::splat(s, from_index(index));
        }
        Self { k, relu, products: [T::zero(s); 2] }
    }

    /// Computes `Q` windows. The first rows of all windows are read before the second rows, because the CPU
    /// prefetches along one row at a time: if the rows alternated at every window, each cache line would have
    /// to be waited for.
    #[inline(always)]
    fn burst<const B: usize, const Q: usize, const ARGMAX: bool>(
        &mut self,
        s: S,
        top: &[[[T::V<S>; B]; 2]],
        bottom: &[[[T::V<S>; B]; 2]],
        y: &mut [[T::V<S>; B]],
        argmax: &mut [[T::V<S>; B]],
    ) {
        let (top, bottom, y) = (&top[..Q], &bottom[..Q], &mut y[..Q]);
        let argmax = if ARGMAX { &mut argmax[..Q] } else { argmax };
        let mut winners = [[Winner::zero(s); B]; Q];
        for q in 0..Q {
            for b in 0..B {
                winners[q][b] = self.row(s, [0, 1], top[q][0][b], top[q][1][b]);
            }
        }
        for q in 0..Q {
            for b in 0..B {
                let mut winner =
                    winners[q][b].against(s, self.row(s, [2, 3], bottom[q][0][b], bottom[q][1][b]));
                if self.relu {
                    winner = Winner::zero(s).against(s, winner);
                }
                y[q][b] = winner.best;
                if ARGMAX {
                    argmax[q][b] = winner.arg;
                }
            }
        }
    }

    /// The larger of a window's elements `i` and `j`, whose values are `a` and `b`.
    #[inline(always)]
    fn row(&mut self, s: S, [i, j]: [usize; 2], a: T::V<S>, b: T::V<S>) -> Winner<S, T> {
        self.products[i / 2] = T::mul_add(s, a, b, self.products[i / 2]);
        Winner { best: a, arg: self.k[i] }.against(s, Winner { best: b, arg: self.k[j] })
    }

    #[inline(always)]
    fn saw_numbers_only(&self, s: S) -> bool {
        let sum = T::vadd(s, self.products[0], self.products[1]);
        !T::sum_lanes(s, sum).to_f64().is_nan()
    }
}

/// The maxima of a run whose pieces are whole numbers of blocks. The maxima of windows with a NaN are wrong.
/// Returns true if there is certainly no NaN.
#[inline(always)]
fn max_blocks<S: Level, T: Element, const B: usize, const ARGMAX: bool>(
    s: S,
    run: &Run,
    relu: bool,
    x: &[T],
    y: &mut [T],
    argmax: &mut [T],
) -> bool {
    let run = run.in_units_of(B * T::lanes::<S>());
    let (x, y, argmax) = (blocks(x), blocks_mut(y), blocks_mut(argmax));
    // With constant bounds, the compiler unrolls the loops over the window.
    match (run.rows, run.cols) {
        (2, 2) => max_window::<S, T, B, ARGMAX>(s, &run, [2, 2], relu, x, y, argmax),
        (3, 3) => max_window::<S, T, B, ARGMAX>(s, &run, [3, 3], relu, x, y, argmax),
        (rows, cols) => max_window::<S, T, B, ARGMAX>(s, &run, [rows, cols], relu, x, y, argmax),
    }
}

#[inline(always)]
fn max_window<S: Level, T: Element, const B: usize, const ARGMAX: bool>(
    s: S,
    run: &Run,
    [rows, cols]: [usize; 2],
    relu: bool,
    x: &[[T::V<S>; B]],
    y: &mut [[T::V<S>; B]],
    argmax: &mut [[T::V<S>; B]],
) -> bool {
    let zero = Winner::<S, T>::zero(s);
    let first = T::splat(s, from_index(run.first));
    // The sum of squares of all inputs is NaN if and only if an input is NaN.
    let mut number = T::zero(s);
    for o in 0..run.count {
        for at in 0..run.len {
            let (from, to) = (o * run.piece_step + at, o * run.len + at);
            let mut winners = [zero; B];
            let mut squares = [T::zero(s); B];
            for b in 0..B {
                winners[b] = Winner { best: x[from][b], arg: first };
            }
            for i in 0..rows {
                for j in 0..cols {
                    let values = &x[from + i * run.row_step + j * run.col_step];
                    let k = T::splat(s, from_index(run.first + i * run.kw + j));
                    for b in 0..B {
                        winners[b] = winners[b].against(s, Winner { best: values[b], arg: k });
                        squares[b] = T::mul_add(s, values[b], values[b], squares[b]);
                    }
                }
            }
            for b in 0..B {
                let winner = if relu { zero.against(s, winners[b]) } else { winners[b] };
                y[to][b] = winner.best;
                if ARGMAX {
                    argmax[to][b] = winner.arg;
                }
                number = T::vadd(s, number, squares[b]);
            }
        }
    }
    !T::sum_lanes(s, number).to_f64().is_nan()
}

/// The maxima of a run with any number of samples, with or without NaNs.
#[inline(always)]
fn max_run<S: Level, T: Element, const ARGMAX: bool>(
    s: S,
    run: &Run,
    relu: bool,
    x: &[T],
    y: &mut [T],
    argmax: &mut [T],
) {
    for o in 0..run.count {
        for at in (0..run.len).step_by(T::lanes::<S>()) {
            let len = T::lanes::<S>().min(run.len - at);
            let (from, to) = (o * run.piece_step + at, o * run.len + at);
            let mut winner =
                Winner::<S, T> { best: load(s, &x[from..][..len]), arg: T::splat(s, from_index(run.first)) };
            for i in 0..run.rows {
                for j in 0..run.cols {
                    let best = load(s, &x[from + i * run.row_step + j * run.col_step..][..len]);
                    let arg = T::splat(s, from_index(run.first + i * run.kw + j));
                    winner = winner.against_any(s, Winner { best, arg });
                }
            }
            if relu {
                winner = Winner::zero(s).against_any(s, winner);
            }
            store(s, &mut y[to..][..len], winner.best);
            if ARGMAX {
                store(s, &mut argmax[to..][..len], winner.arg);
            }
        }
    }
}

/// A maximum, and its window index.
#[derive(Clone, Copy)]
struct Winner<S: Level, T: Element> {
    best: T::V<S>,
    arg: T::V<S>,
}

impl<S: Level, T: Element> Winner<S, T> {
    /// Zero with the index -1. A ReLU is the larger of this and the maximum.
    #[inline(always)]
    fn zero(s: S) -> Self {
        Self { best: T::zero(s), arg: T::splat(s, -T::ONE) }
    }

    /// The larger of the two, and `self` where they are equal. The result means nothing where one of them is
    /// NaN.
    #[inline(always)]
    fn against(self, s: S, next: Self) -> Self {
        // The CPU executes fewer comparisons in a cycle than other operations, so the maximum is an
        // instruction of its own.
        let exceeds = T::less_than(s, self.best, next.best);
        Self { best: T::larger(s, next.best, self.best), arg: T::select(s, exceeds, next.arg, self.arg) }
    }

    /// [`against`](Self::against), except that the first NaN wins.
    #[inline(always)]
    fn against_any(self, s: S, next: Self) -> Self {
        let keep = T::less_or_equal(s, next.best, self.best);
        let best = T::select(s, keep, self.best, next.best);
        let arg = T::select(s, keep, self.arg, next.arg);
        let number = T::equal(s, self.best, self.best);
        Self { best: T::select(s, number, best, self.best), arg: T::select(s, number, arg, self.arg) }
    }
}
