//! What a step does.

use super::error::PortProblem;
use super::value::{Type, Values};

/// Why a component failed.
pub type ComponentError = Box<dyn std::error::Error + Send + Sync>;

/// An input or an output of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name; no other input, or output, of the component has it.
    pub name: String,
    /// What values it takes or gives.
    pub kind: Type,
    /// Whether an input may be left out.
    pub is_optional: bool,
}

impl Port {
    /// A port whose value must be there.
    pub fn new(name: impl Into<String>, kind: Type) -> Self {
        Self { name: name.into(), kind, is_optional: false }
    }

    /// An input that may be left out.
    pub fn optional(name: impl Into<String>, kind: Type) -> Self {
        Self { is_optional: true, ..Self::new(name, kind) }
    }
}

/// What a step does, with named, typed ports.
pub trait Component: Send {
    /// What it takes. Optional inputs come last.
    fn inputs(&self) -> Vec<Port>;

    /// What it gives.
    fn outputs(&self) -> Vec<Port>;

    /// Whether inputs may have any names, numbers and types, as those of an [`Adapter`](super::Adapter).
    fn takes_anything(&self) -> bool {
        false
    }

    /// What it gives for inputs of the types `given`. The default checks them against
    /// [`inputs`](Self::inputs), in order, and gives [`outputs`](Self::outputs); an
    /// [`Adapter`](super::Adapter) takes whatever is there.
    ///
    /// # Errors
    ///
    /// [`PortProblem`] when the number of inputs, or the type of one, is another.
    fn connect(&self, given: &[Port]) -> Result<Vec<Port>, PortProblem> {
        check(&self.inputs(), given)?;
        Ok(self.outputs())
    }

    /// Does the work. `inputs` have the names of [`inputs`](Self::inputs), and optional ones that were left
    /// out are not there.
    ///
    /// # Errors
    ///
    /// Whatever went wrong, which ends the workflow.
    fn execute(&mut self, inputs: Values) -> Result<Values, ComponentError>;

    /// Called after [`execute`](Self::execute), also after an error or a panic.
    fn cleanup(&mut self) {}

    /// A text that differs whenever the outputs for the same inputs may: the version of the code, the
    /// configuration, what files are read. With `None`, as by default, a step is never taken from a cache.
    fn fingerprint(&self) -> Option<String> {
        None
    }

    /// Whether `outputs` from a cache can still be used: whether the files that they name are there.
    fn is_intact(&self, outputs: &Values) -> bool {
        let _ = outputs;
        true
    }
}

/// Checks the number and the types of `given` inputs against the `expected` ones, in order.
fn check(expected: &[Port], given: &[Port]) -> Result<(), PortProblem> {
    let least = expected.iter().filter(|port| !port.is_optional).count();
    if !(least..=expected.len()).contains(&given.len()) {
        return Err(PortProblem::Number { least, expected: expected.to_vec(), given: given.to_vec() });
    }
    for (expected, given) in expected.iter().zip(given) {
        if !expected.kind.accepts(&given.kind) {
            return Err(PortProblem::Type { expected: expected.clone(), given: given.clone() });
        }
    }
    Ok(())
}
