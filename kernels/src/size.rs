//! A height and a width.

/// A height and a width: the size of an image or a kernel, or a number for each of the two axes, such as a
/// stride.
///
/// ```
/// use isograd_kernels::Size2;
/// assert_eq!(Size2::from(3), Size2 { h: 3, w: 3 });
/// assert_eq!(Size2::from([1, 2]), Size2 { h: 1, w: 2 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size2 {
    /// The height, or the number for the vertical axis.
    pub h: usize,
    /// The width, or the number for the horizontal axis.
    pub w: usize,
}

impl From<usize> for Size2 {
    /// The same number for both axes.
    fn from(both: usize) -> Self {
        Self { h: both, w: both }
    }
}

impl From<[usize; 2]> for Size2 {
    /// `[height, width]`.
    fn from([h, w]: [usize; 2]) -> Self {
        Self { h, w }
    }
}

impl std::fmt::Display for Size2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.h, self.w)
    }
}
