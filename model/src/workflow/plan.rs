//! Steps, and what flows from which to which.

use super::component::{Component, Port};
use super::error::{PortProblem, WorkflowError};
use super::run::Runner;
use super::value::Values;
use std::ops::Range;

/// Steps in the order in which they run.
#[derive(Default)]
pub struct Workflow {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

/// A component with a name.
pub(super) struct Step {
    pub(super) name: String,
    pub(super) component: Box<dyn Component>,
    wires: Wires,
}

/// Where the inputs of a step come from.
#[derive(Debug, Clone)]
enum Wires {
    /// The outputs of the step in front, in order; of the first step, the inputs of the workflow.
    Chain,
    /// By name: of an input, and of its source, `step.output`, or `step` with its only output.
    Named(Vec<(String, String)>),
}

/// Where a value comes from: an output of a step, or an input of the workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source {
    /// `None` stands for the workflow.
    pub(super) step: Option<usize>,
    pub(super) port: usize,
}

/// A step as it was checked.
#[derive(Debug, Clone)]
pub struct PlannedStep {
    /// Its name.
    pub name: String,
    /// What it takes: the name of its input, and where that comes from.
    pub inputs: Vec<(String, String)>,
    /// What it gives.
    pub outputs: Vec<Port>,
    pub(super) sources: Vec<Source>,
}

/// A workflow that was checked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The steps in order.
    pub steps: Vec<PlannedStep>,
}

impl Workflow {
    /// A workflow without steps.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), steps: Vec::new() }
    }

    /// With one more step, which takes the outputs of the one in front, in order.
    #[must_use]
    pub fn step(self, name: impl Into<String>, component: impl Component + 'static) -> Self {
        self.boxed(name, Box::new(component), None)
    }

    /// With one more step, whose inputs are wired by name: each `(input, source)`, where a source is
    /// `step.output`, or `step` if that has one output, or `workflow.input`.
    #[must_use]
    pub fn wired<'n>(
        self,
        name: impl Into<String>,
        component: impl Component + 'static,
        wires: impl IntoIterator<Item = (&'n str, &'n str)>,
    ) -> Self {
        let wires = wires.into_iter().map(|(input, from)| (input.to_string(), from.to_string())).collect();
        self.boxed(name, Box::new(component), Some(wires))
    }

    /// As [`wired`](Self::wired), or as [`step`](Self::step) without `wires`.
    #[must_use]
    pub fn boxed(
        mut self,
        name: impl Into<String>,
        component: Box<dyn Component>,
        wires: Option<Vec<(String, String)>>,
    ) -> Self {
        let wires = wires.map_or(Wires::Chain, Wires::Named);
        self.steps.push(Step { name: name.into(), component, wires });
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the steps in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(|step| step.name.as_str())
    }

    /// The workflow of the steps `range` alone. What they need of others becomes an input, called as it was
    /// wired: `step.output`.
    ///
    /// # Panics
    ///
    /// If the range ends before it starts, or behind the last step.
    #[must_use]
    pub fn slice(self, range: Range<usize>) -> Self {
        let Range { start, end } = range;
        assert!(start <= end && end <= self.steps.len(), "steps {start}..{end} of {}", self.steps.len());
        Self { name: self.name, steps: self.steps.into_iter().take(end).skip(start).collect() }
    }

    /// Checks numbers and types of all values, for inputs of the workflow of the types `given`.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::Ports`] of the first step that does not fit, [`WorkflowError::Twice`].
    pub fn plan(&self, given: &[Port]) -> Result<Plan, WorkflowError> {
        let mut planned: Vec<PlannedStep> = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            if planned.iter().any(|other| other.name == step.name) {
                return Err(WorkflowError::Twice { step: step.name.clone() });
            }
            let problem =
                |problem| WorkflowError::Ports { step: step.name.clone(), problem: Box::new(problem) };
            let wired = match &step.wires {
                Wires::Chain => chain(number, &planned, given),
                Wires::Named(wires) => by_name(&*step.component, wires, &planned, given).map_err(problem)?,
            };
            let ports = wired.iter().map(|(_, input, port)| {
                let name = input.clone().unwrap_or_else(|| port.name.clone());
                Port::new(name, port.kind.clone())
            });
            let ports: Vec<Port> = ports.collect();
            // An optional input that is left out between others has no place in an order.
            let outputs = match &step.wires {
                Wires::Named(_) if !step.component.takes_anything() => Ok(step.component.outputs()),
                _ => step.component.connect(&ports),
            };
            let outputs = outputs.map_err(problem)?;
            let expected = step.component.inputs();
            let name = |index: usize, wired: &Option<String>| {
                let by_place =
                    || expected.get(index).map_or_else(|| index.to_string(), |port| port.name.clone());
                wired.clone().unwrap_or_else(by_place)
            };
            let label = |source: &Source, port: &Port| match source.step {
                Some(step) => format!("{}.{}", planned[step].name, port.name),
                None => format!("workflow.{}", port.name),
            };
            let inputs = wired.iter().enumerate();
            let inputs =
                inputs.map(|(index, (source, input, port))| (name(index, input), label(source, port)));
            planned.push(PlannedStep {
                name: step.name.clone(),
                inputs: inputs.collect(),
                outputs,
                sources: wired.iter().map(|(source, ..)| *source).collect(),
            });
        }
        Ok(Plan { steps: planned })
    }

    /// Runs all steps and returns the outputs of the last one.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan), before anything runs; then the error of the step that failed.
    pub fn run(&mut self, inputs: Values) -> Result<Values, WorkflowError> {
        Runner::default().run(self, inputs)
    }
}

impl std::fmt::Debug for Workflow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Workflow {} {:?}", self.name, self.names().collect::<Vec<_>>())
    }
}

/// A source, the input that it is for if that was named, and its port.
type Wired = (Source, Option<String>, Port);

/// The outputs of the step in front.
fn chain(number: usize, planned: &[PlannedStep], given: &[Port]) -> Vec<Wired> {
    let step = number.checked_sub(1);
    let ports = step.map_or(given, |step| &planned[step].outputs);
    let wired = |(port, of): (usize, &Port)| (Source { step, port }, None, of.clone());
    ports.iter().enumerate().map(wired).collect()
}

/// The outputs that `wires` name, in the order of the component's inputs; in that of the wires, where the
/// component takes anything.
fn by_name(
    component: &dyn Component,
    wires: &[(String, String)],
    planned: &[PlannedStep],
    given: &[Port],
) -> Result<Vec<Wired>, PortProblem> {
    if component.takes_anything() {
        let anything = |(input, from): &(String, String)| {
            let (source, port) = source_of(input, from, planned, given)?;
            Ok((source, Some(input.clone()), port.clone()))
        };
        return wires.iter().map(anything).collect();
    }
    let inputs = component.inputs();
    for (name, _) in wires {
        if !inputs.iter().any(|input| input.name == *name) {
            return Err(PortProblem::Unknown { name: name.clone(), known: inputs });
        }
    }
    let mut wired = Vec::new();
    for input in &inputs {
        let Some((_, from)) = wires.iter().find(|(name, _)| *name == input.name) else {
            if input.is_optional {
                continue;
            }
            return Err(PortProblem::Missing { name: input.name.clone() });
        };
        let (source, port) = source_of(&input.name, from, planned, given)?;
        if !input.kind.accepts(&port.kind) {
            return Err(PortProblem::Type { expected: input.clone(), given: port.clone() });
        }
        wired.push((source, Some(input.name.clone()), port.clone()));
    }
    Ok(wired)
}

/// All values that a step behind `planned` can take, with their names.
fn sources<'p>(
    planned: &'p [PlannedStep],
    given: &'p [Port],
) -> impl Iterator<Item = (String, Source, &'p Port)> {
    let of_workflow = given.iter().enumerate().map(|(port, of)| {
        // An input of a slice is called as it was wired.
        let name = if of.name.contains('.') { of.name.clone() } else { format!("workflow.{}", of.name) };
        (name, Source { step: None, port }, of)
    });
    let of_steps = planned.iter().enumerate().flat_map(|(step, planned)| {
        let name = &planned.name;
        let outputs = planned.outputs.iter().enumerate();
        outputs.map(move |(port, of)| (format!("{name}.{}", of.name), Source { step: Some(step), port }, of))
    });
    of_workflow.chain(of_steps)
}

/// The value called `from`, for the input called `input`.
fn source_of<'p>(
    input: &str,
    from: &str,
    planned: &'p [PlannedStep],
    given: &'p [Port],
) -> Result<(Source, &'p Port), PortProblem> {
    find(from, planned, given).ok_or_else(|| PortProblem::Source {
        input: input.to_string(),
        from: from.to_string(),
        known: sources(planned, given).map(|(name, ..)| name).collect(),
    })
}

/// The value called `from`.
fn find<'p>(from: &str, planned: &'p [PlannedStep], given: &'p [Port]) -> Option<(Source, &'p Port)> {
    if let Some((_, source, port)) = sources(planned, given).find(|(name, ..)| name == from) {
        return Some((source, port));
    }
    let step = planned.iter().position(|step| step.name == from)?;
    match planned[step].outputs.as_slice() {
        [only] => Some((Source { step: Some(step), port: 0 }, only)),
        _ => None,
    }
}
