//! Naive implementations in f64, with one loop nest for each formula. The tests compare the kernels with
//! them.
//!
//! They are written for readers and not for speed, and they share no code with the kernels.

pub mod activation;
pub mod batch_norm;
pub mod conv;
pub mod gemm;
pub mod local_response;
pub mod loss;
pub mod optimizer;
pub mod pool;
