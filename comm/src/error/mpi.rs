//! MPI as a transport.

use super::RankNumber;

/// MPI cannot carry the links of a group.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum MpiError {
    /// A process can start MPI only once.
    #[error("another part of the program has started MPI in this process before")]
    Started,

    /// Several threads of a rank call MPI, one at a time.
    #[error("MPI ({library}) does not let threads call it in turns (MPI_THREAD_SERIALIZED)")]
    Threads {
        /// The library.
        library: String,
    },

    /// Something else than the library's own `mpirun` started the program.
    #[error(
        "the environment says that this is {environment}, MPI ({library}) that it is {mpi}: was the program started \
         by the mpirun of another MPI?"
    )]
    Rank {
        /// What MPI says.
        mpi: RankNumber,
        /// What the environment says.
        environment: RankNumber,
        /// The library.
        library: String,
    },

    /// MPI sends everything in the clear.
    #[error("links over MPI cannot be encrypted")]
    Encrypted,
}
