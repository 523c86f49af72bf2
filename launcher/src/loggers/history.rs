//! The history file: a row for each epoch, and for steps if they are asked for.

use crate::cli::metric_plan::MetricPlan;
use crate::cli::parsers::{HistoryFile, HistoryFormat};
use crate::failure::Failure;
use isograd_model::logger::{EpochRecord, LogError, Logger, Record, StepRecord};
use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// A history file that is being written. Each row is one write, so that a run that breaks off leaves whole
/// rows.
///
/// Columns: `epoch`, from 1; `step`, counted over all epochs; `samples_per_s`, of all ranks; `learning_rate`,
/// of the last step; `loss` and each metric under its name; with validation samples, `val_loss` and each
/// metric behind `val_`. The row of a step has its own loss, and no metrics.
#[derive(Debug)]
pub(crate) struct History {
    path: PathBuf,
    format: HistoryFormat,
    open: File,
    /// The names of metrics.
    metrics: Vec<String>,
    has_validation: bool,
    rows: u32,
    /// The rows of so many epochs and steps stay, as those of a run that goes on.
    kept: (u32, u64),
}

impl History {
    /// Opens the file, or creates it. Rows of an earlier run stay until there is a row to write.
    pub(super) fn open(
        file: &HistoryFile,
        rank: usize,
        metrics: &[MetricPlan],
        has_validation: bool,
    ) -> Result<Self, Failure> {
        let path = super::of_rank(&file.path, rank);
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let failure = |source| Failure::Write { option: "--history", path: path.clone(), source };
        let open = open.map_err(failure)?;
        let metrics = metrics.iter().map(MetricPlan::to_string).collect();
        Ok(Self { path, format: file.format, open, metrics, has_validation, rows: 0, kept: (0, 0) })
    }

    /// Goes on after the rows of the first `epochs` epochs and `steps` steps: those behind them, which the
    /// run had written before it was interrupted, make room for new ones.
    pub(super) fn go_on_from(self, epochs: u32, steps: u64) -> Self {
        Self { kept: (epochs, steps), ..self }
    }

    fn of_step(&self, step: &StepRecord) -> Vec<Column> {
        let StepRecord { epoch, step, loss, learning_rate, samples_per_s } = *step;
        let mut row = place(epoch, step, samples_per_s, learning_rate);
        row.extend(self.scores("", Some(loss), &[]));
        row.extend(self.validation(None, &[]));
        row
    }

    fn of_epoch(&self, epoch: &EpochRecord) -> Vec<Column> {
        let mut row = place(epoch.epoch, epoch.step, epoch.samples_per_s, epoch.learning_rate);
        row.extend(self.scores("", Some(epoch.loss), &epoch.metrics));
        row.extend(self.validation(epoch.val_loss, &epoch.val_metrics));
        row
    }

    fn validation(&self, loss: Option<f64>, metrics: &[(String, f64)]) -> Vec<Column> {
        if self.has_validation { self.scores("val_", loss, metrics) } else { Vec::new() }
    }

    /// Columns of the loss and the metrics. All rows have the same columns; some have no values.
    fn scores(&self, prefix: &str, loss: Option<f64>, values: &[(String, f64)]) -> Vec<Column> {
        let named = self.metrics.iter().enumerate();
        let named =
            named.map(|(index, name)| (format!("{prefix}{name}"), values.get(index).map(|value| value.1)));
        std::iter::once((format!("{prefix}loss"), loss)).chain(named).collect()
    }

    /// Appends a row. In CSV, a header precedes the first one.
    fn append(&mut self, row: &[Column]) -> io::Result<()> {
        let with_header = self.rows == 0 && !self.cut()?;
        let text = match self.format {
            HistoryFormat::Csv => csv(row, with_header),
            HistoryFormat::JsonLines => json_line(row),
        };
        self.rows += 1;
        self.open.write_all(text.as_bytes())
    }

    /// Removes all but the rows that stay; pipes and devices have nothing to remove. Returns whether rows
    /// stay.
    fn cut(&mut self) -> io::Result<bool> {
        if !self.open.metadata()?.is_file() {
            return Ok(false);
        }
        let kept = match self.kept {
            (_, 0) => 0,
            kept => kept_bytes(&std::fs::read(&self.path)?, self.format, kept),
        };
        self.open.set_len(kept as u64)?;
        self.open.seek(SeekFrom::End(0))?;
        Ok(kept > 0)
    }
}

impl Logger for History {
    fn name(&self) -> Cow<'_, str> {
        format!("--history {}", self.path.display()).into()
    }

    fn log(&mut self, record: &Record) -> Result<(), LogError> {
        let row = match record {
            Record::Step(step) => self.of_step(step),
            Record::Epoch(epoch) => self.of_epoch(epoch),
            _ => return Ok(()),
        };
        Ok(self.append(&row)?)
    }
}

/// The length of the rows of the first `epochs` epochs and `steps` steps in `text`, with the header in front
/// of them; 0 if there is none of them.
fn kept_bytes(text: &[u8], format: HistoryFormat, (epochs, steps): (u32, u64)) -> usize {
    // Epoch, step, and whether it is a step's row, which has no metric.
    let row = |line: &[u8]| -> Option<(u32, u64, bool)> {
        let line = std::str::from_utf8(line).ok()?;
        match format {
            HistoryFormat::Csv => {
                let cells: Vec<&str> = line.trim_end().split(',').collect();
                Some((cells.first()?.parse().ok()?, cells.get(1)?.parse().ok()?, cells.get(5) == Some(&"")))
            }
            HistoryFormat::JsonLines => {
                let value: serde_json::Value = serde_json::from_str(line).ok()?;
                let values = value.as_object()?.iter().filter(|(_, value)| !value.is_null()).count();
                let epoch = u32::try_from(value["epoch"].as_u64()?).ok()?;
                Some((epoch, value["step"].as_u64()?, values == 5 && value.as_object()?.len() > 5))
            }
        }
    };
    let (mut end, mut kept) = (0, 0);
    for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        end += line.len();
        let is_kept = |(epoch, step, is_step)| step <= steps && (is_step || epoch <= epochs);
        match row(line) {
            Some(row) if is_kept(row) && line.ends_with(b"\n") => kept = end,
            // The header.
            None if number == 0 => {}
            _ => break,
        }
    }
    kept
}

/// The name of a column, and its value, if it has one in this row.
type Column = (String, Option<f64>);

fn place(epoch: u32, step: u64, rate: f64, learning_rate: f64) -> Vec<Column> {
    let columns = [
        ("epoch", f64::from(epoch)),
        ("step", step as f64),
        ("samples_per_s", rate),
        ("learning_rate", learning_rate),
    ];
    columns.map(|(name, value)| (name.to_string(), Some(value))).to_vec()
}

/// A value with as many digits as it takes to read back the same number.
fn csv(row: &[Column], with_header: bool) -> String {
    let join = |cells: Vec<String>| cells.join(",") + "\n";
    let text = |value: &Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let values = join(row.iter().map(|(_, value)| text(value)).collect());
    match with_header {
        true => join(row.iter().map(|(name, _)| name.clone()).collect()) + &values,
        false => values,
    }
}

/// As [`csv`], but `null` for NaN and infinities, which JSON does not have.
fn json_line(row: &[Column]) -> String {
    let cell = |(name, value): &Column| match value.filter(|value| value.is_finite()) {
        Some(value) => format!("\"{name}\":{value}"),
        None => format!("\"{name}\":null"),
    };
    format!("{{{}}}\n", row.iter().map(cell).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const METRIC: &str = "regression_mse";

    fn history(file: &HistoryFile) -> History {
        History::open(file, 0, &[MetricPlan::new(METRIC).unwrap()], true).unwrap()
    }

    fn epoch(epoch: u32, step: u64) -> Record {
        let metrics = |value| vec![("mse".to_string(), value)];
        Record::Epoch(Arc::new(EpochRecord {
            epoch,
            step,
            loss: 0.25,
            metrics: metrics(0.1 + 0.2),
            val_loss: Some(0.5),
            val_metrics: metrics(f64::NAN),
            learning_rate: 0.001,
            samples_per_s: 100.0,
            seconds: 0.5,
        }))
    }

    fn step(epoch: u32, step: u64) -> Record {
        Record::Step(StepRecord { epoch, step, loss: 2.0, learning_rate: 0.01, samples_per_s: 50.0 })
    }

    fn files(folder: &std::path::Path) -> [HistoryFile; 2] {
        [("a.csv", HistoryFormat::Csv), ("a.jsonl", HistoryFormat::JsonLines)]
            .map(|(name, format)| HistoryFile { path: folder.join(name), format })
    }

    #[test]
    fn rows_have_the_columns_of_the_header() {
        let folder = tempfile::tempdir().unwrap();
        let [csv, json] = files(folder.path());
        for file in [&csv, &json] {
            let mut history = history(file);
            for record in [step(3, 14), epoch(3, 15), Record::End(Arc::default())] {
                history.log(&record).unwrap();
            }
        }
        let read = |file: &HistoryFile| std::fs::read_to_string(&file.path).unwrap();
        assert_eq!(
            read(&csv),
            "epoch,step,samples_per_s,learning_rate,loss,regression_mse,val_loss,val_regression_mse\n\
             3,14,50,0.01,2,,,\n\
             3,15,100,0.001,0.25,0.30000000000000004,0.5,NaN\n"
        );
        // JSON has no NaN.
        assert_eq!(
            read(&json),
            "{\"epoch\":3,\"step\":14,\"samples_per_s\":50,\"learning_rate\":0.01,\"loss\":2,\"regression_mse\":null,\
             \"val_loss\":null,\"val_regression_mse\":null}\n\
             {\"epoch\":3,\"step\":15,\"samples_per_s\":100,\"learning_rate\":0.001,\"loss\":0.25,\
             \"regression_mse\":0.30000000000000004,\"val_loss\":0.5,\"val_regression_mse\":null}\n"
        );
    }

    #[test]
    fn a_run_that_goes_on_keeps_the_rows_of_its_steps() {
        let folder = tempfile::tempdir().unwrap();
        for file in files(folder.path()) {
            let write = |from: (u32, u64), records: &[Record]| {
                let mut history = history(&file).go_on_from(from.0, from.1);
                records.iter().for_each(|record| history.log(record).unwrap());
                std::fs::read_to_string(&file.path).unwrap()
            };
            let all = [epoch(1, 10), step(2, 15), epoch(2, 20), step(3, 25), epoch(3, 30), epoch(4, 35)];
            let whole = write((0, 0), &all);
            // The third row was written after the checkpoint, and so was half of the last one.
            std::fs::write(&file.path, &whole[..whole.len() - 3]).unwrap();
            assert_eq!(write((1, 17), &all[2..]), whole);
            // The fourth epoch ended early, with the run: it is open in the checkpoint.
            let more = write((3, 35), &[epoch(4, 40)]);
            assert_eq!(more.lines().count(), whole.lines().count());
            assert!(more.starts_with(whole.lines().next().unwrap()) && more != whole);
            std::fs::write(&file.path, "another file\n").unwrap();
            assert_eq!(write((2, 20), &all), whole);
        }
    }

    #[test]
    fn an_earlier_history_stays_until_there_is_a_row() {
        let folder = tempfile::tempdir().unwrap();
        let [file, _] = files(folder.path());
        let earlier = "an earlier run, which is longer than one row of the next one\n".repeat(10);
        std::fs::write(&file.path, &earlier).unwrap();
        let mut history = history(&file);
        assert_eq!(std::fs::read_to_string(&file.path).unwrap(), earlier);
        history.log(&epoch(1, 15)).unwrap();
        assert_eq!(std::fs::read_to_string(&file.path).unwrap().lines().count(), 2);
    }
}
