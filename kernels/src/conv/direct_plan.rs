//! The plan of the direct forward pass and of the direct input gradient.
//!
//! The plan says which kernel elements and which input pixels each output row and each run of output columns
//! needs. It depends on the shape alone and is made once. [`super::direct`] runs it.

use super::axis::{Axis, Taps};
use super::strided_rows::{CACHE_LINE, StridedRows};
use std::ops::RangeInclusive;

/// The most bytes of packed weights in a group. They stay in the second-level cache while the kernel goes
/// through all rows of the output.
const GROUP_BYTES: usize = 256 * 1024;

/// The rows and columns of the output, with the kernel elements that each of them needs.
#[derive(Debug, Clone)]
pub(super) struct DirectPlan {
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
    /// For each input row, whether an output row reads it.
    pub(super) is_read: Vec<bool>,
    pub(super) runs: Vec<ColumnRun>,
    /// All columns, for a row that no kernel element contributes to.
    pub(super) whole_row: ColumnRun,
    /// The order of the columns in a copied row.
    pub(super) strided_rows: StridedRows,
    /// The number of pixels in the longest run.
    pub(super) longest_run: usize,
    /// The number of input rows that a copy holds, so that every output row finds the rows it reads, in
    /// whatever order the output rows need them; or all rows.
    window: usize,
}

/// Successive output columns `[start, start + len)` with the same kernel elements `first_k`,
/// `first_k + k_step`, … For the first output column these read the input columns `sources`, and for each
/// further one the columns to the right.
#[derive(Debug, Clone)]
pub(super) struct ColumnRun {
    pub(super) start: usize,
    pub(super) len: usize,
    first_k: usize,
    sources: Vec<usize>,
}

/// With at least this many input channels, it matters whether they compete for places of the cache.
const MANY_CHANNELS: usize = 16;
/// Addresses this many f32 elements apart (4 KiB) share a place of the first-level cache.
const CACHE_PERIOD: usize = 1024;

impl DirectPlan {
    /// The forward pass from `inputs` to `outputs` channels.
    pub(super) fn new(inputs: usize, outputs: usize, rows: &Axis, columns: &Axis) -> Self {
        let steps = [rows.forward_steps(), columns.forward_steps()];
        let planes = [[rows.inputs, columns.inputs], [rows.outputs, columns.outputs]];
        let kernel = [rows.kernel, columns.kernel];
        let strided_rows =
            if inputs > 1 { StridedRows::new(columns) } else { StridedRows::none(columns.inputs) };
        let runs = runs(&columns.forward(), steps[1].1, &strided_rows);
        Self::from_taps([inputs, outputs], kernel, planes, steps, rows.forward(), runs, strided_rows)
    }

    /// The input gradient: from the forward pass's output plane (`inputs` channels) to its input plane.
    pub(super) fn transposed(inputs: usize, outputs: usize, rows: &Axis, columns: &Axis) -> Self {
        let steps = [rows.transposed_steps(), columns.transposed_steps()];
        let planes = [[rows.outputs, columns.outputs], [rows.inputs, columns.inputs]];
        let kernel = [rows.kernel, columns.kernel];
        let strided_rows = StridedRows::none(columns.outputs);
        let runs = runs(&columns.transposed(), steps[1].1, &strided_rows);
        Self::from_taps([inputs, outputs], kernel, planes, steps, rows.transposed(), runs, strided_rows)
    }

    fn from_taps(
        [inputs, outputs]: [usize; 2],
        kernel: [usize; 2],
        [source, target]: [[usize; 2]; 2],
        [row_steps, column_steps]: [(usize, isize); 2],
        rows: Vec<Taps>,
        runs: Vec<ColumnRun>,
        strided_rows: StridedRows,
    ) -> Self {
        let mut plan = Self {
            inputs,
            outputs,
            kernel,
            source,
            target,
            k_steps: [row_steps.0, column_steps.0],
            source_steps: [row_steps.1, column_steps.1],
            is_read: vec![false; source[0]],
            rows,
            longest_run: runs.iter().map(|run| run.len).fold(0, usize::max),
            runs,
            whole_row: ColumnRun { start: 0, len: target[1], first_k: 0, sources: Vec::new() },
            strided_rows,
            window: 1,
        };
        for taps in &plan.rows {
            for i in 0..taps.count {
                plan.is_read[taps.source.wrapping_add_signed(i as isize * row_steps.1)] = true;
            }
        }
        let (mut last, mut window) = (0, 1);
        for needed in plan.rows.iter().filter_map(|taps| plan.source_rows(taps)) {
            last = last.max(*needed.end());
            window = window.max(last + 1 - needed.start());
        }
        // Each group of output channels would otherwise copy all rows again, and convolutions of many
        // channels have many groups.
        let is_always_copied = plan.strided_rows.stride > 1;
        plan.window = if is_always_copied && plan.group() < outputs { source[0] } else { window };
        plan
    }

    /// Whether the copy holds all rows, so that one copy serves all groups of output channels.
    pub(super) fn keeps_all_rows(&self) -> bool {
        self.window == self.source[0]
    }

    /// The first and the last input row that an output row with kernel elements `taps` reads.
    pub(super) fn source_rows(&self, taps: &Taps) -> Option<RangeInclusive<usize>> {
        let far = taps.source.wrapping_add_signed(taps.count.checked_sub(1)? as isize * self.source_steps[0]);
        Some(taps.source.min(far)..=taps.source.max(far))
    }

    /// The number of output channels whose packed weights are in scratch memory together: a multiple of 8, or
    /// all channels.
    pub(super) fn group(&self) -> usize {
        let channel_bytes = self.inputs * self.kernel[0] * self.kernel[1] * size_of::<f32>();
        (GROUP_BYTES / channel_bytes / 8 * 8).max(8).min(self.outputs)
    }

    /// The number of elements in the packed weights of a group.
    pub(super) fn weights_len(&self) -> usize {
        self.group() * self.inputs * self.kernel[0] * self.kernel[1]
    }

    /// The number of elements of scratch memory for at most `n` samples. It always includes the copy where
    /// there may be one, because fewer samples can need a copy that more samples do not need.
    pub(super) fn scratch_len(&self, n: usize) -> usize {
        let may_copy = self.inputs >= MANY_CHANNELS || self.strided_rows.stride > 1;
        let copy = if may_copy { self.inputs * self.copied(n).channel_len } else { 0 };
        self.weights_len() + copy
    }

    /// Whether the input channels of `n` samples lie at a distance at which their pixels share few places of
    /// the first-level cache. Then the channels that a tile reads push each other out of the cache, and the
    /// next tile misses all of them.
    pub(super) fn channels_compete(&self, n: usize) -> bool {
        self.inputs >= MANY_CHANNELS && n > 0 && self.in_place(n).channel_len.is_multiple_of(CACHE_PERIOD / 2)
    }

    /// The layout of the input itself.
    pub(super) fn in_place(&self, n: usize) -> Layout {
        self.layout(self.source, self.source[0] * self.source[1] * n)
    }

    /// The layout of a copy of the rows in use. Its channels have an offset of one line in the cache.
    pub(super) fn copied(&self, n: usize) -> Layout {
        let len = self.window * self.strided_rows.pixels * n;
        self.layout([self.window, self.strided_rows.pixels], len.next_multiple_of(CACHE_PERIOD) + CACHE_LINE)
    }

    fn layout(&self, [rows, row_pixels]: [usize; 2], channel_len: usize) -> Layout {
        let row_step = self.source_steps[0].rem_euclid(rows as isize) as usize;
        Layout { rows, row_step, row_pixels, channel_len }
    }

    /// The products of one run of columns, for `n` samples, in a row with the kernel elements `taps`.
    #[inline(always)]
    pub(super) fn products<'a>(
        &self,
        n: usize,
        layout: &Layout,
        taps: &Taps,
        run: &'a ColumnRun,
    ) -> Products<'a> {
        let row_len = layout.row_pixels * n;
        let products = Products {
            rows: if run.sources.is_empty() { 0 } else { taps.count },
            row: taps.source % layout.rows * row_len,
            row_step: layout.row_step * row_len,
            window: layout.rows * row_len,
            sources: &run.sources,
            element: taps.first_k * self.kernel[1] + run.first_k,
            element_steps: [self.k_steps[0] * self.kernel[1], self.k_steps[1]],
            depth: self.inputs,
            stride: layout.channel_len,
        };
        match usize::try_from(self.source_steps[1]) {
            Ok(step) if self.inputs == 1 && self.k_steps[1] == 1 => Products {
                depth: run.sources.len(),
                stride: step * n,
                sources: &run.sources[..run.sources.len().min(1)],
                ..products
            },
            _ => products,
        }
    }
}

/// Where the tiles find the input: row `r` of a channel is in place `r % rows`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) rows: usize,
    /// The distance from the place of one kernel row's input to that of the next kernel row, modulo `rows`.
    row_step: usize,
    pub(super) row_pixels: usize,
    pub(super) channel_len: usize,
}

/// The products of a tile: for each kernel element, `depth` terms, whose inputs are `stride` apart.
///
/// The terms are the input channels. If the image has only one channel, they are the kernel columns.
#[derive(Clone, Copy)]
pub(super) struct Products<'a> {
    /// The number of rows of kernel elements.
    pub(super) rows: usize,
    /// The start of the first kernel row's input, the distance to that of the next kernel row, and the length
    /// after which input rows start over at zero.
    pub(super) row: usize,
    pub(super) row_step: usize,
    pub(super) window: usize,
    /// The pixels that the kernel elements of a row read for the run's first pixel.
    pub(super) sources: &'a [usize],
    /// The first kernel element, and the steps to the elements of the next row and the next column.
    pub(super) element: usize,
    pub(super) element_steps: [usize; 2],
    pub(super) depth: usize,
    pub(super) stride: usize,
}

impl Products<'_> {
    /// Whether there are three rows of one element with three terms each.
    #[inline(always)]
    pub(super) fn are_three_rows_of_three(&self) -> bool {
        (self.rows, self.sources.len(), self.depth) == (3, 1, 3)
    }

    /// For each kernel element, row by row: the start of its input, for `n` samples, and its index in the
    /// kernel.
    #[inline(always)]
    pub(super) fn elements(&self, n: usize) -> Elements<'_> {
        Elements {
            products: self,
            n,
            left: self.rows * self.sources.len(),
            row: self.row,
            column: 0,
            element: self.element,
        }
    }
}

pub(super) struct Elements<'a> {
    products: &'a Products<'a>,
    n: usize,
    left: usize,
    row: usize,
    column: usize,
    element: usize,
}

impl Iterator for Elements<'_> {
    type Item = (usize, usize);

    #[inline(always)]
    fn next(&mut self) -> Option<(usize, usize)> {
        self.left = self.left.checked_sub(1)?;
        let products = self.products;
        let source = self.row + products.sources[self.column] * self.n;
        let element = self.element + self.column * products.element_steps[1];
        self.column += 1;
        if self.column == products.sources.len() {
            self.column = 0;
            self.element += products.element_steps[0];
            self.row += products.row_step;
            if self.row >= products.window {
                self.row -= products.window;
            }
        }
        Some((source, element))
    }
}

/// Joins neighbouring columns to runs: columns with the same kernel elements, whose sources in a row of the
/// order `strided_rows` are shifted by one.
fn runs(columns: &[Taps], source_step: isize, strided_rows: &StridedRows) -> Vec<ColumnRun> {
    let mut runs: Vec<ColumnRun> = Vec::new();
    for (start, taps) in columns.iter().enumerate() {
        let source = |i| strided_rows.place(taps.source.wrapping_add_signed(i as isize * source_step));
        let sources: Vec<usize> = (0..taps.count).map(source).collect();
        match runs.last_mut() {
            Some(run)
                if run.first_k == taps.first_k
                    && run.sources.iter().map(|s| s + run.len).eq(sources.iter().copied()) =>
            {
                run.len += 1;
            }
            _ => runs.push(ColumnRun { start, len: 1, first_k: taps.first_k, sources }),
        }
    }
    runs
}
