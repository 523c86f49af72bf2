//! What is recorded of the time of a run, and where it goes.

use crate::cli::ProfileArgs;
use std::path::{Path, PathBuf};

/// The longest trace file, unless another limit is given: as much as viewers in a browser show with ease.
const TRACE_BYTES: usize = 100_000_000;
/// A shorter trace would hold little but the names of threads.
const LEAST_TRACE_BYTES: usize = 10_000;

/// The profile of a run.
#[derive(Debug, Clone)]
pub(crate) struct ProfilePlan {
    /// Print the table.
    pub(crate) table: bool,
    pub(crate) file: Option<ProfileFile>,
    pub(crate) trace: Option<TracePlan>,
}

/// A profile file.
#[derive(Debug, Clone)]
pub(crate) struct ProfileFile {
    /// `-` is standard output.
    pub(crate) path: PathBuf,
    pub(crate) format: ProfileFormat,
}

/// The format of a profile file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProfileFormat {
    Csv,
    Json,
}

/// A trace file.
#[derive(Debug, Clone)]
pub(crate) struct TracePlan {
    pub(crate) path: PathBuf,
    /// The most bytes of the file.
    pub(crate) bytes: usize,
}

impl ProfilePlan {
    /// The plan of `args`, if they ask for anything.
    pub(crate) fn new(args: ProfileArgs) -> Option<Self> {
        let ProfileArgs { profile: table, profile_out: file, trace, trace_bytes } = args;
        let trace = trace.map(|path| TracePlan { path, bytes: trace_bytes.unwrap_or(TRACE_BYTES) });
        (table || file.is_some() || trace.is_some()).then_some(Self { table, file, trace })
    }

    /// What ranks must have in common: the memory for spans, and whether clocks are compared.
    pub(crate) fn trace_bytes(&self) -> Option<usize> {
        self.trace.as_ref().map(|trace| trace.bytes)
    }
}

impl ProfileFile {
    /// Whether it is standard output.
    pub(crate) fn is_stdout(&self) -> bool {
        self.path == Path::new("-")
    }
}

/// The path of a profile file.
pub(crate) fn profile_file(path: PathBuf) -> Result<ProfileFile, String> {
    let format = match path.extension().and_then(|ending| ending.to_str()) {
        _ if path == Path::new("-") => ProfileFormat::Json,
        Some("csv") => ProfileFormat::Csv,
        Some("json") => ProfileFormat::Json,
        _ => return Err(format!("must end in .csv or .json, or be -, it is '{}'", path.display())),
    };
    Ok(ProfileFile { path, format })
}

/// The length of a trace file.
pub(crate) fn trace_bytes(text: &str) -> Result<usize, String> {
    match text.parse::<u32>() {
        Ok(bytes) if bytes as usize >= LEAST_TRACE_BYTES => Ok(bytes as usize),
        _ => Err(format!("must be a whole number from {LEAST_TRACE_BYTES} to {}, it is '{text}'", u32::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_is_the_format() {
        assert_eq!(profile_file("a.csv".into()).unwrap().format, ProfileFormat::Csv);
        assert_eq!(profile_file("a/b.json".into()).unwrap().format, ProfileFormat::Json);
        let stdout = profile_file("-".into()).unwrap();
        assert!(stdout.is_stdout() && stdout.format == ProfileFormat::Json);
        assert_eq!(
            profile_file("a.txt".into()).unwrap_err(),
            "must end in .csv or .json, or be -, it is 'a.txt'"
        );
    }

    #[test]
    fn a_trace_has_a_length() {
        assert_eq!((trace_bytes("10000"), trace_bytes("4294967295")), (Ok(10_000), Ok(4_294_967_295)));
        for text in ["0", "9999", "-1", "1e6", "100 MB", ""] {
            assert!(trace_bytes(text).unwrap_err().contains(&format!("it is '{text}'")), "{text}");
        }
    }
}
