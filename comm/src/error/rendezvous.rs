//! The rendezvous, where ranks become a group.

use super::words::{Listened, RankValue, Ranks, Refused, Seconds};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Why ranks did not become a group.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RendezvousError {
    /// The address is no `host:port`, or no host has that name.
    #[error("rendezvous at {address}: {reason}")]
    Resolve {
        /// The address as it was given.
        address: String,
        /// Why it leads nowhere.
        reason: String,
    },

    /// A rank was given more addresses to listen at than the others can be told of.
    #[error("rendezvous at {place}: {count} addresses to listen at, at most {most} are possible")]
    Addresses {
        /// Where the group meets.
        place: String,
        /// The number of addresses.
        count: usize,
        /// The most that are possible.
        most: usize,
    },

    /// The place, or an address to listen at, is no single address: it means all addresses of a host.
    #[error("rendezvous at {place}: {address} is every address of a host, and ranks listen at single ones")]
    Unspecified {
        /// Where the group meets.
        place: String,
        /// The address.
        address: IpAddr,
    },

    /// Rank 0 was given the address of another host.
    #[error("rendezvous at {address}: no interface of this host, which runs rank 0, has that address")]
    NotLocal {
        /// The address as it was given.
        address: String,
    },

    /// Another process listens where rank 0 should.
    #[error("rendezvous at {address}: the port is in use by another process")]
    PortInUse {
        /// The address as it was given.
        address: String,
    },

    /// Some ranks did not come.
    #[error(
        "rendezvous at {place}: {} did not come within {}{}{}",
        Ranks(ranks), Seconds(*waited), Refused(*refused), Listened(*listened)
    )]
    Missing {
        /// Where the group meets.
        place: String,
        /// The missing ranks, in ascending order.
        ranks: Vec<usize>,
        /// How long rank 0 waited.
        waited: Duration,
        /// How many connections were refused in that time.
        refused: u64,
        /// Where rank 0 listened, if the place does not say it.
        listened: Option<SocketAddr>,
    },

    /// Rank 0 did not answer.
    #[error("rendezvous at {place}: rank 0 did not answer within {} ({reason})", Seconds(*waited))]
    Unanswered {
        /// Where the group meets.
        place: String,
        /// How long this rank waited.
        waited: Duration,
        /// What went wrong last.
        reason: String,
    },

    /// The process that listens at the rendezvous does not accept this rank, or cannot prove that it is rank
    /// 0.
    #[error("rendezvous at {place}: {reason}: it has another key or another job")]
    Refused {
        /// Where the group meets.
        place: String,
        /// Which of the two it is.
        reason: String,
    },

    /// Two ranks were started with different settings.
    #[error(
        "ranks {} and {} differ in {what}: {} against {}", first.rank, second.rank, first.value, second.value
    )]
    Disagreement {
        /// The setting.
        what: String,
        /// The lower of the two ranks, and its value.
        first: RankValue,
        /// The higher one, and its value.
        second: RankValue,
    },

    /// Two processes say that they are the same rank.
    #[error("rank {rank} came twice to the rendezvous: from {first} and from {second}")]
    RankTaken {
        /// The rank.
        rank: usize,
        /// The address of the process that came first.
        first: SocketAddr,
        /// The address of the other one.
        second: SocketAddr,
    },

    /// All ranks came to the rendezvous, but some pairs could not connect.
    #[error("rank {rank} has no link to {} after {} ({reason})", Ranks(ranks), Seconds(*waited))]
    Unlinked {
        /// This rank.
        rank: usize,
        /// The other ranks, in ascending order.
        ranks: Vec<usize>,
        /// How long this rank waited.
        waited: Duration,
        /// What went wrong last.
        reason: String,
    },

    /// [`Meeting::stop`](crate::Meeting::stop) was set.
    #[error("rendezvous at {place}: this rank was asked to stop")]
    Stopped {
        /// Where the group meets.
        place: String,
    },
}

impl RendezvousError {
    /// The same words at both ranks.
    pub(crate) fn disagreement(what: &str, one: (usize, String), other: (usize, String)) -> Self {
        let [first, second] = RankValue::ordered(one, other);
        Self::Disagreement { what: what.into(), first, second }
    }
}
