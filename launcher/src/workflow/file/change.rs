//! What `--set` changes in a workflow file.

use super::mistake;
use super::tree::{Content, Tree, position};
use crate::cli::config::node::Value;
use crate::cli::config::settings::Origin;
use crate::cli::config::yaml;
use crate::failure::Failure;

/// Applies one `--set` to `root`: `key=value` replaces, `+key=value` adds, `++key=value` does either, and
/// `~key` deletes.
pub(crate) fn change(root: &mut Tree, set: &str) -> Result<(), Failure> {
    let origin = Origin { source: format!("--set {set}"), at: None };
    let wrong = |problem: &str| mistake(&origin, problem);
    if let Some(path) = set.strip_prefix('~') {
        return delete(root, path).map_err(|problem| wrong(&problem));
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
            Ok(())
        }
        None => {
            let problem = tree.unknown(key);
            match &mut tree.content {
                Content::Table(entries) if may_add => {
                    entries.push((key.to_string(), origin.clone(), value));
                    Ok(())
                }
                Content::Table(_) => Err(wrong(&format!("{problem}; +{path}=VALUE adds it"))),
                _ => Err(wrong(&problem)),
            }
        }
    }
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
