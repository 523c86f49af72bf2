//! What the benchmarks share: the machine's peaks, test data, and one line of report for each.
//!
//! ```text
//! cargo bench -p isograd-benches --bench conv               every convolution at the CPU's best level
//! cargo bench -p isograd-benches --bench conv -- conv2      those whose name matches
//! cargo bench -p isograd-benches --bench conv -- avx2       another level, by its name
//! cargo test -p isograd-benches --benches                   each once, with its answer checked, nothing timed
//! ```
//!
//! A report names the level, the threads, the median, the rate, and what share that is of a peak which the same process
//! has just measured:
//!
//! - arithmetic ([`Work::Flops`]) against [`fma_peak`]: operations that touch padding are not counted;
//! - streams ([`Work::Bytes`]) against [`copy_peak`] of the same footprint, so that a kernel is compared with the level of
//!   the cache that it runs in. A copy reads as much as it writes: a kernel that mostly reads can exceed 100 %.
//!
//! Kernels run over and over on the same buffers, which stay in whatever cache they fit into, on one thread.

#![forbid(unsafe_code)]

mod data;
mod peak;
mod report;
mod suite;

pub use data::{Buffer, assert_close, integers, widen};
pub use peak::{copy_peak, fma_peak};
pub use report::Work;
pub use suite::Suite;
