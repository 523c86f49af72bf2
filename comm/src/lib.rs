//! Collectives whose sums are the same bits on any number of ranks, over shared memory, TCP and MPI.
//!
//! Without the feature `ranks`, which is on by default, only the order of the sums is left: [`tree`].

#![deny(unsafe_code)]

#[cfg(feature = "ranks")]
mod clock;
#[cfg(feature = "ranks")]
mod collective;
#[cfg(feature = "ranks")]
mod communicator;
#[cfg(feature = "ranks")]
mod cores;
#[cfg(feature = "ranks")]
mod error;
#[cfg(feature = "ranks")]
mod group;
#[cfg(feature = "ranks")]
mod key;
#[cfg(feature = "ranks")]
mod launcher;
#[cfg(feature = "ranks")]
mod limits;
#[cfg(feature = "ranks")]
mod links;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "ranks")]
mod rendezvous;
#[cfg(feature = "ranks")]
mod settings;
#[cfg(feature = "ranks")]
mod shard_sum;
#[cfg(feature = "ranks")]
mod shm;
mod summand;
#[cfg(feature = "ranks")]
mod variables;

pub mod tree;

#[cfg(feature = "ranks")]
pub use clock::ClockOffset;
#[cfg(feature = "ranks")]
pub use communicator::Communicator;
#[cfg(feature = "ranks")]
pub use error::{
    Error, FileError, MpiError, PeerError, RankNumber, RankValue, RendezvousError, SharedMemoryError,
    VariablesError,
};
#[cfg(feature = "ranks")]
pub use key::Key;
#[cfg(feature = "ranks")]
pub use launcher::Launcher;
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
#[cfg(feature = "ranks")]
pub use rendezvous::{Meeting, Place};
#[cfg(feature = "ranks")]
pub use settings::{Settings, Transport};
#[cfg(feature = "ranks")]
pub use shard_sum::{ShardPlan, ShardSum, Shares};
#[cfg(feature = "ranks")]
pub use shm::Buffer;
pub use summand::Summand;
#[cfg(feature = "ranks")]
pub use variables::RankVariables;

/// The README's example is compiled and run.
#[cfg(all(doctest, feature = "ranks"))]
#[doc = include_str!("../README.md")]
struct Readme;
