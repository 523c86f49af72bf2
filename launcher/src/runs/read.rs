//! What the log of a run tells, as keys and values.
//!
//! Keys and values of a run: `run`, `folder`, `state`, `model`, `dataset`, `epoch`, `epochs`, `step`; the
//! figures of the last epoch (`loss`, `acc`, `val_loss`, `val_acc`, …), the best ones behind `best_`, those
//! of the test behind `test_`; `learning_rate`, `samples_per_s`, `seconds`, `started`; facts of the machine;
//! then all settings under the names of their options, with `_` for `-`; that of `--loss` is `loss_function`.

use isograd_model::logger::{LoggedEpoch, LoggedRun, LoggedStart, RunLog, RunState};
use std::collections::BTreeMap;
use std::fs;
use std::io;
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

/// Keys of the start, which are no settings as well.
const FACTS: [&str; 17] = [
    "model",
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
/// How deep below a folder runs are looked for.
const DEPTH: u32 = 4;

impl Run {
    /// Reads the log in `folder`.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let log = LoggedRun::read(folder)?;
        let mut run = Self { folder: folder.to_path_buf(), values: Vec::new() };
        run.set("folder", Cell::Text(folder.display().to_string()));
        // The last start tells what the run is now.
        log.starts.iter().for_each(|start| run.start(start));
        run.number("step", Some(log.step() as f64));
        log.epochs.iter().for_each(|epoch| run.epoch(epoch));
        for test in &log.tests {
            run.number("test_loss", Some(test.loss));
            run.figures("test_", &test.metrics);
        }
        if let Some(end) = &log.end {
            run.number("peak_memory_bytes", end.peak_memory_bytes.map(|bytes| bytes as f64));
            run.text("hash", end.hash.as_deref());
            run.text("problem", end.problem.as_deref());
        }
        let state = match log.state() {
            RunState::Ended(reason) => reason,
            RunState::Running => "running".to_string(),
            RunState::Killed => "killed".to_string(),
            RunState::Open => "open".to_string(),
        };
        run.set("state", Cell::Text(state));
        run.number("started", log.first_time);
        run.number("seconds", log.seconds());
        Ok(run)
    }

    fn start(&mut self, start: &LoggedStart) {
        let list = |items: Vec<String>| (!items.is_empty()).then(|| items.join(","));
        for (key, text) in [
            ("run", start.run.clone()),
            ("model", start.model.clone()),
            ("version", start.version.clone()),
            ("isa", start.isa.clone()),
            ("cpu", start.cpu.clone()),
            ("hosts", list(start.hosts.clone())),
            ("shape", list(start.shape.iter().map(u64::to_string).collect())),
            ("dataset", start.dataset.clone()),
        ] {
            self.text(key, text.as_deref());
        }
        for (key, number) in [
            ("cores", start.cores),
            ("threads", start.threads),
            ("ranks", start.ranks),
            ("parameters", start.parameters),
            ("classes", start.classes),
            ("train_samples", start.train_samples),
            ("validation_samples", start.validation_samples),
            ("steps_per_epoch", start.steps_per_epoch),
            ("batch", start.batch),
            ("epochs", start.epochs),
        ] {
            self.number(key, number.map(|number| number as f64));
        }
        for (name, value) in &start.settings {
            // `loss` is the number.
            let key = if name == "loss" { "loss_function" } else { name.as_str() };
            let key = key.replace(['-', ' '], "_");
            if !FACTS.contains(&key.as_str()) {
                // A setting was written as text, and may be a number.
                self.set(&key, value.parse().map_or_else(|_| Cell::Text(value.clone()), Cell::Number));
            }
        }
    }

    fn epoch(&mut self, epoch: &LoggedEpoch) {
        self.number("epoch", Some(epoch.epoch as f64));
        self.number("loss", Some(epoch.loss));
        self.number("val_loss", epoch.val_loss);
        self.number("learning_rate", epoch.learning_rate);
        self.number("samples_per_s", epoch.samples_per_s);
        self.number("seconds", epoch.seconds);
        self.figures("", &epoch.metrics);
        self.figures("val_", &epoch.val_metrics);
        // What a checkpoint is best in, by default: the loss of the validation, or that of training.
        let (prefix, loss, metrics) = match epoch.val_loss {
            Some(loss) => ("best_val_", loss, &epoch.val_metrics),
            None => ("best_", epoch.loss, &epoch.metrics),
        };
        self.best(&format!("{prefix}loss"), loss, epoch.epoch);
        for (name, value) in metrics {
            self.best(&format!("{prefix}{name}"), *value, epoch.epoch);
        }
    }

    fn best(&mut self, key: &str, value: f64, epoch: u64) {
        let is_better = match self.get(key) {
            _ if value.is_nan() => false,
            Some(Cell::Number(best)) if is_error(key) => value < *best,
            Some(Cell::Number(best)) => value > *best,
            _ => true,
        };
        if is_better {
            self.set(key, Cell::Number(value));
            if key.ends_with("loss") {
                self.number("best_epoch", Some(epoch as f64));
            }
        }
    }

    fn figures(&mut self, prefix: &str, values: &BTreeMap<String, f64>) {
        for (name, value) in values {
            self.number(&format!("{prefix}{name}"), Some(*value));
        }
    }

    fn number(&mut self, key: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.set(key, Cell::Number(value));
        }
    }

    fn text(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.set(key, Cell::Text(value.to_string()));
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
    fn the_time_between_the_parts_of_a_run_is_none_of_it() {
        let later = LOG.replace("\"time\":1", "\"time\":9");
        assert_eq!(run(&format!("{LOG}{later}")).get("seconds"), Some(&Cell::Number(6.0)));
    }

    #[test]
    fn a_run_is_in_the_state_of_its_last_start() {
        let end = "{\"event\":\"end\",\"time\":104,\"reason\":\"stopped\",\"step\":20}\n";
        assert_eq!(run(&format!("{LOG}{end}")).show("state"), "stopped");
        assert_eq!(run(&format!("{LOG}{end}{LOG}")).show("state"), "killed");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RunLog::NAME);
        fs::write(&path, LOG).unwrap();
        let writer = fs::File::options().append(true).open(&path).unwrap();
        writer.try_lock().unwrap();
        assert_eq!(Run::read(folder.path()).unwrap().show("state"), "running");
        // A process that another test starts may have the file open, too, for a moment.
        writer.unlock().unwrap();
        assert_eq!(Run::read(folder.path()).unwrap().show("state"), "killed");
    }
}
