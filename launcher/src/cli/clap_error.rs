//! Errors of clap in this program's form: one line for the problem, and one for the way out.

use crate::cli::Arguments;
use crate::failure::Failure;
use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::error::Error;
use std::ffi::OsString;

/// Turns an error of clap into a usage failure. Its hint is clap's suggestion, or the help of the command
/// that `args` are for. `args` begin with the name of the program.
pub(crate) fn failure(error: &clap::Error, args: &[OsString]) -> Failure {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => Some(argument),
        _ => None,
    };
    if let (Some(option), Some(source)) = (argument, error.source()) {
        let option = option.split(' ').next().unwrap_or(option);
        return Failure::Usage { problem: format!("{option}: {source}"), hint: None };
    }
    let (name, command) = command_of(args);
    let help = || Some(format!("see '{name} --help'"));
    let (problem, hint) = match (error.kind(), argument) {
        (ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, _) => {
            let known = command.get_subcommands().filter(|command| !command.is_hide_set());
            let known: Vec<&str> = known.map(clap::Command::get_name).collect();
            (format!("'{name}' needs a command: {}", known.join(", ")), help())
        }
        (ErrorKind::InvalidUtf8, _) => {
            let bad = args.iter().filter(|arg| arg.to_str().is_none());
            let bad: Vec<String> = bad.map(|arg| format!("{arg:?}")).collect();
            (format!("only names of files may be other than UTF-8: {}", bad.join(", ")), None)
        }
        // The message itself names the options that conflict, so help would add nothing.
        (ErrorKind::ArgumentConflict, _) => (rendered(error).0, None),
        (ErrorKind::UnknownArgument, Some(argument)) => {
            // Where a command takes a file, clap proposes to take the option for its name.
            let tip = rendered(error).1.filter(|tip| !tip.starts_with("to pass "));
            (format!("unexpected argument '{argument}' found"), tip.or_else(help))
        }
        _ => {
            let (problem, tip) = rendered(error);
            (problem, tip.or_else(help))
        }
    };
    Failure::Usage { problem, hint }
}

/// The command that `args` are for, and its full name, such as `isograd hosts check`.
fn command_of(args: &[OsString]) -> (String, clap::Command) {
    let mut command = Arguments::command();
    let mut name = command.get_name().to_string();
    for arg in args.iter().skip(1) {
        let Some(inner) = command.find_subcommand(arg).cloned() else { break };
        name += " ";
        name += inner.get_name();
        command = inner;
    }
    (name, command)
}

/// The first paragraph of clap's message, in one line, and its suggestion.
fn rendered(error: &clap::Error) -> (String, Option<String>) {
    let rendered = error.render().to_string();
    let mut paragraphs = rendered.split("\n\n").map(|paragraph| {
        paragraph.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    });
    let problem = paragraphs.next().unwrap_or_default().trim_start_matches("error: ").to_string();
    // Of several tips the first is the best.
    let tip = paragraphs
        .find_map(|paragraph| Some(paragraph.strip_prefix("tip: ")?.split(" tip: ").next()?.into()));
    (problem, tip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::os::unix::ffi::OsStringExt;

    fn failure_of(args: impl IntoIterator<Item = OsString>) -> Failure {
        let args: Vec<OsString> = ["isograd".into()].into_iter().chain(args).collect();
        failure(&Arguments::try_parse_from(&args).unwrap_err(), &args)
    }

    /// The error and the hint of a line of arguments.
    fn outcome(args: &str) -> (String, Option<String>) {
        let failure = failure_of(args.split_whitespace().map(OsString::from));
        (failure.to_string(), failure.hint())
    }

    #[test]
    fn a_bad_value_is_named_with_its_option() {
        assert_eq!(
            outcome("train --batch-size 0"),
            ("--batch-size: must be a whole number from 1 to 4294967295, it is '0'".to_string(), None)
        );
        assert!(
            outcome("train --optimizer=adm").0.starts_with("--optimizer: unknown optimizer 'adm'; known")
        );
    }

    #[test]
    fn messages_of_several_lines_become_one() {
        assert_eq!(
            outcome("evaluate").0,
            "the following required arguments were not provided: --load <FILE>"
        );
        assert_eq!(outcome("train --bach-size 3").0, "unexpected argument '--bach-size' found");
    }

    #[test]
    fn a_missing_command_is_asked_for_by_the_names_that_help_shows() {
        let (error, hint) = outcome("");
        assert_eq!(
            error,
            "'isograd' needs a command: train, evaluate, predict, run, export, import, summary, tune, report, models, runs, data, local, \
             ssh, scaling, sweep, hosts, slurm, recipes, completions, man, keygen, bench"
        );
        assert_eq!(hint.as_deref(), Some("see 'isograd --help'"));
        let (error, hint) = outcome("hosts");
        assert_eq!(error, "'isograd hosts' needs a command: check");
        assert_eq!(hint.as_deref(), Some("see 'isograd hosts --help'"));
    }

    #[test]
    fn an_unknown_option_before_the_command_is_no_command() {
        for (args, option, hint) in [
            ("ssh --hostfle hosts train", "--hostfle", "a similar argument exists: '--hostfile'"),
            ("local --rank 2 train", "--rank", "a similar argument exists: '--ranks'"),
            ("ssh -H a --verbose train", "--verbose", "see 'isograd ssh --help'"),
        ] {
            let (error, said) = outcome(args);
            assert_eq!(error, format!("unexpected argument '{option}' found"));
            assert_eq!(said.as_deref(), Some(hint), "{args}");
        }
    }

    #[test]
    fn hints_are_of_the_command_and_of_the_mistake() {
        let hint = |args| outcome(args).1;
        assert_eq!(hint("train --bach-size 3").as_deref(), Some("a similar argument exists: '--batch-size'"));
        for (args, command) in [
            ("evaluate --steps 3", "isograd evaluate"),
            ("summary --steps 3", "isograd summary"),
            ("local -n 2", "isograd local"),
            ("hosts check --dtype x", "isograd hosts check"),
            ("keygen --dtype x", "isograd keygen"),
            ("trian", "isograd"),
        ] {
            let hint = hint(args).expect("a hint");
            let similar = hint.contains("similar");
            assert!(similar || hint == format!("see '{command} --help'"), "{args}: {hint}");
        }
        for args in [
            "train --seed 1 --seed 2",
            "train --batch-size 1 --global-batch-size 1",
            "train --nesterov --nesterov",
        ] {
            assert_eq!(hint(args), None, "{args}");
        }
    }

    #[test]
    fn names_of_files_alone_may_be_no_text() {
        let bad = || OsString::from_vec(b"x\xff.csv".to_vec());
        let failure = failure_of(["train".into(), "--model".into(), bad()]);
        assert_eq!(failure.to_string(), "only names of files may be other than UTF-8: \"x\\xFF.csv\"");
        for option in ["--save", "--history", "--load", "--dataset-train-path"] {
            let args = ["isograd".into(), "train".into(), option.into(), bad()];
            assert!(Arguments::try_parse_from(args).is_ok(), "{option}");
        }
    }
}
