//! The other ranks of a group that works.

use super::RankValue;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What another rank did, or did not do.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Another rank found an error, and told it, perhaps through a third.
    #[error("{cause} (rank {by} says)")]
    Reported {
        /// The rank that found it.
        by: usize,
        /// Its error message.
        cause: String,
    },

    /// A rank's process ended while this rank waited for it.
    #[error("{operation} of bucket {bucket} ({bytes} bytes): lost {rank}, which owed {what}")]
    Lost {
        /// The operation.
        operation: &'static str,
        /// The bucket.
        bucket: usize,
        /// The bucket's bytes.
        bytes: usize,
        /// The rank, with its process or address.
        rank: String,
        /// What it should have done.
        what: &'static str,
    },

    /// A rank's process ended, or gave up, after the ranks had met and before they had mapped its memory.
    #[error("lost rank {rank} (process {process}) before this rank could map its memory")]
    Gone {
        /// The rank.
        rank: usize,
        /// Its process.
        process: u64,
    },

    /// A rank's process is there, but silent.
    #[error("{operation} of bucket {bucket} ({bytes} bytes): {rank} has owed {what} for {:.1} s", waited.as_secs_f64())]
    Timeout {
        /// The operation.
        operation: &'static str,
        /// The bucket.
        bucket: usize,
        /// The bucket's bytes.
        bytes: usize,
        /// The rank, with its process or address.
        rank: String,
        /// What it should have done.
        what: &'static str,
        /// How long this rank waited.
        waited: Duration,
    },

    /// Two ranks call different operations at the same time.
    #[error(
        "ranks {} and {} do not do the same: {} against {}", first.rank, second.rank, first.value, second.value
    )]
    Mismatch {
        /// The lower of the two ranks, and its call.
        first: RankValue,
        /// The higher one, and its call.
        second: RankValue,
    },

    /// The process of a rank ended, or its host, or the network between.
    #[error("rank {rank} ({address}) closed the connection")]
    Closed {
        /// The rank.
        rank: usize,
        /// Its address.
        address: String,
    },

    /// The operating system gave up a link.
    #[error("link to rank {rank} ({address}): {source}")]
    Link {
        /// The rank.
        rank: usize,
        /// Its address.
        address: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },

    /// A rank sent bytes that do not belong here.
    #[error("rank {rank} ({address}) sent {what}")]
    Protocol {
        /// The rank.
        rank: usize,
        /// Its address.
        address: String,
        /// What it sent.
        what: String,
    },
}

impl PeerError {
    /// Whether the other rank failed. In a mismatch, both ranks are equally wrong; a rank that gets nonsense
    /// is the first to know.
    pub(super) fn is_consequence(&self) -> bool {
        match self {
            Self::Reported { .. } | Self::Lost { .. } | Self::Gone { .. } | Self::Timeout { .. } => true,
            Self::Closed { .. } | Self::Link { .. } => true,
            Self::Mismatch { .. } | Self::Protocol { .. } => false,
        }
    }
}
