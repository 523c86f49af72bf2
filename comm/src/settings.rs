//! How a rank joins its group.

use crate::rendezvous::Meeting;
use std::path::PathBuf;

/// How the ranks of a group exchange data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Shared memory among the ranks of a host, TCP between hosts.
    #[default]
    Auto,
    /// Shared memory; all ranks must run on one host.
    SharedMemory,
    /// TCP even between ranks of one host.
    Tcp,
    /// MPI, with which the group also meets; even between ranks of one host, unless [`host`](Settings::host)
    /// names it: then they share memory.
    Mpi,
}

/// How a rank joins its group.
#[derive(Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Where the group meets, and which rank this process is.
    pub meeting: Meeting,
    /// How data is exchanged.
    pub transport: Transport,
    /// A name for this rank's host. Ranks share memory if their hosts have one name, whatever the system
    /// says.
    pub host: Option<String>,
    /// Folder of the shared memory.
    pub shared_memory: PathBuf,
}

impl Settings {
    /// The folder that holds shared memory on Linux.
    pub const SHARED_MEMORY: &str = "/dev/shm";

    /// Shared memory and TCP, each where it fits.
    pub fn new(meeting: Meeting) -> Self {
        Self {
            meeting,
            transport: Transport::Auto,
            host: None,
            shared_memory: PathBuf::from(Self::SHARED_MEMORY),
        }
    }
}
