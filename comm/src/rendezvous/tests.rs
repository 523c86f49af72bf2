//! Ranks as threads of one process, from the meeting to their links.

use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::message::{Message, MessageLink};
use super::*;
use crate::error::{PeerError, RendezvousError};
use crate::key::Key;
use crate::links::{Frame, FrameKind, Incoming, Memory};

pub(super) const DEADLINE: Duration = Duration::from_secs(30);

pub(super) fn meeting(rank: usize, world: usize) -> Meeting {
    Meeting {
        job: "test".into(),
        timeout: DEADLINE,
        agreement: vec![("seed".into(), "1".into())],
        ..Meeting::new(Place::File("unused".into()), rank, world)
    }
}

/// A place of its own for each caller: on Linux, all of 127.0.0.0/8 is this host.
fn free_address() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let own = if cfg!(target_os = "linux") { NEXT.fetch_add(1, Ordering::Relaxed) } else { 1 };
    let [.., high, low] = std::process::id().to_be_bytes();
    let host =
        if cfg!(target_os = "linux") { Ipv4Addr::new(127, high | 1, low, own) } else { Ipv4Addr::LOCALHOST };
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().to_string()
}

fn by_address() -> Place {
    Place::Address { address: free_address(), key: Key::from_bytes([9; 32]) }
}

fn by_file(folder: &Path) -> Place {
    Place::File(folder.join("meeting"))
}

fn local_info(rank: usize) -> Vec<u8> {
    vec![rank as u8; rank * 100 % LOCAL_INFO_LIMIT]
}

/// Runs every rank; the results by rank.
fn gather(
    world: usize,
    change: impl Fn(&mut Meeting) + Sync,
    host: impl Fn(usize) -> HostId + Sync,
) -> Vec<MetGroup> {
    let (change, host) = (&change, &host);
    thread::scope(|scope| {
        let ranks: Vec<_> = (0..world)
            .map(|rank| {
                scope.spawn(move || {
                    let mut meeting = meeting(rank, world);
                    change(&mut meeting);
                    meet(&meeting, host(rank), &local_info(rank)).unwrap()
                })
            })
            .collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// Sends and expects four bytes.
#[derive(Default)]
struct Four {
    own: [u8; 4],
    theirs: [u8; 4],
    received: usize,
}

impl Memory for Four {
    fn outgoing(&self, _to: usize, _frame: &Frame) -> &[u8] {
        &self.own
    }

    fn incoming(&mut self, _from: usize, _frame: &Frame) -> Incoming<'_> {
        Incoming::Here(&mut self.theirs)
    }

    fn received(&mut self, _from: usize, _frame: Frame) {
        self.received += 1;
    }
}

/// Checks infos and links against each other and the hosts, and sends something over every link.
fn check(mut group: Vec<MetGroup>, host: impl Fn(usize) -> HostId) {
    let world = group.len();
    for (rank, met) in group.iter().enumerate() {
        assert_eq!(met.infos.len(), world);
        for (other, info) in met.infos.iter().enumerate() {
            assert_eq!(*info, group[other].infos[other], "info of rank {other} at rank {rank}");
            assert_eq!(info.host, host(other));
            assert_eq!(info.local_info, local_info(other));
            let link = &met.links[other];
            assert_eq!(link.is_some(), host(other) != host(rank), "link of rank {rank} to rank {other}");
            assert!(link.as_ref().is_none_or(|link| link.peer() == other));
            if world > 1 {
                let late = TcpStream::connect_timeout(&info.addresses[0], DEADLINE);
                assert!(late.is_err(), "rank {other} still listens");
            }
        }
    }
    let frame = Frame { kind: FrameKind::Gather, exchange: 0, operation: 0, bucket: 0, call: 0, bytes: 4 };
    for (rank, met) in group.iter_mut().enumerate() {
        let memory = Four { own: [rank as u8; 4], ..Four::default() };
        for link in met.links.iter_mut().flatten() {
            link.send(frame);
            link.flush(&memory).unwrap();
            assert!(link.is_flushed());
        }
    }
    let start = Instant::now();
    for met in &mut group {
        for (other, link) in met.links.iter_mut().enumerate() {
            let Some(link) = link else { continue };
            let mut memory = Four::default();
            while memory.received == 0 {
                link.receive(&mut memory).unwrap();
                assert!(start.elapsed() < DEADLINE);
            }
            assert_eq!((memory.received, memory.theirs), (1, [other as u8; 4]));
        }
    }
}

#[test]
fn groups_meet_and_connect_across_hosts() {
    for world in [1, 2, 3, 5] {
        for hosts in [1, 2, world] {
            let host = |rank: usize| HostId::of_rank(rank % hosts);
            for encrypt in [false, true] {
                let folder = tempfile::tempdir().unwrap();
                let change = |meeting: &mut Meeting| {
                    (meeting.place, meeting.encrypt) = (by_file(folder.path()), encrypt);
                };
                check(gather(world, change, host), host);
                assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the meeting file is gone");

                let place = by_address();
                let change = |meeting: &mut Meeting| {
                    (meeting.place, meeting.encrypt) = (place.clone(), encrypt);
                };
                check(gather(world, change, host), host);
            }
        }
    }
}

#[test]
fn the_largest_infos_of_many_ranks_fit() {
    // Information of the full length, and an agreement that no socket takes at once.
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(900_000);
    let infos = thread::scope(|scope| {
        let join = |rank| {
            let mut meeting = meeting(rank, 12);
            meeting.place = by_file(folder.path());
            meeting.agreement.push(("text".into(), long.clone()));
            meet(&meeting, HostId::of_rank(0), &[rank as u8; LOCAL_INFO_LIMIT]).unwrap().infos
        };
        let ranks: Vec<_> = (0..12).map(|rank| scope.spawn(move || join(rank))).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(infos.iter().all(|others| others.len() == 12 && *others == infos[0]));
    assert_eq!(infos[0][11].local_info, [11; LOCAL_INFO_LIMIT]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_rank_listens_where_it_is_told() {
    let place = by_address();
    let own = |rank| IpAddr::from([127, 0, 0, 10 + rank as u8]);
    let change = |meeting: &mut Meeting| {
        meeting.place = place.clone();
        meeting.listen = vec![SocketAddr::new(own(meeting.rank), 0)];
    };
    let groups = gather(3, change, HostId::of_rank);
    for met in &groups {
        let addresses: Vec<IpAddr> = met.infos[1..].iter().map(|info| info.addresses[0].ip()).collect();
        assert_eq!(addresses, [own(1), own(2)]);
    }
    let link = groups[2].links[1].as_ref().unwrap();
    assert!(link.place().starts_with(&format!("{}:", own(1))), "{}", link.place());
}

#[test]
#[cfg(target_os = "linux")]
fn each_pair_has_an_address_of_its_own() {
    // Address `of(a, b)` stands for the end of the cable between `a` and `b` at the lower rank `a`.
    let of = |low: usize, high: usize| IpAddr::from([127, 0, 2 + low as u8, high as u8]);
    let port = TcpListener::bind((of(0, 1), 0)).unwrap().local_addr().unwrap().port();
    let change = |meeting: &mut Meeting| {
        let rank = meeting.rank;
        let address = SocketAddr::new(of(0, rank.max(1)), port).to_string();
        meeting.place = Place::Address { address, key: Key::from_bytes([9; 32]) };
        let port = if rank == 0 { port } else { 0 };
        meeting.listen = (rank + 1..4).map(|high| SocketAddr::new(of(rank, high), port)).collect();
        meeting.routes = (0..rank).map(|low| Some(of(low, rank))).collect();
    };
    let groups = gather(4, change, HostId::of_rank);
    for (high, group) in groups.iter().enumerate() {
        for low in 0..high {
            let place = group.links[low].as_ref().unwrap().place();
            assert!(place.starts_with(&format!("{}:", of(low, high))), "link of {high} to {low}: {place}");
        }
    }
}

#[test]
fn more_addresses_than_others_can_be_told_of_are_an_error() {
    let listen = |count: usize| Meeting {
        place: by_address(),
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); count],
        timeout: Duration::from_millis(50),
        ..meeting(0, 2)
    };
    let (few, many) = (listen(MOST_ADDRESSES), listen(MOST_ADDRESSES + 1));
    let error = |meeting: &Meeting| meet(meeting, HostId::of_rank(0), &[]).unwrap_err();
    assert_eq!(
        error(&many).to_string(),
        format!(
            "rendezvous at {}: 257 addresses to listen at, at most 256 are possible",
            many.place.describe()
        )
    );
    let missing = error(&few);
    assert!(matches!(missing, Error::Rendezvous(RendezvousError::Missing { .. })), "{missing}");
    // All of them fit into what rank 0 sends.
    let longest: SocketAddr = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535".parse().unwrap();
    let addresses = vec![longest; MOST_ADDRESSES + 1];
    let info = RankInfo { host: HostId::of_rank(0), addresses, local_info: vec![0; LOCAL_INFO_LIMIT] };
    let table = Message::Table(vec![info; 9]);
    let bytes = table.encode();
    assert!(bytes.len() as u64 <= message::answer_limit(9), "{} bytes", bytes.len());
    assert_eq!(Message::decode(&bytes), Some(table));
}

#[test]
fn a_rank_that_is_asked_to_stop_ends_the_meeting_and_leaves_no_file() {
    for stopped in [0, 1] {
        let folder = tempfile::tempdir().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let join = |rank| {
            let mut meeting = meeting(rank, 3);
            meeting.place = by_file(folder.path());
            meeting.stop = (rank == stopped).then(|| Arc::clone(&stop));
            if rank != stopped {
                meeting.timeout = Duration::from_secs(2);
            }
            meet(&meeting, HostId::of_rank(0), &[]).unwrap_err()
        };
        let join = &join;
        let error = thread::scope(|scope| {
            let other = scope.spawn(move || join(1 - stopped));
            let ranks = scope.spawn(move || join(stopped));
            let start = Instant::now();
            while !folder.path().join("meeting").exists() {
                assert!(start.elapsed() < DEADLINE);
                thread::sleep(Duration::from_millis(1));
            }
            stop.store(true, Ordering::Relaxed);
            other.join().unwrap();
            ranks.join().unwrap()
        });
        assert!(matches!(error, Error::Rendezvous(RendezvousError::Stopped { .. })), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_rank_that_is_lost_ends_the_meeting_for_all() {
    let place = by_address();
    let meeting = |rank| Meeting { place: place.clone(), ..meeting(rank, 4) };
    thread::scope(|scope| {
        let ranks = [0, 1].map(|rank| {
            let meeting = meeting(rank);
            scope.spawn(move || meet(&meeting, HostId::of_rank(0), &[]).unwrap_err())
        });
        // Rank 2 comes, hands in its info, and dies.
        let (link, _) = follower::join(&meeting(2)).unwrap();
        let address = link.local_address().unwrap();
        let mut lost = MessageLink::new(link, 1000);
        let info = RankInfo { host: HostId::of_rank(0), addresses: vec![address], local_info: Vec::new() };
        lost.post(Message::RankInfo(info, meeting(2).agreement).encode());
        lost.flush().unwrap();
        assert!(lost.link.is_flushed());
        drop(lost);
        let cause = format!("rank 2 ({address}) closed the connection");
        let [root, member] = ranks.map(|rank| rank.join().unwrap());
        assert_eq!(root.to_string(), cause);
        assert_eq!(member.to_string(), format!("{cause} (rank 0 says)"));
    });
}

/// A rank whose proof arrived may connect again before it has sent its information.
#[test]
fn a_silent_twin_of_a_rank_does_not_keep_the_group_from_meeting() {
    let place = by_address();
    let meeting = |rank| Meeting { place: place.clone(), ..meeting(rank, 2) };
    thread::scope(|scope| {
        let root = scope.spawn(|| meet(&meeting(0), HostId::of_rank(0), &[]));
        let (mut silent, _) = follower::join(&meeting(1)).unwrap();
        meet(&meeting(1), HostId::of_rank(0), &[]).unwrap();
        assert_eq!(root.join().unwrap().unwrap().infos.len(), 2);
        let error = loop {
            if let Err(error) = silent.receive(&mut Four::default()) {
                break error;
            }
        };
        assert!(matches!(error, Error::Peer(PeerError::Closed { rank: 0, .. })), "{error}");
    });
}

#[test]
fn a_message_of_four_gigabytes_ends_its_connection_only() {
    let place = by_address();
    let meeting = |rank| Meeting { place: place.clone(), ..meeting(rank, 2) };
    thread::scope(|scope| {
        let root = scope.spawn(|| meet(&meeting(0), HostId::of_rank(0), &[]));
        // The header announces more than there is; the payload never comes.
        let (mut link, _) = follower::join(&meeting(1)).unwrap();
        link.send_raw_header(Frame {
            kind: FrameKind::Rendezvous,
            exchange: 0,
            operation: 0,
            bucket: 0,
            call: 0,
            bytes: 1 << 32,
        });
        let start = Instant::now();
        let error = loop {
            if let Err(error) = link.receive(&mut Four::default()) {
                break error;
            }
            assert!(start.elapsed() < DEADLINE);
        };
        assert!(matches!(error, Error::Peer(PeerError::Closed { rank: 0, .. })), "{error}");
        // Nothing is lost: whoever it was, rank 1 can still come.
        meet(&meeting(1), HostId::of_rank(0), &[]).unwrap();
        root.join().unwrap().unwrap();
    });
}
