//! The epoch's loop and the step.

use super::report::Sums;
use super::worker::{Job, Worker};
use super::{EpochReport, Progress, Trainer, shards_of};
use crate::error::Error;
use crate::memory::round_up;
use isograd_datasets::{Dataset, epoch_order};
use isograd_kernels::{Element, elementwise, tree};
use rayon::prelude::*;
use std::ops::Range;
use std::time::Instant;

/// Parameters that a thread takes through the tree and the update at a time, so that they stay in its first-level cache.
const BLOCK: usize = 2048;

impl<T: Element> Trainer<T> {
    /// Trains on all samples of `dataset` once, in the order that seed and epoch give, or until
    /// [`max_steps`](super::TrainConfig::max_steps); calls `progress` after each step.
    ///
    /// # Errors
    ///
    /// [`Error::NonFiniteLoss`] when a loss becomes infinite or NaN: the state is then that before the step. Others when the
    /// data set does not fit the network.
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
                run(&mut self.workers, &job, Worker::train);
                self.sums.collect(&self.workers, &job, &mut step);
                if !step.values[0].is_finite() {
                    let loss = step.values[0];
                    return Err(Error::NonFiniteLoss { step: self.step + 1, epoch: self.epoch + 1, loss });
                }
                self.update();
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
        result?;
        self.epoch += 1;
        let steps = self.step - first_step;
        Ok(EpochReport { epoch: self.epoch, steps, train: total.evaluation(), elapsed: start.elapsed() })
    }

    /// Finishes the tree and applies the optimizer, in parallel over ranges of the parameters; then the running statistics.
    fn update(&mut self) {
        self.step += 1;
        let Self { workers, moments: [m, v], state, config, network, step, pending, .. } = self;
        pending.collect(workers);
        let (isa, update) = (config.isa, config.optimizer.at_step(config.learning_rate, *step));
        let sum = |range: Range<usize>, g: &mut [T]| {
            tree::sum(isa, &pending.nodes, |i| &pending.values(workers, i)[range.clone()], g);
        };

        let chunk = round_up::<T>(state.params.len().div_ceil(workers.len())).max(BLOCK);
        let chunks =
            state.params.par_chunks_mut(chunk).zip(m.par_chunks_mut(chunk)).zip(v.par_chunks_mut(chunk));
        chunks.with_max_len(1).enumerate().for_each(|(index, ((w, m), v))| {
            let mut g = [T::ZERO; BLOCK];
            for first in (0..w.len()).step_by(BLOCK) {
                let block = first..(first + BLOCK).min(w.len());
                let g = &mut g[..block.len()];
                sum(index * chunk + block.start..index * chunk + block.end, g);
                update.apply(isa, &mut w[block.clone()], g, &mut m[block.clone()], &mut v[block]);
            }
        });

        let first = network.parameter_count();
        for tensor in network.statistics() {
            let mut shares = [T::ZERO; BLOCK];
            for start in tensor.range.clone().step_by(BLOCK) {
                let block = start..(start + BLOCK).min(tensor.range.end);
                let shares = &mut shares[..block.len()];
                sum(first + block.start..first + block.end, shares);
                elementwise::scale(isa, T::from_f64(tensor.retained), &mut state.statistics[block.clone()]);
                elementwise::axpy(
                    isa,
                    T::from_f64(1.0 - tensor.retained),
                    shares,
                    &mut state.statistics[block],
                );
            }
        }
    }
}

/// Runs `work` of every worker on its shards of the job, in parallel.
pub(super) fn run<T: Element>(
    workers: &mut [Worker<T>],
    job: &Job<'_, T>,
    work: impl Fn(&mut Worker<T>, &Job<'_, T>, Range<usize>) + Sync,
) {
    let (count, shards) = (workers.len(), job.shards());
    workers
        .par_iter_mut()
        .with_max_len(1)
        .enumerate()
        .for_each(|(index, worker)| work(worker, job, shards_of(index, count, shards)));
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
        workers[worker].partial.values(index)
    }
}
