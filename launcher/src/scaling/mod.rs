//! `isograd scaling`: trains at several numbers of ranks, and compares.
//!
//! ```text
//! for each number of ranks: time the exchange alone (bench comm); train, as often as asked for
//! table, scaling.csv; beside each point, and for more hosts, what the model predicts
//! ```
//!
//! Each run is a job with agents and ranks of its own. What its first rank printed is kept in the folder, and
//! a run whose output is whole is not run again.

mod energy;
mod model;
mod outcome;
mod points;
mod report;

use crate::cli::ScalingArgs;
use crate::failure::Failure;
use crate::output::Output;

/// Runs all points that are not done, and prints the report.
pub(crate) fn start(args: &ScalingArgs, out: &mut Output) -> Result<(), Failure> {
    let points = points::run_all(args, out)?;
    report::print(args, &points, out)
}
