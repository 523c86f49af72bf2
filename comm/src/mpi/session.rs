//! MPI in this process: its start, its numbers, its end.

use super::flight::{self, serial};
use crate::error::{Error, MpiError, RankNumber};
use crate::variables::RankVariables;
use mpi::Threading;
use mpi::environment::Universe;
use mpi::traits::Communicator;
use std::ffi::c_int;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

/// Tags that every MPI has. Each group takes two of them; after half as many groups the first tags come
/// again.
const TAGS: c_int = 1 << 15;
/// How long to wait before `MPI_Abort`: `mpirun` discards output that it has not yet passed on, and does not
/// say what that is.
const ABORT_DELAY: Duration = Duration::from_millis(200);

/// MPI in this process; all clones are the same. MPI ends when the last clone and the
/// [`Communicator`](crate::Communicator) that uses it are dropped.
///
/// At the end, a rank waits for all other ranks (`MPI_Finalize`), if all of them will come there. If a rank
/// is lost, or does not know of a failure that others know of, the end kills the processes of all ranks at
/// once (`MPI_Abort`), this one among them. A program that has to print or write something first keeps a
/// clone until then.
#[derive(Clone)]
pub struct Mpi(Arc<Session>);

struct Session {
    /// `None` while MPI ends.
    universe: Option<Universe>,
    rank: usize,
    world: usize,
    /// Whether a rank may never come to the end.
    is_abandoned: AtomicBool,
    /// The number of groups so far.
    groups: AtomicI32,
}

impl Mpi {
    /// Starts MPI (`MPI_Init_thread`), which waits for all ranks.
    ///
    /// # Errors
    ///
    /// When it was started before, or does not let threads call it in turns.
    pub fn start() -> Result<Self, Error> {
        let started = {
            let _serial = serial();
            mpi::initialize_with_threading(Threading::Serialized)
        };
        let (universe, threading) = started.ok_or(Error::Mpi(MpiError::Started))?;
        let number = |number: c_int| usize::try_from(number).expect("MPI counts from 0");
        let (rank, world) = (number(universe.world().rank()), number(universe.world().size()));
        let session = Session {
            universe: Some(universe),
            rank,
            world,
            is_abandoned: AtomicBool::new(false),
            groups: AtomicI32::new(0),
        };
        if threading < Threading::Serialized {
            return Err(Error::Mpi(MpiError::Threads { library: Self::library() }));
        }
        flight::return_errors().map_err(|source| Error::io("set MPI's handler of errors", source))?;
        // Until all ranks have met, other ranks may wait for this one.
        session.is_abandoned.store(world > 1, Ordering::Relaxed);
        Ok(Self(Arc::new(session)))
    }

    /// The library that this program was built with, in the library's own words: `Open MPI v4.1.4`, `MPICH
    /// Version: 4.0.2`.
    pub fn library() -> String {
        let text = mpi::environment::library_version().unwrap_or_default();
        let name = text.split([',', '\n']).next().unwrap_or_default();
        name.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// This process, from 0 to `world` - 1.
    pub fn rank(&self) -> usize {
        self.0.rank
    }

    /// The number of ranks.
    pub fn world_size(&self) -> usize {
        self.0.world
    }

    /// Compares MPI's numbers with those of the environment.
    ///
    /// # Errors
    ///
    /// When they differ: something else than the library's own `mpirun` has started the program.
    pub fn check(&self, variables: &RankVariables) -> Result<(), Error> {
        let mpi = RankNumber { rank: self.rank(), world_size: self.world_size() };
        let environment = RankNumber { rank: variables.rank, world_size: variables.world_size };
        if mpi == environment {
            return Ok(());
        }
        Err(Error::Mpi(MpiError::Rank { mpi, environment, library: Self::library() }))
    }

    /// Two tags for a group, the same at all ranks: one to meet under, and one for its links.
    pub(crate) fn next_tags(&self) -> [c_int; 2] {
        let first = self.0.groups.fetch_add(1, Ordering::Relaxed) % (TAGS / 2) * 2;
        [first, first + 1]
    }

    /// From now on, a rank may never come to the end.
    pub(crate) fn abandon(&self) {
        self.0.is_abandoned.store(true, Ordering::Relaxed);
    }

    /// From now on, all ranks will come to the end: they have met, or know why they have not.
    pub(crate) fn rely(&self) {
        self.0.is_abandoned.store(false, Ordering::Relaxed);
    }
}

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Session { rank, world, .. } = &*self.0;
        write!(f, "Mpi {{ rank: {rank}, world: {world} }}")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _serial = serial();
        let is_abandoned = self.is_abandoned.load(Ordering::Relaxed) || std::thread::panicking();
        if let Some(universe) = self.universe.as_ref().filter(|_| is_abandoned) {
            std::thread::sleep(ABORT_DELAY);
            universe.world().abort(1);
        }
        // Here MPI ends.
        drop(self.universe.take());
    }
}
