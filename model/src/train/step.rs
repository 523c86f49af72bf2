//! The loop over the batches of an epoch, and the step.

use super::division::Division;
use super::gather::Source;
use super::open_epoch::OpenEpoch;
use super::report::{Flags, Sums};
use super::update::Update;
use super::worker::{GradientSink, Job, Worker};
use super::{DataError, EpochReport, NonFinite, Progress, Trainer};
use crate::callback::Decision;
use crate::error::Error;
use crate::layer::{Mode, Preparation};
use crate::profile::{Phase, Work};
use crate::schedule::StepPosition;
use isograd_comm::tree;
use isograd_datasets::Dataset;
use isograd_kernels::Element;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl<T: Element> Trainer<T> {
    /// Trains on all samples of `dataset` once, in the order that seed and epoch give, or until
    /// [`max_steps`](super::TrainConfig::max_steps), or a request to [stop](Self::stop_on); calls `progress`
    /// after each step. After a request to stop, the epoch stays open: [`epochs`](Self::epochs) does not
    /// count it, and a call after [`restore`](Self::restore) goes on in it.
    ///
    /// # Errors
    ///
    /// Before the first step: [`DataError`] when the data set does not fit the network,
    /// [`Error::ShardTooSmall`] when a layer cannot be trained on so few samples.
    ///
    /// [`DataError::Sample`] when a sample cannot be read or contradicts its data set, at the rank that reads
    /// it, and [`DataError::OfAnotherRank`] at the others: the state is then that before the step.
    ///
    /// [`Error::LearningRate`] when the schedule gives a step a rate that is none, before the step.
    ///
    /// [`NonFinite::Loss`] when a loss becomes infinite or NaN, or
    /// [`DataError::TargetValue`] if a target is the reason, and
    /// [`NonFinite::Gradient`] when a gradient that is to be clipped does: the state is then that before the
    /// step. [`NonFinite::Metric`] when a metric of the epoch so far becomes NaN: the state is then that
    /// after the step. [`NonFinite::Parameters`] when that state, or the one at the end of the epoch, has a
    /// parameter or a running statistic that is infinite or NaN: the state is then of no use.
    /// [`Error::Ranks`] when a rank is lost.
    pub fn train_epoch(
        &mut self,
        dataset: &dyn Dataset,
        mut progress: impl FnMut(Progress<'_>) + Send,
    ) -> Result<EpochReport, Error> {
        self.is_ended = false;
        self.run_epoch(dataset, |_, of_step| {
            progress(of_step);
            Ok(Decision::Go)
        })
    }

    /// As [`train_epoch`](Self::train_epoch), until `step_end` says to stop. Its failures end the epoch, too.
    pub(super) fn run_epoch<F: From<Error> + Send>(
        &mut self,
        dataset: &dyn Dataset,
        step_end: impl FnMut(&mut Self, Progress<'_>) -> Result<Decision, F> + Send,
    ) -> Result<EpochReport, F> {
        let source = self.source(dataset)?;
        self.check_shards(dataset.len())?;
        self.sum_layout
            .check_memory(self.config.batch_size.min(dataset.len()).div_ceil(self.config.shard_len()))?;
        self.open_epoch.begin(dataset.len()).map_err(Error::from)?;
        let mut order = std::mem::take(&mut self.order);
        order.resize(dataset.len(), 0);
        dataset.order(self.config.seed, self.epoch, &mut order);
        self.announce_epoch(dataset, &order);

        let (start, resumed_at) = (Instant::now(), self.open_epoch.position);
        // The whole loop runs on a thread of the pool: from outside, each step would have to wake one.
        let result = rayon::scope(|_| self.run_steps(&source, &order, start, step_end));
        self.order = order;
        let elapsed = start.elapsed();
        let checked = match &result {
            Err(Interruption::Caller(_)) => Ok(()),
            Err(Interruption::Trainer(error)) if error.is_of_ranks() => Ok(()),
            _ => self.check_state(),
        };
        if result.is_err() || checked.is_err() {
            self.open_epoch.close();
        }
        checked?;
        result.map_err(|interruption| match interruption {
            Interruption::Trainer(error) => error.into(),
            Interruption::Caller(failure) => failure,
        })?;
        let OpenEpoch { position, sums, .. } = &self.open_epoch;
        let train = sums.evaluation(&self.config.metrics, &self.sum_layout).map_err(Error::from)?;
        let steps = position.div_ceil(self.config.batch_size) as u64;
        let report = EpochReport { epoch: self.epoch + 1, steps, train, elapsed, resumed_at };
        // After a request to stop, the epoch stays open, so that it can be gone on with.
        if !self.is_stopped {
            self.epoch += 1;
            self.open_epoch.close();
        }
        Ok(report)
    }

    /// The steps of the epoch that are left, in the `order` of its samples.
    fn run_steps<F: From<Error>>(
        &mut self,
        source: &Source<'_, T>,
        order: &[u32],
        start: Instant,
        mut step_end: impl FnMut(&mut Self, Progress<'_>) -> Result<Decision, F>,
    ) -> Result<(), Interruption<F>> {
        let (mut step, mut metrics) = (Sums::new(&self.sum_layout), vec![0.0; self.config.metrics.len()]);
        let resumed_at = self.open_epoch.position;
        while self.open_epoch.position < order.len() && !self.is_finished() && !self.is_ended {
            let first = self.open_epoch.position;
            let last = first.saturating_add(self.config.batch_size).min(order.len());
            let learning_rate = self.learning_rate(first, order.len())?;
            self.step(source, order, first..last, learning_rate, &mut step)?;
            self.open_epoch.position = last;
            let total = &mut self.open_epoch.sums;
            total.add(step.samples, &step.values);
            total.metrics(&self.config.metrics, &self.sum_layout, &mut metrics).map_err(Error::from)?;
            let progress = Progress {
                epoch: self.epoch + 1,
                samples: last,
                epoch_samples: order.len(),
                resumed_at,
                loss: total.loss(),
                step_loss: step.loss(),
                metrics: &metrics,
                learning_rate,
                elapsed: start.elapsed(),
            };
            if step_end(self, progress).map_err(Interruption::Caller)? == Decision::Stop {
                break;
            }
        }
        Ok(())
    }

    /// The learning rate of the step that begins with sample `first` of an epoch of `samples`.
    pub(crate) fn learning_rate(&self, first: usize, samples: usize) -> Result<f64, Error> {
        let steps_per_epoch = samples.div_ceil(self.config.batch_size) as u64;
        let step = u64::from(self.epoch) * steps_per_epoch + (first / self.config.batch_size) as u64;
        let at = StepPosition {
            epoch: self.epoch,
            total_steps: self.config.total_steps(steps_per_epoch),
            ..StepPosition::new(step, steps_per_epoch, self.config.learning_rate)
        };
        let rate = self.config.schedule.learning_rate(&at);
        if rate >= 0.0 && rate.is_finite() {
            return Ok(rate);
        }
        Err(Error::LearningRate { rate, step: self.step + 1, epoch: self.epoch + 1 })
    }

    /// One step on the samples at `positions` in the `order` of the epoch. Overwrites `sums` with the sums of
    /// their losses and metrics before the step.
    fn step(
        &mut self,
        source: &Source<'_, T>,
        order: &[u32],
        positions: Range<usize>,
        learning_rate: f64,
        sums: &mut Sums,
    ) -> Result<(), Error> {
        self.enter(Phase::Training);
        let (isa, mode, params) = (self.config.isa, Mode::Train, self.state.params());
        let (started, samples) = (self.recording.begin(), positions.len());
        if self.network.prepares(mode) {
            let started = self.recording.begin();
            self.network.prepare(&Preparation { isa, mode, params }, &mut self.prepared);
            self.recording.since(started, Work::Prepare, 0);
        }
        let job = Job {
            network: &self.network,
            config: &self.config,
            division: self.division,
            sum_layout: &self.sum_layout,
            state: &self.state,
            folded: None,
            prepared: &self.prepared,
            source,
            order,
            positions,
            least_samples: self.network.least_samples(),
            epoch: self.epoch,
        };
        let shards = job.shards();
        let own = self.own_shards(shards);
        match &mut self.lockstep {
            None => {
                if let Some(exchange) = &mut self.exchange {
                    exchange.begin(shards)?;
                }
                let (buckets, exchange) = (&self.buckets, self.exchange.as_ref());
                run(self.division, &mut self.workers, own, |worker, state, own| {
                    state.train(&job, own, GradientSink { buckets, exchange, worker });
                });
            }
            Some(lockstep) => {
                let exchange = self.exchange.as_mut();
                lockstep.run(&job, own.clone(), &mut self.workers, &self.buckets, exchange)?;
                if let Some(exchange) = &mut self.exchange {
                    exchange.begin(shards)?;
                    exchange.complete_all(&mut self.workers, own);
                }
            }
        }
        let failure = self.workers.iter_mut().find_map(|worker| worker.failure.take());
        let stop = self.stop_request.as_ref().is_some_and(|request| request.load(Ordering::Relaxed));
        let own = Flags { stop, failed: failure.is_some() };
        let Flags { stop, failed } =
            self.sums.collect(&self.workers, self.exchange.as_mut(), &job, sums, own)?;
        if failed {
            if let Some(exchange) = &mut self.exchange {
                exchange.discard(&mut self.workers);
            }
            return Err(failure.map_or(DataError::OfAnotherRank, DataError::Sample).into());
        }
        let loss = sums.values[0];
        if !loss.is_finite() {
            let (bad_sample, bad_target) = (job.bad_sample(), job.bad_target());
            if let Some(exchange) = &mut self.exchange {
                exchange.discard(&mut self.workers);
            }
            if let Some(error) = bad_target {
                return Err(error.into());
            }
            let (step, epoch) = (self.step + 1, self.epoch + 1);
            return Err(NonFinite::Loss { step, epoch, loss, bad_sample }.into());
        }
        self.update(learning_rate)?;
        self.recording.since(started, Work::Step, samples);
        self.is_stopped |= stop;
        Ok(())
    }

    /// Checks that all parameters and running statistics are finite. A number that is not finite stays so: it
    /// is enough to check at the end of an epoch, where the state may be used, and steps need no check.
    fn check_state(&self) -> Result<(), Error> {
        match self.state.first_non_finite(&self.network, self.config.isa) {
            None => Ok(()),
            Some(tensor) => {
                let (tensor, epoch) = (tensor.to_string(), self.epoch + 1);
                Err(NonFinite::Parameters { tensor, step: self.step, epoch }.into())
            }
        }
    }

    /// Finishes the sums and applies the optimizer, in parallel over ranges of the parameters; then the
    /// running statistics.
    fn update(&mut self, learning_rate: f64) -> Result<(), Error> {
        let Self {
            network,
            config,
            division,
            workers,
            state,
            update_memory,
            buckets,
            exchange,
            pending,
            recording,
            ..
        } = self;
        let update = Update { network, config, step: self.step + 1, epoch: self.epoch + 1, learning_rate };
        let started;
        match exchange {
            None => {
                started = recording.begin();
                pending.collect(workers);
                let sum = |range: Range<usize>, g: &mut [T]| {
                    tree::sum(&pending.nodes, |i| &pending.values(workers, i)[range.clone()], g);
                };
                update.apply(state, update_memory, division.threads(), sum)?;
            }
            Some(exchange) => {
                exchange.wait()?;
                started = recording.begin();
                let result = {
                    let read = exchange.reader();
                    let sum = |range: Range<usize>, g: &mut [T]| {
                        for (bucket, place, part) in buckets.parts(range) {
                            read(bucket, place, &mut g[part]);
                        }
                    };
                    update.apply(state, update_memory, division.threads(), sum)
                };
                exchange.finish(workers);
                result?;
            }
        }
        recording.since(started, Work::Update, 0);
        self.step += 1;
        Ok(())
    }
}

/// Why the steps of an epoch ended early.
enum Interruption<F> {
    Trainer(Error),
    /// The failure of what is called after each step.
    Caller(F),
}

impl<F> From<Error> for Interruption<F> {
    fn from(error: Error) -> Self {
        Self::Trainer(error)
    }
}

/// Runs `work` of every worker, by its number, on its part of the shards `own`, in parallel, each shard on as
/// many threads as `division` tells.
pub(super) fn run<T: Element>(
    division: Division,
    workers: &mut [Worker<T>],
    own: Range<usize>,
    work: impl Fn(usize, &mut Worker<T>, Range<usize>) + Sync,
) {
    let threads = division.threads_of_shard(own.len());
    let started = workers.first_mut().map_or(0, |first| first.shards[0].memory.recording.begin());
    workers.par_iter_mut().with_max_len(1).enumerate().for_each(|(index, worker)| {
        let part = division.shards_of(index, own.len());
        if !part.is_empty() {
            worker.shards[0].memory.set_threads(threads);
        }
        work(index, worker, own.start + part.start..own.start + part.end);
    });
    if let Some(first) = workers.first_mut() {
        first.shards[0].memory.recording.since(started, Work::Region, 0);
    }
}

/// The nodes that all workers hold after a pass, in shard order, and the worker and node number of each.
#[derive(Debug, Default)]
pub(super) struct Pending {
    nodes: Vec<Range<usize>>,
    owners: Vec<[usize; 2]>,
}

impl Pending {
    fn collect<T: Element>(&mut self, workers: &[Worker<T>]) {
        self.nodes.clear();
        self.owners.clear();
        for (index, worker) in workers.iter().enumerate() {
            self.nodes.extend_from_slice(worker.partial_sums.nodes());
            self.owners.extend((0..worker.partial_sums.nodes().len()).map(|node| [index, node]));
        }
    }

    fn values<'w, T: Element>(&self, workers: &'w [Worker<T>], node: usize) -> &'w [T] {
        let [worker, index] = self.owners[node];
        workers[worker].partial_sums.values(index, 0)
    }
}
