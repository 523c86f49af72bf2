//! Collectives whose sums are the same bits on any number of ranks, over shared memory, TCP and MPI.

#![deny(unsafe_code)]

mod clock;
mod collective;
mod communicator;
mod cores;
mod error;
mod group;
mod key;
mod launcher;
mod limits;
mod links;
#[cfg(feature = "mpi")]
mod mpi;
mod rendezvous;
mod settings;
mod shard_sum;
mod shm;
mod summand;
mod variables;

pub mod tree;

pub use clock::ClockOffset;
pub use communicator::Communicator;
pub use error::{
    Error, FileError, MpiError, PeerError, RankNumber, RankValue, RendezvousError, SharedMemoryError,
    VariablesError,
};
pub use key::Key;
pub use launcher::Launcher;
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
pub use rendezvous::{Meeting, Place};
pub use settings::{Settings, Transport};
pub use shard_sum::{ShardPlan, ShardSum, Shares};
pub use shm::Buffer;
pub use summand::Summand;
pub use variables::RankVariables;

/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
