//! What a data set is: a number of labelled samples of one shape, each readable in place by its index.

use crate::Normalization;

/// A finite set of samples of one shape, each labelled with a class.
///
/// Every sample is `[C, H, W]`, row-major: `sample_shape() = [c, h, w]` means `c * h * w` values with W contiguous. All
/// samples of a set have the same element type.
///
/// Reading borrows from the set, so a shard can hold all its samples at once and bring them into its own layout in one
/// pass. It cannot fail: a source checks its data when it is opened. Data larger than memory fits in as well, as a set
/// that borrows from a memory map or as a sequence of sets, one for each chunk that is in memory.
pub trait Dataset: Send + Sync {
    /// The number of samples.
    fn len(&self) -> usize;

    /// Whether there is no sample.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[c, h, w]`: channels, height and width of a sample, each at least 1.
    fn sample_shape(&self) -> [usize; 3];

    /// The number of classes; every label is below it.
    fn num_classes(&self) -> usize;

    /// What turns the values of a sample into the input of a network, for `u8` and `f32` samples alike; it has as many
    /// channels as a sample.
    fn normalization(&self) -> &Normalization;

    /// The sample at `index`, as stored: not normalised, `[C, H, W]`.
    ///
    /// The same index gives the same sample always and on every thread.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`len`](Self::len).
    fn read(&self, index: usize) -> Sample<'_>;
}

/// One sample of a [`Dataset`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The values, `[C, H, W]`.
    pub pixels: Pixels<'a>,
    /// The class, below [`Dataset::num_classes`].
    pub label: u32,
}

/// The values of one sample, `[C, H, W]`, in the element type in which the set holds them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pixels<'a> {
    /// Bytes, as image files have them.
    U8(&'a [u8]),
    /// Floats.
    F32(&'a [f32]),
}
