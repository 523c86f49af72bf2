//! How convolutions choose their algorithm.

use isograd_kernels::conv::{Conv2d, Conv2dShape, Path};

/// Which algorithm the convolutions of a network take. It changes the rounding of results.
///
/// A convolution that a path does not serve keeps that which [`Auto`](Self::Auto) gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ConvPath {
    /// What suits the shape of each layer and pass; see [`conv`](isograd_kernels::conv).
    #[default]
    Auto,
    /// Sums of products, straight from the image.
    Direct,
    /// Winograd's algorithm: for kernels of 3x3 with stride 1, dilation 1, one group, and padding of at most
    /// 2.
    Winograd,
    /// Products of matrices.
    Im2col,
}

impl ConvPath {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Direct, Self::Winograd, Self::Im2col];

    /// `auto`, `direct`, `winograd` or `im2col`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Direct => "direct",
            Self::Winograd => "winograd",
            Self::Im2col => "im2col",
        }
    }

    /// The convolution of `shape`, which is that of a convolution, on this path; `None` if the path does not
    /// serve it.
    pub(super) fn convolution(self, shape: Conv2dShape) -> Option<Conv2d> {
        match self {
            Self::Auto => Conv2d::new(shape).ok(),
            Self::Direct => Conv2d::with_path(shape, Path::Direct).ok(),
            Self::Winograd => Conv2d::with_path(shape, shape.winograd_path()?).ok(),
            Self::Im2col => Conv2d::with_path(shape, Path::Im2col).ok(),
        }
    }
}

impl std::fmt::Display for ConvPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
