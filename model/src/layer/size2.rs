//! Numbers that come in pairs: sizes, strides, paddings of images.

/// A vertical and a horizontal number; one number stands for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size2(pub(crate) [usize; 2]);

impl From<usize> for Size2 {
    fn from(both: usize) -> Self {
        Self([both, both])
    }
}

impl From<[usize; 2]> for Size2 {
    fn from(pair: [usize; 2]) -> Self {
        Self(pair)
    }
}
