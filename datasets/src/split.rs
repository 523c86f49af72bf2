//! The validation split: two views of one data set.

use std::ops::Range;
use std::sync::Arc;

use crate::digest::Lines;
use crate::shuffle::chunks_in;
use crate::{
    Chunks, Dataset, Error, Normalization, Part, Parts, ReadError, Request, Sample, SampleBuffer, SplitError,
    chunked_order, epoch_order,
};

/// The seed of the samples that random splits validate on. It is one for all runs, so that their results
/// can be compared.
pub(crate) const SPLIT_SEED: u64 = u64::from_be_bytes(*b"validate");

/// Some samples of another data set, seen as a data set that starts at index 0. Nothing is copied.
#[derive(Clone)]
pub struct Subset<'a> {
    parent: &'a dyn Dataset,
    members: Members,
}

/// Which samples of the whole set belong to a subset.
#[derive(Clone)]
enum Members {
    Range(Range<usize>),
    Listed {
        /// In ascending order.
        indices: Arc<[u32]>,
        /// How many of them are in each chunk of the whole set; empty if it has none.
        chunks: Arc<[usize]>,
    },
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
        Self { parent, members: Members::Range(range) }
    }

    /// The samples `indices`, which ascend.
    pub(crate) fn listed(parent: &'a dyn Dataset, indices: Vec<u32>) -> Self {
        let mut start = 0;
        let of_chunk = |size: &usize| {
            let chunk = start..start + size;
            start = chunk.end;
            let below = |end: usize| indices.partition_point(|index| (*index as usize) < end);
            below(chunk.end) - below(chunk.start)
        };
        let chunks =
            parent.chunks().map_or_else(Vec::new, |chunks| chunks.sizes.iter().map(of_chunk).collect());
        Self { parent, members: Members::Listed { indices: indices.into(), chunks: chunks.into() } }
    }

    /// The index in the whole set of sample `index`.
    pub fn place(&self, index: usize) -> usize {
        match &self.members {
            Members::Range(range) => range.start + index,
            Members::Listed { indices, .. } => indices[index] as usize,
        }
    }
}

impl Dataset for Subset<'_> {
    fn len(&self) -> usize {
        match &self.members {
            Members::Range(range) => range.len(),
            Members::Listed { indices, .. } => indices.len(),
        }
    }

    fn sample_shape(&self) -> [usize; 3] {
        self.parent.sample_shape()
    }

    fn num_classes(&self) -> usize {
        self.parent.num_classes()
    }

    fn inner(&self) -> Option<&dyn Dataset> {
        Some(self.parent)
    }

    fn normalization(&self) -> &Normalization {
        self.parent.normalization()
    }

    fn read<'a>(&'a self, request: Request, buffer: &'a mut SampleBuffer) -> Result<Sample<'a>, ReadError> {
        let (Request { index, epoch }, len) = (request, self.len());
        assert!(index < len, "sample {index} is out of range for a subset of {len}");
        self.parent.read(Request { index: self.place(index), epoch }, buffer)
    }

    fn order_of_range(&self, range: Range<usize>, seed: u64, epoch: u32, order: &mut [u32]) {
        match &self.members {
            Members::Range(members) => {
                let start = members.start;
                self.parent.order_of_range(start + range.start..start + range.end, seed, epoch, order);
            }
            Members::Listed { chunks, .. } => match self.parent.chunks() {
                Some(Chunks { window, .. }) => {
                    chunked_order(seed, u64::from(epoch), &chunks_in(chunks, range), window, order);
                }
                None => epoch_order(seed, u64::from(epoch), order),
            },
        }
    }

    /// Those of the other set lie elsewhere in this one.
    fn chunks(&self) -> Option<Chunks<'_>> {
        None
    }

    fn digest(&self) -> Result<String, ReadError> {
        let of = self.parent.digest()?;
        Ok(match &self.members {
            Members::Range(Range { start, end }) => format!("samples {start}..{end} of {of}"),
            Members::Listed { indices, .. } => {
                let mut list = Lines::default();
                list.add(&format!("{indices:?}"));
                format!("samples {} of {of}", list.finish())
            }
        })
    }

    fn parts(&self) -> Option<&dyn Parts> {
        self.parent.parts().map(|_| self as &dyn Parts)
    }

    fn announce(&self, epoch: u32, upcoming: &mut dyn Iterator<Item = u32>) {
        self.parent.announce(epoch, &mut upcoming.map(|index| self.place(index as usize) as u32));
    }

    /// By the index in the whole set, where the user can find the sample.
    fn describe(&self, index: usize) -> String {
        self.parent.describe(self.place(index))
    }
}

impl Parts for Subset<'_> {
    fn read_part<'a>(
        &'a self,
        request: Request,
        part: &Part<'_>,
        buffer: &'a mut SampleBuffer,
    ) -> Result<Sample<'a>, ReadError> {
        let (Request { index, epoch }, len) = (request, self.len());
        assert!(index < len, "sample {index} is out of range for a subset of {len}");
        let parts = self.parent.parts().expect("asked for by `parts`");
        parts.read_part(Request { index: self.place(index), epoch }, part, buffer)
    }
}

/// The two parts of a data set, from [`validation_split`], [`shuffled_split`] or
/// [`stratified_split`](crate::stratified_split).
#[derive(Clone)]
pub struct ValidationSplit<'a> {
    /// The samples to train on, at least one.
    pub train: Subset<'a>,
    /// The samples to validate on; none when the fraction is 0.
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
/// assert_eq!((parts.train.len(), parts.validation.len(), parts.validation.place(0)), (7, 3, 7));
/// # Ok::<(), isograd_datasets::Error>(())
/// ```
///
/// # Errors
///
/// [`SplitError::Fraction`] unless `0 <= fraction < 1`, so also for NaN; [`SplitError::NoTrainingSamples`] if
/// all samples would go to validation, or there are none; [`SplitError::NoValidationSamples`] if none would,
/// though the fraction is not 0.
pub fn validation_split(dataset: &dyn Dataset, fraction: f64) -> Result<ValidationSplit<'_>, Error> {
    let (samples, train) = (dataset.len(), training_samples(dataset, fraction)?);
    Ok(ValidationSplit {
        train: Subset::new(dataset, 0..train),
        validation: Subset::new(dataset, train..samples),
    })
}

/// Splits off random samples for validation, for sets that may be sorted: as many as [`validation_split`]
/// does, and of each chunk of the set its share. Both parts keep the order of the set.
///
/// The parts depend on nothing but `fraction`, the length and the chunks: every run, seed and rank validates
/// on the same samples, and no sample is in both parts.
///
/// # Errors
///
/// Those of [`validation_split`].
///
/// # Panics
///
/// If there are more samples than `u32` can index.
pub fn shuffled_split(dataset: &dyn Dataset, fraction: f64) -> Result<ValidationSplit<'_>, Error> {
    let samples = dataset.len();
    training_samples(dataset, fraction)?;
    let whole = [samples];
    let sizes = dataset.chunks().map_or(&whole[..], |chunks| chunks.sizes);
    let (mut train, mut validation, mut start) = (Vec::new(), Vec::new(), 0);
    for (chunk, &size) in (0..).zip(sizes) {
        // As many as round(fraction * len) says of all samples up to here.
        let upto = |end: usize| (fraction * end as f64).round() as usize;
        let kept = size - (upto(start + size) - upto(start)).min(size);
        let mut order = vec![0; size];
        epoch_order(SPLIT_SEED, chunk, &mut order);
        let (first, last) = order.split_at_mut(kept);
        for (part, members) in [(&mut train, first), (&mut validation, last)] {
            members.sort_unstable();
            part.extend(members.iter().map(|index| start as u32 + index));
        }
        start += size;
    }
    Ok(ValidationSplit {
        train: Subset::listed(dataset, train),
        validation: Subset::listed(dataset, validation),
    })
}

/// How many samples are left to train on.
fn training_samples(dataset: &dyn Dataset, fraction: f64) -> Result<usize, Error> {
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
    Ok(train)
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
    fn shuffled_parts_have_all_samples_once() {
        // Sorted by class, as tables often are.
        let labels: Vec<u32> = (0..200).map(|index| index / 100).collect();
        let set = Arrays::from_u8(vec![0; 200], labels, [1, 1, 1], 2).unwrap();
        let parts = shuffled_split(&set, 0.2).unwrap();
        assert_eq!((parts.train.len(), parts.validation.len()), (160, 40));
        let places = |part: &Subset<'_>| (0..part.len()).map(|index| part.place(index)).collect::<Vec<_>>();
        let (train, validation) = (places(&parts.train), places(&parts.validation));
        assert!(train.is_sorted() && validation.is_sorted());
        let mut all = [train, validation.clone()].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..200));
        let second = validation.iter().filter(|place| **place >= 100).count();
        assert!((10..=30).contains(&second), "{second} of 40 are of the second class");
        assert_eq!(places(&shuffled_split(&set, 0.2).unwrap().validation), validation);
        assert_ne!(parts.train.digest().unwrap(), parts.validation.digest().unwrap());
        assert!(shuffled_split(&set, 0.0).unwrap().validation.is_empty());
        assert!(shuffled_split(&set, 1.0).is_err());
        let mut order = vec![0; 160];
        parts.train.order(1, 0, &mut order);
        order.sort_unstable();
        assert!(order.into_iter().eq(0..160));
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
