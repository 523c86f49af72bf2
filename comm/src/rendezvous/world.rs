//! The rendezvous of ranks that MPI has started: they know each other, and have to agree.

use super::message::{Agreement, CARD_LIMIT, Correspondent, Message, answer_limit};
use super::root::difference;
use super::{Card, Gathering, Meeting};
use crate::error::Error;
use crate::links::{Link, Tag, part, sleep};
use crate::mpi::{Mpi, Stream};
use std::time::{Duration, Instant};

/// How long after a failure ranks may come to hear of it.
const GRACE: Duration = Duration::from_secs(2);

/// Exchanges the cards of all ranks and makes a link to every rank on another host.
pub(super) fn gather(meeting: &Meeting, mpi: &Mpi, own: Card) -> Result<Gathering, Error> {
    let &Meeting { rank, world, .. } = meeting;
    assert_eq!((rank, world), (mpi.rank(), mpi.world()), "rank and number of ranks, and MPI's");
    if meeting.encrypt {
        return Err(Error::MpiEncrypted);
    }
    let [meeting_tag, links_tag] = mpi.next_tags();
    let stream = |peer, tag| {
        Stream::new(mpi, peer, tag, meeting.timeout)
            .map_err(|source| Error::io(format!("receive from rank {peer}"), source))
    };
    // Frames of another job or generation are to be understood: the difference is named.
    let correspondent = |peer, limit| {
        let link = Link::over(stream(peer, meeting_tag)?, peer, Tag::new("", 0));
        Ok(Correspondent::new(link, limit))
    };
    mpi.abandon();
    let cards = if rank == 0 {
        let members = (1..world).map(|peer| correspondent(peer, CARD_LIMIT));
        collect(meeting, mpi, members.collect::<Result<_, Error>>()?, own)?
    } else {
        hand_in(meeting, mpi, correspondent(0, answer_limit(world))?, own)?
    };
    let tag = Tag::new(&meeting.job, meeting.generation);
    let link = |peer: usize| {
        (cards[peer].host != cards[rank].host)
            .then(|| Ok(Link::over(stream(peer, links_tag)?, peer, tag).into_any()))
            .transpose()
    };
    let links = (0..world).map(link).collect::<Result<_, Error>>()?;
    mpi.rely();
    Ok(Gathering { cards, links })
}

/// What ranks that have met otherwise have proved to each other.
fn agreement(meeting: &Meeting) -> Agreement {
    let own = [("job", meeting.job.clone()), ("generation", meeting.generation.to_string())];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    own.chain(meeting.agreement.iter().cloned()).collect()
}

/// Rank 0: waits for all cards, compares, and answers.
fn collect(
    meeting: &Meeting,
    mpi: &Mpi,
    mut members: Vec<Correspondent<Stream>>,
    own: Card,
) -> Result<Vec<Card>, Error> {
    let ours = agreement(meeting);
    let until = Instant::now() + meeting.timeout;
    let mut cards: Vec<Option<Card>> = vec![None; meeting.world];
    cards[0] = Some(own);
    let outcome = loop {
        if let Some(cards) = cards.iter().cloned().collect::<Option<Vec<_>>>() {
            break Ok(cards);
        }
        if Instant::now() >= until {
            let ranks = (1..meeting.world).filter(|rank| cards[*rank].is_none()).collect();
            let (place, waited) = (meeting.place.describe(), meeting.timeout);
            break Err(Error::Missing { place, ranks, waited, refused: 0, listened: None });
        }
        if let Err(error) = hear(&mut members, &mut cards, &ours) {
            break Err(error);
        }
        sleep(members.iter().map(|member| (&member.link, true)), meeting.timeout);
    };
    let message = match &outcome {
        Ok(cards) => Message::Table(cards.clone()),
        Err(error) => Message::Failure(error.to_string()),
    };
    let message = message.encode();
    members.iter_mut().for_each(|member| member.post(message.clone()));
    if outcome.is_err() {
        let until = Instant::now() + GRACE.min(meeting.timeout);
        if part(members.iter_mut().map(Correspondent::parts).collect(), until) {
            mpi.rely();
        }
        return outcome;
    }
    // Who is lost now will be missed by all who need it.
    while !members.iter().all(|member| member.link.is_flushed()) && Instant::now() < until {
        members.iter_mut().try_for_each(Correspondent::flush)?;
    }
    outcome
}

/// Reads the cards that have come, and compares.
fn hear(
    members: &mut [Correspondent<Stream>],
    cards: &mut [Option<Card>],
    ours: &Agreement,
) -> Result<(), Error> {
    for member in members {
        let rank = member.link.peer();
        match member.receive()? {
            None => {}
            Some(Message::Card(card, theirs)) => {
                cards[rank] = Some(card);
                if let Some((what, ours, theirs)) = difference(ours, &theirs) {
                    return Err(Error::disagreement(&what, (0, ours), (rank, theirs)));
                }
            }
            Some(_) => return Err(member.unexpected("another message than its card")),
        }
    }
    Ok(())
}

/// The other ranks: hand in their card, and wait for those of all.
fn hand_in(
    meeting: &Meeting,
    mpi: &Mpi,
    mut root: Correspondent<Stream>,
    own: Card,
) -> Result<Vec<Card>, Error> {
    // Rank 0 says who is missing before we stop waiting for it.
    let until = Instant::now() + meeting.timeout + (meeting.timeout / 4).min(GRACE);
    root.post(Message::Card(own, agreement(meeting)).encode());
    loop {
        root.flush()?;
        match root.receive()? {
            Some(Message::Table(cards)) if cards.len() == meeting.world => return Ok(cards),
            Some(Message::Failure(cause)) => {
                if part(vec![root.parts()], Instant::now() + GRACE) {
                    mpi.rely();
                }
                return Err(Error::Reported { by: 0, cause });
            }
            Some(_) => return Err(root.unexpected("another message than the cards of all")),
            None if Instant::now() >= until => {
                return Err(Error::Unanswered {
                    place: meeting.place.describe(),
                    waited: meeting.timeout,
                    reason: "it did not say who has come".to_owned(),
                });
            }
            None => sleep(std::iter::once((&root.link, true)), meeting.timeout),
        }
    }
}
