//! `isograd runs`: lists, filters and compares runs by their logs.

mod condition;
mod list;
mod read;
mod show;

use crate::cli::{RunsArgs, RunsCommand};
use crate::failure::Failure;
use crate::output::Output;

/// Does what `args` ask for.
pub(crate) fn start(args: RunsArgs, out: &mut Output) -> Result<(), Failure> {
    match &args.what {
        Some(RunsCommand::Show(show)) => show::print(show, out),
        None => list::print(&args, out),
    }
}
