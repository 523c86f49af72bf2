//! The direct kernels of a convolution whose kernel is one element and has a stride, as the shortcuts of residual networks
//! have.
//!
//! There are so few products that moving the images takes as long as they do. So in these kernels every line of an image is
//! moved once, and the two go on side by side.

mod forward;
mod input_gradient;
mod weight_gradient;

pub(super) use forward::{SubsampledForward, scratch_len as forward_scratch_len};
pub(super) use input_gradient::{InputGradientPlan, SubsampledInputGradient};
pub(super) use weight_gradient::{SubsampledWeightGradient, scratch_len as weight_gradient_scratch_len};

use super::axis::Axis;

/// Lanes of the widest vector of any level and type.
const MAX_LANES: usize = 16;

/// The plan of a forward pass or an input gradient of such a kernel.
#[derive(Debug, Clone)]
pub(super) enum SubsampledPass {
    Forward(Subsampling),
    InputGradient(InputGradientPlan),
}

/// The pixels of the image that such a kernel joins to those of the output.
#[derive(Debug, Clone)]
pub(super) struct Subsampling {
    /// Rows and columns of the output.
    pixels: [usize; 2],
    /// Pixels of the image from one row that is joined to the next, and from one column to the next.
    steps: [usize; 2],
}

impl Subsampling {
    /// The plan, if the kernel is of this kind.
    pub(super) fn new(rows: &Axis, columns: &Axis) -> Option<Self> {
        let is_single = |axis: &Axis| (axis.kernel, axis.padding) == (1, 0);
        let has_stride = rows.stride.max(columns.stride) > 1;
        (has_stride && is_single(rows) && is_single(columns)).then(|| Self {
            pixels: [rows.outputs, columns.outputs],
            steps: [rows.stride * columns.inputs, columns.stride],
        })
    }

    /// Pixels of the output.
    fn len(&self) -> usize {
        self.pixels[0] * self.pixels[1]
    }

    /// The pixel of the image that is joined to pixel `pixel` of the output.
    #[inline(always)]
    fn place(&self, pixel: usize) -> usize {
        let [row, column] = [pixel / self.pixels[1], pixel % self.pixels[1]];
        row * self.steps[0] + column * self.steps[1]
    }

    /// Pixels from `pixel` on that are in its row of the output.
    #[inline(always)]
    fn left_of_row(&self, pixel: usize) -> usize {
        self.pixels[1] - pixel % self.pixels[1]
    }
}
