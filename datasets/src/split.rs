//! The validation split: two views of one data set.

use std::ops::Range;

use crate::{Dataset, Error, Normalization, ReadError, Request, Sample, SampleBuffer, SplitError};

/// Consecutive samples of another data set, seen as a data set that starts at index 0. Nothing is copied.
#[derive(Clone)]
pub struct Subset<'a> {
    parent: &'a dyn Dataset,
    range: Range<usize>,
}

impl<'a> Subset<'a> {
    /// Samples `range` of `parent`.
    ///
    /// # Panics
    ///
    /// If the range ends before it starts, or beyond the end of `parent`.
    pub fn new(parent: &'a dyn Dataset, range: Range<usize>) -> Self {
        let (Range { start, end }, len) = (range.clone(), parent.len());
        assert!(start <= end && end <= len, "samples {start}..{end} of a data set of {len}");
        Self { parent, range }
    }

    /// Which samples of the whole set these are.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }
}

impl Dataset for Subset<'_> {
    fn len(&self) -> usize {
        self.range.len()
    }

    fn sample_shape(&self) -> [usize; 3] {
        self.parent.sample_shape()
    }

    fn num_classes(&self) -> usize {
        self.parent.num_classes()
    }

    fn class_names(&self) -> &[String] {
        self.parent.class_names()
    }

    fn target_values(&self) -> Option<usize> {
        self.parent.target_values()
    }

    fn normalization(&self) -> &Normalization {
        self.parent.normalization()
    }

    fn read<'a>(&'a self, request: Request, buffer: &'a mut SampleBuffer) -> Result<Sample<'a>, ReadError> {
        let (Request { index, epoch }, len) = (request, self.len());
        assert!(index < len, "sample {index} is out of range for a subset of {len}");
        self.parent.read(Request { index: self.range.start + index, epoch }, buffer)
    }

    fn order_of_range(&self, range: Range<usize>, seed: u64, epoch: u32, order: &mut [u32]) {
        let start = self.range.start;
        self.parent.order_of_range(start + range.start..start + range.end, seed, epoch, order);
    }

    fn digest(&self) -> Result<String, ReadError> {
        let Range { start, end } = self.range;
        Ok(format!("samples {start}..{end} of {}", self.parent.digest()?))
    }

    fn announce(&self, epoch: u32, upcoming: &mut dyn Iterator<Item = u32>) {
        let start = self.range.start as u32;
        self.parent.announce(epoch, &mut upcoming.map(|index| start + index));
    }

    /// By the index in the whole set, where the user can find the sample.
    fn describe(&self, index: usize) -> String {
        self.parent.describe(self.range.start + index)
    }
}

/// The two parts of a data set, from [`validation_split`].
#[derive(Clone)]
pub struct ValidationSplit<'a> {
    /// The first samples, at least one.
    pub train: Subset<'a>,
    /// The last samples; none when the fraction is 0.
    pub validation: Subset<'a>,
}

/// Splits off the last `round(fraction * len)` samples of `dataset` for validation, halves rounding up.
///
/// The parts depend on nothing but `fraction` and the length: every run, seed and rank validates on the same
/// samples, and no sample is in both parts.
///
/// ```
/// use isograd_datasets::{Arrays, Dataset, validation_split};
///
/// let set = Arrays::from_u8(vec![0; 10], vec![0; 10], [1, 1, 1], 1)?;
/// let parts = validation_split(&set, 0.25)?;
/// assert_eq!((parts.train.range(), parts.validation.range()), (0..7, 7..10));
/// # Ok::<(), isograd_datasets::Error>(())
/// ```
///
/// # Errors
///
/// [`SplitError::Fraction`] unless `0 <= fraction < 1`, so also for NaN; [`SplitError::NoTrainingSamples`] if
/// all samples would go to validation, or there are none; [`SplitError::NoValidationSamples`] if none would,
/// though the fraction is not 0.
pub fn validation_split(dataset: &dyn Dataset, fraction: f64) -> Result<ValidationSplit<'_>, Error> {
    if !(0.0..1.0).contains(&fraction) {
        return Err(Error::Split(SplitError::Fraction { fraction }));
    }
    let samples = dataset.len();
    let train = samples - (fraction * samples as f64).round() as usize;
    if train == 0 {
        return Err(Error::Split(SplitError::NoTrainingSamples { fraction, samples }));
    }
    if train == samples && fraction > 0.0 {
        return Err(Error::Split(SplitError::NoValidationSamples { fraction, samples }));
    }
    Ok(ValidationSplit {
        train: Subset::new(dataset, 0..train),
        validation: Subset::new(dataset, train..samples),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arrays, Pixels};

    fn numbered(len: u8) -> Arrays<'static> {
        Arrays::from_u8((0..len).collect::<Vec<_>>(), (0..u32::from(len)).collect::<Vec<_>>(), [1, 1, 1], 256)
            .unwrap()
    }

    /// The label of a sample, which is its pixel as well.
    fn label(part: &Subset<'_>, index: usize) -> u32 {
        let mut buffer = SampleBuffer::new();
        let Sample { pixels, target } = part.read(Request::new(index), &mut buffer).unwrap();
        let label = target.class().unwrap();
        assert_eq!(pixels, Pixels::U8(&[label as u8]));
        label
    }

    #[test]
    fn the_last_samples_validate() {
        let set = numbered(10);
        let parts = validation_split(&set, 0.3).unwrap();
        let labels = |part: &Subset<'_>| (0..part.len()).map(|index| label(part, index)).collect::<Vec<_>>();
        assert_eq!(labels(&parts.train), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(labels(&parts.validation), [7, 8, 9]);
        assert_eq!((parts.train.sample_shape(), parts.train.num_classes()), ([1, 1, 1], 256));
        assert_eq!(parts.train.normalization(), set.normalization());
    }

    #[test]
    fn counts_are_rounded() {
        let set = numbered(10);
        for (fraction, expected) in [(0.0, 0), (0.05, 1), (0.14, 1), (0.25, 3), (0.94, 9)] {
            let parts = validation_split(&set, fraction).unwrap();
            assert_eq!(parts.validation.len(), expected, "fraction {fraction}");
            assert_eq!(parts.train.len(), 10 - expected, "fraction {fraction}");
        }
        assert!(validation_split(&set, 0.0).unwrap().validation.is_empty());
    }

    #[test]
    fn a_part_can_be_split_again() {
        let set = numbered(10);
        let outer = validation_split(&set, 0.5).unwrap();
        let inner = validation_split(&outer.validation, 0.4).unwrap();
        assert_eq!(label(&inner.train, 0), 5);
        assert_eq!(label(&inner.validation, 1), 9);
    }

    #[test]
    fn fractions_without_meaning_are_refused() {
        let set = numbered(10);
        let message = |fraction| validation_split(&set, fraction).err().expect("an error").to_string();
        for fraction in [-0.1, 1.0, f64::INFINITY, f64::NAN] {
            let expected =
                format!("validation split {fraction} is out of range, expected at least 0 and below 1");
            assert_eq!(message(fraction), expected);
        }
        assert_eq!(message(0.95), "validation split 0.95 of 10 samples leaves none to train on");
        assert_eq!(message(0.04), "validation split 0.04 of 10 samples leaves none to validate on");
        assert_eq!(message(1e-300), "validation split 1e-300 of 10 samples leaves none to validate on");
    }

    #[test]
    #[should_panic(expected = "samples 7..11 of a data set of 10")]
    fn a_subset_has_no_more_than_its_parent() {
        Subset::new(&numbered(10), 7..11);
    }

    #[test]
    #[should_panic(expected = "sample 3 is out of range for a subset of 3")]
    fn a_subset_ends_before_its_parent() {
        let set = numbered(10);
        label(&validation_split(&set, 0.7).unwrap().train, 3);
    }
}
