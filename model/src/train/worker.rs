//! One thread's share of a step.

use super::buckets::Buckets;
use super::config::TrainConfig;
use super::gather::Source;
use super::partial::{Partial, Receiver};
use super::ranks::Exchange;
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
            input: self.network.input_shape(),
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

/// To whom a worker of a training step hands its sums.
pub(super) struct Reception<'a, T> {
    pub(super) buckets: &'a Buckets,
    /// The other ranks, if there are any.
    pub(super) exchange: Option<&'a Exchange<T>>,
    /// The worker's number.
    pub(super) worker: usize,
}

impl<T: Element> Worker<T> {
    /// A worker that sums up gradients in `partial`.
    pub(super) fn new(network: &Network<T>, config: &TrainConfig, partial: Partial<T>) -> Self {
        Self {
            memory: network.shard_memory(config.shard_len()),
            partial,
            sums: Vec::new(),
            unused: vec![T::ZERO; network.statistics_count()],
        }
    }

    /// Forward and backward of the step's shards `own`.
    pub(super) fn train(&mut self, job: &Job<'_, T>, own: Range<usize>, to: Reception<'_, T>) {
        let Self { memory, partial, sums, .. } = self;
        sums.clear();
        partial.start(job.shards());
        for index in own.clone() {
            let shard = job.shard(index);
            let cx = job.context(Mode::Train, &shard);
            job.gather(memory, &shard);
            let layers = job.config.loss.layers(job.network);
            partial.push(index);
            // Of all buckets, the first holds the network's end and the statistics behind it.
            let first = to.buckets.range(0);
            let statistics = job.network.parameter_count() - first.start;
            let last = partial.last_mut()[0].as_mut().expect("nobody else has it");
            job.network.forward(&cx, memory, &mut last[statistics..], layers);
            let loss = job.config.loss.evaluate(&cx, job.network, memory, Gradient::Wanted);
            job.push_sums(memory, cx.n, loss, sums);

            let is_last = index + 1 == own.end;
            let early = to.exchange.filter(|exchange| is_last && exchange.overlap);
            let complete = |partial: &mut Partial<T>, bucket| {
                if let Some(exchange) = early {
                    exchange.complete(to.worker, partial, bucket);
                }
            };
            let mut receiver = Receiver { partial: &mut *partial, buckets: to.buckets, done: 0, complete };
            job.network.backward(&cx, memory, &mut receiver, layers);
        }
        if let Some(exchange) = to.exchange.filter(|exchange| !exchange.overlap && !own.is_empty()) {
            for bucket in 0..to.buckets.count() {
                exchange.complete(to.worker, partial, bucket);
            }
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
