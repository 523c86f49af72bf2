//! What the stages of a run do with their time, and which of them holds up the others.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::graph::Kind;

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Busy,
    Input,
    Output,
    Ended,
}

/// The time and the counts of one worker. It alone writes; anybody reads.
pub(super) struct Clock {
    origin: Instant,
    phase: AtomicU8,
    since_ns: AtomicU64,
    /// By phase.
    spent_ns: [AtomicU64; 4],
    pub(super) items_in: Counter,
    pub(super) items_out: Counter,
    pub(super) skipped: Counter,
}

/// A number that one thread counts up and others read.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// One writer only, so a plain load and store will do, which cost nothing.
    pub(super) fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clock {
    /// A clock of a run that began at `origin`.
    pub(super) fn new(origin: Instant) -> Self {
        let since_ns = AtomicU64::new(nanoseconds(origin.elapsed()));
        Self {
            origin,
            phase: AtomicU8::new(Phase::Busy as u8),
            since_ns,
            spent_ns: Default::default(),
            items_in: Counter::default(),
            items_out: Counter::default(),
            skipped: Counter::default(),
        }
    }

    /// What the worker does from now on.
    pub(super) fn enter(&self, phase: Phase) {
        let now = nanoseconds(self.origin.elapsed());
        let since = self.since_ns.swap(now, Ordering::Relaxed);
        let last = self.phase.swap(phase as u8, Ordering::Relaxed);
        let spent = &self.spent_ns[usize::from(last)];
        spent.store(spent.load(Ordering::Relaxed) + now.saturating_sub(since), Ordering::Relaxed);
    }

    /// Whether the worker is at work.
    pub(super) fn is_busy(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == Phase::Busy as u8
    }

    /// The time spent in completed stretches of `phase`.
    pub(super) fn spent(&self, phase: Phase) -> Duration {
        Duration::from_nanos(self.spent_ns[phase as usize].load(Ordering::Relaxed))
    }

    /// The time spent in `phase` until now, where the worker may be in it.
    fn spent_until_now(&self, phase: Phase) -> Duration {
        let since = self.since_ns.load(Ordering::Relaxed);
        let running = if self.phase.load(Ordering::Relaxed) == phase as u8 {
            nanoseconds(self.origin.elapsed()).saturating_sub(since)
        } else {
            0
        };
        self.spent(phase) + Duration::from_nanos(running)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What a stage has done so far.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StageReport {
    /// The name of the stage.
    pub stage: String,
    /// The number of its workers.
    pub workers: usize,
    /// Whether more workers can help: not for a source, a regulator and a join.
    pub can_have_workers: bool,
    /// The items taken; for a source, those that it gave.
    pub items_in: u64,
    /// The items emitted.
    pub items_out: u64,
    /// The items whose errors were ignored.
    pub skipped: u64,
    /// The time that its workers worked, added up.
    pub busy: Duration,
    /// The time that they waited for items.
    pub waiting_for_input: Duration,
    /// The time that they waited for room behind them.
    pub waiting_for_output: Duration,
}

impl StageReport {
    pub(super) fn new(name: &str, kind: Kind, clocks: &[std::sync::Arc<Clock>]) -> Self {
        let count = |counter: fn(&Clock) -> &Counter| clocks.iter().map(|clock| counter(clock).get()).sum();
        let spent = |phase| clocks.iter().map(|clock| clock.spent_until_now(phase)).sum();
        Self {
            stage: name.to_owned(),
            workers: clocks.len(),
            can_have_workers: kind.can_have_workers(),
            items_in: count(|clock| &clock.items_in),
            items_out: count(|clock| &clock.items_out),
            skipped: count(|clock| &clock.skipped),
            busy: spent(Phase::Busy),
            waiting_for_input: spent(Phase::Input),
            waiting_for_output: spent(Phase::Output),
        }
    }

    /// The time that the stage needs for its work, with the workers that it has.
    fn needs(&self) -> Duration {
        self.busy / u32::try_from(self.workers.max(1)).unwrap_or(u32::MAX)
    }
}

/// The stage that holds up the others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bottleneck {
    /// Its name.
    pub stage: String,
    /// The workers that it has.
    pub workers: usize,
    /// The workers with which the next slowest stage would hold up the others. None if the stage can have one
    /// only.
    pub workers_needed: Option<usize>,
}

/// A snapshot of a run: live, or at its end. Its text is a table; [`line`](Self::line) is for a live display.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Monitor {
    /// The stages in the order of their description.
    pub stages: Vec<StageReport>,
    /// The time since the run began; when it has ended, what it took.
    pub elapsed: Duration,
}

impl Monitor {
    /// The stage that is busiest, its work divided by its workers; none if no stage has done anything.
    pub fn bottleneck(&self) -> Option<Bottleneck> {
        let (slowest, stage) =
            self.stages.iter().enumerate().reduce(|a, b| if b.1.needs() > a.1.needs() { b } else { a })?;
        if stage.busy.is_zero() {
            return None;
        }
        let others = self.stages.iter().enumerate().filter(|(index, _)| *index != slowest);
        let next = others.map(|(_, other)| other.needs()).max().unwrap_or_default();
        let workers_needed =
            stage.can_have_workers.then(|| workers_needed(stage.busy, next)).map(|n| n.max(stage.workers));
        Some(Bottleneck { stage: stage.stage.clone(), workers: stage.workers, workers_needed })
    }

    /// One line: items of each stage, and how busy its workers are.
    pub fn line(&self) -> String {
        let stage = |stage: &StageReport| {
            let busy = share(stage.busy, self.elapsed, stage.workers);
            format!("{} {} ({busy:.0}% busy)", stage.stage, stage.items_in)
        };
        self.stages.iter().map(stage).collect::<Vec<_>>().join("  ")
    }
}

/// The workers that bring `busy` down to `next`. Times are measured, so 10 % more is no reason for another
/// worker, and beside stages that do nothing the number means nothing: at most 64.
fn workers_needed(busy: Duration, next: Duration) -> usize {
    let ratio = busy.as_secs_f64() / next.as_secs_f64().max(busy.as_secs_f64() / 64.0);
    (ratio - 0.1).ceil().max(1.0) as usize
}

/// `part` of the time of all `workers`, in percent.
fn share(part: Duration, elapsed: Duration, workers: usize) -> f64 {
    let all = elapsed.as_secs_f64() * workers.max(1) as f64;
    if all > 0.0 { (100.0 * part.as_secs_f64() / all).min(100.0) } else { 0.0 }
}

impl fmt::Display for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.stages.iter().map(|stage| stage.stage.chars().count()).max().unwrap_or(0);
        let width = longest.max("stage".len());
        writeln!(
            f,
            "{:width$}  workers  {:>10}  {:>10}  {:>7}  {:>12}  {:>6}  {:>6}  {:>6}",
            "stage", "items in", "items out", "skipped", "items/s", "busy", "input", "output"
        )?;
        for stage in &self.stages {
            let percent = |part| share(part, self.elapsed, stage.workers);
            let seconds = self.elapsed.as_secs_f64();
            let rate = if seconds > 0.0 { stage.items_in as f64 / seconds } else { 0.0 };
            writeln!(
                f,
                "{:width$}  {:>7}  {:>10}  {:>10}  {:>7}  {rate:>12.1}  {:>5.1}%  {:>5.1}%  {:>5.1}%",
                stage.stage,
                stage.workers,
                stage.items_in,
                stage.items_out,
                stage.skipped,
                percent(stage.busy),
                percent(stage.waiting_for_input),
                percent(stage.waiting_for_output),
            )?;
        }
        write!(f, "{:.3} s", self.elapsed.as_secs_f64())?;
        match self.bottleneck() {
            None => Ok(()),
            Some(Bottleneck { stage, workers_needed: None, .. }) => {
                write!(f, "; the bottleneck is {stage}, which can have 1 worker only")
            }
            Some(Bottleneck { stage, workers, workers_needed: Some(needed) }) if needed > workers => {
                write!(f, "; the bottleneck is {stage}: {needed} workers would remove it (it has {workers})")
            }
            Some(Bottleneck { stage, .. }) => {
                write!(f, "; the bottleneck is {stage}, by less than another worker brings")
            }
        }
    }
}
