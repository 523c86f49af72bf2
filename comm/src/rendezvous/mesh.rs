//! The links of a rank to the ranks on other hosts: it connects to the lower ranks, and the higher ranks
//! connect to it.

use std::net::{SocketAddr, TcpListener};
use std::ops::ControlFlow;
use std::time::Instant;

use super::acceptor::{Acceptor, Arrival};
use super::handshaking::{Backoff, HandshakeResult, Handshaking};
use super::meeting::Meeting;
use super::poll::Poll;
use super::proof::{Identity, Purpose, Refusal};
use super::rank_info::RankInfo;
use crate::error::{Error, RendezvousError};
use crate::links::Link;

pub(super) struct Mesh<'a> {
    identity: &'a Identity,
    acceptor: Acceptor<'a>,
    /// In order of arrival.
    links: Vec<Link>,
    dials: Vec<Dial<'a>>,
}

/// A connection to a rank that listens.
struct Dial<'a> {
    rank: usize,
    address: SocketAddr,
    attempt: Option<Handshaking<'a>>,
    /// When the next attempt begins, if none is under way.
    next: Instant,
    backoff: Backoff,
    /// Why the last attempt failed.
    reason: Option<String>,
}

impl<'a> Mesh<'a> {
    pub(super) fn new(identity: &'a Identity, listeners: &'a [TcpListener]) -> Self {
        let acceptor = Acceptor::new(listeners, identity, Purpose::Link);
        Self { identity, acceptor, links: Vec::new(), dials: Vec::new() }
    }

    /// Connects to every rank on another host. Returns the links by rank.
    pub(super) fn complete(
        mut self,
        infos: &[RankInfo],
        meeting: &Meeting,
    ) -> Result<Vec<Option<Link>>, Error> {
        let own = self.identity.rank();
        let until = Instant::now() + meeting.timeout;
        let mut wanted: Vec<usize> = (0..infos.len()).filter(|&r| infos[r].host != infos[own].host).collect();
        let below = wanted.iter().filter(|&&rank| rank < own);
        let dial = |rank: usize| Dial::new(rank, route(meeting, rank, infos));
        self.dials = below.map(|&rank| dial(rank)).collect();
        let mut links: Vec<Option<Link>> = infos.iter().map(|_| None).collect();
        loop {
            for link in self.links.drain(..) {
                let rank = link.peer();
                // The newest link counts: a rank connects again if its last attempt failed at its own end.
                if infos[rank].host != infos[own].host {
                    links[rank] = Some(link);
                }
            }
            wanted.retain(|&rank| links[rank].is_none());
            if wanted.is_empty() {
                return Ok(links);
            }
            if Instant::now() >= until {
                let reason = self.dials.iter_mut().find_map(|dial| dial.reason.take());
                let reason = reason.unwrap_or_else(|| String::from("it did not come"));
                return Err(Error::Rendezvous(RendezvousError::Unlinked {
                    rank: own,
                    ranks: wanted,
                    waited: meeting.timeout,
                    reason,
                }));
            }
            meeting.check_stop()?;
            self.step(None, meeting.pause_until(until))?;
        }
    }

    /// Moves all connections forward. Waits until something has happened to one of them or to the socket of
    /// `also`, but no longer than `until`.
    pub(super) fn step(&mut self, also: Option<&Link>, until: Instant) -> Result<(), Error> {
        let now = Instant::now();
        for dial in &mut self.dials {
            if dial.attempt.is_none() && dial.next <= now {
                dial.start(self.identity)?;
            }
        }
        let mut poll = Poll::default();
        self.acceptor.watch(&mut poll);
        self.dials
            .iter()
            .filter_map(|dial| dial.attempt.as_ref())
            .for_each(|handshaking| handshaking.watch(&mut poll));
        match also {
            Some(link) if link.is_flushed() => poll.readable(link),
            Some(link) => poll.writable(link),
            None => (),
        }
        let times = self.dials.iter().map(|dial| dial.attempt.as_ref().map_or(dial.next, Handshaking::due));
        let mut ready = poll.wait(times.chain(self.acceptor.due()).fold(until, Instant::min))?;

        for arrival in self.acceptor.serve(&mut ready)? {
            match arrival {
                Arrival::Link(link) if link.peer() > self.identity.rank() => self.links.push(*link),
                Arrival::Link(link) => self.acceptor.refuse(link.address(), &Refusal::Purpose),
                // The acceptor has logged it. All ranks have met, so this process is none of them.
                Arrival::Conflict(_) => (),
            }
        }
        let Self { dials, links, .. } = self;
        dials.retain_mut(|dial| {
            let Some(link) =
                dial.attempt.is_some().then(|| dial.advance(ready.next() == Some(true))).flatten()
            else {
                return true;
            };
            links.push(link);
            false
        });
        Ok(())
    }
}

/// The address at which this rank connects to another one.
fn route(meeting: &Meeting, rank: usize, infos: &[RankInfo]) -> SocketAddr {
    let wanted = meeting.routes.get(rank).copied().flatten();
    let addresses = &infos[rank].addresses;
    let found = addresses.iter().find(|address| wanted == Some(address.ip()));
    let mut address = *found.unwrap_or(&addresses[0]);
    // The zone of a link-local address is a number of the host that has the address. From here, the way leads
    // over the interface by which this rank has reached rank 0.
    if let (SocketAddr::V6(theirs), SocketAddr::V6(root)) = (&mut address, infos[0].addresses[0])
        && theirs.ip().is_unicast_link_local()
        && root.ip().is_unicast_link_local()
    {
        theirs.set_scope_id(root.scope_id());
    }
    address
}

impl<'a> Dial<'a> {
    fn new(rank: usize, address: SocketAddr) -> Self {
        let (next, backoff) = (Instant::now(), Backoff::new());
        Self { rank, address, attempt: None, next, backoff, reason: None }
    }

    fn start(&mut self, identity: &'a Identity) -> Result<(), Error> {
        match Handshaking::connect(self.address, identity, Purpose::Link, self.rank)? {
            Ok(handshaking) => self.attempt = Some(handshaking),
            Err(error) => self.fail(error.to_string()),
        }
        Ok(())
    }

    /// Moves an attempt forward. Returns the link once both ends have proved themselves.
    fn advance(&mut self, ready: bool) -> Option<Link> {
        let handshaking = self.attempt.take()?;
        if !ready {
            if handshaking.due() <= Instant::now() {
                self.fail(handshaking.late().to_string());
            } else {
                self.attempt = Some(handshaking);
            }
            return None;
        }
        match handshaking.advance() {
            ControlFlow::Continue(handshaking) => self.attempt = Some(handshaking),
            ControlFlow::Break(HandshakeResult::Link(link)) => return Some(*link),
            ControlFlow::Break(HandshakeResult::Refused(refusal)) => self.fail(refusal.to_string()),
            ControlFlow::Break(HandshakeResult::Conflict(error)) => self.fail(error.to_string()),
        }
        None
    }

    fn fail(&mut self, reason: String) {
        self.reason = Some(format!("{}: {reason}", self.address));
        self.next = Instant::now() + self.backoff.next();
    }
}

#[cfg(test)]
mod tests {
    use super::super::host::HostId;
    use super::super::tests::meeting;
    use super::*;
    #[cfg(target_os = "linux")]
    use crate::{key::Key, rendezvous::place, rendezvous::tests::DEADLINE};

    #[test]
    fn a_zone_is_that_of_the_own_host() {
        let info = |addresses: &[&str]| RankInfo {
            host: HostId::of_rank(0),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            local_info: Vec::new(),
        };
        let mut meeting = meeting(2, 3);
        meeting.routes = vec![None, Some("fe80::b".parse().unwrap())];
        let infos = [info(&["[fe80::a%3]:1"]), info(&["[fd00::b]:2", "[fe80::b%7]:3"]), info(&["[::1]:4"])];
        let route = |meeting: &Meeting, rank| super::route(meeting, rank, &infos).to_string();
        assert_eq!(route(&meeting, 0), "[fe80::a%3]:1");
        assert_eq!(route(&meeting, 1), "[fe80::b%3]:3");
        meeting.routes.clear();
        assert_eq!(route(&meeting, 1), "[fd00::b]:2");
    }
    /// The listener's queue is full after one connection: then the system answers no other.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_rank_that_does_not_answer_holds_up_no_other_and_has_more_time_than_a_step() {
        let any = "127.0.0.1:0".parse().unwrap();
        let (silent, listener) = (place::listen(any).unwrap(), place::listen(any).unwrap());
        rustix::net::listen(&silent, 0).unwrap();
        let silent_address = silent.local_addr().unwrap();
        let _first = std::net::TcpStream::connect(silent_address).unwrap();

        let key = Key::from_bytes([1; 32]);
        let [own, other] = [2, 1].map(|rank| Identity::new(&meeting(rank, 3), &key));
        let mut mesh = Mesh::new(&own, &[]);
        mesh.dials = vec![Dial::new(0, silent_address), Dial::new(1, listener.local_addr().unwrap())];
        let mut answering = Mesh::new(&other, std::slice::from_ref(&listener));
        let until = Instant::now() + DEADLINE;
        while mesh.dials[0].attempt.is_none() || mesh.links.is_empty() {
            mesh.step(None, Instant::now()).unwrap();
            answering.step(None, Instant::now()).unwrap();
            assert!(Instant::now() < until, "{:?}", mesh.dials[0].reason);
        }
        assert_eq!((mesh.links[0].peer(), mesh.dials.len()), (1, 1));
    }
}
