//! The options of a step.

use crate::cli::config::node::Value;
use crate::cli::config::settings::Origin;
use crate::cli::config::table::Given;
use crate::failure::Failure;
use crate::system::names;
use crate::workflow::file::{Content, Tree, mistake};

/// The options of a step, from which components take theirs.
#[derive(Debug)]
pub(in crate::workflow) struct Options {
    /// The name of the step.
    pub(in crate::workflow) step: String,
    pub(in crate::workflow) origin: Origin,
    entries: Vec<(String, Origin, Tree)>,
}

impl Options {
    /// Those in `body`, which may be empty.
    pub(super) fn new(step: &str, origin: Origin, body: Option<&Tree>) -> Result<Self, Failure> {
        let entries = match body.map(|body| &body.content) {
            None | Some(Content::Leaf(Value::Null)) => Vec::new(),
            Some(Content::Table(entries)) => entries.clone(),
            Some(_) => {
                let found = body.map(Tree::describe).unwrap_or_default();
                return Err(mistake(
                    &origin,
                    &format!("the options of '{step}' must be a table, found {found}"),
                ));
            }
        };
        Ok(Self { step: step.to_string(), origin, entries })
    }

    /// Takes the option called `key`.
    pub(super) fn take(&mut self, key: &str) -> Option<Tree> {
        let place = self.entries.iter().position(|(known, ..)| known.replace('-', "_") == key)?;
        Some(self.entries.remove(place).2)
    }

    /// Takes a text, or a number as one.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Failure> {
        let Some(tree) = self.take(key) else { return Ok(None) };
        let text = tree.scalar().ok_or_else(|| expected(&tree, key, "a text"))?;
        Ok(Some(text))
    }

    /// Takes a number.
    pub(super) fn number(&mut self, key: &str) -> Result<Option<f64>, Failure> {
        let Some(tree) = self.take(key) else { return Ok(None) };
        let number = tree.json().as_f64();
        number.map(Some).ok_or_else(|| expected(&tree, key, "a number"))
    }

    /// Takes true or false.
    pub(super) fn switch(&mut self, key: &str) -> Result<bool, Failure> {
        let Some(tree) = self.take(key) else { return Ok(false) };
        tree.json().as_bool().ok_or_else(|| expected(&tree, key, "true or false"))
    }

    /// Takes a list of texts; a text alone is a list of one.
    pub(super) fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, Failure> {
        let Some(tree) = self.take(key) else { return Ok(None) };
        let texts = match &tree.content {
            Content::List(items) => items.iter().map(Tree::scalar).collect::<Option<Vec<_>>>(),
            _ => tree.scalar().map(|text| vec![text]),
        };
        texts.map(Some).ok_or_else(|| expected(&tree, key, "a list of texts"))
    }

    /// The mistake that `key` is missing.
    pub(super) fn missing(&self, key: &str) -> Failure {
        mistake(&self.origin, &format!("the step '{}' needs '{key}'", self.step))
    }

    /// A mistake in the step.
    pub(super) fn mistake(&self, problem: &str) -> Failure {
        mistake(&self.origin, problem)
    }

    /// All that are left, for a command that has such options.
    pub(super) fn given(self) -> Vec<Given> {
        let given = |(key, origin, tree): (String, Origin, Tree)| {
            // The place of a key that a file has is told by its own line.
            Given { key, node: tree.node(), origin }
        };
        self.entries.into_iter().map(given).collect()
    }

    /// Refuses what is left; the component knows the keys `known`.
    pub(super) fn end(self, known: &[&str]) -> Result<(), Failure> {
        match self.entries.first() {
            None => Ok(()),
            Some((key, origin, _)) => Err(mistake(origin, &names::unknown("key", key, known))),
        }
    }
}

/// The mistake that a value is of another type.
pub(super) fn expected(tree: &Tree, key: &str, what: &str) -> Failure {
    mistake(&tree.origin, &format!("'{key}' must be {what}, it is {}", tree.describe()))
}
