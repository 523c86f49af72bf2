//! Batch normalisation: each channel gets mean 0 and variance 1, and is then scaled and shifted.
//!
//! A channel of a `[C, H, W, N]` buffer is one contiguous block of `m = H*W*N` values, so every pass reads
//! and writes memory in order.
//!
//! # Statistics over several shards
//!
//! [`batch_norm_train`] and [`batch_norm_backward`] use the statistics of the values at hand. Their parts are
//! functions of their own, for a caller that adds up statistics over shards in between:
//!
//! ```text
//! forward    batch_norm_moments           each shard's moments
//!            Moments::sums                numbers that the caller can add up over shards
//!            Moments::from_sums           the moments of all shards
//!            batch_norm_normalise         y, from the common mean and standard deviation
//! backward   batch_norm_gradient_sums     numbers that the caller can add up over shards
//!            batch_norm_affine_gradient   a shard's part of dgamma and dbeta, from its own sums
//!            batch_norm_input_gradient    dx, from the sums of all shards
//! ```
//!
//! With the sums of one shard, these functions give the bits of the two functions above.
//!
//! # Source
//!
//! Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
//! Shift", 2015, algorithm 1 and section 3. The caller keeps the running statistics.

mod backward;
mod forward;
mod moments;

pub use backward::{
    AffineGradient, GradientSums, InputGradient, batch_norm_affine_gradient, batch_norm_backward,
    batch_norm_gradient_sums, batch_norm_input_gradient,
};
pub use forward::{
    BatchStatistics, RunningStatistics, batch_norm_eval, batch_norm_normalise, batch_norm_train,
};
pub use moments::{Moments, batch_norm_moments};

use crate::Activation;
use crate::element::Element;

/// The factor and the addend of each normalised channel: one value for each channel.
#[derive(Debug, Clone, Copy, Default)]
pub struct Affine<'a, T> {
    /// Factors; `None` stands for ones.
    pub gamma: Option<&'a [T]>,
    /// Addends; `None` stands for zeros.
    pub beta: Option<&'a [T]>,
}

/// The statistics that values were normalised with, one value for each channel.
#[derive(Debug, Clone, Copy)]
pub struct SavedStatistics<'a, T> {
    /// The mean.
    pub mean: &'a [T],
    /// `1 / sqrt(var + eps)`.
    pub inv_std: &'a [T],
}

/// What a forward pass normalised with: the functions of the backward pass need to know it.
#[derive(Debug, Clone, Copy)]
pub struct Normalisation<'a, T> {
    /// Factors and addends.
    pub affine: Affine<'a, T>,
    /// Mean and standard deviation.
    pub saved: SavedStatistics<'a, T>,
    /// The function of the result. Its gradient needs no output: what it was applied to is computed
    /// again, to the bit.
    pub activation: Activation,
}

/// The factor of a channel.
fn factor<T: Element>(gamma: Option<&[T]>, channel: usize) -> T {
    gamma.map_or(T::ONE, |gamma| gamma[channel])
}

fn block_len(what: &str, c: usize, x: usize, other: usize) -> usize {
    assert_eq!(x, other, "{what}: one buffer has {x} elements and another has {other}");
    assert!(c > 0 && x.is_multiple_of(c), "{what}: {x} elements cannot be {c} channels of equal length");
    x / c
}

/// Asserts that each length that is there is `c`.
fn check_channels<const N: usize>(c: usize, lengths: [(&str, Option<usize>); N]) {
    for (name, len) in lengths {
        let len = len.unwrap_or(c);
        assert_eq!(len, c, "batch normalisation of {c} channels: {name} has {len} values");
    }
}
