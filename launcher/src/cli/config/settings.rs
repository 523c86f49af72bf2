//! Settings: options with the values that files give them, and where those stand.

use super::node::{Entry, Node, Position, Value};
use super::options::{CommandOptions, Kind, id};
use crate::cli::parsers;
use crate::failure::Failure;
use clap::Arg;
use std::ffi::OsString;

/// Where a setting stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Origin {
    /// The option that leads there, as `--config cifar.toml`.
    pub(crate) source: String,
    /// The place in the text, if it is a file.
    pub(crate) at: Option<Position>,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.source)?;
        self.at.map_or(Ok(()), |at| write!(f, ": {at}"))
    }
}

/// An option with its value.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    /// What clap calls the option.
    pub(super) id: String,
    /// As words of a command line; none if the option is turned off.
    pub(super) words: Vec<OsString>,
    /// The value, where it is one word.
    pub(super) text: Option<String>,
    pub(super) origin: Origin,
}

/// The settings of one file, recipe, or `--set`, none of them twice.
#[derive(Debug, Default)]
pub(super) struct Level(pub(super) Vec<Setting>);

/// The keys that a network file has at least, by which a table `model` is one and no section.
const OF_NETWORKS: [&str; 2] = ["layers", "input"];

impl Level {
    /// Adds the settings in `entries`, through all sections. Those of other commands are left out.
    pub(super) fn add(
        &mut self,
        options: &CommandOptions,
        entries: &[Entry],
        source: &str,
    ) -> Result<(), Failure> {
        for Entry { key, at, node } in entries {
            let origin = Origin { source: source.to_string(), at: Some(*at) };
            match (&node.value, options.find(key)) {
                (Value::Table(inner), option) if !(option.is_some() && is_network(key, inner)) => {
                    self.add(options, inner, source)?;
                }
                (_, Some(option)) => self.set(key, option, node, origin)?,
                (_, None) if options.is_elsewhere(key) => (),
                (_, None) => return Err(unknown(options, key, &origin)),
            }
        }
        Ok(())
    }

    /// Adds the option that `key` names.
    pub(super) fn set(
        &mut self,
        key: &str,
        option: &Arg,
        node: &Node,
        origin: Origin,
    ) -> Result<(), Failure> {
        if let Some(first) = self.0.iter().find(|setting| setting.id == id(option)) {
            let place = first.origin.at.map_or_else(String::new, |at| format!(" in {at}"));
            return Err(usage(format!("{origin}: '{key}' is given twice, first{place}")));
        }
        let words = words(option, &node.value).map_err(|expected| {
            let value_at = Origin { at: origin.at.map(|_| node.at), ..origin.clone() };
            usage(format!("{value_at}: '{key}' must be {expected}, it is {}", node.value.describe()))
        })?;
        self.0.push(Setting { id: id(option), words, text: node.value.scalar(), origin });
        Ok(())
    }
}

pub(super) fn is_network(key: &str, entries: &[Entry]) -> bool {
    key == "model" && entries.iter().any(|entry| OF_NETWORKS.contains(&entry.key.as_str()))
}

/// The failure that no command has an option called `key`.
pub(super) fn unknown(options: &CommandOptions, key: &str, origin: &Origin) -> Failure {
    let nearest = options.nearest(key).map(|known| format!("; did you mean '{known}'?"));
    Failure::Usage {
        problem: format!("{origin}: unknown key '{key}'{}", nearest.unwrap_or_default()),
        hint: Some("keys are called as options are, 'isograd train --help' lists them".to_string()),
    }
}

/// The option with this value, as words of a command line; or what its value should be.
fn words(option: &Arg, value: &Value) -> Result<Vec<OsString>, String> {
    let name = option.get_long().expect("options have long names");
    let word = |value: String| vec![OsString::from(format!("--{name}={value}"))];
    let bare = || vec![OsString::from(format!("--{name}"))];
    let scalars = |items: &[Node]| items.iter().map(|item| item.value.scalar()).collect::<Option<Vec<_>>>();
    match (Kind::of(option), value) {
        (_, Value::Null) => Ok(Vec::new()),
        (Kind::Switch, value) => {
            let switch = value.scalar().and_then(|text| parsers::switch(&text).ok());
            let is_on = switch.ok_or_else(|| "true or false".to_string())?;
            Ok(if is_on { bare() } else { Vec::new() })
        }
        (Kind::OptionalValue, Value::Switch(true)) => Ok(bare()),
        (Kind::OptionalValue, Value::Switch(false)) => Ok(Vec::new()),
        (Kind::Several(delimiter), Value::List(items)) => {
            let items = scalars(items).ok_or("a list of numbers, texts, true or false")?;
            Ok(match delimiter {
                _ if items.is_empty() => Vec::new(),
                Some(delimiter) => word(items.join(&delimiter.to_string())),
                None => items.into_iter().flat_map(word).collect(),
            })
        }
        (Kind::One | Kind::OptionalValue, Value::List(items)) => {
            Ok(word(scalars(items).ok_or("numbers or texts")?.join(",")))
        }
        (_, Value::Table(entries)) if is_network(name, entries) => Ok(word(network(entries))),
        (_, Value::Table(_)) => Err("one value".to_string()),
        (_, value) => Ok(word(value.scalar().expect("neither a list, nor a table, nor empty"))),
    }
}

/// The text of a network file with these keys: a layer on each line.
fn network(entries: &[Entry]) -> String {
    let mut text = String::new();
    for Entry { key, node, .. } in entries {
        text += &match &node.value {
            Value::List(items) if key == "layers" => {
                let items = items.iter().map(|item| format!("    {},\n", item.value.to_toml()));
                format!("layers = [\n{}]\n", items.collect::<String>())
            }
            value => format!("{} = {}\n", super::node::quoted(key), value.to_toml()),
        };
    }
    text
}

fn usage(problem: String) -> Failure {
    Failure::Usage { problem, hint: None }
}
