//! `isograd`: trains and evaluates neural networks from the command line.
//!
//! ```text
//! words -> cli (one spelling, clap, checked plans) -> rank (the work of one rank), or a job of ranks
//! ```
//!
//! Only this crate prints, and only it makes a thread pool. Every failure comes back here as a [`Failure`],
//! which is printed once.

#![forbid(unsafe_code)]

mod cli;
mod data;
mod exchange;
mod failure;
mod hosts;
mod job;
mod local;
mod loggers;
mod mistakes;
mod output;
mod page;
mod predict;
mod rank;
mod recipes;
mod remote;
mod report;
mod runs;
mod scaling;
mod sheet;
mod slurm;
mod ssh;
mod sweep;
mod system;
mod tune;
mod workflow;

use cli::plan::{EvaluatePlan, TrainPlan};
use cli::shells;
use cli::{AgentArgs, BenchCommand, Command, DataCommand, HostsCommand, Parsed};
use failure::Failure;
use output::Output;
use rank::{bench_comm, command, identity, resume, summary};
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
    // Last, because MPI may end this process.
    identity::end_mpi();
    code
}

fn run(out: &mut Output) -> Result<(), Failure> {
    identity::end_with_agent();
    identity::end_with_owner();
    logger::install();
    let command = match cli::parse(std::env::args_os())? {
        Parsed::Command(command) => *command,
        Parsed::Text(text) => return out.text(&text),
    };
    // A batch job inherits the limits of the process that submits it.
    if !matches!(command, Command::Slurm(_)) {
        open_files::raise_limit();
    }
    match command {
        Command::Train(args) if args.checkpoints.resume.is_some() => resume::start(*args, out),
        Command::Train(args) => command::start(&TrainPlan::try_from(args)?, out),
        Command::Evaluate(args) => command::start(&EvaluatePlan::try_from(*args)?, out),
        Command::Predict(args) => predict::start(&(*args).try_into()?, out),
        Command::Run(args) => workflow::start(*args, out),
        Command::Export(args) => exchange::export::start(&(*args).try_into()?, out),
        Command::Import(args) => exchange::import::start(&(*args).try_into()?, out),
        Command::Summary(args) => summary::print(&(*args).try_into()?, out),
        Command::Tune(args) => tune::start(&(*args).try_into()?, out),
        Command::Data { what: DataCommand::Check(args) } => data::check::print(&(*args).try_into()?, out),
        Command::Data { what: DataCommand::Show(args) } => data::show::write(&(*args).try_into()?, out),
        Command::Report(args) => report::start(*args, out),
        Command::Runs(args) => runs::start(args, out),
        Command::Models => summary::print_models(out),
        Command::Recipes(args) => recipes::print(args.name.as_deref(), out),
        Command::Completions(args) => out.text(&shells::completions(args.shell)),
        Command::Man(args) => out.text(&shells::page(&args)?),
        Command::Local(args) => local::start(args),
        Command::Ssh(args) => remote::start(*args, out),
        Command::Scaling(args) => scaling::start(&args, out),
        Command::Sweep(args) => sweep::start(&args, out),
        Command::Hosts { what: HostsCommand::Check(args) } => remote::doctor::check(&args, out),
        Command::Slurm(args) => slurm::start(&args, out),
        Command::Agent(AgentArgs { remove: Some(folder), .. }) => {
            job::remove_at_end(&folder);
            Ok(())
        }
        Command::Agent(args) => job::run_agent(args.digest),
        Command::Keygen(args) => isograd_comm::Key::create_file(&args.file).map_err(Failure::Ranks),
        Command::Bench { what: BenchCommand::Comm(args) } => bench_comm::start(args, out),
    }
}
