//! The weight gradient.
//!
//! ```text
//! for each block of tiles
//!   V[point][c][tile, sample] = B^T x B
//!   D[point][tile, sample][f] = A dy A^T
//!   dU[point][c][f] += V[point] D[point]          for each point
//! dw = G^T dU G
//! ```
//!
//! `V` and `D` lie in [records](super::records). Filters are in the lanes of `D` and `dU`, so a product is
//! one of matrices, with no sums over lanes. For this, the gradients of a tile's outputs are transposed once.
//! No patches of outputs overlap, so nothing is transposed twice.
//!
//! A term is a column. Where words have two terms, they are two columns of a tile. A tile may end with
//! columns of zeros.

use super::super::strided_rows::CACHE_LINE;
use super::columns::{Grid, TilePlace, block_tiles, most_block_columns, tile_columns};
use super::factors::{Factors, Full, Rounded};
use super::input::{Input, store_column};
use super::plan::Correlation;
use super::records::{self, Place, Records};
use super::transform;
use crate::Accum;
use crate::bf16::{Bf16, Bf16Kernel};
use crate::element::Element;
use crate::simd::{Kernel, Level};
use crate::tile::{Tile, panel_width};
use crate::transpose::transpose;
use std::ops::Range;

/// The size up to which the sums are few: they and a block stay in a thread's share of the last cache.
const FEW_SUMS_BYTES: usize = 3 * 1024 * 1024;
const BLOCK_OF_FEW_SUMS: BlockLimits = BlockLimits { bytes: 768 * 1024, columns: 32 };
/// More sums lie in main memory, and are read and written for each block. So blocks are large: those of small
/// images have all columns.
const BLOCK_OF_MANY_SUMS: BlockLimits = BlockLimits { bytes: 10 * 1024 * 1024, columns: 64 };

/// How large blocks of tiles are.
#[derive(Clone, Copy)]
struct BlockLimits {
    /// The size that the transformed images and gradients of a block should not exceed.
    bytes: usize,
    /// The columns that a block may have even if they are larger, so that the sums are used often enough. It
    /// has the whole tiles that fit, or one.
    columns: usize,
}

/// The plan of the weight gradient.
#[derive(Debug, Clone)]
pub(in super::super) struct WeightGradient {
    /// The forward pass with the same tiles.
    pub(super) forward: Correlation,
}

impl WeightGradient {
    pub(in super::super) fn new(forward: Correlation) -> Self {
        Self { forward }
    }

    /// The most columns of a block, if it has several tiles, in a pass over `filters` filters.
    fn most_columns(&self, filters: usize) -> usize {
        let Correlation { inputs, outputs, .. } = self.forward;
        let are_few = self.sums_len(filters).saturating_mul(size_of::<f32>()) <= FEW_SUMS_BYTES;
        let BlockLimits { bytes, columns } = if are_few { BLOCK_OF_FEW_SUMS } else { BLOCK_OF_MANY_SUMS };
        (bytes / (self.forward.points() * (inputs + outputs) * size_of::<f32>())).max(columns)
    }

    /// The tiles of a block, in a pass over `filters` filters.
    fn block(&self, filters: usize, tile_columns: usize) -> usize {
        block_tiles(tile_columns, self.most_columns(filters), self.forward.tiles())
    }

    /// The number of elements of the sums `dU` of `filters` filters.
    fn sums_len(&self, filters: usize) -> usize {
        self.forward.points().saturating_mul(plane_len(self.forward.inputs, filters))
    }

    /// The number of elements of a tile's transposed gradients of `filters` filters for `n` samples.
    fn transposed_len(&self, filters: usize, n: usize) -> usize {
        let pixels = self.forward.m * self.forward.m;
        (pixels * filters).saturating_mul(n).saturating_add(CACHE_LINE)
    }

    /// The number of elements of scratch memory for at most `n` samples.
    pub(super) fn scratch_len(&self, n: usize) -> usize {
        let Correlation { inputs, outputs, .. } = self.forward;
        let points = self.forward.points();
        let columns = most_block_columns(n, self.most_columns(outputs), self.forward.tiles());
        records::most_elements(points, inputs, columns)
            .saturating_add(records::most_elements(points, columns, outputs))
            .saturating_add(self.sums_len(outputs))
            .saturating_add(self.transposed_len(outputs, n))
    }
}

/// The distance between the rows of the sums: the filters, and the rest of a vector. Rows that a power of two
/// lies between would compete for the same places of the cache.
fn row_len(filters: usize) -> usize {
    let len = filters.saturating_add(CACHE_LINE - 1).next_multiple_of(CACHE_LINE);
    if len.is_multiple_of(4 * CACHE_LINE) { len + CACHE_LINE } else { len }
}

/// The distance between the sums of two points.
fn plane_len(channels: usize, filters: usize) -> usize {
    channels.saturating_mul(row_len(filters)).saturating_add(CACHE_LINE)
}

pub struct WinogradWeightGradientPass<'a, T> {
    pub(in super::super) plan: &'a WeightGradient,
    /// The number of filters in `dy` and `dw`: at most those of the convolution.
    pub(in super::super) filters: usize,
    pub(in super::super) n: usize,
    pub(in super::super) x: &'a [T],
    pub(in super::super) dy: &'a [T],
    pub(in super::super) accum: Accum,
    pub(in super::super) dw: &'a mut [T],
    pub(in super::super) scratch: &'a mut [T],
}

impl<T: Element> Kernel for WinogradWeightGradientPass<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        self.tiles(s, Full);
    }
}

impl Bf16Kernel for WinogradWeightGradientPass<'_, f32> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level, B: Bf16<S>>(self, s: S, bf16: B) {
        self.tiles(s, Rounded(bf16));
    }
}

impl<T: Element> WinogradWeightGradientPass<'_, T> {
    #[inline(always)]
    fn tiles<S: Level, F: Factors<T, S>>(mut self, s: S, factors: F) {
        match self.plan.forward.m {
            2 => self.blocks::<S, F, 2, 4, 16>(s, factors),
            _ => self.blocks::<S, F, 4, 6, 36>(s, factors),
        }
    }

    #[inline(always)]
    fn blocks<S: Level, F: Factors<T, S>, const M: usize, const A: usize, const POINTS: usize>(
        &mut self,
        s: S,
        factors: F,
    ) {
        let (plan, forward, n) = (self.plan, &self.plan.forward, self.n);
        let tile_columns = tile_columns::<T, S>(n, F::TERMS);
        let (tiles, block) = (forward.tiles(), plan.block(self.filters, tile_columns));
        let (channels, filters) = (forward.inputs, self.filters);
        let tiles_wide = forward.target[1].div_ceil(M);
        let (image, padding) = (forward.source, forward.padding);
        let patches = Grid { image, padding, step: M, tiles_wide, n, tile_columns };
        let input = Input { x: self.x, channels, patches };
        let scratch = std::mem::take(&mut self.scratch);
        let (sums, scratch) = scratch.split_at_mut(plan.sums_len(filters));
        let (transposed, scratch) = scratch.split_at_mut(plan.transposed_len(filters, n));
        for first in (0..tiles).step_by(block) {
            let tiles = first..(first + block).min(tiles);
            let columns = tiles.len() * tile_columns;
            let vectors = columns.div_ceil(T::lanes::<S>());
            let of_v = Records::<POINTS>::new::<S>(channels);
            let words = columns / F::TERMS;
            let (v, d) = scratch.split_at_mut(of_v.len::<T, S>(vectors).div_ceil(F::TERMS));
            let (v, d) = (bytemuck::cast_slice_mut(v), bytemuck::cast_slice_mut(d));
            input.transform_factors::<S, F, A, POINTS>(s, factors, tiles.clone(), v, of_v);
            // Two calls, so that the compiler knows the distances in a record in each.
            let of_d = if filters <= T::lanes::<S>() {
                let records = Records::narrow(words);
                self.gradients::<S, F, M, A, POINTS>(s, factors, patches, tiles, transposed, d, records);
                records
            } else {
                let records = Records::new::<S>(words);
                self.gradients::<S, F, M, A, POINTS>(s, factors, patches, tiles, transposed, d, records);
                records
            };
            let product = Product { v, of_v, columns, d, of_d, channels, filters, add: first > 0 };
            for (point, sums) in sums.chunks_mut(plane_len(channels, filters)).enumerate() {
                product.run(s, factors, point, sums);
            }
        }
        self.finish::<S, A>(s, sums);
    }

    /// Writes the transformed gradients of the outputs of `tiles` to `d`, a row for each word of samples. An
    /// output's tile has the place of its patch of the input.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "some tiles, and where they go")]
    fn gradients<S: Level, F: Factors<T, S>, const M: usize, const A: usize, const POINTS: usize>(
        &self,
        s: S,
        factors: F,
        patches: Grid,
        tiles: Range<usize>,
        transposed: &mut [T],
        d: &mut [F::Word],
        records: Records<POINTS>,
    ) {
        let (n, filters, lanes) = (self.n, self.filters, T::lanes::<S>());
        let [height, width] = self.plan.forward.target;
        let plane = height * width * n;
        let (mut rows, mut next_rows) = ([[T::zero(s); M]; A], [[T::zero(s); M]; A]);
        let mut place = TilePlace::new(tiles.start, patches.tiles_wide);
        let mut word = 0;
        for _ in tiles {
            let [top, left] = [place.row * M, place.column * M];
            let inside = [M.min(height - top), M.min(width - left)];
            for i in 0..inside[0] {
                // The pixels of a row lie side by side, in `dy` and in `transposed`.
                let (start, len) = (((top + i) * width + left) * n, inside[1] * n);
                let y = &mut transposed[i * M * n * filters..][..len * filters];
                transpose(s, filters, len, |f| &self.dy[f * plane + start..][..len], y);
            }
            for sample in (0..patches.tile_columns).step_by(F::TERMS) {
                let mut vectors = Place::first::<S>(filters.div_ceil(lanes));
                for f in (0..filters).step_by(lanes) {
                    let dy = |sample: usize| Gradients {
                        values: transposed,
                        pixel: n * filters,
                        first: sample * filters + f,
                        // Behind the last sample there are zeros.
                        inside: if sample < n { inside } else { [0; 2] },
                    };
                    dy(sample).transform_columns::<S, M, A>(s, &mut rows);
                    if F::TERMS > 1 {
                        dy(sample + 1).transform_columns::<S, M, A>(s, &mut next_rows);
                    }
                    let d = records.points_mut::<T, S, _>(d, vectors, word);
                    for i in 0..A {
                        let first = transform::output_gradient::<T, S, A, M>(s, rows[i]);
                        let second = if F::TERMS > 1 {
                            transform::output_gradient::<T, S, A, M>(s, next_rows[i])
                        } else {
                            first
                        };
                        for j in 0..A {
                            let d = &mut d[records.point::<T, S>(i * A + j)..];
                            factors.store_words(s, [first[j], second[j]], d);
                        }
                    }
                    vectors = vectors.next::<S>();
                }
                word += 1;
            }
            place = place.next(patches.tiles_wide);
        }
    }

    /// `dw = G^T dU G`.
    #[inline(always)]
    fn finish<S: Level, const A: usize>(&mut self, s: S, sums: &[T]) {
        let (inputs, outputs) = (self.plan.forward.inputs, self.filters);
        let (row, plane) = (row_len(outputs), plane_len(inputs, outputs));
        let lanes = T::lanes::<S>();
        for c in 0..inputs {
            for f in (0..outputs).step_by(lanes) {
                let kernels = kernels_of::<T, S, A>(s, &sums[c * row + f..], plane);
                for lane in 0..lanes.min(outputs - f) {
                    let dw = &mut self.dw[((f + lane) * inputs + c) * 9..][..9];
                    for k in 0..9 {
                        let gradient = bytemuck::cast_slice::<T::V<S>, T>(&kernels[k..=k])[lane];
                        dw[k] = match self.accum {
                            Accum::Replace => gradient,
                            Accum::Add => dw[k] + gradient,
                        };
                    }
                }
            }
        }
    }
}

/// The transposed gradients of a vector of filters: those of a tile for one sample.
struct Gradients<'a, T> {
    values: &'a [T],
    /// The distance between two pixels.
    pixel: usize,
    /// The place of the first pixel's.
    first: usize,
    /// The rows and columns of the tile that exist.
    inside: [usize; 2],
}

impl<T: Element> Gradients<'_, T> {
    /// The transformed columns of `A dy A^T`.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "iterators would keep the vectors in memory")]
    fn transform_columns<S: Level, const M: usize, const A: usize>(
        &self,
        s: S,
        rows: &mut [[T::V<S>; M]; A],
    ) {
        for j in 0..M {
            let mut column = [T::zero(s); M];
            if j < self.inside[1] {
                for i in 0..M {
                    if i < self.inside[0] {
                        let dy = &self.values[(i * M + j) * self.pixel + self.first..];
                        column[i] = T::split::<S>(&dy[..T::lanes::<S>()]).0[0];
                    }
                }
            }
            store_column(transform::output_gradient::<T, S, A, M>(s, column), j, rows);
        }
    }
}

/// `G^T du G` of a vector of filters: the nine elements of their kernels.
#[inline(always)]
fn kernels_of<T: Element, S: Level, const A: usize>(s: S, du: &[T], plane: usize) -> [T::V<S>; 9] {
    let lanes = T::lanes::<S>();
    let mut rows = [[T::zero(s); A]; 3];
    for j in 0..A {
        let mut column = [T::zero(s); A];
        for i in 0..A {
            column[i] = T::split::<S>(&du[(i * A + j) * plane..][..lanes]).0[0];
        }
        let column = transform::weight_gradient::<T, S, A>(s, column);
        for i in 0..3 {
            rows[i][j] = column[i];
        }
    }
    let mut kernels = [T::zero(s); 9];
    for i in 0..3 {
        let row = transform::weight_gradient::<T, S, A>(s, rows[i]);
        for j in 0..3 {
            kernels[i * 3 + j] = row[j];
        }
    }
    kernels
}

/// The products of a block: for each point, `dU[c][f] += sum over columns of V[c][column] * D[column][f]`.
struct Product<'a, X, W, const POINTS: usize> {
    /// A row for each channel, in vectors of columns.
    v: &'a [X],
    of_v: Records<POINTS>,
    columns: usize,
    /// A row for each word of columns, in vectors of filters.
    d: &'a [W],
    of_d: Records<POINTS>,
    channels: usize,
    filters: usize,
    /// Whether the sums already have the products of earlier blocks.
    add: bool,
}

impl<X: bytemuck::Pod, W: bytemuck::Pod, const POINTS: usize> Product<'_, X, W, POINTS> {
    /// Computes the sums of one point, or adds to them.
    #[inline(always)]
    fn run<T: Element, S: Level, F: Factors<T, S, Factor = X, Word = W>>(
        &self,
        s: S,
        factors: F,
        point: usize,
        sums: &mut [T],
    ) {
        let mut place = Place::first::<S>(self.filters.div_ceil(T::lanes::<S>()));
        let mut f = 0;
        while place.is_filled() {
            match place.len {
                3 if S::WIDE_FILE => self.panels::<T, S, F, 3>(s, factors, point, place, f, sums),
                2 => self.panels::<T, S, F, 2>(s, factors, point, place, f, sums),
                _ => self.panels::<T, S, F, 1>(s, factors, point, place, f, sums),
            }
            f += place.len * T::lanes::<S>();
            place = place.next_group::<S>();
        }
    }

    /// All panels of channels over a group of `V` vectors of filters, of which the first filter is `f`.
    #[inline(always)]
    fn panels<T: Element, S: Level, F: Factors<T, S, Factor = X, Word = W>, const V: usize>(
        &self,
        s: S,
        factors: F,
        point: usize,
        place: Place,
        f: usize,
        sums: &mut [T],
    ) {
        let row = row_len(self.filters);
        let d = &self.d[self.of_d.record::<T, S>(place.group, 0) + self.of_d.point::<T, S>(point)..];
        let mut c = 0;
        while c < self.channels {
            let width = panel_width::<S>(self.channels - c);
            let sums = &mut sums[c * row + f..];
            match width {
                8 => self.tile::<T, S, F, 8, V>(s, factors, point, c, d, sums),
                6 => self.tile::<T, S, F, 6, V>(s, factors, point, c, d, sums),
                4 => self.tile::<T, S, F, 4, V>(s, factors, point, c, d, sums),
                3 => self.tile::<T, S, F, 3, V>(s, factors, point, c, d, sums),
                2 => self.tile::<T, S, F, 2, V>(s, factors, point, c, d, sums),
                _ => self.tile::<T, S, F, 1, V>(s, factors, point, c, d, sums),
            }
            c += width;
        }
    }

    #[inline(always)]
    fn tile<T: Element, S: Level, F: Factors<T, S, Factor = X, Word = W>, const P: usize, const V: usize>(
        &self,
        s: S,
        factors: F,
        point: usize,
        c: usize,
        d: &[W],
        sums: &mut [T],
    ) {
        let (row, len) = (row_len(self.filters), V * T::lanes::<S>());
        let mut acc: Tile<T, S, P, V> = [[T::zero(s); V]; P];
        if self.add {
            for i in 0..P {
                let (old, _) = T::split::<S>(&sums[i * row..][..len]);
                acc[i].copy_from_slice(old);
            }
        }
        let (of_v, of_d) = (self.of_v.distance::<T, S>(), self.of_d.distance::<T, S>());
        let mut group = Place::first::<S>(self.columns.div_ceil(T::lanes::<S>()));
        let mut first = 0;
        while group.is_filled() {
            let columns = (group.len * T::lanes::<S>()).min(self.columns - first);
            let v = &self.v[self.of_v.record::<T, S>(group.group, c) + self.of_v.point::<T, S>(point)..];
            let mut rows: [&[W]; P] = [&[]; P];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = bytemuck::cast_slice(&v[i * of_v..][..columns]);
            }
            factors.accumulate_rows::<P, V>(s, &rows, &d[first / F::TERMS * of_d..], of_d, &mut acc);
            first += columns;
            group = group.next_group::<S>();
        }
        for (i, acc) in acc.iter().enumerate() {
            T::split_mut::<S>(&mut sums[i * row..][..len]).0.copy_from_slice(acc);
        }
    }
}
