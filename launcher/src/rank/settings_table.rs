//! The settings in force, as a table of names and values.
//!
//! The function takes plan and configuration apart field by field, without `..`: whoever adds an option is
//! asked by the compiler whether the table shows it.

use crate::cli::plan::{Source, TrainPlan};
use crate::rank::identity::RankIdentity;
use crate::system::escape::one_line;
use isograd_model::{
    AdamParameters, Element, Metric, Optimizer, RmsPropParameters, SgdParameters, TrainConfig,
};
use std::fmt::Debug;

/// One `name: value` a line, values below each other, under the names that the options have. `samples` are
/// those of training and validation.
pub(crate) fn list<T: Element>(
    plan: &TrainPlan,
    identity: &RankIdentity,
    config: &TrainConfig,
    samples: [usize; 2],
) -> String {
    let TrainPlan {
        model,
        source,
        validation_split: _,
        epochs,
        steps,
        batch: _,
        accumulate,
        seed: _,
        loss: _,
        metrics,
        optimizer: _,
        learning_rate: _,
        clip_norm: _,
        execution,
        ranks: _,
        load,
        save,
        history,
        evaluate_before: _,
        hash: _,
    } = plan;
    let mut rows = vec![("model", model.to_string()), ("dataset", source.name().to_string())];
    if let Source::Folder { folder, num_classes, .. } = source {
        rows.push(("dataset-train-path", folder.display().to_string()));
        rows.push(("classes", num_classes.to_string()));
    }
    rows.extend([
        ("training samples", samples[0].to_string()),
        ("validation samples", samples[1].to_string()),
        ("epochs", epochs.to_string()),
    ]);
    rows.extend(steps.map(|steps| ("steps", steps.to_string())));
    rows.push(("global-batch-size", plan.global_batch_size(samples[0], identity.world).to_string()));
    if *accumulate > 1 {
        rows.push(("accumulate", accumulate.to_string()));
        rows.push(("samples per step", config.batch_size.to_string()));
    }
    rows.extend(of_config(config, metrics));
    rows.extend([
        ("ranks", identity.world.to_string()),
        ("threads", identity.describe_threads(execution)),
        ("dtype", T::NAME.to_string()),
        ("isa", config.isa.to_string()),
    ]);
    let history = history.as_ref().map(|history| &history.path);
    let loaded =
        load.as_ref().map(|path| format!("{} (parameters alone: the optimizer starts cold)", path.display()));
    rows.extend(loaded.map(|loaded| ("load", loaded)));
    for (name, path) in [("save", save.as_ref()), ("history", history)] {
        rows.extend(path.map(|path| (name, path.display().to_string())));
    }
    aligned(&rows)
}

/// What the trainer is configured with, and the metrics that the user asked for.
fn of_config(config: &TrainConfig, metrics: &[Metric]) -> Vec<(&'static str, String)> {
    let TrainConfig {
        // Rows beside those of the plan.
        batch_size: _,
        isa: _,
        shard_size,
        optimizer,
        learning_rate,
        loss,
        // With the accuracy, which is always measured: the plan has those that were asked for.
        metrics: _,
        seed,
        clip_norm,
        max_steps: _,
    } = config;
    let mut rows = vec![
        ("shard-size", shard_size.to_string()),
        ("seed", seed.to_string()),
        ("loss", loss.to_string()),
        ("metrics", metrics.iter().map(Metric::to_string).collect::<Vec<_>>().join(",")),
        ("learning-rate", format!("{learning_rate:?}")),
    ];
    rows.extend(of_optimizer(optimizer));
    rows.extend(clip_norm.map(|norm| ("clip-norm", format!("{norm:?}"))));
    rows
}

fn of_optimizer(optimizer: &Optimizer) -> Vec<(&'static str, String)> {
    let mut rows = vec![("optimizer", optimizer.to_string())];
    // Unlike Display, Debug writes small numbers with an exponent.
    let mut row = |name, value: &dyn Debug| rows.push((name, format!("{value:?}")));
    match optimizer {
        Optimizer::Sgd(SgdParameters { momentum, nesterov, weight_decay }) => {
            row("momentum", momentum);
            row("nesterov", nesterov);
            row("weight-decay", weight_decay);
        }
        Optimizer::RmsProp(RmsPropParameters { rho, eps, weight_decay }) => {
            row("rho", rho);
            row("epsilon", eps);
            row("weight-decay", weight_decay);
        }
        Optimizer::Adam(AdamParameters { beta1, beta2, eps, weight_decay })
        | Optimizer::Nadam(AdamParameters { beta1, beta2, eps, weight_decay }) => {
            row("beta1", beta1);
            row("beta2", beta2);
            row("epsilon", eps);
            row("weight-decay", weight_decay);
        }
        other => unreachable!("no option names the optimizer {other}"),
    }
    rows
}

fn aligned(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len() + 1).max().unwrap_or(0);
    let row =
        |(name, value): &(&str, String)| format!("{:<width$} {}\n", format!("{name}:"), one_line(value));
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_have_an_exponent() {
        let rows = of_optimizer(&Optimizer::RmsProp(RmsPropParameters::default()));
        let values: Vec<&str> = rows.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["rmsprop", "0.9", "1e-7", "0.0"]);
    }

    #[test]
    fn values_stand_below_each_other() {
        let rows = [("seed", "7".to_string()), ("batch-size", "64".to_string())];
        assert_eq!(aligned(&rows), "seed:       7\nbatch-size: 64\n");
        let forged = [("save", "a\nTime: 1.00 s".to_string())];
        assert_eq!(aligned(&forged), "save: a\\nTime: 1.00 s\n");
    }
}
