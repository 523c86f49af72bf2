//! What the loggers learn of a run at its start and at its end.

use crate::cli::callback_plan::CallbackPlan;
use crate::cli::metric_plan::MetricPlan;
use crate::cli::plan::TrainPlan;
use crate::failure::Failure;
use crate::loggers::facts;
use crate::rank::identity::RankIdentity;
use crate::rank::settings_table;
use crate::system::cores::CoreLimits;
use crate::system::cpu_model::cpu_model;
use isograd_comm::Communicator;
use isograd_datasets::Dataset;
use isograd_model::logger::{Record, RunEnd, RunStart};
use isograd_model::{Element, Trainer};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most bytes of a host's name that are told to other ranks.
const HOST_BYTES: usize = 64;

/// The names of all hosts, in the order of ranks. All ranks must call it.
pub(crate) fn hosts(communicator: &mut Communicator) -> Result<Vec<String>, Failure> {
    let own = facts::host();
    if communicator.ranks_per_host().len() == 1 {
        return Ok(vec![own]);
    }
    // Each rank adds its name where the others add zeros.
    let mut names = vec![0.0f32; HOST_BYTES * communicator.world_size()];
    let place = HOST_BYTES * communicator.rank();
    for (number, byte) in names[place..place + HOST_BYTES].iter_mut().zip(own.bytes()) {
        *number = f32::from(byte);
    }
    communicator.allreduce(&mut names)?;
    let name = |bytes: &[f32]| {
        let bytes: Vec<u8> = bytes.iter().map(|number| *number as u8).take_while(|byte| *byte > 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let mut names: Vec<String> = names.chunks(HOST_BYTES).map(name).collect();
    names.dedup();
    Ok(names)
}

/// What is known of a run when it starts.
pub(crate) fn describe<T: Element>(
    plan: &TrainPlan,
    identity: &RankIdentity,
    trainer: &Trainer<T>,
    [train, validation]: [&dyn Dataset; 2],
    metrics: &[MetricPlan],
    hosts: Vec<String>,
) -> RunStart {
    let (network, config) = (trainer.network(), trainer.config());
    let (samples, model) = (train.len(), plan.model.name());
    let rows = settings_table::rows::<T>(plan, identity, config, metrics, [samples, validation.len()]);
    let class_names = train.class_names().to_vec();
    RunStart {
        run: plan.logging.name(&model),
        version: env!("CARGO_PKG_VERSION").to_string(),
        isa: config.isa.to_string(),
        cpu: cpu_model(),
        cores: CoreLimits::of_this_process().online,
        threads: identity.threads(&plan.execution),
        ranks: identity.world,
        hosts,
        model,
        parameters: network.parameter_count(),
        layers: network.nodes(),
        dataset: plan.source.name(),
        shape: train.sample_shape(),
        classes: train.num_classes(),
        class_names,
        train_samples: samples,
        validation_samples: validation.len(),
        test_samples: None,
        epochs: plan.epochs,
        steps_per_epoch: samples.div_ceil(config.batch_size.max(1)) as u64,
        batch: config.batch_size,
        settings: rows.into_iter().map(|(name, value)| (name.to_string(), value)).collect(),
        epoch: trainer.epochs(),
        step: trainer.steps(),
    }
}

/// The times of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) start: Instant,
    /// Of the training steps alone.
    pub(crate) training: Duration,
    /// Samples of these steps.
    pub(crate) samples: usize,
}

/// Whether a run that has ended well has only paused.
pub(crate) fn is_paused<T: Element>(plan: &TrainPlan, trainer: &Trainer<T>) -> bool {
    !trainer.is_finished() && plan.pause_after().is_some_and(|last| trainer.epochs() >= last)
}

/// The record of the end of a run, which `failure` has ended if there is one.
pub(crate) fn end<T: Element>(
    plan: &TrainPlan,
    trainer: &Trainer<T>,
    spent: Spent,
    hash: Option<String>,
    failure: Option<&Failure>,
) -> Record {
    let reason = match failure {
        Some(Failure::Stopped { .. }) => "stopped",
        Some(Failure::Diverged { .. }) => "diverged",
        Some(_) => "failed",
        None if trainer.is_finished() => "finished",
        None if is_paused(plan, trainer) => "paused",
        None if plan.callbacks.iter().any(|one| matches!(one, CallbackPlan::EarlyStopping { .. })) => {
            "early stopping"
        }
        None => "a callback",
    };
    let seconds = spent.training.as_secs_f64();
    Record::End(Arc::new(RunEnd {
        reason: reason.to_string(),
        problem: failure.filter(|_| reason != "stopped").map(Failure::to_string),
        step: trainer.steps(),
        seconds: spent.start.elapsed().as_secs_f64(),
        samples_per_s: spent.samples as f64 / seconds.max(f64::MIN_POSITIVE),
        peak_memory_bytes: facts::peak_memory_bytes(),
        hash,
    }))
}
