//! `isograd`: trains and evaluates neural networks from the command line.
//!
//! ```text
//! arguments -> argv (one spelling) -> args (clap) -> plan (checked, typed) -> train, evaluate or summary
//! ```
//!
//! Only this crate prints, and only it makes a thread pool. What goes wrong comes back here as a [`Failure`], which is
//! printed once.

#![forbid(unsafe_code)]

mod cli;
mod failure;
mod hosts;
mod job;
mod local;
mod output;
mod rank;
mod remote;
mod slurm;
mod ssh;
mod system;

use clap::Parser;
use cli::plan::{EvaluatePlan, TrainPlan};
use cli::{Arguments, BenchCommand, Command, HostsCommand, clap_error, spelling};
use failure::Failure;
use output::Output;
use rank::{bench_comm, command, identity, summary};
use std::process::ExitCode;
use system::{logger, open_files};

fn main() -> ExitCode {
    let mut out = Output::default();
    let code = match run(&mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(out.rank());
            failure.exit_code(identity::has_agent())
        }
    };
    // It may end this process.
    identity::end_mpi();
    code
}

fn run(out: &mut Output) -> Result<(), Failure> {
    identity::end_with_agent();
    logger::install();
    let args = spelling::normalize(std::env::args_os());
    let arguments = match Arguments::try_parse_from(&args) {
        Ok(arguments) => arguments,
        Err(error) if !error.use_stderr() => return out.text(&error.render().to_string()),
        Err(error) => return Err(clap_error::failure(&error, &args)),
    };
    // A batch job gets the limits of who submits it.
    if !matches!(arguments.command, Command::Slurm(_)) {
        open_files::raise_limit();
    }
    match arguments.command {
        Command::Train(args) => command::start(&TrainPlan::try_from(args)?, out),
        Command::Evaluate(args) => command::start(&EvaluatePlan::try_from(args)?, out),
        Command::Summary(args) => summary::print(&args.try_into()?, out),
        Command::Local(args) => local::start(args),
        Command::Ssh(args) => remote::start(*args, out),
        Command::Hosts { what: HostsCommand::Check(args) } => remote::doctor::check(&args, out),
        Command::Slurm(args) => slurm::start(&args, out),
        Command::Agent(args) => job::run_agent(args.digest),
        Command::Keygen(args) => isograd_comm::Key::create_file(&args.file).map_err(Failure::Ranks),
        Command::Bench { what: BenchCommand::Comm(args) } => bench_comm::start(args, out),
    }
}
