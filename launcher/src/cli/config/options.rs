//! The options of a command, as clap describes them: the one list of names that configurations, checkpoints
//! and the command line share.

use crate::cli::{Arguments, ConfigArgs};
use clap::{Arg, ArgAction, Args, Command, CommandFactory};
use std::ffi::OsString;

/// The options of a command.
#[derive(Debug)]
pub(crate) struct CommandOptions {
    command: Command,
    /// The names of options that other commands have.
    elsewhere: Vec<String>,
}

impl CommandOptions {
    /// Those of the command called `name`, such as `train` or `data check`, if it takes configurations.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let mut all = Vec::new();
        configurable(&Arguments::command(), "", &mut all);
        let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(known, _)| known == name);
        let (_, command) = own.into_iter().next()?;
        let elsewhere = others.iter().flat_map(|(_, command)| settable(command).flat_map(names)).collect();
        Some(Self { command, elsewhere })
    }

    /// Those of the command called `name`, which need not take configurations.
    pub(crate) fn of_any(name: &str) -> Option<Self> {
        let command = Arguments::command().find_subcommand(name)?.clone();
        Some(Self { command, elsewhere: Vec::new() })
    }

    /// All of them, without those that say where other options come from.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arg> {
        settable(&self.command)
    }

    /// The option called `name`, by any of its names, with `_` or `-`.
    pub(crate) fn find(&self, name: &str) -> Option<&Arg> {
        let name = name.replace('_', "-");
        self.iter().find(|arg| names(arg).contains(&name))
    }

    /// Whether another command has an option called `name`.
    pub(super) fn is_elsewhere(&self, name: &str) -> bool {
        self.elsewhere.contains(&name.replace('_', "-"))
    }

    /// The name of an option that is most like `name`, with underscores, as in files.
    pub(super) fn nearest(&self, name: &str) -> Option<String> {
        /// How alike two names must be, from 0 to 1, for one to be proposed for the other.
        const ALIKE: f64 = 0.8;
        let name = name.to_lowercase().replace('-', "_");
        let known = self.iter().flat_map(names).map(|known| known.replace('-', "_"));
        let likeness = known.map(|known| (strsim::jaro_winkler(&known, &name), known));
        let nearest = likeness.filter(|(likeness, _)| *likeness > ALIKE).max_by(|a, b| a.0.total_cmp(&b.0));
        nearest.map(|(_, known)| known)
    }

    /// The options that exclude `arg`.
    pub(super) fn conflicts(&self, arg: &Arg) -> Vec<String> {
        let excluded = self.command.get_arg_conflicts_with(arg);
        // clap has each pair once.
        let excludes = self.iter().filter(|other| {
            self.command.get_arg_conflicts_with(other).iter().any(|one| one.get_id() == arg.get_id())
        });
        excluded.into_iter().chain(excludes).map(id).collect()
    }

    /// The ids of the options that `words` have.
    pub(super) fn given(&self, words: &[OsString]) -> Vec<String> {
        let names = words.iter().take_while(|word| *word != "--").filter_map(|word| {
            let name = word.to_str()?.strip_prefix("--")?;
            self.find(name.split('=').next()?)
        });
        names.map(id).collect()
    }

    /// `--nesterov=True` as `--nesterov`, and `--nesterov=no` as nothing; `--flip True` as `--flip=True`.
    pub(crate) fn with_plain_switches(&self, words: Vec<OsString>) -> Vec<OsString> {
        let mut plain: Vec<OsString> = Vec::new();
        let mut words = words.into_iter().peekable();
        let takes_words = self.command.get_positionals().next().is_some();
        while let Some(word) = words.next() {
            let text = word.to_str().and_then(|word| word.strip_prefix("--")).unwrap_or_default();
            let (name, value) =
                text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
            let kind = self.find(name).map(Kind::of);
            let mut value = value.map(str::to_string);
            let is_truth =
                |word: &OsString| word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false");
            if matches!(kind, Some(Kind::Switch | Kind::OptionalValue)) && value.is_none() && !takes_words {
                value = words.next_if(is_truth).and_then(|word| word.into_string().ok());
            }
            let switch = value.as_deref().map(crate::cli::parsers::switch);
            match (kind, switch, value) {
                (Some(Kind::Switch), Some(Ok(true)), _) => plain.push(format!("--{name}").into()),
                (Some(Kind::Switch), Some(Ok(false)), _) => (),
                (Some(Kind::OptionalValue), _, Some(value)) => plain.push(format!("--{name}={value}").into()),
                _ => plain.push(word),
            }
        }
        plain
    }
}

/// Adds the commands below `command` that take configurations, each with its name behind `prefix`.
fn configurable(command: &Command, prefix: &str, found: &mut Vec<(String, Command)>) {
    for command in command.get_subcommands() {
        let name = format!("{prefix}{}", command.get_name());
        if command.get_arguments().any(|arg| arg.get_id() == "config") {
            found.push((name.clone(), command.clone()));
        }
        configurable(command, &format!("{name} "), found);
    }
}

/// The options of `command`, without those that say where other options come from.
fn settable(command: &Command) -> impl Iterator<Item = &Arg> {
    let sources = ConfigArgs::augment_args(Command::new("config"));
    command
        .get_opts()
        .filter(move |arg| sources.get_arguments().all(|source| source.get_id() != arg.get_id()))
}

/// The names of an option: the long one, then others.
fn names(arg: &Arg) -> Vec<String> {
    arg.get_long_and_visible_aliases().into_iter().flatten().map(str::to_string).collect()
}

/// What clap calls an option, which is the name of a field.
pub(super) fn id(arg: &Arg) -> String {
    arg.get_id().to_string()
}

/// What values an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// None: it is there or not.
    Switch,
    /// One, or none.
    OptionalValue,
    One,
    /// Several, with this character between if they are one word.
    Several(Option<char>),
}

impl Kind {
    pub(crate) fn of(arg: &Arg) -> Self {
        let count = arg.get_num_args();
        match arg.get_action() {
            ArgAction::SetTrue | ArgAction::SetFalse if count.is_none_or(|count| count.max_values() == 0) => {
                Self::Switch
            }
            ArgAction::Append => Self::Several(arg.get_value_delimiter()),
            _ if count.is_some_and(|count| count.min_values() == 0) => Self::OptionalValue,
            _ => Self::One,
        }
    }
}
