//! What all ranks of a job must have in common: a difference would show as other bits, or as a hang, much later.

use crate::cli::plan::{EvaluatePlan, TrainPlan};
use crate::rank::data::TestSet;
use isograd_datasets::Dataset;
use isograd_model::{Element, Network, State, TrainConfig};
use sha2::{Digest, Sha256};
use std::fmt::Debug;

/// Names and values, in the order in which differences are looked for.
type Agreement = Vec<(&'static str, String)>;

/// What the samples are called, of which no rank may have others: by the options that choose them.
const TRAIN: &str = "the training samples (--dataset, --dataset-train-path)";
const TEST: &str = "the test samples (--dataset, --dataset-train-path)";

/// What training ranks agree on.
pub(crate) fn of_training<T: Element>(
    plan: &TrainPlan,
    network: &Network<T>,
    config: &TrainConfig,
    samples: &dyn Dataset,
    test: &TestSet,
) -> Agreement {
    let mut agreement = common(plan.model, network, config, samples);
    let [train, test] = plan.source.digests(samples, test);
    agreement.push((TRAIN, format!("{} samples, sha256:{train}", samples.len())));
    agreement.push((TEST, format!("sha256:{test}")));
    let mut row = |name, value: &dyn Debug| agreement.push((name, format!("{value:?}")));
    row("the seed", &config.seed);
    row("the global batch", &config.batch_size);
    row("the epochs", &plan.epochs);
    row("the steps", &config.max_steps);
    row("the validation split", &plan.validation_split);
    row("the optimizer", &config.optimizer);
    row("the learning rate", &config.learning_rate);
    row("the norm to clip gradients to", &config.clip_norm);
    row("the bucket bytes", &plan.ranks.bucket_bytes);
    row("the shards per rank", &plan.ranks.shards_per_rank);
    row("evaluation before training", &plan.evaluate_before);
    row("whether parameters are loaded", &plan.load.is_some());
    agreement
}

/// What testing ranks agree on.
pub(crate) fn of_test<T: Element>(
    plan: &EvaluatePlan,
    network: &Network<T>,
    test: &dyn Dataset,
    state: &State<T>,
) -> Agreement {
    let mut agreement = common(plan.model, network, &plan.config(test.len()), test);
    agreement.push((TEST, format!("{} samples, sha256:{}", test.len(), plan.source.test_digest(test))));
    agreement.push(("the parameters", state.params_sha256()));
    agreement.push(("the shards per rank", format!("{:?}", plan.ranks.shards_per_rank)));
    agreement
}

fn common<T: Element>(
    model: &str,
    network: &Network<T>,
    config: &TrainConfig,
    samples: &dyn Dataset,
) -> Agreement {
    let digest = Sha256::digest(network.summary());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let data = (samples.sample_shape(), samples.num_classes(), samples.normalization());
    vec![
        ("the program's version", env!("CARGO_PKG_VERSION").to_string()),
        ("the model", format!("{model} sha256:{digest}")),
        ("the instruction-set level", config.isa.to_string()),
        ("the element type", <T as isograd_kernels::Element>::NAME.to_string()),
        ("the shard size", config.shard_size.to_string()),
        ("the loss", config.loss.to_string()),
        ("the metrics", format!("{:?}", config.metrics)),
        ("the samples' shape, classes and normalization", format!("{data:?}")),
    ]
}
