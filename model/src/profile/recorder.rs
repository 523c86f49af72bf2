//! What one thread notes: totals by kind of work, and single spans for a trace.

use super::clock::Clock;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// A worker reads samples, and lays them out.
    Read,
    /// A worker evaluates loss and metrics.
    Loss,
    /// A worker adds up gradients of its shards.
    Join,
    /// A worker hands gradients over to the exchange, and moves what is under way.
    HandOver,
    /// A worker takes a shard through the network: around the above and the layers.
    Shard,
    /// All workers are at work: the time until the last one is done.
    Region,
    /// A training step: around preparation, regions, waits and the update.
    Step,
    /// The training thread waits for sums over all ranks.
    Wait,
    /// All threads finish sums and update the parameters.
    Update,
    /// An evaluation of a data set: around its regions and waits.
    Evaluation,
    /// All threads prepare parameters for all shards of a step or an evaluation.
    Prepare,
    /// A step of the network in training.
    Forward(usize),
    Backward(usize),
    /// A step of the network in use.
    Use(usize),
}

/// The kinds of work that are no steps of the network, in the order of their numbers.
const FIXED: [Work; 11] = [
    Work::Read,
    Work::Loss,
    Work::Join,
    Work::HandOver,
    Work::Shard,
    Work::Region,
    Work::Step,
    Work::Wait,
    Work::Update,
    Work::Evaluation,
    Work::Prepare,
];

impl Work {
    /// The number of kinds for a network of `steps` steps.
    pub(crate) fn count(steps: usize) -> usize {
        FIXED.len() + 3 * steps
    }

    pub(crate) fn number(self) -> usize {
        let of_step = |step: usize, pass: usize| FIXED.len() + 3 * step + pass;
        match self {
            Self::Forward(step) => of_step(step, 0),
            Self::Backward(step) => of_step(step, 1),
            Self::Use(step) => of_step(step, 2),
            Self::Read => 0,
            Self::Loss => 1,
            Self::Join => 2,
            Self::HandOver => 3,
            Self::Shard => 4,
            Self::Region => 5,
            Self::Step => 6,
            Self::Wait => 7,
            Self::Update => 8,
            Self::Evaluation => 9,
            Self::Prepare => 10,
        }
    }

    pub(crate) fn from_number(number: usize) -> Self {
        match number.checked_sub(FIXED.len()) {
            None => FIXED[number],
            Some(rest) => match rest % 3 {
                0 => Self::Forward(rest / 3),
                1 => Self::Backward(rest / 3),
                _ => Self::Use(rest / 3),
            },
        }
    }

    /// Whether it is a part of a worker's shard, so that the times of these kinds do not overlap.
    pub(crate) fn is_of_shard(self) -> bool {
        use Work::{Backward, Forward, HandOver, Join, Loss, Read, Use};
        matches!(self, Read | Loss | Join | HandOver | Forward(_) | Backward(_) | Use(_))
    }
}

/// The spans of one kind of work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Total {
    pub(crate) calls: u64,
    pub(crate) samples: u64,
    pub(crate) ns: u64,
}

impl Total {
    pub(crate) fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.samples += other.samples;
        self.ns += other.ns;
    }
}

/// What the work is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Steps of training, and what is between them.
    Training,
    /// Evaluations of data sets.
    Evaluation,
}

/// A span of a trace, in nanoseconds of the rank's clock.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) start: u64,
    pub(crate) ns: u64,
    /// [`Work::number`].
    pub(crate) work: u32,
}

/// When the trace of a rank has stopped, because one of its recorders was full. Then the others stop, too.
#[derive(Debug, Clone)]
pub(crate) struct TraceEnd(Arc<AtomicU64>);

impl TraceEnd {
    pub(crate) fn never() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }

    fn stop(&self, ns: u64) {
        self.0.fetch_min(ns, Ordering::Relaxed);
    }

    pub(crate) fn ns(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|ns| *ns < u64::MAX)
    }
}

/// Notes spans. It belongs to one worker, which one thread at a time runs.
#[derive(Debug)]
pub(crate) struct Recorder {
    clock: Clock,
    /// Where the current lap began.
    mark: u64,
    phase: Phase,
    /// By [`Phase`], then by [`Work::number`].
    totals: [Vec<Total>; 2],
    /// At most as many as there was room for at the start.
    events: Vec<Event>,
    trace_end: TraceEnd,
}

impl Recorder {
    pub(crate) fn new(clock: Clock, steps: usize, events: usize, trace_end: TraceEnd) -> Self {
        let totals = vec![Total::default(); Work::count(steps)];
        Self {
            clock,
            mark: clock.ns(),
            phase: Phase::Training,
            totals: [totals.clone(), totals],
            events: Vec::with_capacity(events),
            trace_end,
        }
    }

    fn note(&mut self, work: Work, start: u64, end: u64, samples: usize) {
        let (number, ns) = (work.number(), end.saturating_sub(start));
        self.totals[self.phase as usize][number].add(Total { calls: 1, samples: samples as u64, ns });
        // A region has no lane of its own in a trace: its steps and shards are there.
        if self.events.capacity() == 0 || work == Work::Region {
            return;
        }
        if self.events.len() < self.events.capacity() {
            self.events.push(Event { start, ns, work: number as u32 });
        } else {
            self.trace_end.stop(start);
        }
    }

    #[inline(never)]
    fn lap(&mut self, work: Work, samples: usize) {
        let now = self.clock.ns();
        self.note(work, self.mark, now, samples);
        self.mark = now;
    }

    /// Totals by [`Phase`] and number of work, and the spans.
    pub(crate) fn into_parts(self) -> ([Vec<Total>; 2], Vec<Event>) {
        (self.totals, self.events)
    }
}

/// A recorder, if there is a profiler. Without one, each call is a branch.
#[derive(Debug, Default)]
pub(crate) struct Recording(pub(crate) Option<Box<Recorder>>);

impl Recording {
    /// Counts all that ends from now on as work for `phase`.
    pub(crate) fn enter(&mut self, phase: Phase) {
        if let Some(recorder) = &mut self.0 {
            recorder.phase = phase;
        }
    }

    /// Starts a lap; returns its time, for [`since`](Self::since).
    #[inline]
    pub(crate) fn begin(&mut self) -> u64 {
        match &mut self.0 {
            None => 0,
            Some(recorder) => {
                recorder.mark = recorder.clock.ns();
                recorder.mark
            }
        }
    }

    /// Ends a lap of `work` on `samples` samples, and starts the next one.
    #[inline]
    pub(crate) fn lap(&mut self, work: Work, samples: usize) {
        if let Some(recorder) = &mut self.0 {
            recorder.lap(work, samples);
        }
    }

    /// Notes the span from `start`, a time of [`begin`](Self::begin), to now. Laps go on as they are.
    #[inline]
    pub(crate) fn since(&mut self, start: u64, work: Work, samples: usize) {
        if let Some(recorder) = &mut self.0 {
            let now = recorder.clock.ns();
            recorder.note(work, start, now, samples);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_work_has_one_number() {
        for number in 0..Work::count(4) {
            assert_eq!(Work::from_number(number).number(), number);
        }
    }

    #[test]
    fn laps_follow_each_other_and_a_full_trace_stops() {
        let (clock, end) = (Clock::start(), TraceEnd::never());
        let mut recording = Recording(Some(Box::new(Recorder::new(clock, 1, 2, end.clone()))));
        let start = recording.begin();
        recording.lap(Work::Read, 8);
        recording.lap(Work::Forward(0), 8);
        recording.lap(Work::Forward(0), 5);
        recording.since(start, Work::Shard, 13);
        let (totals, events) = recording.0.expect("a recorder").into_parts();
        let of = |work: Work| totals[Phase::Training as usize][work.number()];
        assert_eq!((of(Work::Forward(0)).calls, of(Work::Forward(0)).samples), (2, 13));
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].start + events[0].ns, events[1].start);
        let laps = of(Work::Read).ns + of(Work::Forward(0)).ns;
        assert!(of(Work::Shard).ns >= laps, "{totals:?}");
        assert!(end.ns() >= Some(start), "the trace stopped at {:?}", end.ns());
    }

    #[test]
    fn phases_have_totals_of_their_own() {
        let (clock, end) = (Clock::start(), TraceEnd::never());
        let mut recording = Recording(Some(Box::new(Recorder::new(clock, 0, 0, end))));
        recording.begin();
        for (phase, samples) in [(Phase::Evaluation, 8), (Phase::Training, 5), (Phase::Evaluation, 3)] {
            recording.enter(phase);
            recording.lap(Work::Read, samples);
        }
        let (totals, _) = recording.0.expect("a recorder").into_parts();
        let read = totals.map(|totals| totals[Work::Read.number()]);
        assert_eq!(read.map(|total| (total.calls, total.samples)), [(1, 5), (2, 11)]);
    }
}
