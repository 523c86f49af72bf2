//! Data sets from arrays in memory, owned or borrowed.

use std::borrow::Cow;

use crate::{
    ArrayError, Dataset, Error, Normalization, NormalizationError, Pixels, ReadError, Request, Sample,
    SampleBuffer, Target,
};

/// The name under which arrays of the caller appear in errors.
const ORIGIN: &str = "array in memory";

/// Samples and targets that lie in memory.
///
/// Pixels are `[N, C, H, W]`, row-major; labels are `[N]`, and targets that are numbers `[N, values]`. Both
/// are either moved in (a `Vec`) or borrowed (a slice); nothing is copied or converted.
///
/// ```
/// use isograd_datasets::{Arrays, Dataset, Pixels};
///
/// let pixels: [f32; 6] = [0.0, 0.1, 0.2, 1.0, 1.1, 1.2];
/// let labels: [u32; 2] = [0, 1];
/// let set = Arrays::from_f32(&pixels[..], &labels[..], [3, 1, 1], 2)?;
/// assert_eq!(set.len(), 2);
/// assert_eq!(set.sample(1).pixels, Pixels::F32(&[1.0, 1.1, 1.2]));
/// # Ok::<(), isograd_datasets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Arrays<'a> {
    pixels: Store<'a>,
    targets: Targets<'a>,
    sample_shape: [usize; 3],
    normalization: Normalization,
    class_names: Vec<String>,
}

#[derive(Clone, Debug)]
enum Targets<'a> {
    Classes {
        labels: Cow<'a, [u32]>,
        num_classes: usize,
    },
    /// `[N, per_sample]`.
    Values {
        values: Cow<'a, [f32]>,
        per_sample: usize,
    },
}

impl Targets<'_> {
    /// The number of samples that have one.
    fn len(&self) -> usize {
        match self {
            Self::Classes { labels, .. } => labels.len(),
            Self::Values { values, per_sample } => values.len() / per_sample,
        }
    }

    fn check(&self, origin: &str) -> Result<(), ArrayError> {
        match self {
            Self::Classes { labels, num_classes } => {
                let num_classes = *num_classes;
                let Some(index) = labels.iter().position(|&label| label as usize >= num_classes) else {
                    return Ok(());
                };
                let (origin, label) = (origin.to_owned(), labels[index]);
                Err(ArrayError::LabelOutOfRange { origin, index, label, num_classes })
            }
            Self::Values { values, per_sample } if values.len().is_multiple_of(*per_sample) => Ok(()),
            Self::Values { values, per_sample } => {
                Err(ArrayError::TargetCount { expected: *per_sample, got: values.len() })
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Store<'a> {
    U8(Cow<'a, [u8]>),
    F32(Cow<'a, [f32]>),
}

impl Store<'_> {
    fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }
}

impl<'a> Arrays<'a> {
    /// A set of `f32` samples, `pixels` being `[N, C, H, W]` and `labels` being `[N]`. They are used as they
    /// are ([`Normalization::identity`]) unless [`with_normalization`](Self::with_normalization) says
    /// otherwise.
    ///
    /// Values are not inspected: NaN and infinities reach the network.
    ///
    /// # Errors
    ///
    /// [`ArrayError::NoSamples`] without labels, [`ArrayError::SampleShape`] for a shape that has a zero or
    /// overflows, [`ArrayError::PixelCount`] for pixels of another length than labels and shape ask for,
    /// [`ArrayError::LabelOutOfRange`] for a label that is not below `num_classes`.
    pub fn from_f32(
        pixels: impl Into<Cow<'a, [f32]>>,
        labels: impl Into<Cow<'a, [u32]>>,
        sample_shape: [usize; 3],
        num_classes: usize,
    ) -> Result<Self, Error> {
        let normalization = Normalization::identity(sample_shape[0]);
        let targets = Targets::Classes { labels: labels.into(), num_classes };
        Self::new(Store::F32(pixels.into()), targets, sample_shape, normalization, ORIGIN)
    }

    /// A set of `f32` samples whose targets are numbers, as for a regression or several labels at a time:
    /// `pixels` is `[N, C, H, W]` and `targets` is `[N, values]`. Otherwise as [`from_f32`](Self::from_f32).
    ///
    /// ```
    /// use isograd_datasets::{Arrays, Dataset, Target};
    ///
    /// let set = Arrays::from_f32_with_values(vec![0.5, 1.0, 2.0], vec![0.25, 1.0, 4.0], [1, 1, 1], 1)?;
    /// assert_eq!(set.sample(2).target, Target::Values(&[4.0]));
    /// # Ok::<(), isograd_datasets::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ArrayError::NoSamples`] without targets, [`ArrayError::TargetCount`] when they are not `values` for
    /// each sample, [`ArrayError::SampleShape`] and [`ArrayError::PixelCount`] as `from_f32`.
    ///
    /// # Panics
    ///
    /// When `values` is 0.
    pub fn from_f32_with_values(
        pixels: impl Into<Cow<'a, [f32]>>,
        targets: impl Into<Cow<'a, [f32]>>,
        sample_shape: [usize; 3],
        values: usize,
    ) -> Result<Self, Error> {
        assert!(values > 0, "targets of 0 values");
        let normalization = Normalization::identity(sample_shape[0]);
        let targets = Targets::Values { values: targets.into(), per_sample: values };
        Self::new(Store::F32(pixels.into()), targets, sample_shape, normalization, ORIGIN)
    }

    /// A set of `u8` samples whose targets are numbers: `pixels` as for [`from_u8`](Self::from_u8), `targets`
    /// as for [`from_f32_with_values`](Self::from_f32_with_values).
    ///
    /// # Errors
    ///
    /// As `from_f32_with_values`.
    ///
    /// # Panics
    ///
    /// When `values` is 0.
    pub fn from_u8_with_values(
        pixels: impl Into<Cow<'a, [u8]>>,
        targets: impl Into<Cow<'a, [f32]>>,
        sample_shape: [usize; 3],
        values: usize,
    ) -> Result<Self, Error> {
        assert!(values > 0, "targets of 0 values");
        let normalization = Normalization::unit_range(sample_shape[0]);
        let targets = Targets::Values { values: targets.into(), per_sample: values };
        Self::new(Store::U8(pixels.into()), targets, sample_shape, normalization, ORIGIN)
    }

    /// A set of `u8` samples, `pixels` being `[N, C, H, W]` and `labels` being `[N]`. They are scaled onto
    /// `0..=1` ([`Normalization::unit_range`]) unless [`with_normalization`](Self::with_normalization) says
    /// otherwise.
    ///
    /// # Errors
    ///
    /// As [`from_f32`](Self::from_f32).
    pub fn from_u8(
        pixels: impl Into<Cow<'a, [u8]>>,
        labels: impl Into<Cow<'a, [u32]>>,
        sample_shape: [usize; 3],
        num_classes: usize,
    ) -> Result<Self, Error> {
        Self::from_u8_named(pixels, labels, sample_shape, num_classes, ORIGIN)
    }

    /// As [`from_u8`](Self::from_u8), with errors that name `origin`.
    pub(crate) fn from_u8_named(
        pixels: impl Into<Cow<'a, [u8]>>,
        labels: impl Into<Cow<'a, [u32]>>,
        sample_shape: [usize; 3],
        num_classes: usize,
        origin: &str,
    ) -> Result<Self, Error> {
        let normalization = Normalization::unit_range(sample_shape[0]);
        let targets = Targets::Classes { labels: labels.into(), num_classes };
        Self::new(Store::U8(pixels.into()), targets, sample_shape, normalization, origin)
    }

    fn new(
        pixels: Store<'a>,
        targets: Targets<'a>,
        sample_shape: [usize; 3],
        normalization: Normalization,
        origin: &str,
    ) -> Result<Self, Error> {
        targets.check(origin).map_err(Error::Array)?;
        let samples = targets.len();
        let expected = total_values(sample_shape, samples, origin)?;
        if pixels.len() != expected {
            return Err(Error::Array(ArrayError::PixelCount {
                samples,
                sample_shape,
                expected,
                got: pixels.len(),
            }));
        }
        Ok(Self { pixels, targets, sample_shape, normalization, class_names: Vec::new() })
    }

    /// The same samples under another normalization.
    ///
    /// # Errors
    ///
    /// [`NormalizationError::Channels`] if it has another number of channels than a sample.
    pub fn with_normalization(self, normalization: Normalization) -> Result<Self, Error> {
        let (expected, got) = (self.sample_shape[0], normalization.channels());
        if expected != got {
            return Err(Error::Normalization(NormalizationError::Channels { expected, got }));
        }
        Ok(Self { normalization, ..self })
    }

    /// The same samples with names of their classes; an empty list takes the names away.
    ///
    /// # Errors
    ///
    /// [`ArrayError::NameCount`] if there are not as many names as classes.
    pub fn with_class_names(self, class_names: Vec<String>) -> Result<Self, Error> {
        let (got, expected) = (class_names.len(), self.num_classes());
        if got != 0 && got != expected {
            return Err(Error::Array(ArrayError::NameCount { expected, got }));
        }
        Ok(Self { class_names, ..self })
    }

    /// The sample at `index`, in place.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn sample(&self, index: usize) -> Sample<'_> {
        let len = self.targets.len();
        assert!(index < len, "sample {index} is out of range for a data set of {len}");
        let [c, h, w] = self.sample_shape;
        let values = index * c * h * w..(index + 1) * c * h * w;
        let pixels = match &self.pixels {
            Store::U8(pixels) => Pixels::U8(&pixels[values]),
            Store::F32(pixels) => Pixels::F32(&pixels[values]),
        };
        let target = match &self.targets {
            Targets::Classes { labels, .. } => Target::Class(labels[index]),
            Targets::Values { values, per_sample } => {
                Target::Values(&values[index * per_sample..][..*per_sample])
            }
        };
        Sample { pixels, target }
    }

    /// The class of every sample, `[N]`; nothing if the targets are numbers.
    pub fn labels(&self) -> &[u32] {
        match &self.targets {
            Targets::Classes { labels, .. } => labels,
            Targets::Values { .. } => &[],
        }
    }
}

impl Dataset for Arrays<'_> {
    fn len(&self) -> usize {
        self.targets.len()
    }

    fn sample_shape(&self) -> [usize; 3] {
        self.sample_shape
    }

    fn num_classes(&self) -> usize {
        match self.targets {
            Targets::Classes { num_classes, .. } => num_classes,
            Targets::Values { .. } => 0,
        }
    }

    fn target_values(&self) -> Option<usize> {
        match self.targets {
            Targets::Classes { .. } => None,
            Targets::Values { per_sample, .. } => Some(per_sample),
        }
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn normalization(&self) -> &Normalization {
        &self.normalization
    }

    fn read<'b>(&'b self, request: Request, _: &'b mut SampleBuffer) -> Result<Sample<'b>, ReadError> {
        Ok(self.sample(request.index))
    }
}

/// `samples * c * h * w`, once it is known to be neither zero nor more than memory can hold.
pub(crate) fn total_values(sample_shape: [usize; 3], samples: usize, origin: &str) -> Result<usize, Error> {
    if samples == 0 {
        return Err(Error::Array(ArrayError::NoSamples { origin: origin.to_owned() }));
    }
    sample_shape
        .iter()
        .try_fold(samples, |product, &extent| product.checked_mul(extent))
        .filter(|&total| total > 0 && total <= isize::MAX as usize)
        .ok_or_else(|| {
            Error::Array(ArrayError::SampleShape { origin: origin.to_owned(), sample_shape, samples })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<Arrays<'_>, Error>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn owned_bytes_are_read_in_place() {
        let set = Arrays::from_u8((0..24).collect::<Vec<u8>>(), vec![2, 0], [3, 2, 2], 3).unwrap();
        assert_eq!(
            (set.len(), set.is_empty(), set.sample_shape(), set.num_classes()),
            (2, false, [3, 2, 2], 3)
        );
        assert_eq!(set.normalization(), &Normalization::unit_range(3));
        assert_eq!(set.labels(), [2, 0]);
        let expected = (12..24).collect::<Vec<u8>>();
        assert_eq!(set.sample(1), Sample { pixels: Pixels::U8(&expected), target: Target::Class(0) });
    }

    #[test]
    fn borrowed_floats_are_not_copied() {
        let pixels = [0.0, f32::NAN, 2.0];
        let labels = [0, 0, 0];
        let set = Arrays::from_f32(&pixels[..], &labels[..], [1, 1, 1], 1).unwrap();
        assert!(set.normalization().is_identity());
        let Pixels::F32(sample) = set.sample(2).pixels else { panic!("an f32 set gave u8 samples") };
        assert_eq!(sample.as_ptr(), &pixels[2]);
    }

    #[test]
    fn wrong_shapes_are_refused_with_their_numbers() {
        assert_eq!(
            message(Arrays::from_u8(vec![0; 11], vec![0, 1], [1, 2, 3], 2)),
            "pixel array has 11 values, expected 12 for 2 samples of shape [1, 2, 3]"
        );
        assert_eq!(message(Arrays::from_u8(vec![], vec![], [1, 2, 3], 2)), "array in memory has no samples");
        assert_eq!(
            message(Arrays::from_f32(vec![], vec![0], [1, 0, 3], 2)),
            "array in memory: sample shape [1, 0, 3] is empty or too large for 1 sample"
        );
        let huge = usize::MAX / 2;
        assert_eq!(
            message(Arrays::from_f32(vec![], vec![0, 0, 0], [1, huge, 1], 2)),
            format!("array in memory: sample shape [1, {huge}, 1] is empty or too large for 3 samples")
        );
    }

    #[test]
    fn labels_beyond_the_classes_are_refused() {
        assert_eq!(
            message(Arrays::from_u8(vec![0; 3], vec![0, 3, 4], [1, 1, 1], 3)),
            "array in memory: label 3 of sample 1 is out of range for 3 classes"
        );
        assert!(Arrays::from_u8(vec![0; 3], vec![0, 1, 2], [1, 1, 1], 3).is_ok());
    }

    #[test]
    fn targets_can_be_numbers() {
        let targets = [0.5, 1.5, f32::NAN, -2.0];
        let set = Arrays::from_u8_with_values(vec![7, 8], &targets[..], [1, 1, 1], 2).unwrap();
        assert_eq!((set.len(), set.num_classes(), set.target_values()), (2, 0, Some(2)));
        let Target::Values(values) = set.sample(1).target else { panic!("a class") };
        assert_eq!(values.as_ptr(), &targets[2]);
        assert_eq!(set.sample(0), Sample { pixels: Pixels::U8(&[7]), target: Target::Values(&[0.5, 1.5]) });
        assert!(set.labels().is_empty());
        for (targets, expected) in [
            (vec![0.0; 3], "target array has 3 values, expected 2 for each sample"),
            (vec![], "array in memory has no samples"),
            (vec![0.0; 6], "pixel array has 2 values, expected 3 for 3 samples of shape [1, 1, 1]"),
        ] {
            assert_eq!(message(Arrays::from_f32_with_values(vec![0.0; 2], targets, [1, 1, 1], 2)), expected);
        }
    }

    #[test]
    fn a_normalization_must_have_the_channels_of_a_sample() {
        let set = || Arrays::from_u8(vec![0; 6], vec![0], [2, 3, 1], 1).unwrap();
        assert_eq!(
            message(set().with_normalization(Normalization::unit_range(3))),
            "normalization has 3 channels, but the samples have 2"
        );
        let other = Normalization::identity(2);
        assert_eq!(set().with_normalization(other.clone()).unwrap().normalization(), &other);
    }

    #[test]
    #[should_panic(expected = "sample 2 is out of range for a data set of 2")]
    fn reading_past_the_end_panics() {
        Arrays::from_u8(vec![0; 2], vec![0, 0], [1, 1, 1], 1).unwrap().sample(2);
    }
}
