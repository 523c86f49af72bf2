//! The command line: from words to plans that cannot contradict themselves.
//!
//! ```text
//! words -> spelling (one form) -> pydtnn (its options in our words) -> config (options from files)
//!       -> conv_plan (the choices in a file of --tuned)
//!       -> args (clap, with parsers for values) -> plan (checked, typed)
//! ```
//!
//! The words of a job end with the command of its ranks, which is parsed as well: a mistake in it ends the
//! job before anything of it has started.

pub(crate) mod address;
mod args;
mod augment_args;
pub(crate) mod augment_plan;
mod callback_args;
pub(crate) mod callback_plan;
pub(crate) mod checkpoint_plan;
mod clap_error;
pub(crate) mod config;
mod config_args;
pub(crate) mod conv_plan;
mod data_args;
mod data_command_args;
pub(crate) mod data_plan;
pub(crate) mod dtype;
pub(crate) mod evaluate_plan;
mod job_args;
mod logging_args;
pub(crate) mod logging_plan;
pub(crate) mod metric_plan;
pub(crate) mod network_plan;
pub(crate) mod optimizer_plan;
mod parameters;
pub(crate) mod parsers;
pub(crate) mod plan;
mod profile_args;
pub(crate) mod profile_plan;
mod pydtnn;
mod rank_command;
pub(crate) mod rate_factor;
mod report_args;
mod run_args;
mod runs_args;
pub(crate) mod saved_settings;
mod scaling_args;
pub(crate) mod schedule_plan;
pub(crate) mod shells;
pub(crate) mod source;
mod spelling;
mod sweep_args;
pub(crate) mod tune_plan;
mod use_args;
pub(crate) mod use_plan;
pub(crate) mod whiten_plan;

pub(crate) use args::*;
pub(crate) use augment_args::*;
pub(crate) use config_args::ConfigArgs;
pub(crate) use data_args::DataArgs;
pub(crate) use data_command_args::*;
pub(crate) use job_args::*;
pub(crate) use logging_args::LoggingArgs;
pub(crate) use profile_args::ProfileArgs;
pub(crate) use report_args::{ReportArgs, ReportFormat};
pub(crate) use run_args::RunArgs;
pub(crate) use runs_args::*;
pub(crate) use scaling_args::ScalingArgs;
pub(crate) use sweep_args::{SearchName, SweepArgs};
pub(crate) use use_args::*;

use crate::failure::Failure;
use clap::Parser;
use config::{CommandOptions, Expanded};
use rank_command::{Checked, Machine, RANK_COMMANDS, is_rank_command};
use std::ffi::OsString;
use std::path::Path;

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Parsed {
    Command(Box<Command>),
    /// The text of `--help` or `--version`.
    Text(String),
}

/// Parses a command line that begins with the name of the program.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, Failure> {
    let args = spelling::normalize(args);
    let Prepared { args, command: name, notes, origins, is_to_be_printed } = prepare(args)?;
    let mut command = match Arguments::try_parse_from(&args) {
        Ok(Arguments { command: Command::Ssh(ssh) }) if ssh.has_no_hosts() => {
            return parse(with_hostfile(args, &ssh.job.command)?);
        }
        Ok(Arguments { command }) => command,
        Err(error) if !error.use_stderr() => return Ok(Parsed::Text(error.render().to_string())),
        Err(error) => return Err(origins.explain(clap_error::failure(&error, &args))),
    };
    // Behind the names of the program and of the command.
    let words = args.get(1 + name.split(' ').count()..).unwrap_or_default();
    if is_to_be_printed {
        return Ok(Parsed::Text(config::effective(&name, words)?));
    }
    if let Command::Train(train) = &mut command {
        train.words = words.to_vec();
        train.notes = notes;
        train.origins = origins;
    }
    let checked = match &mut command {
        Command::Local(args) => Some((&mut args.job.command, Machine::This, &mut args.job.ranks)),
        Command::Ssh(args) => Some((&mut args.job.command, Machine::Other, &mut args.job.ranks)),
        Command::Slurm(args) => Some((&mut args.command, Machine::Other, &mut args.ranks)),
        Command::Hosts { what: HostsCommand::Check(args) } => {
            args.hosts.hostfile = args.hosts.hostfile.take().or(args.file.take());
            None
        }
        _ => None,
    };
    let Some((words, machine, ranks)) = checked else { return Ok(Parsed::Command(Box::new(command))) };
    // Ranks get plain options: the files of a configuration are here.
    let program = OsString::from("isograd");
    let prepared = prepare(std::iter::once(program).chain(std::mem::take(words)).collect())?;
    *words = prepared.args[1..].to_vec();
    if prepared.is_to_be_printed {
        return Ok(Parsed::Text(config::effective(&prepared.command, &words[1..])?));
    }
    prepared.notes.iter().for_each(|note| log::warn!("{note}"));
    match rank_command::check(words, machine).map_err(|failure| prepared.origins.explain(failure))? {
        Checked::Text(text) => Ok(Parsed::Text(text)),
        Checked::Plan(plan) => {
            *ranks = Some(plan);
            Ok(Parsed::Command(Box::new(command)))
        }
    }
}

/// A command line of options alone.
struct Prepared {
    args: Vec<OsString>,
    /// The name of the command, if it takes configurations.
    command: String,
    /// What was given and changes nothing.
    notes: Vec<String>,
    /// Where the options stand that configurations have given.
    origins: config::Origins,
    /// `--print-config` was given.
    is_to_be_printed: bool,
}

/// Puts options into the place of what stands for them: options of PyDTNN, and configurations. `args` begin
/// with the name of the program.
fn prepare(args: Vec<OsString>) -> Result<Prepared, Failure> {
    let Some((mut command, mut of_command)) = command(&args) else {
        let (command, origins) = (String::new(), config::Origins::default());
        return Ok(Prepared { args, command, notes: Vec::new(), origins, is_to_be_printed: false });
    };
    let (mut args, mut notes) = (args, Vec::new());
    if command == "train" {
        let translated = pydtnn::translate(&of_command, &args[1..])?;
        (args, notes) = ([vec![args.swap_remove(0)], translated.words].concat(), translated.notes);
        (command, of_command) = self::command(&args).expect("train and evaluate have options");
    }
    let words = of_command.with_plain_switches(args.split_off(1 + command.split(' ').count()));
    let Expanded { words, origins, is_to_be_printed } = config::expand(&of_command, words)?;
    args.extend(conv_plan::with_text(&of_command, words).map_err(|failure| origins.explain(failure))?);
    Ok(Prepared { args, command, notes, origins, is_to_be_printed })
}

/// The name of the command of `args`, of one word or two, with its options, if it takes configurations.
fn command(args: &[OsString]) -> Option<(String, CommandOptions)> {
    let name = |words: usize| {
        let words = args.get(1..=words)?.iter().map(|word| word.to_str().filter(|word| !word.contains(' ')));
        Some(words.collect::<Option<Vec<_>>>()?.join(" "))
    };
    [2, 1].into_iter().filter_map(name).find_map(|name| Some((name.clone(), CommandOptions::of(&name)?)))
}

/// `isograd ssh FILE …` as `isograd ssh --hostfile FILE …`: `rest` are the words from FILE on, which are the
/// last of `args`.
fn with_hostfile(mut args: Vec<OsString>, rest: &[OsString]) -> Result<Vec<OsString>, Failure> {
    const AFTER_COMMAND: usize = 2;
    let Some(word) = rest.first().filter(|word| !is_rank_command(word)) else {
        return Err(no_hosts("--hostfile or -H is missing"));
    };
    let is_file = Path::new(word).metadata().is_ok_and(|file| !file.is_dir());
    if !is_file {
        let known = RANK_COMMANDS.join(", ");
        return Err(no_hosts(&format!(
            "'{}' is neither a hostfile nor one of {known}",
            word.to_string_lossy()
        )));
    }
    let mut hostfile = OsString::from("--hostfile=");
    hostfile.push(word);
    args.remove(args.len() - rest.len());
    args.insert(AFTER_COMMAND, hostfile);
    Ok(args)
}

fn no_hosts(problem: &str) -> Failure {
    Failure::Usage {
        problem: format!("no hosts: {problem}"),
        hint: Some("'isograd local -n N COMMAND' runs ranks on this machine".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Command, String> {
        let args = ["isograd"].iter().chain(args).map(OsString::from);
        match parse(args) {
            Ok(Parsed::Command(command)) => Ok(*command),
            Ok(Parsed::Text(text)) => Err(text),
            Err(failure) => Err(failure.to_string()),
        }
    }

    #[test]
    fn the_first_word_of_ssh_may_be_a_hostfile() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("my_hosts");
        std::fs::write(&file, "a\n").unwrap();
        let name = file.to_str().unwrap();
        for args in [
            &["ssh", name, "-n", "3", "train", "--epochs", "2"][..],
            &["ssh", "-n", "3", name, "train", "--epochs", "2"],
            &["ssh", "-n", "3", "--hostfile", name, "train", "--epochs", "2"],
        ] {
            match parsed(args).unwrap() {
                Command::Ssh(ssh) => {
                    assert_eq!((ssh.hosts.hostfile.as_deref(), ssh.ranks), (Some(file.as_path()), Some(3)));
                    assert_eq!(ssh.job.command, ["train", "--epochs", "2"]);
                }
                other => panic!("{other:?}"),
            }
        }
        match parsed(&["hosts", "check", name]).unwrap() {
            Command::Hosts { what: HostsCommand::Check(args) } => {
                assert_eq!(args.hosts.hostfile.as_deref(), Some(file.as_path()));
            }
            other => panic!("{other:?}"),
        }
        let message = |args: &[&str]| parsed(args).unwrap_err();
        assert_eq!(message(&["ssh", "train"]), "no hosts: --hostfile or -H is missing");
        let folder = folder.path().to_str().unwrap();
        let expected =
            format!("no hosts: '{folder}' is neither a hostfile nor one of train, evaluate, run, bench");
        assert_eq!(message(&["ssh", folder, "train"]), expected);
        assert!(message(&["ssh", "-H", "a", name, "train"]).starts_with("unknown command for ranks '"));
    }

    #[test]
    fn the_command_of_ranks_is_parsed_with_the_job() {
        for job in [&["local", "-n", "2"][..], &["ssh", "-H", "a"], &["slurm"]] {
            let message = parsed(&[job, &["train", "--epochs", "-1"]].concat()).unwrap_err();
            assert!(message.starts_with("--epochs: must be a whole number"), "{message}");
        }
    }
}
