//! What all ranks of a job must have in common. A difference would show much later, as other bits or as ranks
//! that wait for ever.
//!
//! Each function takes its plans apart field by field, without `..`: whoever adds an option is asked by the
//! compiler whether ranks must agree on it.

use crate::cli::metric_plan::TargetKind;
use crate::cli::network_plan::NetworkPlan;
use crate::cli::plan::{EvaluatePlan, Execution, RankPlan, TrainPlan};
use crate::cli::profile_plan::ProfilePlan;
use crate::failure::Failure;
use crate::rank::data::Samples;
use crate::rank::resume::share;
use crate::system::count::count;
use isograd_comm::Communicator;
use isograd_datasets::Dataset;
use isograd_model::{Element, Network, State, TrainConfig};
use sha2::{Digest, Sha256};
use std::fmt::Debug;

/// Names and values, in the order in which ranks compare them.
pub(crate) type Agreement = Vec<(&'static str, String)>;

/// What training ranks agree on. `view` are the training samples as the network gets them.
pub(crate) fn of_training<T: Element>(
    plan: &TrainPlan,
    network: &Network<T>,
    config: &TrainConfig<T>,
    samples: &Samples,
    view: &dyn Dataset,
) -> Result<Agreement, Failure> {
    let TrainPlan {
        model,
        source,
        validation_split,
        stratify,
        test_as_validation,
        freeze,
        sync_stats,
        whitening,
        rate_factors,
        augment,
        test_time,
        load,
        evaluate_before,
        execution,
        ranks,
        // Parts of `config`, which ranks compare whole.
        epochs: _,
        steps: _,
        steps_per_epoch,
        batch: _,
        accumulate: _,
        seed: _,
        loss: _,
        label_smoothing: _,
        metrics: _,
        optimizer: _,
        learning_rate: _,
        scale_learning_rate: _,
        schedule: _,
        clip_norm: _,
        ema: _,
        // They change no bit.
        recompute: _,
        threads_per_shard: _,
        // Ranks may read ahead as they can.
        prefetch: _,
        callbacks,
        find_lr,
        checkpoint,
        resume,
        profile,
        // What the plan was made of.
        words: _,
        notes: _,
        // The first rank alone writes files and prints.
        save: _,
        logging: _,
        hash: _,
    } = plan;
    let mut agreement = common::<T>(model, network, view);
    let mut digests = source.digests(samples)?;
    // The first ones are those of the training samples.
    digests[0].1 = format!("{}, {}", count(samples.train.len(), "sample"), digests[0].1);
    agreement.extend(digests);
    let mut row = |name, value: &dyn Debug| agreement.push((name, format!("{value:?}")));
    row("the validation split", validation_split);
    row("whether the split is stratified", stratify);
    row("the samples to validate on", test_as_validation);
    row("the steps of an epoch", steps_per_epoch);
    row("the parameters that are left as they are", freeze);
    row("whether statistics are those of the whole batch", sync_stats);
    row("whether the first layer whitens", whitening);
    row("the factors of learning rates", rate_factors);
    row("the augmentation", augment);
    row("the test-time augmentation", test_time);
    row("evaluation before training", evaluate_before);
    row("whether parameters are loaded", &load.is_some());
    row("the callbacks", callbacks);
    row("the range test", find_lr);
    row("whether checkpoints are written", &checkpoint.is_some());
    row("whether a run is gone on with", &resume.is_some());
    row("the profile", &profile.as_ref().map(ProfilePlan::trace_bytes));
    agreement.extend(of_config(config));
    agreement.extend(of_execution(execution));
    agreement.extend(of_ranks(ranks));
    Ok(agreement)
}

/// What ranks agree on before they get the settings of the run that they go on with.
pub(crate) fn of_resume() -> Result<Agreement, Failure> {
    let version = ("the program's version", env!("CARGO_PKG_VERSION").to_string());
    Ok(vec![version, ("the command", "train --resume".to_string())])
}

/// Checks that this rank and rank 0 have equal values under every name of `agreement`, where they have met
/// before they knew it.
pub(crate) fn check(
    communicator: &mut Communicator,
    agreement: impl FnOnce() -> Result<Agreement, Failure>,
) -> Result<(), Failure> {
    if communicator.world_size() == 1 {
        return Ok(());
    }
    let own = agreement()?;
    let line = |(name, value): &(&str, String)| format!("{name}\0{value}");
    let lines: Vec<String> = own.iter().map(line).collect();
    let mut text = lines.join("\x01").into_bytes();
    share(communicator, &mut text)?;
    let text = String::from_utf8_lossy(&text);
    for (row, (name, own)) in text.split('\x01').zip(&own) {
        let first = row.split_once('\0').map_or(row, |(_, value)| value);
        if first != own {
            let rank = communicator.rank();
            let problem = format!("ranks 0 and {rank} differ in {name}: {first} against {own}");
            communicator.abort(&problem);
            return Err(Failure::Differ { problem });
        }
    }
    Ok(())
}

/// What testing ranks agree on. `view` are the samples as the network gets them.
pub(crate) fn of_test<T: Element>(
    plan: &EvaluatePlan,
    network: &Network<T>,
    test: &dyn Dataset,
    view: &dyn Dataset,
    state: &State<T>,
) -> Result<Agreement, Failure> {
    // `state` is what was loaded; the loss and the metrics are a part of the configuration.
    let EvaluatePlan {
        model,
        source,
        // The test samples tell.
        validation_split: _,
        stratify: _,
        load: _,
        input,
        test_time,
        loss: _,
        per_class: _,
        per_class_file: _,
        execution,
        ranks,
    } = plan;
    let mut agreement = common::<T>(model, network, view);
    agreement.push(("the size and normalisation of samples", format!("{input:?}")));
    agreement.push(("the test-time augmentation", test_time.to_string()));
    let (name, digest) = source.test_digest(test)?;
    agreement.push((name, format!("{}, {digest}", count(test.len(), "sample"))));
    agreement.push(("the parameters", state.params_sha256()));
    agreement.extend(of_config(&plan.config::<T>(test.len(), TargetKind::of(test))));
    agreement.extend(of_execution(execution));
    agreement.extend(of_ranks(ranks));
    Ok(agreement)
}

/// The program, the network and the form of the samples.
fn common<T: Element>(model: &NetworkPlan, network: &Network<T>, samples: &dyn Dataset) -> Agreement {
    let mut digest = Sha256::new_with_prefix(network.summary());
    if let NetworkPlan::File(file) = model {
        // The summary does not show all options.
        digest.update(file.text());
    }
    let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let data = (samples.sample_shape(), samples.num_classes(), samples.normalization());
    vec![
        ("the program's version", env!("CARGO_PKG_VERSION").to_string()),
        ("the model", format!("{} sha256:{digest}", model.name())),
        ("the samples' shape, classes and normalization", format!("{data:?}")),
    ]
}

fn of_config<T>(config: &TrainConfig<T>) -> Agreement {
    let TrainConfig {
        batch_size,
        shard_size,
        // Ranks may differ in it.
        threads_per_shard: _,
        optimizer,
        learning_rate,
        schedule,
        loss,
        metrics,
        seed,
        isa,
        clip_norm,
        ema,
        max_steps,
        max_epochs,
    } = config;
    vec![
        ("the instruction-set level", isa.to_string()),
        ("the shard size", shard_size.to_string()),
        ("the loss", format!("{loss:?}")),
        ("the metrics", format!("{metrics:?}")),
        ("the seed", seed.to_string()),
        ("the global batch", batch_size.to_string()),
        ("the steps", format!("{max_steps:?}")),
        ("the epochs", format!("{max_epochs:?}")),
        ("the optimizer", format!("{optimizer:?}")),
        ("the learning rate", format!("{learning_rate:?}")),
        ("the schedule", format!("{schedule:?}")),
        ("the norm to clip gradients to", format!("{clip_norm:?}")),
        ("the decay of the averages", format!("{ema:?}")),
    ]
}

fn of_execution(execution: &Execution) -> Agreement {
    // Ranks may differ in their threads; shard size and level are parts of the configuration.
    let Execution { dtype, threads: _, shard_size: _, isa: _, conv } = execution;
    vec![("the element type", dtype.to_string()), ("the algorithm of convolutions", conv.to_string())]
}

fn of_ranks(plan: &RankPlan) -> Agreement {
    let RankPlan {
        bucket_bytes,
        shards_per_rank,
        // How ranks reach each other: a mismatch is an error when they meet.
        key_file: _,
        transport: _,
        encrypt: _,
        host: _,
        // These may differ from rank to rank.
        timeout: _,
        shared_memory: _,
        overlap: _,
        // Each rank checks it against the number of ranks.
        parallel: _,
    } = plan;
    vec![
        ("the bucket bytes", bucket_bytes.to_string()),
        ("the shards per rank", format!("{shards_per_rank:?}")),
    ]
}
