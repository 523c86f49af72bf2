//! The log of a run: JSON lines in its folder.

use super::logged_run::unlock;
use super::{EpochRecord, LogError, Logger, Record, RunEnd, RunStart, StepRecord, TestRecord};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a reader may hold the log, and the time between two tries.
const RELEASE: Duration = Duration::from_secs(1);
const TRY: Duration = Duration::from_millis(10);

/// Writes `log.jsonl`: a JSON object a line, each in one write, so that a run that is killed leaves whole
/// lines, and at most a part of one behind them.
///
/// Every line has `event` (`start`, `step`, `epoch`, `test`, `end`) and `time`, in seconds since 1970. The
/// other keys are the fields of the [record](Record) under their own names. NaN and infinities are the
/// strings `"NaN"`, `"inf"` and `"-inf"`.
///
/// While a run writes the file, it is locked (`flock`): so a reader tells a run that goes on from one that
/// was killed, and another run leaves it as it is.
///
/// The file is created with the first record, so a run that ends before it leaves an earlier log as it is. A
/// log of an earlier run that has an epoch moves to `log-1.jsonl`, or the next free number.
#[derive(Debug)]
pub struct RunLog {
    path: PathBuf,
    file: Option<File>,
    /// Epochs and steps that the run goes on from.
    from: Option<(u32, u64)>,
}

impl RunLog {
    /// The name of the file in the folder of a run.
    pub const NAME: &'static str = "log.jsonl";

    /// The log of a new run in `folder`, which is created.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written to, or another run writes to its log.
    pub fn new(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(Self::NAME);
        // Whether it can be written is to be known before the run begins.
        if path.exists() {
            unlock(&lock(&path)?);
        } else {
            tempfile::tempfile_in(folder)?;
        }
        Ok(Self { path, file: None, from: None })
    }

    /// Keeps the lines of an earlier part of the run: of `epochs` epochs and `steps` steps.
    #[must_use]
    pub fn go_on_from(mut self, epochs: u32, steps: u64) -> Self {
        self.from = Some((epochs, steps));
        self
    }

    /// Locks the file and makes it ready for the first line. It is changed in its place: a file that took its
    /// name would have another lock.
    fn open(&self) -> io::Result<File> {
        let mut file = lock(&self.path)?;
        let mut old = Vec::new();
        file.read_to_end(&mut old)?;
        let kept = match self.from {
            Some((epochs, steps)) => kept_bytes(&old, epochs, steps),
            None => {
                if old.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"{\"event\":\"epoch\"")) {
                    self.set_aside(&old)?;
                }
                0
            }
        };
        if kept < old.len() {
            file.set_len(kept as u64)?;
        }
        Ok(file)
    }

    /// Writes `old`, the log of an earlier run, to the next free number.
    fn set_aside(&self, old: &[u8]) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut copy = tempfile::Builder::new().prefix(".isograd-").suffix(".part").tempfile_in(folder)?;
        copy.write_all(old)?;
        copy.as_file().set_permissions(fs::metadata(&self.path)?.permissions())?;
        let mut names = (1u32..).map(|number| self.path.with_file_name(format!("log-{number}.jsonl")));
        copy.persist(names.find(|path| !path.exists()).expect("a number is free"))?;
        Ok(())
    }
}

/// Opens the log at `path`, which is created, and locks it before anything is done to it.
fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    // Readers lock it for a moment.
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if start.elapsed() < RELEASE => std::thread::sleep(TRY),
            Err(TryLockError::WouldBlock) => return Err(io::Error::other("another run writes to it")),
            // Some file systems have no locks.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
}

impl Drop for RunLog {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            unlock(file);
        }
    }
}

impl Logger for RunLog {
    fn name(&self) -> Cow<'_, str> {
        self.path.to_string_lossy()
    }

    fn log(&mut self, record: &Record) -> Result<(), LogError> {
        let Some(line) = Line::of(record) else { return Ok(()) };
        if self.file.is_none() {
            self.file = Some(self.open()?);
        }
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        self.file.as_mut().expect("it was opened").write_all(text.as_bytes())?;
        Ok(())
    }
}

/// The length of what stays of a log when a run goes on after `epochs` epochs and `steps` steps: all up to
/// the last line that does. Damaged lines in between are left out by readers.
fn kept_bytes(log: &[u8], epochs: u32, steps: u64) -> usize {
    let (mut end, mut kept) = (0, 0);
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        if is_kept(line, epochs, steps) {
            kept = end;
        }
    }
    kept
}

/// Whether a line of a log stays when a run goes on after `epochs` epochs and `steps` steps: those of steps
/// and epochs that the checkpoint has do. An end or a test belongs to a run that did not go on.
fn is_kept(line: &[u8], epochs: u32, steps: u64) -> bool {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(line) else { return false };
    let number = |key: &str| value[key].as_u64().unwrap_or(0);
    let is_done = match value["event"].as_str() {
        // An epoch that ended early, with the last step of the run, is open in the checkpoint.
        Some("epoch") => number("epoch") <= u64::from(epochs),
        Some("end") => false,
        Some("test") => number("step") < steps,
        _ => true,
    };
    is_done && number("step") <= steps && line.ends_with(b"\n")
}

/// A line, with its keys in this order.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    time: f64,
    #[serde(flatten)]
    keys: Keys<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Keys<'a> {
    Start {
        run: &'a str,
        version: &'a str,
        isa: &'a str,
        cpu: &'a str,
        cores: usize,
        threads: usize,
        ranks: usize,
        hosts: &'a [String],
        model: &'a str,
        parameters: usize,
        dataset: &'a str,
        shape: [usize; 3],
        classes: usize,
        class_names: Option<&'a [String]>,
        train_samples: usize,
        validation_samples: usize,
        test_samples: Option<usize>,
        epochs: u32,
        steps_per_epoch: u64,
        batch: usize,
        settings: Texts<'a>,
        epoch: u32,
        step: u64,
    },
    Step {
        epoch: u32,
        step: u64,
        loss: Number,
        learning_rate: Number,
        samples_per_s: Number,
    },
    Epoch {
        epoch: u32,
        step: u64,
        loss: Number,
        metrics: Numbers<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        val_loss: Option<Number>,
        #[serde(skip_serializing_if = "Option::is_none")]
        val_metrics: Option<Numbers<'a>>,
        learning_rate: Number,
        samples_per_s: Number,
        seconds: f64,
    },
    Test {
        epoch: u32,
        step: u64,
        samples: usize,
        loss: Number,
        metrics: Numbers<'a>,
    },
    End {
        reason: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        problem: Option<&'a str>,
        step: u64,
        seconds: f64,
        samples_per_s: Number,
        #[serde(skip_serializing_if = "Option::is_none")]
        peak_memory_bytes: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        hash: Option<&'a str>,
    },
}

impl<'a> Line<'a> {
    /// The line of a record; an image has none.
    fn of(record: &'a Record) -> Option<Self> {
        let (event, keys) = match record {
            Record::Start(start) => ("start", Keys::of_start(start)),
            Record::Step(StepRecord { epoch, step, loss, learning_rate, samples_per_s }) => {
                let [loss, learning_rate, samples_per_s] =
                    [*loss, *learning_rate, *samples_per_s].map(Number);
                ("step", Keys::Step { epoch: *epoch, step: *step, loss, learning_rate, samples_per_s })
            }
            Record::Epoch(epoch) => ("epoch", Keys::of_epoch(epoch)),
            Record::Test(test) => {
                let TestRecord { epoch, step, samples, loss, metrics } = &**test;
                let (loss, metrics) = (Number(*loss), Numbers(metrics));
                ("test", Keys::Test { epoch: *epoch, step: *step, samples: *samples, loss, metrics })
            }
            Record::Image(_) => return None,
            Record::End(end) => ("end", Keys::of_end(end)),
        };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // To the millisecond.
        Some(Self { event, time: time.as_millis() as f64 / 1e3, keys })
    }
}

impl<'a> Keys<'a> {
    fn of_start(start: &'a RunStart) -> Self {
        let RunStart {
            run,
            version,
            isa,
            cpu,
            cores,
            threads,
            ranks,
            hosts,
            model,
            parameters,
            layers: _,
            dataset,
            shape,
            classes,
            class_names,
            train_samples,
            validation_samples,
            test_samples,
            epochs,
            steps_per_epoch,
            batch,
            settings,
            epoch,
            step,
        } = start;
        Self::Start {
            run,
            version,
            isa,
            cpu,
            cores: *cores,
            threads: *threads,
            ranks: *ranks,
            hosts,
            model,
            parameters: *parameters,
            dataset,
            shape: *shape,
            classes: *classes,
            class_names: (!class_names.is_empty()).then_some(class_names),
            train_samples: *train_samples,
            validation_samples: *validation_samples,
            test_samples: *test_samples,
            epochs: *epochs,
            steps_per_epoch: *steps_per_epoch,
            batch: *batch,
            settings: Texts(settings),
            epoch: *epoch,
            step: *step,
        }
    }

    fn of_epoch(epoch: &'a EpochRecord) -> Self {
        Self::Epoch {
            epoch: epoch.epoch,
            step: epoch.step,
            loss: Number(epoch.loss),
            metrics: Numbers(&epoch.metrics),
            val_loss: epoch.val_loss.map(Number),
            val_metrics: epoch.val_loss.map(|_| Numbers(&epoch.val_metrics)),
            learning_rate: Number(epoch.learning_rate),
            samples_per_s: Number(epoch.samples_per_s),
            seconds: epoch.seconds,
        }
    }

    fn of_end(end: &'a RunEnd) -> Self {
        let RunEnd { reason, problem, step, seconds, samples_per_s, peak_memory_bytes, hash } = end;
        Self::End {
            reason,
            problem: problem.as_deref(),
            step: *step,
            seconds: *seconds,
            samples_per_s: Number(*samples_per_s),
            peak_memory_bytes: *peak_memory_bytes,
            hash: hash.as_deref(),
        }
    }
}

/// A number that JSON may not have.
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() { to.serialize_f64(self.0) } else { to.serialize_str(&self.0.to_string()) }
    }
}

/// Names and numbers, as an object.
struct Numbers<'a>(&'a [(String, f64)]);

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, value)| (name, Number(*value))))
    }
}

/// Names and texts, as an object.
struct Texts<'a>(&'a [(String, String)]);

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logger::{LoggedRun, RunState};
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn step(step: u64) -> Record {
        let (learning_rate, samples_per_s) = (0.01, f64::INFINITY);
        Record::Step(StepRecord { epoch: 1, step, loss: f64::NAN, learning_rate, samples_per_s })
    }

    fn epoch(epoch: u32, step: u64) -> Record {
        Record::Epoch(Arc::new(EpochRecord {
            epoch,
            step,
            loss: 0.5,
            metrics: vec![("acc".to_string(), 50.0)],
            val_loss: None,
            val_metrics: Vec::new(),
            learning_rate: 0.01,
            samples_per_s: 100.0,
            seconds: 2.0,
        }))
    }

    fn start(epoch: u32, step: u64) -> Record {
        Record::Start(Arc::new(RunStart { run: "a \"b\"\n".to_string(), epoch, step, ..RunStart::default() }))
    }

    fn end(step: u64) -> Record {
        Record::End(Arc::new(RunEnd { reason: "finished".to_string(), step, ..RunEnd::default() }))
    }

    fn write(folder: &Path, from: Option<(u32, u64)>, records: &[Record]) -> Vec<Value> {
        let log = RunLog::new(folder).unwrap();
        let mut log = match from {
            Some((epochs, steps)) => log.go_on_from(epochs, steps),
            None => log,
        };
        records.iter().for_each(|record| log.log(record).unwrap());
        let text = fs::read_to_string(folder.join(RunLog::NAME)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    fn places(lines: &[Value]) -> Vec<(String, u64)> {
        let place =
            |line: &Value| (line["event"].as_str().unwrap().to_string(), line["step"].as_u64().unwrap());
        lines.iter().map(place).collect()
    }

    #[test]
    fn lines_have_what_the_records_have() {
        let folder = tempfile::tempdir().unwrap();
        let lines = write(folder.path(), None, &[start(0, 0), step(10), epoch(1, 20), end(20)]);
        assert_eq!((&lines[0]["run"], &lines[0]["class_names"]), (&json!("a \"b\"\n"), &Value::Null));
        let [loss, rate] = ["loss", "samples_per_s"].map(|key| lines[1][key].clone());
        assert_eq!((loss, rate, &lines[1]["learning_rate"]), (json!("NaN"), json!("inf"), &json!(0.01)));
        assert_eq!((&lines[2]["metrics"], lines[2].get("val_loss")), (&json!({"acc": 50.0}), None));
        assert!(lines.iter().all(|line| line["time"].as_f64().unwrap() > 1.7e9), "{lines:?}");
        assert_eq!((&lines[3]["reason"], lines[3].get("hash")), (&json!("finished"), None));
    }

    #[test]
    fn a_run_that_goes_on_keeps_the_lines_up_to_its_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let first = [start(0, 0), step(10), step(20), epoch(1, 20), step(30), epoch(2, 35), end(35)];
        write(folder.path(), None, &first);
        // A part of a line, as a kill leaves it.
        let path = folder.path().join(RunLog::NAME);
        let text = [&fs::read(&path).unwrap()[..], b"{\"event\":\"step\",\"\xff"].concat();
        let names = |steps: &[(&str, u64)]| -> Vec<(String, u64)> {
            steps.iter().map(|(event, step)| (event.to_string(), *step)).collect()
        };
        for (from, kept) in [
            ((1, 20), &[("start", 0), ("step", 10), ("step", 20), ("epoch", 20)][..]),
            ((1, 29), &[("start", 0), ("step", 10), ("step", 20), ("epoch", 20)]),
            // The second epoch ended early, with the run.
            ((1, 35), &[("start", 0), ("step", 10), ("step", 20), ("epoch", 20), ("step", 30)]),
        ] {
            fs::write(&path, &text).unwrap();
            let lines = write(folder.path(), Some(from), &[start(from.0, from.1)]);
            assert_eq!(places(&lines), names(&[kept, &[("start", from.1)]].concat()), "{from:?}");
        }
    }

    #[test]
    fn an_earlier_log_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), None, &[start(0, 0), epoch(1, 20)]);
        RunLog::new(folder.path()).unwrap();
        let read =
            |name: &str| fs::read_to_string(folder.path().join(name)).map(|text| text.lines().count()).ok();
        assert_eq!(read(RunLog::NAME), Some(2), "a run that has not begun");
        write(folder.path(), None, &[start(0, 0)]);
        assert_eq!((read(RunLog::NAME), read("log-1.jsonl")), (Some(1), Some(2)));
        // One without an epoch has nothing to keep.
        write(folder.path(), None, &[start(0, 0)]);
        assert_eq!((read(RunLog::NAME), read("log-2.jsonl")), (Some(1), None));
    }

    #[test]
    fn a_log_that_another_run_writes_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let open = || RunLog::new(folder.path()).unwrap();
        let (mut one, mut other, mut continued) = (open(), open(), open().go_on_from(0, 0));
        one.log(&start(0, 0)).unwrap();
        one.log(&epoch(1, 20)).unwrap();
        let refused = "another run writes to it";
        for log in [&mut other, &mut continued] {
            assert_eq!(log.log(&start(0, 0)).unwrap_err().to_string(), refused);
        }
        assert_eq!(RunLog::new(folder.path()).unwrap_err().to_string(), refused);
        one.log(&step(30)).unwrap();
        let names = ["start", "epoch", "step"];
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let events = |text: &str| -> Vec<String> {
            let event =
                |line: &str| serde_json::from_str::<Value>(line).unwrap()["event"].as_str().map(String::from);
            text.lines().filter_map(event).collect()
        };
        assert_eq!(events(&read(RunLog::NAME)), names);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // When it has ended, it moves.
        drop(one);
        other.log(&start(0, 0)).unwrap();
        assert_eq!(
            (events(&read("log-1.jsonl")), events(&read(RunLog::NAME))),
            (names.map(String::from).to_vec(), vec!["start".to_string()])
        );
        assert_eq!(LoggedRun::read(folder.path()).unwrap().state(), RunState::Running);
    }
}
