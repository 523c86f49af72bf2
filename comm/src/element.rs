//! The element types of a collective.

use std::fmt::Debug;

/// What can be added up: `f32` and `f64`. Sealed.
pub trait Element: bytemuck::Pod + Debug + Send + Sync + sealed::Sealed {
    /// The type's name and size, for those who hold only bytes.
    #[doc(hidden)]
    const KIND: Kind;
    #[doc(hidden)]
    fn plus(self, other: Self) -> Self;
}

/// An element type as a value.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    F32,
    F64,
}

impl Kind {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Element for f32 {
    const KIND: Kind = Kind::F32;

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }
}

impl Element for f64 {
    const KIND: Kind = Kind::F64;

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }
}
