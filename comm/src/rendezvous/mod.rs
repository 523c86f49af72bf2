//! How the ranks of a job find each other, prove that they belong together, and connect.
//!
//! ```text
//! rank 0 listens at the place; every other rank connects there, and both prove that they have the key
//! every other rank sends its RankInfo (its host, its own listeners) and the settings that must be the same
//! rank 0 waits for all ranks, compares, and sends them every rank's RankInfo, or why there is no group
//! of each pair on different hosts, the higher rank connects to the lower one; both prove themselves again
//! ```
//!
//! No rank waits for a single connection: see [`acceptor`]. Ranks that MPI has started know each other; they
//! only compare and agree.

mod acceptor;
mod follower;
mod handshaking;
mod host;
mod host_port;
mod leader;
mod meeting;
mod meeting_file;
mod mesh;
mod message;
#[cfg(feature = "mpi")]
mod mpi_world;
mod place;
mod poll;
mod proof;
mod rank_info;
#[cfg(test)]
mod tests;

pub(crate) use host::HostId;
pub use meeting::{Meeting, Place};
pub(crate) use rank_info::{MetGroup, RankInfo};

use crate::error::{Error, RendezvousError};
use crate::links::Link;
use mesh::Mesh;
use proof::Identity;
use rank_info::{LOCAL_INFO_LIMIT, MOST_ADDRESSES, UNUSED_ADDRESS};
use std::net::{SocketAddr, TcpListener};

/// Meets the other ranks of the group, of which there are at most [`MAX_WORLD`](crate::limits::MAX_WORLD).
///
/// # Errors
///
/// When a rank is missing at the deadline, came twice, or disagrees; when the place cannot be opened or rank
/// 0 cannot be reached; when [`Meeting::listen`] has more than [`MOST_ADDRESSES`]; when it or the place has
/// an address that stands for all of a host. All ranks that came get the same error where that is possible.
///
/// # Panics
///
/// When `local_info` is longer than [`LOCAL_INFO_LIMIT`].
pub(crate) fn meet(meeting: &Meeting, host: HostId, local_info: &[u8]) -> Result<MetGroup, Error> {
    let (bytes, count) = (local_info.len(), meeting.listen.len());
    assert!(
        bytes <= LOCAL_INFO_LIMIT,
        "{bytes} bytes for the ranks of a host, at most {LOCAL_INFO_LIMIT} fit"
    );
    if count > MOST_ADDRESSES {
        let place = meeting.place.describe();
        return Err(RendezvousError::Addresses { place, count, most: MOST_ADDRESSES }.into());
    }
    place::require_single(&meeting.place, &meeting.listen)?;
    let info = |addresses| RankInfo { host, addresses, local_info: local_info.to_vec() };
    if meeting.world_size == 1 {
        return Ok(MetGroup { infos: vec![info(vec![UNUSED_ADDRESS])], links: vec![None] });
    }
    #[cfg(feature = "mpi")]
    if let Place::Mpi(mpi) = &meeting.place {
        return mpi_world::gather(meeting, mpi, info(vec![UNUSED_ADDRESS]));
    }
    let (infos, links) = if meeting.rank == 0 { lead(meeting, info)? } else { follow(meeting, info)? };
    let links = links.into_iter().map(|link| link.map(Link::into_any)).collect();
    Ok(MetGroup { infos, links })
}

/// The information about all ranks, and the links to ranks on other hosts.
type Met = (Vec<RankInfo>, Vec<Option<Link>>);

fn lead(meeting: &Meeting, info: impl Fn(Vec<SocketAddr>) -> RankInfo) -> Result<Met, Error> {
    let opened = place::open(&meeting.place, &meeting.listen)?;
    let identity = Identity::new(meeting, &opened.key);
    let own = info(addresses(&opened.listeners)?);
    let infos = leader::collect(meeting, &identity, &opened.listeners, own)?;
    drop(opened.file);
    // The other ranks connect their links to the same listeners.
    let links = Mesh::new(&identity, &opened.listeners).complete(&infos, meeting)?;
    Ok((infos, links))
}

fn follow(meeting: &Meeting, info: impl Fn(Vec<SocketAddr>) -> RankInfo) -> Result<Met, Error> {
    let (link, identity) = follower::join(meeting)?;
    let mut listen = meeting.listen.clone();
    if listen.is_empty() {
        // One address, never all of this host; with its zone, if it has one.
        let mut own = place::address_of(link.local_address())?;
        own.set_port(0);
        listen.push(own);
    }
    let listener =
        |address| place::listen(address).map_err(|source| Error::io(format!("listen at {address}"), source));
    let listeners = listen.into_iter().map(listener).collect::<Result<Vec<_>, _>>()?;
    let own = info(addresses(&listeners)?);
    let mut mesh = Mesh::new(&identity, &listeners);
    let infos = follower::introduce(meeting, link, own, &mut mesh)?;
    let links = mesh.complete(&infos, meeting)?;
    Ok((infos, links))
}

fn addresses(listeners: &[TcpListener]) -> Result<Vec<SocketAddr>, Error> {
    listeners.iter().map(|listener| place::address_of(listener.local_addr())).collect()
}
