//! Workflow files and the files that they include.

use super::mistake;
use super::tree::{Content, Tree};
use crate::cli::config::node::Value;
use crate::cli::config::yaml;
use crate::failure::Failure;
use crate::system::text_file;
use std::path::{Path, PathBuf};

/// The key by which a file says what it builds on.
const INCLUDE: &str = "include";
/// How deep files can include each other.
const MAX_DEPTH: usize = 32;

/// Reads the file at `path`, over what it includes.
pub(crate) fn read(path: &Path) -> Result<Tree, Failure> {
    read_in(path, &mut Vec::new())
}

/// `open` are the files around this one.
fn read_in(path: &Path, open: &mut Vec<PathBuf>) -> Result<Tree, Failure> {
    let source = path.display().to_string();
    let ending = path.extension().and_then(|ending| ending.to_str());
    if !matches!(ending, Some("yaml" | "yml")) {
        return Err(mistake(&source, "a workflow file must end in .yaml or .yml"));
    }
    let text = text_file::read(path).map_err(|error| mistake(&source, &format!("cannot read: {error}")))?;
    let node =
        yaml::read(&text).map_err(|found| mistake(&source, &format!("{}: {}", found.at, found.problem)))?;
    let mut own = Tree::new(node, &source);
    let Some(include) = take(&mut own, INCLUDE) else { return Ok(own) };
    open.push(std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf()));
    let items = match include.content {
        Content::List(items) => items,
        content => vec![Tree { content, origin: include.origin }],
    };
    let mut merged: Option<Tree> = None;
    for item in items {
        let Content::Leaf(Value::Text(name)) = &item.content else {
            return Err(mistake(&item.origin, "'include' must be a file or a list of files"));
        };
        // From the folder of this file, as in all programs that include files.
        let included = path.parent().unwrap_or(Path::new("")).join(name);
        let canonical = std::fs::canonicalize(&included).map_err(|error| {
            mistake(&item.origin, &format!("cannot include {}: {error}", included.display()))
        })?;
        if let Some(first) = open.iter().position(|open| *open == canonical) {
            let circle = open[first..].iter().chain([&canonical]).map(|path| path.display().to_string());
            let circle = circle.collect::<Vec<_>>().join(" -> ");
            return Err(mistake(&item.origin, &format!("files include each other in a circle: {circle}")));
        }
        if open.len() >= MAX_DEPTH {
            return Err(mistake(&item.origin, &format!("files can include each other {MAX_DEPTH} deep")));
        }
        let tree = read_in(&included, open)?;
        match &mut merged {
            Some(merged) => merged.merge(tree),
            None => merged = Some(tree),
        }
    }
    open.pop();
    Ok(match merged {
        Some(mut merged) => {
            merged.merge(own);
            merged
        }
        None => own,
    })
}

/// Takes `key` out of a table.
fn take(tree: &mut Tree, key: &str) -> Option<Tree> {
    let Content::Table(entries) = &mut tree.content else { return None };
    let place = entries.iter().position(|(known, ..)| known == key)?;
    Some(entries.remove(place).2)
}
