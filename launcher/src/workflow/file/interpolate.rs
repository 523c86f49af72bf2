//! References in values: `${training.epochs}` is what stands there, `${env:NAME}` a variable of the
//! environment, and `${env:NAME,default}` the default where it is not set. `$${` is `${` itself.
//!
//! A value that is one reference has the type of what it refers to, a whole table perhaps; in the middle of a
//! text, it must be a text, a number, or true or false.

use super::change::{parse, put_origin};
use super::mistake;
use super::tree::{Content, Tree};
use crate::cli::config::node::Value;
use crate::cli::config::settings::Origin;
use crate::failure::Failure;
use std::collections::HashSet;

/// The most values: references to references could take all memory.
const MAX_VALUES: usize = 1_000_000;

/// What is at `key` of `root` with all references replaced, and the top-level keys that they refer to.
pub(crate) fn interpolate(root: &Tree, key: &str) -> Result<(Tree, HashSet<String>), Failure> {
    let mut reader = Reader { root, open: Vec::new(), used: HashSet::new(), values: 0 };
    let tree = root.at(key).map_err(|problem| mistake(&root.origin.source, &problem))?;
    let tree = reader.expand(tree)?;
    Ok((tree, reader.used))
}

struct Reader<'t> {
    root: &'t Tree,
    /// The references around the current one.
    open: Vec<String>,
    used: HashSet<String>,
    values: usize,
}

impl Reader<'_> {
    fn expand(&mut self, tree: &Tree) -> Result<Tree, Failure> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(mistake(&tree.origin, &format!("a workflow can have {MAX_VALUES} values")));
        }
        let origin = tree.origin.clone();
        let content = match &tree.content {
            Content::Leaf(Value::Text(text)) => return self.text(text, &origin),
            Content::Leaf(value) => Content::Leaf(value.clone()),
            Content::List(items) => {
                Content::List(items.iter().map(|item| self.expand(item)).collect::<Result<_, _>>()?)
            }
            Content::Table(entries) => {
                let mut expanded = Vec::new();
                for (key, at, tree) in entries {
                    expanded.push((key.clone(), at.clone(), self.expand(tree)?));
                }
                Content::Table(expanded)
            }
        };
        Ok(Tree { content, origin })
    }

    fn text(&mut self, text: &str, origin: &Origin) -> Result<Tree, Failure> {
        let (mut done, mut rest) = (String::new(), text);
        while let Some(start) = rest.find("${") {
            if let Some(before) = rest[..start].strip_suffix('$') {
                done += before;
                done += "${";
                rest = &rest[start + 2..];
                continue;
            }
            let Some(len) = rest[start..].find('}') else {
                return Err(mistake(origin, &format!("'{}' has no closing brace", &rest[start..])));
            };
            let reference = &rest[start + 2..start + len];
            let value = self.refer(reference.trim(), origin)?;
            if done.is_empty() && start == 0 && len + 1 == rest.len() {
                return Ok(value);
            }
            done += &rest[..start];
            done += &value.scalar().ok_or_else(|| {
                mistake(origin, &format!("${{{reference}}} is {}, which fits into no text", value.describe()))
            })?;
            rest = &rest[start + len + 1..];
        }
        done += rest;
        Ok(Tree { content: Content::Leaf(Value::Text(done)), origin: origin.clone() })
    }

    fn refer(&mut self, reference: &str, origin: &Origin) -> Result<Tree, Failure> {
        if let Some(variable) = reference.strip_prefix("env:") {
            let (name, default) =
                variable.split_once(',').map_or((variable, None), |(name, default)| (name, Some(default)));
            let value =
                std::env::var(name.trim()).ok().or_else(|| default.map(|text| text.trim().to_string()));
            let Some(value) = value else {
                let problem = format!("the variable {name} is not set; ${{env:{name},VALUE}} has a default");
                return Err(mistake(origin, &problem));
            };
            // A value that is no YAML is a text.
            let text = || Tree { content: Content::Leaf(Value::Text(value.clone())), origin: origin.clone() };
            let mut tree = parse(&value).unwrap_or_else(|_| text());
            put_origin(&mut tree, origin);
            return Ok(tree);
        }
        if self.open.iter().any(|open| open == reference) {
            let circle = self.open.iter().map(String::as_str).chain([reference]).collect::<Vec<_>>();
            return Err(mistake(origin, &format!("references in a circle: {}", circle.join(" -> "))));
        }
        let target = self.root.at(reference);
        let target = target.map_err(|problem| mistake(origin, &format!("${{{reference}}}: {problem}")))?;
        self.used.extend(reference.split('.').next().map(str::to_string));
        self.open.push(reference.to_string());
        let tree = self.expand(target);
        self.open.pop();
        tree
    }
}
