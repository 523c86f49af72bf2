//! One operation on one bucket, step by step.

use super::topology::Slices;
use crate::element::Kind;
use crate::shm::RawBuffer;
use std::ops::Range;

/// What is done with a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) slices: Slices,
    /// Whether owners add up what all ranks contribute. If not, an owner's slice is its own contribution.
    pub(crate) reduce: bool,
    /// Whether all ranks get the owners' results.
    pub(crate) gather: bool,
}

impl Rule {
    pub(crate) const ALLREDUCE: Self = Self { slices: Slices::Split, reduce: true, gather: true };
    /// The same for short vectors: one exchange instead of two.
    pub(crate) const ALLREDUCE_SHORT: Self = Self { slices: Slices::Whole, reduce: true, gather: false };
    pub(crate) const REDUCE_SCATTER: Self = Self { slices: Slices::Split, reduce: true, gather: false };
    pub(crate) const ALLGATHER: Self = Self { slices: Slices::Split, reduce: false, gather: true };

    pub(crate) fn broadcast(root: usize) -> Self {
        Self { slices: Slices::Of(root), reduce: false, gather: true }
    }
}

/// The counters of a bucket in its rank's region. Each is raised to the turn.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    /// The rank's contribution is complete.
    Published,
    /// Its results are there, and it has read all contributions that it needed.
    Ready,
    /// It has read all results that it needed.
    Consumed,
}

/// A bucket and the operation under way in it.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Where the bucket begins in each of the arrays of all buckets, in bytes.
    pub(crate) start: usize,
    /// Bytes that it can hold.
    pub(crate) capacity: usize,
    /// Number of the operation, from 1. All ranks count alike.
    pub(crate) turn: u64,
    pub(crate) kind: Kind,
    /// Elements.
    pub(crate) len: usize,
    pub(crate) rule: Rule,
    /// This rank's contribution: the values of its nodes.
    pub(crate) nodes: Vec<RawBuffer>,
    /// Results of the owners for whom this rank holds them.
    pub(crate) result: RawBuffer,
    /// Contributions of other hosts to this rank's slice: the values of their nodes, one after the other.
    pub(crate) inboxes: Vec<Inbox>,
    /// By owner: this host's contribution to the slice of an owner elsewhere.
    pub(crate) outboxes: Vec<Vec<u64>>,
    /// By owner: whether its result has come over the network.
    pub(crate) gathered: Vec<bool>,
    pub(crate) stage: Stage,
    /// How many of the host's other ranks have reached each counter.
    pub(crate) published: usize,
    pub(crate) ready: usize,
    pub(crate) consumed: usize,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Nothing under way, or complete and its results read.
    Idle,
    /// Begun, not yet contributed.
    Begun,
    /// Contributed; somebody may still read the results of the turn before.
    Contributed,
    /// The result buffers may be written.
    Cleared,
    /// All contributions of the host are there, and those that go to other hosts are on their way.
    Sent,
    /// This rank's slice is finished.
    Reduced,
    /// All results that this rank holds are there.
    Held,
    /// All results of the host are there.
    Complete,
}

/// What one host contributes to this rank's slice.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) words: Vec<u64>,
    pub(crate) arrived: bool,
}

impl Bucket {
    /// Starts the next turn.
    pub(crate) fn begin(&mut self, kind: Kind, len: usize, rule: Rule) {
        assert_eq!(self.stage, Stage::Idle, "an operation is under way in this bucket");
        let bytes = len * kind.bytes();
        assert!(bytes <= self.capacity, "{bytes} bytes in a bucket of {}", self.capacity);
        self.turn += 1;
        (self.kind, self.len, self.rule) = (kind, len, rule);
        self.stage = Stage::Begun;
        (self.published, self.ready, self.consumed) = (0, 0, 0);
        self.inboxes.iter_mut().for_each(|inbox| inbox.arrived = false);
        self.gathered.fill(false);
    }

    /// Whether an operation is under way.
    pub(crate) fn is_active(&self) -> bool {
        self.stage > Stage::Begun && self.stage < Stage::Complete
    }

    /// The elements of `owner`'s slice.
    pub(crate) fn slice(&self, owner: usize, world: usize) -> Range<usize> {
        self.rule.slices.of(owner, world, self.len)
    }
}
