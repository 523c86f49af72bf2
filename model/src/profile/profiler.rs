//! The handle that a trainer and its user share.

use super::clock::Clock;
use super::named::{self, NamedRecorder, NamedSpans, NamedTotal, Span};
use super::recorder::{Recorder, Recording, TraceEnd};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a span in a trace file, at least: how many spans are kept for a file of a given size.
const EVENT_BYTES: usize = 80;
/// The part of all spans of a rank that is kept for the training thread, and for named spans.
const PART: usize = 16;

/// Notes how long things take; see the [module](crate::profile). Clones are one profiler.
///
/// ```
/// let profiler = isograd_model::Profiler::new();
/// for _ in 0..3 {
///     let whole = profiler.span("batch");
///     {
///         let _part = profiler.span("read"); // spans may nest, and end with their block
///     }
///     // Several threads end one span: three durations, from one begin.
///     std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(|| whole.end()))));
/// }
/// let counts: Vec<_> = profiler.spans().into_iter().map(|span| (span.name, span.calls)).collect();
/// assert_eq!(counts, [("read".to_string(), 3), ("batch".to_string(), 6)]);
/// println!("{}", profiler.table());
/// ```
#[derive(Debug, Clone)]
pub struct Profiler {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    named: NamedRecorder,
    host: String,
    trace_bytes: Option<usize>,
    trace_end: TraceEnd,
}

impl Default for Profiler {
    fn default() -> Self {
        Self::new()
    }
}

impl Profiler {
    /// A profiler that adds up times.
    pub fn new() -> Self {
        Self::with(None, String::new())
    }

    /// A profiler that also keeps single spans, for a [trace](super::Profile::write_trace) of all ranks of at
    /// most about `bytes` bytes. It takes memory for them at once, about a third of that divided by the
    /// number of ranks. When there are more spans, it stops to keep them, and goes on to add up times.
    pub fn with_trace(bytes: usize) -> Self {
        Self::with(Some(bytes), String::new())
    }

    /// The same with the name of this host, which the profile shows.
    pub fn on_host(self, host: impl Into<String>) -> Self {
        Self::with(self.shared.trace_bytes, host.into())
    }

    fn with(trace_bytes: Option<usize>, host: String) -> Self {
        let capacity = trace_bytes.unwrap_or(0) / EVENT_BYTES / PART;
        let named = NamedRecorder::new(Clock::start(), capacity);
        Self { shared: Arc::new(Shared { named, host, trace_bytes, trace_end: TraceEnd::never() }) }
    }

    /// Begins a span called `name` on this thread. It takes a lock when it ends, so it is meant for what
    /// takes microseconds or longer.
    pub fn span(&self, name: impl Into<Cow<'static, str>>) -> Span<'_> {
        Span::begin(&self.shared.named, name.into())
    }

    /// Adds a duration that was measured elsewhere to the spans called `name`.
    pub fn add(&self, name: &str, duration: Duration) {
        self.shared.named.note(name, None, duration.as_nanos() as u64);
    }

    /// Lets named spans count, as they do at first. Times of a trainer count either way.
    pub fn enable(&self) {
        self.shared.named.set_enabled(true);
    }

    /// Lets named spans that end from now on not count.
    pub fn disable(&self) {
        self.shared.named.set_enabled(false);
    }

    /// All named spans so far, in the order in which the first one of each name has ended.
    pub fn spans(&self) -> Vec<NamedTotal> {
        self.named_spans().totals
    }

    /// The named spans so far, as a table: calls; total, mean, shortest and longest time.
    pub fn table(&self) -> String {
        named::table(&self.spans())
    }

    pub(crate) fn named_spans(&self) -> NamedSpans {
        self.shared.named.spans()
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.shared.named.clock.ns()
    }

    pub(crate) fn host(&self) -> &str {
        &self.shared.host
    }

    pub(crate) fn is_tracing(&self) -> bool {
        self.shared.trace_bytes.is_some()
    }

    pub(crate) fn trace_end_ns(&self) -> Option<u64> {
        self.shared.trace_end.ns()
    }

    /// Events that each recorder of the training thread keeps in a group of `world` ranks, and each of the
    /// `recorders` of workers.
    pub(crate) fn capacities(&self, world: usize, recorders: usize) -> [usize; 2] {
        let all = self.shared.trace_bytes.unwrap_or(0) / EVENT_BYTES / world.max(1);
        let of_trainer = all / PART;
        // Two recorders of the training thread, and the named spans.
        [of_trainer, (all - 3 * of_trainer) / recorders.max(1)]
    }

    /// A recorder for a network of `steps` steps that keeps up to `events` single spans.
    pub(crate) fn recording(&self, steps: usize, events: usize) -> Recording {
        let Shared { named, trace_end, .. } = &*self.shared;
        Recording(Some(Box::new(Recorder::new(named.clock, steps, events, trace_end.clone()))))
    }
}
