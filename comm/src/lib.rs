//! Collectives whose sums are the same bits on any number of ranks, over shared memory, TCP and MPI.

#![deny(unsafe_code)]

mod collective;
mod communicator;
mod cores;
mod error;
mod group;
mod key;
mod links;
#[cfg(feature = "mpi")]
mod mpi;
mod rendezvous;
mod shard_sum;
mod shm;
mod summand;

pub mod tree;

pub use communicator::{Communicator, Settings, Transport};
pub use error::Error;
pub use key::Key;
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
pub use rendezvous::{Meeting, Place, System, Variables};
pub use shard_sum::{ShardPlan, ShardSum, Shares};
pub use shm::Buffer;
pub use summand::Summand;

/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
