//! The tiles of a Winograd pass, and the blocks in which they are worked on.

use super::super::Precision;
use super::columns::{block_tiles, most_block_columns};
use super::records;

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

    /// The tiles of a block.
    pub(super) fn block(&self, tile_columns: usize) -> usize {
        block_tiles(tile_columns, self.most_columns(), self.tiles())
    }

    fn most_columns(&self) -> usize {
        let column_bytes = self.points() * (self.inputs + self.outputs) * size_of::<f32>();
        (BLOCK_BYTES / column_bytes).max(MIN_COLUMNS)
    }

    /// The number of elements of scratch memory for at most `n` samples: the transformed inputs and outputs
    /// of a block.
    pub(super) fn scratch_len(&self, n: usize) -> usize {
        let columns = most_block_columns(n, self.most_columns(), self.tiles());
        let of = |channels| records::most_elements(self.points(), channels, columns);
        of(self.inputs).saturating_add(of(self.outputs))
    }
}
