//! Options of profiles and traces.

use crate::cli::parsers;
use crate::cli::profile_plan::{ProfileFile, profile_file, trace_bytes};
use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct ProfileArgs {
    /// Print at the end what the time went into, by layer and pass, and what limits the run
    #[arg(long, conflicts_with = "find_lr")]
    pub(crate) profile: bool,
    /// Write the profile to this file: CSV (.csv), JSON (.json), or - for JSON on standard output
    #[arg(long, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(profile_file))]
    #[arg(conflicts_with = "find_lr")]
    pub(crate) profile_out: Option<ProfileFile>,
    /// Write a trace of all ranks and threads to this JSON file, for ui.perfetto.dev or chrome://tracing
    #[arg(long, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(parsers::new_file))]
    #[arg(conflicts_with = "find_lr")]
    pub(crate) trace: Option<PathBuf>,
    /// End the trace where its file would have more bytes; training goes on [default: 100000000]
    #[arg(long, value_name = "BYTES", value_parser = trace_bytes, requires = "trace")]
    #[arg(allow_negative_numbers = true)]
    pub(crate) trace_bytes: Option<usize>,
}
