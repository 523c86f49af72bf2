//! The settings in force, as a table of names and values.
//!
//! The function takes plan and configuration apart field by field, without `..`: whoever adds an option is
//! asked by the compiler whether the table shows it.

use crate::cli::augment_plan::PrefetchPlan;
use crate::cli::callback_plan::CallbackPlan;
use crate::cli::checkpoint_plan::CheckpointPlan;
use crate::cli::metric_plan::MetricPlan;
use crate::cli::plan::TrainPlan;
use crate::cli::whiten_plan;
use crate::rank::identity::RankIdentity;
use crate::system::count::count;
use crate::system::escape::one_line;
use isograd_model::{Element, TestTime, TrainConfig};

/// Names and values, under the names that the options have. `samples` are those of training and validation.
pub(crate) fn rows<T: Element>(
    plan: &TrainPlan,
    identity: &RankIdentity,
    config: &TrainConfig<T>,
    metrics: &[MetricPlan],
    samples: [usize; 2],
) -> Vec<(&'static str, String)> {
    let TrainPlan {
        model,
        source,
        validation_split: _,
        stratify,
        test_as_validation,
        freeze,
        sync_stats,
        recompute,
        threads_per_shard,
        whitening,
        augment,
        test_time,
        prefetch,
        epochs,
        steps,
        steps_per_epoch,
        batch: _,
        accumulate,
        seed: _,
        loss: _,
        label_smoothing,
        metrics: _,
        optimizer,
        learning_rate,
        scale_learning_rate,
        rate_factors,
        schedule,
        clip_norm,
        ema,
        callbacks,
        find_lr: _,
        checkpoint,
        resume,
        words: _,
        notes: _,
        execution,
        ranks: _,
        load,
        save,
        logging,
        evaluate_before: _,
        hash: _,
        profile: _,
    } = plan;
    let mut rows = vec![("model", model.argument())];
    rows.extend(source.rows());
    rows.extend(augment.rows());
    if *test_time != TestTime::Plain {
        rows.push(("tta", test_time.to_string()));
    }
    if let Some(PrefetchPlan { samples, threads }) = prefetch {
        let (samples, threads) = (count(*samples as usize, "sample"), count(*threads, "thread"));
        rows.push(("prefetch", format!("{samples} by {threads}")));
    }
    rows.extend([
        ("training samples", samples[0].to_string()),
        ("validation samples", samples[1].to_string()),
        ("epochs", epochs.to_string()),
    ]);
    rows.extend(freeze.iter().map(|pattern| ("freeze", pattern.clone())));
    if *stratify {
        rows.push(("stratify", "true".to_string()));
    }
    if *test_as_validation {
        rows.push(("test-as-validation", "true".to_string()));
    }
    rows.extend(steps_per_epoch.map(|steps| ("steps-per-epoch", steps.to_string())));
    if *sync_stats {
        rows.push(("sync-stats", "true".to_string()));
    }
    rows.extend(whitening.iter().flat_map(whiten_plan::rows));
    if *recompute {
        rows.push(("recompute", "true".to_string()));
    }
    if *threads_per_shard > 1 {
        rows.push(("threads-per-shard", threads_per_shard.to_string()));
    }
    rows.extend(steps.map(|steps| ("steps", steps.to_string())));
    rows.push(("global-batch-size", plan.global_batch_size(samples[0], identity.world).to_string()));
    if *accumulate > 1 {
        rows.push(("accumulate", accumulate.to_string()));
        rows.push(("samples per step", config.batch_size.to_string()));
    }
    rows.extend(of_config(config, metrics));
    if *label_smoothing > 0.0 {
        rows.push(("label-smoothing", format!("{label_smoothing:?}")));
    }
    let rate = config.learning_rate;
    let rate = match scale_learning_rate {
        true => format!("{rate:?} ({learning_rate:?} for each rank)"),
        false => format!("{rate:?}"),
    };
    rows.push(("learning-rate", rate));
    rows.extend(rate_factors.iter().map(|factor| ("rate-factor", factor.to_string())));
    rows.extend(schedule.rows(plan.warm_up_factor(identity.world)));
    rows.extend(optimizer.rows());
    for (name, value) in [("clip-norm", clip_norm), ("ema", ema)] {
        rows.extend(value.map(|value| (name, format!("{value:?}"))));
    }
    rows.extend(callbacks.iter().map(CallbackPlan::row));
    rows.extend([
        ("ranks", identity.world.to_string()),
        ("threads", identity.describe_threads(execution)),
        ("dtype", execution.dtype.to_string()),
        ("isa", config.isa.to_string()),
        ("conv", execution.conv.to_string()),
    ]);
    let loaded =
        load.as_ref().map(|path| format!("{} (parameters alone: the optimizer starts cold)", path.display()));
    rows.extend(loaded.map(|loaded| ("load", loaded)));
    rows.extend(resume.as_ref().map(|path| ("resume", path.display().to_string())));
    if let Some(CheckpointPlan { folder, every, keep, best, pause_after }) = checkpoint {
        rows.push(("checkpoint", folder.display().to_string()));
        rows.push(("checkpoint-every", every.to_string()));
        rows.push(("keep", format!("{keep} and the best in {best}")));
        rows.extend(pause_after.map(|epoch| ("pause-after", epoch.to_string())));
    }
    rows.extend(save.as_ref().map(|path| ("save", path.display().to_string())));
    rows.extend(logging.rows());
    rows
}

/// What the trainer is configured with, and the metrics that are reported.
fn of_config<T>(config: &TrainConfig<T>, metrics: &[MetricPlan]) -> Vec<(&'static str, String)> {
    let TrainConfig {
        // Rows beside those of the plan.
        batch_size: _,
        threads_per_shard: _,
        isa: _,
        optimizer: _,
        learning_rate: _,
        schedule: _,
        clip_norm: _,
        ema: _,
        max_steps: _,
        max_epochs: _,
        shard_size,
        loss,
        // With the accuracy, which is always measured.
        metrics: _,
        seed,
    } = config;
    vec![
        ("shard-size", shard_size.to_string()),
        ("seed", seed.to_string()),
        ("loss", loss.name().to_string()),
        ("metrics", metrics.iter().map(MetricPlan::to_string).collect::<Vec<_>>().join(",")),
    ]
}

/// One `name: value` a line, values below each other.
pub(crate) fn aligned(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len() + 1).max().unwrap_or(0);
    let row =
        |(name, value): &(&str, String)| format!("{:<width$} {}\n", format!("{name}:"), one_line(value));
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_below_each_other() {
        let rows = [("seed", "7".to_string()), ("batch-size", "64".to_string())];
        assert_eq!(aligned(&rows), "seed:       7\nbatch-size: 64\n");
        let forged = [("save", "a\nTime: 1.00 s".to_string())];
        assert_eq!(aligned(&forged), "save: a\\nTime: 1.00 s\n");
    }
}
