//! The ranks above 0 at the rendezvous: find rank 0, join, and exchange the own card for those of all.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::join::{Backoff, Join, Joined, PATIENCE};
use super::mesh::Mesh;
use super::message::{Correspondent, Message, answer_limit};
use super::place::{HostPort, read_meeting_file};
use super::poll::Poll;
use super::proof::{Identity, Purpose, Refusal};
use super::{Card, Meeting, Place};
use crate::error::Error;
use crate::key::Key;
use crate::links::Link;

/// For how long a rank insists when who listens does not accept its proof: a crowd of strangers may be the reason.
const INSISTENCE: Duration = Duration::from_secs(1);
/// The pause between such attempts.
const INSISTENCE_PAUSE: Duration = Duration::from_millis(100);

/// Why an attempt to join failed.
enum Failure {
    /// No attempt will succeed.
    Final(Error),
    /// The next one may.
    Passing(String),
    /// Who listens does not accept our proof, or has none itself.
    Dismissed(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// Joins rank 0, as soon as it can be reached.
pub(super) fn join(meeting: &Meeting) -> Result<(Link, Identity), Error> {
    let deadline = Instant::now() + meeting.timeout;
    let mut search = Search::new(meeting)?;
    let mut backoff = Backoff::new();
    let mut insists_until = None;
    loop {
        let (pause, reason) = match attempt(meeting, &mut search, deadline) {
            Ok(joined) => return Ok(joined),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Passing(reason)) => {
                insists_until = None;
                (backoff.next(), reason)
            }
            Err(Failure::Dismissed(reason)) => {
                let insists_until = *insists_until.get_or_insert_with(|| Instant::now() + INSISTENCE);
                if search.is_for_address() && Instant::now() >= insists_until {
                    return Err(Error::Refused { place: meeting.place.describe(), reason });
                }
                (INSISTENCE_PAUSE, reason)
            }
        };
        if Instant::now() + pause >= deadline {
            let (place, waited) = (meeting.place.describe(), meeting.timeout);
            return Err(Error::Unanswered { place, waited, reason });
        }
        thread::sleep(pause);
    }
}

/// How rank 0 is found.
enum Search<'a> {
    /// By a name that is looked up until it has addresses.
    Address { name: HostPort<'a>, found: Vec<SocketAddr>, key: &'a Key },
    /// By a file that is read again each time: a stale one will be replaced.
    File(&'a Path),
}

impl<'a> Search<'a> {
    fn new(meeting: &'a Meeting) -> Result<Self, Error> {
        match &meeting.place {
            Place::Address { address, key } => {
                Ok(Self::Address { name: HostPort::parse(address)?, found: Vec::new(), key })
            }
            Place::File(path) => Ok(Self::File(path)),
            #[cfg(feature = "mpi")]
            Place::Mpi(_) => unreachable!("ranks of MPI do not search"),
        }
    }

    fn is_for_address(&self) -> bool {
        matches!(self, Self::Address { .. })
    }

    fn look(&mut self) -> Result<(Vec<SocketAddr>, Key), Failure> {
        match self {
            Self::Address { name, found, key } => {
                if found.is_empty() {
                    *found = name.resolve().map_err(|error| Failure::Passing(error.to_string()))?;
                }
                Ok((found.clone(), key.clone()))
            }
            Self::File(path) => match read_meeting_file(path) {
                Ok((address, key)) => Ok((vec![address], key)),
                Err(error @ (Error::FileMode { .. } | Error::FileOwner { .. })) => Err(error.into()),
                Err(error) => Err(Failure::Passing(error.to_string())),
            },
        }
    }
}

fn attempt(
    meeting: &Meeting,
    search: &mut Search<'_>,
    deadline: Instant,
) -> Result<(Link, Identity), Failure> {
    let (addresses, key) = search.look()?;
    let identity = Identity::new(meeting, &key);
    let mut failure = Failure::Passing(String::from("no address"));
    for address in addresses {
        match attempt_at(address, &identity, deadline) {
            Ok(link) => return Ok((link, identity)),
            Err(Failure::Final(error)) => return Err(error.into()),
            Err(Failure::Passing(reason)) if meeting.place.unsaid(address).is_some() => {
                failure = Failure::Passing(format!("{address}: {reason}"));
            }
            Err(other) => failure = other,
        }
    }
    Err(failure)
}

fn attempt_at(address: SocketAddr, identity: &Identity, deadline: Instant) -> Result<Link, Failure> {
    let mut join = Join::connect(address, identity, Purpose::Rendezvous, 0, deadline)?
        .map_err(|error| Failure::Passing(error.to_string()))?;
    let due = join.due().min(deadline);
    loop {
        let mut poll = Poll::default();
        poll.readable(&join);
        poll.wait(due)?;
        match join.advance() {
            ControlFlow::Break(joined) => return judge(joined, identity),
            ControlFlow::Continue(_) if Instant::now() >= due => {
                return Err(Failure::Passing(Refusal::Late(PATIENCE).to_string()));
            }
            ControlFlow::Continue(waiting) => join = waiting,
        }
    }
}

fn judge(joined: Joined, identity: &Identity) -> Result<Link, Failure> {
    match joined {
        Joined::Link(link) => Ok(*link),
        Joined::Conflict(error) => Err(Failure::Final(error)),
        Joined::Refused(Refusal::Generation { ours, theirs }) if theirs > ours => {
            let (ours, theirs) = (ours.to_string(), theirs.to_string());
            let error = Error::disagreement("generation", (identity.rank(), ours), (0, theirs));
            Err(Failure::Final(error))
        }
        Joined::Refused(reason @ (Refusal::Dismissed | Refusal::Proof)) => {
            Err(Failure::Dismissed(reason.to_string()))
        }
        Joined::Refused(reason) => Err(Failure::Passing(reason.to_string())),
    }
}

/// Sends the own card to rank 0 and waits for the cards of all, while `mesh` serves ranks that have theirs already.
pub(super) fn exchange(
    meeting: &Meeting,
    link: Link,
    own: Card,
    mesh: &mut Mesh<'_>,
) -> Result<Vec<Card>, Error> {
    // Rank 0 was there before: it says who is missing before we stop waiting for it.
    let until = Instant::now() + meeting.timeout + (meeting.timeout / 4).min(Duration::from_secs(3));
    let root = link.address();
    let mut correspondent = Correspondent::new(link, answer_limit(meeting.world));
    correspondent.post(Message::Card(own, meeting.agreement.clone()).encode());
    let answer = loop {
        correspondent.flush()?;
        if let Some(message) = correspondent.receive()? {
            break message;
        }
        if Instant::now() >= until {
            return Err(Error::Unanswered {
                place: meeting.place.describe(),
                waited: meeting.timeout,
                reason: String::from("it did not say who has come"),
            });
        }
        mesh.turn(Some(&correspondent.link), until)?;
    };
    match answer {
        Message::Table(mut cards) if cards.len() == meeting.world => {
            // Whatever rank 0 calls itself: this is how it can be reached from here.
            cards[0].address = root;
            Ok(cards)
        }
        Message::Failure(cause) => Err(Error::Reported { by: 0, cause }),
        _ => Err(correspondent.unexpected("another message than the cards of all")),
    }
}
