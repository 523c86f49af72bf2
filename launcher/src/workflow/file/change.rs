//! What `--set` changes in a workflow file.

use super::mistake;
use super::tree::{Content, Tree, position};
use crate::cli::config::node::Value;
use crate::cli::config::settings::Origin;
use crate::cli::config::yaml;
use crate::failure::Failure;
use std::collections::HashSet;

/// Applies one `--set` to `root`: `key=value` replaces, `+key=value` adds, `++key=value` does either, and
/// `~key` deletes. Returns the top-level keys of which it has made copies: a key inside a value that is a
/// reference is changed there alone, and not where else the same is referred to.
pub(crate) fn change(root: &mut Tree, set: &str) -> Result<HashSet<String>, Failure> {
    let origin = Origin { source: format!("--set {set}"), at: None };
    let wrong = |problem: &str| mistake(&origin, problem);
    if let Some(path) = set.strip_prefix('~') {
        let (parents, _) = path.rsplit_once('.').unwrap_or_default();
        let used = open(root, parents).map_err(|problem| wrong(&problem))?;
        return delete(root, path).map(|()| used).map_err(|problem| wrong(&problem));
    }
    let (path, text) = set.split_once('=').ok_or_else(|| wrong("must be as training.epochs=3"))?;
    let (may_add, must_add, path) = match (path.strip_prefix("++"), path.strip_prefix('+')) {
        (Some(path), _) => (true, false, path),
        (None, Some(path)) => (true, true, path),
        (None, None) => (false, false, path),
    };
    let path = path.trim();
    if path.split('.').any(str::is_empty) {
        return Err(wrong("must be as training.epochs=3"));
    }
    let mut value = parse(text).map_err(|problem| wrong(&problem))?;
    put_origin(&mut value, &origin);
    let (parents, key) = path.rsplit_once('.').map_or(("", path), |(parents, key)| (parents, key));
    let used = open(root, parents).map_err(|problem| wrong(&problem))?;
    let mut tree = root;
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        if tree.child(parent).is_none() {
            let problem = tree.unknown(parent);
            let Content::Table(entries) = &mut tree.content else { return Err(wrong(&problem)) };
            if !may_add {
                return Err(wrong(&problem));
            }
            let table = Tree { content: Content::Table(Vec::new()), origin: origin.clone() };
            entries.push((parent.to_string(), origin.clone(), table));
        }
        tree = tree.child_mut(parent).expect("it is there now");
        // A step without options is a bare name, or empty.
        if may_add && matches!(&tree.content, Content::Leaf(Value::Null)) {
            tree.content = Content::Table(Vec::new());
        }
    }
    match tree.child_mut(key) {
        Some(_) if must_add => Err(wrong(&format!("'{key}' is there already; ++{path}=VALUE replaces it"))),
        Some(child) => {
            *child = value;
            Ok(used)
        }
        None => {
            let problem = tree.unknown(key);
            match &mut tree.content {
                Content::Table(entries) if may_add => {
                    entries.push((key.to_string(), origin.clone(), value));
                    Ok(used)
                }
                Content::Table(_) => Err(wrong(&format!("{problem}; +{path}=VALUE adds it"))),
                _ => Err(wrong(&problem)),
            }
        }
    }
}

/// Replaces references on the way to `path` by what they refer to. Returns the top-level keys of that.
fn open(root: &mut Tree, path: &str) -> Result<HashSet<String>, String> {
    /// References to references must end.
    const MAX_DEPTH: usize = 32;
    let mut used = HashSet::new();
    let mut reached = Vec::new();
    for key in path.split('.').filter(|key| !key.is_empty()) {
        reached.push(key);
        for _ in 0..MAX_DEPTH {
            let here = reached.join(".");
            let Ok(tree) = root.at(&here) else { return Ok(used) };
            let Some(reference) = reference(tree) else { break };
            let target =
                root.at(&reference).map_err(|problem| format!("${{{reference}}}: {problem}"))?.clone();
            used.extend(reference.split('.').next().map(str::to_string));
            *root.at_mut(&here).expect("it was found") = target;
        }
    }
    Ok(used)
}

/// The place in the file that a value refers to, if it is one such reference.
fn reference(tree: &Tree) -> Option<String> {
    let Content::Leaf(Value::Text(text)) = &tree.content else { return None };
    let inside = text.strip_prefix("${")?.strip_suffix('}')?.trim();
    (!inside.contains(['$', '}']) && !inside.starts_with("env:")).then(|| inside.to_string())
}

/// A value as YAML has it.
pub(super) fn parse(text: &str) -> Result<Tree, String> {
    let node = yaml::read(&format!("x: {text}")).map_err(|found| found.problem)?;
    match Tree::new(node, "").child("x") {
        Some(value) => Ok(value.clone()),
        None => Err(format!("'{text}' is no value of YAML")),
    }
}

/// Says where a value comes from that stands in no file.
pub(super) fn put_origin(tree: &mut Tree, origin: &Origin) {
    tree.origin = origin.clone();
    match &mut tree.content {
        Content::Leaf(_) => (),
        Content::List(items) => items.iter_mut().for_each(|item| put_origin(item, origin)),
        Content::Table(entries) => {
            for (_, place, tree) in entries {
                *place = origin.clone();
                put_origin(tree, origin);
            }
        }
    }
}

fn delete(root: &mut Tree, path: &str) -> Result<(), String> {
    let (parents, key) = path.rsplit_once('.').map_or(("", path), |(parents, key)| (parents, key));
    let mut tree = root;
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        let problem = tree.unknown(parent);
        tree = tree.child_mut(parent).ok_or(problem)?;
    }
    let problem = tree.unknown(key);
    match &mut tree.content {
        Content::Leaf(_) => return Err(problem),
        Content::List(items) => {
            let place = position(items, key).ok_or(problem)?;
            items.remove(place);
        }
        Content::Table(entries) => {
            let place = entries.iter().position(|(known, ..)| known == key).ok_or(problem)?;
            entries.remove(place);
        }
    }
    Ok(())
}
