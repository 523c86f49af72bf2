//! The options in effect as a configuration file.

use super::node::quoted;
use super::options::{CommandOptions, Kind};
use crate::cli::parsers;
use crate::failure::Failure;
use clap::{Arg, ArgMatches};
use std::ffi::OsStr;

/// A file for `--config` with all options that `matches` have, given or by default, in sections as in the
/// help. With it the command does the same again.
pub(super) fn to_toml(options: &CommandOptions, matches: &ArgMatches) -> Result<String, Failure> {
    let mut sections: Vec<(String, String)> = Vec::new();
    for arg in options.iter() {
        let Some(value) = value(arg, matches)? else { continue };
        let section = arg.get_help_heading().and_then(|heading| heading.split(' ').next_back());
        let section = section.unwrap_or_default().to_lowercase();
        let line = format!("{} = {value}\n", arg.get_id());
        match sections.iter_mut().find(|(name, _)| *name == section) {
            Some((_, lines)) => *lines += &line,
            // Lines without a section come before all sections.
            None if section.is_empty() => sections.insert(0, (section, line)),
            None => sections.push((section, line)),
        }
    }
    let section = |(name, lines): &(String, String)| match name.is_empty() {
        true => lines.clone(),
        false => format!("[{name}]\n{lines}"),
    };
    Ok(sections.iter().map(section).collect::<Vec<_>>().join("\n"))
}

/// The value of an option in TOML, if it has one that a file can say.
fn value(arg: &Arg, matches: &ArgMatches) -> Result<Option<String>, Failure> {
    let raw = matches.try_get_raw(arg.get_id().as_str()).ok().flatten();
    let Some(raw) = raw else { return Ok(None) };
    let texts = raw.map(OsStr::to_str).collect::<Option<Vec<&str>>>().ok_or_else(|| Failure::Usage {
        problem: format!(
            "--{}: a configuration can hold names in UTF-8 only",
            arg.get_id().as_str().replace('_', "-")
        ),
        hint: None,
    })?;
    let is_on = |text: &str| parsers::switch(text).ok();
    Ok(match (Kind::of(arg), texts.as_slice()) {
        (_, []) | (Kind::Switch, ["false"]) => None,
        (Kind::Switch, _) => Some("true".to_string()),
        (Kind::OptionalValue, [text]) if is_on(text).is_some() => is_on(text).map(|is_on| is_on.to_string()),
        (Kind::Several(_), texts) => {
            Some(format!("[{}]", texts.iter().map(|text| scalar(text)).collect::<Vec<_>>().join(", ")))
        }
        (_, texts) => Some(scalar(&texts.join(","))),
    })
}

/// A number as it is, and any other text as a string.
fn scalar(text: &str) -> String {
    if super::is_number(text) {
        return text.to_string();
    }
    // A network is easier to read as the lines that it has.
    if text.contains('\n') && !text.contains("'''") && !text.contains(|c: char| c.is_control() && c != '\n') {
        return format!("'''\n{text}'''");
    }
    quoted(text)
}
