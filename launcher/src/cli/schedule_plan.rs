//! The schedule of the learning rate that the options ask for.

use super::parameters::{self, Given, Parameters, Value};
use crate::cli::RateArgs;
use crate::failure::Failure;
use crate::system::names;
use isograd_model::Schedule;
use isograd_model::schedule::{
    Constant, Cosine, Exponential, MultiStep, OneCycle, Polynomial, Span, StepDecay, WarmUp,
};
use std::sync::Arc;

/// The names of all schedules.
pub(super) const NAMES: [&str; 7] =
    ["constant", "step", "multi-step", "exponential", "polynomial", "cosine", "one-cycle"];

/// The parameters of the schedule called `name`.
pub(super) fn parameters_of(name: &str) -> Option<Vec<&'static str>> {
    let mut kind = Kind::from_name(name).ok()?;
    Some(kind.parameters().into_iter().map(|(parameter, _)| parameter).collect())
}

/// A schedule with its parameters, and its warm-up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SchedulePlan {
    kind: Kind,
    warm_up: Option<WarmUpPlan>,
}

/// A warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
struct WarmUpPlan {
    epochs: f64,
    /// The factor of the first step, if it was given.
    factor: Option<f64>,
}

/// A schedule with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Constant,
    Step(StepDecay),
    MultiStep(MultiStep),
    Exponential(Exponential),
    Polynomial(Polynomial),
    Cosine(Cosine),
    OneCycle(OneCycle),
}

impl Kind {
    /// The schedule called `name`, with its usual parameters. Between words there may be `_`, or nothing.
    pub(crate) fn from_name(name: &str) -> Result<Self, String> {
        let letters = |name: &str| name.to_lowercase().replace(['-', '_'], "");
        let known = NAMES.into_iter().find(|known| letters(known) == letters(name));
        Ok(match known.unwrap_or(name) {
            "constant" => Self::Constant,
            "step" => Self::Step(StepDecay::default()),
            "multi-step" => Self::MultiStep(MultiStep { milestones: Vec::new(), gamma: 0.1 }),
            "exponential" => Self::Exponential(Exponential::default()),
            "polynomial" => Self::Polynomial(Polynomial::default()),
            "cosine" => Self::Cosine(Cosine::default()),
            "one-cycle" => Self::OneCycle(OneCycle::default()),
            _ => return Err(names::unknown("schedule", name, &NAMES)),
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Step(_) => "step",
            Self::MultiStep(_) => "multi-step",
            Self::Exponential(_) => "exponential",
            Self::Polynomial(_) => "polynomial",
            Self::Cosine(_) => "cosine",
            Self::OneCycle(_) => "one-cycle",
        }
    }

    fn build(&self) -> Arc<dyn Schedule> {
        match self {
            Self::Constant => Arc::new(Constant),
            Self::Step(schedule) => Arc::new(*schedule),
            Self::MultiStep(schedule) => Arc::new(schedule.clone()),
            Self::Exponential(schedule) => Arc::new(*schedule),
            Self::Polynomial(schedule) => Arc::new(*schedule),
            Self::Cosine(schedule) => Arc::new(*schedule),
            Self::OneCycle(schedule) => Arc::new(*schedule),
        }
    }

    /// Its parameters; what spans the whole run has no option.
    fn parameters(&mut self) -> Parameters<'_> {
        use Value::{Epochs, Milestones, Number};
        match self {
            Self::Constant => vec![],
            Self::Step(StepDecay { every, gamma }) => {
                vec![("step-size", Epochs(every)), ("gamma", Number(gamma))]
            }
            Self::MultiStep(MultiStep { milestones, gamma }) => {
                vec![("milestones", Milestones(milestones)), ("gamma", Number(gamma))]
            }
            Self::Exponential(Exponential { gamma, every: _ }) => vec![("gamma", Number(gamma))],
            Self::Polynomial(Polynomial { over: _, power }) => vec![("power", Number(power))],
            Self::Cosine(Cosine { over: _, lowest }) => vec![("min-learning-rate", Number(lowest))],
            Self::OneCycle(OneCycle { over: _, rise, div_factor, final_div_factor }) => vec![
                ("pct-start", Number(rise)),
                ("div-factor", Number(div_factor)),
                ("final-div-factor", Number(final_div_factor)),
            ],
        }
    }
}

impl SchedulePlan {
    /// The schedule with the given parameters. One that the schedule does not have is an error.
    pub(crate) fn new(args: RateArgs) -> Result<Self, Failure> {
        let RateArgs {
            rate_factor: _,
            // Parts of the plan beside the schedule.
            learning_rate: _,
            scale_learning_rate: _,
            schedule: mut kind,
            warm_up_epochs,
            warm_up_factor,
            step_size,
            milestones,
            gamma,
            power,
            min_learning_rate,
            pct_start,
            div_factor,
            final_div_factor,
        } = args;
        let number = |value: Option<f64>| value.map(Given::Number);
        let given = [
            ("step-size", number(step_size)),
            ("milestones", milestones.map(Given::Numbers)),
            ("gamma", number(gamma)),
            ("power", number(power)),
            ("min-learning-rate", number(min_learning_rate)),
            ("pct-start", number(pct_start)),
            ("div-factor", number(div_factor)),
            ("final-div-factor", number(final_div_factor)),
        ];
        let owner = format!("the schedule {}", kind.name());
        parameters::set(&owner, kind.parameters(), given)?;
        let usage = |problem: &str| Err(Failure::Usage { problem: problem.to_string(), hint: None });
        match &kind {
            Kind::MultiStep(schedule) if schedule.milestones.is_empty() => {
                return usage("--schedule multi-step needs --milestones");
            }
            Kind::OneCycle(_) if warm_up_epochs.is_some() => {
                return usage("--warm-up-epochs: the schedule one-cycle warms up by itself (--pct-start)");
            }
            _ => {}
        }
        let warm_up = warm_up_epochs.map(|epochs| WarmUpPlan { epochs, factor: warm_up_factor });
        Ok(Self { kind, warm_up })
    }

    /// The schedule, for a trainer. A warm-up starts from `factor` unless another one was given.
    pub(crate) fn build(&self, factor: f64) -> Arc<dyn Schedule> {
        let then = self.kind.build();
        match self.warm_up {
            None => then,
            Some(WarmUpPlan { epochs, factor: given }) => {
                Arc::new(WarmUp { over: Span::Epochs(epochs), from: given.unwrap_or(factor), then })
            }
        }
    }

    /// The part of the learning rate that the warm-up starts from, if there is one: `factor` unless another
    /// one was given.
    pub(crate) fn effective_warm_up_factor(&self, factor: f64) -> Option<f64> {
        self.warm_up.map(|warm_up| warm_up.factor.unwrap_or(factor))
    }

    /// Its name and its parameters, as rows of a table. A warm-up starts from `factor` unless another one was
    /// given.
    pub(crate) fn rows(&self, factor: f64) -> Vec<(&'static str, String)> {
        let mut rows = vec![("schedule", self.kind.name().to_string())];
        rows.extend(parameters::rows(self.kind.clone().parameters()));
        if let Some(WarmUpPlan { epochs, factor: given }) = self.warm_up {
            rows.push(("warm-up-epochs", epochs.to_string()));
            rows.push(("warm-up-factor", format!("{:?}", given.unwrap_or(factor))));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Arguments, Command};
    use clap::Parser;

    fn plan(options: &str) -> Result<SchedulePlan, String> {
        let args = ["isograd", "train"].into_iter().chain(options.split_whitespace());
        match Arguments::try_parse_from(args).unwrap().command {
            Command::Train(args) => SchedulePlan::new(args.rate).map_err(|failure| failure.to_string()),
            other => panic!("{other:?}"),
        }
    }

    fn table(options: &str) -> String {
        let rows = plan(options).unwrap().rows(0.5);
        rows.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn every_name_is_that_of_a_schedule() {
        for name in NAMES {
            assert_eq!(Kind::from_name(name).unwrap().name(), name);
        }
        let error = Kind::from_name("cosin").unwrap_err();
        assert!(error.ends_with("did you mean 'cosine'?"), "{error}");
    }

    #[test]
    fn a_schedule_takes_its_parameters() {
        for (options, expected) in [
            ("", "schedule constant"),
            ("--schedule step", "schedule step, step-size 30, gamma 0.1"),
            ("--schedule step --step-size 2.5 --gamma 0.5", "schedule step, step-size 2.5, gamma 0.5"),
            (
                "--schedule multi-step --milestones 3,4.5 --gamma 1e-7",
                "schedule multi-step, milestones 3,4.5, gamma 1e-7",
            ),
            ("--schedule exponential", "schedule exponential, gamma 0.95"),
            ("--schedule polynomial --power 2", "schedule polynomial, power 2.0"),
            ("--schedule cosine --min-learning-rate 0.1", "schedule cosine, min-learning-rate 0.1"),
            (
                "--schedule one-cycle --pct-start 0.5",
                "schedule one-cycle, pct-start 0.5, div-factor 25.0, final-div-factor 10000.0",
            ),
            (
                "--schedule polynomial --warm-up-epochs 3",
                "schedule polynomial, power 1.0, warm-up-epochs 3, warm-up-factor 0.5",
            ),
            (
                "--warm-up-epochs 0.5 --warm-up-factor 0",
                "schedule constant, warm-up-epochs 0.5, warm-up-factor 0.0",
            ),
        ] {
            assert_eq!(table(options), expected, "{options}");
        }
    }

    #[test]
    fn a_schedule_takes_no_others() {
        for (options, expected) in [
            ("--gamma 0.5", "--gamma is not a parameter of the schedule constant, which has none"),
            (
                "--schedule step --milestones 3",
                "--milestones is not a parameter of the schedule step, which has --step-size and --gamma",
            ),
            ("--schedule multi-step --gamma 0.5", "--schedule multi-step needs --milestones"),
            (
                "--schedule one-cycle --warm-up-epochs 1",
                "--warm-up-epochs: the schedule one-cycle warms up by itself (--pct-start)",
            ),
        ] {
            assert_eq!(plan(options).unwrap_err(), expected, "{options}");
        }
    }

    #[test]
    fn what_is_built_is_what_was_asked_for() {
        let built = |options| format!("{:?}", plan(options).unwrap().build(0.25));
        let cosine = "Cosine { over: Training, lowest: 0.0 }";
        assert_eq!(built("--schedule cosine"), cosine);
        assert_eq!(
            built("--schedule cosine --warm-up-epochs 2"),
            format!("WarmUp {{ over: Epochs(2.0), from: 0.25, then: {cosine} }}")
        );
        assert_eq!(
            built("--schedule multi-step --milestones 30,60"),
            "MultiStep { milestones: [Epochs(30.0), Epochs(60.0)], gamma: 0.1 }"
        );
    }
}
