//! The transform of the input: `V = B^T x B` for the patch of each tile, channel and sample.

use super::columns::{Columns, Grid};
use super::factors::Factors;
use super::records::Records;
use super::transform;
use crate::element::Element;
use crate::simd::Level;
use std::hint::black_box;
use std::ops::Range;

/// Images, and the patches of the tiles in them.
#[derive(Clone, Copy)]
pub(super) struct Input<'a, T> {
    /// `[channels, H, W, n]`.
    pub(super) x: &'a [T],
    pub(super) channels: usize,
    pub(super) patches: Grid,
}

/// The image of a channel, and of the channel that is transformed after it. A tile reads a few pixels of many
/// rows, which the CPU's prefetcher does not foresee; so where samples are whole vectors, those of the later
/// image are prefetched.
#[derive(Clone, Copy)]
struct Planes<'a, T> {
    x: &'a [T],
    later: &'a [T],
}

/// The columns that the patches of neighbouring tiles have in common.
const OVERLAP: usize = 2;

impl<'a, T: Element> Input<'a, T> {
    /// Writes the transformed patches of `tiles` to `v`: words of channels that follow each other, a row for
    /// each word.
    #[inline(always)]
    pub(super) fn transform<S: Level, F: Factors<T, S>, const A: usize, const POINTS: usize>(
        &self,
        s: S,
        factors: F,
        tiles: Range<usize>,
        v: &mut [F::Word],
        records: Records<POINTS>,
    ) {
        let (mut rows, mut next_rows) = ([[T::zero(s); A]; A], [[T::zero(s); A]; A]);
        for (row, channel) in (0..self.channels).step_by(F::TERMS).enumerate() {
            let [first, second] = [channel, channel + 1].map(|channel| self.planes(channel, F::TERMS));
            let mut columns = Columns::<A>::new::<T, S>(self.patches, tiles.clone());
            while columns.place.is_filled() {
                self.transform_columns::<S, A>(s, first, &columns, &mut rows);
                if F::TERMS > 1 {
                    self.transform_columns::<S, A>(s, second, &columns, &mut next_rows);
                }
                let v = records.points_mut::<T, S, _>(v, columns.place, row);
                for i in 0..A {
                    let first = transform::input::<T, S, A>(s, rows[i]);
                    let second =
                        if F::TERMS > 1 { transform::input::<T, S, A>(s, next_rows[i]) } else { first };
                    for j in 0..A {
                        let v = &mut v[records.point::<T, S>(i * A + j)..];
                        factors.store_words(s, [first[j], second[j]], v);
                    }
                }
                columns.advance::<T, S>();
            }
        }
    }

    /// As [`transform`](Self::transform), in single factors: a row for each channel.
    #[inline(always)]
    pub(super) fn transform_factors<S: Level, F: Factors<T, S>, const A: usize, const POINTS: usize>(
        &self,
        s: S,
        factors: F,
        tiles: Range<usize>,
        v: &mut [F::Factor],
        records: Records<POINTS>,
    ) {
        let mut rows = [[T::zero(s); A]; A];
        for channel in 0..self.channels {
            let planes = self.planes(channel, 1);
            let mut columns = Columns::<A>::new::<T, S>(self.patches, tiles.clone());
            while columns.place.is_filled() {
                self.transform_columns::<S, A>(s, planes, &columns, &mut rows);
                let v = records.points_mut::<T, S, _>(v, columns.place, channel);
                for i in 0..A {
                    let terms = transform::input::<T, S, A>(s, rows[i]);
                    for j in 0..A {
                        let v = &mut v[records.point::<T, S>(i * A + j)..][..T::lanes::<S>()];
                        factors.store(s, terms[j], v);
                    }
                }
                columns.advance::<T, S>();
            }
        }
    }

    /// The image of a channel, and of the one `distance` behind it. Behind the last channel there are empty
    /// images, as good as zeros.
    #[inline(always)]
    fn planes(&self, channel: usize, distance: usize) -> Planes<'a, T> {
        let [height, width] = self.patches.image;
        let len = height * width * self.patches.n;
        let plane = |channel| if channel < self.channels { &self.x[channel * len..][..len] } else { &[] };
        Planes { x: plane(channel), later: plane(channel + distance) }
    }

    /// The transformed columns of the patches of a vector of columns.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "iterators would keep the vectors in memory")]
    fn transform_columns<S: Level, const A: usize>(
        &self,
        s: S,
        Planes { x, later }: Planes<'_, T>,
        columns: &Columns<A>,
        rows: &mut [[T::V<S>; A]; A],
    ) {
        if self.patches.has_whole_vectors::<T, S>() {
            let [(x, _), (later, _)] = [x, later].map(T::split::<S>);
            for j in 0..A {
                let mut d = [T::zero(s); A];
                for i in 0..A {
                    if let Some(pixel) = x.get(columns.pixel([i, j])) {
                        d[i] = *pixel;
                    }
                    // The first columns of a patch were prefetched for the tile to the left, if there is one.
                    if j >= OVERLAP
                        && let Some(pixel) = later.get(columns.pixel([i, j]))
                    {
                        s.vprefetch(pixel);
                    }
                }
                store_column(transform::input::<T, S, A>(s, d), j, rows);
            }
            return;
        }
        let mut samples = columns.samples::<T, S>();
        match samples.next() {
            Some(samples) if samples.is_alone => {
                for j in 0..A {
                    let mut d = [T::zero(s); A];
                    for i in 0..A {
                        if let Some(pixel) = x.get(samples.pixel([i, j])) {
                            d[i] = load::<T, S>(s, pixel);
                        }
                    }
                    store_column(transform::input::<T, S, A>(s, d), j, rows);
                }
            }
            _ => {
                let patch = gather::<T, S, A>(s, x, columns);
                for j in 0..A {
                    let mut d = [T::zero(s); A];
                    for i in 0..A {
                        d[i] = patch[i][j][0];
                    }
                    store_column(transform::input::<T, S, A>(s, d), j, rows);
                }
            }
        }
    }
}

/// The patches of a vector of columns, whose lanes have samples of several tiles: the first of each two
/// vectors. Vectors are written from the lane on at which a tile's samples begin, so what lies behind them is
/// overwritten by the next tile's, and the last may end in the second vector.
#[inline(always)]
fn gather<T: Element, S: Level, const A: usize>(
    s: S,
    x: &[T],
    columns: &Columns<A>,
) -> [[[T::V<S>; 2]; A]; A] {
    let (lanes, zeros) = (T::lanes::<S>(), T::zero(s));
    let mut patch = [[[zeros; 2]; A]; A];
    let values: &mut [T] = bytemuck::cast_slice_mut(patch.as_flattened_mut().as_flattened_mut());
    for samples in columns.samples::<T, S>() {
        for i in 0..A {
            for j in 0..A {
                let whole = samples.vector::<T, S>([i, j]).and_then(|place| x.get(place));
                let value = match (whole, x.get(samples.pixel([i, j]))) {
                    (Some(whole), _) => T::split::<S>(whole).0[0],
                    (None, Some(part)) => load::<T, S>(s, part),
                    (None, None) => zeros,
                };
                let place = 2 * (i * A + j) * lanes + samples.lane;
                T::split_mut::<S>(&mut values[place..][..lanes]).0[0] = value;
            }
        }
    }
    patch
}

/// At most a vector; other lanes are zero.
#[inline(always)]
fn load<T: Element, S: Level>(s: S, x: &[T]) -> T::V<S> {
    match T::split::<S>(x) {
        ([whole], _) => *whole,
        (_, part) => T::load_partial(s, part),
    }
}

/// Writes column `j` of a matrix.
#[inline(always)]
pub(super) fn store_column<V: Copy, const ROWS: usize, const COLUMNS: usize>(
    column: [V; ROWS],
    j: usize,
    rows: &mut [[V; COLUMNS]; ROWS],
) {
    for i in 0..ROWS {
        rows[i][j] = column[i];
    }
    // Keeps the compiler from holding the whole matrix in registers, of which it has too few.
    black_box(rows);
}
