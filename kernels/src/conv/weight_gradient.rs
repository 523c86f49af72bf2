//! The direct kernel of the weight gradient: a set of long dot products.
//!
//! ```text
//! dw[f, c, kh, kw] = sum over the output rows i and columns j for which (kh, kw) reads inside the image,
//!                    over samples n,
//!                    of dy[f, i, j, n] * x[c, i*s - p + kh*d, j*s - p + kw*d, n]
//! ```
//!
//! 1. A tile is `F` filters by `B` taps of vector accumulators. A tap is an input channel or, where there are
//!    few channels and no horizontal padding, a kernel column. So each vector that is loaded is used in `F`
//!    or `B` products.
//! 2. Image rows are taken in blocks that fit in the first-level cache. The kernel goes through all kernel
//!    elements before it takes the next block. Meanwhile the accumulators of the other kernel elements are in
//!    scratch memory.
//! 3. The lanes of an accumulator are summed once, at the end.
//! 4. Where the columns have a stride, the channels of a tile are copied once for all filters, with columns
//!    that are a stride apart next to each other. So all dot products run along contiguous rows.

use super::axis::Axis;
use super::dot::{Operand, dot};
use super::strided_rows::{CACHE_LINE, StridedRows};
use crate::Accum;
use crate::element::Element;
use crate::simd::{Kernel, Level};
use std::ops::Range;

/// The most bytes of `dy` and `x` in a block of rows.
const BLOCK_BYTES: usize = 32 * 1024;

/// The number of taps in the widest tile.
const MAX_TAPS: usize = 4;
/// The number of filters in the widest tile.
pub(super) const MAX_FILTERS: usize = 4;
/// The number of lanes in the widest vector of any level and element type.
const MAX_LANES: usize = 16;

/// The plan of the weight gradient. It depends on the shape alone and is made once.
#[derive(Debug, Clone)]
pub(super) struct WeightGradientPlan {
    c: usize,
    rows: Axis,
    columns: Axis,
    /// For each kernel row, the output rows for which it reads inside the image. For each kernel column, the
    /// output columns.
    row_ranges: Vec<Range<usize>>,
    column_ranges: Vec<Range<usize>>,
    /// The order of the columns in a copied row.
    strided_rows: StridedRows,
    /// For each kernel column, the place in a row that it reads for the first of its output columns.
    sources: Vec<usize>,
    /// The rows and columns of the image. The axes of the loops can differ from the image's.
    image: [usize; 2],
    /// The image rows that a kernel element reads.
    copied_rows: Vec<usize>,
}

impl WeightGradientPlan {
    pub(super) fn new(c: usize, rows: &Axis, columns: &Axis) -> Self {
        let strided_rows = StridedRows::new(columns);
        let image = [rows.inputs, columns.inputs];
        let is_read = |p: &usize| (0..rows.kernel).any(|k| rows.output(*p, k).is_some());
        let read_rows = (0..rows.inputs).filter(is_read);
        let column_ranges: Vec<_> = (0..columns.kernel).map(|k| columns.outputs_of(k)).collect();
        let first_input = |k: usize| columns.input(column_ranges[k].start, k);
        Self {
            c,
            row_ranges: (0..rows.kernel).map(|k| rows.outputs_of(k)).collect(),
            sources: (0..columns.kernel)
                .map(|k| first_input(k).map_or(0, |p| strided_rows.place(p)))
                .collect(),
            column_ranges,
            strided_rows,
            image,
            copied_rows: read_rows.collect(),
            rows: rows.clone(),
            columns: columns.clone(),
        }
    }

    /// The number of elements of scratch memory for at most `n` samples.
    pub(super) fn scratch_len(&self, n: usize) -> usize {
        let copies = if self.copies() { MAX_TAPS * self.copied_channel_len(n) } else { 0 };
        self.tiles_len() + copies
    }

    /// The number of elements in the accumulators of a tile, for all kernel elements.
    fn tiles_len(&self) -> usize {
        self.rows.kernel * self.columns.kernel * MAX_FILTERS * MAX_TAPS * MAX_LANES
    }

    fn copies(&self) -> bool {
        self.strided_rows.stride > 1
    }

    /// The number of elements from one copied channel to the next. It puts neighbouring channels at different
    /// places of the cache.
    fn copied_channel_len(&self, n: usize) -> usize {
        self.image[0] * self.strided_rows.pixels * n + CACHE_LINE
    }

    /// Whether the taps of a tile are kernel columns of one channel. Otherwise they are channels.
    fn taps_are_columns(&self) -> bool {
        self.c < MAX_TAPS && !self.copies() && self.columns.padding == 0 && self.columns.kernel > self.c
    }
}

pub struct WeightGradientPass<'a, T> {
    pub(super) plan: &'a WeightGradientPlan,
    /// The number of filters in `dy` and `dw`: at most those of the convolution.
    pub(super) filters: usize,
    pub(super) n: usize,
    pub(super) x: &'a [T],
    pub(super) dy: &'a [T],
    pub(super) accum: Accum,
    pub(super) dw: &'a mut [T],
    pub(super) scratch: &'a mut [T],
}

impl<T: Element> Kernel for WeightGradientPass<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(mut self, s: S) {
        let plan = self.plan;
        if self.n == 0 {
            if self.accum == Accum::Replace {
                self.dw.fill(T::ZERO);
            }
            return;
        }
        let scratch = std::mem::take(&mut self.scratch);
        let (tiles, copy) = scratch.split_at_mut(plan.tiles_len());
        if plan.taps_are_columns() {
            for c in 0..plan.c {
                let mut kw = 0;
                while kw < plan.columns.kernel {
                    kw += self.taps(s, Taps { c, kw }, plan.columns.kernel - kw, tiles, copy);
                }
            }
        } else {
            let mut c = 0;
            while c < plan.c {
                c += self.taps(s, Taps { c, kw: 0 }, plan.c - c, tiles, copy);
            }
        }
    }
}

/// The channel and the kernel column of a tile's first tap.
#[derive(Clone, Copy)]
struct Taps {
    c: usize,
    kw: usize,
}

/// The image channels of a tile's taps, in place or copied.
#[derive(Clone, Copy)]
struct Image<'a, T> {
    data: &'a [T],
    row_len: usize,
    /// The distance from one tap to the next.
    tap_stride: usize,
}

impl<T: Element> WeightGradientPass<'_, T> {
    /// Computes the widest tile that `left` taps fill, for all filters. Returns its number of taps.
    #[inline(always)]
    fn taps<S: Level>(&mut self, s: S, taps: Taps, left: usize, tiles: &mut [T], copy: &mut [T]) -> usize {
        match left {
            4.. if S::WIDE_FILE => self.filters::<S, 4>(s, taps, tiles, copy),
            3 if S::WIDE_FILE => self.filters::<S, 3>(s, taps, tiles, copy),
            2.. => self.filters::<S, 2>(s, taps, tiles, copy),
            _ => self.filters::<S, 1>(s, taps, tiles, copy),
        }
    }

    /// Computes `B` taps for all filters. Returns `B`.
    #[inline(always)]
    fn filters<S: Level, const B: usize>(
        &mut self,
        s: S,
        taps: Taps,
        tiles: &mut [T],
        copy: &mut [T],
    ) -> usize {
        let (plan, n) = (self.plan, self.n);
        let row_len = plan.image[1] * n;
        let channel_len = plan.image[0] * row_len;
        let x = &self.x[taps.c * channel_len..];
        let image = if plan.copies() {
            let (copied_row, copied_channel) = (plan.strided_rows.pixels * n, plan.copied_channel_len(n));
            for (x, copy) in x.chunks_exact(channel_len).zip(copy.chunks_exact_mut(copied_channel)).take(B) {
                for row in &plan.copied_rows {
                    let copy = &mut copy[row * copied_row..][..copied_row];
                    plan.strided_rows.copy_row::<T, S>(n, &x[row * row_len..][..row_len], copy);
                }
            }
            Image { data: &*copy, row_len: copied_row, tap_stride: copied_channel }
        } else {
            let tap_stride = if plan.taps_are_columns() { plan.columns.dilation * n } else { channel_len };
            Image { data: x, row_len, tap_stride }
        };
        let (acc, _) = T::split_mut::<S>(tiles);
        let mut f = 0;
        while f < self.filters {
            f += match self.filters - f {
                4.. => self.blocks::<S, 4, B>(s, f, taps, image, acc),
                2.. => self.blocks::<S, 2, B>(s, f, taps, image, acc),
                _ => self.blocks::<S, 1, B>(s, f, taps, image, acc),
            };
        }
        B
    }

    /// Computes one tile, over all blocks of rows and all kernel elements. Returns its number of filters.
    #[inline(always)]
    fn blocks<S: Level, const F: usize, const B: usize>(
        &mut self,
        s: S,
        f: usize,
        taps: Taps,
        image: Image<'_, T>,
        acc: &mut [T::V<S>],
    ) -> usize {
        let plan = self.plan;
        let columns = if plan.taps_are_columns() { taps.kw..taps.kw + 1 } else { 0..plan.columns.kernel };
        let tiles = plan.rows.kernel * columns.len();
        acc[..tiles * F * B].fill(T::zero(s));

        let x_pixels = plan.strided_rows.pixels * plan.rows.stride.min(plan.rows.kernel);
        let row_bytes = (F * plan.columns.outputs + B * x_pixels) * self.n * size_of::<T>();
        let block = (BLOCK_BYTES / row_bytes).max(1);
        for first in (0..plan.rows.outputs).step_by(block) {
            let last = (first + block).min(plan.rows.outputs);
            for kh in 0..plan.rows.kernel {
                let rows = plan.row_ranges[kh].start.max(first)..plan.row_ranges[kh].end.min(last);
                for (i, kw) in columns.clone().enumerate() {
                    let tile = &mut acc[(kh * columns.len() + i) * F * B..][..F * B];
                    self.rows::<S, F, B>(s, f, [kh, kw], image, rows.clone(), tile);
                }
            }
        }
        for kh in 0..plan.rows.kernel {
            for (i, kw) in columns.clone().enumerate() {
                let tile = &acc[(kh * columns.len() + i) * F * B..][..F * B];
                self.store::<S, F, B>(s, f, Taps { kw, ..taps }, kh, tile);
            }
        }
        F
    }

    /// Adds the dot products of one kernel element over output rows `rows` to the tile.
    #[inline(always)]
    fn rows<S: Level, const F: usize, const B: usize>(
        &self,
        s: S,
        f: usize,
        [kh, kw]: [usize; 2],
        image: Image<'_, T>,
        rows: Range<usize>,
        tile: &mut [T::V<S>],
    ) {
        let (plan, n) = (self.plan, self.n);
        let (oh, ow) = (plan.rows.outputs, plan.columns.outputs);
        let columns = &plan.column_ranges[kw];
        if columns.is_empty() {
            return;
        }
        // Each block starts from zero, because the error of a chain of additions through all blocks would
        // grow with its length.
        let mut acc = [[T::zero(s); B]; F];
        for i in rows {
            let source = i * plan.rows.stride + kh * plan.rows.dilation - plan.rows.padding;
            let dy = Operand { data: &self.dy[((f * oh + i) * ow + columns.start) * n..], row: oh * ow * n };
            let x = Operand {
                data: &image.data[source * image.row_len + plan.sources[kw] * n..],
                row: image.tap_stride,
            };
            dot::<T, S, F, B>(s, &dy, &x, columns.len() * n, &mut acc);
        }
        for (a, t) in acc.iter().zip(tile.chunks_exact_mut(B)) {
            for (a, t) in a.iter().zip(t) {
                *t = T::vadd(s, *t, *a);
            }
        }
    }

    /// Sums the lanes of a tile into `dw`.
    #[inline(always)]
    fn store<S: Level, const F: usize, const B: usize>(
        &mut self,
        s: S,
        f: usize,
        taps: Taps,
        kh: usize,
        tile: &[T::V<S>],
    ) {
        let plan = self.plan;
        let kernel_len = plan.rows.kernel * plan.columns.kernel;
        let tap_stride = if plan.taps_are_columns() { 1 } else { kernel_len };
        for (i, row) in tile.chunks_exact(B).enumerate() {
            let first = ((f + i) * plan.c + taps.c) * kernel_len + kh * plan.columns.kernel + taps.kw;
            for (b, lanes) in row.iter().enumerate() {
                let sum = T::sum_lanes(s, *lanes);
                let dw = &mut self.dw[first + b * tap_stride];
                *dw = match self.accum {
                    Accum::Replace => sum,
                    Accum::Add => *dw + sum,
                };
            }
        }
    }
}
