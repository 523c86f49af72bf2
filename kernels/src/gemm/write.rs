//! The tiles of a product on their way to memory.

use super::MatMut;
use crate::Accum;
use crate::element::Element;
use crate::simd::Level;
use crate::tile::Tile;

impl<T: Element> MatMut<'_, T> {
    /// Asks for the first cache line of each of `rows` rows of a tile, so that it is there when the sums are:
    /// such rows are far apart.
    #[inline(always)]
    pub(super) fn prefetch<S: Level>(&self, s: S, [row, column]: [usize; 2], rows: usize) {
        for row in row..row + rows {
            if let Some(place) = self.data.get(row * self.row_stride + column * self.col_stride) {
                s.vprefetch(place);
            }
        }
    }

    /// Stores the first `len` columns of a tile at `[row, column]`, or adds them to what is there.
    #[inline(always)]
    pub(super) fn write<S: Level, const F: usize, const V: usize>(
        &mut self,
        s: S,
        [row, column]: [usize; 2],
        len: usize,
        accum: Accum,
        tile: &Tile<T, S, F, V>,
    ) {
        let c = &mut self.data[row * self.row_stride + column * self.col_stride..];
        if self.col_stride == 1 && len == V * T::lanes::<S>() {
            for f in 0..F {
                let (c, _) = T::split_mut::<S>(&mut c[f * self.row_stride..][..V * T::lanes::<S>()]);
                for v in 0..V {
                    c[v] = if accum == Accum::Add { T::vadd(s, c[v], tile[f][v]) } else { tile[f][v] };
                }
            }
            return;
        }
        // Elements are taken out of a copy, so that the tile itself stays in registers; see `tile.rs`.
        let tile = *tile;
        for (f, row) in tile.iter().enumerate() {
            let row: &[T] = bytemuck::cast_slice(row);
            for (i, value) in row[..len].iter().enumerate() {
                let c = &mut c[f * self.row_stride + i * self.col_stride];
                *c = if accum == Accum::Add { *c + *value } else { *value };
            }
        }
    }
}
