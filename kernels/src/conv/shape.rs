//! The shape of a convolution, and the errors of its check.

use super::axis::Axis;
use super::{Path, choice};
use crate::Size2;
use std::fmt;

/// Why a shape is no convolution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConvError {
    /// A size, stride or dilation is zero.
    #[error("convolution: {what} must be at least 1")]
    Zero {
        /// The name of the number, for example `the stride`.
        what: &'static str,
    },
    /// The channels or the filters cannot be cut into groups of equal size.
    #[error("convolution: {c} channels and {f} filters cannot be cut into {groups} equal groups")]
    UnequalGroups {
        /// The number of groups.
        groups: usize,
        /// The number of channels.
        c: usize,
        /// The number of filters.
        f: usize,
    },
    /// The dilated kernel does not fit in the padded image.
    #[error(
        "convolution: a kernel of {kernel} (dilation {dilation}) does not fit in an image of {image} with padding {padding}"
    )]
    KernelTooLarge {
        /// Kernel size along the axis.
        kernel: usize,
        /// Dilation along the axis.
        dilation: usize,
        /// Image size along the axis.
        image: usize,
        /// Padding on each side.
        padding: usize,
    },
    /// Winograd's algorithm does not serve the shape.
    #[error(
        "convolution: Winograd's algorithm is for kernels of 3x3 with stride 1, dilation 1, one group and padding of at most 2, not for {shape}"
    )]
    NoWinograd {
        /// The shape.
        shape: Box<Conv2dShape>,
    },
    /// A tensor would have more elements than memory has addresses.
    #[error("convolution: the shape has more elements than can be addressed")]
    TooLarge,
}

/// The fewest channels and filters for which a matrix product is at least as fast as direct loops.
const MIN_PRODUCT_CHANNELS: usize = 8;

/// The shape of a convolution, without the number of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dShape {
    /// Input channels.
    pub c: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Filters, which are the output channels.
    pub f: usize,
    /// Kernel height.
    pub kh: usize,
    /// Kernel width.
    pub kw: usize,
    /// Steps from one position of the kernel to the next.
    pub stride: Size2,
    /// Zeros on each side of the image: above and below, left and right.
    pub padding: Size2,
    /// Distances between neighbouring kernel elements.
    pub dilation: Size2,
    /// Groups of channels and filters. A filter sees the channels of its group only. With 1, it sees all;
    /// with as many as there are channels, the convolution is depthwise.
    pub groups: usize,
}

/// `16x32x32, 32 filters of 3x3, stride 2, padding 1`: channels, height and width of the image, and what is
/// not as usual.
impl fmt::Display for Conv2dShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { c, h, w, f: filters, kh, kw, stride, padding, dilation, groups } = self;
        write!(f, "{c}x{h}x{w}, {filters} filters of {kh}x{kw}")?;
        for (name, value, usual) in
            [("stride", stride, 1), ("padding", padding, 0), ("dilation", dilation, 1)]
        {
            match value {
                Size2 { h, w } if [*h, *w] == [usual; 2] => {}
                Size2 { h, w } if h == w => write!(f, ", {name} {h}")?,
                size => write!(f, ", {name} {size}")?,
            }
        }
        if *groups > 1 { write!(f, ", {groups} groups") } else { Ok(()) }
    }
}

impl Conv2dShape {
    /// Checks the shape, and returns its vertical and its horizontal axis.
    pub(super) fn axes(&self) -> Result<[Axis; 2], ConvError> {
        let Self { c, h, w, f, kh, kw, stride, padding, dilation, groups } = *self;
        for (what, value) in [
            ("the number of channels", c),
            ("the image height", h),
            ("the image width", w),
            ("the number of filters", f),
            ("the kernel height", kh),
            ("the kernel width", kw),
            ("the stride", stride.h.min(stride.w)),
            ("the dilation", dilation.h.min(dilation.w)),
            ("the number of groups", groups),
        ] {
            if value == 0 {
                return Err(ConvError::Zero { what });
            }
        }
        if !(c.is_multiple_of(groups) && f.is_multiple_of(groups)) {
            return Err(ConvError::UnequalGroups { groups, c, f });
        }
        let rows = Axis::new(h, kh, stride.h, padding.h, dilation.h)?;
        let columns = Axis::new(w, kw, stride.w, padding.w, dilation.w)?;
        for factors in [[c, h, w, 1], [f, rows.outputs, columns.outputs, 1], [f, c / groups, kh, kw]] {
            factors.iter().try_fold(1usize, |a, b| a.checked_mul(*b)).ok_or(ConvError::TooLarge)?;
        }
        Ok([rows, columns])
    }

    /// Whether Winograd's algorithm serves the shape: a kernel of 3x3, stride 1, dilation 1, one group, and
    /// at most 2 zeros on each side.
    pub fn allows_winograd(&self) -> bool {
        let one = Size2::from(1);
        (self.kh, self.kw, self.stride, self.dilation, self.groups) == (3, 3, one, one, 1)
            && self.padding.h.max(self.padding.w) <= 2
    }

    /// The Winograd path that suits the size of the output; `None` if Winograd's algorithm does not serve the
    /// shape.
    pub fn winograd_path(&self) -> Option<Path> {
        let [rows, columns] = self.axes().ok().filter(|_| self.allows_winograd())?;
        Some(choice::winograd_path(rows.outputs, columns.outputs))
    }

    /// Whether there are several groups and each has one channel.
    pub(super) fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.c
    }

    /// Whether the passes are plain products of matrices that are large enough: the kernel is one element,
    /// and no output reads beside the image.
    pub(super) fn is_product(&self) -> bool {
        let least = self.c.min(self.f) / self.groups;
        (self.kh, self.kw, self.padding) == (1, 1, Size2::from(0)) && least >= MIN_PRODUCT_CHANNELS
    }
}
