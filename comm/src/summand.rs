//! The numbers that a collective can add up.

use std::fmt::Debug;
use std::ops::Add;

/// A number that collectives add up: `f32` or `f64`.
///
/// The trait is implemented for every type that holds each `f32` and fits in an `f64`. So a generic function
/// whose own bounds say this can call collectives without naming the trait. Values of 4 bytes are added up as
/// `f32`, values of 8 bytes as `f64`; other sizes do not compile.
pub trait Summand: bytemuck::Pod + Debug + Send + Sync + Add<Output = Self> + From<f32> + Into<f64> {
    /// The type's name and size, for code that holds only bytes.
    #[doc(hidden)]
    const KIND: Kind;
}

impl<T: bytemuck::Pod + Debug + Send + Sync + Add<Output = T> + From<f32> + Into<f64>> Summand for T {
    const KIND: Kind = match size_of::<T>() {
        4 => Kind::F32,
        8 => Kind::F64,
        _ => panic!("collectives add up f32 and f64 only"),
    };
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
