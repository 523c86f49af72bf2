//! The direct kernels of a convolution whose kernel is one element and has a stride, as the shortcuts of residual networks
//! have.
//!
//! There are so few products that moving the images takes as long as they do. So in these kernels every line of an image is
//! moved once, and the two go on side by side.

mod input_gradient;

pub(super) use input_gradient::{InputGradient, Subsampled as SubsampledInputGradient};

use super::axis::Axis;

/// Lanes of the widest vector of any level and type.
const MAX_LANES: usize = 16;

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
}
