//! `isograd scaling`: trains at several numbers of ranks, and compares.
//!
//! ```text
//! for each number of ranks: time the exchange alone (bench comm); train, as often as asked for
//! points -> analysis (model.rs: beside each point, and for more hosts, what should be) -> table, CSV, page
//! ```
//!
//! Each run is a job with agents and ranks of its own. What its first rank printed is kept in the folder, and
//! a run whose output is whole is not run again.

mod analysis;
mod csv;
mod energy;
mod model;
mod outcome;
mod page;
mod points;
mod table;

use crate::cli::ScalingArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::system::escape::one_line;
use crate::system::whole_file;
use analysis::Analysis;

/// Runs all points that are not done, and writes the report.
pub(crate) fn start(args: &ScalingArgs, out: &mut Output) -> Result<(), Failure> {
    let measurement = points::run_all(args, out)?;
    let analysis = Analysis::new(args, &measurement);
    out.text(&table::text(&analysis))?;
    for (name, text) in [("scaling.csv", csv::text(&analysis)), ("scaling.html", page::html(&analysis))] {
        let path = args.out.join(name);
        whole_file::write(&path, text).map_err(|source| points::failure(path.clone(), source))?;
        out.line(&format!("written: {}", one_line(&path.display().to_string())))?;
    }
    Ok(())
}
