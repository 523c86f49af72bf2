//! What can be wrong with a list of hosts, or with a choice among them.

use crate::system::count::count;
use std::io;
use std::path::PathBuf;

/// Why no hosts can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("--hostfile {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// A mistake in a line of a hostfile, or in the argument of `-H`.
    #[error("{file}:{line}:{column}: {problem}")]
    Line { file: String, line: usize, column: usize, problem: String },
    #[error("{list}: it names no host")]
    NoHost { list: String },
    /// A choice that leaves no host, or that names one which the list does not have.
    #[error("{option}: {problem}")]
    Choice { option: &'static str, problem: String },
    #[error(
        "-n {ranks}: the hosts have {}, and take at most {}", count(*slots as usize, "slot"), count(*most as usize, "rank")
    )]
    TooFewSlots { ranks: u32, slots: u32, most: u32 },
}

impl Error {
    /// The way out, where there is one.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::TooFewSlots { slots, most, .. } if most == slots => {
                Some("max_slots=N in the hostfile allows more on a host".to_string())
            }
            _ => None,
        }
    }
}
