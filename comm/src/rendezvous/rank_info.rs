//! What ranks tell each other about themselves, and the group that comes of it.

use super::host::HostId;
use crate::links::{AnyStream, Link};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The most bytes of [`RankInfo::local_info`].
pub(crate) const LOCAL_INFO_LIMIT: usize = 512;
/// The most addresses of [`Meeting::listen`](super::Meeting::listen).
pub(super) const MOST_ADDRESSES: usize = 256;
/// The address of a rank that listens nowhere.
pub(super) const UNUSED_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What a rank tells all others of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RankInfo {
    pub(crate) host: HostId,
    /// Where it listens for links, at least one address; in a group of one rank or of MPI's,
    /// [`UNUSED_ADDRESS`].
    pub(crate) addresses: Vec<SocketAddr>,
    /// Up to [`LOCAL_INFO_LIMIT`] bytes that concern the ranks of its host.
    pub(crate) local_info: Vec<u8>,
}

/// A group that has met.
#[derive(Debug)]
pub(crate) struct MetGroup {
    /// By rank.
    pub(crate) infos: Vec<RankInfo>,
    /// By rank: a link to every rank on another host than this one's.
    pub(crate) links: Vec<Option<Link<AnyStream>>>,
}
