//! The plan of a pass: which kernel elements connect which pixels of one plane with which of another.
//!
//! A block is a set of pixels of the target to which the same kernel elements contribute, so that one window
//! of weights serves all of them: a rectangle in the middle of the image, or a part of its border. Where the
//! target has a stride, the pixels of a block are a stride apart.

use super::WINDOW;
use crate::conv::axis::{Axis, Taps};

/// The most bytes of the target that a kernel goes through before it takes the next window or the next block.
/// They stay in the first-level cache with the rows that they read.
const STRIP_BYTES: usize = 16 * 1024;

/// The blocks of a pass from one plane to another.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The number of pixels in the plane that is read.
    pub(super) source_pixels: usize,
    /// The number of pixels in the plane that is written.
    pub(super) target_pixels: usize,
    /// The number of kernel elements.
    pub(super) kernel_len: usize,
    /// The number of pixels in a row of the target.
    row_pixels: usize,
    pub(super) bands: Vec<Band>,
}

/// Rows of the target to which the same kernel rows contribute.
#[derive(Debug, Clone)]
pub(super) struct Band {
    /// The number of rows.
    pub(super) rows: usize,
    /// The blocks of these rows, from left to right. Those of a large kernel have several windows.
    pub(super) blocks: Vec<Block>,
}

/// One window over the pixels of a block. All places and distances are in pixels.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// The pixel of the target in the first row and column, and the distances to the next row and column.
    pub(super) target: usize,
    pub(super) target_steps: [usize; 2],
    /// The pixel of the source that the window's first element reads for that pixel, and the distances to
    /// those for the next row and column of the target.
    pub(super) source: usize,
    pub(super) source_steps: [usize; 2],
    /// The number of columns.
    pub(super) columns: usize,
    /// The number of rows and columns of the window: none if no kernel element contributes.
    pub(super) window: [usize; 2],
    /// The distances in the source from one row and column of the window to the next.
    pub(super) window_steps: [usize; 2],
    /// The first kernel element, and the distances to the next row and column of the window.
    element: usize,
    element_steps: [isize; 2],
    /// Whether the window is the first one of its block, and whether it is the last one.
    pub(super) is_first: bool,
    pub(super) is_last: bool,
}

impl Block {
    /// The kernel element in row `r` and column `c` of the window.
    #[inline(always)]
    pub(super) fn element(&self, r: usize, c: usize) -> usize {
        let offset = r as isize * self.element_steps[0] + c as isize * self.element_steps[1];
        self.element.wrapping_add_signed(offset)
    }

    /// The pieces of a row that are contiguous in both planes: their number, and the pixels in each of them.
    #[inline(always)]
    pub(super) fn pieces(&self) -> [usize; 2] {
        let is_contiguous = [self.target_steps[1], self.source_steps[1]] == [1, 1];
        if is_contiguous { [1, self.columns] } else { [self.columns, 1] }
    }

    /// The number of vectors in a pixel of `n` samples, if that is a whole number and the window's columns
    /// are neighbours; 0 otherwise.
    #[inline(always)]
    pub(super) fn pixel_vectors(&self, n: usize, lanes: usize) -> usize {
        if n.is_multiple_of(lanes) && self.window_steps[1] == 1 { n / lanes } else { 0 }
    }

    /// The number of pixels from the first one that a row of the window reads for a row of the block to the
    /// last one.
    #[inline(always)]
    pub(super) fn source_span(&self) -> usize {
        (self.columns - 1) * self.source_steps[1]
            + self.window[1].saturating_sub(1) * self.window_steps[1]
            + 1
    }
}

/// One axis of a pass.
struct Side {
    source: usize,
    target: usize,
    kernel: usize,
    runs: Vec<Run>,
    /// The distances from one kernel element of a position to the next: in the source, and in the kernel.
    source_step: usize,
    k_step: isize,
    /// The distances from one position of a run to the next: in the target, and in the source.
    run_steps: [usize; 2],
}

/// Positions of the target to which the same kernel elements contribute: `count` of them, from `first_k` on.
/// The first one reads `source` for the first position.
#[derive(Clone, Copy)]
struct Run {
    start: usize,
    len: usize,
    first_k: usize,
    count: usize,
    source: usize,
}

/// A part of the kernel elements of a run that belongs to one window.
#[derive(Clone, Copy)]
struct Part {
    skipped: usize,
    count: usize,
}

impl Plan {
    /// The forward pass.
    pub(super) fn forward(rows: &Axis, columns: &Axis) -> Self {
        Self::new(&Side::forward(rows), &Side::forward(columns))
    }

    /// The input gradient: from the forward pass's output to its input.
    pub(super) fn transposed(rows: &Axis, columns: &Axis) -> Self {
        Self::new(&Side::transposed(rows), &Side::transposed(columns))
    }

    fn new(rows: &Side, columns: &Side) -> Self {
        let band = |row_run: &Run| Band {
            rows: row_run.len,
            blocks: columns.runs.iter().flat_map(|run| blocks([rows, columns], [row_run, run])).collect(),
        };
        Self {
            source_pixels: rows.source * columns.source,
            target_pixels: rows.target * columns.target,
            kernel_len: rows.kernel * columns.kernel,
            row_pixels: columns.target,
            bands: rows.runs.iter().map(band).collect(),
        }
    }

    /// The number of rows that a kernel goes through before it takes the next window or block, for pixels of
    /// `pixel_bytes`.
    #[inline(always)]
    pub(super) fn strip_rows(&self, pixel_bytes: usize) -> usize {
        (STRIP_BYTES / (self.row_pixels * pixel_bytes).max(1)).max(1)
    }
}

/// The windows over the pixels of a run of rows and a run of columns.
fn blocks([rows, columns]: [&Side; 2], [row_run, run]: [&Run; 2]) -> Vec<Block> {
    let [row_parts, parts] = if row_run.count == 0 || run.count == 0 {
        [(); 2].map(|()| vec![Part { skipped: 0, count: 0 }])
    } else {
        [row_run, run].map(parts)
    };
    let last = [row_parts.len() - 1, parts.len() - 1];
    let mut blocks = Vec::new();
    for (i, row_part) in row_parts.iter().enumerate() {
        for (j, part) in parts.iter().enumerate() {
            let row = row_run.source + row_part.skipped * rows.source_step;
            let column = run.source + part.skipped * columns.source_step;
            let k = [rows.element(row_run, row_part), columns.element(run, part)];
            let kernel_row = columns.kernel as isize;
            blocks.push(Block {
                target: row_run.start * columns.target + run.start,
                target_steps: [rows.run_steps[0] * columns.target, columns.run_steps[0]],
                source: row * columns.source + column,
                source_steps: [rows.run_steps[1] * columns.source, columns.run_steps[1]],
                columns: run.len,
                window: [row_part.count, part.count],
                window_steps: [rows.source_step * columns.source, columns.source_step],
                element: k[0] * columns.kernel + k[1],
                element_steps: [rows.k_step * kernel_row, columns.k_step],
                is_first: [i, j] == [0, 0],
                is_last: [i, j] == last,
            });
        }
    }
    blocks
}

/// The parts of a run's kernel elements that belong to different windows.
fn parts(run: &Run) -> Vec<Part> {
    let part = |skipped| Part { skipped, count: WINDOW.min(run.count - skipped) };
    (0..run.count).step_by(WINDOW).map(part).collect()
}

impl Side {
    fn forward(axis: &Axis) -> Self {
        let (k_step, source_step) = axis.forward_steps();
        let run_steps = [1, axis.stride];
        Self {
            source: axis.inputs,
            target: axis.outputs,
            kernel: axis.kernel,
            runs: runs(&axis.forward(), run_steps),
            source_step: source_step.unsigned_abs(),
            k_step: k_step as isize,
            run_steps,
        }
    }

    /// In the transposed axis, a later kernel element reads an earlier position. So the elements are taken
    /// from the last one to the first one, and the positions are in ascending order.
    fn transposed(axis: &Axis) -> Self {
        let (k_step, source_step) = axis.transposed_steps();
        let source_step = source_step.unsigned_abs();
        let reversed = |taps: &Taps| {
            let others = taps.count.saturating_sub(1);
            let (first_k, source) = (taps.first_k + others * k_step, taps.source - others * source_step);
            Taps { first_k, source, ..*taps }
        };
        let run_steps = [axis.stride, 1];
        Self {
            source: axis.outputs,
            target: axis.inputs,
            kernel: axis.kernel,
            runs: runs(&axis.transposed().iter().map(reversed).collect::<Vec<_>>(), run_steps),
            source_step,
            k_step: -(k_step as isize),
            run_steps,
        }
    }

    /// The first kernel element of a part of a run's elements.
    fn element(&self, run: &Run, part: &Part) -> usize {
        run.first_k.wrapping_add_signed(part.skipped as isize * self.k_step)
    }
}

/// Joins positions to runs: positions that are `target_step` apart, have the same kernel elements, and read
/// positions that are `source_step` apart.
fn runs(positions: &[Taps], [target_step, source_step]: [usize; 2]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for phase in 0..target_step.min(positions.len()) {
        let first = runs.len();
        for (start, taps) in positions.iter().enumerate().skip(phase).step_by(target_step) {
            let Taps { first_k, count, source } = *taps;
            match runs[first..].last_mut() {
                Some(run)
                    if (run.first_k, run.count) == (first_k, count)
                        && (count == 0 || source == run.source + run.len * source_step) =>
                {
                    run.len += 1;
                }
                _ => runs.push(Run { start, len: 1, first_k, count, source }),
            }
        }
    }
    runs
}
