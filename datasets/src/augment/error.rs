//! Why samples cannot be augmented as asked.

use crate::count::Count;

/// Why a transformation cannot be used, or not with the samples of a set.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AugmentError {
    /// A number is outside of its range.
    #[error("the {number} of the {transformation} is {got}, expected {expected}")]
    Number {
        /// The transformation.
        transformation: &'static str,
        /// What the number is.
        number: &'static str,
        /// What it should be.
        expected: &'static str,
        /// The number.
        got: f64,
    },
    /// A part of an image is larger than the image.
    #[error(
        "the {transformation} takes {}x{} pixels, but the image has {}x{}", size[0], size[1], image[0], image[1]
    )]
    TooLarge {
        /// The transformation.
        transformation: &'static str,
        /// Height and width of the part.
        size: [usize; 2],
        /// Height and width of the image, with its border.
        image: [usize; 2],
    },
    /// A border would reflect more than there is.
    #[error("a border of {border} cannot reflect an image of {}x{}: it must be smaller than both", image[0], image[1])]
    Reflection {
        /// The width of the border.
        border: usize,
        /// Height and width of the image.
        image: [usize; 2],
    },
    /// Colours of images that have none.
    #[error("the {transformation} is for images of 1 or 3 channels, these have {channels}")]
    Channels {
        /// The transformation.
        transformation: &'static str,
        /// Channels of the images.
        channels: usize,
    },
    /// More samples than the random numbers can tell apart.
    #[error("{} are too many to augment, at most {} are possible", Count::of(*samples, "sample"), u32::MAX)]
    TooManySamples {
        /// The number of samples.
        samples: usize,
    },
}

/// `value`, if it is in the range that `expected` describes.
pub(super) fn check(
    transformation: &'static str,
    number: &'static str,
    value: f64,
    is_fine: bool,
    expected: &'static str,
) -> Result<(), AugmentError> {
    match is_fine {
        true => Ok(()),
        false => Err(AugmentError::Number { transformation, number, expected, got: value }),
    }
}

/// Checks a probability.
pub(super) fn check_probability(transformation: &'static str, value: f64) -> Result<(), AugmentError> {
    check(transformation, "probability", value, (0.0..=1.0).contains(&value), "at least 0 and at most 1")
}

/// Checks a number of pixels. The bound keeps sums and products of sizes far from overflow.
pub(super) fn check_pixels(
    transformation: &'static str,
    number: &'static str,
    pixels: usize,
    least: usize,
) -> Result<(), AugmentError> {
    const MOST: usize = 1 << 16;
    let expected = if least == 0 { "at most 65536 pixels" } else { "1 to 65536 pixels" };
    check(transformation, number, pixels as f64, (least..=MOST).contains(&pixels), expected)
}
