//! The plan of the direct forward pass and input gradient: which kernel elements and which input pixels each output row
//! and run of output columns needs.

use super::axis::{self, Axis, Run, Taps};
use std::ops::RangeInclusive;

/// Packed weights that stay in the second-level cache while all rows of the output pass over them.
const GROUP_BYTES: usize = 256 * 1024;

/// Rows and columns of the output with the kernel elements that each of them needs.
#[derive(Debug, Clone)]
pub(super) struct Correlation {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) kernel: [usize; 2],
    /// Height and width of the input plane.
    source: [usize; 2],
    /// Height and width of the output plane.
    pub(super) target: [usize; 2],
    k_steps: [usize; 2],
    source_steps: [isize; 2],
    pub(super) rows: Vec<Taps>,
    pub(super) runs: Vec<Run>,
    /// Pixels of the longest run.
    pub(super) longest_run: usize,
    /// Input rows that a copy must hold so that each output row finds its own, whichever the earlier ones needed.
    window: usize,
}

/// Channels from which on it matters that they compete for places in the cache.
const MANY_CHANNELS: usize = 16;
/// Elements after which the first-level cache starts over (of f32, 4 KiB), and those of one of its lines.
const CACHE_PERIOD: usize = 1024;
const CACHE_LINE: usize = 16;

impl Correlation {
    /// The forward pass from `inputs` to `outputs` channels.
    pub(super) fn new(inputs: usize, outputs: usize, rows: &Axis, columns: &Axis) -> Self {
        let steps = [rows.forward_steps(), columns.forward_steps()];
        let planes = [[rows.inputs, columns.inputs], [rows.outputs, columns.outputs]];
        let kernel = [rows.kernel, columns.kernel];
        Self::from_taps([inputs, outputs], kernel, planes, steps, rows.forward(), &columns.forward())
    }

    /// The input gradient: from the forward pass's output plane (`inputs` channels) to its input plane.
    pub(super) fn transposed(inputs: usize, outputs: usize, rows: &Axis, columns: &Axis) -> Self {
        let steps = [rows.transposed_steps(), columns.transposed_steps()];
        let planes = [[rows.outputs, columns.outputs], [rows.inputs, columns.inputs]];
        let kernel = [rows.kernel, columns.kernel];
        Self::from_taps([inputs, outputs], kernel, planes, steps, rows.transposed(), &columns.transposed())
    }

    fn from_taps(
        [inputs, outputs]: [usize; 2],
        kernel: [usize; 2],
        [source, target]: [[usize; 2]; 2],
        [row_steps, column_steps]: [(usize, isize); 2],
        rows: Vec<Taps>,
        columns: &[Taps],
    ) -> Self {
        let runs = axis::runs(columns);
        let mut plan = Self {
            inputs,
            outputs,
            kernel,
            source,
            target,
            k_steps: [row_steps.0, column_steps.0],
            source_steps: [row_steps.1, column_steps.1],
            rows,
            longest_run: runs.iter().map(|run| run.len).fold(0, usize::max),
            runs,
            window: 1,
        };
        let (mut last, mut window) = (0, 1);
        for needed in plan.rows.iter().filter_map(|taps| plan.source_rows(taps)) {
            last = last.max(*needed.end());
            window = window.max(last + 1 - needed.start());
        }
        plan.window = window;
        plan
    }

    /// The first and the last input row that an output row with kernel elements `taps` needs.
    pub(super) fn source_rows(&self, taps: &Taps) -> Option<RangeInclusive<usize>> {
        let far = taps.source.wrapping_add_signed(taps.count.checked_sub(1)? as isize * self.source_steps[0]);
        Some(taps.source.min(far)..=taps.source.max(far))
    }

    /// Output channels whose packed weights are in scratch memory at one time: a multiple of 8, or all.
    pub(super) fn group(&self) -> usize {
        let channel_bytes = self.inputs * self.kernel[0] * self.kernel[1] * size_of::<f32>();
        (GROUP_BYTES / channel_bytes / 8 * 8).max(8).min(self.outputs)
    }

    /// Elements of the packed weights of a group.
    pub(super) fn weights_len(&self) -> usize {
        self.group() * self.inputs * self.kernel[0] * self.kernel[1]
    }

    /// Elements of scratch memory for at most `n` samples: fewer may need the copy where more do not.
    pub(super) fn scratch_len(&self, n: usize) -> usize {
        let may_copy = self.inputs >= MANY_CHANNELS;
        self.weights_len() + if may_copy { self.inputs * self.copied(n).channel_len } else { 0 }
    }

    /// Whether the input channels of `n` samples are so far apart that their pixels share few places of the first-level
    /// cache: a tile that reads them one after the other then finds none of the lines that its neighbour left there.
    pub(super) fn channels_compete(&self, n: usize) -> bool {
        self.inputs >= MANY_CHANNELS && n > 0 && self.in_place(n).channel_len.is_multiple_of(CACHE_PERIOD / 2)
    }

    /// The input as it lies.
    pub(super) fn in_place(&self, n: usize) -> Layout {
        self.layout(self.source[0], self.source[0] * self.source[1] * n)
    }

    /// A copy of the rows in use, with channels one line apart in the cache.
    pub(super) fn copied(&self, n: usize) -> Layout {
        let len = self.window * self.source[1] * n;
        self.layout(self.window, len.next_multiple_of(CACHE_PERIOD) + CACHE_LINE)
    }

    fn layout(&self, rows: usize, channel_len: usize) -> Layout {
        let row_step = self.source_steps[0].rem_euclid(rows as isize) as usize;
        Layout { rows, row_step, row_pixels: self.source[1], channel_len }
    }

    /// The products of one run of columns in a row with kernel elements `taps`, of `n` samples.
    #[inline(always)]
    pub(super) fn products(
        &self,
        n: usize,
        layout: &Layout,
        taps: &Taps,
        slot: usize,
        run: &Run,
    ) -> Products {
        let elements = Elements {
            row: 0,
            column: 0,
            rows: taps.count,
            columns: run.taps.count,
            slot,
            layout: *layout,
            source: run.taps.source,
            source_step: self.source_steps[1],
            element: taps.first_k * self.kernel[1] + run.taps.first_k,
            element_steps: [self.k_steps[0] * self.kernel[1], self.k_steps[1]],
        };
        match usize::try_from(self.source_steps[1]) {
            Ok(step) if self.inputs == 1 && self.k_steps[1] == 1 => Products {
                depth: elements.columns,
                stride: step * n,
                elements: Elements { columns: elements.columns.min(1), ..elements },
            },
            _ => Products { elements, depth: self.inputs, stride: layout.channel_len },
        }
    }
}

/// How the tiles find the input: row `r` of a channel in place `r % rows`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) rows: usize,
    /// From one kernel row's place to the next one's, modulo `rows`.
    row_step: usize,
    pub(super) row_pixels: usize,
    pub(super) channel_len: usize,
}

/// The products that make up a tile: for each element, `depth` terms that are `stride` apart in the input.
///
/// The terms are the input channels; of an image with one channel, they are the kernel columns.
pub(super) struct Products {
    pub(super) elements: Elements,
    pub(super) depth: usize,
    pub(super) stride: usize,
}

/// Iterates over kernel elements row by row: the pixel of the input plane that each reads for the run's first pixel, and
/// its index in the kernel.
pub(super) struct Elements {
    row: usize,
    column: usize,
    rows: usize,
    columns: usize,
    slot: usize,
    layout: Layout,
    source: usize,
    source_step: isize,
    element: usize,
    element_steps: [usize; 2],
}

impl Iterator for Elements {
    type Item = (usize, usize);

    #[inline(always)]
    fn next(&mut self) -> Option<(usize, usize)> {
        if self.column == self.columns {
            (self.row, self.column) = (self.row + 1, 0);
            self.slot += self.layout.row_step;
            if self.slot >= self.layout.rows {
                self.slot -= self.layout.rows;
            }
        }
        if self.row >= self.rows || self.columns == 0 {
            return None;
        }
        let column = self.source.wrapping_add_signed(self.column as isize * self.source_step);
        let source = self.slot * self.layout.row_pixels + column;
        let element = self.element + self.row * self.element_steps[0] + self.column * self.element_steps[1];
        self.column += 1;
        Some((source, element))
    }
}
