//! What a workflow file holds: values with the file and the place that they come from.

use crate::cli::config::node::{Entry, Node, Position, Value};
use crate::cli::config::settings::Origin;
use crate::system::names;
use serde_json::{Map, Value as Json};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) content: Content,
    pub(crate) origin: Origin,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// Neither a list nor a table.
    Leaf(Value),
    List(Vec<Tree>),
    /// Keys in the order of the file, each with where it stands.
    Table(Vec<(String, Origin, Tree)>),
}

impl Tree {
    /// What `source` has at `node`.
    pub(super) fn new(node: Node, source: &str) -> Self {
        let origin = |at: Position| Origin { source: source.to_string(), at: Some(at) };
        let content = match node.value {
            Value::List(items) => {
                Content::List(items.into_iter().map(|item| Self::new(item, source)).collect())
            }
            Value::Table(entries) => Content::Table(
                entries
                    .into_iter()
                    .map(|Entry { key, at, node }| (key, origin(at), Self::new(node, source)))
                    .collect(),
            ),
            leaf => Content::Leaf(leaf),
        };
        Self { content, origin: origin(node.at) }
    }

    /// The keys of a table; none of anything else.
    pub(crate) fn keys(&self) -> Vec<&str> {
        match &self.content {
            Content::Table(entries) => entries.iter().map(|(key, ..)| key.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// What is under `key`: of a table; of a list, an item by its number, or a step by its name.
    pub(super) fn child(&self, key: &str) -> Option<&Self> {
        match &self.content {
            Content::Leaf(_) => None,
            Content::List(items) => {
                let item = &items[position(items, key)?];
                Some(if key.parse::<usize>().is_ok() { item } else { item.body() })
            }
            Content::Table(entries) => entries.iter().find(|(known, ..)| known == key).map(|(.., tree)| tree),
        }
    }

    /// As [`child`](Self::child), to be changed.
    pub(super) fn child_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.content {
            Content::Leaf(_) => None,
            Content::List(items) => {
                let number = position(items, key)?;
                let item = &mut items[number];
                Some(if key.parse::<usize>().is_ok() { item } else { item.body_mut() })
            }
            Content::Table(entries) => {
                entries.iter_mut().find(|(known, ..)| known == key).map(|(.., tree)| tree)
            }
        }
    }

    /// The options of a step in a list, `trainer: {…}`; the item itself if it has another form.
    fn body(&self) -> &Self {
        match &self.content {
            Content::Table(entries) if entries.len() == 1 => &entries[0].2,
            _ => self,
        }
    }

    fn body_mut(&mut self) -> &mut Self {
        if !matches!(&self.content, Content::Table(entries) if entries.len() == 1) {
            return self;
        }
        match &mut self.content {
            Content::Table(entries) => &mut entries[0].2,
            _ => unreachable!("it is a table"),
        }
    }

    /// What is at the dotted `path`, or why it is not there.
    pub(super) fn at(&self, path: &str) -> Result<&Self, String> {
        let mut tree = self;
        for key in path.split('.') {
            tree = tree.child(key).ok_or_else(|| tree.unknown(key))?;
        }
        Ok(tree)
    }

    /// As [`at`](Self::at), to be changed.
    pub(super) fn at_mut(&mut self, path: &str) -> Option<&mut Self> {
        path.split('.').try_fold(self, |tree, key| tree.child_mut(key))
    }

    /// The message that there is no `key` here.
    pub(super) fn unknown(&self, key: &str) -> String {
        match &self.content {
            Content::Leaf(value) => format!("'{key}' cannot be in {}, which is one value", value.describe()),
            Content::List(items) => {
                let known: Vec<&str> = items.iter().filter_map(name_of).collect();
                names::unknown("step", key, &known)
            }
            Content::Table(_) => names::unknown("key", key, &self.keys()),
        }
    }

    /// A text, a number, or true or false.
    pub(crate) fn scalar(&self) -> Option<String> {
        match &self.content {
            Content::Leaf(value) => value.scalar(),
            _ => None,
        }
    }

    /// What it is, in words.
    pub(crate) fn describe(&self) -> String {
        match &self.content {
            Content::Leaf(value) => value.describe(),
            Content::List(items) => format!("a list of {}", items.len()),
            Content::Table(_) => "a table".to_string(),
        }
    }

    /// The same as options of a command take it.
    pub(crate) fn node(&self) -> Node {
        let at = |origin: &Origin| origin.at.unwrap_or(Position { line: 1, column: 1 });
        let value = match &self.content {
            Content::Leaf(value) => value.clone(),
            Content::List(items) => Value::List(items.iter().map(Self::node).collect()),
            Content::Table(entries) => {
                let entry = |(key, origin, tree): &(String, Origin, Self)| Entry {
                    key: key.clone(),
                    at: at(origin),
                    node: tree.node(),
                };
                Value::Table(entries.iter().map(entry).collect())
            }
        };
        Node { value, at: at(&self.origin) }
    }

    /// The same in JSON.
    pub(crate) fn json(&self) -> Json {
        match &self.content {
            Content::Leaf(Value::Switch(switch)) => Json::Bool(*switch),
            Content::Leaf(Value::Number(number)) => {
                serde_json::from_str(number).unwrap_or_else(|_| Json::String(number.clone()))
            }
            Content::Leaf(value) => value.scalar().map_or(Json::Null, Json::String),
            Content::List(items) => Json::Array(items.iter().map(Self::json).collect()),
            Content::Table(entries) => {
                let entries = entries.iter().map(|(key, _, tree)| (key.clone(), tree.json()));
                Json::Object(entries.collect::<Map<_, _>>())
            }
        }
    }

    /// Puts `other` over this one: tables are joined, anything else is replaced.
    pub(super) fn merge(&mut self, other: Self) {
        match (&mut self.content, other.content) {
            (Content::Table(own), Content::Table(others)) => {
                for (key, origin, tree) in others {
                    match own.iter_mut().find(|(known, ..)| *known == key) {
                        Some((_, place, below)) => {
                            *place = origin;
                            below.merge(tree);
                        }
                        None => own.push((key, origin, tree)),
                    }
                }
                self.origin = other.origin;
            }
            (_, content) => *self = Self { content, origin: other.origin },
        }
    }
}

/// Which item of a list `key` means.
pub(super) fn position(items: &[Tree], key: &str) -> Option<usize> {
    match key.parse::<usize>() {
        Ok(number) => (number < items.len()).then_some(number),
        Err(_) => items.iter().position(|item| name_of(item) == Some(key)),
    }
}

/// The name of a step in a list: that under `name`, or that of its component.
fn name_of(item: &Tree) -> Option<&str> {
    let text = |tree: &'_ Tree| matches!(tree.content, Content::Leaf(Value::Text(_)));
    match &item.content {
        Content::Leaf(Value::Text(name)) => Some(name),
        Content::Table(entries) if entries.len() == 1 => {
            let (key, _, body) = &entries[0];
            match body.child("name").filter(|name| text(name)).map(|name| &name.content) {
                Some(Content::Leaf(Value::Text(name))) => Some(name),
                _ => Some(key),
            }
        }
        _ => None,
    }
}
