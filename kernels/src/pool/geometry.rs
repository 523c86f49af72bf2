//! Which input elements an output reads, and which neighbouring outputs can be treated as one run.

use super::{Divisor, Pool2d, PoolError, Rounding};
use std::ops::Range;

/// One dimension of a pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) size: usize,
    pub(super) window: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    pub(super) dilation: usize,
    pub(super) rounding: Rounding,
    pub(super) divisor: Divisor,
    /// The number of input positions from the first element of a window to its last.
    pub(super) span: usize,
    pub(super) outputs: usize,
}

impl Axis {
    /// Returns `None` when the numbers overflow. The axis has no outputs when the window does not fit.
    pub(super) fn new(
        [size, window]: [usize; 2],
        [stride, padding, dilation]: [usize; 3],
        rounding: Rounding,
        divisor: Divisor,
    ) -> Option<Self> {
        let span = (window - 1).checked_mul(dilation)?.checked_add(1)?;
        let padded = padding.checked_mul(2)?.checked_add(size)?;
        let rounded_up = match rounding {
            Rounding::Down => padded,
            Rounding::Up => padded.checked_add(stride - 1)?,
        };
        let mut outputs = rounded_up.checked_sub(span).map_or(0, |last| last / stride + 1);
        // A window that begins in the padding behind the image has no element.
        if rounding == Rounding::Up && outputs > 0 && (outputs - 1) * stride >= size + padding {
            outputs -= 1;
        }
        Some(Self { size, window, stride, padding, dilation, rounding, divisor, span, outputs })
    }

    /// An axis with one window, which is all of its `size` positions.
    pub(super) fn whole(size: usize) -> Self {
        let (rounding, divisor) = (Rounding::Down, Divisor::Inside);
        let (stride, padding, dilation, outputs) = (1, 0, 1, 1);
        Self { size, window: size, stride, padding, dilation, rounding, divisor, span: size, outputs }
    }

    pub(super) fn check(&self, dimension: &'static str) -> Result<(), PoolError> {
        let Self { size, padding, span, .. } = *self;
        if self.outputs == 0 {
            return Err(PoolError::WindowTooLarge { dimension, span, padded: size + 2 * padding });
        }
        if padding >= span {
            return Err(PoolError::PaddingTooLarge { dimension, padding, span });
        }
        // A window can miss the image only if its gaps are wider than the image.
        if self.dilation > size
            && let Some(output) = (0..self.outputs).find(|&o| self.taps(o).is_empty())
        {
            return Err(PoolError::EmptyWindow { dimension, output, size });
        }
        Ok(())
    }

    /// Whether windows lie side by side, without overlap or gap, from the first input element on, and none of
    /// them reaches beyond the last one.
    pub(super) fn tiles(&self) -> bool {
        self.padding == 0
            && self.span == self.window
            && (self.stride == self.window || self.outputs == 1)
            && (self.outputs - 1) * self.stride + self.span <= self.size
    }

    /// Whether the only window is the whole input, without gaps.
    pub(super) fn is_whole(&self) -> bool {
        self.padding == 0 && self.dilation == 1 && self.window == self.size
    }

    /// The window elements of output `o` that lie inside the image.
    #[inline(always)]
    pub(super) fn taps(&self, o: usize) -> Range<usize> {
        let start = o * self.stride;
        if start >= self.padding && start - self.padding + self.span <= self.size {
            return 0..self.window;
        }
        let first = self.padding.saturating_sub(start).div_ceil(self.dilation);
        let end = (self.size + self.padding).saturating_sub(start).div_ceil(self.dilation);
        first..end.min(self.window)
    }

    /// The number of elements of output `o`'s window that count in an average.
    #[inline(always)]
    pub(super) fn counted(&self, o: usize) -> usize {
        match self.divisor {
            Divisor::Inside => self.taps(o).len(),
            // What lies beyond the padding does not count.
            Divisor::Padded => {
                let left = self.size + 2 * self.padding - o * self.stride;
                left.div_ceil(self.dilation).min(self.window)
            }
        }
    }

    /// The input position of element `k` of output `o`, which lies inside the image.
    pub(super) fn position(&self, o: usize, k: usize) -> usize {
        o * self.stride + k * self.dilation - self.padding
    }

    /// The outputs whose element `k` lies inside the image.
    #[inline(always)]
    pub(super) fn outputs_with(&self, k: usize) -> Range<usize> {
        // Divisions are slow, so they are made only where padding requires them.
        let ahead = k * self.dilation;
        let start = if ahead >= self.padding { 0 } else { (self.padding - ahead).div_ceil(self.stride) };
        let end = match (self.size + self.padding).checked_sub(ahead + 1) {
            None => 0,
            Some(last) if (self.outputs - 1) * self.stride <= last => self.outputs,
            Some(last) => last / self.stride + 1,
        };
        start..end.max(start)
    }

    /// The outputs whose whole window lies inside the image.
    pub(super) fn interior(&self) -> Range<usize> {
        let start = self.padding.div_ceil(self.stride);
        let end = (self.size + self.padding).checked_sub(self.span).map_or(0, |last| last / self.stride + 1);
        start..end.max(start)
    }
}

/// An iterator over the windows that contain a position, from the last to the first.
pub(super) struct Holders {
    /// The next window, and the distance from its start to the position.
    window: usize,
    distance: usize,
}

impl Holders {
    #[inline(always)]
    pub(super) fn new(axis: &Axis, position: usize) -> Self {
        let from_start = position + axis.padding;
        let window = (from_start / axis.stride).min(axis.outputs - 1);
        Self { window, distance: from_start - window * axis.stride }
    }

    /// The next window, and the index in the window of the position's element.
    #[inline(always)]
    pub(super) fn next(&mut self, axis: &Axis) -> Option<(usize, usize)> {
        while self.distance < axis.span {
            let (window, distance) = (self.window, self.distance);
            self.distance = if window == 0 { axis.span } else { distance + axis.stride };
            self.window = window.wrapping_sub(1);
            if axis.dilation == 1 || distance.is_multiple_of(axis.dilation) {
                return Some((window, distance / axis.dilation));
            }
        }
        None
    }
}

/// Outputs that are neighbours in a row and have the same window elements inside the image.
///
/// A run has `count` pieces of `len` elements each. The pieces are contiguous in the output; in the input,
/// they are `piece_step` apart.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// The index of the first output element.
    pub(super) start: usize,
    pub(super) count: usize,
    pub(super) len: usize,
    /// The number of rows and columns of the window that lie inside the image.
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// The number that an average divides by.
    pub(super) divisor: usize,
    /// The window index of the first element inside the image.
    pub(super) first: usize,
    /// The distance in window indices from one row of the window to the next.
    pub(super) kw: usize,
    /// The index of the first input element.
    pub(super) input: usize,
    /// The distances in the input to the window's next row, to its next column, and to the next piece.
    pub(super) row_step: usize,
    pub(super) col_step: usize,
    pub(super) piece_step: usize,
}

impl Run {
    /// The number of elements in all pieces.
    pub(super) fn outputs(&self) -> usize {
        self.count * self.len
    }

    /// The same run, with lengths and distances in blocks of `unit` elements.
    #[inline(always)]
    pub(super) fn in_units_of(&self, unit: usize) -> Self {
        Self {
            len: self.len / unit,
            row_step: self.row_step / unit,
            col_step: self.col_step / unit,
            piece_step: self.piece_step / unit,
            ..*self
        }
    }
}

/// An iterator over the runs of an output, in memory order.
pub(super) struct Runs {
    shape: Pool2d,
    interior: Range<usize>,
    n: usize,
    /// Channel, output row and output column of the next run.
    at: [usize; 3],
}

impl Runs {
    pub(super) fn new(shape: &Pool2d, n: usize) -> Self {
        Self { shape: *shape, interior: shape.horizontal.interior(), n, at: [0; 3] }
    }
}

impl Iterator for Runs {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let [c, oh, ow] = self.at;
        let (Pool2d { c: channels, vertical, horizontal }, n) = (self.shape, self.n);
        if c == channels {
            return None;
        }
        let (rows, cols) = (vertical.taps(oh), horizontal.taps(ow));
        let positions = if self.interior.contains(&ow) { self.interior.end - ow } else { 1 };
        // At stride 1, neighbouring windows are neighbours in memory too, so they form one piece.
        let (count, len) = if horizontal.stride == 1 { (1, positions * n) } else { (positions, n) };
        let row = c * vertical.size + vertical.position(oh, rows.start);
        let run = Run {
            start: ((c * vertical.outputs + oh) * horizontal.outputs + ow) * n,
            count,
            len,
            rows: rows.len(),
            cols: cols.len(),
            divisor: vertical.counted(oh) * horizontal.counted(ow),
            first: rows.start * horizontal.window + cols.start,
            kw: horizontal.window,
            input: (row * horizontal.size + horizontal.position(ow, cols.start)) * n,
            row_step: vertical.dilation * horizontal.size * n,
            col_step: horizontal.dilation * n,
            piece_step: horizontal.stride * n,
        };
        self.at[2] += positions;
        if self.at[2] == horizontal.outputs {
            self.at = if oh + 1 == vertical.outputs { [c + 1, 0, 0] } else { [c, oh + 1, 0] };
        }
        Some(run)
    }
}
