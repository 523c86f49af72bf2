//! The errors of this crate, nested by topic. Every message stands alone: it names the place, the ranks and
//! the numbers.

mod file;
mod mpi;
mod peer;
mod rendezvous;
mod shared_memory;
mod variables;
mod words;

pub use file::FileError;
pub use mpi::MpiError;
pub use peer::PeerError;
pub use rendezvous::RendezvousError;
pub use shared_memory::SharedMemoryError;
pub use variables::VariablesError;
pub use words::{RankNumber, RankValue};

use crate::limits::MAX_WORLD;
use std::io;
use std::sync::Arc;

/// An error of this crate.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried, as a verb with its object: `read /tmp/key`.
        action: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },

    /// A rank that the group does not have, or an impossible group size.
    #[error("rank {rank} of {world_size}: a group has 1 to {MAX_WORLD} ranks, counted from 0")]
    Rank {
        /// The rank.
        rank: usize,
        /// The number of ranks.
        world_size: usize,
    },

    /// A key file or a meeting file cannot be trusted or read.
    #[error(transparent)]
    File(#[from] FileError),

    /// The environment variables of a launcher are incomplete, wrong, or contradict each other.
    #[error(transparent)]
    Variables(#[from] VariablesError),

    /// The ranks did not become a group.
    #[error(transparent)]
    Rendezvous(#[from] RendezvousError),

    /// MPI cannot be used.
    #[error(transparent)]
    Mpi(#[from] MpiError),

    /// The ranks of a host cannot share memory.
    #[error(transparent)]
    SharedMemory(#[from] SharedMemoryError),

    /// Another rank of the group failed, ended, was silent, or broke the rules.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

impl Error {
    pub(crate) fn io(action: impl Into<String>, source: io::Error) -> Self {
        Self::Io { action: action.into(), source: Arc::new(source) }
    }

    /// Whether the failure of another rank caused this error: then the cause is to be looked for there.
    pub fn is_consequence(&self) -> bool {
        match self {
            Self::Peer(error) => error.is_consequence(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn messages_name_the_numbers() {
        let missing = |ranks: Vec<usize>, refused| RendezvousError::Missing {
            place: "10.0.0.1:29500".into(),
            ranks,
            waited: Duration::from_secs(60),
            refused,
            listened: None,
        };
        assert_eq!(
            missing(vec![2, 3], 0).to_string(),
            "rendezvous at 10.0.0.1:29500: ranks 2 and 3 did not come within 60 s"
        );
        assert_eq!(
            missing(vec![7], 2).to_string(),
            "rendezvous at 10.0.0.1:29500: rank 7 did not come within 60 s (2 connections were refused)"
        );
    }

    #[test]
    fn errors_that_another_rank_caused_are_consequences() {
        let cause = String::from("the disk is full");
        let told = Error::from(PeerError::Reported { by: 2, cause });
        let own = Error::from(SharedMemoryError::SeveralHosts { rank: 1 });
        let both = RankValue::ordered((1, "broadcast".into()), (0, "allreduce".into()));
        let [first, second] = both;
        let mistake = Error::from(PeerError::Mismatch { first, second });
        assert_eq!([told, own, mistake].map(|error| error.is_consequence()), [true, false, false]);
    }
}
