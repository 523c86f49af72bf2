//! A data set under another normalization.

use crate::parent::Parent;
use crate::{
    Dataset, Error, Normalization, NormalizationError, Parts, ReadError, Request, Sample, SampleBuffer,
};

/// Another data set with a normalization of its own. Samples are as they are in the other one: normalisation
/// comes when they are laid out for a network.
///
/// ```
/// use isograd_datasets::{Dataset, Moments, Normalized, Synthetic};
///
/// let set = Synthetic { seed: 1, sample_shape: [3, 8, 8], num_classes: 2 }.samples(0..50)?;
/// let normalization = Moments::of_all(&set)?.normalization()?;
/// let normalized = Normalized::new(&set, normalization)?;
/// assert_ne!(normalized.normalization(), set.normalization());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Normalized<'a> {
    parent: Parent<'a>,
    normalization: Normalization,
}

impl<'a> Normalized<'a> {
    /// The samples of `parent` under `normalization`.
    ///
    /// # Errors
    ///
    /// [`NormalizationError::Channels`] if it has another number of channels than a sample.
    pub fn new(parent: impl Into<Parent<'a>>, normalization: Normalization) -> Result<Self, Error> {
        let parent = parent.into();
        let (expected, got) = (parent.sample_shape()[0], normalization.channels());
        if expected != got {
            return Err(Error::Normalization(NormalizationError::Channels { expected, got }));
        }
        Ok(Self { parent, normalization })
    }
}

impl Dataset for Normalized<'_> {
    fn len(&self) -> usize {
        self.parent.len()
    }

    fn sample_shape(&self) -> [usize; 3] {
        self.parent.sample_shape()
    }

    fn num_classes(&self) -> usize {
        self.parent.num_classes()
    }

    fn inner(&self) -> Option<&dyn Dataset> {
        Some(&*self.parent)
    }

    fn normalization(&self) -> &Normalization {
        &self.normalization
    }

    fn read<'b>(&'b self, request: Request, buffer: &'b mut SampleBuffer) -> Result<Sample<'b>, ReadError> {
        self.parent.read(request, buffer)
    }

    /// Those of the other set: parts are as they are stored, too.
    fn parts(&self) -> Option<&dyn Parts> {
        self.parent.parts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arrays;

    #[test]
    fn samples_stay_as_they_are() {
        let set = Arrays::from_u8((0..12).collect::<Vec<_>>(), vec![1, 0], [2, 1, 3], 2).unwrap();
        let other = Normalization::new(vec![2.0, 3.0], vec![0.5, 0.25]).unwrap();
        let normalized = Normalized::new(&set, other.clone()).unwrap();
        assert_eq!(normalized.normalization(), &other);
        let mut buffer = SampleBuffer::new();
        assert_eq!(normalized.read(Request::new(1), &mut buffer), Ok(set.sample(1)));
        assert_eq!(
            Normalized::new(&set, Normalization::identity(3)).unwrap_err().to_string(),
            "normalization has 3 channels, but the samples have 2"
        );
    }
}
