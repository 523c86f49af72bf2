//! The command line: from words to plans that cannot contradict themselves.
//!
//! ```text
//! words -> spelling (one form) -> args (clap, with parsers for values) -> plan (checked, typed)
//! ```

mod args;
pub(crate) mod clap_error;
mod job_args;
pub(crate) mod parsers;
pub(crate) mod plan;
pub(crate) mod spelling;

pub(crate) use args::*;
pub(crate) use job_args::*;
