//! What the log of a run tells: the other side of [`RunLog`].
//!
//! A log may be that of a run that goes on, was killed, or has not had a step, and a disk or an editor may
//! have damaged it. So nothing in it must be there: a line that is no event is counted and left out, and
//! unknown events and keys are ignored.

use super::RunLog;
use crate::checkpoint::RunFolder;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Longer lines than any event has.
const MOST_LINE_BYTES: u64 = 4 << 20;
/// Bytes of the first damaged line that are kept.
const MOST_SHOWN_BYTES: usize = 256;

/// The events in the log of a run, read by [`LoggedRun::read`].
///
/// Where a run goes on from a checkpoint, what the log had of steps behind it is left out: it was done again.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LoggedRun {
    /// The first one is that of the run, others are those of its continuations.
    pub starts: Vec<LoggedStart>,
    /// Steps, as often as they were logged.
    pub steps: Vec<LoggedStep>,
    /// Epochs.
    pub epochs: Vec<LoggedEpoch>,
    /// Tests.
    pub tests: Vec<LoggedTest>,
    /// The end, unless the run went on behind it.
    pub end: Option<LoggedEnd>,
    /// When the first event was written, in seconds since 1970.
    pub first_time: Option<f64>,
    /// When the last event was written, in seconds since 1970.
    pub last_time: Option<f64>,
    /// Lines that are no events.
    pub damaged_lines: usize,
    /// The number of the first of them, from 1, and its beginning.
    pub first_damaged: Option<(usize, String)>,
    /// Whether the last line has no end, as a run that is killed may leave it.
    pub is_torn: bool,
    /// Seconds of the parts before the last one.
    earlier_seconds: f64,
    /// Whether a process writes to the log or to the folder; `None` if that cannot be known.
    is_written: Option<bool>,
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// It ended for this reason.
    Ended(String),
    /// A process writes to its folder.
    Running,
    /// Its log has no end, and no process writes to its folder.
    Killed,
    /// Its log has no end, and whether a process writes to its folder is not known.
    Open,
}

/// The start of a run, or of its continuation. Numbers and texts that a log does not have are `None`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LoggedStart {
    /// When it was written, in seconds since 1970.
    pub time: Option<f64>,
    /// The name of the run.
    pub run: Option<String>,
    /// The version of the program.
    pub version: Option<String>,
    /// The instruction-set level.
    pub isa: Option<String>,
    /// The model of the CPU.
    pub cpu: Option<String>,
    /// Cores of rank 0's host.
    pub cores: Option<u64>,
    /// Threads of rank 0.
    pub threads: Option<u64>,
    /// Number of ranks.
    pub ranks: Option<u64>,
    /// Names of the hosts.
    pub hosts: Vec<String>,
    /// The name of the network.
    pub model: Option<String>,
    /// Trained and frozen parameters.
    pub parameters: Option<u64>,
    /// The data set.
    pub dataset: Option<String>,
    /// Channels, height and width of a sample.
    pub shape: Vec<u64>,
    /// Classes; 0 where targets are values.
    pub classes: Option<u64>,
    /// Samples to train on.
    pub train_samples: Option<u64>,
    /// Samples to validate on.
    pub validation_samples: Option<u64>,
    /// Samples to test with.
    pub test_samples: Option<u64>,
    /// Epochs that the run is to have.
    pub epochs: Option<u64>,
    /// Steps of an epoch.
    pub steps_per_epoch: Option<u64>,
    /// Samples of a step, of all ranks together.
    pub batch: Option<u64>,
    /// Names of options and their values.
    #[serde(deserialize_with = "texts")]
    pub settings: BTreeMap<String, String>,
    /// Steps done before.
    pub step: u64,
}

/// Some steps, of which the last is `step`.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct LoggedStep {
    /// The step, from 1, counted over all epochs.
    pub step: u64,
    /// Mean loss of the step's samples.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// Learning rate of the step.
    #[serde(default, deserialize_with = "optional")]
    pub learning_rate: Option<f64>,
    /// Samples of all ranks in a second.
    #[serde(default, deserialize_with = "optional")]
    pub samples_per_s: Option<f64>,
}

/// The end of an epoch.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct LoggedEpoch {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Its last step.
    pub step: u64,
    /// Mean loss of the training samples.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// Labels and values of metrics over the training samples.
    #[serde(default, deserialize_with = "numbers")]
    pub metrics: BTreeMap<String, f64>,
    /// Mean loss of the validation samples.
    #[serde(default, deserialize_with = "optional")]
    pub val_loss: Option<f64>,
    /// Labels and values of metrics over the validation samples.
    #[serde(default, deserialize_with = "numbers")]
    pub val_metrics: BTreeMap<String, f64>,
    /// Learning rate of the last step.
    #[serde(default, deserialize_with = "optional")]
    pub learning_rate: Option<f64>,
    /// Training samples of all ranks in a second.
    #[serde(default, deserialize_with = "optional")]
    pub samples_per_s: Option<f64>,
    /// Time of the epoch's steps.
    #[serde(default, deserialize_with = "optional")]
    pub seconds: Option<f64>,
}

/// A test of the network.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct LoggedTest {
    /// Steps done.
    #[serde(default)]
    pub step: u64,
    /// Mean loss.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// Labels and values of metrics.
    #[serde(default, deserialize_with = "numbers")]
    pub metrics: BTreeMap<String, f64>,
}

/// The end of a run.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct LoggedEnd {
    /// Why, as [`RunEnd`](super::RunEnd) has it.
    pub reason: String,
    /// The error, if that is the reason.
    #[serde(default)]
    pub problem: Option<String>,
    /// Steps done.
    #[serde(default)]
    pub step: u64,
    /// Time since the start, without what came before the run went on.
    #[serde(default, deserialize_with = "optional")]
    pub seconds: Option<f64>,
    /// Trained samples of all ranks in a second of training.
    #[serde(default, deserialize_with = "optional")]
    pub samples_per_s: Option<f64>,
    /// The most memory that rank 0 has used.
    #[serde(default)]
    pub peak_memory_bytes: Option<u64>,
    /// SHA-256 of the parameters.
    #[serde(default)]
    pub hash: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Start(Box<LoggedStart>),
    Step(LoggedStep),
    Epoch(LoggedEpoch),
    Test(LoggedTest),
    End(LoggedEnd),
    #[serde(other)]
    Unknown,
}

impl LoggedRun {
    /// Reads the log in `folder` to its end. Memory is that of the events, and a line of it has a bound.
    ///
    /// # Errors
    ///
    /// Those of opening and reading the file alone: damage is counted.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let file = File::open(folder.join(RunLog::NAME))?;
        let is_written = [is_locked(&file), RunFolder::is_in_use(folder)];
        let mut run = Self::of_lines(BufReader::new(&file))?;
        run.is_written = is_written.into_iter().flatten().reduce(|one, other| one || other);
        Ok(run)
    }

    fn of_lines(mut lines: impl BufRead) -> io::Result<Self> {
        let mut run = Self::default();
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if lines.by_ref().take(MOST_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let is_whole = line.ends_with(b"\n");
            if !is_whole && line.len() as u64 == MOST_LINE_BYTES {
                run.damage(number, &line);
                skip_line(&mut lines)?;
                continue;
            }
            match serde_json::from_slice::<Event>(&line) {
                Ok(event) => {
                    let time = time(&line);
                    if matches!(event, Event::Start(_)) {
                        run.earlier_seconds += run.logged_seconds().unwrap_or(0.0);
                    }
                    run.first_time = run.first_time.or(time);
                    run.last_time = time.or(run.last_time);
                    run.add(event);
                }
                Err(_) if line.iter().all(u8::is_ascii_whitespace) => {}
                Err(_) if !is_whole => run.is_torn = true,
                Err(_) => run.damage(number, &line),
            }
        }
        Ok(run)
    }

    /// The start of the run, or its last continuation: what it is now.
    pub fn start(&self) -> Option<&LoggedStart> {
        self.starts.last()
    }

    /// How far the run has come.
    pub fn state(&self) -> RunState {
        match (&self.end, self.is_written) {
            (Some(end), _) => RunState::Ended(end.reason.clone()),
            (None, Some(true)) => RunState::Running,
            (None, Some(false)) => RunState::Killed,
            (None, None) => RunState::Open,
        }
    }

    /// Steps done, as far as the log tells.
    pub fn step(&self) -> u64 {
        let last = [
            self.start().map(|start| start.step),
            self.steps.last().map(|step| step.step),
            self.epochs.last().map(|epoch| epoch.step),
            self.tests.last().map(|test| test.step),
            self.end.as_ref().map(|end| end.step),
        ];
        last.into_iter().flatten().max().unwrap_or(0)
    }

    /// How long the run has taken, as far as the log tells: the seconds of all its parts, without those
    /// between them and those of steps that were done again.
    pub fn seconds(&self) -> Option<f64> {
        let of_end = self.end.as_ref().and_then(|end| end.seconds);
        let last_part = of_end.or_else(|| self.logged_seconds())?;
        Some(self.earlier_seconds + last_part)
    }

    /// From the start of the last part, or the first event if the log has no start, to the last event so far.
    fn logged_seconds(&self) -> Option<f64> {
        let start = self.start().map_or(self.first_time, |start| start.time)?;
        Some((self.last_time? - start).max(0.0))
    }

    fn add(&mut self, event: Event) {
        match event {
            Event::Start(start) => {
                self.steps.retain(|event| event.step <= start.step);
                self.epochs.retain(|event| event.step <= start.step);
                self.tests.retain(|event| event.step <= start.step);
                self.end = None;
                self.starts.push(*start);
            }
            Event::Step(step) => self.steps.push(step),
            Event::Epoch(epoch) => self.epochs.push(epoch),
            Event::Test(test) => self.tests.push(test),
            Event::End(end) => self.end = Some(end),
            Event::Unknown => {}
        }
    }

    fn damage(&mut self, number: usize, line: &[u8]) {
        self.damaged_lines += 1;
        self.first_damaged.get_or_insert_with(|| {
            let shown = &line[..line.len().min(MOST_SHOWN_BYTES)];
            (number, String::from_utf8_lossy(shown).trim_end().to_string())
        });
    }
}

/// Whether another process has locked `file`; `None` where there are no locks.
pub(crate) fn is_locked(file: &File) -> Option<bool> {
    // Shared, so that two readers do not take each other for a run.
    match file.try_lock_shared() {
        Ok(()) => {
            unlock(file);
            Some(false)
        }
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    }
}

/// Gives up a lock on `file`. Closing the file does so only when nobody else has it open, and a process that
/// another thread is just starting has every open file of ours until it runs its program.
pub(crate) fn unlock(file: &File) {
    // Where there are no locks, there is none to give up.
    let _ = file.unlock();
}

/// When the event in `line` was written.
fn time(line: &[u8]) -> Option<f64> {
    #[derive(Deserialize)]
    struct Time {
        time: Option<f64>,
    }
    serde_json::from_slice::<Time>(line).ok()?.time
}

/// Reads to the end of a line without keeping it.
fn skip_line(lines: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = lines.fill_buf()?;
        let (len, end) = (bytes.len(), bytes.iter().position(|byte| *byte == b'\n'));
        lines.consume(end.map_or(len, |end| end + 1));
        if end.is_some() || len == 0 {
            return Ok(());
        }
    }
}

/// A number; logs write NaN and infinities as texts.
fn of_value(value: &Value) -> Result<f64, String> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::Null => Some(f64::NAN),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "inf" => Some(f64::INFINITY),
            "-inf" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    };
    number.ok_or_else(|| format!("{value} is no number"))
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    of_value(&Value::deserialize(from)?).map_err(D::Error::custom)
}

fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let value = Option::<Value>::deserialize(from)?;
    value.as_ref().map(of_value).transpose().map_err(D::Error::custom)
}

fn numbers<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let values = BTreeMap::<String, Value>::deserialize(from)?;
    let numbers = values.into_iter().map(|(name, value)| Ok((name, of_value(&value)?)));
    numbers.collect::<Result<_, String>>().map_err(D::Error::custom)
}

fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values = BTreeMap::<String, Value>::deserialize(from)?;
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(values.into_iter().map(|(name, value)| (name, text(value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn read(text: &str) -> LoggedRun {
        LoggedRun::of_lines(text.as_bytes()).unwrap()
    }

    const EPOCH: &str = r#"{"event":"epoch","time":5.5,"epoch":1,"step":8,"loss":"NaN","metrics":{"acc":50},"val_loss":"inf","more":[]}"#;

    #[test]
    fn numbers_may_be_texts_and_keys_unknown() {
        let run = read(&format!("{EPOCH}\n{{\"event\":\"later\",\"time\":\"x\"}}\n\n"));
        let epoch = &run.epochs[0];
        assert!(epoch.loss.is_nan() && epoch.val_loss == Some(f64::INFINITY));
        assert_eq!((epoch.metrics["acc"], epoch.val_metrics.len(), epoch.seconds), (50.0, 0, None));
        assert_eq!((run.first_time, run.last_time), (Some(5.5), Some(5.5)));
        assert_eq!((run.damaged_lines, run.is_torn, run.step()), (0, false, 8));
    }

    #[test]
    fn damaged_lines_are_counted_and_left_out() {
        let long = "x".repeat(MOST_LINE_BYTES as usize + 10);
        let run =
            read(&format!("{{\"event\":\"step\"}}\n{EPOCH}\n\x1b[2J\n{long}\n{EPOCH}\n{{\"event\":\"ep"));
        assert_eq!((run.epochs.len(), run.damaged_lines, run.is_torn), (2, 3, true));
        assert_eq!(run.first_damaged, Some((1, "{\"event\":\"step\"}".to_string())));
        let (_, shown) = read(&format!("{long}\n")).first_damaged.unwrap();
        assert_eq!(shown.len(), MOST_SHOWN_BYTES);
        let nonsense = LoggedRun::of_lines(&b"\xff\xfe\n\n{}\n[1]\n"[..]).unwrap();
        assert_eq!((nonsense.damaged_lines, nonsense.step()), (3, 0));
    }

    #[test]
    fn a_run_that_goes_on_does_again_what_was_behind_its_checkpoint() {
        let start =
            |step| format!("{{\"event\":\"start\",\"step\":{step},\"settings\":{{\"a\":\"x\",\"b\":2}}}}\n");
        let step = |step| format!("{{\"event\":\"step\",\"step\":{step},\"loss\":1}}\n");
        let end = "{\"event\":\"end\",\"reason\":\"stopped\",\"step\":3}\n";
        let run = read(&[start(0), step(1), step(2), step(3), end.into(), start(2), step(3)].concat());
        assert_eq!(run.steps.iter().map(|step| step.step).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!((run.starts.len(), run.end.is_none()), (2, true));
        let settings = &run.starts[0].settings;
        assert_eq!((settings["a"].as_str(), settings["b"].as_str()), ("x", "2"));
    }

    #[test]
    fn a_run_takes_the_time_of_its_parts() {
        let line =
            |event: &str, time: f64, rest: &str| format!("{{\"event\":\"{event}\",\"time\":{time}{rest}}}\n");
        let start = |time| line("start", time, "");
        let step = |time| line("step", time, ",\"step\":1,\"loss\":1");
        let end = |time| line("end", time, ",\"reason\":\"finished\",\"seconds\":2.5");
        let seconds = |lines: &[String]| read(&lines.concat()).seconds();
        assert_eq!(seconds(&[]), None);
        assert_eq!(seconds(&[start(100.0), step(104.0)]), Some(4.0));
        // An end knows it better.
        assert_eq!(seconds(&[start(100.0), step(104.0), end(104.0)]), Some(2.5));
        let parts = [start(100.0), step(104.0), start(1000.0), start(2000.0), step(2001.0)];
        assert_eq!(seconds(&parts), Some(5.0));
        assert_eq!(seconds(&[&parts[..], &[end(2003.0)]].concat()), Some(6.5));
        // A clock that was set back, and a log without times.
        assert_eq!(seconds(&[start(100.0), step(50.0)]), Some(0.0));
        assert_eq!(seconds(&["{\"event\":\"start\"}\n".to_string(), step(50.0)]), None);
    }

    #[test]
    fn the_state_follows_from_the_log_and_its_locks() {
        let state = |log: &str, locked: Option<&str>| {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(RunLog::NAME), log).unwrap();
            fs::write(folder.path().join(".lock"), "").unwrap();
            let lock = locked.map(|name| {
                let file = File::open(folder.path().join(name)).unwrap();
                file.lock().unwrap();
                file
            });
            let state = LoggedRun::read(folder.path()).unwrap().state();
            drop(lock);
            state
        };
        let ended = r#"{"event":"end","reason":"early stopping"}"#;
        assert_eq!(state(ended, None), RunState::Ended("early stopping".to_string()));
        assert_eq!(state("", Some(".lock")), RunState::Running);
        assert_eq!(state("", Some(RunLog::NAME)), RunState::Running);
        assert_eq!(state("", None), RunState::Killed);
        let going_on = format!("{ended}\n{{\"event\":\"start\",\"step\":3}}\n");
        assert_eq!(state(&going_on, Some(RunLog::NAME)), RunState::Running);
    }

    /// What the writer writes.
    #[test]
    fn a_written_log_is_read_back() {
        use crate::logger::{EpochRecord, Logger, Record, RunEnd, RunStart, StepRecord, TestRecord};
        use std::sync::Arc;
        let folder = tempfile::tempdir().unwrap();
        let mut log = RunLog::new(folder.path()).unwrap();
        let start = RunStart {
            run: "a \"b\"\n".to_string(),
            shape: [3, 4, 5],
            hosts: vec!["one".to_string()],
            settings: vec![("optimizer".to_string(), "sgd".to_string())],
            ..RunStart::default()
        };
        let metrics = vec![("acc".to_string(), 50.0)];
        for record in [
            Record::Start(Arc::new(start)),
            Record::Step(StepRecord {
                epoch: 1,
                step: 4,
                loss: f64::NEG_INFINITY,
                learning_rate: 0.1,
                samples_per_s: 9.0,
            }),
            Record::Epoch(Arc::new(EpochRecord {
                epoch: 1,
                step: 8,
                loss: 0.5,
                metrics: metrics.clone(),
                val_loss: Some(0.25),
                val_metrics: metrics.clone(),
                learning_rate: 0.1,
                samples_per_s: 9.0,
                seconds: 2.0,
            })),
            Record::Test(Arc::new(TestRecord { epoch: 1, step: 8, samples: 7, loss: 1.5, metrics })),
        ] {
            log.log(&record).unwrap();
        }
        let run = LoggedRun::read(folder.path()).unwrap();
        assert_eq!(run.state(), RunState::Running);
        let end =
            RunEnd { reason: "failed".to_string(), problem: Some("x".to_string()), ..RunEnd::default() };
        log.log(&Record::End(Arc::new(end))).unwrap();
        drop(log);
        let run = LoggedRun::read(folder.path()).unwrap();
        let start = run.start().unwrap();
        assert_eq!((start.run.as_deref(), &start.shape[..]), (Some("a \"b\"\n"), &[3, 4, 5][..]));
        assert_eq!(
            (start.settings["optimizer"].as_str(), &start.hosts[..]),
            ("sgd", &["one".to_string()][..])
        );
        assert_eq!((run.steps[0].step, run.steps[0].loss), (4, f64::NEG_INFINITY));
        let epoch = &run.epochs[0];
        assert_eq!((epoch.val_loss, epoch.val_metrics["acc"], epoch.seconds), (Some(0.25), 50.0, Some(2.0)));
        assert_eq!((run.tests[0].loss, run.step()), (1.5, 8));
        assert_eq!(run.end.as_ref().unwrap().problem.as_deref(), Some("x"));
        assert_eq!((run.state(), run.damaged_lines), (RunState::Ended("failed".to_string()), 0));
    }
}
