//! The epoch's loop and the step.

use super::report::Sums;
use super::update::Update;
use super::worker::{Job, Reception, Worker};
use super::{EpochReport, Progress, Trainer, shards_of};
use crate::error::Error;
use isograd_comm::tree;
use isograd_datasets::{Dataset, epoch_order};
use isograd_kernels::Element;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl<T: Element> Trainer<T> {
    /// Trains on all samples of `dataset` once, in the order that seed and epoch give, or until
    /// [`max_steps`](super::TrainConfig::max_steps), or a request to [stop](Self::stop_on); calls `progress` after each step.
    ///
    /// # Errors
    ///
    /// [`Error::NonFiniteLoss`] when a loss becomes infinite or NaN, [`Error::NonFiniteGradient`] when a gradient that is to be
    /// clipped does: the state is then that before the step.
    /// [`Error::NonFiniteParameters`] when that state, or the one at the end of the epoch, has a parameter or a running statistic
    /// that is infinite or NaN: it is of no use then. Others when the data set does not fit the network, or a rank is lost.
    pub fn train_epoch(
        &mut self,
        dataset: &dyn Dataset,
        mut progress: impl FnMut(Progress<'_>) + Send,
    ) -> Result<EpochReport, Error> {
        let source = self.source(dataset)?;
        let mut order = std::mem::take(&mut self.order);
        order.resize(dataset.len(), 0);
        epoch_order(self.config.seed, u64::from(self.epoch), &mut order);

        let start = Instant::now();
        let (first_step, mut total) = (self.step, Sums::new(&self.config.metrics));
        let (mut step, mut means) = (Sums::new(&self.config.metrics), vec![0.0; total.values.len()]);
        // The whole loop runs on a thread of the pool: from outside, each step would have to wake one.
        let result = rayon::scope(|_| {
            for first in (0..order.len()).step_by(self.config.batch_size) {
                if self.is_finished() {
                    break;
                }
                let last = (first + self.config.batch_size).min(order.len());
                let job = Job {
                    network: &self.network,
                    config: &self.config,
                    state: &self.state,
                    source: &source,
                    order: &order,
                    positions: (first, last),
                    epoch: self.epoch,
                };
                let shards = job.shards();
                let own = self.own_shards(shards);
                if let Some(exchange) = &mut self.exchange {
                    exchange.begin(shards)?;
                }
                let (buckets, exchange) = (&self.buckets, self.exchange.as_ref());
                run(&mut self.workers, own, |worker, state, own| {
                    state.train(&job, own, Reception { buckets, exchange, worker });
                });
                let wants = self.stop_request.as_ref().is_some_and(|request| request.load(Ordering::Relaxed));
                let stop =
                    self.sums.collect(&self.workers, self.exchange.as_mut(), &job, &mut step, wants)?;
                if !step.values[0].is_finite() {
                    let loss = step.values[0];
                    if let Some(exchange) = &mut self.exchange {
                        exchange.discard(&mut self.workers);
                    }
                    return Err(Error::NonFiniteLoss { step: self.step + 1, epoch: self.epoch + 1, loss });
                }
                self.update()?;
                self.is_stopped |= stop;
                total.add(step.samples, &step.values);
                total.means(&mut means);
                progress(Progress {
                    epoch: self.epoch + 1,
                    samples: [last, order.len()],
                    loss: means[0],
                    metrics: &means[1..],
                    elapsed: start.elapsed(),
                });
            }
            Ok(())
        });
        self.order = order;
        let elapsed = start.elapsed();
        if !matches!(result, Err(Error::Ranks(_))) {
            self.check_state()?;
        }
        result?;
        self.epoch += 1;
        let steps = self.step - first_step;
        Ok(EpochReport { epoch: self.epoch, steps, train: total.evaluation(), elapsed })
    }

    /// Checks that all parameters and running statistics are finite. One that is not stays so: it is enough to look before somebody
    /// else does, and costs the steps nothing.
    fn check_state(&self) -> Result<(), Error> {
        match self.state.first_non_finite(&self.network, self.config.isa) {
            None => Ok(()),
            Some(tensor) => {
                let (tensor, epoch) = (tensor.to_string(), self.epoch + 1);
                Err(Error::NonFiniteParameters { tensor, step: self.step, epoch })
            }
        }
    }

    /// Finishes the sums and applies the optimizer, in parallel over ranges of the parameters; then the running statistics.
    fn update(&mut self) -> Result<(), Error> {
        let Self { network, config, workers, state, moments, squares, buckets, exchange, pending, .. } = self;
        let update = Update { network, config, step: self.step + 1, epoch: self.epoch + 1 };
        match exchange {
            None => {
                pending.collect(workers);
                let sum = |range: Range<usize>, g: &mut [T]| {
                    tree::sum(&pending.nodes, |i| &pending.values(workers, i)[range.clone()], g);
                };
                update.apply(state, moments, squares, workers.len(), sum)?;
            }
            Some(exchange) => {
                exchange.wait()?;
                let result = {
                    let read = exchange.reader();
                    let sum = |range: Range<usize>, g: &mut [T]| {
                        for (bucket, place, part) in buckets.parts(range) {
                            read(bucket, place, &mut g[part]);
                        }
                    };
                    update.apply(state, moments, squares, workers.len(), sum)
                };
                exchange.finish(workers);
                result?;
            }
        }
        self.step += 1;
        Ok(())
    }
}

/// Runs `work` of every worker, by its number, on its part of the shards `own`, in parallel.
pub(super) fn run<T: Element>(
    workers: &mut [Worker<T>],
    own: Range<usize>,
    work: impl Fn(usize, &mut Worker<T>, Range<usize>) + Sync,
) {
    let count = workers.len();
    workers.par_iter_mut().with_max_len(1).enumerate().for_each(|(index, worker)| {
        let part = shards_of(index, count, own.len());
        work(index, worker, own.start + part.start..own.start + part.end);
    });
}

/// The nodes that all workers hold after a pass, in shard order, and who holds them.
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
            self.nodes.extend_from_slice(worker.partial.nodes());
            self.owners.extend((0..worker.partial.nodes().len()).map(|node| [index, node]));
        }
    }

    fn values<'w, T: Element>(&self, workers: &'w [Worker<T>], node: usize) -> &'w [T] {
        let [worker, index] = self.owners[node];
        workers[worker].partial.values(index, 0)
    }
}
