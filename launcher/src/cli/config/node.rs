//! What a configuration file holds, whatever its format: values and tables with their places.

use std::fmt;

/// A place in a text: line and character in it, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Position {
    /// The place of byte `offset` of `text`.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: 1 + before.matches('\n').count(), column: 1 + before[line_start..].chars().count() }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A mistake in a text.
#[derive(Debug)]
pub(crate) struct Mistake {
    pub(crate) at: Position,
    pub(crate) problem: String,
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) at: Position,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Nothing: the option is as if it were not given.
    Null,
    Switch(bool),
    /// A number as it is written, in decimal digits.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key of a table, and what it has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Position,
    pub(crate) node: Node,
}

impl Value {
    /// What it is, in words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "empty".to_string(),
            Self::Switch(switch) => switch.to_string(),
            Self::Number(number) => number.clone(),
            Self::Text(text) => format!("'{text}'"),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Table(_) => "a table".to_string(),
        }
    }

    /// A number, a text, or true or false, as an option takes it.
    pub(crate) fn scalar(&self) -> Option<String> {
        match self {
            Self::Switch(switch) => Some(switch.to_string()),
            Self::Number(text) | Self::Text(text) => Some(text.clone()),
            Self::Null | Self::List(_) | Self::Table(_) => None,
        }
    }

    /// The value in TOML, on one line.
    pub(crate) fn to_toml(&self) -> String {
        let list =
            |items: Vec<String>, [open, close]: [&str; 2]| format!("{open}{}{close}", items.join(", "));
        match self {
            Self::Null => "\"\"".to_string(),
            Self::Switch(switch) => switch.to_string(),
            Self::Number(number) => number.clone(),
            Self::Text(text) => quoted(text),
            Self::List(items) => list(items.iter().map(|item| item.value.to_toml()).collect(), ["[", "]"]),
            Self::Table(entries) => {
                let entry =
                    |Entry { key, node, .. }: &Entry| format!("{} = {}", quoted(key), node.value.to_toml());
                list(entries.iter().map(entry).collect(), ["{ ", " }"])
            }
        }
    }
}

/// `text` as a string of TOML.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => quoted += &format!("\\u{:04X}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
