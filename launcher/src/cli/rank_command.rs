//! The command that the ranks of a job run: it is parsed as each rank will parse it, before anything starts.

use super::network_plan::ModelName;
use super::parsers::IsaName;
use super::plan::{EvaluatePlan, RankPlan, TrainPlan};
use super::{BenchCommand, Command, Parsed, parse};
use crate::failure::Failure;
use crate::system::names;
use std::ffi::OsString;

/// The commands that ranks can run.
pub(crate) const RANK_COMMANDS: [&str; 4] = ["train", "evaluate", "run", "bench"];

/// The machines that the ranks will run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    /// This one: an instruction set that its CPU lacks is an error.
    This,
    /// Others, which may have other instruction sets and other folders.
    Other,
}

/// What a rank's words were parsed to.
#[derive(Debug)]
pub(super) enum Checked {
    Plan(RankPlan),
    /// The text that they ask for.
    Text(String),
}

/// Whether `word` is a command that ranks can run.
pub(super) fn is_rank_command(word: &OsString) -> bool {
    RANK_COMMANDS.iter().any(|name| word == name)
}

/// Checks `words`, as far as that does not depend on the host.
pub(super) fn check(words: &[OsString], machine: Machine) -> Result<Checked, Failure> {
    let first = words.first().map(|name| name.to_string_lossy()).unwrap_or_default();
    if !words.first().is_some_and(is_rank_command) {
        return Err(usage(names::unknown("command for ranks", &first, &RANK_COMMANDS)));
    }
    let is_elsewhere = machine == Machine::Other;
    let program = OsString::from("isograd");
    let command = match parse(std::iter::once(program).chain(words.iter().cloned()))? {
        Parsed::Command(command) => *command,
        Parsed::Text(text) => return Ok(Checked::Text(text)),
    };
    let ranks = match command {
        // The settings are in the checkpoint, which the first rank reads.
        Command::Train(args) if args.checkpoints.resume.is_some() => args.ranks.into(),
        Command::Train(mut args) => {
            if is_elsewhere {
                args.execution.isa = IsaName::Auto;
                assume_model(&mut args.network.model);
            }
            TrainPlan::try_from(args)?.ranks
        }
        Command::Evaluate(mut args) => {
            if is_elsewhere {
                args.execution.isa = IsaName::Auto;
                args.model.iter_mut().for_each(assume_model);
            }
            EvaluatePlan::try_from(*args)?.ranks
        }
        // The first rank reads the file, which other machines need not have here.
        Command::Run(args) => args.ranks.into(),
        Command::Bench { what: BenchCommand::Comm(args) } => args.ranks.into(),
        other => unreachable!("{other:?} is not among {RANK_COMMANDS:?}"),
    };
    Ok(Checked::Plan(ranks))
}

/// Takes another network for one in a file that only the other machines have: there, the ranks read it. A
/// file that is here as well is checked here.
fn assume_model(model: &mut ModelName) {
    if let ModelName::File(path) = model
        && !path.exists()
    {
        *model = ModelName::Zoo("simplecnn");
    }
}

fn usage(problem: String) -> Failure {
    Failure::Usage { problem, hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_kernels::Isa;

    fn checked(words: &str, machine: Machine) -> Result<RankPlan, String> {
        let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
        match check(&words, machine) {
            Ok(Checked::Plan(plan)) => Ok(plan),
            Ok(Checked::Text(text)) => Err(text),
            Err(failure) => Err(failure.to_string()),
        }
    }

    #[test]
    fn what_ranks_would_refuse_is_refused() {
        for (words, expected) in [
            ("train --epochs -1", "--epochs: must be a whole number from 1 to 4294967295, it is '-1'"),
            ("train --bach-size 2", "unexpected argument '--bach-size' found"),
            (
                "train --momentum 0.5",
                "--momentum is not a parameter of the optimizer adam, which has --beta1",
            ),
            ("evaluate", "the following required arguments were not provided: --load <FILE>"),
            ("bench", "'isograd bench' needs a command: comm"),
            (
                "trian",
                "unknown command for ranks 'trian'; known are train, evaluate, run, bench; did you mean 'train'?",
            ),
            ("summary", "unknown command for ranks 'summary'"),
        ] {
            let problem = checked(words, Machine::Other).unwrap_err();
            assert!(problem.starts_with(expected), "{words}: {problem}");
        }
        let plan = checked("train --resume /nowhere --shards_per_rank 1,2", Machine::Other).unwrap();
        assert_eq!(plan.shards_per_rank, Some(vec![1, 2]));
        let plan = checked("train --shards_per_rank 1,2", Machine::Other).unwrap();
        assert_eq!(plan.shards_per_rank, Some(vec![1, 2]));
    }

    #[test]
    fn other_hosts_may_have_other_levels_and_folders() {
        let missing = Isa::NAMES.into_iter().find(|name| Isa::from_name(name).is_none());
        let words = format!("train --isa {} --dataset-train-path /nowhere", missing.expect("no CPU has all"));
        checked(&words, Machine::Other).unwrap();
        assert!(checked(&words, Machine::This).unwrap_err().starts_with("--isa: this CPU has no "));
        for words in ["train --model /nowhere/x.toml", "evaluate --load x --model /nowhere/x.toml"] {
            checked(words, Machine::Other).unwrap();
            let problem = checked(words, Machine::This).unwrap_err();
            assert!(problem.starts_with("--model /nowhere/x.toml: cannot read: "), "{problem}");
        }
    }

    #[test]
    fn help_is_shown_once_instead_of_by_each_rank() {
        let text = checked("train --help", Machine::This).unwrap_err();
        assert!(text.contains("Usage: isograd train"), "{text}");
    }
}
