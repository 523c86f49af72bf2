//! The callbacks that the options ask for.

use super::parsers;
use crate::cli::callback_args::CallbackArgs;
use crate::cli::metric_plan::{self, ACCURACY, MetricPlan, TargetKind};
use crate::failure::Failure;
use crate::system::names;
use isograd_model::Element;
use isograd_model::callback::{Callback, EarlyStopping, Quantity, ReduceEvery, ReduceOnPlateau, StopAt};
use std::fmt;

/// A callback that `--callbacks` turns on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    EarlyStopping,
    ReduceOnPlateau,
    ReduceEvery,
    ModelCheckpoint,
    WarmUp,
}

impl Name {
    /// The callback called `text`, also with underscores.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Ok(match text.replace('_', "-").as_str() {
            "early-stopping" => Self::EarlyStopping,
            "reduce-lr-on-plateau" => Self::ReduceOnPlateau,
            "reduce-lr-every" | "reduce-lr-every-nepochs" => Self::ReduceEvery,
            "model-checkpoint" => Self::ModelCheckpoint,
            "warm-up" => Self::WarmUp,
            "stop-at-loss" => return Err("stop-at-loss needs a number: --stop-at-loss NUMBER".to_string()),
            _ => {
                let known = [
                    "early-stopping",
                    "reduce-lr-on-plateau",
                    "reduce-lr-every-nepochs",
                    "model-checkpoint",
                    "warm-up",
                ];
                return Err(names::unknown("callback", text, &known));
            }
        })
    }
}

/// A number that is watched.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Watched {
    option: &'static str,
    /// As it was given.
    text: String,
    quantity: Quantity,
    needs_validation: bool,
}

/// What a run measures: the names of what can be watched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured<'a> {
    pub(crate) loss: &'a str,
    /// Those that were asked for.
    pub(crate) metrics: &'a [MetricPlan],
}

impl Measured<'_> {
    /// The metrics that can be watched. Where none was asked for, that depends on the targets, which are not
    /// known yet.
    fn names(&self) -> Vec<String> {
        let by_default = match self.loss {
            "mean_squared_error" | "mean_absolute_error" | "huber" => {
                &[TargetKind::Classes, TargetKind::Numbers][..]
            }
            _ => &[TargetKind::Classes],
        };
        let by_default = by_default.iter().flat_map(|targets| metric_plan::of_training(*targets, self.loss));
        match self.metrics.is_empty() {
            true => by_default.map(|metric| metric.to_string()).collect(),
            false => self.metrics.iter().map(MetricPlan::to_string).collect(),
        }
    }
}

impl Watched {
    /// What `option` names; by default the loss.
    pub(crate) fn new(
        option: &'static str,
        text: Option<String>,
        measured: Measured<'_>,
    ) -> Result<Self, Failure> {
        let text = text.unwrap_or_else(|| "loss".to_string());
        let validation = text.strip_prefix("val_");
        let train = text.strip_prefix("train_");
        let name = validation.or(train).unwrap_or(&text);
        let metrics = measured.names();
        let metric = parsers::metric(name).ok().map(|metric| metric.to_string());
        // The accuracy is measured whatever is reported.
        let metric = metric.filter(|metric| metric == ACCURACY || metrics.contains(metric));
        let is_loss = name == "loss" || parsers::loss(name).is_ok_and(|loss| loss == measured.loss);
        let quantity = match (metric, train.is_some()) {
            (Some(metric), false) => Quantity::Metric(metric),
            (Some(metric), true) => Quantity::TrainMetric(metric),
            (None, false) if is_loss => Quantity::Loss,
            (None, true) if is_loss => Quantity::TrainLoss,
            _ => {
                return Err(not_measured(option, name, &metrics));
            }
        };
        Ok(Self { option, needs_validation: validation.is_some(), quantity, text })
    }

    /// What it is.
    pub(crate) fn quantity(&self) -> &Quantity {
        &self.quantity
    }

    /// Checks that the run measures it, whose metrics are `metrics`, and that there are validation samples if
    /// it is a number of theirs.
    pub(crate) fn check(&self, metrics: &[String], has_validation: bool) -> Result<(), Failure> {
        let (option, text) = (self.option, &self.text);
        if let Quantity::Metric(metric) | Quantity::TrainMetric(metric) = &self.quantity
            && !metrics.contains(metric)
        {
            return Err(not_measured(option, text, metrics));
        }
        if has_validation || !self.needs_validation {
            return Ok(());
        }
        Err(Failure::Usage {
            problem: format!("{option}: there are no validation samples to measure {text} on"),
            hint: Some("--validation-split FRACTION sets some apart".to_string()),
        })
    }
}

/// The failure that `option` names what is not measured.
fn not_measured(option: &str, name: &str, metrics: &[String]) -> Failure {
    let known = [&["loss".to_string()], metrics].concat().join(", ");
    Failure::Usage {
        problem: format!("{option}: the run measures no '{name}', but {known}"),
        hint: Some("--metrics NAMES measures more".to_string()),
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// A callback with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CallbackPlan {
    EarlyStopping { watched: Watched, patience: u32, min_delta: f64 },
    ReduceOnPlateau { watched: Watched, factor: f64, patience: u32, min_delta: f64, min_lr: f64 },
    ReduceEvery { epochs: u32, factor: f64, min_lr: f64 },
    StopAt { watched: Watched, goal: f64 },
}

impl CallbackPlan {
    /// Those that the options ask for, in the order in which they are called: the rate is reduced before
    /// training is stopped, so that it does not depend on the order of options.
    pub(crate) fn all(args: CallbackArgs, measured: Measured<'_>) -> Result<Vec<Self>, Failure> {
        let CallbackArgs {
            callbacks,
            early_stopping,
            early_stopping_metric,
            early_stopping_patience,
            early_stopping_min_delta,
            reduce_lr_on_plateau,
            reduce_lr_on_plateau_metric,
            reduce_lr_on_plateau_factor,
            reduce_lr_on_plateau_patience,
            reduce_lr_on_plateau_min_delta,
            reduce_lr_on_plateau_min_lr,
            reduce_lr_every,
            reduce_lr_every_factor,
            reduce_lr_every_min_lr,
            stop_at_loss,
            stop_at_loss_metric,
            // A part of the plan beside the callbacks.
            find_lr: _,
        } = args;
        let listed = |name: Name| callbacks.contains(&name);
        let needs = |owner: &str, options: &[(&str, bool)]| match options.iter().find(|(_, given)| *given) {
            Some((option, _)) => {
                let problem = format!("--{option} is a parameter of --{owner}, which is not given");
                Err(Failure::Usage { problem, hint: None })
            }
            None => Ok(()),
        };
        let mut all = Vec::new();
        match reduce_lr_every.or(listed(Name::ReduceEvery).then_some(5)) {
            Some(epochs) => all.push(Self::ReduceEvery {
                epochs,
                factor: reduce_lr_every_factor.unwrap_or(0.1),
                min_lr: reduce_lr_every_min_lr.unwrap_or(0.0),
            }),
            None => needs(
                "reduce-lr-every",
                &[
                    ("reduce-lr-every-factor", reduce_lr_every_factor.is_some()),
                    ("reduce-lr-every-min-lr", reduce_lr_every_min_lr.is_some()),
                ],
            )?,
        }
        if reduce_lr_on_plateau || listed(Name::ReduceOnPlateau) {
            let option = "--reduce-lr-on-plateau-metric";
            all.push(Self::ReduceOnPlateau {
                watched: Watched::new(option, reduce_lr_on_plateau_metric, measured)?,
                factor: reduce_lr_on_plateau_factor.unwrap_or(0.1),
                patience: reduce_lr_on_plateau_patience.unwrap_or(5),
                min_delta: reduce_lr_on_plateau_min_delta.unwrap_or(0.0),
                min_lr: reduce_lr_on_plateau_min_lr.unwrap_or(0.0),
            });
        } else {
            needs(
                "reduce-lr-on-plateau",
                &[
                    ("reduce-lr-on-plateau-metric", reduce_lr_on_plateau_metric.is_some()),
                    ("reduce-lr-on-plateau-factor", reduce_lr_on_plateau_factor.is_some()),
                    ("reduce-lr-on-plateau-patience", reduce_lr_on_plateau_patience.is_some()),
                    ("reduce-lr-on-plateau-min-delta", reduce_lr_on_plateau_min_delta.is_some()),
                    ("reduce-lr-on-plateau-min-lr", reduce_lr_on_plateau_min_lr.is_some()),
                ],
            )?;
        }
        if early_stopping || listed(Name::EarlyStopping) {
            all.push(Self::EarlyStopping {
                watched: Watched::new("--early-stopping-metric", early_stopping_metric, measured)?,
                patience: early_stopping_patience.unwrap_or(10),
                min_delta: early_stopping_min_delta.unwrap_or(0.0),
            });
        } else {
            needs(
                "early-stopping",
                &[
                    ("early-stopping-metric", early_stopping_metric.is_some()),
                    ("early-stopping-patience", early_stopping_patience.is_some()),
                    ("early-stopping-min-delta", early_stopping_min_delta.is_some()),
                ],
            )?;
        }
        if let Some(goal) = stop_at_loss {
            let watched = Watched::new("--stop-at-loss-metric", stop_at_loss_metric, measured)?;
            all.push(Self::StopAt { watched, goal });
        }
        Ok(all)
    }

    /// Checks that the run measures what it watches, whose metrics are `metrics`, and that there are
    /// validation samples if that is a number of theirs.
    pub(crate) fn check(&self, metrics: &[String], has_validation: bool) -> Result<(), Failure> {
        match self {
            Self::EarlyStopping { watched, .. }
            | Self::ReduceOnPlateau { watched, .. }
            | Self::StopAt { watched, .. } => watched.check(metrics, has_validation),
            Self::ReduceEvery { .. } => Ok(()),
        }
    }

    /// The callback, for a trainer.
    pub(crate) fn build<T: Element>(&self) -> Box<dyn Callback<T>> {
        match self {
            Self::EarlyStopping { watched, patience, min_delta } => {
                let stopping = EarlyStopping::new(*patience).watch(watched.quantity.clone());
                Box::new(stopping.least_change(*min_delta).restore_best())
            }
            Self::ReduceOnPlateau { watched, factor, patience, min_delta, min_lr } => {
                let reduce = ReduceOnPlateau::new(*factor, *patience).watch(watched.quantity.clone());
                Box::new(reduce.least_change(*min_delta).least_rate(*min_lr))
            }
            Self::ReduceEvery { epochs, factor, min_lr } => {
                Box::new(ReduceEvery { epochs: *epochs, factor: *factor, least_rate: *min_lr })
            }
            Self::StopAt { watched, goal } => {
                Box::new(StopAt { quantity: watched.quantity.clone(), goal: *goal })
            }
        }
    }

    /// Its row in the table of settings.
    pub(crate) fn row(&self) -> (&'static str, String) {
        match self {
            Self::EarlyStopping { watched, patience, min_delta } => {
                ("early-stopping", format!("{}, patience {patience}, min-delta {min_delta:?}", watched.text))
            }
            Self::ReduceOnPlateau { watched, factor, patience, min_delta, min_lr } => (
                "reduce-lr-on-plateau",
                format!(
                    "{}, factor {factor:?}, patience {patience}, min-delta {min_delta:?}, min-lr {min_lr:?}",
                    watched.text
                ),
            ),
            Self::ReduceEvery { epochs, factor, min_lr } => {
                ("reduce-lr-every", format!("{epochs}, factor {factor:?}, min-lr {min_lr:?}"))
            }
            Self::StopAt { watched, goal } => ("stop-at-loss", format!("{goal:?}, {}", watched.text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Arguments, Command};
    use clap::Parser;

    fn plans(options: &str) -> Result<Vec<CallbackPlan>, String> {
        let args = ["isograd", "train"].into_iter().chain(options.split_whitespace());
        match Arguments::try_parse_from(args).map_err(|error| error.to_string())?.command {
            Command::Train(args) => {
                let measured = Measured { loss: args.training.loss.loss, metrics: &args.training.metrics };
                CallbackPlan::all(args.callbacks, measured).map_err(|failure| failure.to_string())
            }
            other => panic!("{other:?}"),
        }
    }

    fn rows(options: &str) -> String {
        let rows = plans(options).unwrap_or_else(|error| panic!("{options}: {error}"));
        rows.iter().map(|plan| format!("{} {}", plan.row().0, plan.row().1)).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn options_and_a_list_turn_on_the_same() {
        let stopping = "early-stopping loss, patience 10, min-delta 0.0";
        let plateau = "reduce-lr-on-plateau loss, factor 0.1, patience 5, min-delta 0.0, min-lr 0.0";
        assert_eq!(rows(""), "");
        assert_eq!(rows("--early-stopping"), stopping);
        let both = format!("{plateau}; {stopping}");
        assert_eq!(rows("--early-stopping --reduce-lr-on-plateau"), both);
        assert_eq!(rows("--lr-schedulers early_stopping,reduce_lr_on_plateau,model_checkpoint"), both);
        assert_eq!(
            rows("--callbacks reduce-lr-every-nepochs --reduce-lr-every-nepochs-factor 0.5"),
            "reduce-lr-every 5, factor 0.5, min-lr 0.0"
        );
        assert_eq!(
            rows("--early-stopping --early-stopping-metric val_accuracy --early-stopping-patience 3"),
            "early-stopping val_accuracy, patience 3, min-delta 0.0"
        );
        assert_eq!(rows("--stop-at-loss 97.5 --stop-at-loss-metric acc"), "stop-at-loss 97.5, acc");
    }

    #[test]
    fn names_mean_what_is_measured() {
        let quantity = |name: &str| {
            let options = format!("--metrics f1,mse --stop-at-loss 1 --stop-at-loss-metric {name}");
            match plans(&options).map(|mut plans| plans.remove(0)) {
                Ok(CallbackPlan::StopAt { watched, .. }) => (watched.quantity, watched.needs_validation),
                other => panic!("{name}: {other:?}"),
            }
        };
        assert_eq!(quantity("loss"), (Quantity::Loss, false));
        assert_eq!(quantity("val_categorical_cross_entropy"), (Quantity::Loss, true));
        assert_eq!(quantity("train_loss"), (Quantity::TrainLoss, false));
        assert_eq!(quantity("val_f1"), (Quantity::metric("f1"), true));
        assert_eq!(quantity("train_mse"), (Quantity::TrainMetric("regression_mse".to_string()), false));
        assert_eq!(quantity("val_accuracy"), (Quantity::metric(ACCURACY), true));
    }

    #[test]
    fn what_is_not_measured_or_not_turned_on_is_refused() {
        for (options, expected) in [
            (
                "--early-stopping --early-stopping-metric val_f1",
                "--early-stopping-metric: the run measures no 'f1', but loss, categorical_accuracy",
            ),
            (
                "--early-stopping --early-stopping-metric mean_squared_error",
                "--early-stopping-metric: the run measures no 'mean_squared_error'",
            ),
            (
                "--loss mse --early-stopping --early-stopping-metric val_mae",
                "--early-stopping-metric: the run measures no 'mae', but loss, categorical_accuracy, regression_mse",
            ),
            (
                "--early-stopping-patience 3",
                "--early-stopping-patience is a parameter of --early-stopping, which is not given",
            ),
            ("--reduce-lr-every-factor 0.5", "--reduce-lr-every-factor is a parameter of --reduce-lr-every"),
        ] {
            let error = plans(options).unwrap_err();
            assert!(error.starts_with(expected), "{options}: {error}");
        }
        let by_default =
            plans("--loss mse --early-stopping --early-stopping-metric val_mse").unwrap().remove(0);
        // Whether the targets are such is known when they are read.
        assert_eq!(
            by_default.check(&[ACCURACY.to_string()], true).unwrap_err().to_string(),
            "--early-stopping-metric: the run measures no 'val_mse', but loss, categorical_accuracy"
        );
        by_default.check(&["regression_mse".to_string()], true).unwrap();
        assert!(plans("--callbacks stop_at_loss").unwrap_err().contains("--stop-at-loss NUMBER"));
        assert!(plans("--callbacks early_stoping").unwrap_err().contains("did you mean 'early-stopping'?"));
        let plan = plans("--early-stopping --early-stopping-metric val_loss").unwrap().remove(0);
        plan.check(&[], true).unwrap();
        assert_eq!(
            plan.check(&[], false).unwrap_err().to_string(),
            "--early-stopping-metric: there are no validation samples to measure val_loss on"
        );
    }
}
