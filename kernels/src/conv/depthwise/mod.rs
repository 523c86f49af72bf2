//! Depthwise convolution: each input channel has `m` filters of its own, which see no other channel.
//!
//! ```text
//! y[f, i, j, n] = b[f] + sum over kh, kw of w[f, kh, kw] * x[f/m, i*s - p + kh*d, j*s - p + kw*d, n]
//! ```
//!
//! There are so few products that loading and storing take longer than multiplying, so the kernels differ
//! from those of [`super::direct`]:
//!
//! 1. The products of a window of up to 3 x 3 kernel elements are unrolled, and its weights stay in registers
//!    while the kernel goes along the rows of the image. A larger kernel is cut into such windows.
//! 2. A window adds all its products to a sum before the sum is stored. In the weight gradient, it keeps one
//!    sum for each weight, and loads each value of `dy` once for all of them.
//! 3. At a border of the image, the window is smaller. So no image is padded, and nothing is copied.
//! 4. A window goes through several rows before the next one, because finding its places takes as long as the
//!    products of a few pixels.
//! 5. Where a pixel is two or four vectors and a window's columns are neighbours, a window needs only one
//!    address for each of its rows.

mod pass;
mod plan;
mod weight_gradient;

pub(crate) use pass::DepthwisePass;
pub(crate) use weight_gradient::DepthwiseWeightGradientPass;

use super::axis::Axis;
use super::direct::Epilogue;
use crate::element::Element;
use crate::{Accum, Isa, Pass};
use plan::Plan;

/// The number of rows and columns of the largest window.
const WINDOW: usize = 3;
/// The number of lanes in the widest vector of any level and element type.
const MAX_LANES: usize = 16;

/// A depthwise convolution with planned loops.
#[derive(Debug, Clone)]
pub(super) struct Depthwise {
    /// The number of filters of each channel.
    multiplier: usize,
    forward: Plan,
    input_gradient: Plan,
}

impl Depthwise {
    /// A convolution that has `multiplier` filters for each channel.
    pub(super) fn new(multiplier: usize, rows: &Axis, columns: &Axis) -> Self {
        Self {
            multiplier,
            forward: Plan::forward(rows, columns),
            input_gradient: Plan::transposed(rows, columns),
        }
    }

    /// The number of elements of scratch memory: the weight gradient keeps the sums of a filter there.
    pub(super) fn scratch_len(&self) -> usize {
        self.forward.kernel_len * MAX_LANES
    }

    pub(super) fn forward<T: Element>(
        &self,
        isa: Isa,
        n: usize,
        [x, w]: [&[T]; 2],
        bias: Option<&[T]>,
        epilogue: Epilogue<'_, T>,
        y: &mut [T],
    ) {
        let (plan, filters) = (&self.forward, [self.multiplier, 1]);
        T::depthwise(isa, DepthwisePass { plan, filters, n, x, w, bias, epilogue, y });
    }

    pub(super) fn input_gradient<T: Element>(
        &self,
        isa: Isa,
        n: usize,
        [dy, w]: [&[T]; 2],
        epilogue: Epilogue<'_, T>,
        dx: &mut [T],
    ) {
        let (plan, filters) = (&self.input_gradient, [1, self.multiplier]);
        T::depthwise(isa, DepthwisePass { plan, filters, n, x: dy, w, bias: None, epilogue, y: dx });
    }

    pub(super) fn weight_gradient<T: Element>(
        &self,
        Pass { isa, n, scratch }: Pass<'_, T>,
        [x, dy]: [&[T]; 2],
        accum: Accum,
        dw: &mut [T],
    ) {
        let (plan, multiplier) = (&self.forward, self.multiplier);
        let pass = DepthwiseWeightGradientPass { plan, multiplier, n, x, dy, accum, dw, scratch };
        T::depthwise_weight_gradient(isa, pass);
    }
}
