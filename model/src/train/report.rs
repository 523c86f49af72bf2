//! What training reports: means over samples, per step, epoch and evaluation.

use super::NonFinite;
use super::ranks::Exchange;
use super::worker::{Job, Worker};
use crate::error::Error;
use crate::memory;
use crate::metric::Metric;
use isograd_comm::tree;
use isograd_kernels::Element;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Means over samples.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// Number of samples.
    pub samples: usize,
    /// Mean loss.
    pub loss: f64,
    /// Each metric, in the order of [`TrainConfig::metrics`](super::TrainConfig::metrics).
    pub metrics: Vec<f64>,
    /// The sums over all samples that each metric is made of, as the matrix of a
    /// [`ConfusionMatrix`](crate::metric::ConfusionMatrix).
    pub sums: Vec<Vec<f64>>,
}

/// One epoch of training. Loss and metrics are those of each batch before its step.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EpochReport {
    /// The epoch, from 1.
    pub epoch: u32,
    /// Steps done in it.
    pub steps: u64,
    /// Means over the samples of the epoch.
    pub train: Evaluation,
    /// Time from the first step's start to the last step's end; since the [resume](super::Trainer::restore)
    /// of an epoch that was interrupted.
    pub elapsed: Duration,
    /// Samples that were done before the interruption of the epoch, if there was one.
    pub resumed_at: usize,
}

impl Evaluation {
    /// Means over `samples` samples; `metrics` in the order of
    /// [`TrainConfig::metrics`](super::TrainConfig::metrics). It has no [`sums`](Self::sums).
    pub fn new(samples: usize, loss: f64, metrics: Vec<f64>) -> Self {
        Self { samples, loss, metrics, sums: Vec::new() }
    }
}

impl EpochReport {
    /// A report of epoch `epoch`, counted from 1, with `steps` steps in the time `elapsed`.
    pub fn new(epoch: u32, steps: u64, train: Evaluation, elapsed: Duration) -> Self {
        Self { epoch, steps, train, elapsed, resumed_at: 0 }
    }

    /// Trained samples per second.
    pub fn samples_per_s(&self) -> f64 {
        (self.train.samples - self.resumed_at) as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// The state of an epoch after a step.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The epoch, from 1.
    pub epoch: u32,
    /// Samples of the epoch that are done.
    pub samples: usize,
    /// All samples of the epoch.
    pub epoch_samples: usize,
    /// Samples that were done before the interruption of the epoch, if there was one.
    pub resumed_at: usize,
    /// Mean loss of the epoch so far.
    pub loss: f64,
    /// Mean loss of the step's samples.
    pub step_loss: f64,
    /// Metrics of the epoch so far.
    pub metrics: &'a [f64],
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Time since the epoch's first step began, or the first one after an interruption.
    pub elapsed: Duration,
}

/// Where the numbers that each metric adds up lie among the sums of a shard: behind the loss.
#[derive(Debug)]
pub(super) struct SumLayout {
    ranges: Vec<Range<usize>>,
}

impl SumLayout {
    /// The layout for `metrics` of `outputs` outputs.
    pub(super) fn new<T>(metrics: &[Arc<dyn Metric<T>>], outputs: usize) -> Self {
        let mut end = 1usize;
        let range = |metric: &Arc<dyn Metric<T>>| {
            let start = end;
            end = end.saturating_add(metric.width(outputs));
            start..end
        };
        Self { ranges: metrics.iter().map(range).collect() }
    }

    /// The number of sums of a shard.
    pub(super) fn width(&self) -> usize {
        self.ranges.last().map_or(1, |last| last.end)
    }

    /// The sums of metric `index`.
    pub(super) fn range(&self, index: usize) -> Range<usize> {
        self.ranges[index].clone()
    }

    /// Checks that there is memory for the sums of `shards` shards, twice: each worker's, and all together.
    pub(super) fn check_memory(&self, shards: usize) -> Result<(), Error> {
        let bytes = 2 * self.width() as u128 * shards as u128 * size_of::<f64>() as u128;
        memory::check(|| format!("the metrics of {shards} shards"), bytes)
    }
}

/// Sums over samples, as a [`SumLayout`] places them.
#[derive(Debug, Clone)]
pub(super) struct Sums {
    pub(super) samples: usize,
    pub(super) values: Vec<f64>,
}

impl Sums {
    /// Room for the sums of `layout`.
    pub(super) fn new(layout: &SumLayout) -> Self {
        Self { samples: 0, values: vec![0.0; layout.width()] }
    }

    /// Empties the sums.
    pub(super) fn clear(&mut self) {
        self.samples = 0;
        self.values.fill(0.0);
    }

    /// Adds the sums of `samples` more samples.
    pub(super) fn add(&mut self, samples: usize, values: &[f64]) {
        self.samples += samples;
        for (sum, value) in self.values.iter_mut().zip(values) {
            *sum += value;
        }
    }

    /// The mean loss; 0 if there are no samples.
    pub(super) fn loss(&self) -> f64 {
        self.values[0] / self.samples.max(1) as f64
    }

    /// Overwrites `values` with the `metrics`.
    ///
    /// # Errors
    ///
    /// When one is NaN.
    pub(super) fn metrics<T>(
        &self,
        metrics: &[Arc<dyn Metric<T>>],
        layout: &SumLayout,
        values: &mut [f64],
    ) -> Result<(), NonFinite> {
        let samples = self.samples.max(1);
        for (index, (metric, value)) in metrics.iter().zip(values).enumerate() {
            *value = metric.finish(&self.values[layout.range(index)], samples);
            if value.is_nan() {
                return Err(NonFinite::Metric { name: metric.name().into_owned(), samples });
            }
        }
        Ok(())
    }

    pub(super) fn evaluation<T>(
        &self,
        metrics: &[Arc<dyn Metric<T>>],
        layout: &SumLayout,
    ) -> Result<Evaluation, NonFinite> {
        let mut values = vec![0.0; metrics.len()];
        self.metrics(metrics, layout, &mut values)?;
        let sums = (0..metrics.len()).map(|index| self.values[layout.range(index)].to_vec()).collect();
        Ok(Evaluation { samples: self.samples, loss: self.loss(), metrics: values, sums })
    }
}

/// What a rank tells the others beside its sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flags {
    /// Training is to end after this step.
    pub(super) stop: bool,
    /// A sample could not be read: the sums have no meaning.
    pub(super) failed: bool,
}

/// Adds up numbers of the shards, such as their loss and metric sums, in the tree that their gradients take.
#[derive(Debug, Default)]
pub(super) struct ShardSums {
    values: Vec<f64>,
    shards: Vec<Range<usize>>,
}

impl ShardSums {
    /// Overwrites `sums` with the sums over all shards of the pass that `workers`, and those of the other
    /// ranks, have just done. Returns what is true of any rank, where `own_flags` is true of this one.
    pub(super) fn collect<T: Element>(
        &mut self,
        workers: &[Worker<T>],
        exchange: Option<&mut Exchange<T>>,
        job: &Job<'_, T>,
        sums: &mut Sums,
        own_flags: Flags,
    ) -> Result<Flags, Error> {
        sums.samples = job.samples();
        let own = workers.iter().flat_map(|worker| worker.sums.iter().copied());
        self.total(own, exchange, job.shards(), &mut sums.values, own_flags)
    }

    /// Overwrites `totals` with the sums over `shards` shards of as many numbers each as there are totals;
    /// `own` are those of this rank's shards. Returns as [`collect`](Self::collect) does.
    pub(super) fn total<T: Element>(
        &mut self,
        own: impl Iterator<Item = f64>,
        exchange: Option<&mut Exchange<T>>,
        shards: usize,
        totals: &mut [f64],
        own_flags: Flags,
    ) -> Result<Flags, Error> {
        let width = totals.len();
        self.values.clear();
        let flags = match exchange {
            Some(exchange) => {
                let (values, flags) = exchange.sums_of_all(shards, width, own, own_flags)?;
                self.values.extend_from_slice(values);
                flags
            }
            None => {
                self.values.extend(own);
                own_flags
            }
        };
        self.shards.clear();
        self.shards.extend((0..shards).map(|shard| shard..shard + 1));
        tree::sum(&self.shards, |i| &self.values[i * width..][..width], totals);
        Ok(flags)
    }
}
