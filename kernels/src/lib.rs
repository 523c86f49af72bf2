//! Kernels for training neural networks on CPUs: slices in, slices out.
//!
//! There is no tensor type, and a kernel starts no threads. The only state is the memory that each thread
//! keeps for packed matrices (see [`gemm`]). The shape of a convolution or a pooling is a small struct, which
//! is checked once, when a plan is made from it. A kernel call then panics only when a slice has the wrong
//! length; the message gives both lengths. The element types are `f32` and `f64` ([`Element`]).
//!
//! # Layout
//!
//! Activations are `[C, H, W, N]`: the samples of a shard are innermost and contiguous. So every operation
//! vectorises over samples, whatever the number of channels and the image size. [`layout`] converts from and
//! to NCHW and NHWC.
//!
//! # Arguments
//!
//! The level comes first, then sizes, inputs, and outputs last. A kernel that needs memory for intermediate
//! results takes a [`Pass`], which holds the level, the number of samples and that memory.
//!
//! # Instruction sets
//!
//! Each kernel has one generic body, which is compiled once for every instruction-set level. An [`Isa`] value
//! selects the level at run time; it exists only for levels that the CPU has. At one level, results are a
//! pure function of the inputs: the same bits on any machine, on any thread, at any alignment.

#![deny(unsafe_code)]

pub mod activation;
#[cfg(target_arch = "x86_64")]
mod avx;
pub mod batch_norm;
mod bf16;
pub mod conv;
pub mod dropout;
mod element;
pub mod elementwise;
mod exp;
pub mod gemm;
mod isa;
pub mod layout;
pub mod local_response;
mod long_sum;
pub mod loss;
mod normal;
pub mod optimizer;
pub mod padding;
pub mod peak;
pub mod philox;
pub mod pool;
mod precompiled;
pub mod reduce;
pub mod reference;
mod simd;
mod size;
pub mod softmax;
#[cfg(target_arch = "x86_64")]
mod sse2;
pub mod storage;
mod tile;
mod transpose;

pub use element::Element;
pub use isa::Isa;
pub use size::Size2;

use std::ops::Range;

/// The arguments, beside its operands, of a pass that needs memory for intermediate results.
#[derive(Debug)]
pub struct Pass<'a, T> {
    /// The instruction-set level.
    pub isa: Isa,
    /// The number of samples.
    pub n: usize,
    /// Memory for intermediate results. Its contents before and after the pass mean nothing.
    pub scratch: &'a mut [T],
}

/// Whether a kernel overwrites its output or adds to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accum {
    /// The kernel overwrites its output.
    Replace,
    /// The kernel adds to its output.
    Add,
}

/// The function that a kernel applies to each result before it stores the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// `x`, unchanged.
    Identity,
    /// `max(x, 0)`; NaN stays NaN.
    Relu,
    /// `min(max(x, 0), 6)`; NaN stays NaN.
    Relu6,
}

/// What follows a result before a kernel stores it: an addition, and then a function. An [`Activation`] alone
/// is one without an addition.
#[derive(Debug, Clone, Copy)]
pub struct Finish<'a, T> {
    /// What is added, in the shape of the output. The bits are those of an addition to the stored result.
    pub addend: Option<&'a [T]>,
    /// The function of the sum.
    pub activation: Activation,
}

impl<'a, T> Finish<'a, T> {
    /// What follows the elements `range` of the output.
    ///
    /// # Panics
    ///
    /// When the addend has no such elements.
    #[must_use]
    pub fn part(self, range: Range<usize>) -> Self {
        Self { addend: self.addend.map(|addend| &addend[range]), ..self }
    }

    /// Panics if there is an addend of another length than that of the output.
    pub(crate) fn check(&self, len: usize) {
        if let Some(addend) = self.addend {
            assert_eq!(addend.len(), len, "the addend has {} elements, the output has {len}", addend.len());
        }
    }
}

impl<T> From<Activation> for Finish<'_, T> {
    fn from(activation: Activation) -> Self {
        Self { addend: None, activation }
    }
}

// The README's example is compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
