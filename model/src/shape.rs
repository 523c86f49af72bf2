//! The shape of one sample's activation.

use std::fmt;

/// Channels, height and width of one sample; a vector of features is `features` x 1 x 1.
///
/// An activation of a shard of `n` samples is `[c, h, w, n]`, samples innermost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Channels, or features of a vector.
    pub c: usize,
    /// Height.
    pub h: usize,
    /// Width.
    pub w: usize,
}

impl Shape {
    /// An image of `c` channels, `h` high and `w` wide.
    pub fn image(c: usize, h: usize, w: usize) -> Self {
        Self { c, h, w }
    }

    /// A vector of `features` elements.
    pub fn vector(features: usize) -> Self {
        Self { c: features, h: 1, w: 1 }
    }

    /// Elements of one sample.
    pub fn elements(&self) -> usize {
        self.c * self.h * self.w
    }

    /// Whether it is a vector of features.
    pub fn is_vector(&self) -> bool {
        self.h == 1 && self.w == 1
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_vector() { write!(f, "{}", self.c) } else { write!(f, "{}x{}x{}", self.c, self.h, self.w) }
    }
}
