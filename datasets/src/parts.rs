//! Parts of the images that samples are made of.

use std::ops::Range;

use crate::{Dataset, ReadError, Request, Sample, SampleBuffer};

/// A set whose samples are made of larger images, of any sizes. A random crop of such an image sees all of
/// it, and is resized once, where a crop of a sample would see what was left of it.
pub trait Parts: Dataset {
    /// Reads a part of an image instead of the sample that the set makes of it.
    ///
    /// # Errors
    ///
    /// Those of [`Dataset::read`].
    ///
    /// # Panics
    ///
    /// If the index is not below the number of samples, or the part is empty or does not lie in the image.
    fn read_part<'a>(
        &'a self,
        request: Request,
        part: &Part<'_>,
        buffer: &'a mut SampleBuffer,
    ) -> Result<Sample<'a>, ReadError>;
}

/// Which part of an image is read.
pub struct Part<'p> {
    /// Height and width that the part is resized to.
    pub size: [usize; 2],
    /// Chooses the rows and columns of the part, of an image of `[height, width]`: that of the file with its
    /// shorter side resized to that of a sample. It must be a pure function.
    pub choose: &'p dyn Fn([usize; 2]) -> [Range<usize>; 2],
}
