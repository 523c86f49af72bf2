//! Reads the log of a run.
//!
//! Keys and values of a run: `run`, `folder`, `state`, `model`, `dataset`, `epoch`, `epochs`, `step`; the
//! figures of the last epoch (`loss`, `acc`, `val_loss`, `val_acc`, …), the best ones behind `best_`, those
//! of the test behind `test_`; `learning_rate`, `samples_per_s`, `seconds`, `started`; facts of the machine;
//! then all settings under the names of their options, with `_` for `-`; that of `--loss` is `loss_function`.

use isograd_model::logger::RunLog;
use serde_json::Value;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// A value of a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Number(f64),
    Text(String),
}

/// What the log of a run tells.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) folder: PathBuf,
    values: Vec<(String, Cell)>,
}

/// How deep below a folder runs are looked for.
const DEPTH: u32 = 4;
/// Numbers of each epoch that are no figures of the network.
const NO_FIGURES: [&str; 3] = ["learning_rate", "samples_per_s", "seconds"];
/// Facts of the start that are keys.
const FACTS: [&str; 16] = [
    "version",
    "isa",
    "cpu",
    "cores",
    "threads",
    "ranks",
    "hosts",
    "parameters",
    "classes",
    "train_samples",
    "validation_samples",
    "steps_per_epoch",
    "batch",
    "shape",
    "epochs",
    "dataset",
];

impl Run {
    /// Reads the log in `folder`. Lines that are no JSON, as a killed run may leave, are left out.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let file = File::open(folder.join(RunLog::NAME))?;
        let is_open = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        let mut run = Self { folder: folder.to_path_buf(), values: Vec::new() };
        run.set("folder", Cell::Text(folder.display().to_string()));
        let (mut state, mut first, mut last) = (None, None, None);
        for line in BufReader::new(&file).split(b'\n') {
            let Ok(line) = serde_json::from_slice::<Value>(&line?) else { continue };
            let time = line["time"].as_f64();
            first = first.or(time);
            last = time.or(last);
            if let Some(step) = number(&line["step"]) {
                run.set("step", Cell::Number(step));
            }
            match line["event"].as_str() {
                Some("start") => {
                    state = None;
                    run.start(&line);
                }
                Some("epoch") => run.epoch(&line),
                Some("test") => {
                    run.figure("test_loss", &line["loss"]);
                    run.figures("test_", &line["metrics"]);
                }
                Some("end") => {
                    state = line["reason"].as_str().map(str::to_string);
                    for key in ["peak_memory_bytes", "hash", "problem"] {
                        if let Some(cell) = cell(&line[key]) {
                            run.set(key, cell);
                        }
                    }
                }
                _ => {}
            }
        }
        let state = state.unwrap_or_else(|| if is_open { "running" } else { "killed" }.to_string());
        run.set("state", Cell::Text(state));
        if let (Some(first), Some(last)) = (first, last) {
            run.set("started", Cell::Number(first));
            run.set("seconds", Cell::Number(last - first));
        }
        Ok(run)
    }

    fn start(&mut self, line: &Value) {
        for key in ["run", "model"].iter().chain(&FACTS) {
            if let Some(cell) = cell(&line[*key]) {
                self.set(key, cell);
            }
        }
        for (name, value) in line["settings"].as_object().into_iter().flatten() {
            // `loss` is the number.
            let key = if name == "loss" { "loss_function" } else { name.as_str() };
            let key = key.replace(['-', ' '], "_");
            let is_fact = key == "model" || FACTS.contains(&key.as_str());
            if let Some(cell) = cell(value).filter(|_| !is_fact) {
                // A setting that was written as text may be a number.
                let cell = match &cell {
                    Cell::Text(text) => text.parse().map_or(cell, Cell::Number),
                    Cell::Number(_) => cell,
                };
                self.set(&key, cell);
            }
        }
    }

    fn epoch(&mut self, line: &Value) {
        for key in ["epoch", "loss", "val_loss"].iter().chain(&NO_FIGURES) {
            self.figure(key, &line[*key]);
        }
        self.figures("", &line["metrics"]);
        self.figures("val_", &line["val_metrics"]);
        // What a checkpoint is best in, by default: the loss of the validation, or that of training.
        let watched =
            if line["val_loss"].is_null() { ["loss", "metrics"] } else { ["val_loss", "val_metrics"] };
        let prefix = if line["val_loss"].is_null() { "best_" } else { "best_val_" };
        self.best(&format!("{prefix}loss"), &line[watched[0]], line);
        for (name, value) in line[watched[1]].as_object().into_iter().flatten() {
            self.best(&format!("{prefix}{name}"), value, line);
        }
    }

    fn best(&mut self, key: &str, value: &Value, line: &Value) {
        let Some(value) = number(value).filter(|value| !value.is_nan()) else { return };
        let is_better = match self.get(key) {
            Some(Cell::Number(best)) if is_error(key) => value < *best,
            Some(Cell::Number(best)) => value > *best,
            _ => true,
        };
        if is_better {
            self.set(key, Cell::Number(value));
            if key.ends_with("loss") {
                self.figure("best_epoch", &line["epoch"]);
            }
        }
    }

    fn figures(&mut self, prefix: &str, values: &Value) {
        for (name, value) in values.as_object().into_iter().flatten() {
            self.figure(&format!("{prefix}{name}"), value);
        }
    }

    fn figure(&mut self, key: &str, value: &Value) {
        if let Some(value) = number(value) {
            self.set(key, Cell::Number(value));
        }
    }

    fn set(&mut self, key: &str, cell: Cell) {
        match self.values.iter_mut().find(|(known, _)| known == key) {
            Some((_, value)) => *value = cell,
            None => self.values.push((key.to_string(), cell)),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Cell> {
        self.values.iter().find(|(known, _)| known == key).map(|(_, cell)| cell)
    }

    pub(super) fn values(&self) -> &[(String, Cell)] {
        &self.values
    }

    /// The value of `key` for a table.
    pub(super) fn show(&self, key: &str) -> String {
        self.get(key).map_or_else(String::new, |cell| cell.show(key))
    }
}

impl Cell {
    /// For a table: numbers with few digits.
    pub(super) fn show(&self, key: &str) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(seconds) if key == "seconds" => duration(*seconds),
            Self::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => format!("{number}"),
            // As it was written, where that is short.
            Self::Number(number) if format!("{number:?}").len() <= 7 => format!("{number:?}"),
            Self::Number(number) if number.abs() >= 100.0 => format!("{number:.1}"),
            Self::Number(number) if number.abs() >= 0.001 => format!("{number:.4}"),
            Self::Number(number) => format!("{number:.3e}"),
        }
    }
}

/// Whether less is better of the number `key`.
fn is_error(key: &str) -> bool {
    ["loss", "mse", "mae", "hin"].iter().any(|part| key.contains(part))
}

/// `75 s`, `12.5 min`, `3.2 h`.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 120.0 => format!("{seconds:.1} s"),
        seconds if seconds < 7200.0 => format!("{:.1} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}

/// A number; logs write NaN and infinities as text.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| match value.as_str()? {
        "NaN" => Some(f64::NAN),
        "inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        _ => None,
    })
}

fn cell(value: &Value) -> Option<Cell> {
    match value {
        Value::Null | Value::Object(_) => None,
        Value::Number(number) => number.as_f64().map(Cell::Number),
        Value::String(text) => Some(Cell::Text(text.clone())),
        Value::Bool(is_true) => Some(Cell::Text(is_true.to_string())),
        Value::Array(values) => {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
            Some(Cell::Text(values.iter().map(text).collect::<Vec<_>>().join(",")))
        }
    }
}

/// The folders with a log at `path` and below it, in the order of their names.
pub(super) fn find(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    fs::read_dir(path)?;
    find_below(path, DEPTH, &mut found);
    found.sort();
    Ok(found)
}

fn find_below(path: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    if path.join(RunLog::NAME).is_file() {
        found.push(path.to_path_buf());
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    // Links, as those to checkpoints, are not followed.
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    for folder in folders.filter(|_| depth > 0) {
        if !folder.file_name().to_string_lossy().starts_with('.') {
            find_below(&folder.path(), depth - 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"{"event":"start","time":100.0,"run":"a","model":"simplecnn","dataset":"mnist","epochs":3,"settings":{"learning-rate":"0.01","loss":"mse","optimizer":"sgd","epochs":"3"},"step":0}
{"event":"step","time":100.5,"epoch":1,"step":5,"loss":2.0,"learning_rate":0.01,"samples_per_s":10}
{"event":"epoch","time":101.0,"epoch":1,"step":10,"loss":1.5,"metrics":{"acc":50.0},"val_loss":1.0,"val_metrics":{"acc":60.0},"learning_rate":0.01,"samples_per_s":10,"seconds":1}
{"event":"epoch","time":102.0,"epoch":2,"step":20,"loss":1.0,"metrics":{"acc":55.0},"val_loss":1.2,"val_metrics":{"acc":65.0},"learning_rate":0.01,"samples_per_s":10,"seconds":1}
{"event":"future","time":102.5}
{"event":"test","time":103.0,"epoch":2,"step":20,"loss":"NaN","metrics":{"acc":58.0}}
"#;

    fn run(text: &str) -> Run {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(RunLog::NAME), text).unwrap();
        Run::read(folder.path()).unwrap()
    }

    #[test]
    fn a_log_gives_last_and_best_figures() {
        let run = run(&format!("{LOG}{{\"event\":\"end\",\"ti"));
        let number = |key: &str| match run.get(key) {
            Some(Cell::Number(number)) => *number,
            other => panic!("{key}: {other:?}"),
        };
        for (key, expected) in [
            ("loss", 1.0),
            ("val_loss", 1.2),
            ("best_val_loss", 1.0),
            ("best_epoch", 1.0),
            ("best_val_acc", 65.0),
            ("acc", 55.0),
            ("test_acc", 58.0),
            ("step", 20.0),
            ("learning_rate", 0.01),
            ("seconds", 3.0),
            ("epochs", 3.0),
        ] {
            assert_eq!(number(key), expected, "{key}");
        }
        assert!(number("test_loss").is_nan());
        assert_eq!(
            ["state", "optimizer", "loss_function"].map(|key| run.show(key)),
            ["killed", "sgd", "mse"]
        );
        assert_eq!(run.get("nothing"), None);
    }

    #[test]
    fn a_run_is_in_the_state_of_its_last_start() {
        let end = "{\"event\":\"end\",\"time\":104,\"reason\":\"stopped\",\"step\":20}\n";
        assert_eq!(run(&format!("{LOG}{end}")).show("state"), "stopped");
        assert_eq!(run(&format!("{LOG}{end}{LOG}")).show("state"), "killed");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RunLog::NAME);
        fs::write(&path, LOG).unwrap();
        let writer = File::options().append(true).open(&path).unwrap();
        writer.try_lock().unwrap();
        assert_eq!(Run::read(folder.path()).unwrap().show("state"), "running");
        drop(writer);
        assert_eq!(Run::read(folder.path()).unwrap().show("state"), "killed");
    }
}
