//! The trait of the element types, `f32` and `f64`.

use crate::precompiled::Precompiled;
use crate::simd::Vectors;

/// An element type: `f32` or `f64`. Other types cannot implement it.
pub trait Element:
    Sealed
    + Default
    + PartialEq
    + PartialOrd
    + Send
    + Sync
    + std::fmt::Debug
    + std::fmt::Display
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
    + std::ops::AddAssign
    + std::iter::Sum
    + bytemuck::Pod
    + From<f32>
    + Into<f64>
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The gap between 1 and the next larger value.
    const EPSILON: Self;
    /// `float32` or `float64`.
    const NAME: &'static str;

    /// The value of this type that is nearest to `value`.
    fn from_f64(value: f64) -> Self;

    /// The same value, exactly.
    fn to_f64(self) -> f64;

    /// The value's bytes, least significant first.
    fn to_le_bytes(self) -> impl AsRef<[u8]>;

    /// The value with these bytes, least significant first.
    ///
    /// # Panics
    ///
    /// When `bytes` is not exactly as long as the type.
    fn from_le_bytes(bytes: &[u8]) -> Self;

    /// Returns true when the value is neither infinite nor NaN.
    fn is_finite(self) -> bool {
        self.to_f64().is_finite()
    }
}

/// The operations that the kernels need of an element type. Other crates cannot reach this trait.
pub trait Sealed: Vectors + Precompiled {}

impl Sealed for f32 {}
impl Sealed for f64 {}

impl Element for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const EPSILON: Self = f32::EPSILON;
    const NAME: &'static str = "float32";

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn to_le_bytes(self) -> impl AsRef<[u8]> {
        f32::to_le_bytes(self)
    }

    fn from_le_bytes(bytes: &[u8]) -> Self {
        f32::from_le_bytes(bytes.try_into().expect("the bytes of one element"))
    }
}

impl Element for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const EPSILON: Self = f64::EPSILON;
    const NAME: &'static str = "float64";

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }

    fn to_le_bytes(self) -> impl AsRef<[u8]> {
        f64::to_le_bytes(self)
    }

    fn from_le_bytes(bytes: &[u8]) -> Self {
        f64::from_le_bytes(bytes.try_into().expect("the bytes of one element"))
    }
}
