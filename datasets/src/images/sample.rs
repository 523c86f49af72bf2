//! From the contents of an image file to a sample.

use super::colour::Colour;
use super::decode::{self, Decoded};
use super::fit;
use super::resize::{Raster, Region};
use crate::{Pixels, ReadError, Sample, SampleBuffer, Target};

/// What a sample is to be.
pub(super) struct Wanted {
    pub(super) colour: Colour,
    /// Its height and width.
    pub(super) size: [usize; 2],
    pub(super) class: u32,
}

impl Wanted {
    /// Reads and decodes a file, which `contents` writes into memory, and makes the sample of the part of the
    /// image that `choose` gives.
    pub(super) fn read<'a>(
        self,
        contents: impl FnOnce(&mut Vec<u8>) -> Result<(), String>,
        choose: impl FnOnce(Decoded) -> Region,
        buffer: &'a mut SampleBuffer,
    ) -> Result<Sample<'a>, ReadError> {
        let Self { colour, size, class } = self;
        let (inner, outer) = buffer.with_inner();
        contents(outer.raw).map_err(ReadError::new)?;
        let decoded = decode::decode(outer.raw, colour, &mut inner.bytes).map_err(ReadError::bad_image)?;
        let [height, width] = decoded.size;
        let source = Raster { pixels: &inner.bytes, height, width, channels: colour.channels() };
        fit::fill(&source, choose(decoded), size, outer.bytes);
        Ok(Sample { pixels: Pixels::U8(outer.bytes), target: Target::Class(class) })
    }
}
