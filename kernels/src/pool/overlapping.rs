//! The backward pass of overlapping windows, where at most three of them in each dimension hold an element.
//!
//! ```text
//! for each row of dx, each run of its columns that as many windows hold in the same way:
//!     dx[w] = sum over the rows i of a window that lie on the row, over the columns j that lie on w, of part(dy)
//! ```
//!
//! An input gradient is summed in registers and written once. The order of the sum is that of
//! [`Backward`](super::backward::Backward): from the last window to the first.

use super::backward::{Backward, part};
use super::geometry::{Axis, Holders};
use super::{from_index, reciprocal};
use crate::element::Element;
use crate::simd::Level;

/// Windows that hold an element, in one dimension.
const MAX_HOLDERS: usize = 3;
/// Runs of columns: some for each place within a stride, the borders apart.
const MAX_RUNS: usize = 16;
/// Elements of a window.
const MAX_TAPS: usize = 64;

/// The windows that hold a position of one dimension, from the last to the first.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    count: usize,
    /// The last window, and which of its elements it is; from one to the next, windows and elements have constant steps.
    window: usize,
    element: usize,
    window_step: usize,
    element_step: usize,
    /// How many of the window's elements lie inside the image; zeros for max pooling, which does not care.
    inside: [usize; MAX_HOLDERS],
}

impl Held {
    /// `None` when there are too many.
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
            *held.inside.get_mut(held.count)? = if MAX { 0 } else { axis.taps(window).len() };
            held.count += 1;
        }
        Some(held)
    }

    /// Whether `next` is the same, but for windows that are `distance` further.
    fn is_followed_by(&self, next: &Self, distance: usize) -> bool {
        *next == Self { window: self.window + distance, ..*self }
    }
}

/// Columns a stride apart, from `first` on, that windows hold in the same way.
#[derive(Clone, Copy, Default)]
struct ColumnRun {
    first: usize,
    count: usize,
    held: Held,
}

/// All columns of a row.
struct ColumnRuns {
    runs: [ColumnRun; MAX_RUNS],
    count: usize,
}

impl ColumnRuns {
    /// `None` when there are too many.
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

/// For max pooling the index of each window element, for average pooling the share in a window of as many elements.
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

/// What a run of columns in a row of `dx` is made from.
struct Source<'a, S: Level, T: Element> {
    argmax: &'a [T::V<S>],
    dy: &'a [T::V<S>],
    weights: &'a Weights<T>,
    rows: &'a Held,
    run: &'a ColumnRun,
    /// Outputs of a row, elements of a window row, columns from one of the run to the next.
    outputs: usize,
    kw: usize,
    stride: usize,
    /// Vectors of a pixel.
    pixel: usize,
}

impl<T: Element, const MAX: bool> Backward<'_, T, MAX> {
    /// Does all of it, if windows are such as this is for, for samples of whole vectors.
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
                        // Between windows.
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
                let weight = if MAX { k } else { rows.inside[r] * columns.inside[c] };
                weights[r][c] = T::splat(s, self.weights.0[weight]);
                let row = rows.window - r * rows.window_step;
                let from = (row * self.outputs + columns.window - c * columns.window_step) * pixel;
                dy[r][c] = &self.dy[from..][..len];
                argmax[r][c] = &self.argmax[from..][..len];
            }
        }
        // At stride 1 neighbouring columns are neighbours in memory too.
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
