//! Which of several settings counts: the command line's before those of `--set`, these before those of files,
//! and those of later files before those of earlier ones.

use super::options::CommandOptions;
use super::settings::{Level, Setting};
use crate::cli::{optimizer_plan, schedule_plan};
use std::ffi::OsString;

/// The settings that count, from the lowest of `levels` up, beside the options of the command line `words`.
///
/// An option that excludes one of a higher level does not count, nor does a file's parameter of an optimizer
/// or of a schedule in whose place a higher level has put another one.
pub(super) fn merge(options: &CommandOptions, levels: Vec<Level>, words: &[OsString]) -> Vec<Setting> {
    let mut taken = options.given(words);
    let mut chosen = [("optimizer", None), ("schedule", None)];
    for (id, name) in &mut chosen {
        *name = value_of(words, id);
    }
    let mut merged = Vec::new();
    for Level(settings) in levels.into_iter().rev() {
        let excluded: Vec<String> = options
            .iter()
            .filter(|arg| taken.contains(&super::options::id(arg)))
            .flat_map(|arg| options.conflicts(arg))
            .collect();
        let counts = |setting: &Setting| {
            let is_of_file = setting.origin.at.is_some();
            let is_of_another = |(id, name): &(&str, Option<String>)| {
                is_of_file && is_of_another(id, name.as_deref(), &setting.id)
            };
            !taken.contains(&setting.id)
                && !excluded.contains(&setting.id)
                && !chosen.iter().any(is_of_another)
        };
        let kept: Vec<Setting> = settings.into_iter().filter(counts).collect();
        for setting in &kept {
            taken.push(setting.id.clone());
            if let Some((_, name)) = chosen.iter_mut().find(|(id, _)| *id == setting.id) {
                *name = name.take().or_else(|| setting.text.clone());
            }
        }
        merged.splice(0..0, kept);
    }
    merged
}

/// Whether the option `parameter` is one of optimizers, or of schedules, but not of the one called `name`.
fn is_of_another(owner: &str, name: Option<&str>, parameter: &str) -> bool {
    let Some(name) = name else { return false };
    let parameter = parameter.replace('_', "-");
    let has =
        |parameters: Option<Vec<&'static str>>| parameters.map(|names| names.contains(&parameter.as_str()));
    match owner {
        "optimizer" => {
            let is_any = isograd_model::optimizer::NAMES.iter();
            let is_any = is_any.clone().any(|name| has(optimizer_plan::parameters_of(name)) == Some(true));
            is_any && has(optimizer_plan::parameters_of(name)) == Some(false)
        }
        _ => {
            let is_any =
                schedule_plan::NAMES.iter().any(|name| has(schedule_plan::parameters_of(name)) == Some(true));
            is_any && has(schedule_plan::parameters_of(name)) == Some(false)
        }
    }
}

/// The value of the option `name` among `words`.
fn value_of(words: &[OsString], name: &str) -> Option<String> {
    let option = format!("--{name}");
    let mut words = words.iter().filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        match word.strip_prefix(&option) {
            Some("") => return words.next().map(str::to_string),
            Some(rest) => {
                if let Some(value) = rest.strip_prefix('=') {
                    return Some(value.to_string());
                }
            }
            None => (),
        }
    }
    None
}
