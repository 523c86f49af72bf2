//! Rank 0 at the rendezvous: collects the cards of all and answers.
//!
//! An answer goes only to who has sent a card: then nothing unread is left in the socket, and closing it cannot take
//! the answer away. After a failure the others have a little time to come and hear of it.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::door::{Arrival, Door};
use super::message::{Agreement, CARD_LIMIT, Correspondent, Message};
use super::poll::Poll;
use super::proof::{Identity, Purpose, Refusal};
use super::{Card, Meeting};
use crate::error::Error;

/// How long after a failure ranks may come to hear of it.
const GRACE: Duration = Duration::from_secs(2);

/// Collects a card from every rank.
pub(super) fn collect(
    meeting: &Meeting,
    identity: &Identity,
    listener: &TcpListener,
    own: Card,
) -> Result<Vec<Card>, Error> {
    let door = Door::new(listener, identity, Purpose::Rendezvous);
    let mut root = Root { meeting, own, door, members: Vec::new(), turned_away: 0, failure: None };
    root.gather()?;
    root.answer()
}

struct Root<'a> {
    meeting: &'a Meeting,
    own: Card,
    door: Door<'a>,
    /// In order of arrival.
    members: Vec<Member>,
    /// How many ranks had settings that barred them.
    turned_away: usize,
    failure: Option<Error>,
}

struct Member {
    correspondent: Correspondent,
    card: Option<Card>,
    /// It has closed the connection.
    gone: bool,
}

impl Root<'_> {
    /// Waits until every rank has come in some way, until the deadline, or, after a failure, a little longer.
    fn gather(&mut self) -> Result<(), Error> {
        let mut until = Instant::now() + self.meeting.timeout;
        while self.come() + 1 < self.meeting.world {
            if Instant::now() >= until {
                self.fail(Error::Missing {
                    place: self.meeting.place.describe(),
                    ranks: self.missing(),
                    waited: self.meeting.timeout,
                    refused: self.door.refused(),
                    listened: self.meeting.place.unsaid(self.own.address),
                });
                break;
            }
            let mut poll = Poll::default();
            self.door.watch(&mut poll);
            self.members.iter().filter(|m| !m.gone).for_each(|m| poll.readable(&m.correspondent.link));
            let mut ready = poll.wait(self.door.due().map_or(until, |due| due.min(until)))?;
            let arrivals = self.door.serve(&mut ready)?;
            for i in 0..self.members.len() {
                if !self.members[i].gone && ready.next() == Some(true) {
                    self.hear(i);
                }
            }
            self.members.retain(|member| !member.gone || member.card.is_some());
            for arrival in arrivals {
                match arrival {
                    Arrival::Link(link) => {
                        let correspondent = Correspondent::new(*link, CARD_LIMIT);
                        self.members.push(Member { correspondent, card: None, gone: false });
                    }
                    Arrival::Conflict(error) => {
                        self.turned_away += 1;
                        self.fail(error);
                    }
                }
            }
            if self.failure.is_some() {
                until = until.min(Instant::now() + GRACE);
            }
        }
        Ok(())
    }

    fn come(&self) -> usize {
        self.members.iter().filter(|member| member.card.is_some()).count() + self.turned_away
    }

    fn missing(&self) -> Vec<usize> {
        let here =
            |rank| self.members.iter().any(|m| m.card.is_some() && m.correspondent.link.peer() == rank);
        (1..self.meeting.world).filter(|&rank| !here(rank)).collect()
    }

    /// The first failure is the one that counts.
    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// Reads what a member says.
    fn hear(&mut self, index: usize) {
        let member = &mut self.members[index];
        match member.correspondent.receive() {
            Ok(None) => (),
            Ok(Some(Message::Card(card, agreement))) => {
                member.card = Some(card);
                if let Some(error) = self.objection(index, &agreement) {
                    self.fail(error);
                }
            }
            Ok(Some(_)) => {
                member.gone = true;
                let error = member.correspondent.unexpected("another message than its card");
                self.fail(error);
            }
            Err(error) => {
                member.gone = true;
                if member.card.is_some() {
                    self.fail(error);
                } else {
                    let address = member.correspondent.link.address();
                    self.door.refuse(address, &Refusal::Other(error.to_string()));
                }
            }
        }
    }

    /// What bars the member at `index` from the group.
    fn objection(&self, index: usize, agreement: &Agreement) -> Option<Error> {
        let link = &self.members[index].correspondent.link;
        let rank = link.peer();
        let twin = self.members.iter().enumerate().find_map(|(i, other)| {
            let same = i != index && other.card.is_some() && other.correspondent.link.peer() == rank;
            same.then(|| other.correspondent.link.address())
        });
        let twin = if rank == 0 { Some(self.own.address) } else { twin };
        if let Some(twin) = twin {
            return Some(Error::RankTaken { rank, addresses: [twin, link.address()] });
        }
        let (what, ours, theirs) = difference(&self.meeting.agreement, agreement)?;
        Some(Error::disagreement(&what, (0, ours), (rank, theirs)))
    }

    /// Sends everybody the cards of all or the failure, and returns the same.
    fn answer(mut self) -> Result<Vec<Card>, Error> {
        let outcome = match self.failure.take() {
            Some(error) => Err(error),
            None => {
                let mut cards = vec![self.own.clone(); self.meeting.world];
                for member in &mut self.members {
                    let rank = member.correspondent.link.peer();
                    cards[rank] = member.card.clone().expect("all have come");
                }
                Ok(cards)
            }
        };
        let message = match &outcome {
            Ok(cards) => Message::Table(cards.clone()),
            Err(error) => Message::Failure(error.to_string()),
        };
        self.deliver(&message.encode())?;
        outcome
    }

    /// Sends a message to all who have sent a card.
    fn deliver(&mut self, message: &Arc<[u8]>) -> Result<(), Error> {
        self.members.retain(|member| member.card.is_some() && !member.gone);
        self.members.iter_mut().for_each(|member| member.correspondent.post(message.clone()));
        let until = Instant::now() + self.meeting.timeout;
        loop {
            // Who is lost now will be missed by all who need it.
            self.members.retain_mut(|Member { correspondent, .. }| {
                let alive = correspondent.flush().is_ok() && correspondent.receive().is_ok();
                alive && !correspondent.link.is_flushed()
            });
            if self.members.is_empty() || Instant::now() >= until {
                return Ok(());
            }
            let mut poll = Poll::default();
            self.members.iter().for_each(|member| poll.writable(&member.correspondent.link));
            poll.wait(until)?;
        }
    }
}

/// The first setting in which two ranks differ, and its value in each.
pub(super) fn difference(ours: &Agreement, theirs: &Agreement) -> Option<(String, String, String)> {
    let value = |settings: &Agreement, name: &str| {
        let found = settings.iter().find(|(other, _)| other == name);
        found.map_or_else(|| String::from("nothing"), |(_, value)| value.clone())
    };
    ours.iter().chain(theirs).find_map(|(name, _)| {
        let values = (value(ours, name), value(theirs, name));
        (values.0 != values.1).then_some((name.clone(), values.0, values.1))
    })
}
