//! `isograd sweep`: trains with different values, and compares.
//!
//! ```text
//! FILE -> section (cli/config/sweep.rs)
//! schedule: which trial is next, and how far it goes      // depends on results in a fixed order alone
//!   space: values from numbers between 0 and 1; tpe: near the good ones; rungs: of ASHA
//! runner: processes side by side; state: results, each on the disk before anything depends on it
//! table, sweep.csv, best.toml
//! ```
//!
//! The schedule is replayed from the start every time, with the results that the state has. So a sweep goes
//! on after a kill with the same trials, and the machine changes none of them. In the end, trials are
//! compared by all that the state has: with more trials than before, not every job that has ended is chosen
//! again.

mod command;
mod outcome;
mod report;
mod runner;
mod schedule;
mod space;
mod state;
mod tpe;

use crate::cli::{SearchName, SweepArgs, config};
use crate::failure::Failure;
use crate::output::Output;
use crate::workflow::SearchedFile;
use command::TrialCommand;
use runner::Runner;
use schedule::{Rules, Schedule};
use space::Space;
use state::State;

/// Trials, where the command does not say.
const TRIALS: u32 = 16;
/// So many trials are checked before anything runs.
const CHECKED: usize = 64;

/// Runs all trials that are not done, and prints the table.
pub(crate) fn start(args: &SweepArgs, out: &mut Output) -> Result<(), Failure> {
    let workflow = SearchedFile::read(&args.file)?;
    let section = match &workflow {
        None => config::sweep::read(&args.file)?,
        Some(workflow) => {
            let (section, source) = workflow.section().ok_or_else(|| config::sweep::missing(&args.file))?;
            config::sweep::of_workflow(&section, &source, |set| workflow.check(&[set.to_string()]))?
        }
    };
    let space = Space::new(section.parameters.clone());
    let mut trials = args.trials.unwrap_or(TRIALS) as usize;
    if args.search == SearchName::Grid {
        let all = space.grid_len().map_err(|problem| usage(format!("--search grid: {problem}")))?;
        trials = args.trials.map_or(all, |trials| all.min(trials as usize));
    }
    let command = TrialCommand::new(args, &section, workflow)?;
    let epochs = command.epochs();
    let rungs = match args.search {
        SearchName::Asha if args.min_epochs >= epochs => {
            return Err(usage(format!(
                "--search asha --min-epochs {}: trials have {epochs} epochs, so none could be pruned",
                args.min_epochs
            )));
        }
        SearchName::Asha => schedule::rungs(args.min_epochs, args.eta, epochs),
        _ => vec![epochs],
    };
    let rules =
        Rules { search: args.search, trials, seed: args.seed, ahead: args.ahead, eta: args.eta, rungs };
    let mut schedule = Schedule::new(&space, rules.clone());
    command.check(&space, (0..trials.min(CHECKED)).map(|trial| schedule.first_values(trial)))?;

    let mut state =
        State::open(&command.folder, &command.identity(&space, &rules), trials, args.retry_failed)?;
    let mut runner = Runner::new(args, &command, &space, &mut state)?;
    loop {
        while let Some(job) = schedule.next() {
            runner.submit(job, schedule.place(job.trial));
        }
        let Some(job) = schedule.earliest() else { break };
        let score = runner.wait(job, out)?;
        schedule.complete(job, score);
    }
    drop(runner);
    schedule.take_results(|job| state.of(job).map(|result| result.score(section.is_max)));
    report::write(&command, &space, &schedule, &state, out)
}

fn usage(problem: String) -> Failure {
    Failure::Usage { problem, hint: None }
}
