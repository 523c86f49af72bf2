//! Runs side by side.

use super::list::unreadable;
use super::read::Run;
use crate::cli::RunsShowArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::system::escape::one_line;
use crate::system::table::aligned;

/// Prints a row for each key in which the runs differ, or of a single run for all its keys.
pub(super) fn print(args: &RunsShowArgs, out: &mut Output) -> Result<(), Failure> {
    let read =
        |folder| Run::read(folder).map_err(|error| unreadable(folder, &format!("no log of a run: {error}")));
    let runs = args.runs.iter().map(|folder| read(folder)).collect::<Result<Vec<Run>, _>>()?;
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in runs.iter().flat_map(Run::values) {
        if !keys.contains(&key.as_str()) && key != "folder" {
            keys.push(key);
        }
    }
    let is_equal = |key: &str| runs.iter().all(|run| run.get(key) == runs[0].get(key));
    keys.retain(|key| args.all || runs.len() == 1 || !is_equal(key));
    let mut rows = vec![
        std::iter::once(String::new())
            .chain(runs.iter().map(|run| run.folder.display().to_string()))
            .collect(),
    ];
    for key in keys {
        let cells = runs.iter().map(|run| one_line(&run.show(key)));
        rows.push(std::iter::once(key.to_string()).chain(cells).collect::<Vec<_>>());
    }
    out.text(&aligned(&rows, runs.len() + 1))
}
