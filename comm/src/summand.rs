//! The numbers that a collective can add up.

use std::fmt::Debug;
use std::ops::Add;

/// A number that collectives add up: `f32` or `f64`.
///
/// The trait is implemented for every type that holds each `f32` and fits in an `f64`. So a generic function with such a bound
/// of its own can call collectives without naming this trait.
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
