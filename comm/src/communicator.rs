//! A group of ranks, and its collectives on slices.

use crate::collective::{Call, Rule, Slices};
use crate::error::{Error, PeerError};
use crate::group::Group;
use crate::settings::Settings;
use crate::summand::Summand;
use std::ops::Range;

/// A group of ranks. All of them call the same operations in the same order, with slices of the same lengths.
///
/// All ranks get the same bits of a sum, on any transport and in any arrangement of the ranks over hosts:
/// sums are taken in the order of [`tree`](crate::tree), in which rank `r` is leaf `r`.
///
/// After an error the group is broken: every later call returns the first cause.
#[derive(Debug)]
pub struct Communicator {
    /// `None` for a rank without others.
    pub(crate) group: Option<Box<Group>>,
}

impl Communicator {
    /// A group of one rank.
    pub fn solo() -> Self {
        Self { group: None }
    }

    /// Meets the other ranks, and returns when all are there and agree.
    ///
    /// # Panics
    ///
    /// When only one of transport and [place](crate::Place) is MPI.
    ///
    /// # Errors
    ///
    /// When some ranks do not come in time, differ in a setting that must be the same, cannot prove that they
    /// belong to the job, or cannot be reached; when the ranks of a host cannot share memory; when
    /// [`Meeting::listen`](crate::Meeting::listen) has more than 256 addresses; when it or the place has an
    /// address that stands for all of a host; when the group cannot have such a rank; when
    /// [`Meeting::stop`](crate::Meeting::stop) was set.
    pub fn join(settings: &Settings) -> Result<Self, Error> {
        let meeting = &settings.meeting;
        if meeting.world_size == 1 && meeting.rank == 0 {
            return Ok(Self::solo());
        }
        let group = Group::join(settings)?;
        let mut communicator = Self { group: Some(Box::new(group)) };
        communicator.barrier()?;
        if let Some(group) = &communicator.group {
            group.engine.own.close();
        }
        Ok(communicator)
    }

    /// This rank's number.
    pub fn rank(&self) -> usize {
        self.group.as_ref().map_or(0, |group| group.engine.topology.rank)
    }

    /// The number of ranks.
    pub fn world_size(&self) -> usize {
        self.group.as_ref().map_or(1, |group| group.engine.topology.world())
    }

    /// How many ranks run on each host, in the order of their first ranks.
    pub fn ranks_per_host(&self) -> Vec<usize> {
        match &self.group {
            None => vec![1],
            Some(group) => group.engine.topology.hosts.iter().map(Vec::len).collect(),
        }
    }

    /// The elements of a vector of `len` elements that belong to `rank` in
    /// [`reduce_scatter`](Self::reduce_scatter) and [`allgather`](Self::allgather). Slices tile the vector
    /// and are of about equal length.
    pub fn slice_of(&self, rank: usize, len: usize) -> Range<usize> {
        Slices::Split.of(rank, self.world_size(), len)
    }

    /// `x = ` the sum of all ranks' `x`.
    ///
    /// # Errors
    ///
    /// When a rank is lost or silent for longer than the timeout.
    pub fn allreduce<T: Summand>(&mut self, x: &mut [T]) -> Result<(), Error> {
        let Some(group) = &mut self.group else { return Ok(()) };
        group.allreduce(x)
    }

    /// This rank's slice of `x` (see [`slice_of`](Self::slice_of)) becomes the sum of all ranks'; the rest of
    /// `x` is unchanged.
    ///
    /// # Errors
    ///
    /// As [`allreduce`](Self::allreduce).
    pub fn reduce_scatter<T: Summand>(&mut self, x: &mut [T]) -> Result<(), Error> {
        let Some(group) = &mut self.group else { return Ok(()) };
        group.by_owner(x, Rule::REDUCE_SCATTER)
    }

    /// All ranks get each rank's slice of `x` (see [`slice_of`](Self::slice_of)).
    ///
    /// # Errors
    ///
    /// As [`allreduce`](Self::allreduce).
    pub fn allgather<T: Summand>(&mut self, x: &mut [T]) -> Result<(), Error> {
        let Some(group) = &mut self.group else { return Ok(()) };
        group.by_owner(x, Rule::ALLGATHER)
    }

    /// All ranks get `root`'s `x`.
    ///
    /// # Errors
    ///
    /// As [`allreduce`](Self::allreduce).
    ///
    /// # Panics
    ///
    /// When there is no rank `root`.
    pub fn broadcast<T: Summand>(&mut self, x: &mut [T], root: usize) -> Result<(), Error> {
        assert!(root < self.world_size(), "broadcast from rank {root} of {}", self.world_size());
        let Some(group) = &mut self.group else { return Ok(()) };
        group.contiguous(x, Call::on(x, Rule::broadcast(root)))
    }

    /// Returns when all ranks have called it.
    ///
    /// # Errors
    ///
    /// As [`allreduce`](Self::allreduce).
    pub fn barrier(&mut self) -> Result<(), Error> {
        let Some(group) = &mut self.group else { return Ok(()) };
        let x = &mut [0.0f32];
        if group.engine.is_one_host() {
            return group.short(x, Call::BARRIER);
        }
        group.contiguous(x, Call::BARRIER)
    }

    /// Tells all other ranks that this one ends, and why. They fail with that cause at once.
    pub fn abort(&mut self, cause: &str) {
        if let Some(group) = &mut self.group {
            let rank = group.engine.topology.rank;
            let _ = group
                .engine
                .fail::<()>(Error::Peer(PeerError::Reported { by: rank, cause: cause.to_owned() }));
        }
    }
}
