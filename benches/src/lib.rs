//! The parts that all benchmarks share: measuring the machine's peaks, test data, and the report of one line.
//!
//! ```text
//! cargo bench -p isograd-benches --bench conv               every convolution at the CPU's best level
//! cargo bench -p isograd-benches --bench conv -- conv2      the benchmarks whose name contains conv2
//! cargo bench -p isograd-benches --bench conv -- avx2       another level, by its name
//! cargo test -p isograd-benches --benches                   runs each once, untimed, and checks its result
//! ```
//!
//! A report has the level, the number of threads, the median time, the rate, and the rate in percent of a
//! peak that the same process has just measured:
//!
//! - Arithmetic ([`Work::Flops`]) is compared with [`fma_peak`]. Operations on padding are not counted.
//! - Memory traffic ([`Work::Bytes`]) is compared with [`copy_peak`] of the same footprint, so that a kernel
//!   is compared with the cache level that it runs in. A copy reads as much as it writes, so a kernel that
//!   mostly reads can exceed 100 %.
//!
//! A kernel runs on one thread, again and again on the same buffers. So the buffers stay in the smallest
//! cache that holds them.

#![forbid(unsafe_code)]

mod data;
mod peak;
mod report;
mod suite;

pub use data::{Buffer, assert_close, integers, widen};
pub use isograd_kernels::peak::fma_peak;
pub use peak::copy_peak;
pub use report::Work;
pub use suite::Suite;
