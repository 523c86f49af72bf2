//! The backward pass of overlapping windows, where at most three windows in each dimension contain an
//! element.
//!
//! Each element of `dx` is summed in registers and written once. The order of the sum is the one of
//! [`PoolBackward`](super::backward::PoolBackward): from the last window to the first.
//!
//! ```text
//! for each row of dx, each run of columns that the same number of windows contain in the same way:
//!     dx[w] = sum over window rows i that lie on the row, over window columns j that lie on w, of part(dy)
//! ```

use super::backward::{PoolBackward, part};
use super::geometry::{Axis, Holders};
use super::{from_index, reciprocal};
use crate::element::Element;
use crate::simd::Level;

/// The most windows that contain an element, in one dimension.
const MAX_HOLDERS: usize = 3;
/// The most runs of columns. Each place within a stride has some runs, because columns at the borders differ
/// from the others.
const MAX_RUNS: usize = 16;
/// The most elements in a window.
const MAX_TAPS: usize = 64;

/// The windows that contain a position of one dimension, from the last to the first.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    count: usize,
    /// The last window, and the index in it of the position's element.
    window: usize,
    element: usize,
    /// The steps from one window to the one before it, and from its element to that window's.
    window_step: usize,
    element_step: usize,
    /// The number of each window's elements that count in an average; zeros for max pooling, which does not
    /// need the number.
    counted: [usize; MAX_HOLDERS],
}

impl Held {
    /// Returns `None` when more than [`MAX_HOLDERS`] windows contain the position.
    #[inline(always)]
    fn new<const MAX: bool>(axis: &Axis, position: usize) -> Option<Self> {
        let mut held = Self::default();
        let mut holders = Holders::new(axis, position);
        while let Some((window, element)) = holders.next(axis) {
            match held.count {
                0 => (held.window, held.element) = (window, element),
                1 => (held.window_step, held.element_step) = (held.window - window, element - held.element),
                _ => {}
            }
            *held.counted.get_mut(held.count)? = if MAX { 0 } else { axis.counted(window) };
            held.count += 1;
        }
        Some(held)
    }

    /// Whether `next` differs only in that its windows are `distance` further.
    fn is_followed_by(&self, next: &Self, distance: usize) -> bool {
        *next == Self { window: self.window + distance, ..*self }
    }
}

/// `count` columns, a stride apart, from `first` on, which windows contain in the same way.
#[derive(Clone, Copy, Default)]
struct ColumnRun {
    first: usize,
    count: usize,
    held: Held,
}

/// The runs of all columns of a row.
struct ColumnRuns {
    runs: [ColumnRun; MAX_RUNS],
    count: usize,
}

impl ColumnRuns {
    /// Returns `None` when there are more than [`MAX_RUNS`] runs, or when too many windows contain a column.
    fn new<const MAX: bool>(axis: &Axis) -> Option<Self> {
        let mut runs = Self { runs: [ColumnRun::default(); MAX_RUNS], count: 0 };
        for place in 0..axis.stride.min(axis.size) {
            let mut open = false;
            for column in (place..axis.size).step_by(axis.stride) {
                let held = Held::new::<MAX>(axis, column)?;
                if open
                    && let Some(run) = runs.runs[..runs.count].last_mut()
                    && run.held.is_followed_by(&held, run.count)
                {
                    run.count += 1;
                    continue;
                }
                *runs.runs.get_mut(runs.count)? = ColumnRun { first: column, count: 1, held };
                runs.count += 1;
                open = true;
            }
        }
        Some(runs)
    }
}

/// For max pooling, entry `k` is the index `k`. For average pooling, it is the share of an element in a
/// window of `k` elements.
struct Weights<T>([T; MAX_TAPS + 1]);

impl<T: Element> Weights<T> {
    fn new(taps: usize, max: bool) -> Self {
        let mut weights = [T::ZERO; MAX_TAPS + 1];
        for (k, weight) in weights.iter_mut().enumerate().take(taps + 1) {
            *weight = if max || k == 0 { from_index(k) } else { reciprocal(k) };
        }
        Self(weights)
    }
}

/// The data that a run of columns in a row of `dx` is computed from.
struct Source<'a, S: Level, T: Element> {
    argmax: &'a [T::V<S>],
    dy: &'a [T::V<S>],
    weights: &'a Weights<T>,
    rows: &'a Held,
    run: &'a ColumnRun,
    /// The number of outputs in a row.
    outputs: usize,
    /// The number of elements in a window row.
    kw: usize,
    /// The number of columns from one column of the run to the next.
    stride: usize,
    /// The number of vectors in a pixel.
    pixel: usize,
}

impl<T: Element, const MAX: bool> PoolBackward<'_, T, MAX> {
    /// Computes the whole gradient if the windows are of this kind, and returns whether it did. The number of
    /// samples must be a whole number of vectors.
    #[inline(always)]
    pub(super) fn overlapping<S: Level>(&mut self, s: S) -> bool {
        let shape = self.shape;
        let (vertical, horizontal) = (shape.vertical, shape.horizontal);
        if vertical.window * horizontal.window > MAX_TAPS {
            return false;
        }
        let Some(runs) = ColumnRuns::new::<MAX>(&horizontal) else { return false };
        let weights = Weights::new(vertical.window * horizontal.window, MAX);
        let pixel = self.n / T::lanes::<S>();
        let dy = T::split::<S>(self.dy).0;
        let argmax = if MAX { T::split::<S>(self.argmax).0 } else { dy };
        let dx = T::split_mut::<S>(self.dx).0;
        let plane = vertical.outputs * horizontal.outputs * pixel;
        for c in 0..shape.c {
            let (dy, argmax) = (&dy[c * plane..][..plane], &argmax[c * plane..][..plane]);
            for h in 0..vertical.size {
                let Some(rows) = Held::new::<MAX>(&vertical, h) else { return false };
                let dx =
                    &mut dx[(c * vertical.size + h) * horizontal.size * pixel..][..horizontal.size * pixel];
                for run in &runs.runs[..runs.count] {
                    let (outputs, kw, stride) = (horizontal.outputs, horizontal.window, horizontal.stride);
                    let source = Source::<S, T> {
                        argmax,
                        dy,
                        weights: &weights,
                        rows: &rows,
                        run,
                        outputs,
                        kw,
                        stride,
                        pixel,
                    };
                    let dx = &mut dx[run.first * pixel..];
                    match (rows.count, run.held.count) {
                        (1, 1) => source.sum::<1, 1, MAX>(s, dx),
                        (1, 2) => source.sum::<1, 2, MAX>(s, dx),
                        (1, 3) => source.sum::<1, 3, MAX>(s, dx),
                        (2, 1) => source.sum::<2, 1, MAX>(s, dx),
                        (2, 2) => source.sum::<2, 2, MAX>(s, dx),
                        (2, 3) => source.sum::<2, 3, MAX>(s, dx),
                        (3, 1) => source.sum::<3, 1, MAX>(s, dx),
                        (3, 2) => source.sum::<3, 2, MAX>(s, dx),
                        (3, 3) => source.sum::<3, 3, MAX>(s, dx),
                        // No window contains these columns: they are zero.
                        _ => source.sum::<0, 0, MAX>(s, dx),
                    }
                }
            }
        }
        true
    }
}

impl<S: Level, T: Element> Source<'_, S, T> {
    /// The sums over `R` rows and `C` columns of windows.
    #[inline(always)]
    fn sum<const R: usize, const C: usize, const MAX: bool>(&self, s: S, dx: &mut [T::V<S>]) {
        let Self { rows, run: &ColumnRun { count, held: columns, .. }, pixel, .. } = *self;
        let len = count * pixel;
        let mut weights = [[T::zero(s); C]; R];
        let mut dy: [[&[T::V<S>]; C]; R] = [[&[]; C]; R];
        let mut argmax = dy;
        for r in 0..R {
            for c in 0..C {
                let k = (rows.element + r * rows.element_step) * self.kw
                    + columns.element
                    + c * columns.element_step;
                let weight = if MAX { k } else { rows.counted[r] * columns.counted[c] };
                weights[r][c] = T::splat(s, self.weights.0[weight]);
                let row = rows.window - r * rows.window_step;
                let from = (row * self.outputs + columns.window - c * columns.window_step) * pixel;
                dy[r][c] = &self.dy[from..][..len];
                argmax[r][c] = &self.argmax[from..][..len];
            }
        }
        // At stride 1, neighbouring columns are neighbours in memory too.
        let (count, pixel) = if self.stride == 1 { (1, len) } else { (count, pixel) };
        for q in 0..count {
            let dx = &mut dx[q * self.stride * pixel..][..pixel];
            for (at, dx) in dx.iter_mut().enumerate() {
                let i = q * pixel + at;
                let mut sum = T::zero(s);
                for r in 0..R {
                    for c in 0..C {
                        let dy = dy[r][c][i];
                        sum = if MAX {
                            let won = T::equal(s, argmax[r][c][i], weights[r][c]);
                            T::select(s, won, T::vadd(s, sum, dy), sum)
                        } else {
                            T::vadd(s, sum, part::<S, T, MAX>(s, weights[r][c], dy, dy))
                        };
                    }
                }
                *dx = sum;
            }
        }
    }
}
