//! Waits for counters of the host's ranks and for frames of other ranks, with a deadline.
//!
//! A rank that fails tells all others the cause before it returns: they fail with the same cause.

use super::engine::{Engine, LocalRank};
use super::failure;
use crate::error::{Error, PeerError};
use crate::links::{Frame, FrameKind, Link, close_all, sleep};
use crate::shm::Waker;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often a sleeping rank checks whether the ranks that it waits for still exist.
const LONG_SLEEP: Duration = Duration::from_millis(50);
/// How long a rank sleeps if it waits for frames and for counters at once: no system call waits for both.
const SHORT_SLEEP: Duration = Duration::from_micros(100);
/// How often to check all sockets together before sleeping.
const SOCKET_LOOKS: u32 = 100;
/// The same for streams without a socket. A check is cheaper there, and it moves data; during sleep nothing
/// moves.
const STREAM_LOOKS: u32 = 10_000;
/// Of the time between two checks of a waiting rank, more than this does not count: the rank's process was
/// suspended, and so were perhaps all others.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long a rank that has failed stays to deliver the cause.
const FAILURE_DELIVERY: Duration = Duration::from_millis(900);

/// What a rank waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// That an operation is complete.
    Bucket { exchange: usize, bucket: usize },
    /// That all ranks of this host have raised a counter of their regions.
    Counter {
        offset: usize,
        turn: u64,
        /// Length of the contribution.
        bytes: usize,
    },
}

/// The rank and the thing that a goal waits for.
struct Awaited {
    rank: usize,
    what: &'static str,
    bucket: usize,
    bytes: usize,
    /// How many ranks may lie between this rank and the one that is late.
    between: u32,
}

/// How long a rank has waited since something last moved.
struct WaitTime {
    waited: Duration,
    /// When the last check was.
    checked: Instant,
    look_count: Option<LookCount>,
}

/// A rank of this host that this rank waits for, and the time waited when its count of looks last changed.
struct LookCount {
    rank: usize,
    count: u64,
    at: Duration,
}

impl WaitTime {
    fn new() -> Self {
        Self { waited: Duration::ZERO, checked: Instant::now(), look_count: None }
    }

    /// Counts the time since the last check.
    fn check(&mut self) {
        self.waited += self.checked.elapsed().min(LONGEST_PAUSE);
        self.checked = Instant::now();
    }
}

impl Engine {
    /// Waits until an operation is complete. `operation` is its name.
    pub(crate) fn wait(&mut self, goal: Goal, operation: &'static str) -> Result<(), Error> {
        self.check()?;
        self.wait_for(goal, operation).or_else(|error| self.fail(error))
    }

    fn wait_for(&mut self, goal: Goal, operation: &'static str) -> Result<(), Error> {
        let (mut looks, mut time) = (0, None);
        let looks_together =
            if self.links.iter().flatten().all(Link::wakes) { SOCKET_LOOKS } else { STREAM_LOOKS };
        let link_looks = looks_together / self.links.iter().flatten().count().max(1) as u32;
        let (spins, yields) = match (self.is_one_host(), self.spin_policy) {
            (true, spin_policy) => (spin_policy.spins, spin_policy.yields),
            (false, spin_policy) if spin_policy.spins > 0 => (link_looks, 0),
            (false, _) => (0, link_looks),
        };
        loop {
            // Frames are sent from the caller's memory, so it must not change before they are written.
            let is_reached = self.look(goal)? && self.unsent().is_none();
            if is_reached && self.open().all(Link::is_flushed) {
                return Ok(());
            }
            looks += 1;
            if self.receive()? {
                (looks, time) = (0, None);
            } else if looks <= spins {
                std::hint::spin_loop();
            } else if looks <= spins + yields {
                std::thread::yield_now();
            } else if is_reached {
                // The stream has its own copy; it leaves with later calls.
                return Ok(());
            } else {
                let time = time.get_or_insert_with(WaitTime::new);
                time.check();
                self.check_others(goal, operation, time)?;
                self.sleep(goal)?;
            }
        }
    }

    /// Moves the operations that lead to a goal. Returns whether it is reached.
    fn look(&mut self, goal: Goal) -> Result<bool, Error> {
        match goal {
            Goal::Bucket { exchange, bucket } => {
                let complete = self.advance((exchange, bucket))?;
                if !complete {
                    self.advance_others(exchange, bucket)?;
                }
                Ok(complete)
            }
            Goal::Counter { offset, turn, .. } => Ok(self.behind(offset, turn).is_none()),
        }
    }

    /// The first rank of this host whose counter has not reached `turn`.
    fn behind(&self, offset: usize, turn: u64) -> Option<usize> {
        let behind = |l: &&LocalRank| l.region.counter(offset).load(Ordering::Acquire) < turn;
        self.locals.iter().find(behind).map(|local| local.rank)
    }

    fn awaited(&self, goal: Goal) -> Option<Awaited> {
        match goal {
            Goal::Bucket { exchange, bucket } => {
                let exchange = &self.frame_memory.exchanges[exchange];
                let unread = || Some((self.unsent()?, "to read what it was sent", 2));
                let (rank, what, between) = exchange.awaited(bucket).or_else(unread)?;
                let state = &exchange.buckets[bucket];
                Some(Awaited { rank, what, bucket, bytes: state.len * state.kind.bytes(), between })
            }
            Goal::Counter { offset, turn, bytes } => {
                let rank = self.behind(offset, turn)?;
                Some(Awaited { rank, what: "its contribution", bucket: 0, bytes, between: 0 })
            }
        }
    }

    /// Fails if a rank of this host has failed or does something else, or if the rank that an operation waits
    /// for has ended or is late.
    fn check_others(
        &mut self,
        goal: Goal,
        operation: &'static str,
        time: &mut WaitTime,
    ) -> Result<(), Error> {
        self.check_reports()?;
        self.check_operations()?;
        Waker(&self.own).count_look();
        let Some(awaited) = self.awaited(goal) else { return Ok(()) };
        let rank = awaited.rank;
        let local = self.locals.iter().find(|local| local.rank == rank);
        let ended = match local.and_then(|local| local.process.as_ref()) {
            Some(process) => process.has_ended(),
            None => self.ended[rank].is_some(),
        };
        if ended {
            return self.miss(goal, operation, awaited);
        }
        let Awaited { what, bucket, bytes, between, .. } = awaited;
        // A rank that is itself waiting for the late rank should time out first, so that the late rank is the
        // one that gets named.
        let between = if self.is_waiting(rank, time) { 3 } else { between };
        let waited = time.waited;
        if waited > self.timeout + self.timeout / 6 * between {
            let rank = self.names[rank].clone();
            return Err(Error::Peer(PeerError::Timeout { operation, bucket, bytes, rank, what, waited }));
        }
        Ok(())
    }

    /// Fails with the cause if a rank of this host has failed.
    fn check_reports(&self) -> Result<(), Error> {
        match self.locals.iter().find_map(|local| failure::read(&local.region)) {
            Some((by, cause)) => Err(Error::Peer(PeerError::Reported { by, cause })),
            None => Ok(()),
        }
    }

    /// The awaited rank has ended. Fails unless it has done its part.
    fn miss(&mut self, goal: Goal, operation: &'static str, awaited: Awaited) -> Result<(), Error> {
        // The rank may have said why it ends, or done its part, after the looks at its region and before the
        // look at its process.
        self.check_reports()?;
        let Awaited { rank, what, bucket, bytes, .. } = awaited;
        if self.look(goal)? || self.awaited(goal).is_none_or(|awaited| awaited.rank != rank) {
            return Ok(());
        }
        let rank = self.names[rank].clone();
        Err(Error::Peer(PeerError::Lost { operation, bucket, bytes, rank, what }))
    }

    /// Whether a rank of this host is itself waiting for others: then its count of looks grows. A stopped
    /// process does not count.
    fn is_waiting(&self, rank: usize, time: &mut WaitTime) -> bool {
        let Some(local) = self.locals.iter().find(|local| local.rank == rank) else { return false };
        let count = Waker(&local.region).looks();
        match &time.look_count {
            Some(look_count) if look_count.rank == rank && look_count.count == count => {
                time.waited - look_count.at < self.timeout / 2
            }
            _ => {
                time.look_count = Some(LookCount { rank, count, at: time.waited });
                true
            }
        }
    }

    /// Sleeps until something may have changed.
    fn sleep(&mut self, goal: Goal) -> Result<(), Error> {
        if self.is_one_host() {
            let own = Arc::clone(&self.own);
            let mut looked = Ok(false);
            Waker(&own).sleep(LONG_SLEEP, || {
                looked = self.look(goal);
                !matches!(looked, Ok(false))
            });
            return looked.map(|_| ());
        }
        let limit = if self.locals.is_empty() { LONG_SLEEP } else { SHORT_SLEEP };
        sleep(self.open().map(|link| (link, !link.is_held())), limit);
        Ok(())
    }

    /// Remembers the first failure, and tells it to the other ranks.
    pub(crate) fn fail<R>(&mut self, error: Error) -> Result<R, Error> {
        if let Some(first) = &self.failure {
            return Err(first.clone());
        }
        // A cause that was reported is passed on unchanged, without this rank's own words.
        let (by, cause) = match &error {
            Error::Peer(PeerError::Reported { by, cause }) => (*by, cause.clone()),
            error => (self.topology.rank, error.to_string()),
        };
        failure::announce(&self.own, by, &cause);
        self.wake();
        self.frame_memory.failure_text = failure::cut(&cause).as_bytes().to_vec();
        let bytes = self.frame_memory.failure_text.len() as u64;
        let bucket = by as u32;
        let frame = Frame { kind: FrameKind::Failure, exchange: 0, operation: 0, bucket, call: 0, bytes };
        self.links.iter_mut().flatten().for_each(|link| link.send(frame));
        let until = Instant::now() + FAILURE_DELIVERY.min(self.timeout / 4);
        close_all(self.links.iter_mut().flatten().map(|link| (link, &self.frame_memory)).collect(), until);
        self.failure = Some(error.clone());
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{OPERATION_END, SHORT_COUNTER, Topology};
    use super::*;
    use crate::shm::{Region, SpinPolicy};

    /// Rank 0 of two on one host.
    fn engine() -> Engine {
        let region = || Arc::new(Region::private(OPERATION_END, 0).unwrap());
        let neighbour = LocalRank { rank: 1, region: region(), process: None };
        let names = vec![String::from("rank 0"), String::from("rank 1")];
        let (topology, policy) = (Arc::new(Topology::new(0, &["a", "a"])), SpinPolicy::new(2, 1));
        let links = vec![None, None];
        Engine::new(topology, region(), vec![neighbour], links, names, policy, Duration::from_secs(60))
    }

    #[test]
    fn a_rank_that_has_ended_is_lost_unless_it_has_said_why() {
        let mut engine = engine();
        let goal = Goal::Counter { offset: SHORT_COUNTER, turn: 1, bytes: 4 };
        let miss = |engine: &mut Engine| {
            let awaited = engine.awaited(goal).expect("rank 1 has done nothing");
            engine.miss(goal, "barrier", awaited).map_err(|error| error.to_string())
        };
        let lost = "barrier of bucket 0 (4 bytes): lost rank 1, which owed its contribution";
        assert_eq!(miss(&mut engine), Err(lost.into()));
        failure::announce(&engine.locals[0].region, 1, "the disk is full");
        assert_eq!(miss(&mut engine), Err("the disk is full (rank 1 says)".into()));
    }

    #[test]
    fn the_time_in_which_a_process_is_suspended_does_not_count() {
        let mut time = WaitTime::new();
        for _ in 0..3 {
            time.checked =
                Instant::now().checked_sub(Duration::from_secs(100)).expect("no clock is so young");
            time.check();
        }
        assert_eq!(time.waited, 3 * LONGEST_PAUSE);
    }
}
