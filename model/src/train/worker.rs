//! One thread's share of a step.

use super::config::TrainConfig;
use super::gather::Source;
use super::partial::Partial;
use crate::layer::{Context, Mode};
use crate::loss::Gradient;
use crate::network::{Network, ShardMemory, State};
use isograd_kernels::Element;
use std::ops::Range;

/// Memory for one shard at a time, and the sums of those that are done.
#[derive(Debug)]
pub(super) struct Worker<T> {
    memory: ShardMemory<T>,
    /// Sums of gradients, with the shares of the running statistics behind them.
    pub(super) partial: Partial<T>,
    /// Loss and metric sums of each shard of this worker, in order.
    pub(super) sums: Vec<f64>,
    /// Where an evaluation's shards put the statistics that nobody takes.
    unused: Vec<T>,
}

/// What all shards of a pass have in common.
#[derive(Clone, Copy)]
pub(super) struct Job<'a, T> {
    pub(super) network: &'a Network<T>,
    pub(super) config: &'a TrainConfig,
    pub(super) state: &'a State<T>,
    pub(super) source: &'a Source<'a, T>,
    /// Indices of the samples in the data set, by position in the epoch; all in their own order if empty.
    pub(super) order: &'a [u32],
    /// The positions that the pass covers.
    pub(super) positions: (usize, usize),
    pub(super) epoch: u32,
}

impl<'a, T: Element> Job<'a, T> {
    /// The number of samples.
    pub(super) fn samples(&self) -> usize {
        self.positions.1 - self.positions.0
    }

    /// The number of shards.
    pub(super) fn shards(&self) -> usize {
        self.samples().div_ceil(self.config.shard_len())
    }

    /// The positions of shard `shard`.
    fn shard(&self, shard: usize) -> Range<usize> {
        let first = self.positions.0 + shard * self.config.shard_len();
        first..(first + self.config.shard_len()).min(self.positions.1)
    }

    fn context(&self, mode: Mode, shard: &Range<usize>) -> Context<'a, T> {
        Context {
            isa: self.config.isa,
            mode,
            n: shard.len(),
            global_batch_size: self.samples(),
            params: self.state.params(),
            statistics: self.state.statistics(),
            seed: self.config.seed,
            epoch: self.epoch,
            position: shard.start as u64,
        }
    }

    /// Fills the network's input with the samples of `shard`.
    fn gather(&self, memory: &mut ShardMemory<T>, shard: &Range<usize>) {
        let index = |i: usize| {
            let position = shard.start + i;
            self.order.get(position).map_or(position, |index| *index as usize)
        };
        self.source.gather(self.config.isa, self.network, memory, shard.len(), index);
    }

    /// Appends the loss and the metrics of the shard of `n` samples whose output is in `memory`.
    fn push_sums(&self, memory: &ShardMemory<T>, n: usize, loss: f64, sums: &mut Vec<f64>) {
        let output = self.network.output(memory, n);
        sums.push(loss);
        sums.extend(self.config.metrics.iter().map(|metric| metric.sum(output, &memory.labels)));
    }
}

impl<T: Element> Worker<T> {
    /// A worker out of `workers` for steps of at most `shards` shards.
    pub(super) fn new(network: &Network<T>, config: &TrainConfig, shards: usize, workers: usize) -> Self {
        let own = shards.div_ceil(workers);
        let len = network.parameter_count() + network.statistics_count();
        Self {
            memory: network.shard_memory(config.shard_len()),
            partial: Partial::new(own, shards, len),
            sums: Vec::new(),
            unused: vec![T::ZERO; network.statistics_count()],
        }
    }

    /// Forward and backward of the step's shards `own`.
    pub(super) fn train(&mut self, job: &Job<'_, T>, own: Range<usize>) {
        let Self { memory, partial, sums, .. } = self;
        sums.clear();
        partial.start(job.shards());
        for index in own {
            let shard = job.shard(index);
            let cx = job.context(Mode::Train, &shard);
            job.gather(memory, &shard);
            let layers = job.config.loss.layers(job.network);
            let (dw, statistics) = partial.push(cx.isa, index).split_at_mut(job.network.parameter_count());
            job.network.forward(&cx, memory, statistics, layers);
            let loss = job.config.loss.evaluate(&cx, job.network, memory, Gradient::Wanted);
            job.push_sums(memory, cx.n, loss, sums);
            job.network.backward(&cx, memory, dw, layers);
        }
    }

    /// Forward of the pass's shards `own`, in use.
    pub(super) fn evaluate(&mut self, job: &Job<'_, T>, own: Range<usize>) {
        let Self { memory, sums, unused, .. } = self;
        sums.clear();
        for index in own {
            let shard = job.shard(index);
            let cx = job.context(Mode::Eval, &shard);
            job.gather(memory, &shard);
            let layers = job.config.loss.layers(job.network);
            job.network.forward(&cx, memory, unused, layers);
            let loss = job.config.loss.evaluate(&cx, job.network, memory, Gradient::Unwanted);
            job.push_sums(memory, cx.n, loss, sums);
        }
    }
}
