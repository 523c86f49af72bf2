//! Average pooling.

use super::backward::PoolBackward;
use super::geometry::{Axis, Run, Runs};
use super::{Pool2d, blocks, blocks_mut, load, reciprocal, store, vectors, whole};
use crate::element::Element;
use crate::simd::{Kernel, Level};
use crate::{Accum, Isa, elementwise, reduce};
use std::slice::{from_mut, from_ref};

/// Average pooling: `y = sum over the window of x / number of window elements that count`.
///
/// `x` is `[C, H, W, N]`; `y` is `[C, OH, OW, N]` and is overwritten. The elements inside the image count,
/// and those in the padding with [`Divisor::Padded`](super::Divisor::Padded). The sum is multiplied by the
/// rounded reciprocal of the count. NaN and infinities propagate.
///
/// # Panics
///
/// When a length does not fit the shape.
pub fn average_pool<T: Element>(isa: Isa, shape: &Pool2d, n: usize, x: &[T], y: &mut [T]) {
    shape.check_lengths(n, x.len(), y.len());
    if shape.is_whole() && n == 1 {
        // The pixels of a channel are contiguous, so the vectors go along them.
        reduce::sum_rows(isa, shape.c, shape.pixels(), x, Accum::Replace, y);
        return elementwise::scale(isa, reciprocal(shape.pixels()), y);
    }
    T::average_pool(isa, AveragePool { shape: shape.flattened(), n, x, y });
}

/// The input gradient of [`average_pool`]:
/// `dx = sum over the windows that contain x of dy / number of window elements that count`.
///
/// `dy` is `[C, OH, OW, N]`; `dx` is `[C, H, W, N]` and is overwritten. Overlapping windows add in a fixed
/// order. Elements that belong to no window get 0.
///
/// # Panics
///
/// When a length does not fit the shape.
pub fn average_pool_backward<T: Element>(isa: Isa, shape: &Pool2d, n: usize, dy: &[T], dx: &mut [T]) {
    shape.check_lengths(n, dx.len(), dy.len());
    T::average_pool_backward(isa, PoolBackward { shape: &shape.flattened(), n, argmax: &[], dy, dx });
}

impl Pool2d {
    /// The same pooling with the image and the window as one row, if the window is the whole image.
    fn flattened(self) -> Self {
        if !self.is_whole() {
            return self;
        }
        Self { vertical: Axis::whole(1), horizontal: Axis::whole(self.pixels()), ..self }
    }
}

pub struct AveragePool<'a, T> {
    shape: Pool2d,
    n: usize,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Element> Kernel for AveragePool<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        let Self { shape, n, x, y } = self;
        match (shape.halves(), vectors::<S, T>(n)) {
            (true, 1) => return halve_average::<S, T, 1, 8>(s, &shape, x, y),
            (true, 2) => return halve_average::<S, T, 2, 4>(s, &shape, x, y),
            (true, 4) => return halve_average::<S, T, 4, 2>(s, &shape, x, y),
            _ => {}
        }
        if shape.is_whole() && whole::average(s, shape.pixels(), n, x, y) {
            return;
        }
        average_runs(s, Runs::new(&shape, n), n, x, y);
    }
}

/// The averages of all `runs`.
#[inline(always)]
pub(super) fn average_runs<S: Level, T: Element>(
    s: S,
    runs: impl Iterator<Item = Run>,
    n: usize,
    x: &[T],
    y: &mut [T],
) {
    let vectors = vectors::<S, T>(n);
    for run in runs {
        let x = &x[run.input..];
        let y = &mut y[run.start..][..run.outputs()];
        match vectors {
            0 => average_run(s, &run, x, y),
            v if v % 2 == 0 => average_blocks::<S, T, 2>(s, &run, x, y),
            _ => average_blocks::<S, T, 1>(s, &run, x, y),
        }
    }
}

/// The averages of 2x2 windows side by side, for samples of `B` vectors, with `Q` windows in a burst.
#[inline(always)]
fn halve_average<S: Level, T: Element, const B: usize, const Q: usize>(
    s: S,
    shape: &Pool2d,
    x: &[T],
    y: &mut [T],
) {
    let (x, y) = (blocks::<S, T, B>(x), blocks_mut::<S, T, B>(y));
    if shape.is_column_of_halves() {
        for ([top, bottom], y) in x.as_chunks().0.as_chunks().0.iter().zip(y) {
            average_burst::<S, T, B, 1>(s, from_ref(top), from_ref(bottom), from_mut(y));
        }
        return;
    }
    let (oh, ow) = (shape.oh(), shape.ow());
    for c in 0..shape.c {
        for p in 0..oh {
            let (top, bottom) = shape.halved_rows(x, c, p);
            let y = &mut y[(c * oh + p) * ow..][..ow];
            let mut o = 0;
            while o + Q <= ow {
                average_burst::<S, T, B, Q>(s, &top[o..], &bottom[o..], &mut y[o..]);
                o += Q;
            }
            while o < ow {
                average_burst::<S, T, B, 1>(s, &top[o..], &bottom[o..], &mut y[o..]);
                o += 1;
            }
        }
    }
}

/// The averages of `Q` windows. The first rows of all windows are read before the second rows, because the
/// CPU prefetches better along one row than between two.
#[inline(always)]
fn average_burst<S: Level, T: Element, const B: usize, const Q: usize>(
    s: S,
    top: &[[[T::V<S>; B]; 2]],
    bottom: &[[[T::V<S>; B]; 2]],
    y: &mut [[T::V<S>; B]],
) {
    let (top, bottom, y) = (&top[..Q], &bottom[..Q], &mut y[..Q]);
    let share = T::splat(s, reciprocal(4));
    let mut sums = [[T::zero(s); B]; Q];
    for q in 0..Q {
        for b in 0..B {
            sums[q][b] = T::vadd(s, top[q][0][b], top[q][1][b]);
        }
    }
    for q in 0..Q {
        for b in 0..B {
            let sum = T::vadd(s, sums[q][b], T::vadd(s, bottom[q][0][b], bottom[q][1][b]));
            y[q][b] = T::vmul(s, sum, share);
        }
    }
}

/// The averages of a run whose pieces are whole numbers of blocks.
#[inline(always)]
fn average_blocks<S: Level, T: Element, const B: usize>(s: S, run: &Run, x: &[T], y: &mut [T]) {
    let run = run.in_units_of(B * T::lanes::<S>());
    let (x, y) = (blocks(x), blocks_mut(y));
    // With constant bounds, the compiler unrolls the loops over the window.
    match (run.rows, run.cols) {
        (2, 2) => average_window::<S, T, B>(s, &run, [2, 2], x, y),
        (3, 3) => average_window::<S, T, B>(s, &run, [3, 3], x, y),
        (rows, cols) => average_window::<S, T, B>(s, &run, [rows, cols], x, y),
    }
}

#[inline(always)]
fn average_window<S: Level, T: Element, const B: usize>(
    s: S,
    run: &Run,
    [rows, cols]: [usize; 2],
    x: &[[T::V<S>; B]],
    y: &mut [[T::V<S>; B]],
) {
    let share = T::splat(s, reciprocal(run.divisor));
    for o in 0..run.count {
        for at in 0..run.len {
            let (from, to) = (o * run.piece_step + at, o * run.len + at);
            let mut sums = [T::zero(s); B];
            for i in 0..rows {
                for j in 0..cols {
                    let values = &x[from + i * run.row_step + j * run.col_step];
                    for b in 0..B {
                        sums[b] = T::vadd(s, sums[b], values[b]);
                    }
                }
            }
            for b in 0..B {
                y[to][b] = T::vmul(s, sums[b], share);
            }
        }
    }
}

/// The averages of a run with any number of samples.
#[inline(always)]
fn average_run<S: Level, T: Element>(s: S, run: &Run, x: &[T], y: &mut [T]) {
    let share = T::splat(s, reciprocal(run.divisor));
    for o in 0..run.count {
        for at in (0..run.len).step_by(T::lanes::<S>()) {
            let len = T::lanes::<S>().min(run.len - at);
            let (from, to) = (o * run.piece_step + at, o * run.len + at);
            let mut sum = T::zero(s);
            for i in 0..run.rows {
                for j in 0..run.cols {
                    sum = T::vadd(s, sum, load(s, &x[from + i * run.row_step + j * run.col_step..][..len]));
                }
            }
            store(s, &mut y[to..][..len], T::vmul(s, sum, share));
        }
    }
}
