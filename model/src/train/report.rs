//! What training reports: means over samples, per step, epoch and evaluation.

use super::ranks::Exchange;
use super::worker::{Job, Worker};
use crate::error::Error;
use crate::metric::Metric;
use isograd_comm::tree;
use isograd_kernels::Element;
use std::ops::Range;
use std::time::Duration;

/// Means over samples.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// Number of samples.
    pub samples: usize,
    /// Mean loss.
    pub loss: f64,
    /// Mean of each metric, in the order of [`TrainConfig::metrics`](super::TrainConfig::metrics).
    pub metrics: Vec<f64>,
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
    /// Time from the first step's start to the last step's end.
    pub elapsed: Duration,
}

impl Evaluation {
    /// Means over `samples` samples; `metrics` in the order of
    /// [`TrainConfig::metrics`](super::TrainConfig::metrics).
    pub fn new(samples: usize, loss: f64, metrics: Vec<f64>) -> Self {
        Self { samples, loss, metrics }
    }
}

impl EpochReport {
    /// A report of epoch `epoch`, counted from 1, with `steps` steps in the time `elapsed`.
    pub fn new(epoch: u32, steps: u64, train: Evaluation, elapsed: Duration) -> Self {
        Self { epoch, steps, train, elapsed }
    }

    /// Trained samples per second.
    pub fn samples_per_s(&self) -> f64 {
        self.train.samples as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
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
    /// Mean loss of the epoch so far.
    pub loss: f64,
    /// Mean metrics of the epoch so far.
    pub metrics: &'a [f64],
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Time since the epoch's first step began.
    pub elapsed: Duration,
}

/// Sums over samples: the loss first, then each metric.
#[derive(Debug, Clone)]
pub(super) struct Sums {
    pub(super) samples: usize,
    pub(super) values: Vec<f64>,
}

impl Sums {
    /// Room for the loss and `metrics`.
    pub(super) fn new(metrics: &[Metric]) -> Self {
        Self { samples: 0, values: vec![0.0; metrics.len() + 1] }
    }

    /// Adds the sums of `samples` more samples.
    pub(super) fn add(&mut self, samples: usize, values: &[f64]) {
        self.samples += samples;
        for (sum, value) in self.values.iter_mut().zip(values) {
            *sum += value;
        }
    }

    /// Overwrites `means` with the mean loss and metrics; zeros if there are no samples.
    pub(super) fn means(&self, means: &mut [f64]) {
        for (mean, sum) in means.iter_mut().zip(&self.values) {
            *mean = sum / self.samples.max(1) as f64;
        }
    }

    pub(super) fn evaluation(&self) -> Evaluation {
        let mut means = vec![0.0; self.values.len()];
        self.means(&mut means);
        Evaluation { samples: self.samples, loss: means[0], metrics: means[1..].to_vec() }
    }
}

/// Adds up the shards' loss and metric sums in the tree that their gradients take.
#[derive(Debug, Default)]
pub(super) struct ShardSums {
    values: Vec<f64>,
    shards: Vec<Range<usize>>,
}

impl ShardSums {
    /// Overwrites `sums` with the sums over all shards of the pass that `workers`, and those of the other
    /// ranks, have just done. Returns whether any rank wants to stop; this rank does if `wants` is true.
    pub(super) fn collect<T: Element>(
        &mut self,
        workers: &[Worker<T>],
        exchange: Option<&mut Exchange<T>>,
        job: &Job<'_, T>,
        sums: &mut Sums,
        wants: bool,
    ) -> Result<bool, Error> {
        let own = workers.iter().flat_map(|worker| worker.sums.iter().copied());
        let (shards, width) = (job.shards(), sums.values.len());
        self.values.clear();
        let stop = match exchange {
            Some(exchange) => {
                let (values, stop) = exchange.sums_of_all(shards, width, own, wants)?;
                self.values.extend_from_slice(values);
                stop
            }
            None => {
                self.values.extend(own);
                wants
            }
        };
        self.shards.clear();
        self.shards.extend((0..shards).map(|shard| shard..shard + 1));
        tree::sum(&self.shards, |i| &self.values[i * width..][..width], &mut sums.values);
        sums.samples = job.samples();
        Ok(stop)
    }
}
