//! The columns of a block: its tiles' samples, tile by tile, in vectors.

use super::records::{MOST_LANES, Place};
use crate::element::Element;
use crate::simd::Level;
use std::ops::Range;

/// The columns of a tile of `n` samples: whole words, of `terms` terms. Where few zeros make them whole
/// vectors, they are so, because a vector with samples of several tiles is put together tile by tile.
#[inline(always)]
pub(super) fn tile_columns<T: Element, S: Level>(n: usize, terms: usize) -> usize {
    let (lanes, whole) = (T::lanes::<S>(), n.next_multiple_of(T::lanes::<S>()));
    let zeros = whole - n;
    if 2 * zeros < lanes && 4 * zeros <= n { whole } else { n.next_multiple_of(terms) }
}

/// The tiles of a block, of `tile_columns` columns each: as many of an image's `tiles` tiles as have at most
/// `most` columns, or one.
pub(super) fn block_tiles(tile_columns: usize, most: usize, tiles: usize) -> usize {
    (most / tile_columns.max(1)).clamp(1, tiles)
}

/// At least as many columns as a [block](block_tiles) has with at most `n` samples.
pub(super) fn most_block_columns(n: usize, most: usize, tiles: usize) -> usize {
    let tile = n.saturating_add(MOST_LANES - 1);
    most.max(tile).min(tiles.saturating_mul(tile))
}

/// The squares of an image that belong to the tiles: the patches that they read, or the pixels that they
/// write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    /// Height and width of the image.
    pub(super) image: [usize; 2],
    /// The rows above the image, and the columns to the left of it, in the first square.
    pub(super) padding: [usize; 2],
    /// The distance between the squares of neighbouring tiles.
    pub(super) step: usize,
    /// The number of tiles in a row of tiles.
    pub(super) tiles_wide: usize,
    /// The number of samples.
    pub(super) n: usize,
    /// The columns of a tile: at least `n`.
    pub(super) tile_columns: usize,
}

impl Grid {
    /// Whether the samples of a pixel are whole vectors.
    #[inline(always)]
    pub(super) fn has_whole_vectors<T: Element, S: Level>(&self) -> bool {
        self.n.is_multiple_of(T::lanes::<S>())
    }

    /// The square of tile `tile`, of pixels that are `distance` apart.
    #[inline(always)]
    fn square<const SIZE: usize>(&self, tile: TilePlace, distance: usize) -> Square<SIZE> {
        let first = |index: usize, axis: usize| (index * self.step) as isize - self.padding[axis] as isize;
        Square::new([first(tile.row, 0), first(tile.column, 1)], self.image, distance)
    }
}

/// The place of a tile: its row and column among the tiles.
#[derive(Debug, Clone, Copy)]
pub(super) struct TilePlace {
    pub(super) row: usize,
    pub(super) column: usize,
}

impl TilePlace {
    /// Tile `index` of rows of `width` tiles.
    #[inline(always)]
    pub(super) fn new(index: usize, width: usize) -> Self {
        Self { row: index / width, column: index % width }
    }

    /// The next tile.
    #[inline(always)]
    pub(super) fn next(self, width: usize) -> Self {
        match self.column + 1 == width {
            true => Self { row: self.row + 1, column: 0 },
            false => Self { column: self.column + 1, ..self },
        }
    }
}

/// Where the pixels of a square lie in an image: pixel `[i, j]` at `rows[i] + columns[j]`, which is behind
/// the image's end if the pixel is beside it. So the check of a slice's bounds finds what is beside an
/// image.
#[derive(Debug, Clone, Copy)]
struct Square<const SIZE: usize> {
    rows: [usize; SIZE],
    columns: [usize; SIZE],
}

impl<const SIZE: usize> Square<SIZE> {
    /// The square whose first pixel is at `origin` of an image of `image` pixels, each `distance` from the
    /// one before it.
    #[inline(always)]
    fn new(origin: [isize; 2], image: [usize; 2], distance: usize) -> Self {
        let end = image[0] * image[1] * distance;
        let mut square = Self { rows: [end; SIZE], columns: [end; SIZE] };
        for k in 0..SIZE {
            // In front of the image, these are large numbers.
            let [row, column] = origin.map(|first| first.wrapping_add_unsigned(k) as usize);
            if row < image[0] {
                square.rows[k] = row * image[1] * distance;
            }
            if column < image[1] {
                square.columns[k] = column * distance;
            }
        }
        square
    }

    /// Where pixel `[i, j]` lies.
    #[inline(always)]
    fn pixel(&self, [i, j]: [usize; 2]) -> usize {
        self.rows[i] + self.columns[j]
    }
}

/// A vector of the columns of some tiles, and those behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns<const SIZE: usize> {
    /// Where its transformed values lie.
    pub(super) place: Place,
    grid: Grid,
    /// The number of its first column, and of all.
    column: usize,
    end: usize,
    first_tile: usize,
    /// Of whole vectors: the tile, where its square lies in an image of vectors, and the vector's number
    /// in the tile.
    tile: TilePlace,
    square: Square<SIZE>,
    of_tile: usize,
}

impl<const SIZE: usize> Columns<SIZE> {
    /// The first vector of `tiles`.
    #[inline(always)]
    pub(super) fn new<T: Element, S: Level>(grid: Grid, tiles: Range<usize>) -> Self {
        let tile = TilePlace::new(tiles.start, grid.tiles_wide);
        let end = tiles.len() * grid.tile_columns;
        Self {
            place: Place::first::<S>(end.div_ceil(T::lanes::<S>())),
            grid,
            column: 0,
            end,
            first_tile: tiles.start,
            tile,
            square: grid.square(tile, grid.n / T::lanes::<S>()),
            of_tile: 0,
        }
    }

    /// Goes on to the next vector.
    #[inline(always)]
    pub(super) fn advance<T: Element, S: Level>(&mut self) {
        let lanes = T::lanes::<S>();
        self.place = self.place.next::<S>();
        self.column += lanes;
        self.of_tile += 1;
        if self.of_tile * lanes >= self.grid.n && self.grid.has_whole_vectors::<T, S>() {
            self.of_tile = 0;
            self.tile = self.tile.next(self.grid.tiles_wide);
            self.square = self.grid.square(self.tile, self.grid.n / lanes);
        }
    }

    /// Of a whole vector: where its samples of pixel `[i, j]` of the square lie in an image of vectors;
    /// behind its end if the pixel is beside it.
    #[inline(always)]
    pub(super) fn pixel(&self, place: [usize; 2]) -> usize {
        self.square.pixel(place) + self.of_tile
    }

    /// The samples in the lanes of any vector.
    #[inline(always)]
    pub(super) fn samples<T: Element, S: Level>(&self) -> impl Iterator<Item = Samples<SIZE>> {
        let (grid, first_tile, start) = (self.grid, self.first_tile, self.column);
        let end = self.end.min(start + T::lanes::<S>());
        let mut column = start;
        std::iter::from_fn(move || {
            if column >= end {
                return None;
            }
            let (tile, sample) = (column / grid.tile_columns, column % grid.tile_columns);
            let run = (grid.tile_columns - sample).min(end - column);
            let square = grid.square(TilePlace::new(first_tile + tile, grid.tiles_wide), grid.n);
            let len = run.min(grid.n.saturating_sub(sample));
            let is_alone = column == start && column + run == end;
            let samples = Samples { square, sample, lane: column - start, len, run, is_alone };
            column += run;
            Some(samples)
        })
    }
}

/// Samples of one tile in the lanes of a vector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Samples<const SIZE: usize> {
    square: Square<SIZE>,
    /// The first of them.
    sample: usize,
    /// Its lane.
    pub(super) lane: usize,
    /// How many there are.
    len: usize,
    /// The columns of their tile in the vector. Those behind the samples are zeros.
    run: usize,
    /// Whether there are no samples of other tiles in the vector.
    pub(super) is_alone: bool,
}

impl<const SIZE: usize> Samples<SIZE> {
    /// Where the samples of pixel `[i, j]` of the square lie in an image; behind its end if the pixel is
    /// beside it.
    #[inline(always)]
    pub(super) fn pixel(&self, place: [usize; 2]) -> Range<usize> {
        let start = self.square.pixel(place) + self.sample;
        start..start + self.len
    }

    /// As [`pixel`](Self::pixel), with what lies behind them in the image, as much as a vector has; none
    /// where there are zeros behind them.
    #[inline(always)]
    pub(super) fn vector<T: Element, S: Level>(&self, place: [usize; 2]) -> Option<Range<usize>> {
        let start = self.square.pixel(place) + self.sample;
        (self.len == self.run).then_some(start..start + T::lanes::<S>())
    }
}
