//! `isograd`: trains and evaluates neural networks from the command line.
//!
//! ```text
//! arguments -> argv (one spelling) -> args (clap) -> plan (checked, typed) -> train, evaluate or summary
//! ```
//!
//! Only this crate prints, and only it makes a thread pool. What goes wrong comes back here as a [`Failure`], which is
//! printed once.

#![forbid(unsafe_code)]

mod args;
mod argv;
mod data;
mod evaluate;
mod failure;
mod history;
mod network;
mod output;
mod parameters;
mod plan;
mod progress;
mod report;
mod summary;
mod train;
mod usage;
mod values;

use args::{Arguments, Command};
use clap::Parser;
use failure::Failure;
use output::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = Output::default();
    match run(&mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}

fn run(out: &mut Output) -> Result<(), Failure> {
    let arguments = match Arguments::try_parse_from(argv::normalize(std::env::args_os())) {
        Ok(arguments) => arguments,
        Err(error) if !error.use_stderr() => return out.text(&error.render().to_string()),
        Err(error) => return Err(usage::failure(&error)),
    };
    match arguments.command {
        Command::Train(args) => train::start(&args.try_into()?, out),
        Command::Evaluate(args) => evaluate::start(&args.try_into()?, out),
        Command::Summary(args) => summary::print(&args.try_into()?, out),
    }
}
