//! The direct kernel of the weight gradient: a set of long dot products.
//!
//! ```text
//! dw[f, c, kh, kw] = sum over the output rows i and columns j that (kh, kw) joins to the image, and samples n
//!                    of dy[f, i, j, n] * x[c, i*s - p + kh*d, j*s - p + kw*d, n]
//! ```
//!
//! A tile holds `F` filters by `B` taps of vector accumulators; a tap is an input channel or, where there are few channels
//! and no horizontal padding, a kernel column. Rows are taken in blocks that fit in the first-level cache, and all kernel
//! elements pass over a block before the next one: the accumulators of the elements wait in scratch memory meanwhile. A
//! horizontal sum is taken once, at the end.

use super::axis::Axis;
use super::dot::{Operand, dot};
use crate::Accum;
use crate::element::Element;
use crate::simd::{Kernel, Level};
use std::ops::Range;

/// Bytes of `dy` and `x` that a block of rows may take.
const BLOCK_BYTES: usize = 32 * 1024;

/// Taps of the widest tile.
const MAX_TAPS: usize = 4;
/// Filters of the widest tile.
const MAX_FILTERS: usize = 4;
/// Lanes of the widest vector of any level and type.
const MAX_LANES: usize = 16;

/// The geometry of the weight gradient, planned once.
#[derive(Debug, Clone)]
pub(super) struct WeightGradient {
    c: usize,
    f: usize,
    rows: Axis,
    columns: Axis,
    /// For each kernel row, the output rows that it joins to the image; for each kernel column likewise.
    row_ranges: Vec<Range<usize>>,
    column_ranges: Vec<Range<usize>>,
}

impl WeightGradient {
    pub(super) fn new(c: usize, f: usize, rows: &Axis, columns: &Axis) -> Self {
        Self {
            c,
            f,
            row_ranges: (0..rows.kernel).map(|k| rows.outputs_of(k)).collect(),
            column_ranges: (0..columns.kernel).map(|k| columns.outputs_of(k)).collect(),
            rows: rows.clone(),
            columns: columns.clone(),
        }
    }

    pub(super) fn scratch_len(&self) -> usize {
        self.rows.kernel * self.columns.kernel * MAX_FILTERS * MAX_TAPS * MAX_LANES
    }

    /// Whether taps are kernel columns of one channel rather than channels.
    fn taps_are_columns(&self) -> bool {
        self.c < MAX_TAPS && self.columns.padding == 0 && self.columns.kernel > self.c
    }
}

pub struct Run<'a, T> {
    pub(super) plan: &'a WeightGradient,
    pub(super) n: usize,
    pub(super) x: &'a [T],
    pub(super) dy: &'a [T],
    pub(super) accum: Accum,
    pub(super) dw: &'a mut [T],
    pub(super) scratch: &'a mut [T],
}

impl<T: Element> Kernel for Run<'_, T> {
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
        let mut f = 0;
        while f < plan.f {
            let filters = plan.f - f;
            match filters {
                4.. => self.filters::<S, 4>(s, f),
                2.. => self.filters::<S, 2>(s, f),
                _ => self.filters::<S, 1>(s, f),
            }
            f += match filters {
                4.. => 4,
                2.. => 2,
                _ => 1,
            };
        }
    }
}

/// Where a tile's taps lie: the first one's channel and kernel column.
#[derive(Clone, Copy)]
struct Taps {
    c: usize,
    kw: usize,
}

impl<T: Element> Run<'_, T> {
    /// All taps of `F` filters.
    #[inline(always)]
    fn filters<S: Level, const F: usize>(&mut self, s: S, f: usize) {
        if self.plan.taps_are_columns() {
            for c in 0..self.plan.c {
                let mut kw = 0;
                while kw < self.plan.columns.kernel {
                    kw += self.taps::<S, F>(s, f, Taps { c, kw }, self.plan.columns.kernel - kw);
                }
            }
        } else {
            let mut c = 0;
            while c < self.plan.c {
                c += self.taps::<S, F>(s, f, Taps { c, kw: 0 }, self.plan.c - c);
            }
        }
    }

    /// The widest tile that `left` taps fill; returns its number of taps.
    #[inline(always)]
    fn taps<S: Level, const F: usize>(&mut self, s: S, f: usize, taps: Taps, left: usize) -> usize {
        match left {
            4.. if S::WIDE_FILE => self.blocks::<S, F, 4>(s, f, taps),
            3 if S::WIDE_FILE => self.blocks::<S, F, 3>(s, f, taps),
            2.. => self.blocks::<S, F, 2>(s, f, taps),
            _ => self.blocks::<S, F, 1>(s, f, taps),
        }
    }

    /// One tile: all row blocks, all kernel elements.
    #[inline(always)]
    fn blocks<S: Level, const F: usize, const B: usize>(&mut self, s: S, f: usize, taps: Taps) -> usize {
        let plan = self.plan;
        let columns = if plan.taps_are_columns() { taps.kw..taps.kw + 1 } else { 0..plan.columns.kernel };
        let scratch = std::mem::take(&mut self.scratch);
        let (acc, _) = T::split_mut::<S>(scratch);
        let tiles = plan.rows.kernel * columns.len();
        acc[..tiles * F * B].fill(T::zero(s));

        let row_bytes =
            (F * plan.columns.outputs + B * plan.columns.inputs * plan.rows.stride) * self.n * size_of::<T>();
        let block = (BLOCK_BYTES / row_bytes).max(1);
        for first in (0..plan.rows.outputs).step_by(block) {
            let last = (first + block).min(plan.rows.outputs);
            for kh in 0..plan.rows.kernel {
                let rows = plan.row_ranges[kh].start.max(first)..plan.row_ranges[kh].end.min(last);
                for (i, kw) in columns.clone().enumerate() {
                    let tile = &mut acc[(kh * columns.len() + i) * F * B..][..F * B];
                    self.rows::<S, F, B>(s, f, Taps { kw, ..taps }, kh, rows.clone(), tile);
                }
            }
        }
        for kh in 0..plan.rows.kernel {
            for (i, kw) in columns.clone().enumerate() {
                let tile = &acc[(kh * columns.len() + i) * F * B..][..F * B];
                self.store::<S, F, B>(s, f, Taps { kw, ..taps }, kh, tile);
            }
        }
        self.scratch = scratch;
        B
    }

    /// Adds the dot products over output rows `rows` for one kernel element to the tile.
    #[inline(always)]
    fn rows<S: Level, const F: usize, const B: usize>(
        &self,
        s: S,
        f: usize,
        taps: Taps,
        kh: usize,
        rows: Range<usize>,
        tile: &mut [T::V<S>],
    ) {
        let (plan, n) = (self.plan, self.n);
        let (h, w) = (plan.rows.inputs, plan.columns.inputs);
        let (oh, ow) = (plan.rows.outputs, plan.columns.outputs);
        let tap_stride = if plan.taps_are_columns() { plan.columns.dilation * n } else { h * w * n };
        let columns = plan.column_ranges[taps.kw].clone();
        if columns.is_empty() {
            return;
        }
        // At stride 1 a row is one segment; else each pixel is one, and they are apart in `x`. Segments without a tail go
        // through one loop.
        let stride = plan.columns.stride;
        let (segment, segments) = if stride == 1 { (columns.len() * n, 1) } else { (n, columns.len()) };
        let (joined, calls) = if n % T::lanes::<S>() == 0 { (segments, 1) } else { (1, segments) };

        let mut acc = [[T::zero(s); B]; F];
        for (a, t) in acc.iter_mut().zip(tile.chunks_exact(B)) {
            a.copy_from_slice(t);
        }
        for i in rows {
            let source = i * plan.rows.stride + kh * plan.rows.dilation - plan.rows.padding;
            for call in 0..calls {
                let j = columns.start + call;
                let iw = j * stride + taps.kw * plan.columns.dilation - plan.columns.padding;
                let dy = Operand { data: &self.dy[((f * oh + i) * ow + j) * n..], row: oh * ow * n, segment };
                let x = Operand {
                    data: &self.x[((taps.c * h + source) * w + iw) * n..],
                    row: tap_stride,
                    segment: stride * n,
                };
                dot::<T, S, F, B>(s, &dy, &x, joined, segment, &mut acc);
            }
        }
        for (a, t) in acc.iter().zip(tile.chunks_exact_mut(B)) {
            t.copy_from_slice(a);
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
