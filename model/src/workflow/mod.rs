//! Workflows: components whose outputs are the inputs of others, checked before anything runs.
//!
//! A [`Component`] has named, typed ports and does one thing. A [`Workflow`] is a list of steps, each a
//! component with a name. The outputs of a step are the inputs of the next one, in order, or inputs are wired
//! by name, which makes a graph. Numbers of values and their types are checked before the first step runs.
//! A step whose inputs, code and configuration have not changed can be taken from a [`Cache`].
//!
//! Values are JSON, which programs and caches can hold, or any Rust object, which they cannot.
//!
//! ```
//! use isograd_model::workflow::{Component, ComponentError, Port, Type, Values, Workflow};
//!
//! struct Double;
//!
//! impl Component for Double {
//!     fn inputs(&self) -> Vec<Port> {
//!         vec![Port::new("x", Type::Number)]
//!     }
//!     fn outputs(&self) -> Vec<Port> {
//!         vec![Port::new("y", Type::Number)]
//!     }
//!     fn execute(&mut self, inputs: Values) -> Result<Values, ComponentError> {
//!         Ok(Values::new().with("y", 2.0 * inputs.number("x")?))
//!     }
//! }
//!
//! let mut workflow = Workflow::new("four times").step("first", Double).step("second", Double);
//! let out = workflow.run(Values::new().with("x", 1.5))?;
//! assert_eq!(out.number("y")?, 6.0);
//! # Ok::<(), ComponentError>(())
//! ```

mod adapter;
mod cache;
mod command;
mod component;
mod error;
mod plan;
mod registry;
mod run;
mod value;

pub use adapter::{Adapter, Pick};
pub use cache::Cache;
pub use command::CommandComponent;
pub use component::{Component, ComponentError, Port};
pub use error::{PortProblem, WorkflowError};
pub use plan::{Plan, PlannedStep, Workflow};
pub use registry::Registry;
pub use run::{Event, Runner};
pub use value::{Type, Value, Values};
