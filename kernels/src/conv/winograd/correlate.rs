//! The forward pass and the input gradient.
//!
//! ```text
//! for each block of tiles
//!   V[point][input][tile, sample]  = B^T x B
//!   M[point][output][tile, sample] = U[point] V[point]      for each point
//!   y = A^T M A, with the epilogue
//! ```

use super::super::direct::Epilogue;
use super::factors::{Factors, Full, Rounded};
use super::input::{Input, Planes};
use super::plan::{Correlation, TilePlace};
use super::products::{Product, planes};
use super::transform;
use crate::bf16::{Bf16, Bf16Kernel};
use crate::element::Element;
use crate::simd::{Kernel, Level};
use std::hint::black_box;
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

/// A block of tiles.
struct Block<'a, T> {
    tiles: Range<usize>,
    /// The number of tiles in a row of tiles.
    grid_width: usize,
    /// The products of the block.
    products: &'a [T],
    planes: Planes,
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
        let (plan, n) = (self.plan, self.n);
        let scratch = std::mem::take(&mut self.scratch);
        let (tiles, block, inputs) = (plan.tiles(), plan.block(n), plan.inputs.div_ceil(F::TERMS));
        let grid_width = plan.target[1].div_ceil(plan.m);
        let input = Input {
            x: self.x,
            channels: plan.inputs,
            n,
            tile_columns: n,
            image: plan.source,
            padding: plan.padding,
            grid_width,
        };
        for first in (0..tiles).step_by(block) {
            let tiles = first..(first + block).min(tiles);
            let columns = tiles.len() * n;
            let (of_v, of_m) = (planes(inputs, columns), planes(plan.outputs, columns));
            let (v, m) = scratch.split_at_mut(plan.points() * of_v.plane);
            let v = bytemuck::cast_slice_mut(v);
            match plan.m {
                2 => input.transform::<S, F, 2, 4>(s, factors, tiles.clone(), v, of_v),
                _ => input.transform::<S, F, 4, 6>(s, factors, tiles.clone(), v, of_v),
            }
            for point in 0..plan.points() {
                let product = Product {
                    u: bytemuck::cast_slice(self.u),
                    points: plan.points(),
                    point,
                    inputs,
                    outputs: plan.outputs,
                    v: &v[point * of_v.plane..],
                    v_row: of_v.row,
                    columns,
                    row: of_m.row,
                };
                product.run(s, factors, &self.outputs, &mut m[point * of_m.plane..][..of_m.plane]);
            }
            let block = Block { tiles, grid_width, products: m, planes: of_m };
            match plan.m {
                2 => self.output::<S, 2, 4>(s, &block),
                _ => self.output::<S, 4, 6>(s, &block),
            }
        }
    }

    /// Transforms the products of a block and writes its outputs.
    #[inline(always)]
    fn output<S: Level, const M: usize, const A: usize>(&mut self, s: S, block: &Block<'_, T>) {
        let (n, lanes, [height, width]) = (self.n, T::lanes::<S>(), self.plan.target);
        let Planes { row, plane } = block.planes;
        let first = TilePlace::new(block.tiles.start, block.grid_width);
        for (index, output) in self.outputs.clone().enumerate() {
            let bias = self.bias.map_or(T::ZERO, |bias| bias[index]);
            let (mut place, mut column) = (first, output * row);
            for _ in block.tiles.clone() {
                let [i, j] = [place.row * M, place.column * M];
                let pixel = (index * height + i) * width + j;
                let inside = [M.min(height - i), M.min(width - j)];
                for start in (0..n).step_by(lanes) {
                    let len = lanes.min(n - start);
                    let columns = load_columns::<T, S, M, A>(s, &block.products[column + start..], plane);
                    self.store_tile::<S, M, A>(s, &columns, bias, inside, pixel * n + start, len);
                }
                column += n;
                place = place.next(block.grid_width);
            }
        }
    }

    /// Writes the part `inside` (rows, columns) of a tile, whose first output is at `start` in `y`.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "iterators would keep the outputs in memory")]
    fn store_tile<S: Level, const M: usize, const A: usize>(
        &mut self,
        s: S,
        columns: &[[T::V<S>; A]; M],
        bias: T,
        inside: [usize; 2],
        start: usize,
        len: usize,
    ) {
        let (n, row_len) = (self.n, self.plan.target[1] * self.n);
        let bias = T::splat(s, bias);
        for i in 0..M {
            if i >= inside[0] {
                break;
            }
            let outputs = transform::output::<T, S, A, M>(s, columns[i]);
            for j in 0..M {
                if j < inside[1] {
                    let at = start + i * row_len + j * n;
                    self.epilogue.store_vector(s, T::vadd(s, outputs[j], bias), self.y, at..at + len);
                }
            }
        }
    }
}

/// The products of a tile, with transformed columns.
#[inline(always)]
fn load_columns<T: Element, S: Level, const M: usize, const A: usize>(
    s: S,
    products: &[T],
    plane: usize,
) -> [[T::V<S>; A]; M] {
    let lanes = T::lanes::<S>();
    let mut columns = [[T::zero(s); A]; M];
    for j in 0..A {
        let mut m = [T::zero(s); A];
        for i in 0..A {
            m[i] = T::split::<S>(&products[(i * A + j) * plane..][..lanes]).0[0];
        }
        let outputs = transform::output::<T, S, A, M>(s, m);
        for i in 0..M {
            columns[i][j] = outputs[i];
        }
        // Keeps the compiler from holding all products in registers, of which it has too few.
        black_box(&mut columns);
    }
    columns
}
