//! Configurations: options from files, recipes and `--set`, put into the place of the options that name
//! them.
//!
//! ```text
//! words -> take out --config, --set, --recipe, --print-config
//!       -> files and what they include -> levels of settings -> those that count -> words
//! ```
//!
//! What comes out is a plain command line. So a configuration can say whatever options can say, the ranks of
//! a job get what the launcher has read, and a checkpoint keeps it.

mod files;
mod merge;
pub(crate) mod node;
mod options;
pub(crate) mod recipes;
pub(crate) mod settings;
pub(crate) mod sweep;
pub(crate) mod table;
mod toml;
mod write;
pub(crate) mod yaml;

pub(crate) use options::{CommandOptions, Kind};

use crate::cli::{Arguments, clap_error};
use crate::failure::Failure;
use clap::CommandFactory;
use files::Files;
use node::{Node, Position, Value};
use settings::{Level, Origin, unknown};
use std::ffi::OsString;
use std::path::PathBuf;

/// A command line without configurations.
#[derive(Debug)]
pub(crate) struct Expanded {
    /// The words, without the names of the program and the command.
    pub(crate) words: Vec<OsString>,
    pub(crate) origins: Origins,
    /// `--print-config` was among them.
    pub(crate) is_to_be_printed: bool,
}

/// Where the options stand that configurations have given.
#[derive(Debug, Default)]
pub(crate) struct Origins(Vec<(String, Origin)>);

/// What names the sources of options.
#[derive(Debug, Default)]
struct Sources {
    recipe: Option<String>,
    files: Vec<PathBuf>,
    sets: Vec<String>,
    is_to_be_printed: bool,
}

/// Puts options into the place of those among `words` that name their sources.
pub(crate) fn expand(options: &CommandOptions, words: Vec<OsString>) -> Result<Expanded, Failure> {
    let (sources, words) = take_sources(words)?;
    let mut files = Files::new(options);
    if let Some(recipe) = &sources.recipe {
        files.recipe(recipe, "--recipe")?;
    }
    sources.files.iter().try_for_each(|path| files.file(path))?;
    let mut levels = files.levels;
    for set in &sources.sets {
        levels.push(of_set(options, set)?);
    }
    let merged = merge::merge(options, levels, &words);
    let mut origins = Vec::new();
    let mut all = Vec::new();
    for setting in merged {
        origins.push((setting.id.replace('_', "-"), setting.origin));
        all.extend(setting.words);
    }
    all.extend(words);
    Ok(Expanded { words: all, origins: Origins(origins), is_to_be_printed: sources.is_to_be_printed })
}

/// Takes the sources of options out of `words`.
fn take_sources(words: Vec<OsString>) -> Result<(Sources, Vec<OsString>), Failure> {
    let (mut sources, mut rest) = (Sources::default(), Vec::new());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            rest.push(word);
            rest.extend(words.by_ref());
            break;
        }
        let (name, value) = match word.to_str().and_then(|text| text.split_once('=')) {
            Some((name, value)) => (name.to_string(), Some(OsString::from(value))),
            None => (word.to_string_lossy().into_owned(), None),
        };
        let mut value = || {
            let value = value.clone().or_else(|| words.next());
            value.ok_or_else(|| usage(format!("a value is required for '{name}' but none was supplied")))
        };
        let text = |value: OsString| {
            value.into_string().map_err(|value| usage(format!("{name}: {value:?} is not UTF-8")))
        };
        match name.as_str() {
            "--config" => sources.files.push(value()?.into()),
            "--set" => sources.sets.push(text(value()?)?),
            "--recipe" => {
                let recipe = text(value()?)?;
                if let Some(first) = &sources.recipe {
                    return Err(usage(format!("--recipe {recipe}: there is --recipe {first} already")));
                }
                sources.recipe = Some(recipe);
            }
            "--print-config" => sources.is_to_be_printed = true,
            // Bytes that are no text cannot be split at the '='.
            name if name.starts_with("--config=") => {
                return Err(usage(format!("only names in UTF-8 can be behind '--config=': {word:?}")));
            }
            _ => rest.push(word),
        }
    }
    Ok((sources, rest))
}

/// The setting that `--set` gives, as `optimizer.learning_rate=0.1`.
fn of_set(options: &CommandOptions, set: &str) -> Result<Level, Failure> {
    let problem = || usage(format!("--set {set}: must be as optimizer.learning_rate=0.1"));
    let (path, text) = set.split_once('=').ok_or_else(problem)?;
    let (path, text) = (path.trim(), text.trim());
    let origin = Origin { source: format!("--set {path}"), at: None };
    let key = path.rsplit('.').next().filter(|key| !key.is_empty()).ok_or_else(problem)?;
    let option = options.find(key).ok_or_else(|| unknown(options, key, &origin))?;
    // A value of TOML, or a text as it is.
    let value = toml::read_value(text).unwrap_or_else(|| Value::Text(text.to_string()));
    let mut level = Level::default();
    level.set(key, option, &Node { value, at: Position { line: 1, column: 1 } }, origin)?;
    Ok(level)
}

impl Origins {
    /// `failure`, with the place of the first option that it names and a configuration has given.
    pub(crate) fn explain(&self, failure: Failure) -> Failure {
        let Failure::Usage { problem, hint } = failure else { return failure };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let names = problem.match_indices("--").map(|(at, _)| {
            let name = &problem[at + 2..];
            &name[..name.find(|c| !is_name(c)).unwrap_or(name.len())]
        });
        let origin = names.filter_map(|name| self.0.iter().find(|(known, _)| known == name)).next();
        let problem = match origin {
            Some((_, origin)) => format!("{origin}: {problem}"),
            None => problem,
        };
        Failure::Usage { problem, hint }
    }
}

/// The options in effect of the command `name`, such as `train` or `data check`, with `words`, as a file for
/// `--config`.
pub(crate) fn effective(name: &str, words: &[OsString]) -> Result<String, Failure> {
    let options = CommandOptions::of(name).expect("a command that takes configurations");
    let command = std::iter::once("isograd").chain(name.split(' ')).map(OsString::from);
    let all: Vec<OsString> = command.chain(words.iter().cloned()).collect();
    let matches = Arguments::command().try_get_matches_from(&all);
    let matches = matches.map_err(|error| clap_error::failure(&error, &all))?;
    let of_command = name
        .split(' ')
        .fold(&matches, |matches, name| matches.subcommand_matches(name).expect("the command was given"));
    write::to_toml(&options, of_command)
}

/// Whether `text` is a number of TOML that means the same as an option's value.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (digits, None),
    };
    let (whole, fraction) =
        mantissa.split_once('.').map_or((mantissa, None), |(whole, fraction)| (whole, Some(fraction)));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = whole == "0" || !whole.starts_with('0');
    let fits = fraction.is_some() || exponent.is_some() || text.parse::<i64>().is_ok();
    are_digits(whole)
        && is_plain
        && fraction.is_none_or(are_digits)
        && exponent.is_none_or(are_digits)
        && fits
}

fn usage(problem: String) -> Failure {
    Failure::Usage { problem, hint: None }
}

#[cfg(test)]
mod tests;
