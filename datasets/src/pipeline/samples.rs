//! Chunks of samples in streams, and what a trainer makes of them.

use super::error::Cause;
use super::regulate::Chunk;
use crate::{Arrays, Error};

/// A number of samples of one shape with their classes, as they travel through a pipeline.
///
/// [`Rebatch`](super::Rebatch) cuts and gathers them. At the end of the stream,
/// [`into_arrays`](Self::into_arrays) makes a data set in memory of them without a copy.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    pixels: Values,
    labels: Vec<u32>,
    sample_shape: [usize; 3],
    num_classes: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Values {
    U8(Vec<u8>),
    F32(Vec<f32>),
}

impl Samples {
    /// Samples of bytes: `pixels` is `[N, C, H, W]`, `labels` is `[N]`.
    ///
    /// # Errors
    ///
    /// As [`Arrays::from_u8`].
    pub fn from_u8(
        pixels: Vec<u8>,
        labels: Vec<u32>,
        sample_shape: [usize; 3],
        num_classes: usize,
    ) -> Result<Self, Error> {
        Arrays::from_u8(&pixels, &labels, sample_shape, num_classes)?;
        Ok(Self { pixels: Values::U8(pixels), labels, sample_shape, num_classes })
    }

    /// Samples of floats: `pixels` is `[N, C, H, W]`, `labels` is `[N]`.
    ///
    /// # Errors
    ///
    /// As [`Arrays::from_f32`].
    pub fn from_f32(
        pixels: Vec<f32>,
        labels: Vec<u32>,
        sample_shape: [usize; 3],
        num_classes: usize,
    ) -> Result<Self, Error> {
        Arrays::from_f32(&pixels, &labels, sample_shape, num_classes)?;
        Ok(Self { pixels: Values::F32(pixels), labels, sample_shape, num_classes })
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample, as there may be after a cut.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// A data set of these samples, in their order; nothing is copied.
    ///
    /// # Errors
    ///
    /// [`ArrayError::NoSamples`](crate::ArrayError::NoSamples) if there are none.
    pub fn into_arrays(self) -> Result<Arrays<'static>, Error> {
        let Self { pixels, labels, sample_shape, num_classes } = self;
        match pixels {
            Values::U8(pixels) => Arrays::from_u8(pixels, labels, sample_shape, num_classes),
            Values::F32(pixels) => Arrays::from_f32(pixels, labels, sample_shape, num_classes),
        }
    }

    /// A data set that borrows these samples: for branches that share a chunk.
    ///
    /// # Errors
    ///
    /// As [`into_arrays`](Self::into_arrays).
    pub fn as_arrays(&self) -> Result<Arrays<'_>, Error> {
        match &self.pixels {
            Values::U8(pixels) => Arrays::from_u8(pixels, &self.labels, self.sample_shape, self.num_classes),
            Values::F32(pixels) => {
                Arrays::from_f32(pixels, &self.labels, self.sample_shape, self.num_classes)
            }
        }
    }

    /// What all chunks of a stream have alike.
    fn kind(&self) -> ([usize; 3], usize, &'static str) {
        let element = match self.pixels {
            Values::U8(_) => "u8",
            Values::F32(_) => "f32",
        };
        (self.sample_shape, self.num_classes, element)
    }
}

impl Chunk for Samples {
    fn rows(&self) -> usize {
        self.len()
    }

    fn split_off(&mut self, at: usize) -> Self {
        let values = at * self.sample_shape.iter().product::<usize>();
        let pixels = match &mut self.pixels {
            Values::U8(pixels) => Values::U8(pixels.split_off(values)),
            Values::F32(pixels) => Values::F32(pixels.split_off(values)),
        };
        Self { pixels, labels: self.labels.split_off(at), ..*self }
    }

    fn append(&mut self, next: Self) -> Result<(), Cause> {
        if self.kind() != next.kind() {
            let (sample_shape, num_classes, element) = self.kind();
            let (next_shape, next_classes, next_element) = next.kind();
            return Err(MixedChunks {
                kind: format!("{element} samples of shape {sample_shape:?} and {num_classes} classes"),
                next: format!("{next_element} samples of shape {next_shape:?} and {next_classes} classes"),
            }
            .into());
        }
        match (&mut self.pixels, next.pixels) {
            (Values::U8(pixels), Values::U8(mut more)) => pixels.append(&mut more),
            (Values::F32(pixels), Values::F32(mut more)) => pixels.append(&mut more),
            _ => (),
        }
        self.labels.extend(next.labels);
        Ok(())
    }

    fn shrink(&mut self) {
        match &mut self.pixels {
            Values::U8(pixels) => pixels.shrink_to_fit(),
            Values::F32(pixels) => pixels.shrink_to_fit(),
        }
        self.labels.shrink_to_fit();
    }
}

/// Chunks of one stream that do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunk of {next} follows one of {kind}")]
#[non_exhaustive]
pub struct MixedChunks {
    /// What the chunks before have.
    pub kind: String,
    /// What the chunk has.
    pub next: String,
}
