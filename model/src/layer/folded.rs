//! The work of a layer that is folded into the one in front of it, in use.

use isograd_kernels::Activation;
use std::ops::Range;

/// What a layer adds and applies in the place of its own bias and function, where the parameters are folded.
#[derive(Debug, Clone)]
pub(super) struct Folded {
    /// The folded bias among the parameters.
    pub(super) bias: Range<usize>,
    pub(super) activation: Activation,
}
