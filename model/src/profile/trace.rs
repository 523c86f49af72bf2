//! A profile as a trace: the JSON object format of Chrome's trace events, which Perfetto reads as well.
//!
//! A rank is a process, a worker or the training thread a thread of it. Spans are complete events (`X`);
//! named spans, which may overlap, are asynchronous ones (`b` and `e`). All times are microseconds of rank
//! 0's clock.

use super::clock::ClockLine;
use super::recorder::Work;
use super::rows::Profile;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::time::Duration;

/// What a trace file holds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TraceSummary {
    /// Spans that were written.
    pub events: usize,
    /// The file's length.
    pub bytes: usize,
    /// When the trace stopped for lack of room, since the start of the profile; `None` if it is complete.
    pub stopped: Option<Duration>,
    /// The largest error of the offset between the clocks of two ranks: rank 0 and another one.
    pub clock_error: Duration,
}

/// A span on its way into the file. Times are nanoseconds of rank 0's clock.
#[derive(Debug, Clone, Copy)]
struct Line {
    start: f64,
    end: f64,
    rank: u32,
    /// The number of the lane, or of the name.
    place: u32,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Work(Work),
    /// A named span, with a number of its own.
    Named(u32),
}

impl Profile {
    /// Whether it has single spans, for a trace.
    pub fn has_trace(&self) -> bool {
        self.records.iter().any(|record| !record.lanes.is_empty())
    }

    /// Writes the trace of all ranks to `to`, at most `bytes` bytes, but for the names of threads; with more,
    /// the last spans are left out. Only rank 0 has the spans of all ranks.
    ///
    /// # Errors
    ///
    /// Those of `to`.
    pub fn write_trace(&self, to: &mut dyn Write, bytes: usize) -> io::Result<TraceSummary> {
        let lines = self.lines();
        let origin = self.records.first().map_or(0.0, |first| first.start_ns as f64);
        let mut stopped = self.trace_end();
        let mut to = Counted { to, bytes: 0 };
        to.write_all(b"{\"traceEvents\":[\n")?;
        for (index, event) in self.names().iter().enumerate() {
            let comma = if index == 0 { "" } else { ",\n" };
            to.write_all(format!("{comma}{event}").as_bytes())?;
        }
        // The end is written with the longest text that it can have.
        let reserve = self.end(Some(f64::MAX), origin).len() + 64;
        let labels = self.labels();
        let (mut events, mut text) = (0, String::new());
        for line in lines {
            if stopped.is_some_and(|stopped| line.start >= stopped) {
                break;
            }
            text.clear();
            self.render(&line, origin, &labels, &mut text);
            if to.bytes + text.len() + reserve > bytes {
                stopped = Some(line.start);
                break;
            }
            to.write_all(text.as_bytes())?;
            events += 1;
        }
        to.write_all(self.end(stopped, origin).as_bytes())?;
        to.flush()?;
        let seconds = |ns: f64| Duration::from_secs_f64(ns.max(0.0) / 1e9);
        Ok(TraceSummary {
            events,
            bytes: to.bytes,
            stopped: stopped.map(|stopped| seconds(stopped - origin)),
            clock_error: seconds(self.clock_error_ns()),
        })
    }

    /// When the first rank had no room left, if one had not. Spans behind that would not show all ranks.
    fn trace_end(&self) -> Option<f64> {
        let ends = self
            .records
            .iter()
            .filter_map(|record| Some(ClockLine::new(&record.clock).of_first_rank(record.trace_end_ns?)));
        ends.min_by(f64::total_cmp)
    }

    fn clock_error_ns(&self) -> f64 {
        let points = self.records.iter().flat_map(|record| &record.clock);
        points.map(|point| point.error_ns).fold(0.0, f64::max)
    }

    /// All spans by their start; of those with the same start, the longest first, as it is around the others.
    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for record in &self.records {
            let clock = ClockLine::new(&record.clock);
            let times = |start: u64, ns: u64| (clock.of_first_rank(start), clock.of_first_rank(start + ns));
            let rank = record.rank as u32;
            for (place, lane) in record.lanes.iter().enumerate() {
                lines.extend(lane.events.iter().map(|event| {
                    let (start, end) = times(event.start, event.ns);
                    let kind = Kind::Work(Work::from_number(event.work as usize));
                    Line { start, end, rank, place: place as u32, kind }
                }));
            }
            lines.extend(record.named_events.iter().enumerate().map(|(number, event)| {
                let (start, end) = times(event.start, event.ns);
                Line { start, end, rank, place: event.name, kind: Kind::Named(number as u32) }
            }));
        }
        lines.sort_by(|a, b| a.start.total_cmp(&b.start).then(b.end.total_cmp(&a.end)));
        lines
    }

    /// The names of all works and of each rank's named spans, as JSON strings.
    fn labels(&self) -> [Vec<Vec<String>>; 2] {
        let quote = |name: &str| Value::from(name).to_string();
        let works = (0..Work::count(self.steps.len())).map(|number| match Work::from_number(number) {
            Work::Forward(step) | Work::Backward(step) | Work::Use(step) => quote(&self.steps[step].name),
            Work::Read => quote("read samples"),
            Work::Loss => quote("loss and metrics"),
            Work::Join => quote("add up gradients of shards"),
            Work::HandOver => quote("hand over to the exchange"),
            Work::Shard => quote("shard"),
            Work::Region => quote("region"),
            Work::Step => quote("step"),
            Work::Wait => quote("wait for ranks"),
            Work::Update => quote("update parameters"),
            Work::Evaluation => quote("evaluation"),
            Work::Prepare => quote("prepare parameters"),
        });
        let named = |record: &super::Record| record.named.iter().map(|total| quote(&total.name)).collect();
        [vec![works.collect()], self.records.iter().map(named).collect()]
    }

    fn render(&self, line: &Line, origin: f64, labels: &[Vec<Vec<String>>; 2], text: &mut String) {
        use std::fmt::Write;
        let Line { start, end, rank, place, kind } = *line;
        // Rounded in one way, so that a span inside of another one stays inside.
        let [start, end] = [start, end].map(|ns| (ns - origin).round() as i64);
        let us =
            |ns: i64| format!("{}{}.{:03}", if ns < 0 { "-" } else { "" }, ns.abs() / 1000, ns.abs() % 1000);
        let result = match kind {
            Kind::Work(work) => {
                let name = &labels[0][0][work.number()];
                let category = match work {
                    Work::Forward(_) => "forward",
                    Work::Backward(_) => "backward",
                    Work::Use(_) => "evaluation",
                    Work::Wait | Work::HandOver => "exchange",
                    Work::Read => "data",
                    _ => "step",
                };
                write!(
                    text,
                    ",\n{{\"ph\":\"X\",\"pid\":{rank},\"tid\":{place},\"ts\":{},\"dur\":{},\"cat\":\"{category}\",\
                     \"name\":{name}}}",
                    us(start),
                    us(end - start)
                )
            }
            Kind::Named(number) => {
                let name = &labels[1][rank as usize][place as usize];
                let mut half = |phase: char, ns: i64| {
                    write!(
                        text,
                        ",\n{{\"ph\":\"{phase}\",\"pid\":{rank},\"tid\":0,\"id\":\"{rank}.{number}\",\"ts\":{},\
                         \"cat\":\"span\",\"name\":{name}}}",
                        us(ns)
                    )
                };
                half('b', start).and_then(|()| half('e', end))
            }
        };
        result.expect("a string takes text");
    }

    /// The events that name processes and threads.
    fn names(&self) -> Vec<Value> {
        let mut events = Vec::new();
        for record in &self.records {
            let pid = record.rank;
            let name = match record.host.as_str() {
                "" => format!("rank {pid}"),
                host => format!("rank {pid} ({host})"),
            };
            let event = |what: &str, tid: usize, args: Value| json!({ "ph": "M", "pid": pid, "tid": tid, "name": what, "args": args });
            events.push(event("process_name", 0, json!({ "name": name })));
            events.push(event("process_sort_index", 0, json!({ "sort_index": pid })));
            for (tid, lane) in record.lanes.iter().enumerate() {
                events.push(event("thread_name", tid, json!({ "name": lane.name })));
                events.push(event("thread_sort_index", tid, json!({ "sort_index": tid })));
            }
        }
        events
    }

    /// The end of the file, with what is true of the whole trace.
    fn end(&self, stopped: Option<f64>, origin: f64) -> String {
        let us = |ns: f64| ns.round() / 1e3;
        let clock = |record: &super::Record| {
            let points = record
                .clock
                .iter()
                .map(|point| json!({ "ahead_us": us(point.ahead_ns), "error_us": us(point.error_ns) }));
            json!({ "rank": record.rank, "host": record.host, "offsets": points.collect::<Vec<Value>>() })
        };
        let other = json!({
            "clock": "that of rank 0; the offsets of the others were measured at the start and at the end, by messages \
                      there and back, of which the fastest count",
            "clock_error_us": us(self.clock_error_ns()),
            "ranks": self.records.iter().map(clock).collect::<Vec<Value>>(),
            "stopped_after_seconds": stopped.map(|stopped| (stopped - origin) / 1e9),
        });
        format!("\n],\"displayTimeUnit\":\"ns\",\"otherData\":{other}}}\n")
    }
}

/// Counts what it passes on.
struct Counted<'w> {
    to: &'w mut dyn Write,
    bytes: usize,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.bytes += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
