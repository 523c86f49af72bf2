//! Choosing, reordering, and adding constants.

use super::component::{Component, ComponentError, Port};
use super::error::PortProblem;
use super::value::{Value, Values};

/// What an output of an [`Adapter`] is.
#[derive(Debug, Clone)]
pub enum Pick {
    /// The input of this number, from 0.
    Input(usize),
    /// A value that is always the same.
    Constant(Value),
}

impl Pick {
    /// `INPUT#2` is input 2; any other JSON is a constant.
    pub fn from_json(json: serde_json::Value) -> Self {
        let index = json.as_str().and_then(|text| text.strip_prefix("INPUT#")?.parse().ok());
        index.map_or_else(|| Self::Constant(json.into()), Self::Input)
    }
}

/// Gives some of its inputs in any order, and constants. It takes any number of inputs of any types.
#[derive(Debug, Clone)]
pub struct Adapter {
    picks: Vec<Pick>,
}

impl Adapter {
    /// An adapter whose outputs are `picks`.
    pub fn new(picks: impl IntoIterator<Item = Pick>) -> Self {
        Self { picks: picks.into_iter().collect() }
    }
}

impl Component for Adapter {
    fn inputs(&self) -> Vec<Port> {
        Vec::new()
    }

    fn outputs(&self) -> Vec<Port> {
        Vec::new()
    }

    fn takes_anything(&self) -> bool {
        true
    }

    fn connect(&self, given: &[Port]) -> Result<Vec<Port>, PortProblem> {
        let output = |(number, pick): (usize, &Pick)| match pick {
            Pick::Input(index) => {
                let input = given.get(*index);
                input.cloned().ok_or_else(|| PortProblem::Pick { index: *index, given: given.to_vec() })
            }
            Pick::Constant(value) => Ok(Port::new(format!("constant{number}"), value.kind().clone())),
        };
        let mut outputs = self.picks.iter().enumerate().map(output).collect::<Result<Vec<_>, _>>()?;
        // An input that is picked twice gives two outputs.
        for number in 1..outputs.len() {
            if outputs[..number].iter().any(|port| port.name == outputs[number].name) {
                outputs[number].name = format!("{}_{number}", outputs[number].name);
            }
        }
        Ok(outputs)
    }

    fn execute(&mut self, inputs: Values) -> Result<Values, ComponentError> {
        let values: Vec<&Value> = inputs.iter().map(|(_, value)| value).collect();
        let value = |(number, pick): (usize, &Pick)| match pick {
            Pick::Input(index) => Some((number.to_string(), (*values.get(*index)?).clone())),
            Pick::Constant(value) => Some((number.to_string(), value.clone())),
        };
        let picked = self.picks.iter().enumerate().map(value).collect::<Option<Values>>();
        picked.ok_or_else(|| "an input that it picks is not there".into())
    }
}
