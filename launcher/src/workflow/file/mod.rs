//! Workflow files: YAML with includes, changes of the command line, and references between values.
//!
//! ```text
//! files and what they include -> one tree -> --set -> ${references} -> steps
//! ```

mod change;
mod interpolate;
mod read;
mod tree;

pub(super) use change::change;
pub(super) use interpolate::interpolate;
pub(super) use read::read;
pub(super) use tree::{Content, Tree};

use crate::failure::Failure;

/// A mistake in a workflow file.
pub(super) fn mistake(origin: &impl std::fmt::Display, problem: &str) -> Failure {
    Failure::Usage { problem: format!("{origin}: {problem}"), hint: None }
}
