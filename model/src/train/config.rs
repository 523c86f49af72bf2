//! The configuration of a training run.

use crate::error::Error;
use crate::loss::{CategoricalCrossEntropy, Loss};
use crate::metric::{CategoricalAccuracy, Metric};
use crate::optimizer::{Adam, Optimizer};
use crate::schedule::{Constant, Schedule};
use isograd_kernels::{Element, Isa};
use std::sync::Arc;

/// The parameters of training. Together with the network and the data they fix every bit of the result.
///
/// `T` is the element type of the network. Later versions may have more fields: fill in those that you do not
/// set from `TrainConfig::default()`.
#[derive(Debug, Clone)]
pub struct TrainConfig<T = f32> {
    /// Samples of a step, over all ranks. The last step of an epoch has those that are left.
    pub batch_size: usize,
    /// Samples of a shard. It is part of the arithmetic, unlike the number of threads. The last shard of a
    /// batch has the samples that are left. If a layer needs more samples than these (see
    /// [`LayerPlan::require_samples`](crate::layer::LayerPlan::require_samples)), the last two shards have
    /// half of theirs each.
    pub shard_size: usize,
    /// The fewest threads that work on a shard together, or all of them if they are fewer. With more than
    /// one, fewer shards are in memory at a time, and a step takes a little longer. It changes no bit. Where
    /// a step has fewer shards than threads, more may work on each. Networks whose layers share sums over all
    /// shards, all of which are then in memory, take no notice of it.
    pub threads_per_shard: usize,
    /// Optimizer: one of [`optimizer`](crate::optimizer), or your own.
    pub optimizer: Arc<dyn Optimizer<T>>,
    /// The base learning rate, of which the schedule makes that of each step.
    pub learning_rate: f64,
    /// The schedule of the learning rate: one of [`schedule`](crate::schedule), or your own.
    pub schedule: Arc<dyn Schedule>,
    /// The loss that training minimises: one of [`loss`](crate::loss), or your own.
    pub loss: Arc<dyn Loss<T>>,
    /// Metrics that are reported beside the loss: those of [`metric`](crate::metric), or your own.
    pub metrics: Vec<Arc<dyn Metric<T>>>,
    /// Seed of all randomness.
    pub seed: u64,
    /// Instruction-set level.
    pub isa: Isa,
    /// The largest norm (the root of the sum of the squares, over all parameters) that a step's gradient may
    /// have. A gradient with a larger norm is scaled down to it.
    pub clip_norm: Option<f64>,
    /// The share of the old average, in [0, 1), that a step keeps in exponential moving averages of the
    /// parameters and running statistics. With such averages, evaluation uses them; see
    /// [`Trainer::averaged_state`](super::Trainer::averaged_state).
    pub ema: Option<f64>,
    /// The number of steps after which training ends, even in the middle of an epoch.
    pub max_steps: Option<u64>,
    /// The number of epochs after which training ends. Schedules over the whole run need it, or
    /// [`max_steps`](Self::max_steps).
    pub max_epochs: Option<u32>,
}

impl<T: Element> Default for TrainConfig<T> {
    /// Batches of 64 in shards of 32, a thread for each shard, Adam at a constant 0.001, categorical
    /// cross-entropy and accuracy, seed 0, the CPU's best level.
    fn default() -> Self {
        Self {
            batch_size: 64,
            shard_size: 32,
            threads_per_shard: 1,
            optimizer: Arc::new(Adam::default()),
            learning_rate: 0.001,
            schedule: Arc::new(Constant),
            loss: Arc::new(CategoricalCrossEntropy::new()),
            metrics: vec![Arc::new(CategoricalAccuracy)],
            seed: 0,
            isa: Isa::best(),
            clip_norm: None,
            ema: None,
            max_steps: None,
            max_epochs: None,
        }
    }
}

impl<T> TrainConfig<T> {
    /// Samples of a full shard: a batch smaller than the shard size is one shard, in evaluation as in
    /// training.
    pub(crate) fn shard_len(&self) -> usize {
        self.shard_size.min(self.batch_size)
    }

    /// Checks every number against its range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let counts = [
            ("the batch size", self.batch_size),
            ("the shard size", self.shard_size),
            ("the threads of a shard", self.threads_per_shard),
        ];
        for (name, value) in counts {
            if value == 0 {
                return Err(Error::OutOfRange { name, expected: "at least 1", value: value.to_string() });
            }
        }
        check_learning_rate(self.learning_rate)?;
        if let Some(norm) = self.clip_norm.filter(|norm| !(*norm > 0.0 && norm.is_finite())) {
            let (name, expected) = ("the norm to clip gradients to", "a number above 0");
            return Err(Error::OutOfRange { name, expected, value: norm.to_string() });
        }
        if let Some(decay) = self.ema.filter(|decay| !(0.0..1.0).contains(decay)) {
            let (name, expected) = ("the decay of the averages", "at least 0 and below 1");
            return Err(Error::OutOfRange { name, expected, value: decay.to_string() });
        }
        self.optimizer.check()?;
        self.schedule.check()?;
        if self.schedule.needs_end() && self.max_steps.is_none() && self.max_epochs.is_none() {
            return Err(Error::NoEnd);
        }
        Ok(())
    }

    /// All steps of the run, if it is known when it ends.
    pub(super) fn total_steps(&self, steps_per_epoch: u64) -> Option<u64> {
        let of_epochs = self.max_epochs.map(|epochs| steps_per_epoch.saturating_mul(epochs.into()));
        [self.max_steps, of_epochs].into_iter().flatten().min()
    }
}

/// Checks a base learning rate.
pub(super) fn check_learning_rate(rate: f64) -> Result<(), Error> {
    match rate >= 0.0 && rate.is_finite() {
        true => Ok(()),
        false => {
            let (name, expected) = ("the learning rate", "a number of at least 0");
            Err(Error::OutOfRange { name, expected, value: rate.to_string() })
        }
    }
}
