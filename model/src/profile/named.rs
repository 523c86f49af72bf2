//! Spans with names, of any thread: those of the user.

use super::clock::Clock;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// All spans of one name. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NamedTotal {
    /// The name.
    pub name: String,
    /// How often a span of this name has ended.
    pub calls: u64,
    /// The sum of all durations.
    pub total_ns: u64,
    /// The shortest one.
    pub least_ns: u64,
    /// The longest one.
    pub most_ns: u64,
}

impl NamedTotal {
    /// The mean duration.
    pub fn mean_ns(&self) -> f64 {
        self.total_ns as f64 / self.calls.max(1) as f64
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.total_ns += other.total_ns;
        self.least_ns = self.least_ns.min(other.least_ns);
        self.most_ns = self.most_ns.max(other.most_ns);
    }
}

/// A single span in a trace: the number of its name, and its time.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct NamedEvent {
    pub(crate) name: u32,
    pub(crate) start: u64,
    pub(crate) ns: u64,
}

/// The spans so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct NamedSpans {
    pub(crate) totals: Vec<NamedTotal>,
    pub(crate) events: Vec<NamedEvent>,
}

/// Notes named spans.
#[derive(Debug)]
pub(crate) struct NamedRecorder {
    pub(crate) clock: Clock,
    is_enabled: AtomicBool,
    /// The most events that are kept.
    capacity: usize,
    spans: Mutex<NamedSpans>,
}

impl NamedRecorder {
    pub(crate) fn new(clock: Clock, capacity: usize) -> Self {
        Self { clock, is_enabled: AtomicBool::new(true), capacity, spans: Mutex::default() }
    }

    pub(crate) fn set_enabled(&self, is_enabled: bool) {
        self.is_enabled.store(is_enabled, Ordering::Relaxed);
    }

    pub(crate) fn spans(&self) -> NamedSpans {
        self.spans.lock().expect("nothing panics with the lock").clone()
    }

    /// Notes `ns` nanoseconds under `name`; with its start, the span is also an event of a trace.
    pub(crate) fn note(&self, name: &str, start: Option<u64>, ns: u64) {
        if !self.is_enabled.load(Ordering::Relaxed) {
            return;
        }
        let NamedSpans { totals, events } = &mut *self.spans.lock().expect("nothing panics with the lock");
        let one = |name: &str| NamedTotal {
            name: name.to_string(),
            calls: 1,
            total_ns: ns,
            least_ns: ns,
            most_ns: ns,
        };
        // A few names: a search is as fast as a table.
        let number = match totals.iter().position(|total| total.name == name) {
            Some(number) => {
                let total = &mut totals[number];
                total.calls += 1;
                total.total_ns += ns;
                total.least_ns = total.least_ns.min(ns);
                total.most_ns = total.most_ns.max(ns);
                number
            }
            None => {
                totals.push(one(name));
                totals.len() - 1
            }
        };
        if let Some(start) = start.filter(|_| events.len() < self.capacity) {
            events.push(NamedEvent { name: number as u32, start, ns });
        }
    }
}

/// A span that has begun; see [`Profiler::span`](super::Profiler::span). If it is dropped without an
/// [`end`](Self::end), it ends there.
#[derive(Debug)]
pub struct Span<'p> {
    recorder: &'p NamedRecorder,
    name: Cow<'static, str>,
    start: u64,
    has_ended: AtomicBool,
}

impl<'p> Span<'p> {
    pub(crate) fn begin(recorder: &'p NamedRecorder, name: Cow<'static, str>) -> Self {
        let start = recorder.clock.ns();
        Self { recorder, name, start, has_ended: AtomicBool::new(false) }
    }

    /// Ends the span, and returns how long it took. A span that threads share may end several times: each
    /// time counts, from the one begin.
    pub fn end(&self) -> Duration {
        let ns = self.recorder.clock.ns() - self.start;
        self.has_ended.store(true, Ordering::Relaxed);
        self.recorder.note(&self.name, Some(self.start), ns);
        Duration::from_nanos(ns)
    }
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        if !self.has_ended.load(Ordering::Relaxed) {
            self.end();
        }
    }
}

/// A table of `totals`: name, calls, total, mean, shortest and longest time.
pub(crate) fn table(totals: &[NamedTotal]) -> String {
    let header = ["span", "calls", "total s", "mean ms", "least ms", "most ms"].map(str::to_string);
    let ms = |ns: f64| format!("{:.3}", ns / 1e6);
    let row = |total: &NamedTotal| {
        [
            total.name.clone(),
            total.calls.to_string(),
            format!("{:.3}", total.total_ns as f64 / 1e9),
            ms(total.mean_ns()),
            ms(total.least_ns as f64),
            ms(total.most_ns as f64),
        ]
    };
    let rows: Vec<_> = std::iter::once(header).chain(totals.iter().map(row)).collect();
    super::table::align(&rows, 1)
}
