//! How the ranks of a job find each other, prove that they belong together, and connect.
//!
//! ```text
//! rank 0 listens at the place; every other rank connects there, and both prove that they have the key
//! every other rank sends its card: its host, its own listener, and what all should agree on
//! rank 0 waits for all, compares, and sends everybody all cards, or why there is no group
//! of each pair on different hosts, the higher rank connects to the lower one; both prove themselves again
//! ```
//!
//! Nothing waits for a single connection: see [`door`].

mod door;
mod host;
mod join;
mod member;
mod mesh;
mod message;
mod place;
mod poll;
mod proof;
mod root;
#[cfg(test)]
mod tests;
mod variables;
#[cfg(feature = "mpi")]
mod world;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use host::HostId;
pub use variables::{System, Variables};

use crate::error::Error;
use crate::key::Key;
use crate::links::{Link, Wire};
use mesh::Mesh;
use proof::Identity;

/// The most ranks that a group can have.
pub(crate) const MAX_WORLD: usize = 1 << 16;
/// The address of who listens nowhere.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// The longest note on a card, in bytes.
pub(crate) const NOTE_LIMIT: usize = 512;

/// Where a group meets, and who may join.
#[derive(Debug, Clone)]
pub struct Meeting {
    /// Where.
    pub place: Place,
    /// This process, from 0 to `world` - 1.
    pub rank: usize,
    /// The number of ranks in the group.
    pub world: usize,
    /// What tells this job from others with the same key; the same in all its ranks.
    pub job: String,
    /// How often the job's group was rebuilt; the same in all its ranks.
    pub generation: u64,
    /// How long to wait for the others, here and in every operation; more than 20 days count as 20.
    pub timeout: Duration,
    /// Where this rank listens for the others' links, on a host with several addresses; otherwise where it reaches rank
    /// 0 from. Rank 0 listens at the place.
    pub listen: Option<IpAddr>,
    /// Whether links are encrypted; the same in all ranks.
    pub encrypt: bool,
    /// Names and values of settings that have to be the same in all ranks.
    pub agreement: Vec<(String, String)>,
}

/// Where a group meets.
#[derive(Debug, Clone)]
pub enum Place {
    /// Rank 0 listens at this address, all others connect to it.
    Address {
        /// `host:port`.
        address: String,
        /// Who has this key may join.
        key: Key,
    },
    /// The ranks are processes of one user on one host. Rank 0 listens at a free port of 127.0.0.1 and writes it, with
    /// a fresh key, into this file, which only the user can read. It is gone when all have come, and when not.
    File(PathBuf),
    /// The ranks are MPI's, which also carries the links between them.
    #[cfg(feature = "mpi")]
    Mpi(crate::Mpi),
}

/// What a rank tells all others of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) host: HostId,
    /// Where it listened for links; of a group of one or of MPI, nowhere.
    pub(crate) address: SocketAddr,
    /// Up to [`NOTE_LIMIT`] bytes of the caller.
    pub(crate) note: Vec<u8>,
}

/// A group that has met.
#[derive(Debug)]
pub(crate) struct Gathering {
    /// By rank.
    pub(crate) cards: Vec<Card>,
    /// By rank: to every rank with another host than ours.
    pub(crate) links: Vec<Option<Link<Wire>>>,
}

/// Meets the other ranks of the group.
///
/// # Errors
///
/// When a rank is missing at the deadline, came twice, or disagrees; when the place cannot be opened or rank 0 not be
/// reached. All ranks that came get the same error where that is possible.
///
/// # Panics
///
/// When `note` is longer than [`NOTE_LIMIT`].
pub(crate) fn meet(meeting: &Meeting, host: HostId, note: &[u8]) -> Result<Gathering, Error> {
    assert!(note.len() <= NOTE_LIMIT, "a note of {} bytes, at most {NOTE_LIMIT} fit", note.len());
    let &Meeting { rank, world, .. } = meeting;
    if rank >= world || world > MAX_WORLD {
        return Err(Error::Rank { rank, world });
    }
    let card = |address| Card { host, address, note: note.to_vec() };
    if world == 1 {
        return Ok(Gathering { cards: vec![card(NOWHERE)], links: vec![None] });
    }
    #[cfg(feature = "mpi")]
    if let Place::Mpi(mpi) = &meeting.place {
        return world::gather(meeting, mpi, card(NOWHERE));
    }
    let (cards, links) = if rank == 0 { lead(meeting, card)? } else { follow(meeting, card)? };
    let links = links.into_iter().map(|link| link.map(Link::into_any)).collect();
    Ok(Gathering { cards, links })
}

type Met = (Vec<Card>, Vec<Option<Link>>);

fn lead(meeting: &Meeting, card: impl Fn(SocketAddr) -> Card) -> Result<Met, Error> {
    let opened = place::open(&meeting.place)?;
    let identity = Identity::new(meeting, &opened.key);
    let own = card(address(opened.listener.local_addr())?);
    let cards = root::collect(meeting, &identity, &opened.listener, own)?;
    drop(opened.file);
    // The others' links come where they came before.
    let links = Mesh::new(&identity, &opened.listener).complete(&cards, meeting.timeout)?;
    Ok((cards, links))
}

fn follow(meeting: &Meeting, card: impl Fn(SocketAddr) -> Card) -> Result<Met, Error> {
    let (link, identity) = member::join(meeting)?;
    // One address, never all of them.
    let ip = meeting.listen.map_or_else(|| address(link.local_address()).map(|seen| seen.ip()), Ok)?;
    let own = SocketAddr::new(ip, 0);
    let listener =
        place::listen(own).map_err(|source| Error::io(format!("listen at {}", own.ip()), source))?;
    let own = card(address(listener.local_addr())?);
    let mut mesh = Mesh::new(&identity, &listener);
    let cards = member::exchange(meeting, link, own, &mut mesh)?;
    let links = mesh.complete(&cards, meeting.timeout)?;
    Ok((cards, links))
}

fn address(address: std::io::Result<SocketAddr>) -> Result<SocketAddr, Error> {
    address.map_err(|source| Error::io("ask for the address of a socket", source))
}
