//! The optimizer that the options ask for.

use super::parameters::{self, Given, Parameters, Value};
use crate::cli::HyperParameters;
use crate::failure::Failure;
use isograd_model::optimizer::{self, Adam, AdamW, Lamb, Lars, Muon, Nadam, Optimizer, RmsProp, Sgd};
use isograd_model::{Element, Error};
use std::sync::Arc;

/// An optimizer with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum OptimizerPlan {
    Sgd(Sgd),
    RmsProp(RmsProp),
    Adam(Adam),
    Nadam(Nadam),
    AdamW(AdamW),
    Lars(Lars),
    Lamb(Lamb),
    Muon(Muon),
}

/// The parameters of the optimizer called `name`.
pub(super) fn parameters_of(name: &str) -> Option<Vec<&'static str>> {
    let mut plan = OptimizerPlan::from_name(name).ok()?;
    Some(plan.parameters().into_iter().map(|(parameter, _)| parameter).collect())
}

impl OptimizerPlan {
    /// The optimizer called `name`, in letters of any case, with its usual parameters.
    pub(crate) fn from_name(name: &str) -> Result<Self, Error> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "sgd" => Self::Sgd(Sgd::default()),
            "rmsprop" => Self::RmsProp(RmsProp::default()),
            "adam" => Self::Adam(Adam::default()),
            "nadam" => Self::Nadam(Nadam::default()),
            "adamw" => Self::AdamW(AdamW::default()),
            "lars" => Self::Lars(Lars::default()),
            "lamb" => Self::Lamb(Lamb::default()),
            "muon" => Self::Muon(Muon::default()),
            _ => return Err(Error::unknown_name("optimizer", name, &optimizer::NAMES)),
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sgd(_) => "sgd",
            Self::RmsProp(_) => "rmsprop",
            Self::Adam(_) => "adam",
            Self::Nadam(_) => "nadam",
            Self::AdamW(_) => "adamw",
            Self::Lars(_) => "lars",
            Self::Lamb(_) => "lamb",
            Self::Muon(_) => "muon",
        }
    }

    /// The optimizer, for a trainer.
    pub(crate) fn build<T: Element>(&self) -> Arc<dyn Optimizer<T>> {
        match *self {
            Self::Sgd(optimizer) => Arc::new(optimizer),
            Self::RmsProp(optimizer) => Arc::new(optimizer),
            Self::Adam(optimizer) => Arc::new(optimizer),
            Self::Nadam(optimizer) => Arc::new(optimizer),
            Self::AdamW(optimizer) => Arc::new(optimizer),
            Self::Lars(optimizer) => Arc::new(optimizer),
            Self::Lamb(optimizer) => Arc::new(optimizer),
            Self::Muon(optimizer) => Arc::new(optimizer),
        }
    }

    pub(crate) fn default_learning_rate(&self) -> f64 {
        self.build::<f32>().default_learning_rate()
    }

    /// Sets the given parameters. One that the optimizer does not have is an error.
    pub(crate) fn with(mut self, given: HyperParameters) -> Result<Self, Failure> {
        let owner = format!("the optimizer {}", self.name());
        parameters::set(&owner, self.parameters(), options(given))?;
        Ok(self)
    }

    /// Its name and its parameters, as rows of a table.
    pub(crate) fn rows(mut self) -> Vec<(&'static str, String)> {
        let mut rows = vec![("optimizer", self.name().to_string())];
        rows.extend(parameters::rows(self.parameters()));
        rows
    }

    /// The addend of the denominator, if it has one.
    pub(crate) fn epsilon(&self) -> Option<f64> {
        self.number("epsilon")
    }

    /// The weight decay.
    pub(crate) fn weight_decay(&self) -> f64 {
        self.number("weight-decay").unwrap_or(0.0)
    }

    /// The value of a parameter that is a number.
    fn number(mut self, option: &str) -> Option<f64> {
        self.parameters().into_iter().find_map(|(name, value)| match value {
            Value::Number(number) if name == option => Some(*number),
            _ => None,
        })
    }

    fn parameters(&mut self) -> Parameters<'_> {
        use Value::{Count, Number, Scope, Switch};
        match self {
            Self::Sgd(Sgd { momentum, nesterov, weight_decay }) => vec![
                ("momentum", Number(momentum)),
                ("nesterov", Switch(nesterov)),
                ("weight-decay", Number(weight_decay)),
            ],
            Self::RmsProp(RmsProp { rho, eps, weight_decay }) => {
                vec![("rho", Number(rho)), ("epsilon", Number(eps)), ("weight-decay", Number(weight_decay))]
            }
            Self::Adam(Adam { beta1, beta2, eps, weight_decay })
            | Self::Nadam(Nadam { beta1, beta2, eps, weight_decay }) => adam(beta1, beta2, eps, weight_decay),
            Self::AdamW(AdamW { beta1, beta2, eps, weight_decay, scope })
            | Self::Lamb(Lamb { beta1, beta2, eps, weight_decay, scope }) => {
                let mut parameters = adam(beta1, beta2, eps, weight_decay);
                parameters.push(("decay-all", Scope(scope)));
                parameters
            }
            Self::Lars(Lars { momentum, weight_decay, trust_coefficient, scope }) => vec![
                ("momentum", Number(momentum)),
                ("weight-decay", Number(weight_decay)),
                ("trust-coefficient", Number(trust_coefficient)),
                ("decay-all", Scope(scope)),
            ],
            Self::Muon(Muon { momentum, nesterov: _, weight_decay, iterations, others, others_rate }) => {
                vec![
                    ("momentum", Number(momentum)),
                    ("weight-decay", Number(weight_decay)),
                    ("ns-steps", Count(iterations)),
                    ("adamw-rate", Number(others_rate)),
                    ("beta1", Number(&mut others.beta1)),
                    ("beta2", Number(&mut others.beta2)),
                    ("epsilon", Number(&mut others.eps)),
                ]
            }
        }
    }
}

fn adam<'a>(
    beta1: &'a mut f64,
    beta2: &'a mut f64,
    eps: &'a mut f64,
    weight_decay: &'a mut f64,
) -> Parameters<'a> {
    vec![
        ("beta1", Value::Number(beta1)),
        ("beta2", Value::Number(beta2)),
        ("epsilon", Value::Number(eps)),
        ("weight-decay", Value::Number(weight_decay)),
    ]
}

/// All options of optimizers, with the values that were given.
fn options(given: HyperParameters) -> [(&'static str, Option<Given>); 11] {
    let HyperParameters {
        momentum,
        nesterov,
        rho,
        beta1,
        beta2,
        epsilon,
        weight_decay,
        decay_all,
        trust_coefficient,
        ns_steps,
        adamw_rate,
    } = given;
    let number = |value: Option<f64>| value.map(Given::Number);
    [
        ("momentum", number(momentum)),
        ("nesterov", nesterov.then_some(Given::Yes)),
        ("rho", number(rho)),
        ("beta1", number(beta1)),
        ("beta2", number(beta2)),
        ("epsilon", number(epsilon)),
        ("weight-decay", number(weight_decay)),
        ("decay-all", decay_all.then_some(Given::Yes)),
        ("trust-coefficient", number(trust_coefficient)),
        ("ns-steps", ns_steps.map(Given::Count)),
        ("adamw-rate", number(adamw_rate)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_model::optimizer::Scope;

    #[test]
    fn every_optimizer_of_the_library_has_its_name() {
        for name in optimizer::NAMES {
            let plan = OptimizerPlan::from_name(name).unwrap();
            assert_eq!(plan.name(), name);
            let library = optimizer::by_name::<f32>(name).unwrap();
            assert_eq!(format!("{:?}", plan.build::<f32>()), format!("{library:?}"));
            assert_eq!(plan.rows()[0], ("optimizer", name.to_string()));
        }
        assert!(OptimizerPlan::from_name("adma").is_err());
    }

    #[test]
    fn small_numbers_have_an_exponent() {
        let rows = OptimizerPlan::RmsProp(RmsProp::default()).rows();
        let values: Vec<&str> = rows.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["rmsprop", "0.9", "1e-7", "0.0"]);
    }

    #[test]
    fn an_optimizer_takes_its_parameters_and_no_others() {
        let given = || HyperParameters {
            momentum: Some(0.5),
            weight_decay: Some(0.25),
            decay_all: true,
            trust_coefficient: Some(0.01),
            ..HyperParameters::default()
        };
        let lars = OptimizerPlan::from_name("lars").unwrap();
        let expected = Lars { momentum: 0.5, weight_decay: 0.25, trust_coefficient: 0.01, scope: Scope::All };
        assert_eq!(lars.with(given()).unwrap(), OptimizerPlan::Lars(expected));
        assert_eq!((lars.epsilon(), lars.weight_decay()), (None, 5e-4));
        let refused = OptimizerPlan::from_name("muon").unwrap().with(given()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "--decay-all is not a parameter of the optimizer muon, which has --momentum, --weight-decay, \
             --ns-steps, --adamw-rate, --beta1, --beta2 and --epsilon"
        );
        let given = HyperParameters {
            ns_steps: Some(3),
            adamw_rate: Some(0.5),
            beta2: Some(0.9),
            epsilon: Some(1e-6),
            ..HyperParameters::default()
        };
        let muon = OptimizerPlan::from_name("muon").unwrap().with(given).unwrap();
        let usual = Muon::default();
        let others = AdamW { beta2: 0.9, eps: 1e-6, ..usual.others };
        assert_eq!(muon, OptimizerPlan::Muon(Muon { iterations: 3, others_rate: 0.5, others, ..usual }));
        assert_eq!(muon.epsilon(), Some(1e-6));
    }
}
