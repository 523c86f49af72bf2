//! The tiles of a Winograd pass, and the blocks in which they are worked on.

use super::super::Precision;
use super::super::strided_rows::CACHE_LINE;

/// The size that the transformed inputs and outputs of a block should not exceed. They are written and read
/// once in a block, from the second-level cache or a little beyond it.
const BLOCK_BYTES: usize = 1280 * 1024;
/// A block has at least so many columns, so that the transformed weights, which are read once for each block,
/// are used often enough.
const MIN_COLUMNS: usize = 48;

/// A correlation with a kernel of 3x3 at stride 1: the forward pass or the input gradient.
#[derive(Debug, Clone)]
pub(in super::super) struct Correlation {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Height and width of the input plane.
    pub(super) source: [usize; 2],
    /// Height and width of the output plane.
    pub(super) target: [usize; 2],
    /// The zeros above and to the left of the input that the first output reads.
    pub(super) padding: [usize; 2],
    /// The number of outputs of a tile along each axis: 2 or 4.
    pub(super) m: usize,
    pub(super) precision: Precision,
}

impl Correlation {
    /// The number of products of a tile and a pair of channels.
    pub(super) fn points(&self) -> usize {
        (self.m + 2) * (self.m + 2)
    }

    /// The number of elements of the transformed weights of an output channel.
    pub(super) fn weights_len(&self) -> usize {
        self.inputs.div_ceil(self.precision.terms()) * self.points()
    }

    /// The number of tiles.
    pub(super) fn tiles(&self) -> usize {
        self.target.map(|size| size.div_ceil(self.m)).iter().product()
    }

    /// The tiles of a block for `n` samples. The columns of a block are its tiles' samples, tile by tile.
    pub(super) fn block(&self, n: usize) -> usize {
        (self.most_columns() / n.max(1)).clamp(1, self.tiles())
    }

    fn most_columns(&self) -> usize {
        let column_bytes = self.points() * (self.inputs + self.outputs) * size_of::<f32>();
        (BLOCK_BYTES / column_bytes).max(MIN_COLUMNS)
    }

    /// The number of elements of scratch memory for at most `n` samples: the transformed inputs and outputs
    /// of a block.
    pub(super) fn scratch_len(&self, n: usize) -> usize {
        let columns = self.most_columns().max(n).min(self.tiles().saturating_mul(n));
        let of = |channels: usize| plane_len(channels, row_len(columns)).saturating_mul(self.points());
        of(self.inputs).saturating_add(of(self.outputs))
    }
}

/// The distance between the rows of `columns` columns. Behind each row there is room for the rest of a
/// vector. Rows that a power of two lies between would compete for the same places of the cache.
pub(super) fn row_len(columns: usize) -> usize {
    let len = columns.saturating_add(CACHE_LINE - 1).next_multiple_of(CACHE_LINE);
    if len.is_multiple_of(4 * CACHE_LINE) { len + CACHE_LINE } else { len }
}

/// The distance between the planes of `rows` rows.
pub(super) fn plane_len(rows: usize, row_len: usize) -> usize {
    rows.saturating_mul(row_len).saturating_add(CACHE_LINE)
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

/// The part of a patch that lies in the image: patch rows and columns, and where the patch begins in the
/// image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patch {
    /// The place in the image of the patch's first pixel, which may lie beside the image.
    pub(super) origin: [isize; 2],
    /// The first patch row and column in the image, and the first ones behind it.
    pub(super) first: [usize; 2],
    pub(super) end: [usize; 2],
}

impl Patch {
    /// The patch of `size x size` pixels at `origin` of an image of `image` pixels.
    #[inline(always)]
    pub(super) fn new(origin: [isize; 2], size: usize, image: [usize; 2]) -> Self {
        let (mut first, mut end) = ([0; 2], [0; 2]);
        for axis in 0..2 {
            first[axis] = (-origin[axis]).max(0) as usize;
            end[axis] = (image[axis] as isize - origin[axis]).clamp(0, size as isize) as usize;
        }
        Self { origin, first, end }
    }

    /// Whether all of the patch is in the image.
    #[inline(always)]
    pub(super) fn is_inside(&self, size: usize) -> bool {
        self.first == [0; 2] && self.end == [size; 2]
    }

    /// The index in the image of the patch's pixel `[i, j]`, which is in the image.
    #[inline(always)]
    pub(super) fn pixel(&self, [i, j]: [usize; 2], width: usize) -> usize {
        let row = self.origin[0].wrapping_add_unsigned(i) as usize;
        row * width + self.origin[1].wrapping_add_unsigned(j) as usize
    }
}
