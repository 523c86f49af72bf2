//! How convolutions choose their algorithm.

use isograd_kernels::conv::{Conv2dShape, Path, Paths, Precision};

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

    /// The paths of a convolution of `shape` with factors of `precision`; `None` if there is none that serves
    /// it.
    pub(crate) fn paths(self, shape: &Conv2dShape, precision: Precision) -> Option<Paths> {
        let is_rounded = precision == Precision::Bfloat16;
        let forced = match self {
            Self::Auto if is_rounded => return Paths::by_shape_bf16(shape).ok(),
            Self::Auto => return Paths::by_shape(shape).ok(),
            Self::Direct => Path::Direct,
            Self::Winograd => shape.winograd_path()?,
            Self::Im2col => Path::Im2col,
        };
        let paths = Paths::all(forced);
        Some(if is_rounded { paths.in_bf16(shape) } else { paths })
    }
}

impl std::fmt::Display for ConvPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
