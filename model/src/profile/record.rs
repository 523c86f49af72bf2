//! What one rank has recorded, as it goes to the other ranks.

use super::clock::ClockPoint;
use super::named::{NamedEvent, NamedTotal};
use super::recorder::{Event, Phase, Total, Work};
use serde::{Deserialize, Serialize};

/// The record of one rank.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) rank: usize,
    pub(crate) host: String,
    pub(crate) threads: usize,
    /// The peak of a thread in GFLOP/s, while all threads of all ranks measured theirs.
    pub(crate) peak_gflops: f64,
    /// When the profile began, by the rank's clock.
    pub(crate) start_ns: u64,
    /// From there to its end.
    pub(crate) wall_ns: u64,
    /// By [`Phase`] and [`Work::number`], over all threads: each of those that work on a shard together takes
    /// its time.
    pub(crate) totals: [Vec<Total>; 2],
    pub(crate) named: Vec<NamedTotal>,
    /// Empty without a trace, and of other ranks at all ranks but the first.
    pub(crate) lanes: Vec<Lane>,
    pub(crate) named_events: Vec<NamedEvent>,
    /// When the trace stopped, if it did.
    pub(crate) trace_end_ns: Option<u64>,
    /// Offsets of this rank's clock; none without a trace.
    pub(crate) clock: Vec<ClockPoint>,
}

/// The spans of a worker, or of the training thread.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) events: Vec<Event>,
}

impl Record {
    pub(crate) fn total(&self, work: Work) -> Total {
        let mut total = self.total_in(Phase::Training, work);
        total.add(self.total_in(Phase::Evaluation, work));
        total
    }

    fn total_in(&self, phase: Phase, work: Work) -> Total {
        self.totals[phase as usize][work.number()]
    }

    /// Seconds of work of the training thread, or, of a worker's work, the mean over the threads.
    pub(crate) fn seconds(&self, work: Work) -> f64 {
        self.seconds_in(Phase::Training, work) + self.seconds_in(Phase::Evaluation, work)
    }

    /// The same for one phase.
    pub(crate) fn seconds_in(&self, phase: Phase, work: Work) -> f64 {
        let seconds = self.total_in(phase, work).ns as f64 / 1e9;
        if work.is_of_shard() { seconds / self.threads.max(1) as f64 } else { seconds }
    }

    /// Mean seconds in which threads work on shards.
    pub(crate) fn busy(&self) -> f64 {
        self.busy_in(Phase::Training) + self.busy_in(Phase::Evaluation)
    }

    fn busy_in(&self, phase: Phase) -> f64 {
        let works = (0..self.totals[phase as usize].len()).map(Work::from_number);
        works.filter(|work| work.is_of_shard()).map(|work| self.seconds_in(phase, work)).sum()
    }

    /// Mean seconds in which threads have no shard while other threads have one.
    pub(crate) fn idle(&self) -> f64 {
        self.idle_in(Phase::Training) + self.idle_in(Phase::Evaluation)
    }

    /// The same for one phase.
    pub(crate) fn idle_in(&self, phase: Phase) -> f64 {
        (self.seconds_in(phase, Work::Region) - self.busy_in(phase)).max(0.0)
    }

    /// Seconds of the named spans `name`.
    pub(crate) fn named_seconds(&self, name: &str) -> f64 {
        let total = self.named.iter().find(|total| total.name == name);
        total.map_or(0.0, |total| total.total_ns as f64 / 1e9)
    }

    pub(crate) fn wall(&self) -> f64 {
        self.wall_ns as f64 / 1e9
    }
}
