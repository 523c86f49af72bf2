//! The history file: a row for each epoch.

use crate::failure::Failure;
use crate::values::{HistoryFile, HistoryFormat};
use isograd_model::{EpochReport, Evaluation, Metric};
use std::fs::File;
use std::io::{self, Write};

/// A history file that is being written. Each row is written at once, so that a run that breaks off leaves whole rows.
#[derive(Debug)]
pub(crate) struct History<'a> {
    file: &'a HistoryFile,
    open: File,
    metrics: &'a [Metric],
    rows: u32,
}

impl<'a> History<'a> {
    /// Creates the file, or empties it.
    pub(crate) fn create(file: &'a HistoryFile, metrics: &'a [Metric]) -> Result<Self, Failure> {
        let open = File::create(&file.path).map_err(|source| failure(file, source))?;
        Ok(Self { file, open, metrics, rows: 0 })
    }

    /// Appends the row of an epoch, in CSV behind a header if it is the first.
    pub(crate) fn append(
        &mut self,
        report: &EpochReport,
        validation: Option<&Evaluation>,
    ) -> Result<(), Failure> {
        let row = columns(report, validation, self.metrics);
        let text = match self.file.format {
            HistoryFormat::Csv => csv(&row, self.rows == 0),
            HistoryFormat::JsonLines => json_line(&row),
        };
        self.rows += 1;
        self.open.write_all(text.as_bytes()).map_err(|source| failure(self.file, source))
    }
}

fn failure(file: &HistoryFile, source: io::Error) -> Failure {
    Failure::Write { option: "--history", path: file.path.clone(), source }
}

/// A column's name and value.
type Column = (String, f64);

fn columns(report: &EpochReport, validation: Option<&Evaluation>, metrics: &[Metric]) -> Vec<Column> {
    let counts = [("epoch", f64::from(report.epoch)), ("steps", report.steps as f64)];
    let mut row: Vec<Column> = counts.map(|(name, count)| (name.to_string(), count)).into();
    row.push(("samples_per_s".to_string(), report.samples_per_s()));
    let mut scores = |prefix: &str, evaluation: &Evaluation| {
        row.push((format!("{prefix}loss"), evaluation.loss));
        let named = metrics.iter().zip(&evaluation.metrics);
        row.extend(named.map(|(metric, value)| (format!("{prefix}{metric}"), *value)));
    };
    scores("", &report.train);
    if let Some(validation) = validation {
        scores("val_", validation);
    }
    row
}

/// Values in as many digits as bring back the same number.
fn csv(row: &[Column], with_header: bool) -> String {
    let join = |cells: Vec<String>| cells.join(",") + "\n";
    let values = join(row.iter().map(|(_, value)| value.to_string()).collect());
    match with_header {
        true => join(row.iter().map(|(name, _)| name.clone()).collect()) + &values,
        false => values,
    }
}

/// As [`csv`]; JSON has no word for what is no number, but `null`.
fn json_line(row: &[Column]) -> String {
    let cell = |(name, value): &Column| match value.is_finite() {
        true => format!("\"{name}\":{value}"),
        false => format!("\"{name}\":null"),
    };
    format!("{{{}}}\n", row.iter().map(cell).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn row() -> Vec<Column> {
        let evaluation = |loss| Evaluation { samples: 50, loss, metrics: vec![0.1 + 0.2, 98.0] };
        let elapsed = Duration::from_millis(500);
        let report = EpochReport { epoch: 3, steps: 5, train: evaluation(0.25), elapsed };
        columns(&report, Some(&evaluation(f64::NAN)), &[Metric::RegressionMse])
    }

    #[test]
    fn csv_has_a_header_once() {
        let values = "3,5,100,0.25,0.30000000000000004,NaN,0.30000000000000004\n";
        let header = "epoch,steps,samples_per_s,loss,regression_mse,val_loss,val_regression_mse\n";
        assert_eq!(csv(&row(), true), format!("{header}{values}"));
        assert_eq!(csv(&row(), false), values);
    }

    #[test]
    fn json_has_null_for_what_is_no_number() {
        assert_eq!(
            json_line(&row()),
            "{\"epoch\":3,\"steps\":5,\"samples_per_s\":100,\"loss\":0.25,\"regression_mse\":0.30000000000000004,\
             \"val_loss\":null,\"val_regression_mse\":0.30000000000000004}\n"
        );
    }
}
