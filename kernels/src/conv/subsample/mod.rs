//! The direct kernels of a convolution whose kernel is one element with a stride, as in the shortcuts of
//! residual networks.
//!
//! Such a convolution has so few products that moving the image takes as long as multiplying. So these
//! kernels move every cache line of the image only once, and the inner loops move a little data with each
//! product, so that the two overlap.

mod forward;
mod input_gradient;
mod weight_gradient;

pub(super) use forward::{SubsampledForward, scratch_len as forward_scratch_len};
pub(super) use input_gradient::{InputGradientPlan, SubsampledInputGradient};
pub(super) use weight_gradient::{SubsampledWeightGradient, scratch_len as weight_gradient_scratch_len};

use super::axis::Axis;

/// The number of lanes in the widest vector of any level and element type.
const MAX_LANES: usize = 16;

/// The plan of a forward pass or an input gradient of such a kernel.
#[derive(Debug, Clone)]
pub(super) enum SubsampledPass {
    Forward(Subsampling),
    InputGradient(InputGradientPlan),
}

/// Which pixel of the image such a kernel connects to which pixel of the output.
#[derive(Debug, Clone)]
pub(super) struct Subsampling {
    /// Rows and columns of the output.
    pixels: [usize; 2],
    /// The number of image pixels from one row that is read to the next, and from one column that is read to
    /// the next.
    steps: [usize; 2],
}

impl Subsampling {
    /// The plan, if the kernel is one element with a stride and has no padding.
    pub(super) fn new(rows: &Axis, columns: &Axis) -> Option<Self> {
        let is_single = |axis: &Axis| (axis.kernel, axis.padding) == (1, 0);
        let has_stride = rows.stride.max(columns.stride) > 1;
        (has_stride && is_single(rows) && is_single(columns)).then(|| Self {
            pixels: [rows.outputs, columns.outputs],
            steps: [rows.stride * columns.inputs, columns.stride],
        })
    }

    /// The number of pixels in the output.
    fn len(&self) -> usize {
        self.pixels[0] * self.pixels[1]
    }

    /// The pixel of the image that pixel `pixel` of the output reads.
    #[inline(always)]
    fn place(&self, pixel: usize) -> usize {
        let [row, column] = [pixel / self.pixels[1], pixel % self.pixels[1]];
        row * self.steps[0] + column * self.steps[1]
    }

    /// The number of pixels from `pixel` to the end of its output row.
    #[inline(always)]
    fn left_of_row(&self, pixel: usize) -> usize {
        self.pixels[1] - pixel % self.pixels[1]
    }
}
