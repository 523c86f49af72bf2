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
//! Filters are in the lanes of `D` and `dU`, so a product is one of matrices, with no sums over lanes. For
//! this, the gradients of a tile's outputs are transposed once. No patches of outputs overlap, so nothing is
//! transposed twice.
//!
//! A term is a column. Where words have two terms, they are two samples of a tile; a tile of an odd number
//! has a column of zeros.

use super::super::strided_rows::CACHE_LINE;
use super::factors::{Factors, Full, Rounded};
use super::input::{Input, Planes};
use super::plan::{Correlation, TilePlace, plane_len, row_len};
use super::products::planes;
use super::transform;
use crate::Accum;
use crate::bf16::{Bf16, Bf16Kernel};
use crate::element::Element;
use crate::layout;
use crate::simd::{Kernel, Level};
use crate::tile::{Tile, panel_width};
use std::hint::black_box;
use std::ops::Range;

/// The size that the transformed images and gradients of a block should not exceed.
const BLOCK_BYTES: usize = 768 * 1024;
/// A block has at least so many columns, so that the sums in memory are not read and written too often.
const MIN_COLUMNS: usize = 64;

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

    fn most_columns(&self) -> usize {
        let Correlation { inputs, outputs, .. } = self.forward;
        (BLOCK_BYTES / (self.forward.points() * (inputs + outputs) * size_of::<f32>())).max(MIN_COLUMNS)
    }

    /// The columns of a tile of `n` samples: whole words.
    fn tile_columns(&self, n: usize) -> usize {
        n.next_multiple_of(self.forward.precision.terms())
    }

    /// The tiles of a block for `n` samples.
    fn block(&self, n: usize) -> usize {
        (self.most_columns() / self.tile_columns(n).max(1)).clamp(1, self.forward.tiles())
    }

    /// The number of elements of the sums `dU` of `filters` filters.
    fn sums_len(&self, filters: usize) -> usize {
        self.forward.points().saturating_mul(plane_len(self.forward.inputs, row_len(filters)))
    }

    /// The number of elements of a tile's transposed gradients of `filters` filters for `n` samples.
    fn transposed_len(&self, filters: usize, n: usize) -> usize {
        let pixels = self.forward.m * self.forward.m;
        (pixels * filters).saturating_mul(n).saturating_add(CACHE_LINE)
    }

    /// The number of elements of scratch memory for at most `n` samples.
    pub(super) fn scratch_len(&self, n: usize) -> usize {
        let Correlation { inputs, outputs, .. } = self.forward;
        let tile = self.tile_columns(n);
        let columns = self.most_columns().max(tile).min(self.forward.tiles().saturating_mul(tile));
        let of_v = plane_len(inputs, row_len(columns));
        let of_d = plane_len(columns, row_len(outputs));
        of_v.saturating_add(of_d)
            .saturating_mul(self.forward.points())
            .saturating_add(self.sums_len(outputs))
            .saturating_add(self.transposed_len(outputs, n))
    }
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
            2 => self.blocks::<S, F, 2, 4>(s, factors),
            _ => self.blocks::<S, F, 4, 6>(s, factors),
        }
    }

    #[inline(always)]
    fn blocks<S: Level, F: Factors<T, S>, const M: usize, const A: usize>(&mut self, s: S, factors: F) {
        let (plan, forward, n) = (self.plan, &self.plan.forward, self.n);
        // The distance between the rows of `D` and `dU`: the filters, and the rest of a vector.
        let (tiles, block, filter_row) = (forward.tiles(), plan.block(n), row_len(self.filters));
        let of_sums = Planes { row: filter_row, plane: plane_len(forward.inputs, filter_row) };
        let grid_width = forward.target[1].div_ceil(M);
        let tile_columns = plan.tile_columns(n);
        let input = Input {
            x: self.x,
            channels: forward.inputs,
            n,
            tile_columns,
            image: forward.source,
            padding: forward.padding,
            grid_width,
        };
        let scratch = std::mem::take(&mut self.scratch);
        let (sums, scratch) = scratch.split_at_mut(plan.sums_len(self.filters));
        let (transposed, scratch) = scratch.split_at_mut(plan.transposed_len(self.filters, n));
        sums.fill(T::ZERO);
        for first in (0..tiles).step_by(block) {
            let tiles = first..(first + block).min(tiles);
            let columns = tiles.len() * tile_columns;
            let words = columns / F::TERMS;
            let of_v = planes(forward.inputs, columns);
            let of_d = Planes { row: filter_row, plane: plane_len(words, filter_row) };
            let (v, d) = scratch.split_at_mut((A * A * of_v.plane).div_ceil(F::TERMS));
            let (v, d) = (bytemuck::cast_slice_mut(v), bytemuck::cast_slice_mut(d));
            transform_image::<T, S, F, M, A>(s, factors, &input, tiles.clone(), v, of_v);
            self.gradients::<S, F, M, A>(s, factors, tiles, grid_width, transposed, d, of_d);
            for point in 0..A * A {
                let product = Product {
                    v: &v[point * of_v.plane..][..of_v.plane],
                    v_row: of_v.row,
                    d: &d[point * of_d.plane..][..of_d.plane],
                    row: filter_row,
                    columns,
                };
                let sums = &mut sums[point * of_sums.plane..][..of_sums.plane];
                product.run(s, factors, forward.inputs, self.filters, sums);
            }
        }
        self.finish::<S, A>(s, sums, of_sums);
    }

    /// Writes the transformed gradients of the outputs of `tiles` to `d`, a row for each word of samples.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "some tiles, and where they go")]
    fn gradients<S: Level, F: Factors<T, S>, const M: usize, const A: usize>(
        &self,
        s: S,
        factors: F,
        tiles: Range<usize>,
        grid_width: usize,
        transposed: &mut [T],
        d: &mut [F::Word],
        planes: Planes,
    ) {
        let (n, filters) = (self.n, self.filters);
        let [height, width] = self.plan.forward.target;
        let plane = height * width * n;
        let mut place = TilePlace::new(tiles.start, grid_width);
        let mut row = 0;
        for _ in tiles {
            let [top, left] = [place.row * M, place.column * M];
            let inside = [M.min(height - top), M.min(width - left)];
            for i in 0..inside[0] {
                for j in 0..inside[1] {
                    let pixel = ((top + i) * width + left + j) * n;
                    let y = &mut transposed[(i * M + j) * n * filters..][..n * filters];
                    layout::transpose(s, filters, n, |f| &self.dy[f * plane + pixel..][..n], y);
                }
            }
            for sample in (0..n).step_by(F::TERMS) {
                for f in (0..filters).step_by(T::lanes::<S>()) {
                    let dy = |sample: usize| &transposed[sample * filters + f..];
                    let mut rows = [[T::zero(s); M]; A];
                    transform_columns::<T, S, M, A>(s, dy(sample), n * filters, inside, &mut rows);
                    let d = &mut d[row + f..];
                    if F::TERMS == 1 {
                        for i in 0..A {
                            let terms = transform::output_gradient::<T, S, A, M>(s, rows[i]);
                            for j in 0..A {
                                let d = &mut d[(i * A + j) * planes.plane..];
                                factors.store_words(s, [terms[j], terms[j]], d);
                            }
                        }
                        continue;
                    }
                    let mut next_rows = [[T::zero(s); M]; A];
                    if sample + 1 < n {
                        let dy = dy(sample + 1);
                        transform_columns::<T, S, M, A>(s, dy, n * filters, inside, &mut next_rows);
                    }
                    for i in 0..A {
                        let [first, second] = [rows[i], next_rows[i]]
                            .map(|row| transform::output_gradient::<T, S, A, M>(s, row));
                        for j in 0..A {
                            let d = &mut d[(i * A + j) * planes.plane..];
                            factors.store_words(s, [first[j], second[j]], d);
                        }
                    }
                }
                row += planes.row;
            }
            place = place.next(grid_width);
        }
    }

    /// `dw = G^T dU G`.
    #[inline(always)]
    fn finish<S: Level, const A: usize>(&mut self, s: S, sums: &[T], planes: Planes) {
        let (inputs, outputs) = (self.plan.forward.inputs, self.filters);
        let lanes = T::lanes::<S>();
        for c in 0..inputs {
            for f in (0..outputs).step_by(lanes) {
                let kernels = kernels_of::<T, S, A>(s, &sums[c * planes.row + f..], planes.plane);
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

/// Writes the transformed patches of `tiles` to `v`, a row for each channel.
#[inline(always)]
fn transform_image<T: Element, S: Level, F: Factors<T, S>, const M: usize, const A: usize>(
    s: S,
    factors: F,
    input: &Input<'_, T>,
    tiles: Range<usize>,
    v: &mut [F::Factor],
    planes: Planes,
) {
    for channel in 0..input.channels {
        let x = input.plane(channel);
        input.patches::<S, M, A>(s, tiles.clone(), |s, patch, column, start| {
            let mut rows = [[T::zero(s); A]; A];
            input.transform_columns::<S, A>(s, x, &patch, start, &mut rows);
            let v = &mut v[channel * planes.row + column..];
            for i in 0..A {
                let row = transform::input::<T, S, A>(s, rows[i]);
                for j in 0..A {
                    factors.store(s, row[j], &mut v[(i * A + j) * planes.plane..][..T::lanes::<S>()]);
                }
            }
        });
    }
}

/// The transformed columns of `A dy A^T` of a vector of filters, given the transposed gradients of a tile,
/// whose pixels are `pixel` apart and of which the part `inside` exists.
#[inline(always)]
fn transform_columns<T: Element, S: Level, const M: usize, const A: usize>(
    s: S,
    dy: &[T],
    pixel: usize,
    inside: [usize; 2],
    rows: &mut [[T::V<S>; M]; A],
) {
    let lanes = T::lanes::<S>();
    for j in 0..M {
        if j < inside[1] {
            let mut column = [T::zero(s); M];
            for i in 0..M {
                if i < inside[0] {
                    column[i] = T::split::<S>(&dy[(i * M + j) * pixel..][..lanes]).0[0];
                }
            }
            let column = transform::output_gradient::<T, S, A, M>(s, column);
            for i in 0..A {
                rows[i][j] = column[i];
            }
        }
        // Keeps the compiler from holding all values in registers, of which it has too few.
        black_box(&mut *rows);
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

/// The product of one point: `dU[c][f] += sum over columns of V[c][column] * D[column][f]`.
struct Product<'a, X, W> {
    v: &'a [X],
    v_row: usize,
    d: &'a [W],
    /// The distance between the rows of `D` and of `dU`.
    row: usize,
    columns: usize,
}

impl<X: bytemuck::Pod, W: bytemuck::Pod> Product<'_, X, W> {
    #[inline(always)]
    fn run<T: Element, S: Level, F: Factors<T, S, Factor = X, Word = W>>(
        &self,
        s: S,
        factors: F,
        channels: usize,
        filters: usize,
        sums: &mut [T],
    ) {
        let vectors = filters.div_ceil(T::lanes::<S>());
        let mut vector = 0;
        while vector < vectors {
            // Four vectors are better cut into 2 + 2 than into 3 + 1.
            vector += match vectors - vector {
                3 | 5.. if S::WIDE_FILE => self.panels::<T, S, F, 3>(s, factors, channels, vector, sums),
                2.. => self.panels::<T, S, F, 2>(s, factors, channels, vector, sums),
                _ => self.panels::<T, S, F, 1>(s, factors, channels, vector, sums),
            };
        }
    }

    /// All panels of channels over `V` vectors of filters. Returns `V`.
    #[inline(always)]
    fn panels<T: Element, S: Level, F: Factors<T, S, Factor = X, Word = W>, const V: usize>(
        &self,
        s: S,
        factors: F,
        channels: usize,
        vector: usize,
        sums: &mut [T],
    ) -> usize {
        let f = vector * T::lanes::<S>();
        let mut c = 0;
        while c < channels {
            let width = panel_width::<S>(channels - c);
            let sums = &mut sums[c * self.row + f..];
            match width {
                8 => self.tile::<T, S, F, 8, V>(s, factors, c, f, sums),
                6 => self.tile::<T, S, F, 6, V>(s, factors, c, f, sums),
                4 => self.tile::<T, S, F, 4, V>(s, factors, c, f, sums),
                3 => self.tile::<T, S, F, 3, V>(s, factors, c, f, sums),
                2 => self.tile::<T, S, F, 2, V>(s, factors, c, f, sums),
                _ => self.tile::<T, S, F, 1, V>(s, factors, c, f, sums),
            }
            c += width;
        }
        V
    }

    #[inline(always)]
    fn tile<T: Element, S: Level, F: Factors<T, S, Factor = X, Word = W>, const P: usize, const V: usize>(
        &self,
        s: S,
        factors: F,
        c: usize,
        f: usize,
        sums: &mut [T],
    ) {
        let len = V * T::lanes::<S>();
        let mut acc: Tile<T, S, P, V> = [[T::zero(s); V]; P];
        let mut rows: [&[W]; P] = [&[]; P];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = bytemuck::cast_slice(&self.v[(c + i) * self.v_row..][..self.columns]);
        }
        for i in 0..P {
            let (old, _) = T::split::<S>(&sums[i * self.row..][..len]);
            acc[i].copy_from_slice(old);
        }
        factors.accumulate_rows::<P, V>(s, &rows, &self.d[f..], self.row, &mut acc);
        for (i, acc) in acc.iter().enumerate() {
            T::split_mut::<S>(&mut sums[i * self.row..][..len]).0.copy_from_slice(acc);
        }
    }
}
