//! The links of a rank to the ranks on other hosts: those below it are dialled, those above it come to its door.

use std::net::{SocketAddr, TcpListener};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::Card;
use super::door::{Arrival, Door};
use super::join::{Backoff, Join, Joined, PATIENCE};
use super::poll::Poll;
use super::proof::{Identity, Purpose, Refusal};
use crate::error::Error;
use crate::links::Link;

pub(super) struct Mesh<'a> {
    identity: &'a Identity,
    door: Door<'a>,
    /// In order of arrival.
    links: Vec<Link>,
    dials: Vec<Dial<'a>>,
}

/// A connection to a rank that listens.
struct Dial<'a> {
    rank: usize,
    address: SocketAddr,
    attempt: Option<Join<'a>>,
    /// When to try next, if there is no attempt.
    next: Instant,
    backoff: Backoff,
    /// Why the last attempt failed.
    reason: Option<String>,
}

impl<'a> Mesh<'a> {
    pub(super) fn new(identity: &'a Identity, listener: &'a TcpListener) -> Self {
        let door = Door::new(listener, identity, Purpose::Link);
        Self { identity, door, links: Vec::new(), dials: Vec::new() }
    }

    /// Connects to every rank whose host differs from ours; the links, by rank.
    pub(super) fn complete(mut self, cards: &[Card], timeout: Duration) -> Result<Vec<Option<Link>>, Error> {
        let own = self.identity.rank();
        let until = Instant::now() + timeout;
        let mut wanted: Vec<usize> = (0..cards.len()).filter(|&r| cards[r].host != cards[own].host).collect();
        let below = wanted.iter().filter(|&&rank| rank < own);
        self.dials = below.map(|&rank| Dial::new(rank, cards[rank].address)).collect();
        let mut links: Vec<Option<Link>> = cards.iter().map(|_| None).collect();
        loop {
            for link in self.links.drain(..) {
                let rank = link.peer();
                // The newest counts: a rank dials again when its last attempt failed at its own end.
                if cards[rank].host != cards[own].host {
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
                return Err(Error::Unlinked { rank: own, ranks: wanted, waited: timeout, reason });
            }
            self.turn(None, until)?;
        }
    }

    /// Serves the door and the dials until something happened, there, to the socket of `also`, or the time is over.
    pub(super) fn turn(&mut self, also: Option<&Link>, until: Instant) -> Result<(), Error> {
        let now = Instant::now();
        for dial in &mut self.dials {
            if dial.attempt.is_none() && dial.next <= now {
                dial.start(self.identity, until)?;
            }
        }
        let mut poll = Poll::default();
        self.door.watch(&mut poll);
        self.dials.iter().filter_map(|dial| dial.attempt.as_ref()).for_each(|join| poll.readable(join));
        match also {
            Some(link) if link.is_flushed() => poll.readable(link),
            Some(link) => poll.writable(link),
            None => (),
        }
        let times = self.dials.iter().map(|dial| dial.attempt.as_ref().map_or(dial.next, Join::due));
        let mut ready = poll.wait(times.chain(self.door.due()).fold(until, Instant::min))?;

        for arrival in self.door.serve(&mut ready)? {
            match arrival {
                Arrival::Link(link) if link.peer() > self.identity.rank() => self.links.push(*link),
                Arrival::Link(link) => self.door.refuse(link.address(), &Refusal::Purpose),
                // Logged at the door. The group has met: whoever this is, it is none of us.
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

impl<'a> Dial<'a> {
    fn new(rank: usize, address: SocketAddr) -> Self {
        let (next, backoff) = (Instant::now(), Backoff::new());
        Self { rank, address, attempt: None, next, backoff, reason: None }
    }

    fn start(&mut self, identity: &'a Identity, until: Instant) -> Result<(), Error> {
        match Join::connect(self.address, identity, Purpose::Link, self.rank, until)? {
            Ok(join) => self.attempt = Some(join),
            Err(error) => self.fail(error.to_string()),
        }
        Ok(())
    }

    /// Goes on with an attempt; the link when it is proven.
    fn advance(&mut self, ready: bool) -> Option<Link> {
        let join = self.attempt.take()?;
        if !ready {
            if join.due() <= Instant::now() {
                self.fail(Refusal::Late(PATIENCE).to_string());
            } else {
                self.attempt = Some(join);
            }
            return None;
        }
        match join.advance() {
            ControlFlow::Continue(join) => self.attempt = Some(join),
            ControlFlow::Break(Joined::Link(link)) => return Some(*link),
            ControlFlow::Break(Joined::Refused(refusal)) => self.fail(refusal.to_string()),
            ControlFlow::Break(Joined::Conflict(error)) => self.fail(error.to_string()),
        }
        None
    }

    fn fail(&mut self, reason: String) {
        self.reason = Some(format!("{}: {reason}", self.address));
        self.next = Instant::now() + self.backoff.next();
    }
}
