//! The ranks above 0 at the rendezvous: they find rank 0, join, send their own information, and get that of
//! all ranks.

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::handshaking::{Backoff, HandshakeResult, Handshaking};
use super::host_port::HostPort;
use super::meeting::{Meeting, Place};
use super::meeting_file::read_meeting_file;
use super::mesh::Mesh;
use super::message::{Message, MessageLink, answer_limit};
use super::place::require_single;
use super::poll::Poll;
use super::proof::{Identity, Purpose, Refusal};
use super::rank_info::RankInfo;
use crate::error::{Error, FileError, PeerError, RendezvousError};
use crate::key::Key;
use crate::links::Link;

/// How long a rank tries again after the listening process has not accepted its proof: that process may be
/// crowded by other connections.
const REFUSAL_RETRY: Duration = Duration::from_secs(1);
/// The pause between such attempts.
const REFUSAL_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Why an attempt to join failed.
enum AttemptError {
    /// No attempt will succeed.
    Final(Error),
    /// The next one may.
    Passing(String),
    /// The process that listens does not accept our proof, or has none itself.
    Dismissed(String),
}

impl From<Error> for AttemptError {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// Connects to rank 0 as soon as it can be reached.
pub(super) fn join(meeting: &Meeting) -> Result<(Link, Identity), Error> {
    let deadline = Instant::now() + meeting.timeout;
    let mut search = Search::new(meeting)?;
    let mut backoff = Backoff::new();
    let mut retry_until = None;
    loop {
        meeting.check_stop()?;
        let (pause, reason) = match attempt(meeting, &mut search, deadline) {
            Ok(result) => return Ok(result),
            Err(AttemptError::Final(error)) => return Err(error),
            Err(AttemptError::Passing(reason)) => {
                retry_until = None;
                (backoff.next(), reason)
            }
            Err(AttemptError::Dismissed(reason)) => {
                let retry_until = *retry_until.get_or_insert_with(|| Instant::now() + REFUSAL_RETRY);
                if search.is_for_address() && Instant::now() >= retry_until {
                    return Err(Error::Rendezvous(RendezvousError::Refused {
                        place: meeting.place.describe(),
                        reason,
                    }));
                }
                (REFUSAL_RETRY_PAUSE, reason)
            }
        };
        if Instant::now() + pause >= deadline {
            let (place, waited) = (meeting.place.describe(), meeting.timeout);
            return Err(Error::Rendezvous(RendezvousError::Unanswered { place, waited, reason }));
        }
        thread::sleep(pause);
    }
}

/// How rank 0 is found.
enum Search<'a> {
    /// By a name, which is looked up until it has addresses.
    Address { place: &'a Place, name: HostPort<'a>, found: Vec<SocketAddr>, key: &'a Key },
    /// By a file, which is read again for each attempt: rank 0 replaces a stale one.
    File(&'a Path),
}

impl<'a> Search<'a> {
    fn new(meeting: &'a Meeting) -> Result<Self, Error> {
        match &meeting.place {
            place @ Place::Address { address, key } => {
                Ok(Self::Address { place, name: HostPort::parse(address)?, found: Vec::new(), key })
            }
            Place::File(path) => Ok(Self::File(path)),
            #[cfg(feature = "mpi")]
            Place::Mpi(_) => unreachable!("ranks of MPI do not search"),
        }
    }

    fn is_for_address(&self) -> bool {
        matches!(self, Self::Address { .. })
    }

    fn look(&mut self) -> Result<(Vec<SocketAddr>, Key), AttemptError> {
        match self {
            Self::Address { place, name, found, key } => {
                if found.is_empty() {
                    *found = name.resolve().map_err(|error| AttemptError::Passing(error.to_string()))?;
                    require_single(place, found)?;
                }
                Ok((found.clone(), key.clone()))
            }
            Self::File(path) => match read_meeting_file(path) {
                Ok((address, key)) => Ok((vec![address], key)),
                // Waiting does not help: another user or another program has taken the name.
                Err(Error::File(
                    error @ (FileError::Mode { .. } | FileError::Owner { .. } | FileError::Type { .. }),
                )) => Err(AttemptError::Final(error.into())),
                Err(Error::Io { action, source }) if source.kind() == io::ErrorKind::PermissionDenied => {
                    Err(AttemptError::Final(Error::Io { action, source }))
                }
                Err(error) => Err(AttemptError::Passing(error.to_string())),
            },
        }
    }
}

fn attempt(
    meeting: &Meeting,
    search: &mut Search<'_>,
    deadline: Instant,
) -> Result<(Link, Identity), AttemptError> {
    let (addresses, key) = search.look()?;
    let identity = Identity::new(meeting, &key);
    let mut failure = AttemptError::Passing(String::from("no address"));
    for address in addresses {
        match attempt_at(address, meeting, &identity, deadline) {
            Ok(link) => return Ok((link, identity)),
            Err(AttemptError::Final(error)) => return Err(error.into()),
            Err(AttemptError::Passing(reason)) if meeting.place.unsaid(address).is_some() => {
                failure = AttemptError::Passing(format!("{address}: {reason}"));
            }
            Err(other) => failure = other,
        }
    }
    Err(failure)
}

fn attempt_at(
    address: SocketAddr,
    meeting: &Meeting,
    identity: &Identity,
    deadline: Instant,
) -> Result<Link, AttemptError> {
    let mut join = Handshaking::connect(address, identity, Purpose::Rendezvous, 0)?
        .map_err(|error| AttemptError::Passing(error.to_string()))?;
    let due = |join: &Handshaking| join.due().min(deadline);
    loop {
        let mut poll = Poll::default();
        join.watch(&mut poll);
        poll.wait(meeting.pause_until(due(&join)))?;
        meeting.check_stop()?;
        match join.advance() {
            ControlFlow::Break(result) => return judge(result, identity),
            ControlFlow::Continue(late) if Instant::now() >= due(&late) => {
                return Err(AttemptError::Passing(late.late().to_string()));
            }
            ControlFlow::Continue(waiting) => join = waiting,
        }
    }
}

fn judge(result: HandshakeResult, identity: &Identity) -> Result<Link, AttemptError> {
    match result {
        HandshakeResult::Link(link) => Ok(*link),
        HandshakeResult::Conflict(error) => Err(AttemptError::Final(error)),
        HandshakeResult::Refused(Refusal::Generation { ours, theirs }) if theirs > ours => {
            let (ours, theirs) = (ours.to_string(), theirs.to_string());
            let error =
                RendezvousError::disagreement("generation", (identity.rank(), ours), (0, theirs)).into();
            Err(AttemptError::Final(error))
        }
        HandshakeResult::Refused(reason @ (Refusal::Dismissed | Refusal::Proof)) => {
            Err(AttemptError::Dismissed(reason.to_string()))
        }
        HandshakeResult::Refused(reason) => Err(AttemptError::Passing(reason.to_string())),
    }
}

/// Sends this rank's information to rank 0 and waits for that of all ranks. Meanwhile `mesh` serves ranks
/// that have it already.
pub(super) fn introduce(
    meeting: &Meeting,
    link: Link,
    own: RankInfo,
    mesh: &mut Mesh<'_>,
) -> Result<Vec<RankInfo>, Error> {
    // Rank 0 began to wait before this rank, so it can still say which ranks are missing.
    let until = Instant::now() + meeting.timeout + (meeting.timeout / 4).min(Duration::from_secs(3));
    let root = link.address();
    let mut message_link = MessageLink::new(link, answer_limit(meeting.world_size));
    message_link.post(Message::RankInfo(own, meeting.agreement.clone()).encode());
    let answer = loop {
        message_link.flush()?;
        if let Some(message) = message_link.receive()? {
            break message;
        }
        if Instant::now() >= until {
            return Err(Error::Rendezvous(RendezvousError::Unanswered {
                place: meeting.place.describe(),
                waited: meeting.timeout,
                reason: String::from("it did not say which ranks have come"),
            }));
        }
        meeting.check_stop()?;
        mesh.step(Some(&message_link.link), meeting.pause_until(until))?;
    };
    match answer {
        Message::Table(mut infos) if infos.len() == meeting.world_size => {
            // This address has proved to work from here, whatever rank 0 says of itself.
            infos[0].addresses = vec![root];
            Ok(infos)
        }
        Message::Failure(cause) => Err(Error::Peer(PeerError::Reported { by: 0, cause })),
        _ => Err(message_link.unexpected("another message than the infos of all ranks")),
    }
}
