//! The history file: a row for each epoch.

use crate::cli::metric_plan::MetricPlan;
use crate::cli::parsers::{HistoryFile, HistoryFormat};
use crate::failure::Failure;
use isograd_model::{EpochReport, Evaluation};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};

/// A history file that is being written. Each row is one write, so that a run that breaks off leaves whole
/// rows.
#[derive(Debug)]
pub(crate) struct History<'a> {
    file: &'a HistoryFile,
    open: File,
    metrics: &'a [MetricPlan],
    has_validation: bool,
    rows: u32,
    /// The rows of so many epochs stay, as those of a run that goes on.
    kept_epochs: u32,
}

impl<'a> History<'a> {
    /// Opens the file, or creates it. Rows of an earlier run stay until there is a row to write.
    pub(crate) fn open(
        file: &'a HistoryFile,
        metrics: &'a [MetricPlan],
        has_validation: bool,
    ) -> Result<Self, Failure> {
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(&file.path);
        let open = open.map_err(|source| failure(file, source))?;
        Ok(Self { file, open, metrics, has_validation, rows: 0, kept_epochs: 0 })
    }

    /// Goes on after the rows of the first `epochs` epochs: those behind them, which the run had written
    /// before it was interrupted, make room for new ones.
    pub(crate) fn keep(&mut self, epochs: u32) {
        self.kept_epochs = epochs;
    }

    /// Appends the row of an epoch that ended with step `step`. In CSV, a header precedes the first row.
    pub(crate) fn append(
        &mut self,
        report: &EpochReport,
        step: u64,
        validation: Option<&Evaluation>,
    ) -> Result<(), Failure> {
        let mut row = columns(report, step, self.metrics);
        if self.has_validation {
            row.extend(scores("val_", self.metrics, validation));
        }
        let text = match self.file.format {
            HistoryFormat::Csv => csv(&row, self.rows == 0),
            HistoryFormat::JsonLines => json_line(&row),
        };
        let text = match (self.rows, self.file.format) {
            // The header stays with the rows that do.
            (0, HistoryFormat::Csv) if self.cut().map_err(|source| failure(self.file, source))? => {
                csv(&row, false)
            }
            (0, HistoryFormat::JsonLines) => {
                self.cut().map_err(|source| failure(self.file, source))?;
                text
            }
            _ => text,
        };
        self.rows += 1;
        self.open.write_all(text.as_bytes()).map_err(|source| failure(self.file, source))
    }

    /// Removes all but the rows that stay; pipes and devices have nothing to remove. Returns whether rows
    /// stay.
    fn cut(&mut self) -> io::Result<bool> {
        if !self.open.metadata()?.is_file() {
            return Ok(false);
        }
        let kept = match self.kept_epochs {
            0 => 0,
            epochs => kept_bytes(&std::fs::read(&self.file.path)?, self.file.format, epochs),
        };
        self.open.set_len(kept as u64)?;
        self.open.seek(SeekFrom::End(0))?;
        Ok(kept > 0)
    }
}

/// The length of the rows of the first `epochs` epochs in `text`, with the header in front of them; 0 if
/// there is none of them.
fn kept_bytes(text: &[u8], format: HistoryFormat, epochs: u32) -> usize {
    let epoch = |line: &[u8]| -> Option<u32> {
        let line = std::str::from_utf8(line).ok()?;
        match format {
            HistoryFormat::Csv => line.split(',').next()?.parse().ok(),
            HistoryFormat::JsonLines => line.strip_prefix("{\"epoch\":")?.split(',').next()?.parse().ok(),
        }
    };
    let (mut end, mut kept) = (0, 0);
    for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        end += line.len();
        match epoch(line) {
            Some(epoch) if epoch <= epochs && line.ends_with(b"\n") => kept = end,
            // The header.
            None if number == 0 => {}
            _ => break,
        }
    }
    kept
}

fn failure(file: &HistoryFile, source: io::Error) -> Failure {
    Failure::Write { option: "--history", path: file.path.clone(), source }
}

/// The name of a column, and its value, if it has one in this row.
type Column = (String, Option<f64>);

fn columns(report: &EpochReport, step: u64, metrics: &[MetricPlan]) -> Vec<Column> {
    let rate = report.samples_per_s();
    let counts = [("epoch", f64::from(report.epoch)), ("step", step as f64), ("samples_per_s", rate)];
    let counts = counts.map(|(name, count)| (name.to_string(), Some(count)));
    counts.into_iter().chain(scores("", metrics, Some(&report.train))).collect()
}

/// Columns of the loss and the metrics. All rows have the same columns; without an evaluation they have no
/// values.
fn scores(prefix: &str, metrics: &[MetricPlan], evaluation: Option<&Evaluation>) -> Vec<Column> {
    let loss = (format!("{prefix}loss"), evaluation.map(|evaluation| evaluation.loss));
    let value = |index: usize| evaluation.map(|evaluation| evaluation.metrics[index]);
    let named = metrics.iter().enumerate().map(|(index, metric)| (format!("{prefix}{metric}"), value(index)));
    std::iter::once(loss).chain(named).collect()
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
    use std::time::Duration;

    fn evaluation(metric: f64) -> Evaluation {
        Evaluation::new(50, 0.25, vec![metric, 98.0])
    }

    fn report() -> EpochReport {
        EpochReport::new(3, 5, evaluation(0.1 + 0.2), Duration::from_millis(500))
    }

    fn row() -> Vec<Column> {
        let metrics = [MetricPlan::new("regression_mse").unwrap()];
        let mut row = columns(&report(), 15, &metrics);
        row.extend(scores("val_", &metrics, Some(&evaluation(f64::NAN))));
        row
    }

    #[test]
    fn csv_has_a_header_once() {
        let values = "3,15,100,0.25,0.30000000000000004,0.25,NaN\n";
        let header = "epoch,step,samples_per_s,loss,regression_mse,val_loss,val_regression_mse\n";
        assert_eq!(csv(&row(), true), format!("{header}{values}"));
        assert_eq!(csv(&row(), false), values);
    }

    #[test]
    fn json_has_null_for_what_is_no_number() {
        assert_eq!(
            json_line(&row()),
            "{\"epoch\":3,\"step\":15,\"samples_per_s\":100,\"loss\":0.25,\"regression_mse\":0.30000000000000004,\
             \"val_loss\":0.25,\"val_regression_mse\":null}\n"
        );
    }

    /// As when a signal ends the run in its second epoch.
    #[test]
    fn an_epoch_without_validation_has_the_columns_of_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = [MetricPlan::new("regression_mse").unwrap()];
        for (name, format, last) in [
            ("a.csv", HistoryFormat::Csv, "3,20,100,0.25,0.30000000000000004,,"),
            (
                "a.jsonl",
                HistoryFormat::JsonLines,
                "{\"epoch\":3,\"step\":20,\"samples_per_s\":100,\"loss\":0.25,\"regression_mse\":0.30000000000000004,\
                 \"val_loss\":null,\"val_regression_mse\":null}",
            ),
        ] {
            let file = HistoryFile { path: folder.path().join(name), format };
            let mut history = History::open(&file, &metrics, true).unwrap();
            history.append(&report(), 15, Some(&evaluation(1.0))).unwrap();
            history.append(&report(), 20, None).unwrap();
            assert_eq!(std::fs::read_to_string(&file.path).unwrap().lines().last(), Some(last));
        }
    }

    #[test]
    fn a_run_that_goes_on_keeps_the_rows_of_its_epochs() {
        let folder = tempfile::tempdir().unwrap();
        for (name, format) in [("a.csv", HistoryFormat::Csv), ("a.jsonl", HistoryFormat::JsonLines)] {
            let file = HistoryFile { path: folder.path().join(name), format };
            let report = |epoch| EpochReport::new(epoch, 5, evaluation(0.5), Duration::from_secs(1));
            let write = |kept: u32, epochs: &[u32]| {
                let mut history = History::open(&file, &[], false).unwrap();
                history.keep(kept);
                epochs.iter().for_each(|epoch| history.append(&report(*epoch), 5, None).unwrap());
                std::fs::read_to_string(&file.path).unwrap()
            };
            let whole = write(0, &[1, 2, 3, 4]);
            // The third row was written after the checkpoint of the second epoch, and so was half of the
            // fourth.
            std::fs::write(&file.path, &whole[..whole.len() - 3]).unwrap();
            assert_eq!(write(2, &[3, 4]), whole, "{name}");
            assert_eq!(write(7, &[5]), format!("{whole}{}", write(0, &[5]).lines().last().unwrap()) + "\n");
            std::fs::write(&file.path, "another file\n").unwrap();
            assert_eq!(write(2, &[1, 2, 3, 4]), whole, "{name}");
        }
    }

    #[test]
    fn an_earlier_history_stays_until_there_is_a_row() {
        let folder = tempfile::tempdir().unwrap();
        let file = HistoryFile { path: folder.path().join("a.csv"), format: HistoryFormat::Csv };
        let earlier = "an earlier run, which is longer than one row of the next one\n".repeat(10);
        std::fs::write(&file.path, &earlier).unwrap();
        let mut history = History::open(&file, &[], false).unwrap();
        assert_eq!(std::fs::read_to_string(&file.path).unwrap(), earlier);
        history.append(&report(), 15, None).unwrap();
        let text = std::fs::read_to_string(&file.path).unwrap();
        assert_eq!(text, "epoch,step,samples_per_s,loss\n3,15,100,0.25\n");
    }
}
