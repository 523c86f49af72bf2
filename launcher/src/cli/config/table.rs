//! Options of a command from a table of another file, such as a step of a workflow.

use super::Origins;
use super::node::{Node, Value};
use super::options::CommandOptions;
use super::settings::{Level, Origin, is_network, unknown};
use crate::failure::Failure;
use std::ffi::OsString;

/// A key with its value, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) key: String,
    pub(crate) node: Node,
    pub(crate) origin: Origin,
}

/// Whether the command called `name` has an option called `key`.
pub(crate) fn has_option(name: &str, key: &str) -> bool {
    CommandOptions::of_any(name).is_some_and(|options| options.find(key).is_some())
}

/// The options `given` for the command called `name`, through all sections, as words; and where they stand.
pub(crate) fn words(name: &str, given: &[Given]) -> Result<(Vec<OsString>, Origins), Failure> {
    let options = CommandOptions::of_any(name).expect("the name of a command");
    let mut level = Level::default();
    add(&options, &mut level, given)?;
    let origins =
        level.0.iter().map(|setting| (setting.id.replace('_', "-"), setting.origin.clone())).collect();
    Ok((level.0.into_iter().flat_map(|setting| setting.words).collect(), Origins(origins)))
}

fn add(options: &CommandOptions, level: &mut Level, given: &[Given]) -> Result<(), Failure> {
    for Given { key, node, origin } in given {
        match (&node.value, options.find(key)) {
            (Value::Table(entries), option) if !(option.is_some() && is_network(key, entries)) => {
                let entry = |entry: &super::node::Entry| Given {
                    key: entry.key.clone(),
                    node: entry.node.clone(),
                    origin: Origin { at: origin.at.map(|_| entry.at), ..origin.clone() },
                };
                add(options, level, &entries.iter().map(entry).collect::<Vec<_>>())?;
            }
            (_, Some(option)) => level.set(key, option, node, origin.clone())?,
            (_, None) => return Err(unknown(options, key, origin)),
        }
    }
    Ok(())
}
