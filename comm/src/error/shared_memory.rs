//! Memory that the ranks of a host share.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The ranks of a host cannot share memory.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SharedMemoryError {
    /// The folder has too little room.
    #[error(
        "{} has {free_bytes} bytes free, but this rank needs {bytes} bytes of shared memory: enlarge it, name another \
         folder for shared memory, or let the ranks use TCP", folder.display()
    )]
    Full {
        /// The folder.
        folder: PathBuf,
        /// Bytes of the region that this rank wanted to make.
        bytes: usize,
        /// Bytes that were free in the folder.
        free_bytes: u64,
    },

    /// The operating system refuses the memory for another reason.
    #[error("{bytes} bytes of shared memory in {}: {source}", folder.display())]
    Refused {
        /// The folder.
        folder: PathBuf,
        /// Bytes of the region that this rank wanted to make.
        bytes: usize,
        /// What the operating system said.
        source: Arc<io::Error>,
    },

    /// Two ranks say that they run on one host, but one cannot map the memory of the other.
    #[error(
        "rank {rank} cannot map the memory of rank {other}, although both say that they run on one host: {source}"
    )]
    Unmapped {
        /// This rank.
        rank: usize,
        /// The other rank.
        other: usize,
        /// What the operating system said.
        source: Arc<io::Error>,
    },

    /// This rank could not notice the end of another rank's process.
    #[error("rank {rank} cannot watch process {process} of rank {other}: {source}")]
    Unwatched {
        /// This rank.
        rank: usize,
        /// The other rank.
        other: usize,
        /// The other rank's process.
        process: u64,
        /// What the operating system said.
        source: Arc<io::Error>,
    },

    /// The ranks run on several hosts, but were told to use shared memory alone.
    #[error("shared memory was asked for, but ranks 0 and {rank} run on different hosts")]
    SeveralHosts {
        /// A rank on another host than rank 0.
        rank: usize,
    },
}
