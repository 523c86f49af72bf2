//! Kernels for training neural networks on CPUs: slices in, slices out.
//!
//! No tensor type and no threads; the only state is the memory that a thread keeps for packed matrices (see [`gemm`]). Shapes
//! travel in small structs that are checked once; a kernel asserts the
//! lengths of its slices with numbers and cannot fail otherwise. Element types are `f32` and `f64` ([`Element`]).
//!
//! # Layout
//!
//! Activations are `[C, H, W, N]`: the samples of a shard innermost and contiguous. Every operation then vectorises over
//! samples, whatever its channel count and image size. [`layout`] converts from and to NCHW and NHWC.
//!
//! # Instruction sets
//!
//! Each kernel is one generic body, compiled for every level and chosen at run time by an [`Isa`] value, which exists only for
//! levels that the CPU has. Results at one level are a pure function of the inputs: the same bits on any machine, from any
//! thread, at any alignment.

#![forbid(unsafe_code)]

pub mod activation;
pub mod batch_norm;
pub mod conv;
pub mod dropout;
mod element;
pub mod elementwise;
mod exp;
pub mod gemm;
mod isa;
pub mod layout;
mod long_sum;
pub mod loss;
pub mod optimizer;
pub mod philox;
pub mod pool;
mod precompiled;
pub mod reduce;
pub mod reference;
mod simd;
mod size;
pub mod softmax;
mod tile;

pub use element::Element;
pub use isa::Isa;
pub use size::Size2;

/// What a pass with intermediate results needs beside its operands.
#[derive(Debug)]
pub struct Pass<'a, T> {
    /// The instruction-set level.
    pub isa: Isa,
    /// The number of samples.
    pub n: usize,
    /// Memory for intermediate results. Its contents before and after the pass mean nothing.
    pub scratch: &'a mut [T],
}

/// What a kernel does with the destination it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accum {
    /// Overwrite it.
    Replace,
    /// Add to it.
    Add,
}

/// What a kernel applies to its result before it stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `max(x, 0)`; NaN stays NaN.
    Relu,
}

// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
