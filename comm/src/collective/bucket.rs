//! One operation on one bucket, step by step.

use super::topology::Slices;
use crate::shm::RawBuffer;
use crate::summand::{Kind, Summand};
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

/// The operation that a rank does in a turn. It must be the same at all ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    /// Elements of the whole vector, whose blocks alone may look alike at ranks that differ.
    pub(crate) len: usize,
    pub(crate) rule: Rule,
}

impl Call {
    /// A barrier adds up one number. Its length, which no vector has, tells it from a sum of one number.
    pub(crate) const BARRIER: Self =
        Self { kind: Kind::F32, len: (1 << 40) - 1, rule: Rule::ALLREDUCE_SHORT };

    /// An operation on `x`.
    pub(crate) fn on<T: Summand>(x: &[T], rule: Rule) -> Self {
        Self { kind: T::kind(), len: x.len(), rule }
    }

    /// The operation in messages.
    pub(crate) fn name(self) -> &'static str {
        match self.rule {
            _ if self == Self::BARRIER => "barrier",
            Rule { reduce: false, slices: Slices::Of(_), .. } => "broadcast",
            Rule { reduce: false, .. } => "allgather",
            Rule { gather: false, slices: Slices::Split, .. } => "reduce_scatter",
            Rule { .. } => "allreduce",
        }
    }

    /// As one number, which other ranks compare with theirs.
    pub(crate) fn encode(self) -> u64 {
        let Self { kind, len, rule: Rule { slices, reduce, gather } } = self;
        let slices = match slices {
            Slices::Split => 0,
            Slices::Whole => 1,
            Slices::Of(root) => 2 + root as u64,
        };
        let flags = u64::from(kind == Kind::F64) | u64::from(reduce) << 1 | u64::from(gather) << 2;
        (len as u64) << 24 | slices << 3 | flags
    }

    pub(crate) fn decode(word: u64) -> Self {
        let slices = match word >> 3 & 0x1f_ffff {
            0 => Slices::Split,
            1 => Slices::Whole,
            root => Slices::Of(root as usize - 2),
        };
        let rule = Rule { slices, reduce: word & 2 != 0, gather: word & 4 != 0 };
        Self { kind: if word & 1 == 0 { Kind::F32 } else { Kind::F64 }, len: (word >> 24) as usize, rule }
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())?;
        if *self == Self::BARRIER {
            return Ok(());
        }
        if let Slices::Of(root) = self.rule.slices {
            write!(f, " from rank {root}")?;
        }
        let kind = match self.kind {
            Kind::F32 => "f32",
            Kind::F64 => "f64",
        };
        write!(f, " of {} {kind}", self.len)
    }
}

/// The counters of a bucket in its rank's region. Each holds the turn that it has reached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    /// The rank's contribution is complete.
    Published,
    /// The rank's results are there, and the rank has read all contributions that it needed.
    Ready,
    /// The rank has read all results that it needed.
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
    /// Elements of the vector of which these are a block.
    pub(crate) vector_len: usize,
    pub(crate) rule: Rule,
    /// This rank's contribution: the values of its nodes.
    pub(crate) nodes: Vec<RawBuffer>,
    /// Results of the owners for whom this rank holds them.
    pub(crate) result: RawBuffer,
    /// Contributions of other hosts to this rank's slice: the values of their nodes, one after the other.
    pub(crate) inboxes: Vec<Inbox>,
    /// By owner on another host: this host's contribution to its slice.
    pub(crate) outboxes: Vec<Vec<u64>>,
    /// By owner: whether its result has arrived over the network.
    pub(crate) gathered: Vec<bool>,
    pub(crate) stage: Stage,
    /// How many of the host's other ranks have reached each counter.
    pub(crate) published: usize,
    pub(crate) ready: usize,
    pub(crate) consumed: usize,
}

/// How far an operation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// No operation is under way; or one is complete, and its results were read.
    Idle,
    /// Begun, but this rank has not contributed yet.
    Begun,
    /// Contributed. Other ranks may still read the results of the turn before.
    Contributed,
    /// The result buffers may be written.
    Cleared,
    /// All contributions of the host are there; those for other hosts are queued or sent.
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
    /// Starts the next turn, with `len` elements.
    pub(crate) fn begin(&mut self, call: Call, len: usize) {
        let Call { kind, len: vector_len, rule } = call;
        assert_eq!(self.stage, Stage::Idle, "an operation is under way in this bucket");
        let bytes = len * kind.bytes();
        assert!(bytes <= self.capacity, "{bytes} bytes in a bucket of {}", self.capacity);
        self.turn += 1;
        (self.kind, self.len, self.vector_len, self.rule) = (kind, len, vector_len, rule);
        self.stage = Stage::Begun;
        (self.published, self.ready, self.consumed) = (0, 0, 0);
        self.inboxes.iter_mut().for_each(|inbox| inbox.arrived = false);
        self.gathered.fill(false);
    }

    /// The operation of this turn.
    pub(crate) fn call(&self) -> Call {
        Call { kind: self.kind, len: self.vector_len, rule: self.rule }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_survive_their_word_and_name_themselves() {
        let broadcast = Rule::broadcast(65_535);
        for (rule, name) in [
            (Rule::ALLREDUCE, "allreduce of 7 f64"),
            (Rule::ALLREDUCE_SHORT, "allreduce of 7 f64"),
            (Rule::REDUCE_SCATTER, "reduce_scatter of 7 f64"),
            (Rule::ALLGATHER, "allgather of 7 f64"),
            (broadcast, "broadcast from rank 65535 of 7 f64"),
        ] {
            let call = Call { kind: Kind::F64, len: 7, rule };
            assert_eq!(Call::decode(call.encode()), call);
            assert_eq!(call.to_string(), name);
        }
        assert_eq!(Call::decode(Call::BARRIER.encode()), Call::BARRIER);
        assert_eq!(Call::BARRIER.to_string(), "barrier");
    }
}
