//! Sizes, strides and paddings of images.

use std::fmt;

/// A vertical and a horizontal number; one number stands for both.
///
/// ```
/// use isograd_model::layer::Size2;
/// assert_eq!(Size2::from(3), Size2 { vertical: 3, horizontal: 3 });
/// assert_eq!(Size2::from([2, 5]), Size2 { vertical: 2, horizontal: 5 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size2 {
    /// Along the height.
    pub vertical: usize,
    /// Along the width.
    pub horizontal: usize,
}

impl From<usize> for Size2 {
    fn from(both: usize) -> Self {
        Self { vertical: both, horizontal: both }
    }
}

impl From<[usize; 2]> for Size2 {
    fn from([vertical, horizontal]: [usize; 2]) -> Self {
        Self { vertical, horizontal }
    }
}

impl From<Size2> for [usize; 2] {
    fn from(size: Size2) -> Self {
        [size.vertical, size.horizontal]
    }
}

/// One number where both are equal, else `vertical x horizontal`.
impl fmt::Display for Size2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vertical, horizontal } = self;
        if vertical == horizontal { write!(f, "{vertical}") } else { write!(f, "{vertical}x{horizontal}") }
    }
}
