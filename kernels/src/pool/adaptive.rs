//! Pooling to an image of a given size, whatever the size of the input.
//!
//! Where the input's size is a multiple of the output's, windows lie side by side, and the kernels are those
//! of [`Pool2d`]. Elsewhere windows have different sizes and overlap, or repeat elements if the output is
//! larger than the input.

use super::average::{average_pool, average_pool_backward, average_runs};
use super::backward::add_to_element;
use super::geometry::Run;
use super::max::{max_pool, max_pool_backward, max_pool_eval, max_runs};
use super::{
    Divisor, MAX_TAPS, Pool2d, Pool2dShape, PoolError, Rounding, check_lengths, from_index, reciprocal,
};
use crate::element::Element;
use crate::simd::{Kernel, Level};
use crate::{Isa, Size2};
use std::ops::Range;

/// A pooling to images of a given size: output row `p` of `OH` takes the input rows from `p H / OH`, rounded
/// down, to `(p + 1) H / OH`, rounded up and exclusive, and columns likewise. One value serves any number of
/// samples.
///
/// # Source
///
/// The windows are those of PyTorch's `AdaptiveAvgPool2d`.
///
/// ```
/// use isograd_kernels::{Isa, pool::{AdaptivePool2d, adaptive_average_pool}};
/// let halves = AdaptivePool2d::new(1, [1, 5].into(), [1, 2].into())?;
/// let mut y = [0.0; 2];
/// // Both windows contain the element in the middle.
/// adaptive_average_pool(Isa::best(), &halves, 1, &[1.0, 2.0, 3.0, 4.0, 8.0], &mut y);
/// assert_eq!(y, [2.0, 5.0]);
/// # Ok::<(), isograd_kernels::pool::PoolError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptivePool2d {
    c: usize,
    input: Size2,
    output: Size2,
    /// The same pooling with windows side by side, if the input's size is a multiple of the output's.
    regular: Option<Pool2d>,
}

impl AdaptivePool2d {
    /// Pooling of images of `c` channels and the size `input` to the size `output`.
    ///
    /// # Errors
    ///
    /// [`PoolError`] when a size is zero, when a window has more than 2^24 elements, or when sizes overflow.
    pub fn new(c: usize, input: Size2, output: Size2) -> Result<Self, PoolError> {
        let Size2 { h, w } = input;
        if c == 0 || h == 0 || w == 0 {
            return Err(PoolError::EmptyImage { c, h, w });
        }
        if output.h == 0 || output.w == 0 {
            return Err(PoolError::EmptyOutput { output });
        }
        // Products of positions in the output and sizes of the input occur too.
        let [rows, columns] = [h.checked_mul(output.h), w.checked_mul(output.w)];
        let elements = c.checked_mul(h.max(output.h)).and_then(|rows| rows.checked_mul(w.max(output.w)));
        if rows.and(columns).and(elements).is_none() {
            return Err(PoolError::Overflow { c, h, w });
        }
        // A window has at most one element more on each side than its share of the input.
        let (kh, kw) = (h.min(h.div_ceil(output.h) + 1), w.min(w.div_ceil(output.w) + 1));
        if kh.checked_mul(kw).is_none_or(|taps| taps > MAX_TAPS) {
            return Err(PoolError::TooManyTaps { kh, kw });
        }
        let mut regular = None;
        if h % output.h == 0 && w % output.w == 0 {
            let window = Size2 { h: h / output.h, w: w / output.w };
            regular = Some(Pool2d::new(Pool2dShape {
                c,
                h,
                w,
                kh: window.h,
                kw: window.w,
                stride: window,
                padding: 0.into(),
                dilation: 1.into(),
                rounding: Rounding::Down,
                divisor: Divisor::Inside,
            })?);
        }
        Ok(Self { c, input, output, regular })
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.c
    }

    /// Height and width of the input.
    pub fn input(&self) -> Size2 {
        self.input
    }

    /// Height and width of the output.
    pub fn output(&self) -> Size2 {
        self.output
    }

    /// The windows of all outputs in memory order.
    fn runs(&self, n: usize) -> impl Iterator<Item = Run> {
        let Self { c, input: Size2 { h, w }, output: Size2 { h: oh, w: ow }, .. } = *self;
        let run = move |row_of_outputs: usize, first_row: usize, rows: usize, q: usize| {
            let cols = window(q, w, ow);
            Run {
                start: (row_of_outputs * ow + q) * n,
                count: 1,
                len: n,
                rows,
                cols: cols.len(),
                divisor: rows * cols.len(),
                first: 0,
                kw: cols.len(),
                input: (first_row * w + cols.start) * n,
                row_step: w * n,
                col_step: n,
                piece_step: n,
            }
        };
        // Divisions are slow, so the rows are computed once for all columns.
        (0..c).flat_map(move |channel| {
            (0..oh).flat_map(move |p| {
                let rows = window(p, h, oh);
                let (row_of_outputs, first_row) = (channel * oh + p, channel * h + rows.start);
                (0..ow).map(move |q| run(row_of_outputs, first_row, rows.len(), q))
            })
        })
    }

    fn check_lengths(&self, n: usize, input: usize, output: usize) {
        check_lengths(self.c, n, [self.input, self.output], [input, output]);
    }
}

/// The input positions of output `o` along a dimension with `size` positions and `outputs` outputs.
fn window(o: usize, size: usize, outputs: usize) -> Range<usize> {
    o * size / outputs..((o + 1) * size).div_ceil(outputs)
}

/// Average pooling to a given size: `y = sum over the window of x / number of window elements`.
///
/// `x` is `[C, H, W, N]`; `y` is `[C, OH, OW, N]` and is overwritten. The sum is multiplied by the rounded
/// reciprocal of the number. NaN and infinities propagate.
///
/// # Panics
///
/// When a length does not fit the shape.
pub fn adaptive_average_pool<T: Element>(isa: Isa, shape: &AdaptivePool2d, n: usize, x: &[T], y: &mut [T]) {
    shape.check_lengths(n, x.len(), y.len());
    match &shape.regular {
        Some(pool) => average_pool(isa, pool, n, x, y),
        None => isa.run(Average { shape, n, x, y }),
    }
}

/// The input gradient of [`adaptive_average_pool`]: `dx = sum over the windows that contain x of
/// dy / number of window elements`.
///
/// `dy` is `[C, OH, OW, N]`; `dx` is `[C, H, W, N]` and is overwritten. Overlapping windows add in a fixed
/// order.
///
/// # Panics
///
/// When a length does not fit the shape.
pub fn adaptive_average_pool_backward<T: Element>(
    isa: Isa,
    shape: &AdaptivePool2d,
    n: usize,
    dy: &[T],
    dx: &mut [T],
) {
    shape.check_lengths(n, dx.len(), dy.len());
    match &shape.regular {
        Some(pool) => average_pool_backward(isa, pool, n, dy, dx),
        None => isa.run(Backward::<T, false> { shape, n, argmax: &[], dy, dx }),
    }
}

/// Max pooling to a given size: `y = max over the window of x`, and the window index of each maximum.
///
/// `x` is `[C, H, W, N]`; `y` and `argmax` are `[C, OH, OW, N]` and are overwritten. `argmax` is
/// `i * columns + j` for the element in row `i` and column `j` of a window of so many columns. Of equal
/// elements, the first one counts. NaN wins over any number. [`adaptive_max_pool_backward`] reads `argmax`.
///
/// # Panics
///
/// When a length does not fit the shape.
pub fn adaptive_max_pool<T: Element>(
    isa: Isa,
    shape: &AdaptivePool2d,
    n: usize,
    x: &[T],
    y: &mut [T],
    argmax: &mut [T],
) {
    shape.check_lengths(n, x.len(), y.len());
    shape.check_lengths(n, x.len(), argmax.len());
    match &shape.regular {
        Some(pool) => max_pool(isa, pool, n, false, x, y, argmax),
        None => T::adaptive_max_pool(isa, AdaptiveMaxPool { shape, n, x, y, argmax }),
    }
}

/// [`adaptive_max_pool`] without `argmax`, for evaluation: the same `y`.
///
/// # Panics
///
/// When a length does not fit the shape.
pub fn adaptive_max_pool_eval<T: Element>(isa: Isa, shape: &AdaptivePool2d, n: usize, x: &[T], y: &mut [T]) {
    shape.check_lengths(n, x.len(), y.len());
    match &shape.regular {
        Some(pool) => max_pool_eval(isa, pool, n, false, x, y),
        None => T::adaptive_max_pool_eval(isa, AdaptiveMaxPool { shape, n, x, y, argmax: &mut [] }),
    }
}

/// The input gradient of [`adaptive_max_pool`]: `dx` of an element is the sum of `dy` over the windows whose
/// maximum it is.
///
/// `dy` and `argmax` are `[C, OH, OW, N]`; `dx` is `[C, H, W, N]` and is overwritten. Overlapping windows add
/// in a fixed order.
///
/// # Panics
///
/// When a length does not fit the shape.
pub fn adaptive_max_pool_backward<T: Element>(
    isa: Isa,
    shape: &AdaptivePool2d,
    n: usize,
    argmax: &[T],
    dy: &[T],
    dx: &mut [T],
) {
    shape.check_lengths(n, dx.len(), dy.len());
    shape.check_lengths(n, dx.len(), argmax.len());
    match &shape.regular {
        Some(pool) => max_pool_backward(isa, pool, n, argmax, dy, dx),
        None => isa.run(Backward::<T, true> { shape, n, argmax, dy, dx }),
    }
}

struct Average<'a, T> {
    shape: &'a AdaptivePool2d,
    n: usize,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Element> Kernel for Average<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        let Self { shape, n, x, y } = self;
        average_runs(s, shape.runs(n), n, x, y);
    }
}

pub struct AdaptiveMaxPool<'a, T, const ARGMAX: bool> {
    shape: &'a AdaptivePool2d,
    n: usize,
    x: &'a [T],
    y: &'a mut [T],
    argmax: &'a mut [T],
}

impl<T: Element, const ARGMAX: bool> Kernel for AdaptiveMaxPool<'_, T, ARGMAX> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        let Self { shape, n, x, y, argmax } = self;
        max_runs::<S, T, ARGMAX>(s, shape.runs(n), n, false, x, y, argmax);
    }
}

/// With `MAX`, `dy` goes to the window element whose index is `argmax`. Without it, `dy` is divided equally.
struct Backward<'a, T, const MAX: bool> {
    shape: &'a AdaptivePool2d,
    n: usize,
    argmax: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Element, const MAX: bool> Kernel for Backward<'_, T, MAX> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        let Self { shape, n, argmax, dy, dx } = self;
        dx.fill(T::ZERO);
        for run in shape.runs(n) {
            let dy = &dy[run.start..][..n];
            let argmax = if MAX { &argmax[run.start..][..n] } else { dy };
            let share = reciprocal(run.divisor);
            for i in 0..run.rows {
                for j in 0..run.cols {
                    let weight = if MAX { from_index(i * run.cols + j) } else { share };
                    let dx = &mut dx[run.input + i * run.row_step + j * run.col_step..][..n];
                    add_to_element::<S, T, MAX>(s, weight, argmax, dy, dx);
                }
            }
        }
    }
}
