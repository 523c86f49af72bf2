//! The list of runs, as a table, CSV or JSON lines.

use super::condition::{Condition, check_key};
use super::read::{self, Cell, Run};
use crate::cli::RunsArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::system::escape::one_line;
use crate::system::table::aligned;
use serde_json::{Map, Value};
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// Where runs are, by default.
const FOLDER: &str = "runs";
/// The columns that every table has, in front of figures and behind them.
const FIRST: [&str; 4] = ["folder", "state", "model", "dataset"];
const LAST: [&str; 2] = ["samples_per_s", "seconds"];
/// What figures are no columns of a table.
const LONG: [&str; 3] = ["top5", "conf", "best_epoch"];

/// Prints the runs that `args` ask for.
pub(super) fn print(args: &RunsArgs, out: &mut Output) -> Result<(), Failure> {
    let condition = args.filter.as_deref().map(Condition::parse).transpose()?;
    let mut runs = read_all(&args.folders)?;
    let sort = args.sort.as_deref().unwrap_or("started");
    let (key, is_down) = sort.strip_prefix('-').map_or((sort, false), |key| (key, true));
    let key = key.replace('-', "_");
    // What runs are sorted by without being asked, a run that has not begun does not have.
    if args.sort.is_some() {
        check_key("--sort", &key, &runs)?;
    }
    if let Some(condition) = &condition {
        condition.check(&runs)?;
        runs.retain(|run| condition.holds(run));
    }
    // Runs without the key come last, whichever way the others are sorted.
    runs.sort_by(|a, b| match (a.get(&key), b.get(&key)) {
        (Some(a), Some(b)) if is_down => compare(b, a),
        (Some(a), Some(b)) => compare(a, b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
    out.text(&match (args.json, args.csv) {
        (true, _) => json(&runs),
        (_, true) => csv(&runs),
        _ if runs.is_empty() => "no runs\n".to_string(),
        _ => table(&runs),
    })
}

fn read_all(folders: &[PathBuf]) -> Result<Vec<Run>, Failure> {
    let by_default = [PathBuf::from(FOLDER)];
    let folders = if folders.is_empty() { &by_default } else { folders };
    let mut runs = Vec::new();
    for folder in folders {
        let found = read::find(folder).map_err(|source| unreadable(folder, &source.to_string()))?;
        for path in found {
            match Run::read(&path) {
                Ok(run) => runs.push(run),
                Err(error) => log::warn!("{}: {error}", path.display()),
            }
        }
    }
    Ok(runs)
}

/// The failure of reading runs at `path`.
pub(super) fn unreadable(path: &Path, problem: &str) -> Failure {
    let hint = "train --checkpoint FOLDER or --log FOLDER writes the log of a run";
    Failure::Usage { problem: format!("{}: {problem}", path.display()), hint: Some(hint.to_string()) }
}

fn compare(a: &Cell, b: &Cell) -> Ordering {
    match (a, b) {
        (Cell::Number(a), Cell::Number(b)) => a.total_cmp(b),
        (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
        (Cell::Number(_), Cell::Text(_)) => Ordering::Less,
        (Cell::Text(_), Cell::Number(_)) => Ordering::Greater,
    }
}

/// All keys of the runs, in the order in which they come up.
fn keys(runs: &[Run]) -> Vec<&str> {
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in runs.iter().flat_map(Run::values) {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    keys
}

fn table(runs: &[Run]) -> String {
    let all = keys(runs);
    let is_figure = |key: &&str| {
        let name =
            ["best_", "val_", "test_"].iter().fold(*key, |key, part| key.strip_prefix(part).unwrap_or(key));
        let is_metric = all.contains(&format!("test_{name}").as_str()) || name == "loss";
        is_metric && !LONG.iter().any(|long| key.contains(long))
    };
    let figures: Vec<&str> = all.iter().copied().filter(is_figure).collect();
    let columns: Vec<&str> = FIRST
        .iter()
        .copied()
        .chain(["epochs"])
        .chain(figures)
        .chain(LAST)
        .filter(|key| all.contains(key))
        .collect();
    let cell = |run: &Run, key: &str| match key {
        "epochs" => {
            let done = run.get("epoch").map_or("0".to_string(), |cell| cell.show("epoch"));
            run.get(key).map_or(done.clone(), |all| format!("{done}/{}", all.show(key)))
        }
        key => one_line(&run.show(key)),
    };
    let mut rows = vec![columns.iter().map(|key| key.to_string()).collect::<Vec<_>>()];
    rows.extend(runs.iter().map(|run| columns.iter().map(|key| cell(run, key)).collect()));
    aligned(&rows, FIRST.len())
}

fn json(runs: &[Run]) -> String {
    let value = |cell: &Cell| match cell {
        Cell::Text(text) => Value::from(text.as_str()),
        Cell::Number(number) if number.is_finite() => Value::from(*number),
        Cell::Number(number) => Value::from(number.to_string()),
    };
    let object =
        |run: &Run| run.values().iter().map(|(key, cell)| (key.clone(), value(cell))).collect::<Map<_, _>>();
    runs.iter().map(|run| Value::Object(object(run)).to_string() + "\n").collect()
}

fn csv(runs: &[Run]) -> String {
    let columns = keys(runs);
    let quoted = |text: &str| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    };
    let cell = |run: &Run, key: &str| match run.get(key) {
        None => String::new(),
        Some(Cell::Number(number)) => number.to_string(),
        Some(Cell::Text(text)) => quoted(text),
    };
    let mut text = columns.iter().map(|key| quoted(key)).collect::<Vec<_>>().join(",") + "\n";
    for run in runs {
        text += &(columns.iter().map(|key| cell(run, key)).collect::<Vec<_>>().join(",") + "\n");
    }
    text
}
