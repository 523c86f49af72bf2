//! What the tests of whole groups share: ranks are threads.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use isograd_comm::{Communicator, Error, Key, Meeting, Place, Settings, Transport};

/// Longer than anything takes that is expected to succeed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Rank `rank` of `world`, over TCP.
pub(crate) fn settings(place: &Place, rank: usize, world: usize) -> Settings {
    let mut meeting = Meeting::new(place.clone(), rank, world);
    (meeting.job, meeting.timeout) = ("test".into(), DEADLINE);
    meeting.agreement = vec![("seed".into(), "1".into()), ("model".into(), "simplecnn".into())];
    let mut settings = Settings::new(meeting);
    settings.transport = Transport::Tcp;
    settings
}

pub(crate) fn key() -> Key {
    Key::from_bytes([9; 32])
}

/// A place of its own for each caller: on Linux, all of 127.0.0.0/8 is this host.
pub(crate) fn free_place() -> (Place, String) {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let own = NEXT.fetch_add(1, Ordering::Relaxed);
    let host =
        if cfg!(target_os = "linux") { Ipv4Addr::new(127, high | 1, low, own) } else { Ipv4Addr::LOCALHOST };
    let address = TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().to_string();
    (Place::Address { address: address.clone(), key: key() }, address)
}

/// Joins with each of the settings at once; the results in their order.
pub(crate) fn join_all(settings: &[Settings]) -> Vec<Result<Communicator, Error>> {
    thread::scope(|scope| {
        let ranks: Vec<_> =
            settings.iter().map(|settings| scope.spawn(|| Communicator::join(settings))).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// Lets a group add up something, and checks the sums.
pub(crate) fn check_sums(group: Vec<Communicator>) {
    let world = group.len();
    let expected: f32 = (0..world).map(|rank| 1.0 + rank as f32).sum();
    thread::scope(|scope| {
        for mut rank in group {
            scope.spawn(move || {
                let mut x = vec![1.0 + rank.rank() as f32; 10_000];
                rank.allreduce(&mut x).unwrap();
                assert!(x.iter().all(|x| *x == expected), "rank {} of {world}", rank.rank());
            });
        }
    });
}
