//! Groups of ranks in threads of one process.

#![allow(dead_code, reason = "not every test binary needs all of it")]

use isograd_comm::{Communicator, Error, Meeting, Place, Settings, Transport};

/// How the ranks of a test are arranged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Arrangement {
    /// All on one host.
    Shared,
    /// TCP between all.
    Tcp,
    /// TCP between all, encrypted.
    Sealed,
    /// Shared memory within hosts, TCP between: rank `r` on host `r % hosts`.
    Hosts { hosts: usize },
    /// As `Hosts`, with neighbouring ranks on a host.
    Blocks { size: usize },
}

pub(crate) const ARRANGEMENTS: [Arrangement; 6] = [
    Arrangement::Shared,
    Arrangement::Tcp,
    Arrangement::Sealed,
    Arrangement::Hosts { hosts: 2 },
    Arrangement::Blocks { size: 2 },
    Arrangement::Blocks { size: 3 },
];

/// Settings of `rank` in a group that meets in `folder`.
pub(crate) fn settings(
    folder: &std::path::Path,
    rank: usize,
    world: usize,
    arrangement: Arrangement,
) -> Settings {
    let mut meeting = Meeting::new(Place::File(folder.join("meeting")), rank, world);
    (meeting.job, meeting.encrypt) = ("test".into(), arrangement == Arrangement::Sealed);
    let mut settings = Settings::new(meeting);
    match arrangement {
        Arrangement::Shared => {}
        Arrangement::Tcp | Arrangement::Sealed => settings.transport = Transport::Tcp,
        Arrangement::Hosts { hosts } => settings.host = Some(format!("host {}", rank % hosts)),
        Arrangement::Blocks { size } => settings.host = Some(format!("host {}", rank / size)),
    }
    settings
}

/// Runs `rank` on every rank of a group, each in a thread; returns what they return, by rank.
pub(crate) fn spawn<R: Send>(
    world: usize,
    arrangement: Arrangement,
    rank: impl Fn(Communicator) -> Result<R, Error> + Sync,
) -> Vec<R> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |number: usize| {
        let communicator = Communicator::join(&settings(folder.path(), number, world, arrangement))?;
        assert_eq!((communicator.rank(), communicator.world_size()), (number, world));
        rank(communicator)
    };
    std::thread::scope(|scope| {
        let ranks: Vec<_> = (0..world).map(|number| scope.spawn(move || run(number))).collect();
        let results = ranks.into_iter().map(|rank| rank.join().expect("no rank panics"));
        results
            .map(|result| result.unwrap_or_else(|error| panic!("{arrangement:?}, world {world}: {error}")))
            .collect()
    })
}
