//! Where and how a group meets.

use crate::error::{Error, RendezvousError};
use crate::key::Key;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often a rank that waits for others looks whether it was asked to stop.
const STOP_INTERVAL: Duration = Duration::from_millis(100);

/// Where a group meets, and which rank this process is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Meeting {
    /// Where.
    pub place: Place,
    /// This process, from 0 to `world_size` - 1.
    pub rank: usize,
    /// The number of ranks in the group.
    pub world_size: usize,
    /// Distinguishes this job from others with the same key; the same in all its ranks.
    pub job: String,
    /// How often the job's group was rebuilt; the same in all its ranks.
    pub generation: u64,
    /// How long to wait for other ranks, here and in every operation; more than 20 days count as 20.
    pub timeout: Duration,
    /// The addresses at which this rank accepts links, on a host with several addresses; port 0 is any free
    /// port. `0.0.0.0` and `[::]`, which stand for all addresses of a host, are refused. If empty: the
    /// address from which this rank reaches rank 0. Rank 0 listens at the place as well.
    pub listen: Vec<SocketAddr>,
    /// By rank: which of that rank's addresses this rank connects to. Without an entry: the first one. Only
    /// for hosts that have no network in common, so that each pair needs an address of its own.
    pub routes: Vec<Option<IpAddr>>,
    /// Whether links are encrypted; the same in all ranks.
    pub encrypt: bool,
    /// Names and values of settings that have to be the same in all ranks.
    pub agreement: Vec<(String, String)>,
    /// Once this is true, [`Communicator::join`](crate::Communicator::join) ends with an error, and the
    /// meeting file is removed. For programs that catch signals.
    pub stop: Option<Arc<AtomicBool>>,
}

impl Meeting {
    /// A meeting of `world_size` ranks, of which this process is rank `rank`: of the job with the empty name,
    /// with a timeout of 60 s, in the clear.
    pub fn new(place: Place, rank: usize, world_size: usize) -> Self {
        Self {
            place,
            rank,
            world_size,
            job: String::new(),
            generation: 0,
            timeout: Duration::from_secs(60),
            listen: Vec::new(),
            routes: Vec::new(),
            encrypt: false,
            agreement: Vec::new(),
            stop: None,
        }
    }

    /// An error once this rank was asked to stop.
    pub(super) fn check_stop(&self) -> Result<(), Error> {
        match &self.stop {
            Some(stop) if stop.load(Ordering::Relaxed) => {
                Err(RendezvousError::Stopped { place: self.place.describe() }.into())
            }
            _ => Ok(()),
        }
    }

    /// How long a rank may wait that has to wait until `until`, before it calls
    /// [`check_stop`](Self::check_stop) again.
    pub(super) fn pause_until(&self, until: Instant) -> Instant {
        if self.stop.is_some() { until.min(Instant::now() + STOP_INTERVAL) } else { until }
    }
}

/// Where a group meets.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Place {
    /// Rank 0 listens at this address, all others connect to it.
    Address {
        /// `host:port`, with an IPv6 address in brackets: `[fd00::1]:29500`, `[fe80::1%eth0]:29500`. Ranks
        /// may reach rank 0 at different addresses. `0.0.0.0` and `[::]` are refused, as in
        /// [`Meeting::listen`].
        address: String,
        /// Every process that has this key may join.
        key: Key,
    },
    /// The ranks are processes of one user on one host. Rank 0 listens at a free port of 127.0.0.1 and writes
    /// it, with a fresh key, into this file, which only the user can read. The file is gone when all ranks
    /// have come, and when they have not. A process that is killed leaves it; the next rank 0 that meets in
    /// the same folder removes it.
    File(PathBuf),
    /// MPI started the ranks, and also carries the links between them.
    #[cfg(feature = "mpi")]
    Mpi(crate::Mpi),
}

impl Place {
    /// Whether the ranks are MPI's.
    pub(crate) fn is_mpi(&self) -> bool {
        #[cfg(feature = "mpi")]
        return matches!(self, Self::Mpi(_));
        #[cfg(not(feature = "mpi"))]
        false
    }

    /// `address`, which rank 0 has or is looked for at, unless the place says the same.
    pub(super) fn unsaid(&self, address: SocketAddr) -> Option<SocketAddr> {
        match self {
            Self::Address { address: said, .. } if said.parse() != Ok(address) => Some(address),
            _ => None,
        }
    }

    /// The place in an error message.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Address { address, .. } => address.clone(),
            Self::File(path) => path.display().to_string(),
            #[cfg(feature = "mpi")]
            Self::Mpi(_) => "MPI_COMM_WORLD".to_owned(),
        }
    }
}
