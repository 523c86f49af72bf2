//! The profile of a run: where its time went.

use super::SNAPSHOT;
use super::costs::{Cost, StepCosts};
use super::limit::Limit;
use super::named::NamedTotal;
use super::record::Record;
use super::recorder::{Total, Work};
use std::time::Duration;

/// The name of a pass, and its work by the number of a step.
type Pass = (&'static str, fn(usize) -> Work);

/// The profile of a training run of all ranks; see [`Trainer::take_profile`](crate::Trainer::take_profile).
///
/// Times are means over threads and ranks, so that those of all rows add up to the time of the run. What
/// threads do at the same time is shared out by the time that each spends on it.
#[derive(Debug, Clone)]
pub struct Profile {
    /// By rank.
    pub(crate) records: Vec<Record>,
    pub(crate) steps: Vec<StepCosts>,
    /// Of the network's elements.
    pub(crate) element: &'static str,
    /// Bytes of the buckets in which gradients go to the other ranks, in the order in which they are
    /// complete.
    pub(crate) bucket_bytes: Vec<usize>,
}

/// A row of a profile: a layer in one pass, or another kind of work.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ProfileRow {
    /// Position and type of the layer, as in the network's summary, or what else the time was spent on.
    pub name: String,
    /// `forward`, `backward` or `evaluation`; empty if the row is no layer's.
    pub pass: &'static str,
    /// Spans, over all threads and ranks.
    pub calls: u64,
    /// Mean over threads and ranks.
    pub seconds: f64,
    /// The part of the run, from 0 to 1.
    pub share: f64,
    /// Arithmetic of one thread while it is at this work: a multiplication with an addition counts as two
    /// operations. `None` for element-wise work.
    pub gflops: Option<f64>,
    /// [`gflops`](Self::gflops) over the [peak](Profile::peak_gflops) of a thread.
    pub peak_share: Option<f64>,
    /// Bytes of the tensors that the pass reads and writes, over all threads and ranks; each tensor counts
    /// once, however often a kernel goes over it and wherever it lies.
    pub bytes: Option<u64>,
    /// [`bytes`](Self::bytes) of one thread over its time, in GB/s.
    pub gbytes_per_s: Option<f64>,
}

impl Profile {
    /// The number of ranks.
    pub fn ranks(&self) -> usize {
        self.records.len()
    }

    /// The time from [`set_profiler`](crate::Trainer::set_profiler) to
    /// [`take_profile`](crate::Trainer::take_profile): the mean over the ranks.
    pub fn wall(&self) -> Duration {
        Duration::from_secs_f64(self.mean(Record::wall))
    }

    /// The peak of one thread in GFLOP/s, measured while all threads of all ranks measured theirs: the mean.
    pub fn peak_gflops(&self) -> f64 {
        self.mean(|record| record.peak_gflops)
    }

    /// All rows with a span, in the order of the network, then the other work. The last ones are `idle`, in
    /// which a thread has no shard while other threads have one, and `other`, which is the rest.
    pub fn rows(&self) -> Vec<ProfileRow> {
        let mut rows = Vec::new();
        let passes: [Pass; 3] =
            [("forward", Work::Forward), ("backward", Work::Backward), ("evaluation", Work::Use)];
        for (pass, work) in passes {
            for (step, costs) in self.steps.iter().enumerate() {
                let cost = if pass == "backward" { costs.backward } else { costs.forward };
                rows.push(self.layer_row(costs.name.clone(), pass, work(step), cost));
            }
        }
        let works = [
            ("read samples", Work::Read),
            ("loss and metrics", Work::Loss),
            ("add up gradients of shards", Work::Join),
        ];
        rows.extend(works.map(|(name, work)| self.plain_row(name, work)));
        if self.ranks() > 1 {
            rows.push(self.plain_row("exchange, hidden in the passes", Work::HandOver));
            rows.push(self.plain_row("exchange, exposed: wait for ranks", Work::Wait));
        }
        rows.push(self.plain_row("prepare parameters", Work::Prepare));
        rows.push(self.plain_row("update parameters", Work::Update));
        let row = |name: &str, calls: u64, seconds: f64| self.row(name.to_string(), "", calls, seconds);
        let copies = self.named_totals().into_iter().find(|total| total.name == SNAPSHOT);
        let copies = copies.map_or(0, |total| total.calls);
        rows.push(row(SNAPSHOT, copies, self.mean(|record| record.named_seconds(SNAPSHOT))));
        rows.retain(|row| row.calls > 0);
        rows.push(row("idle", 0, self.mean(Record::idle)));
        let known: f64 = rows.iter().map(|row| row.seconds).sum();
        rows.push(row("other", 0, (self.mean(Record::wall) - known).max(0.0)));
        rows
    }

    /// The named spans of all ranks together, by [`Profiler::span`](super::Profiler::span). They lie around
    /// or beside the work of the rows.
    pub fn spans(&self) -> Vec<NamedTotal> {
        self.named_totals().into_iter().filter(|total| total.name != SNAPSHOT).collect()
    }

    /// What limits the run.
    pub fn limit(&self) -> Limit {
        Limit::find(self)
    }

    fn named_totals(&self) -> Vec<NamedTotal> {
        let mut totals: Vec<NamedTotal> = Vec::new();
        for own in self.records.iter().flat_map(|record| &record.named) {
            match totals.iter_mut().find(|total| total.name == own.name) {
                Some(total) => total.add(own),
                None => totals.push(own.clone()),
            }
        }
        totals
    }

    pub(crate) fn mean(&self, of: impl Fn(&Record) -> f64) -> f64 {
        self.records.iter().map(of).sum::<f64>() / self.ranks().max(1) as f64
    }

    fn layer_row(&self, name: String, pass: &'static str, work: Work, cost: Cost) -> ProfileRow {
        let mut total = Total::default();
        self.records.iter().for_each(|record| total.add(record.total(work)));
        let row = self.row(name, pass, total.calls, self.mean(|record| record.seconds(work)));
        // Threads that compute at the same time have this many nanoseconds together.
        let ns = total.ns.max(1) as f64;
        let gflops = 2.0 * cost.multiply_adds as f64 * total.samples as f64 / ns;
        let gflops = (gflops > 0.0).then_some(gflops);
        let bytes = cost.sample_bytes * total.samples + cost.call_bytes * total.calls;
        ProfileRow {
            gflops,
            peak_share: gflops.map(|gflops| gflops / self.peak_gflops()).filter(|share| share.is_finite()),
            bytes: (bytes > 0).then_some(bytes),
            gbytes_per_s: (bytes > 0).then_some(bytes as f64 / ns),
            ..row
        }
    }

    fn plain_row(&self, name: &str, work: Work) -> ProfileRow {
        let calls = self.records.iter().map(|record| record.total(work).calls).sum();
        self.row(name.to_string(), "", calls, self.mean(|record| record.seconds(work)))
    }

    fn row(&self, name: String, pass: &'static str, calls: u64, seconds: f64) -> ProfileRow {
        let share = seconds / self.mean(Record::wall).max(f64::MIN_POSITIVE);
        ProfileRow {
            name,
            pass,
            calls,
            seconds,
            share,
            gflops: None,
            peak_share: None,
            bytes: None,
            gbytes_per_s: None,
        }
    }
}
