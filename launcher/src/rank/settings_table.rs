//! The parameters in force, as a table of names and values.

use crate::cli::plan::{Source, TrainPlan};
use crate::rank::identity::RankIdentity;
use crate::system::escape::one_line;
use isograd_model::{AdamParameters, Element, Metric, Optimizer, TrainConfig};
use std::fmt::Debug;

/// One `name: value` a line, values below each other, under the names that the options have. `samples` are those of training
/// and validation.
pub(crate) fn list<T: Element>(
    plan: &TrainPlan,
    identity: &RankIdentity,
    config: &TrainConfig,
    samples: [usize; 2],
) -> String {
    let mut rows = vec![("model", plan.model.to_string()), ("dataset", plan.source.name().to_string())];
    if let Source::Folder { folder, .. } = &plan.source {
        rows.push(("dataset-train-path", folder.display().to_string()));
    }
    rows.extend([
        ("training samples", samples[0].to_string()),
        ("validation samples", samples[1].to_string()),
        ("epochs", plan.epochs.to_string()),
    ]);
    rows.extend(plan.steps.map(|steps| ("steps", steps.to_string())));
    rows.extend([("global-batch-size", plan.global_batch_size(samples[0], identity.world).to_string())]);
    if plan.accumulate > 1 {
        rows.push(("accumulate", plan.accumulate.to_string()));
        rows.push(("samples per step", config.batch_size.to_string()));
    }
    rows.extend([
        ("shard-size", config.shard_size.to_string()),
        ("seed", config.seed.to_string()),
        ("loss", config.loss.to_string()),
        ("metrics", plan.metrics.iter().map(Metric::to_string).collect::<Vec<_>>().join(",")),
        ("learning-rate", format!("{:?}", config.learning_rate)),
    ]);
    rows.extend(optimizer(&config.optimizer));
    rows.extend(config.clip_norm.map(|norm| ("clip-norm", format!("{norm:?}"))));
    rows.extend([
        ("ranks", identity.world.to_string()),
        ("threads", identity.describe_threads(&plan.execution)),
        ("dtype", T::NAME.to_string()),
        ("isa", config.isa.to_string()),
    ]);
    let history = plan.history.as_ref().map(|history| &history.path);
    for (name, path) in [("load", plan.load.as_ref()), ("save", plan.save.as_ref()), ("history", history)] {
        rows.extend(path.map(|path| (name, path.display().to_string())));
    }
    aligned(&rows)
}

fn optimizer(optimizer: &Optimizer) -> Vec<(&'static str, String)> {
    let mut rows = vec![("optimizer", optimizer.to_string())];
    // Unlike Display, Debug writes small numbers with an exponent.
    let mut row = |name, value: &dyn Debug| rows.push((name, format!("{value:?}")));
    match optimizer {
        Optimizer::Sgd { momentum, nesterov, weight_decay } => {
            row("momentum", momentum);
            row("nesterov", nesterov);
            row("weight-decay", weight_decay);
        }
        Optimizer::RmsProp { rho, eps, weight_decay } => {
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
        let rows = optimizer(&Optimizer::RmsProp { rho: 0.9, eps: 1e-7, weight_decay: 0.0 });
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
