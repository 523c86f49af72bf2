//! The rendezvous of ranks that MPI has started: they know each other, and only have to compare their
//! settings.

use super::leader::difference;
use super::meeting::Meeting;
use super::message::{Agreement, INFO_LIMIT, Message, MessageLink, answer_limit};
use super::rank_info::{MetGroup, RankInfo};
use crate::error::{Error, MpiError, PeerError, RendezvousError};
use crate::links::{Link, Tag, close_all, sleep};
use crate::mpi::{Mpi, MpiStream};
use std::time::{Duration, Instant};

/// How long after a failure ranks stay, to tell ranks that come late.
const GRACE: Duration = Duration::from_secs(2);

/// Exchanges the information of all ranks, and makes a link to every rank on another host.
pub(super) fn gather(meeting: &Meeting, mpi: &Mpi, own: RankInfo) -> Result<MetGroup, Error> {
    let &Meeting { rank, world_size: world, .. } = meeting;
    assert_eq!((rank, world), (mpi.rank(), mpi.world_size()), "rank and number of ranks, and MPI's");
    if meeting.encrypt {
        return Err(Error::Mpi(MpiError::Encrypted));
    }
    let [meeting_tag, links_tag] = mpi.next_tags();
    let stream = |peer, tag| {
        MpiStream::new(mpi, peer, tag, meeting.timeout)
            .map_err(|source| Error::io(format!("receive from rank {peer}"), source))
    };
    // Frames of another job or generation must be readable, so that the error can name the difference.
    let message_link = |peer, limit| {
        let link = Link::over(stream(peer, meeting_tag)?, peer, Tag::new("", 0));
        Ok(MessageLink::new(link, limit))
    };
    mpi.abandon();
    let infos = if rank == 0 {
        let members = (1..world).map(|peer| message_link(peer, INFO_LIMIT));
        collect(meeting, mpi, members.collect::<Result<_, Error>>()?, own)?
    } else {
        send_info(meeting, mpi, message_link(0, answer_limit(world))?, own)?
    };
    let tag = Tag::new(&meeting.job, meeting.generation);
    let link = |peer: usize| {
        (infos[peer].host != infos[rank].host)
            .then(|| Ok(Link::over(stream(peer, links_tag)?, peer, tag).into_any()))
            .transpose()
    };
    let links = (0..world).map(link).collect::<Result<_, Error>>()?;
    mpi.rely();
    Ok(MetGroup { infos, links })
}

/// The settings to compare. Ranks that meet by TCP have compared job and generation in their proofs.
fn agreement(meeting: &Meeting) -> Agreement {
    let own = [("job", meeting.job.clone()), ("generation", meeting.generation.to_string())];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    own.chain(meeting.agreement.iter().cloned()).collect()
}

/// Rank 0: waits for the information of all ranks, compares it, and answers.
fn collect(
    meeting: &Meeting,
    mpi: &Mpi,
    mut members: Vec<MessageLink<MpiStream>>,
    own: RankInfo,
) -> Result<Vec<RankInfo>, Error> {
    let ours = agreement(meeting);
    let until = Instant::now() + meeting.timeout;
    let mut infos: Vec<Option<RankInfo>> = vec![None; meeting.world_size];
    infos[0] = Some(own);
    let outcome = loop {
        if let Some(infos) = infos.iter().cloned().collect::<Option<Vec<_>>>() {
            break Ok(infos);
        }
        if Instant::now() >= until {
            let ranks = (1..meeting.world_size).filter(|rank| infos[*rank].is_none()).collect();
            let (place, waited) = (meeting.place.describe(), meeting.timeout);
            break Err(Error::Rendezvous(RendezvousError::Missing {
                place,
                ranks,
                waited,
                refused: 0,
                listened: None,
            }));
        }
        if let Err(error) = receive_all(&mut members, &mut infos, &ours) {
            break Err(error);
        }
        if let Err(error) = meeting.check_stop() {
            break Err(error);
        }
        sleep(members.iter().map(|member| (&member.link, true)), meeting.timeout);
    };
    let message = match &outcome {
        Ok(infos) => Message::Table(infos.clone()),
        Err(error) => Message::Failure(error.to_string()),
    };
    let message = message.encode();
    members.iter_mut().for_each(|member| member.post(message.clone()));
    if outcome.is_err() {
        let until = Instant::now() + GRACE.min(meeting.timeout);
        if close_all(members.iter_mut().map(MessageLink::parts).collect(), until) {
            mpi.rely();
        }
        return outcome;
    }
    // The last rank may have come at the deadline: the answer has time of its own.
    let until = Instant::now() + meeting.timeout;
    loop {
        // A rank that is lost now will be missed by the ranks that need it.
        members.retain_mut(|member| member.flush().is_ok() && !member.link.is_flushed());
        if members.is_empty() || Instant::now() >= until {
            return outcome;
        }
        sleep(members.iter().map(|member| (&member.link, true)), meeting.timeout);
    }
}

/// Reads the information that has arrived, and compares the settings.
fn receive_all(
    members: &mut [MessageLink<MpiStream>],
    infos: &mut [Option<RankInfo>],
    ours: &Agreement,
) -> Result<(), Error> {
    for member in members {
        let rank = member.link.peer();
        match member.receive()? {
            None => {}
            Some(Message::RankInfo(info, theirs)) => {
                infos[rank] = Some(info);
                if let Some((what, ours, theirs)) = difference(ours, &theirs) {
                    return Err(RendezvousError::disagreement(&what, (0, ours), (rank, theirs)).into());
                }
            }
            Some(_) => return Err(member.unexpected("another message than its RankInfo")),
        }
    }
    Ok(())
}

/// The other ranks: send their information, and wait for that of all ranks.
fn send_info(
    meeting: &Meeting,
    mpi: &Mpi,
    mut root: MessageLink<MpiStream>,
    own: RankInfo,
) -> Result<Vec<RankInfo>, Error> {
    // Rank 0 can still say which ranks are missing.
    let until = Instant::now() + meeting.timeout + (meeting.timeout / 4).min(GRACE);
    root.post(Message::RankInfo(own, agreement(meeting)).encode());
    loop {
        root.flush()?;
        match root.receive()? {
            Some(Message::Table(infos)) if infos.len() == meeting.world_size => return Ok(infos),
            Some(Message::Failure(cause)) => {
                if close_all(vec![root.parts()], Instant::now() + GRACE) {
                    mpi.rely();
                }
                return Err(Error::Peer(PeerError::Reported { by: 0, cause }));
            }
            Some(_) => return Err(root.unexpected("another message than the infos of all ranks")),
            None if Instant::now() >= until => {
                return Err(Error::Rendezvous(RendezvousError::Unanswered {
                    place: meeting.place.describe(),
                    waited: meeting.timeout,
                    reason: "it did not say which ranks have come".to_owned(),
                }));
            }
            None => {
                meeting.check_stop()?;
                sleep(std::iter::once((&root.link, true)), meeting.timeout);
            }
        }
    }
}
