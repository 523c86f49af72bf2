//! What `isograd sweep` needs of a workflow file: what to search, and whether it can be changed so.

use super::file::{self, Content, Tree};
use super::{SWEEP, WORKFLOW};
use crate::cli::config::node::{Entry, Position};
use crate::failure::Failure;
use std::path::Path;

/// A workflow file, as `isograd sweep` needs it.
#[derive(Debug)]
pub(crate) struct SearchedFile(Tree);

impl SearchedFile {
    /// Reads the file at `path` with what it includes; `None` if it has no steps.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Failure> {
        if !path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
            return Ok(None);
        }
        let root = file::read(path)?;
        Ok(root.keys().contains(&WORKFLOW).then_some(Self(root)))
    }

    /// The section that says what to search, and the file that has it.
    pub(crate) fn section(&self) -> Option<(Entry, String)> {
        let Content::Table(entries) = &self.0.content else { return None };
        let (key, origin, tree) = entries.iter().find(|(key, ..)| key == SWEEP)?;
        let at = origin.at.unwrap_or(Position { line: 1, column: 1 });
        Some((Entry { key: key.clone(), at, node: tree.node() }, origin.source.clone()))
    }

    /// Checks that `isograd run` would take `sets`, and that all references lead somewhere then.
    pub(crate) fn check(&self, sets: &[String]) -> Result<(), Failure> {
        self.pipe(sets).map(drop)
    }

    /// The steps, with `sets`.
    fn pipe(&self, sets: &[String]) -> Result<Tree, Failure> {
        let mut root = self.0.clone();
        for set in sets {
            file::change(&mut root, set)?;
        }
        file::interpolate(&root, WORKFLOW).map(|(pipe, _)| pipe)
    }

    /// The epochs of the last training, with `sets`.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check), and when there is no training, or none that can pause after each epoch.
    pub(crate) fn epochs(&self, sets: &[String]) -> Result<u32, Failure> {
        super::steps::last_training(&self.pipe(sets)?).map(|(_, epochs)| epochs)
    }

    /// The values of all files together, without the sweep.
    pub(crate) fn text(&self) -> String {
        let mut json = self.0.json();
        if let Some(table) = json.as_object_mut() {
            table.remove(SWEEP);
        }
        json.to_string()
    }
}
