//! Naive implementations in f64, one loop nest a formula: what the kernels are tested against.
//!
//! They are written to be read, not to be fast, and share no code with the kernels.

pub mod activation;
pub mod batch_norm;
pub mod conv;
pub mod gemm;
pub mod loss;
pub mod optimizer;
pub mod pool;
