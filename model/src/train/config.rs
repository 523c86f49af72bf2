//! The configuration of a training run.

use crate::error::Error;
use crate::loss::Loss;
use crate::metric::Metric;
use crate::optimizer::Optimizer;
use isograd_kernels::Isa;

/// The parameters of training. Together with the network and the data they fix every bit of the result.
///
/// Later versions may have more fields: fill in those that you do not set from `TrainConfig::default()`.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainConfig {
    /// Samples of a step, over all ranks. The last step of an epoch has those that are left.
    pub batch_size: usize,
    /// Samples of a shard, the unit of work of a thread. It is part of the arithmetic, unlike the number of
    /// threads. The last shard of a batch has the samples that are left. If a layer needs more samples than
    /// these (see [`LayerPlan::require_samples`](crate::layer::LayerPlan::require_samples)), the last two
    /// shards have half of theirs each.
    pub shard_size: usize,
    /// Optimizer.
    pub optimizer: Optimizer,
    /// Learning rate.
    pub learning_rate: f64,
    /// The loss that training minimises.
    pub loss: Loss,
    /// Metrics that are reported beside the loss.
    pub metrics: Vec<Metric>,
    /// Seed of all randomness.
    pub seed: u64,
    /// Instruction-set level.
    pub isa: Isa,
    /// The largest norm (the root of the sum of the squares, over all parameters) that a step's gradient may
    /// have. A gradient with a larger norm is scaled down to it.
    pub clip_norm: Option<f64>,
    /// The number of steps after which training ends, even in the middle of an epoch.
    pub max_steps: Option<u64>,
}

impl Default for TrainConfig {
    /// Batches of 64 in shards of 32, Adam at 0.001, categorical cross-entropy and accuracy, seed 0, the
    /// CPU's best level.
    fn default() -> Self {
        let optimizer = Optimizer::default();
        Self {
            batch_size: 64,
            shard_size: 32,
            optimizer,
            learning_rate: optimizer.default_learning_rate(),
            loss: Loss::default(),
            metrics: vec![Metric::CategoricalAccuracy],
            seed: 0,
            isa: Isa::best(),
            clip_norm: None,
            max_steps: None,
        }
    }
}

impl TrainConfig {
    /// Samples of a full shard: a batch smaller than the shard size is one shard, in evaluation as in
    /// training.
    pub(crate) fn shard_len(&self) -> usize {
        self.shard_size.min(self.batch_size)
    }

    /// Checks every number against its range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (name, value) in [("the batch size", self.batch_size), ("the shard size", self.shard_size)] {
            if value == 0 {
                return Err(Error::OutOfRange { name, expected: "at least 1", value: value.to_string() });
            }
        }
        if !(self.learning_rate >= 0.0 && self.learning_rate.is_finite()) {
            let value = self.learning_rate.to_string();
            return Err(Error::OutOfRange {
                name: "the learning rate",
                expected: "a number of at least 0",
                value,
            });
        }
        if let Some(norm) = self.clip_norm.filter(|norm| !(*norm > 0.0 && norm.is_finite())) {
            let (name, expected) = ("the norm to clip gradients to", "a number above 0");
            return Err(Error::OutOfRange { name, expected, value: norm.to_string() });
        }
        self.optimizer.check()
    }
}
