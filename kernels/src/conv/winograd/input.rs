//! The transform of the input: `V = B^T x B` for the patch of each tile, channel and sample.

use super::factors::Factors;
use super::plan::{Patch, TilePlace};
use super::transform;
use crate::element::Element;
use crate::simd::Level;
use std::hint::black_box;
use std::ops::Range;

/// Images, and the tiles whose patches are read from them.
#[derive(Clone, Copy)]
pub(super) struct Input<'a, T> {
    /// `[channels, H, W, n]`.
    pub(super) x: &'a [T],
    pub(super) channels: usize,
    pub(super) n: usize,
    /// The columns of a tile: at least `n`.
    pub(super) tile_columns: usize,
    /// Height and width.
    pub(super) image: [usize; 2],
    /// The zeros above and to the left of the image.
    pub(super) padding: [usize; 2],
    /// The number of tiles in a row of tiles.
    pub(super) grid_width: usize,
}

/// The place of transformed values: a plane for each point, a row for each word, a column for each tile and
/// sample.
#[derive(Clone, Copy)]
pub(super) struct Planes {
    pub(super) row: usize,
    pub(super) plane: usize,
}

impl<T: Element> Input<'_, T> {
    /// Writes the transformed patches of `tiles` to `v`: words of channels that follow each other, a row for
    /// each word. The lanes behind the last sample of a tile are overwritten by the next tile's.
    #[inline(always)]
    pub(super) fn transform<S: Level, F: Factors<T, S>, const M: usize, const A: usize>(
        &self,
        s: S,
        factors: F,
        tiles: Range<usize>,
        v: &mut [F::Word],
        planes: Planes,
    ) {
        for (row, channel) in (0..self.channels).step_by(F::TERMS).enumerate() {
            let [x, next] = [channel, channel + 1].map(|channel| self.plane(channel));
            self.patches::<S, M, A>(s, tiles.clone(), |s, patch, column, start| {
                let mut rows = [[T::zero(s); A]; A];
                self.transform_columns::<S, A>(s, x, &patch, start, &mut rows);
                let v = &mut v[row * planes.row + column..];
                if F::TERMS == 1 {
                    for i in 0..A {
                        let terms = transform::input::<T, S, A>(s, rows[i]);
                        for j in 0..A {
                            let v = &mut v[(i * A + j) * planes.plane..];
                            factors.store_words(s, [terms[j], terms[j]], v);
                        }
                    }
                    return;
                }
                let mut next_rows = [[T::zero(s); A]; A];
                if !next.is_empty() {
                    self.transform_columns::<S, A>(s, next, &patch, start, &mut next_rows);
                }
                for i in 0..A {
                    let [first, second] =
                        [rows[i], next_rows[i]].map(|row| transform::input::<T, S, A>(s, row));
                    for j in 0..A {
                        factors.store_words(s, [first[j], second[j]], &mut v[(i * A + j) * planes.plane..]);
                    }
                }
            });
        }
    }

    /// The image of a channel; an empty one behind the last channel.
    #[inline(always)]
    pub(super) fn plane(&self, channel: usize) -> &[T] {
        let len = self.image[0] * self.image[1] * self.n;
        if channel < self.channels { &self.x[channel * len..][..len] } else { &[] }
    }

    /// Calls `visit(patch, first column, first sample)` for each vector of samples of each of `tiles`.
    #[inline(always)]
    pub(super) fn patches<S: Level, const M: usize, const A: usize>(
        &self,
        s: S,
        tiles: Range<usize>,
        mut visit: impl FnMut(S, Patch, usize, usize),
    ) {
        let mut place = TilePlace::new(tiles.start, self.grid_width);
        for tile in 0..tiles.len() {
            let origin = |index: usize, axis: usize| (index * M) as isize - self.padding[axis] as isize;
            let patch = Patch::new([origin(place.row, 0), origin(place.column, 1)], A, self.image);
            for start in (0..self.n).step_by(T::lanes::<S>()) {
                visit(s, patch, tile * self.tile_columns + start, start);
            }
            place = place.next(self.grid_width);
        }
    }

    /// The patch of an image with transformed columns.
    #[inline(always)]
    pub(super) fn transform_columns<S: Level, const A: usize>(
        &self,
        s: S,
        x: &[T],
        patch: &Patch,
        start: usize,
        rows: &mut [[T::V<S>; A]; A],
    ) {
        if patch.is_inside(A) && start + T::lanes::<S>() <= self.n {
            self.whole_columns::<S, A>(s, x, patch, start, rows);
        } else {
            self.columns::<S, A>(s, x, patch, start, rows);
        }
    }

    /// The transformed columns of a patch that is inside of the image, for a whole vector of samples.
    #[inline(always)]
    fn whole_columns<S: Level, const A: usize>(
        &self,
        s: S,
        x: &[T],
        patch: &Patch,
        start: usize,
        rows: &mut [[T::V<S>; A]; A],
    ) {
        let (n, width, lanes) = (self.n, self.image[1], T::lanes::<S>());
        let x = &x[patch.pixel([0, 0], width) * n + start..];
        let x = &x[..((A - 1) * width + A - 1) * n + lanes];
        for j in 0..A {
            let mut d = [T::zero(s); A];
            for i in 0..A {
                d[i] = T::split::<S>(&x[(i * width + j) * n..][..lanes]).0[0];
            }
            let d = transform::input::<T, S, A>(s, d);
            for i in 0..A {
                rows[i][j] = d[i];
            }
            // Keeps the compiler from holding the whole patch in registers, of which it has too few.
            black_box(&mut *rows);
        }
    }

    /// [`whole_columns`](Self::whole_columns) of any patch and for any number of samples: what lies beside
    /// the image or behind the last sample is zero.
    #[inline(always)]
    fn columns<S: Level, const A: usize>(
        &self,
        s: S,
        x: &[T],
        patch: &Patch,
        start: usize,
        rows: &mut [[T::V<S>; A]; A],
    ) {
        let (n, width, lanes) = (self.n, self.image[1], T::lanes::<S>());
        let len = lanes.min(n - start);
        let ([top, left], [bottom, right]) = (patch.first, patch.end);
        let corner = patch.pixel([top, left], width) * n + start;
        let row_len = width * n;
        for j in left..right.min(A) {
            let mut d = [T::zero(s); A];
            let x = &x[corner + (j - left) * n..];
            for i in 0..A {
                if i >= top && i < bottom {
                    let x = &x[(i - top) * row_len..][..len];
                    d[i] = if len == lanes { T::split::<S>(x).0[0] } else { T::load_partial(s, x) };
                }
            }
            let d = transform::input::<T, S, A>(s, d);
            for i in 0..A {
                rows[i][j] = d[i];
            }
            black_box(&mut *rows);
        }
    }
}
