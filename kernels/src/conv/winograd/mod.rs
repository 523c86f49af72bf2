//! Winograd's algorithm for kernels of 3x3 at stride 1: fewer products, at the price of transforms.
//!
//! ```text
//! F(m, 3):  y = A^T [ (G w G^T) * (B^T x B) ] A    for m x m outputs and their patch of (m+2) x (m+2) pixels
//! ```
//!
//! where `*` multiplies element by element. The sum over channels is taken of the products, in the
//! transformed domain, so for each of the `(m+2)^2` elements ("points") the work is one product of matrices.
//! It takes `(m+2)^2 / m^2` multiplications for each output and pair of channels where the direct sum takes
//! 9: 4 with tiles of 2, 2.25 with tiles of 4. The input gradient is the same over transposed and mirrored
//! weights. The weight gradient is the transpose of the forward pass: `dw = G^T [ sum of (A dy A^T) * (B^T x
//! B) ] G`.
//!
//! 1. Samples are in the lanes of the transforms. Tiles and samples form one contiguous index of
//!    [columns], so transforms and products have full vectors even when a shard has few samples.
//! 2. A block of tiles is taken through all three parts, so that the transformed values stay in the cache.
//! 3. Transformed images and gradients and their products lie in [records] of all points, so that a transform
//!    computes and checks one address instead of one for each point.
//! 4. The weights are transformed once for all shards of a step, and packed in the order in which the
//!    products read them.
//! 5. At the borders, values outside the image are zeros, and outputs outside it are not stored. Both are
//!    found by the check of a slice's bounds.
//!
//! Each sum is over channels (in the weight gradient: over tiles and their samples), in one order, which does
//! not depend on blocks. The tiles begin at the image's corner. So block sizes and parts of the filters
//! change no bit.
//!
//! # Errors
//!
//! Each computed value is a sum of terms, and each term goes through at most `k` roundings, each with a
//! relative error of at most `u = EPSILON / 2`. So to first order in `u`, the error is at most `k u` times
//! the same sum over absolute values,
//!
//! ```text
//! forward:          k u |A|^T [ sum over c of (|G| |w| |G|^T) * (|B|^T |x| |B|) ] |A|,     k = C + 26
//! input gradient:   the same of dy and the mirrored weights,                               k = F + 26
//! weight gradient:  k u |G|^T [ sum over columns of (|A| |dy| |A|^T) * (|B|^T |x| |B|) ] |G|,
//!                                                                     k = samples * tiles + 26
//! ```
//!
//! The 26 are 8 in each transform (at most 4 roundings along an axis: of a factor, a product and two
//! additions), one for the bias or an old value, and one for the first product. No transform has terms that
//! cancel each other, so no intermediate value is larger than its share of this bound.
//!
//! This is a bound relative to the largest values in a patch, not to the output's own terms: where an image
//! has one large value, all outputs of its tile have its error. For images and weights of one size each, the
//! measured root of the mean square of the error is 0.8 times the direct sum's in F(2, 3), and 3 times in
//! F(4, 3).
//!
//! # Source
//!
//! Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks* (2016). The points of F(4, 3) are
//! those of a search for the smallest error; see [`transform`].

mod columns;
mod correlate;
mod factors;
mod input;
mod plan;
mod products;
mod records;
#[cfg(test)]
mod tests;
mod transform;
mod weight_gradient;
mod weights;

pub(crate) use correlate::WinogradPass;
pub(crate) use weight_gradient::WinogradWeightGradientPass;
pub(crate) use weights::WinogradWeights;

pub(super) use weights::PANELS;

use super::direct::{Epilogue, WeightStrides};
use super::{Conv2dShape, Path, Paths, Precision};
use crate::element::Element;
use crate::isa::Isa;
use crate::{Accum, Pass};
use plan::Correlation;
use std::ops::Range;
use weight_gradient::WeightGradient;

/// The planned Winograd passes of a convolution.
#[derive(Debug, Clone)]
pub(super) struct Winograd {
    /// The number of channels of the image.
    c: usize,
    forward: Option<Correlation>,
    input_gradient: Option<Correlation>,
    weight_gradient: Option<WeightGradient>,
}

/// The number of outputs of a tile of `path` along each axis, if it is Winograd's.
pub(super) fn tile_of(path: Path) -> Option<usize> {
    match path {
        Path::WinogradF2 => Some(2),
        Path::WinogradF4 => Some(4),
        Path::Direct | Path::Im2col => None,
    }
}

impl Winograd {
    /// Plans those passes of `shape` whose path is Winograd's.
    pub(super) fn new(shape: &Conv2dShape, [oh, ow]: [usize; 2], paths: &Paths) -> Self {
        let Conv2dShape { c, h, w, f, padding, .. } = *shape;
        let forward = |m, precision| Correlation {
            inputs: c,
            outputs: f,
            source: [h, w],
            target: [oh, ow],
            padding: [padding.h, padding.w],
            m,
            precision,
        };
        // Output p reads input p - padding + k, so input p is read by outputs p + padding - k: with a
        // mirrored kernel, by those from p - (2 - padding) on.
        let transposed = |m, precision| Correlation {
            inputs: f,
            outputs: c,
            source: [oh, ow],
            target: [h, w],
            padding: [2 - padding.h, 2 - padding.w],
            m,
            precision,
        };
        Self {
            c,
            forward: tile_of(paths.forward).map(|m| forward(m, paths.precision)),
            input_gradient: tile_of(paths.input_gradient).map(|m| transposed(m, paths.precision)),
            weight_gradient: tile_of(paths.weight_gradient)
                .map(|m| WeightGradient::new(forward(m, paths.weight_gradient_precision))),
        }
    }

    /// The number of elements of scratch memory that each pass needs for at most `n` samples.
    pub(super) fn scratch_len(&self, n: usize) -> usize {
        let correlations = [&self.forward, &self.input_gradient].into_iter().flatten();
        let gradient = self.weight_gradient.as_ref().map_or(0, |plan| plan.scratch_len(n));
        correlations.map(|plan| plan.scratch_len(n)).fold(gradient, usize::max)
    }

    /// The number of transformed weights of a filter that the forward pass reads; 0 if it reads none.
    pub(super) fn filter_len(&self) -> usize {
        self.forward.as_ref().map_or(0, Correlation::weights_len)
    }

    /// The number of transformed weights of a channel that the input gradient reads; 0 if it reads none.
    pub(super) fn channel_len(&self) -> usize {
        self.input_gradient.as_ref().map_or(0, Correlation::weights_len)
    }

    /// Transforms the weights of the forward pass for the filters `filters`.
    pub(super) fn prepare_forward<T: Element>(&self, isa: Isa, filters: Range<usize>, w: &[T], u: &mut [T]) {
        let strides = WeightStrides { output: self.c * 9, input: 9 };
        let Some(Correlation { inputs, m, precision, .. }) = self.forward else { return };
        let outputs = filters;
        let kernel = WinogradWeights { w, strides, mirrored: false, inputs, outputs, m, u };
        match precision {
            Precision::Full => T::winograd_weights(isa, kernel),
            Precision::Bfloat16 => T::winograd_weights_bf16(isa, kernel),
        }
    }

    /// Transforms the weights of the input gradient for the channels `channels`.
    pub(super) fn prepare_input_gradient<T: Element>(
        &self,
        isa: Isa,
        channels: Range<usize>,
        w: &[T],
        u: &mut [T],
    ) {
        let strides = WeightStrides { output: 9, input: self.c * 9 };
        let Some(Correlation { inputs, m, precision, .. }) = self.input_gradient else { return };
        let outputs = channels;
        let kernel = WinogradWeights { w, strides, mirrored: true, inputs, outputs, m, u };
        match precision {
            Precision::Full => T::winograd_weights(isa, kernel),
            Precision::Bfloat16 => T::winograd_weights_bf16(isa, kernel),
        }
    }

    /// The plan of the forward pass that takes `path`, if that is Winograd's.
    pub(super) fn forward(&self, path: Path) -> Option<&Correlation> {
        self.forward.as_ref().filter(|_| path.is_winograd())
    }

    pub(super) fn input_gradient(&self, path: Path) -> Option<&Correlation> {
        self.input_gradient.as_ref().filter(|_| path.is_winograd())
    }

    pub(super) fn weight_gradient(&self, path: Path) -> Option<&WeightGradient> {
        self.weight_gradient.as_ref().filter(|_| path.is_winograd())
    }
}

/// Runs the weight gradient for `filters` filters, to which `dy` and `dw` belong.
pub(super) fn weight_gradient<T: Element>(
    plan: &WeightGradient,
    pass: Pass<'_, T>,
    filters: usize,
    [x, dy]: [&[T]; 2],
    accum: Accum,
    dw: &mut [T],
) {
    let Pass { isa, n, scratch } = pass;
    let kernel = WinogradWeightGradientPass { plan, filters, n, x, dy, accum, dw, scratch };
    match plan.forward.precision {
        Precision::Full => T::winograd_weight_gradient(isa, kernel),
        Precision::Bfloat16 => T::winograd_weight_gradient_bf16(isa, kernel),
    }
}

/// Runs the forward pass or the input gradient for the output channels `outputs`.
pub(super) fn correlate<T: Element>(
    plan: &Correlation,
    pass: Pass<'_, T>,
    outputs: Range<usize>,
    [x, u]: [&[T]; 2],
    bias: Option<&[T]>,
    epilogue: Epilogue<'_, T>,
    y: &mut [T],
) {
    let Pass { isa, n, scratch } = pass;
    let kernel = WinogradPass { plan, n, outputs, x, u, bias, epilogue, y, scratch };
    match plan.precision {
        Precision::Full => T::winograd(isa, kernel),
        Precision::Bfloat16 => T::winograd_bf16(isa, kernel),
    }
}
