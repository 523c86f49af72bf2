//! What a data set is: a number of samples of one shape with their targets, each readable in place by its
//! index.

use crate::Normalization;
use crate::count::Count;
use std::ops::Range;

/// A finite set of samples of one shape, each with its target: a class, or numbers.
///
/// Every sample is `[C, H, W]`, row-major: `sample_shape() = [c, h, w]` means `c * h * w` values with W
/// contiguous. All samples of a set have the same element type, and the same kind of target.
///
/// Reading borrows from the set, so a shard can hold all its samples at once and bring them into its own
/// layout in one pass. Reading cannot fail: a set checks its data when it is opened. Data larger than memory
/// can be a set that borrows from a memory map, or a sequence of sets, one for each chunk that is in memory.
pub trait Dataset: Send + Sync {
    /// The number of samples.
    fn len(&self) -> usize;

    /// Whether there is no sample.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[c, h, w]`: channels, height and width of a sample, each at least 1.
    fn sample_shape(&self) -> [usize; 3];

    /// The number of classes; every label is below it. 0 if the targets are numbers.
    fn num_classes(&self) -> usize;

    /// How many numbers the target of a sample has; `None` if it is a class.
    fn target_values(&self) -> Option<usize> {
        None
    }

    /// What turns the values of a sample into the input of a network, for `u8` and `f32` samples alike; it
    /// has as many channels as a sample.
    fn normalization(&self) -> &Normalization;

    /// The sample at `index`, as stored: not normalised, `[C, H, W]`.
    ///
    /// The same index gives the same sample always and on every thread.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`len`](Self::len).
    fn read(&self, index: usize) -> Sample<'_>;

    /// Checks that the samples `range` have the set's shape, the targets that the set says, and the element
    /// type of the set's first sample.
    ///
    /// A trainer calls it before the first step of an epoch, and before an evaluation. The default reads
    /// every sample, but not its values. A set that checked its samples when it was opened, or whose reading
    /// is slow, may return `Ok` at once.
    ///
    /// # Errors
    ///
    /// [`SampleError`] with the index of the first sample that is wrong.
    ///
    /// # Panics
    ///
    /// If the range ends beyond [`len`](Self::len).
    fn check_samples(&self, range: Range<usize>) -> Result<(), SampleError> {
        if range.is_empty() {
            return Ok(());
        }
        let [c, h, w] = self.sample_shape();
        let expected = c.saturating_mul(h).saturating_mul(w);
        let (num_classes, target_values) = (self.num_classes(), self.target_values());
        let element = self.read(0).pixels.element();
        for index in range {
            let Sample { pixels, target } = self.read(index);
            if pixels.len() != expected {
                let (got, sample_shape) = (pixels.len(), self.sample_shape());
                return Err(SampleError::Length { index, got, expected, sample_shape });
            }
            if pixels.element() != element {
                return Err(SampleError::ElementType { index, got: pixels.element(), expected: element });
            }
            match (target, target_values) {
                (Target::Class(label), None) if label as usize >= num_classes => {
                    return Err(SampleError::Label { index, label, num_classes });
                }
                (Target::Class(_), None) => {}
                (Target::Values(values), Some(expected)) if values.len() == expected => {}
                (target, expected) => {
                    let words = |values| Target::words(values);
                    let (got, expected) = (words(target.values()), words(expected));
                    return Err(SampleError::Target { index, got, expected });
                }
            }
        }
        Ok(())
    }
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

impl Pixels<'_> {
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

    /// Name of the element type.
    fn element(&self) -> &'static str {
        match self {
            Self::U8(_) => "u8",
            Self::F32(_) => "f32",
        }
    }
}

/// A sample that contradicts what its data set says of all samples.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// A sample with another number of values than its shape has.
    #[error(
        "sample {index} has {}, expected {expected} for sample shape {sample_shape:?}", Count::of(*got, "value")
    )]
    Length {
        /// Index of the sample in the data set.
        index: usize,
        /// The number of values that it has.
        got: usize,
        /// The number of values that it should have.
        expected: usize,
        /// The shape of all samples, `[c, h, w]`.
        sample_shape: [usize; 3],
    },
    /// A sample of another element type than the first sample.
    #[error("sample {index} has values of type {got}, the first sample of type {expected}")]
    ElementType {
        /// Index of the sample in the data set.
        index: usize,
        /// Its element type.
        got: &'static str,
        /// The element type of the first sample.
        expected: &'static str,
    },
    /// A target of another kind or length than the set says.
    #[error("the target of sample {index} is {got}, expected {expected}")]
    Target {
        /// Index of the sample in the data set.
        index: usize,
        /// What it is, in words.
        got: String,
        /// What it should be, in words.
        expected: String,
    },
    /// A label that is not a class.
    #[error("label {label} of sample {index} is out of range for {}", Count::of(*num_classes, "class"))]
    Label {
        /// Index of the sample in the data set.
        index: usize,
        /// The label.
        label: u32,
        /// The number of classes.
        num_classes: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Subset;

    /// Samples of 1x1x2 bytes and labels below 3, but for the one at `index`, which is `odd`.
    struct Odd {
        index: usize,
        odd: Sample<'static>,
        normalization: Normalization,
    }

    impl Dataset for Odd {
        fn len(&self) -> usize {
            10
        }

        fn sample_shape(&self) -> [usize; 3] {
            [1, 1, 2]
        }

        fn num_classes(&self) -> usize {
            3
        }

        fn normalization(&self) -> &Normalization {
            &self.normalization
        }

        fn read(&self, index: usize) -> Sample<'_> {
            if index == self.index {
                self.odd
            } else {
                Sample { pixels: Pixels::U8(&[1, 2]), target: Target::Class(2) }
            }
        }
    }

    fn odd(pixels: Pixels<'static>, label: u32) -> Odd {
        odd_target(pixels, Target::Class(label))
    }

    fn odd_target(pixels: Pixels<'static>, target: Target<'static>) -> Odd {
        Odd { index: 7, odd: Sample { pixels, target }, normalization: Normalization::unit_range(1) }
    }

    #[test]
    fn a_wrong_sample_is_named_by_its_index() {
        for (set, expected) in [
            (odd(Pixels::U8(&[0, 0]), 3), "label 3 of sample 7 is out of range for 3 classes"),
            (odd(Pixels::U8(&[0; 3]), 0), "sample 7 has 3 values, expected 2 for sample shape [1, 1, 2]"),
            (
                odd_target(Pixels::U8(&[0; 2]), Target::Values(&[0.5])),
                "the target of sample 7 is 1 value, expected a class",
            ),
            (odd(Pixels::F32(&[0.0; 2]), 0), "sample 7 has values of type f32, the first sample of type u8"),
        ] {
            assert_eq!(set.check_samples(0..10).unwrap_err().to_string(), expected);
            assert_eq!(set.check_samples(0..7), Ok(()));
            assert_eq!(set.check_samples(8..10), Ok(()));
            // Of a part, too, it is the index in the whole set.
            let part = Subset::new(&set, 4..9);
            assert_eq!(part.check_samples(0..5).unwrap_err().to_string(), expected);
            assert_eq!(part.check_samples(0..3), Ok(()));
        }
        assert_eq!(odd(Pixels::U8(&[3, 4]), 1).check_samples(0..10), Ok(()));
    }
}
