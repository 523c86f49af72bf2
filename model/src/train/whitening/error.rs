//! Why a first layer cannot be made to whiten samples.

use super::patches::MAX_LEN;
use crate::place::Place;

/// Why the first layer of a network cannot be made to whiten samples.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WhitenError {
    /// The first layer is not a convolution.
    #[error("whitening is for networks whose first layer is a convolution")]
    NoConvolution,
    /// The convolution does not take all elements of a patch.
    #[error("{place}: whitening needs a convolution with one group and dilation 1")]
    Spread {
        /// Where the layer stands.
        place: Place,
    },
    /// No patch lies inside of a sample.
    #[error(
        "{place}: its kernel of {}x{} does not fit into samples of {}x{}, so there is nothing to whiten",
        kernel[0], kernel[1], image[0], image[1]
    )]
    NoPatch {
        /// Where the layer stands.
        place: Place,
        /// Height and width of the kernel.
        kernel: [usize; 2],
        /// Height and width of the samples.
        image: [usize; 2],
    },
    /// Filters with more elements than whitening is for.
    #[error("{place}: its filters have {elements} elements, whitening is for at most {MAX_LEN}")]
    TooLarge {
        /// Where the layer stands.
        place: Place,
        /// Elements of a filter.
        elements: usize,
    },
    /// More filters than there are directions and their negatives.
    #[error(
        "{place} has {filters} filters of {elements} elements, of which whitening gives at most {}: one for each \
         element, and its negative", 2 * elements
    )]
    TooManyFilters {
        /// Where the layer stands.
        place: Place,
        /// Its filters.
        filters: usize,
        /// Elements of a filter.
        elements: usize,
    },
    /// Samples with infinite values or NaN.
    #[error("the samples hold infinite values or NaN, so they cannot be whitened")]
    NonFinite,
}
