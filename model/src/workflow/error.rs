//! Why a workflow cannot run, or did not.

use super::component::{ComponentError, Port};

/// Inputs that do not fit a component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortProblem {
    /// Too few or too many of them.
    #[error("expected {} ({}), given {} ({})", number(*least, expected.len()), list(expected), given.len(), list(given))]
    Number {
        /// How many must be there.
        least: usize,
        /// What the component takes.
        expected: Vec<Port>,
        /// What it would get.
        given: Vec<Port>,
    },
    /// One of another type.
    #[error("input '{}': expected {}, given {} ('{}')", expected.name, expected.kind, given.kind, given.name)]
    Type {
        /// The input.
        expected: Port,
        /// The output that it would get.
        given: Port,
    },
    /// An input that the component does not have.
    #[error("there is no input '{name}'; inputs are {}", list(known))]
    Unknown {
        /// What was named.
        name: String,
        /// The inputs.
        known: Vec<Port>,
    },
    /// An input that is left out though it is not optional.
    #[error("input '{name}' is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A source that is no output of a step in front.
    #[error("input '{input}': '{from}' is no output of a step in front; there are {}", names(known))]
    Source {
        /// The input.
        input: String,
        /// The source, as it was given.
        from: String,
        /// The outputs that there are.
        known: Vec<String>,
    },
    /// An adapter that picks an input that is not there.
    #[error("INPUT#{index} is not there: given {} ({})", given.len(), list(given))]
    Pick {
        /// The number of the input, from 0.
        index: usize,
        /// What the adapter would get.
        given: Vec<Port>,
    },
}

/// Why a workflow cannot run, or did not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkflowError {
    /// Inputs that do not fit a step.
    #[error("step '{step}': {problem}")]
    Ports {
        /// The step.
        step: String,
        /// What does not fit.
        problem: Box<PortProblem>,
    },
    /// Two steps of one name.
    #[error("two steps are called '{step}'")]
    Twice {
        /// The name.
        step: String,
    },
    /// A component that failed.
    #[error("step '{step}': {source}")]
    Failed {
        /// The step.
        step: String,
        /// Why.
        source: ComponentError,
    },
    /// A component that panicked.
    #[error("step '{step}' panicked: {message}")]
    Panicked {
        /// The step.
        step: String,
        /// What the panic said.
        message: String,
    },
    /// A component that did not give what its ports promise.
    #[error("step '{step}' gave {given} instead of {expected}")]
    Outputs {
        /// The step.
        step: String,
        /// The outputs that it has.
        expected: String,
        /// What it gave.
        given: String,
    },
    /// A step that is not to run, and whose outputs are needed and are not in the cache.
    #[error(
        "step '{needed_by}' needs the outputs of step '{step}', which is not to run and is not in the cache"
    )]
    NotCached {
        /// The step.
        step: String,
        /// The step that is to run.
        needed_by: String,
    },
    /// A cache that cannot be written.
    #[error("the cache {}: cannot write: {source}", path.display())]
    Cache {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The run was asked to stop.
    #[error("stopped before step '{step}'")]
    Stopped {
        /// The step that did not run.
        step: String,
    },
}

fn number(least: usize, most: usize) -> String {
    if least == most { most.to_string() } else { format!("{least} to {most}") }
}

/// Names and types of ports.
pub(super) fn list(ports: &[Port]) -> String {
    let port = |port: &Port| {
        let mark = if port.is_optional { "?" } else { "" };
        format!("{}{mark}: {}", port.name, port.kind)
    };
    names(&ports.iter().map(port).collect::<Vec<_>>())
}

fn names(names: &[String]) -> String {
    if names.is_empty() { "none".to_string() } else { names.join(", ") }
}
