//! The forward pass and the input gradient.
//!
//! ```text
//! for each block of tiles
//!   V[point][input][tile, sample]  = B^T x B
//!   M[point][output][tile, sample] = U[point] V[point]      for each point
//!   y = A^T M A, with the epilogue
//! ```
//!
//! `V` and `M` lie in [records](super::records).

use super::super::direct::Epilogue;
use super::columns::{Columns, Grid, tile_columns};
use super::factors::{Factors, Full, Rounded};
use super::input::{Input, store_column};
use super::plan::Correlation;
use super::products::Product;
use super::records::Records;
use super::transform;
use crate::bf16::{Bf16, Bf16Kernel};
use crate::element::Element;
use crate::simd::{Kernel, Level};
use std::ops::Range;

pub struct WinogradPass<'a, T> {
    pub(in super::super) plan: &'a Correlation,
    pub(in super::super) n: usize,
    /// The output channels in `y` and, if there is one, in `bias`.
    pub(in super::super) outputs: Range<usize>,
    pub(in super::super) x: &'a [T],
    /// The transformed weights of all output channels.
    pub(in super::super) u: &'a [T],
    pub(in super::super) bias: Option<&'a [T]>,
    pub(in super::super) epilogue: Epilogue<'a, T>,
    pub(in super::super) y: &'a mut [T],
    pub(in super::super) scratch: &'a mut [T],
}

impl<T: Element> Kernel for WinogradPass<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        self.blocks(s, Full);
    }
}

impl Bf16Kernel for WinogradPass<'_, f32> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level, B: Bf16<S>>(self, s: S, bf16: B) {
        self.blocks(s, Rounded(bf16));
    }
}

impl<T: Element> WinogradPass<'_, T> {
    #[inline(always)]
    fn blocks<S: Level, F: Factors<T, S>>(mut self, s: S, factors: F) {
        match self.plan.m {
            2 => self.blocks_of::<S, F, 2, 4, 16>(s, factors),
            _ => self.blocks_of::<S, F, 4, 6, 36>(s, factors),
        }
    }

    #[inline(always)]
    fn blocks_of<S: Level, F: Factors<T, S>, const M: usize, const A: usize, const POINTS: usize>(
        &mut self,
        s: S,
        factors: F,
    ) {
        let (plan, n) = (self.plan, self.n);
        let scratch = std::mem::take(&mut self.scratch);
        let tile_columns = tile_columns::<T, S>(n, 1);
        let (tiles, block) = (plan.tiles(), plan.block(tile_columns));
        let inputs = plan.inputs.div_ceil(F::TERMS);
        let tiles_wide = plan.target[1].div_ceil(M);
        let patches =
            Grid { image: plan.source, padding: plan.padding, step: M, tiles_wide, n, tile_columns };
        let outputs = Grid { image: plan.target, padding: [0; 2], ..patches };
        let input = Input { x: self.x, channels: plan.inputs, patches };
        for first in (0..tiles).step_by(block) {
            let tiles = first..(first + block).min(tiles);
            let vectors = (tiles.len() * tile_columns).div_ceil(T::lanes::<S>());
            let [of_v, of_m] = [inputs, plan.outputs].map(Records::<POINTS>::new::<S>);
            let (v, m) = scratch.split_at_mut(of_v.len::<T, S>(vectors));
            let v = bytemuck::cast_slice_mut(v);
            input.transform::<S, F, A, POINTS>(s, factors, tiles.clone(), v, of_v);
            let product = Product {
                u: bytemuck::cast_slice(self.u),
                inputs,
                outputs: plan.outputs,
                v,
                of_v,
                vectors,
                of_m,
            };
            for point in 0..POINTS {
                product.run(s, factors, point, &self.outputs, m);
            }
            self.output::<S, M, A, POINTS>(s, outputs, tiles, m, of_m);
        }
    }

    /// Transforms the products of a block and writes its outputs.
    #[inline(always)]
    fn output<S: Level, const M: usize, const A: usize, const POINTS: usize>(
        &mut self,
        s: S,
        outputs: Grid,
        tiles: Range<usize>,
        products: &[T],
        records: Records<POINTS>,
    ) {
        let (lanes, is_aligned) = (T::lanes::<S>(), outputs.has_whole_vectors::<T, S>());
        let plane = outputs.image[0] * outputs.image[1] * outputs.n;
        let mut rows = [[T::zero(s); A]; M];
        for (index, output) in self.outputs.clone().enumerate() {
            let bias = T::splat(s, self.bias.map_or(T::ZERO, |bias| bias[index]));
            let plane = index * plane..(index + 1) * plane;
            let mut columns = Columns::<M>::new::<T, S>(outputs, tiles.clone());
            while columns.place.is_filled() {
                let products = records.points::<T, S, _>(products, columns.place, output);
                transform_columns::<T, S, M, A, POINTS>(s, products, records, &mut rows);
                if is_aligned && matches!(self.epilogue, Epilogue::Store) {
                    self.store_plain::<S, M, A>(s, &rows, bias, plane.clone(), &columns);
                } else if is_aligned {
                    let vector = |pixel| columns.pixel(pixel) * lanes..(columns.pixel(pixel) + 1) * lanes;
                    self.store::<S, M, A>(s, &rows, bias, plane.clone(), vector);
                } else {
                    match columns.samples::<T, S>().next() {
                        Some(samples) if samples.is_alone => {
                            let vector = |pixel| samples.pixel(pixel);
                            self.store::<S, M, A>(s, &rows, bias, plane.clone(), vector);
                        }
                        _ => self.scatter::<S, M, A>(s, &rows, bias, plane.clone(), &columns),
                    }
                }
                columns.advance::<T, S>();
            }
        }
    }

    /// As [`store`](Self::store), for whole vectors and with no more than their addresses to compute.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "iterators would keep the vectors in memory")]
    fn store_plain<S: Level, const M: usize, const A: usize>(
        &mut self,
        s: S,
        rows: &[[T::V<S>; A]; M],
        bias: T::V<S>,
        plane: Range<usize>,
        columns: &Columns<M>,
    ) {
        let (y, _) = T::split_mut::<S>(&mut self.y[plane]);
        for i in 0..M {
            let outputs = transform::output::<T, S, A, M>(s, rows[i]);
            for j in 0..M {
                if let Some(y) = y.get_mut(columns.pixel([i, j])) {
                    *y = T::vadd(s, outputs[j], bias);
                }
            }
        }
    }

    /// Writes the outputs of samples of one tile, given their transformed columns, to the plane `plane` of
    /// the output, where those of a pixel are at `vector(pixel)`.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "iterators would keep the vectors in memory")]
    fn store<S: Level, const M: usize, const A: usize>(
        &mut self,
        s: S,
        rows: &[[T::V<S>; A]; M],
        bias: T::V<S>,
        plane: Range<usize>,
        vector: impl Fn([usize; 2]) -> Range<usize>,
    ) {
        for i in 0..M {
            let outputs = transform::output::<T, S, A, M>(s, rows[i]);
            for j in 0..M {
                self.finish(s, T::vadd(s, outputs[j], bias), &plane, vector([i, j]));
            }
        }
    }

    /// As [`store`](Self::store), for lanes that have samples of several tiles.
    #[inline(always)]
    fn scatter<S: Level, const M: usize, const A: usize>(
        &mut self,
        s: S,
        rows: &[[T::V<S>; A]; M],
        bias: T::V<S>,
        plane: Range<usize>,
        columns: &Columns<M>,
    ) {
        let lanes = T::lanes::<S>();
        // Vectors are read from the lane on at which a tile's samples begin, the last one beyond its end.
        let mut tile = [[[T::zero(s); M]; M]; 2];
        for i in 0..M {
            let outputs = transform::output::<T, S, A, M>(s, rows[i]);
            for j in 0..M {
                tile[0][i][j] = T::vadd(s, outputs[j], bias);
            }
        }
        let values: &[T] = bytemuck::cast_slice(tile.as_flattened().as_flattened());
        for samples in columns.samples::<T, S>() {
            for i in 0..M {
                for j in 0..M {
                    let values = &values[(i * M + j) * lanes + samples.lane..][..lanes];
                    self.finish(s, T::split::<S>(values).0[0], &plane, samples.pixel([i, j]));
                }
            }
        }
    }

    /// Applies the epilogue to samples of a pixel and writes them to `place` in a plane of the output, unless
    /// the pixel is beside it.
    #[inline(always)]
    fn finish<S: Level>(&mut self, s: S, value: T::V<S>, plane: &Range<usize>, place: Range<usize>) {
        if place.end <= plane.len() {
            let place = plane.start + place.start..plane.start + place.end;
            self.epilogue.store_vector(s, value, self.y, place);
        }
    }
}

/// The columns of `A^T M` of a vector of columns: the part of the records that its products are in.
#[inline(always)]
fn transform_columns<T: Element, S: Level, const M: usize, const A: usize, const POINTS: usize>(
    s: S,
    products: &[T],
    records: Records<POINTS>,
    rows: &mut [[T::V<S>; A]; M],
) {
    for j in 0..A {
        let mut m = [T::zero(s); A];
        for i in 0..A {
            let products = &products[records.point::<T, S>(i * A + j)..][..T::lanes::<S>()];
            m[i] = T::split::<S>(products).0[0];
        }
        store_column(transform::output::<T, S, A, M>(s, m), j, rows);
    }
}
