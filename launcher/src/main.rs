//! `isograd`: trains and evaluates neural networks from the command line.
//!
//! ```text
//! arguments -> argv (one spelling) -> args (clap) -> plan (checked, typed) -> train, evaluate or summary
//! ```
//!
//! Only this crate prints, and only it makes a thread pool. What goes wrong comes back here as a [`Failure`], which is
//! printed once.

#![forbid(unsafe_code)]

mod agreement;
mod args;
mod argv;
mod bench_comm;
mod cores;
mod data;
mod descriptors;
mod evaluate;
mod failure;
mod files;
mod history;
mod host_facts;
mod hosts;
mod job;
mod local;
mod network;
mod one_line;
mod output;
mod parameters;
mod plan;
mod progress;
mod quote;
mod rank_command;
mod ranks;
mod remote;
mod report;
mod signals;
mod slurm;
mod ssh;
mod summary;
mod train;
mod usage;
mod values;

use args::{Arguments, BenchCommand, Command, HostsCommand};
use clap::Parser;
use failure::Failure;
use one_line::one_line;
use output::Output;
use plan::{EvaluatePlan, TrainPlan};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = Output::default();
    let code = match run(&mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(out.rank());
            failure.exit_code(ranks::has_agent())
        }
    };
    // It may end this process.
    ranks::end_mpi();
    code
}

fn run(out: &mut Output) -> Result<(), Failure> {
    ranks::end_with_agent();
    let log = |line: &mut env_logger::fmt::Formatter, record: &log::Record<'_>| {
        let level = record.level().as_str().to_lowercase();
        writeln!(line, "{level}: {}", one_line(&record.args().to_string()))
    };
    env_logger::Builder::new().filter_level(log::LevelFilter::Warn).parse_default_env().format(log).init();
    let args = argv::normalize(std::env::args_os());
    let arguments = match Arguments::try_parse_from(&args) {
        Ok(arguments) => arguments,
        Err(error) if !error.use_stderr() => return out.text(&error.render().to_string()),
        Err(error) => return Err(usage::failure(&error, &args)),
    };
    // A batch job gets the limits of who submits it.
    if !matches!(arguments.command, Command::Slurm(_)) {
        descriptors::raise_limit();
    }
    match arguments.command {
        Command::Train(args) => rank_command::start(&TrainPlan::try_from(args)?, out),
        Command::Evaluate(args) => rank_command::start(&EvaluatePlan::try_from(args)?, out),
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
