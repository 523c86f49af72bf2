//! The trainer's side of a profile: recorders for all threads, and the records of all ranks.

use super::Trainer;
use super::ranks::Exchange;
use crate::error::Error;
use crate::memory;
use crate::profile::{
    ClockPoint, Lane, Phase, Profile, Profiler, Record, Recording, SNAPSHOT, Span, Total, Work,
};
use isograd_kernels::{Element, Isa, peak};

/// A profile under way.
#[derive(Debug)]
pub(super) struct Profiling {
    profiler: Profiler,
    peak_gflops: f64,
    start_ns: u64,
    clock: Vec<ClockPoint>,
}

impl<T: Element> Trainer<T> {
    /// Lets `profiler` note how long everything takes from now on. It measures the peak of the machine
    /// first, which takes a tenth of a second, and, for a [trace](Profiler::with_trace), the offsets of the
    /// ranks' clocks. All ranks must call it, with profilers that trace or not alike.
    ///
    /// # Errors
    ///
    /// When there is no memory for the trace, or a rank is lost.
    pub fn set_profiler(&mut self, profiler: &Profiler) -> Result<(), Error> {
        let world = self.exchange.as_ref().map_or(1, Exchange::world_size);
        let recorders: usize = self.workers.iter().map(|worker| worker.shards.len()).sum();
        let [of_trainer, of_worker] = profiler.capacities(world, recorders);
        let bytes = (3 * of_trainer + recorders * of_worker) as u128 * EVENT_BYTES;
        memory::check(|| "the spans of a trace".to_string(), bytes)?;
        let steps = self.network.all();
        for work in self.workers.iter_mut().flat_map(|worker| &mut worker.shards) {
            work.memory.recording = profiler.recording(steps, of_worker);
        }
        self.recording = profiler.recording(steps, of_trainer);
        if let Some(exchange) = &mut self.exchange {
            exchange.recording = profiler.recording(steps, of_trainer);
        }
        // All at the same time: ranks may share a machine.
        self.wait_for_ranks()?;
        let peak_gflops = peak_gflops::<T>(self.config.isa);
        let clock = self.clock_points(profiler)?;
        self.wait_for_ranks()?;
        let profiler = profiler.clone();
        self.profiling = Some(Profiling { peak_gflops, start_ns: profiler.now_ns(), clock, profiler });
        Ok(())
    }

    /// Ends the profile that [`set_profiler`](Self::set_profiler) began, and returns that of all ranks. All
    /// ranks get all totals; single spans for a [trace](Profile::write_trace) go to rank 0 alone. `None` if
    /// there is no profiler. All ranks must call it.
    ///
    /// # Errors
    ///
    /// When a rank is lost.
    pub fn take_profile(&mut self) -> Result<Option<Profile>, Error> {
        let Some((mut own, profiler)) = self.take_record() else { return Ok(None) };
        own.clock.extend(self.clock_points(&profiler)?);
        let records = match &mut self.exchange {
            None => vec![own],
            Some(exchange) => exchange.records(own)?,
        };
        Ok(Some(self.profile(records)))
    }

    /// Ends the profile, and returns that of this rank alone, without any other one: after an error, when
    /// ranks do not work together any more.
    pub fn take_own_profile(&mut self) -> Option<Profile> {
        let (own, _) = self.take_record()?;
        Some(self.profile(vec![own]))
    }

    fn profile(&self, records: Vec<Record>) -> Profile {
        let bucket_bytes = self.buckets.lengths().map(|len| len * size_of::<T>()).collect();
        Profile { records, steps: self.network.step_costs(), element: T::NAME, bucket_bytes }
    }

    /// Lets all recorders count what follows as work for `phase`.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.recording.enter(phase);
        if let Some(exchange) = &mut self.exchange {
            exchange.recording.enter(phase);
        }
        for work in self.workers.iter_mut().flat_map(|worker| &mut worker.shards) {
            work.memory.recording.enter(phase);
        }
    }

    /// A span of the copy for a checkpoint.
    pub(super) fn snapshot_span(&self) -> Option<Span<'_>> {
        self.profiling.as_ref().map(|profiling| profiling.profiler.span(SNAPSHOT))
    }

    /// Ends the profile: what this rank has recorded.
    fn take_record(&mut self) -> Option<(Record, Profiler)> {
        let Profiling { profiler, peak_gflops, start_ns, clock } = self.profiling.take()?;
        let wall_ns = profiler.now_ns().saturating_sub(start_ns);
        let mut totals: [Vec<Total>; 2] = Default::default();
        let mut lanes: Vec<Lane> = Vec::new();
        let mut take = |recording: &mut Recording, name: String, threads: usize| {
            let Some(recorder) = std::mem::take(recording).0 else { return };
            let (own, events) = recorder.into_parts();
            for (totals, own) in totals.iter_mut().zip(own) {
                totals.resize(own.len(), Total::default());
                for (number, (total, own)) in totals.iter_mut().zip(own).enumerate() {
                    let threads = if Work::from_number(number).is_of_shard() { threads } else { 1 };
                    total.add(Total { ns: own.ns * threads as u64, ..own });
                }
            }
            match lanes.last_mut().filter(|lane| lane.name == name) {
                Some(lane) => lane.events.extend(events),
                None => lanes.push(Lane { name, events }),
            }
        };
        take(&mut self.recording, "training".to_string(), 1);
        if let Some(exchange) = &mut self.exchange {
            take(&mut exchange.recording, "training".to_string(), 1);
        }
        let of_worker = self.division.threads_of_worker();
        for (index, worker) in self.workers.iter_mut().enumerate() {
            for work in &mut worker.shards {
                take(&mut work.memory.recording, format!("worker {index}"), of_worker);
            }
        }
        if !profiler.is_tracing() {
            lanes.clear();
        }
        let spans = profiler.named_spans();
        let record = Record {
            rank: self.exchange.as_ref().map_or(0, Exchange::rank),
            host: profiler.host().to_string(),
            threads: self.division.threads(),
            peak_gflops,
            start_ns,
            wall_ns,
            totals,
            named: spans.totals,
            lanes,
            named_events: spans.events,
            trace_end_ns: profiler.trace_end_ns(),
            clock,
        };
        Some((record, profiler))
    }

    /// The offset of this rank's clock, if there is a trace.
    fn clock_points(&mut self, profiler: &Profiler) -> Result<Vec<ClockPoint>, Error> {
        let Some(exchange) = self.exchange.as_mut().filter(|_| profiler.is_tracing()) else {
            return Ok(Vec::new());
        };
        Ok(vec![exchange.clock_point(|| profiler.now_ns() as f64)?])
    }
}

/// Bytes of memory of a span.
const EVENT_BYTES: u128 = 24;

/// The peak of a thread in the network's elements, while all threads of the pool measure theirs: the mean.
fn peak_gflops<T>(isa: Isa) -> f64 {
    let peaks = rayon::broadcast(|_| peak::fma_peak(isa));
    let mean = peaks.iter().sum::<f64>() / peaks.len() as f64;
    // A vector holds half as many numbers of twice the size.
    mean * size_of::<f32>() as f64 / size_of::<T>() as f64
}

impl<T: Element> Exchange<T> {
    /// The records of all ranks, by rank, where `own` is this rank's.
    fn records(&mut self, own: Record) -> Result<Vec<Record>, Error> {
        let (rank, world) = (self.rank(), self.world_size());
        let mut own = Some(own);
        let mut records = Vec::with_capacity(world);
        for root in 0..world {
            let mut bytes = match own.as_ref().filter(|_| root == rank) {
                Some(own) => postcard::to_stdvec(own).expect("a record is plain data"),
                None => Vec::new(),
            };
            self.broadcast_bytes(&mut bytes, root)?;
            let mut record = match own.take_if(|_| root == rank) {
                Some(own) => own,
                None => postcard::from_bytes(&bytes).expect("all ranks run the same program"),
            };
            // Rank 0 alone writes traces.
            if !self.is_first() {
                (record.lanes, record.named_events) = (Vec::new(), Vec::new());
            }
            records.push(record);
        }
        Ok(records)
    }
}
