//! What a data set is: a number of samples of one shape with their targets, each readable by its index.

use std::ops::Range;

use crate::count::Count;
use crate::resample::AnyWeights;
use crate::{Normalization, Parts, digest, epoch_order};

/// A finite set of samples of one shape, each with its target: a class, or numbers.
///
/// Every sample is `[C, H, W]`, row-major: `sample_shape() = [c, h, w]` means `c * h * w` values with W
/// contiguous. All samples of a set have the same kind of target.
///
/// # Memory
///
/// A set in memory lends its samples: nothing is copied. Any other set reads, decodes or computes a sample
/// into the [`SampleBuffer`] of the caller and lends that. So a shard can hold all its samples at once and
/// bring them into its own layout in one pass, and a set can be larger than memory.
///
/// # Same bits
///
/// [`read`](Self::read) is a pure function of its [`Request`]: whoever reads, on whatever thread, how often
/// and in whatever order, gets the same values. Random changes, as augmentation makes them, are drawn by
/// epoch and index.
pub trait Dataset: Send + Sync {
    /// The number of samples.
    fn len(&self) -> usize;

    /// Whether there is no sample.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[c, h, w]`: channels, height and width of a sample, each at least 1.
    fn sample_shape(&self) -> [usize; 3];

    /// The number of classes; every label is below it. 0 if the targets are numbers, unless they are the
    /// shares of classes, as mixup makes them: from 0 to 1, a number for each class, that add up to 1.
    fn num_classes(&self) -> usize;

    /// The set whose samples this one gives in another form, if it is made of one: what this set does not say
    /// itself of names, targets and order, that one says.
    ///
    /// A set with other samples than those of `inner`, or with the same at other indices, must give its own
    /// [`describe`](Self::describe), [`order_of_range`](Self::order_of_range), [`chunks`](Self::chunks) and
    /// [`announce`](Self::announce).
    fn inner(&self) -> Option<&dyn Dataset> {
        None
    }

    /// The name of each class; none if classes have no names. The default is that of [`inner`](Self::inner).
    fn class_names(&self) -> &[String] {
        self.inner().map(|inner| inner.class_names()).unwrap_or_default()
    }

    /// How many numbers the target of a sample has; `None` if it is a class. The default is that of
    /// [`inner`](Self::inner).
    fn target_values(&self) -> Option<usize> {
        self.inner()?.target_values()
    }

    /// What turns the values of a sample into the input of a network, for `u8` and `f32` samples alike; it
    /// has as many channels as a sample.
    fn normalization(&self) -> &Normalization;

    /// Reads a sample as it is stored: not normalised, `[C, H, W]`.
    ///
    /// The sample lies in the set itself or in `buffer`, whose earlier contents have no meaning.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the sample cannot be had: a file that is damaged, a disk that fails. It need not
    /// tell which sample it was.
    ///
    /// # Panics
    ///
    /// If the index is not below [`len`](Self::len).
    fn read<'a>(&'a self, request: Request, buffer: &'a mut SampleBuffer) -> Result<Sample<'a>, ReadError>;

    /// The sample at `index` in words, for errors. A set of files adds the name of the file. The default is
    /// that of [`inner`](Self::inner).
    fn describe(&self, index: usize) -> String {
        self.inner().map_or_else(|| format!("sample {index}"), |inner| inner.describe(index))
    }

    /// Overwrites `order` with the order in which epoch `epoch` of a run with `seed` sees the samples: a
    /// permutation of `0..len()`, and a pure function of seed and epoch.
    ///
    /// The default is [`epoch_order`]. A set whose samples lie together in chunks keeps them together.
    fn order(&self, seed: u64, epoch: u32, order: &mut [u32]) {
        self.order_of_range(0..self.len(), seed, epoch, order);
    }

    /// As [`order`](Self::order), for a data set that has samples `range` of this one alone: a permutation of
    /// `0..range.len()`, in which 0 stands for `range.start`.
    ///
    /// A set that keeps chunks together implements this one, so that its parts keep them together, too. The
    /// default is that of [`inner`](Self::inner).
    fn order_of_range(&self, range: Range<usize>, seed: u64, epoch: u32, order: &mut [u32]) {
        match self.inner() {
            Some(inner) => inner.order_of_range(range, seed, epoch, order),
            None => epoch_order(seed, u64::from(epoch), order),
        }
    }

    /// The numbers of samples of the chunks that this set is stored in, if its order keeps them together. The
    /// default is that of [`inner`](Self::inner).
    fn chunks(&self) -> Option<Chunks<'_>> {
        self.inner()?.chunks()
    }

    /// A text that differs where the samples differ, by which ranks find that they have the same data.
    ///
    /// The default reads all samples: it is the [digest of the contents](digest::contents). A set of files
    /// takes the names, lengths and labels of its files instead.
    ///
    /// # Errors
    ///
    /// [`ReadError`] of a sample that cannot be read.
    fn digest(&self) -> Result<String, ReadError> {
        digest::contents(self)
    }

    /// The set as one of which parts of images can be read, if its samples are made of larger images.
    fn parts(&self) -> Option<&dyn Parts> {
        None
    }

    /// Says which samples will be asked for next, for epoch `epoch` and about in this order; what was said
    /// before is over. A set may read them ahead, as [`Prefetched`](crate::Prefetched) does. Samples that
    /// nobody has announced can be read as well.
    ///
    /// The default tells [`inner`](Self::inner). Without one it does nothing, and does not even ask for the
    /// samples.
    fn announce(&self, epoch: u32, upcoming: &mut dyn Iterator<Item = u32>) {
        if let Some(inner) = self.inner() {
            inner.announce(epoch, upcoming);
        }
    }
}

/// How a set is stored whose order keeps chunks of samples together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks<'a> {
    /// The number of samples of each chunk, in the order of the set.
    pub sizes: &'a [usize],
    /// How many chunks are mixed at a time.
    pub window: usize,
}

/// Which sample is to be read, and for which epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// The index of the sample.
    pub index: usize,
    /// The epoch that it is read for, from 0. Stored samples are the same in all epochs; augmentation changes
    /// them in each.
    pub epoch: u32,
}

impl Request {
    /// The sample at `index` for the first epoch.
    pub fn new(index: usize) -> Self {
        Self { index, epoch: 0 }
    }
}

/// Memory for one sample of a set that does not hold its samples in memory. It keeps its capacity, so a
/// caller that reads into it again and again allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct SampleBuffer {
    /// The pixels of a sample of bytes.
    pub bytes: Vec<u8>,
    /// The pixels of a sample of floats.
    pub floats: Vec<f32>,
    /// A target of numbers.
    pub values: Vec<f32>,
    /// Contents of a file, and other data on the way to a sample.
    pub raw: Vec<u8>,
    /// For images that are resized.
    weights: Box<AnyWeights>,
    /// For sets that change the samples of another set.
    inner: Option<Box<SampleBuffer>>,
}

impl SampleBuffer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Splits off a buffer for the sample of an inner set, which an adapter changes on the way into the rest
    /// of this one.
    pub fn with_inner(&mut self) -> (&mut SampleBuffer, OuterBuffer<'_>) {
        let Self { bytes, floats, values, raw, weights, inner } = self;
        (inner.get_or_insert_default(), OuterBuffer { bytes, floats, values, raw, weights })
    }
}

/// A [`SampleBuffer`] without its inner one.
#[derive(Debug)]
pub struct OuterBuffer<'a> {
    /// The pixels of a sample of bytes.
    pub bytes: &'a mut Vec<u8>,
    /// The pixels of a sample of floats.
    pub floats: &'a mut Vec<f32>,
    /// A target of numbers.
    pub values: &'a mut Vec<f32>,
    /// Other data on the way to a sample.
    pub raw: &'a mut Vec<u8>,
    /// For images that are resized.
    pub(crate) weights: &'a mut AnyWeights,
}

/// Why a sample could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ReadError {
    reason: String,
    is_bad_image: bool,
}

impl ReadError {
    /// A sample could not be read for `reason`.
    pub fn new(reason: impl std::fmt::Display) -> Self {
        Self { reason: reason.to_string(), is_bad_image: false }
    }

    /// An image could not be decoded for `reason`.
    pub(crate) fn bad_image(reason: impl std::fmt::Display) -> Self {
        Self { reason: reason.to_string(), is_bad_image: true }
    }

    /// Whether the contents of one image are the reason, so that
    /// [`OnBadImage::Skip`](crate::images::OnBadImage) would leave it out.
    pub fn is_bad_image(&self) -> bool {
        self.is_bad_image
    }
}

/// Checks that `sample`, which was read from `set`, is what the set says of all its samples.
///
/// # Errors
///
/// [`SampleError`]. That samples have the same element type is not checked.
pub fn check_sample(set: &dyn Dataset, index: usize, sample: &Sample<'_>) -> Result<(), SampleError> {
    let sample_shape = set.sample_shape();
    let expected = sample_shape.iter().fold(1, |product: usize, extent| product.saturating_mul(*extent));
    let got = sample.pixels.len();
    if got != expected {
        return Err(SampleError::Length { sample: set.describe(index), got, expected, sample_shape });
    }
    match (sample.target, set.target_values()) {
        (Target::Class(label), None) => {
            let num_classes = set.num_classes();
            if label as usize >= num_classes {
                return Err(SampleError::Label { sample: set.describe(index), label, num_classes });
            }
        }
        (Target::Values(values), Some(expected)) if values.len() == expected => {}
        (target, expected) => {
            let [got, expected] = [target.values(), expected].map(Target::words);
            return Err(SampleError::Target { sample: set.describe(index), got, expected });
        }
    }
    Ok(())
}

/// One sample of a [`Dataset`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The values, `[C, H, W]`.
    pub pixels: Pixels<'a>,
    /// What a network should answer.
    pub target: Target<'a>,
}

/// What a network should answer to a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target<'a> {
    /// A class, below [`Dataset::num_classes`].
    Class(u32),
    /// [`Dataset::target_values`] numbers, one for each output of a network.
    Values(&'a [f32]),
}

impl Target<'_> {
    /// The class, if it is one.
    pub fn class(self) -> Option<u32> {
        match self {
            Self::Class(class) => Some(class),
            Self::Values(_) => None,
        }
    }

    /// How many numbers it has, if it is not a class.
    fn values(self) -> Option<usize> {
        match self {
            Self::Class(_) => None,
            Self::Values(values) => Some(values.len()),
        }
    }

    /// A target of `values` numbers, or a class, in words.
    fn words(values: Option<usize>) -> String {
        values.map_or_else(|| "a class".to_string(), |values| Count::of(values, "value").to_string())
    }
}

/// The values of one sample, `[C, H, W]`, in the element type in which the set holds them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pixels<'a> {
    /// Bytes, as image files have them.
    U8(&'a [u8]),
    /// Floats.
    F32(&'a [f32]),
}

impl<'a> Pixels<'a> {
    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if it has bytes.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::U8(values) => Some(values),
            Self::F32(_) => None,
        }
    }

    /// The floats, if it has floats.
    pub fn floats(&self) -> Option<&'a [f32]> {
        match self {
            Self::U8(_) => None,
            Self::F32(values) => Some(values),
        }
    }

    /// Name of the element type.
    pub fn element(&self) -> &'static str {
        match self {
            Self::U8(_) => "u8",
            Self::F32(_) => "f32",
        }
    }
}

/// A sample that contradicts what its data set says of all samples. `sample` is its
/// [description](Dataset::describe).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// A sample with another number of values than its shape has.
    #[error("{sample} has {}, expected {expected} for sample shape {sample_shape:?}", Count::of(*got, "value"))]
    Length {
        /// The sample.
        sample: String,
        /// The number of values that it has.
        got: usize,
        /// The number of values that it should have.
        expected: usize,
        /// The shape of all samples, `[c, h, w]`.
        sample_shape: [usize; 3],
    },
    /// A sample of another element type than one before it.
    #[error("{sample} has values of type {got}, {other} of type {expected}")]
    ElementType {
        /// The sample.
        sample: String,
        /// Its element type.
        got: &'static str,
        /// The sample before it.
        other: String,
        /// The element type of that sample.
        expected: &'static str,
    },
    /// A target of another kind or length than the set says.
    #[error("the target of {sample} is {got}, expected {expected}")]
    Target {
        /// The sample.
        sample: String,
        /// What it is, in words.
        got: String,
        /// What it should be, in words.
        expected: String,
    },
    /// A label that is not a class.
    #[error("label {label} of {sample} is out of range for {}", Count::of(*num_classes, "class"))]
    Label {
        /// The sample.
        sample: String,
        /// The label.
        label: u32,
        /// The number of classes.
        num_classes: usize,
    },
    /// A sample that cannot be read.
    #[error("cannot read {sample}: {reason}")]
    Read {
        /// The sample.
        sample: String,
        /// The reason.
        reason: ReadError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arrays, Subset};

    #[test]
    fn a_wrong_sample_is_named() {
        let classes = Arrays::from_u8(vec![0; 20], vec![0; 10], [1, 1, 2], 3).unwrap();
        let numbers = Arrays::from_f32_with_values(vec![0.0; 20], vec![0.0; 10], [1, 1, 2], 1).unwrap();
        let class = |pixels, label| Sample { pixels, target: Target::Class(label) };
        let values = |values| Sample { pixels: Pixels::U8(&[0; 2]), target: Target::Values(values) };
        for (set, sample, expected) in [
            (&classes, class(Pixels::U8(&[0; 2]), 3), "label 3 of sample 7 is out of range for 3 classes"),
            (
                &classes,
                class(Pixels::U8(&[0; 3]), 0),
                "sample 7 has 3 values, expected 2 for sample shape [1, 1, 2]",
            ),
            (&classes, values(&[0.5]), "the target of sample 7 is 1 value, expected a class"),
            (&numbers, values(&[0.5; 2]), "the target of sample 7 is 2 values, expected 1 value"),
            (
                &numbers,
                class(Pixels::F32(&[0.0; 2]), 0),
                "the target of sample 7 is a class, expected 1 value",
            ),
        ] {
            assert_eq!(check_sample(set, 7, &sample).unwrap_err().to_string(), expected);
            // Of a part, too, it is the index in the whole set.
            let part = Subset::new(set, 4..9);
            assert_eq!(check_sample(&part, 3, &sample).unwrap_err().to_string(), expected);
        }
        assert_eq!(check_sample(&classes, 7, &class(Pixels::U8(&[0; 2]), 2)), Ok(()));
        assert_eq!(check_sample(&numbers, 7, &values(&[0.5])), Ok(()));
    }

    /// An adapter as a user writes it: what it does not say itself, the set inside says.
    struct Doubled<'a>(&'a dyn Dataset);

    impl Dataset for Doubled<'_> {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn sample_shape(&self) -> [usize; 3] {
            self.0.sample_shape()
        }

        fn num_classes(&self) -> usize {
            self.0.num_classes()
        }

        fn normalization(&self) -> &Normalization {
            self.0.normalization()
        }

        fn inner(&self) -> Option<&dyn Dataset> {
            Some(self.0)
        }

        fn read<'a>(
            &'a self,
            request: Request,
            buffer: &'a mut SampleBuffer,
        ) -> Result<Sample<'a>, ReadError> {
            let (inner, outer) = buffer.with_inner();
            let Sample { pixels, target } = self.0.read(request, inner)?;
            let bytes = pixels.bytes().ok_or_else(|| ReadError::new("only bytes are doubled"))?;
            outer.bytes.clear();
            outer.bytes.extend(bytes.iter().map(|byte| byte.saturating_mul(2)));
            Ok(Sample { pixels: Pixels::U8(outer.bytes), target })
        }
    }

    #[test]
    fn an_adapter_is_as_the_set_inside_where_it_says_nothing() {
        let names = ["cat", "dog"].map(str::to_string).to_vec();
        let set =
            Arrays::from_u8((0..12).collect::<Vec<u8>>(), vec![0, 1, 0, 1, 0, 1], [1, 1, 2], 2).unwrap();
        let set = set.with_class_names(names.clone()).unwrap();
        let part = Subset::new(&set, 1..6);
        let doubled = Doubled(&part);
        assert_eq!((doubled.class_names(), doubled.target_values()), (&names[..], None));
        assert_eq!(doubled.describe(0), "sample 1");
        let order = |set: &dyn Dataset| {
            let mut order = vec![0; set.len()];
            set.order(3, 1, &mut order);
            order
        };
        assert_eq!(order(&doubled), order(&part));
        let mut buffer = SampleBuffer::new();
        let sample = doubled.read(Request::new(1), &mut buffer).unwrap();
        assert_eq!(sample, Sample { pixels: Pixels::U8(&[8, 10]), target: Target::Class(0) });
    }

    #[test]
    fn buffers_nest() {
        let mut buffer = SampleBuffer::new();
        let (inner, outer) = buffer.with_inner();
        inner.bytes.push(1);
        outer.bytes.extend(inner.bytes.iter().map(|byte| byte + 1));
        assert_eq!(buffer.bytes, [2]);
    }
}
