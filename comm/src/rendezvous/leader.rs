//! Rank 0 at the rendezvous: collects the information of all ranks, and answers.
//!
//! Only a rank that has sent its information gets an answer: then nothing unread is left in the socket, and
//! closing the socket cannot discard the answer. After a failure, rank 0 stays a little longer, so that ranks
//! that come late hear of it.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::acceptor::{Acceptor, Arrival};
use super::meeting::Meeting;
use super::message::{Agreement, INFO_LIMIT, Message, MessageLink};
use super::poll::Poll;
use super::proof::{Identity, Purpose, Refusal};
use super::rank_info::RankInfo;
use crate::error::{Error, RendezvousError};

/// How long after a failure rank 0 stays, to tell ranks that come late.
const GRACE: Duration = Duration::from_secs(2);

/// Collects the information of every rank.
pub(super) fn collect(
    meeting: &Meeting,
    identity: &Identity,
    listeners: &[TcpListener],
    own: RankInfo,
) -> Result<Vec<RankInfo>, Error> {
    let acceptor = Acceptor::new(listeners, identity, Purpose::Rendezvous);
    let mut leader = Leader { meeting, own, acceptor, members: Vec::new(), refused_ranks: 0, failure: None };
    leader.gather()?;
    leader.answer()
}

struct Leader<'a> {
    meeting: &'a Meeting,
    own: RankInfo,
    acceptor: Acceptor<'a>,
    /// In order of arrival.
    members: Vec<Member>,
    /// How many ranks had other settings, and were refused.
    refused_ranks: usize,
    failure: Option<Error>,
}

struct Member {
    message_link: MessageLink,
    info: Option<RankInfo>,
    /// The rank has closed the connection.
    gone: bool,
}

impl Leader<'_> {
    /// Waits until every rank has come or was refused, or until the deadline; after a failure, only a little
    /// longer.
    fn gather(&mut self) -> Result<(), Error> {
        let mut until = Instant::now() + self.meeting.timeout;
        while self.count_arrived() + 1 < self.meeting.world_size {
            if Instant::now() >= until {
                self.fail(Error::Rendezvous(RendezvousError::Missing {
                    place: self.meeting.place.describe(),
                    ranks: self.missing(),
                    waited: self.meeting.timeout,
                    refused: self.acceptor.refused(),
                    listened: self.meeting.place.unsaid(self.own.addresses[0]),
                }));
                break;
            }
            if let Err(error) = self.meeting.check_stop() {
                self.fail(error);
                break;
            }
            let mut poll = Poll::default();
            self.acceptor.watch(&mut poll);
            self.members.iter().filter(|m| !m.gone).for_each(|m| poll.readable(&m.message_link.link));
            let mut ready =
                poll.wait(self.meeting.pause_until(self.acceptor.due().map_or(until, |due| due.min(until))))?;
            let arrivals = self.acceptor.serve(&mut ready)?;
            for i in 0..self.members.len() {
                if !self.members[i].gone && ready.next() == Some(true) {
                    self.receive_from(i);
                }
            }
            self.members.retain(|member| !member.gone || member.info.is_some());
            for arrival in arrivals {
                match arrival {
                    Arrival::Link(link) => {
                        let message_link = MessageLink::new(*link, INFO_LIMIT);
                        self.members.push(Member { message_link, info: None, gone: false });
                    }
                    Arrival::Conflict(error) => {
                        self.refused_ranks += 1;
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

    fn count_arrived(&self) -> usize {
        self.members.iter().filter(|member| member.info.is_some()).count() + self.refused_ranks
    }

    fn missing(&self) -> Vec<usize> {
        let here = |rank| self.members.iter().any(|m| m.info.is_some() && m.message_link.link.peer() == rank);
        (1..self.meeting.world_size).filter(|&rank| !here(rank)).collect()
    }

    /// Remembers the first failure.
    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// Reads what has arrived from a member.
    fn receive_from(&mut self, index: usize) {
        let member = &mut self.members[index];
        match member.message_link.receive() {
            Ok(None) => (),
            Ok(Some(Message::RankInfo(info, agreement))) => {
                member.info = Some(info);
                if let Some(error) = self.objection(index, &agreement) {
                    self.fail(error);
                }
            }
            Ok(Some(_)) => {
                member.gone = true;
                let error = member.message_link.unexpected("another message than its RankInfo");
                self.fail(error);
            }
            Err(error) => {
                member.gone = true;
                if member.info.is_some() {
                    self.fail(error);
                } else {
                    let address = member.message_link.link.address();
                    self.acceptor.refuse(address, &Refusal::Other(error.to_string()));
                }
            }
        }
    }

    /// Why the member at `index` cannot be in the group.
    fn objection(&self, index: usize, agreement: &Agreement) -> Option<Error> {
        let link = &self.members[index].message_link.link;
        let rank = link.peer();
        let twin = self.members.iter().enumerate().find_map(|(i, other)| {
            let same = i != index && other.info.is_some() && other.message_link.link.peer() == rank;
            same.then(|| other.message_link.link.address())
        });
        let twin = if rank == 0 { Some(self.own.addresses[0]) } else { twin };
        if let Some(twin) = twin {
            return Some(Error::Rendezvous(RendezvousError::RankTaken {
                rank,
                first: twin,
                second: link.address(),
            }));
        }
        let (what, ours, theirs) = difference(&self.meeting.agreement, agreement)?;
        Some(RendezvousError::disagreement(&what, (0, ours), (rank, theirs)).into())
    }

    /// Sends every member the information of all ranks, or the failure; and returns the same.
    fn answer(mut self) -> Result<Vec<RankInfo>, Error> {
        self.refuse_silent();
        let outcome = match self.failure.take() {
            Some(error) => Err(error),
            None => {
                let mut infos = vec![self.own.clone(); self.meeting.world_size];
                for member in &mut self.members {
                    let rank = member.message_link.link.peer();
                    infos[rank] = member.info.clone().expect("all have come");
                }
                Ok(infos)
            }
        };
        let message = match &outcome {
            Ok(infos) => Message::Table(infos.clone()),
            Err(error) => Message::Failure(error.to_string()),
        };
        self.deliver(&message.encode())?;
        outcome
    }

    /// Closes the connections of members that have sent no information. When all ranks have come, such a
    /// member is a second connection of one of them.
    fn refuse_silent(&mut self) {
        let silence = Refusal::Other(String::from("it has not sent its information"));
        for member in self.members.extract_if(.., |member| member.info.is_none()) {
            self.acceptor.refuse(member.message_link.link.address(), &silence);
        }
    }

    /// Sends a message to all ranks that have sent their information.
    fn deliver(&mut self, message: &Arc<[u8]>) -> Result<(), Error> {
        self.members.retain(|member| !member.gone);
        self.members.iter_mut().for_each(|member| member.message_link.post(message.clone()));
        let until = Instant::now() + self.meeting.timeout;
        loop {
            // A rank that is lost now will be missed by the ranks that need it.
            self.members.retain_mut(|Member { message_link, .. }| {
                let alive = message_link.flush().is_ok() && message_link.receive().is_ok();
                alive && !message_link.link.is_flushed()
            });
            if self.members.is_empty() || Instant::now() >= until {
                return Ok(());
            }
            let mut poll = Poll::default();
            self.members.iter().for_each(|member| poll.writable(&member.message_link.link));
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
