//! One worker's share of a step.

use super::DataError;
use super::buckets::Buckets;
use super::config::TrainConfig;
use super::cut::Cut;
use super::division::Division;
use super::gather::{ReadFor, ReadMemory, Source};
use super::partial_sums::{BucketWriter, PartialSums};
use super::ranks::Exchange;
use super::report::SumLayout;
use crate::layer::{Context, Mode};
use crate::loss::{self, Gradient};
use crate::metric::MetricInput;
use crate::network::{MemoryPlan, Network, ShardMemory, State};
use crate::profile::Work;
use crate::test_time::TestTime;
use isograd_datasets::SampleError;
use isograd_kernels::Element;
use std::ops::Range;
use std::sync::Arc;

/// Memory for the shards under way, and the sums of those that are done.
#[derive(Debug)]
pub(super) struct Worker<T> {
    /// One shard at a time, unless shards wait for each other.
    pub(super) shards: Vec<ShardWork<T>>,
    /// Why the worker could not read a sample of the pass.
    pub(super) failure: Option<SampleError>,
    /// Sums of gradients, with the shares of the running statistics behind them.
    pub(super) partial_sums: PartialSums<T>,
    /// Loss and metric sums of each shard of this worker, in order.
    pub(super) sums: Vec<f64>,
    /// The sums that a layer shares, of each shard of this worker, in order.
    pub(super) layer_sums: Vec<f64>,
    /// Takes the statistics of evaluated shards, which are not used.
    unused: Vec<T>,
}

/// Memory for the work on one shard.
#[derive(Debug)]
pub(super) struct ShardWork<T> {
    pub(super) memory: ShardMemory<T>,
    pub(super) reading: ReadMemory,
}

/// What all shards of a pass have in common.
pub(super) struct Job<'a, T> {
    pub(super) network: &'a Network<T>,
    pub(super) config: &'a TrainConfig<T>,
    pub(super) division: Division,
    pub(super) sum_layout: &'a SumLayout,
    pub(super) state: &'a State<T>,
    /// Parameters in use, if layers are folded; see [`Network::folded_parameters`].
    pub(super) folded: Option<&'a [T]>,
    /// What layers have prepared for the pass.
    pub(super) prepared: &'a [T],
    pub(super) source: &'a Source<'a, T>,
    /// Indices of the samples in the data set, by position in the epoch; if empty, the index is the position.
    pub(super) order: &'a [u32],
    /// The positions that the pass covers.
    pub(super) positions: Range<usize>,
    /// The fewest samples of a shard, where there are enough.
    pub(super) least_samples: usize,
    pub(super) epoch: u32,
}

impl<'a, T: Element> Job<'a, T> {
    /// The number of samples.
    pub(super) fn samples(&self) -> usize {
        self.positions.len()
    }

    fn cut(&self) -> Cut {
        Cut { samples: self.samples(), shard_len: self.config.shard_len(), least: self.least_samples }
    }

    /// The number of shards.
    pub(super) fn shards(&self) -> usize {
        self.cut().shards()
    }

    /// The positions of shard `index`.
    pub(super) fn shard(&self, index: usize) -> Range<usize> {
        let Range { start, end } = self.cut().shard(index);
        self.positions.start + start..self.positions.start + end
    }

    /// The index in the data set of the sample at `position`.
    fn index(&self, position: usize) -> usize {
        self.order.get(position).map_or(position, |index| *index as usize)
    }

    /// The first sample of the pass that holds an infinite value or NaN: in words.
    pub(super) fn bad_sample(&self) -> Option<String> {
        self.source.first_non_finite(self.epoch, self.positions.clone().map(|position| self.index(position)))
    }

    /// The first sample of the pass with a target that the loss does not take.
    pub(super) fn bad_target(&self) -> Option<DataError> {
        let indices = self.positions.clone().map(|position| self.index(position));
        let (sample, value) = self.source.first_bad_target(&*self.config.loss, self.epoch, indices)?;
        Some(DataError::TargetValue { sample, value, loss: self.config.loss.name() })
    }

    pub(super) fn context(&self, mode: Mode, shard: &Range<usize>) -> Context<'a, T> {
        Context {
            isa: self.config.isa,
            mode,
            has_backward: mode == Mode::Train,
            input: self.network.input_shape(),
            n: shard.len(),
            global_batch_size: self.samples(),
            params: self.folded.unwrap_or(self.state.params()),
            statistics: self.state.statistics(),
            seed: self.config.seed,
            epoch: self.epoch,
            position: shard.start as u64,
            prepared: self.prepared,
            folded: self.folded.is_some(),
            addition: None,
        }
    }

    /// Starts a pass in `mode` with the samples of `shard`.
    pub(super) fn gather(
        &self,
        work: &mut ShardWork<T>,
        mode: Mode,
        shard: &Range<usize>,
    ) -> Result<(), SampleError> {
        let pass = ReadFor { isa: self.config.isa, mode, epoch: self.epoch, n: shard.len() };
        let indices = shard.clone().map(|position| self.index(position));
        self.source.gather(pass, self.network, &mut work.reading, &mut work.memory, indices)
    }

    /// Evaluates the loss of the shard in `memory` after its forward pass, and appends the sums of loss and
    /// metrics.
    pub(super) fn evaluate(
        &self,
        cx: &Context<'_, T>,
        ShardWork { memory, reading }: &mut ShardWork<T>,
        gradient: Gradient,
        sums: &mut Vec<f64>,
    ) {
        self.source.gather_values(self.network, reading, memory, cx.n);
        sums.push(loss::evaluate(&*self.config.loss, cx, self.network, memory, gradient));
        let (output, targets) = (self.network.output(memory), self.network.targets(memory));
        let input = MetricInput::new(cx.isa, cx.n, output, targets);
        let first = sums.len() - 1;
        sums.resize(first + self.sum_layout.width(), 0.0);
        for (index, metric) in self.config.metrics.iter().enumerate() {
            metric.add(&input, &mut sums[first..][self.sum_layout.range(index)]);
        }
    }
}

/// Where a worker of a training step puts its sums.
pub(super) struct GradientSink<'a, T> {
    pub(super) buckets: &'a Buckets,
    /// The other ranks, if there are any.
    pub(super) exchange: Option<&'a Exchange<T>>,
    /// The worker's number.
    pub(super) worker: usize,
}

impl<T: Element> Worker<T> {
    /// A worker on `shards` shards at a time, each on up to `threads` threads, that sums up gradients in
    /// `partial_sums`.
    pub(super) fn new(
        network: &Network<T>,
        memory: &Arc<MemoryPlan>,
        shards: usize,
        threads: usize,
        partial_sums: PartialSums<T>,
    ) -> Self {
        let work =
            || ShardWork { memory: MemoryPlan::allocate(memory, threads), reading: ReadMemory::default() };
        Self {
            shards: (0..shards).map(|_| work()).collect(),
            failure: None,
            partial_sums,
            sums: Vec::new(),
            layer_sums: Vec::new(),
            unused: vec![T::ZERO; network.statistics_count()],
        }
    }

    /// Forward and backward of the step's shards `own`. If a sample cannot be read, that is the worker's
    /// failure, and its sums have no meaning; the other ranks get some all the same, as they wait for them.
    pub(super) fn train(&mut self, job: &Job<'_, T>, own: Range<usize>, to: GradientSink<'_, T>) {
        let Self { shards, failure, partial_sums, sums, .. } = self;
        let work = &mut shards[0];
        sums.clear();
        partial_sums.start(job.shards());
        let mut is_handed_over = false;
        for index in own.clone() {
            let shard = job.shard(index);
            let cx = job.context(Mode::Train, &shard);
            let started = work.memory.recording.begin();
            partial_sums.push(index);
            work.memory.recording.lap(Work::Join, cx.n);
            if failure.is_none() {
                *failure = job.gather(work, Mode::Train, &shard).err();
                work.memory.recording.lap(Work::Read, cx.n);
            }
            if failure.is_some() {
                sums.resize(sums.len() + job.sum_layout.width(), 0.0);
                continue;
            }
            let steps = loss::steps(&*job.config.loss, job.network);
            let node = partial_sums.last();
            let statistics = to.buckets.statistics(job.network);
            let statistics = &mut partial_sums.values_mut(node, 0)[statistics..];
            job.network.forward(&cx, &mut work.memory, statistics, steps);
            job.evaluate(&cx, work, Gradient::Wanted, sums);
            work.memory.recording.lap(Work::Loss, cx.n);

            let is_last = index + 1 == own.end;
            let early = to.exchange.filter(|exchange| is_last && exchange.overlaps());
            let complete = |partial_sums: &mut PartialSums<T>, bucket| {
                if let Some(exchange) = early {
                    exchange.complete(to.worker, partial_sums, bucket);
                }
            };
            let mut writer = BucketWriter {
                partial_sums: &mut *partial_sums,
                buckets: to.buckets,
                node,
                done: 0,
                complete,
            };
            job.network.backward(&cx, &mut work.memory, &mut writer, steps);
            is_handed_over |= early.is_some();
            work.memory.recording.since(started, Work::Shard, cx.n);
        }
        if let Some(exchange) = to.exchange.filter(|_| !is_handed_over && !own.is_empty()) {
            work.memory.recording.begin();
            for bucket in 0..to.buckets.count() {
                exchange.complete(to.worker, partial_sums, bucket);
            }
            work.memory.recording.lap(Work::HandOver, 0);
        }
    }

    /// Forward of the pass's shards `own`, as in use, for the mean over the views of `test_time`. Failures
    /// are as in [`train`](Self::train).
    pub(super) fn evaluate(&mut self, job: &Job<'_, T>, test_time: TestTime, own: Range<usize>) {
        let Self { shards, failure, sums, unused, .. } = self;
        let work = &mut shards[0];
        sums.clear();
        for index in own {
            let shard = job.shard(index);
            let cx = job.context(Mode::Eval, &shard);
            let started = work.memory.recording.begin();
            if failure.is_none() {
                *failure = job.gather(work, Mode::Eval, &shard).err();
                work.memory.recording.lap(Work::Read, cx.n);
            }
            if failure.is_some() {
                sums.resize(sums.len() + job.sum_layout.width(), 0.0);
                continue;
            }
            let steps = loss::steps(&*job.config.loss, job.network);
            job.network.forward_views(&cx, &mut work.memory, unused, test_time, steps);
            job.evaluate(&cx, work, Gradient::Unwanted, sums);
            work.memory.recording.lap(Work::Loss, cx.n);
            work.memory.recording.since(started, Work::Shard, cx.n);
        }
    }
}
