//! Event files for TensorBoard.
//!
//! | tag | what |
//! | --- | --- |
//! | `train/loss`, `train/acc`, … | means over the epoch, by the step of its end |
//! | `validation/loss`, `validation/acc`, … | the same of the validation samples |
//! | `test/loss`, `test/acc`, … | the test |
//! | `step/loss` | the loss of single steps |
//! | `learning_rate`, `samples_per_s` | with steps, or with epochs where there are no steps |
//! | `settings` | a table in Markdown |
//!
//! The network is the graph, with the layers as nodes; images have the names of their records: `samples`, and
//! `mistakes/01 cat taken for dog (98.3 %)`, …

mod event;
mod tfrecord;

use crate::failure::Failure;
use crate::loggers::facts;
use isograd_model::logger::{EpochRecord, LogError, Logger, Record, RunStart, StepRecord, TestRecord};
use isograd_model::protobuf::Message;
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What the name of an event file begins with; the time in seconds follows.
const PREFIX: &str = "events.out.tfevents.";
/// How long numbers may stay in memory.
const FLUSH: Duration = Duration::from_secs(5);

/// Writes the event files of one rank. Each part of a run that is interrupted has a file of its own.
#[derive(Debug)]
pub(super) struct TensorBoard {
    folder: PathBuf,
    file: Option<BufWriter<File>>,
    flushed: Instant,
    /// Whether single steps are logged.
    has_steps: bool,
}

impl TensorBoard {
    /// Event files in `folder`, or in a folder in it for another rank than the first one.
    pub(super) fn open(folder: &Path, rank: usize, has_steps: bool) -> Result<Self, Failure> {
        let folder = if rank == 0 { folder.to_path_buf() } else { folder.join(format!("rank{rank}")) };
        let failure = |source| Failure::Write { option: "--tensorboard", path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failure)?;
        Ok(Self { folder, file: None, flushed: Instant::now(), has_steps })
    }

    /// Creates the file, and tells what is known at the start.
    fn start(&mut self, start: &RunStart) -> io::Result<()> {
        // An earlier part of the run has written the graph, of which TensorBoard wants one.
        let has_graph = start.step > 0 && last_time(&self.folder)? > 0;
        self.file = Some(BufWriter::new(File::create_new(self.folder.join(new_name(&self.folder)?))?));
        let time = now();
        self.write(&event::file_version(time))?;
        // Numbers of the last step that was done stay.
        let first = if start.step == 0 { 0 } else { start.step + 1 };
        self.write(&event::session_start(time, first))?;
        if !has_graph && !start.layers.is_empty() {
            self.write(&event::graph(time, &start.layers))?;
        }
        self.write(&event::text(time, start.step, "settings", &settings(start)))?;
        self.flush()
    }

    fn scalars(&mut self, step: u64, values: &[(String, f64)]) -> io::Result<()> {
        self.write(&event::scalars(now(), step, values))?;
        if self.flushed.elapsed() > FLUSH { self.flush() } else { Ok(()) }
    }

    fn step(&mut self, record: &StepRecord) -> io::Result<()> {
        let StepRecord { epoch: _, step, loss, learning_rate, samples_per_s } = *record;
        let values =
            [("step/loss", loss), ("learning_rate", learning_rate), ("samples_per_s", samples_per_s)];
        self.scalars(step, &values.map(|(tag, value)| (tag.to_string(), value)))
    }

    fn epoch(&mut self, record: &EpochRecord) -> io::Result<()> {
        let mut values = tagged("train", record.loss, &record.metrics);
        values.extend(
            record.val_loss.into_iter().flat_map(|loss| tagged("validation", loss, &record.val_metrics)),
        );
        if !self.has_steps {
            values.push(("learning_rate".to_string(), record.learning_rate));
            values.push(("samples_per_s".to_string(), record.samples_per_s));
        }
        self.scalars(record.step, &values)?;
        self.flush()
    }

    fn test(&mut self, record: &TestRecord) -> io::Result<()> {
        self.scalars(record.step, &tagged("test", record.loss, &record.metrics))?;
        self.flush()
    }

    fn write(&mut self, message: &Message) -> io::Result<()> {
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("the run has not started"))?;
        file.write_all(&tfrecord::record(message.bytes()))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushed = Instant::now();
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Logger for TensorBoard {
    fn name(&self) -> Cow<'_, str> {
        format!("--tensorboard {}", self.folder.display()).into()
    }

    fn log(&mut self, record: &Record) -> Result<(), LogError> {
        Ok(match record {
            Record::Start(start) => self.start(start),
            Record::Step(step) => self.step(step),
            Record::Epoch(epoch) => self.epoch(epoch),
            Record::Test(test) => self.test(test),
            Record::Image(image) => self.write(&event::image(now(), image)),
            _ => self.flush(),
        }?)
    }

    fn finish(&mut self) -> Result<(), LogError> {
        Ok(self.flush()?)
    }
}

/// The time in the name of the last event file in `folder`; 0 if there is none.
fn last_time(folder: &Path) -> io::Result<u64> {
    let seconds = |name: &str| name.strip_prefix(PREFIX)?.split('.').next()?.parse::<u64>().ok();
    let names = fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| seconds(&name)).max().unwrap_or(0))
}

/// The name of a new event file in `folder`: it comes behind all others, as TensorBoard reads files by their
/// names.
fn new_name(folder: &Path) -> io::Result<String> {
    let seconds = (now() as u64).max(last_time(folder)? + 1);
    let host: String =
        facts::host().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Ok(format!("{PREFIX}{seconds:010}.{host}.{}", std::process::id()))
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn tagged(part: &str, loss: f64, metrics: &[(String, f64)]) -> Vec<(String, f64)> {
    let metrics = metrics.iter().map(|(label, value)| (format!("{part}/{label}"), *value));
    std::iter::once((format!("{part}/loss"), loss)).chain(metrics).collect()
}

/// The settings and what they run on, as a table in Markdown.
fn settings(start: &RunStart) -> String {
    let RunStart { run, version, cpu, ranks, threads, parameters, .. } = start;
    let facts = [
        ("run", run.clone()),
        ("version", version.clone()),
        ("cpu", cpu.clone()),
        ("hosts", start.hosts.join(", ")),
        ("ranks", ranks.to_string()),
        ("threads", threads.to_string()),
        ("parameters", parameters.to_string()),
    ];
    let of_facts = facts.iter().map(|(name, value)| (*name, value.as_str()));
    let of_settings = start.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let of_settings = of_settings.filter(|(name, _)| !facts.iter().any(|(fact, _)| fact == name));
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let row = |(name, value): (&str, &str)| format!("| {} | {} |\n", cell(name), cell(value));
    "| setting | value |\n| --- | --- |\n".to_string()
        + &of_facts.chain(of_settings).map(row).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_comes_behind_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let first = new_name(folder.path()).unwrap();
        File::create(folder.path().join(&first)).unwrap();
        let second = new_name(folder.path()).unwrap();
        assert!(second > first, "{first} {second}");
        File::create(folder.path().join(format!("{PREFIX}9000000000.z.1"))).unwrap();
        assert!(new_name(folder.path()).unwrap().starts_with("events.out.tfevents.9000000001."));
    }
}
