//! The numbers that a collective can add up.

use std::any::{TypeId, type_name};
use std::fmt::Debug;
use std::ops::Add;

/// A number that collectives add up: `f32` or `f64`.
///
/// The trait has a blanket implementation, so a generic function whose own bounds are these can call
/// collectives without naming the trait. Other types that meet the bounds compile, and panic when they are
/// used.
pub trait Summand:
    bytemuck::Pod + Debug + Send + Sync + Add<Output = Self> + From<f32> + Into<f64> + 'static
{
    /// Which of the two types this is, for code that holds only bytes.
    ///
    /// # Panics
    ///
    /// When it is neither.
    #[doc(hidden)]
    fn kind() -> Kind;
}

impl<T: bytemuck::Pod + Debug + Send + Sync + Add<Output = T> + From<f32> + Into<f64>> Summand for T {
    fn kind() -> Kind {
        match TypeId::of::<T>() {
            id if id == TypeId::of::<f32>() => Kind::F32,
            id if id == TypeId::of::<f64>() => Kind::F64,
            _ => panic!("collectives add up f32 and f64, not {}", type_name::<T>()),
        }
    }
}

/// An element type as a value.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    F32,
    F64,
}

impl Kind {
    #[cfg(feature = "ranks")]
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}
