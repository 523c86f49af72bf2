//! A CSV file as text: every value with its line and column.

use std::fs::File;
use std::path::Path;

use super::TableOptions;
use crate::count::Count;
use crate::{Error, FileError, FormatError};

/// What stands for a missing value, in small letters.
const MISSING: [&str; 6] = ["", "na", "n/a", "nan", "null", "?"];

/// The values of a CSV file.
#[derive(Clone, Debug)]
pub struct Table {
    file: String,
    /// The names of the columns; empty without a header.
    names: Vec<String>,
    columns: usize,
    /// All values, one after the other.
    text: String,
    /// Where each value ends in `text`, row by row.
    ends: Vec<usize>,
    /// The line of each row.
    lines: Vec<u64>,
}

impl Table {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// [`FileError::Io`]; [`FormatError::Malformed`] for a file without rows or that is not UTF-8;
    /// [`FormatError::Value`] for a row that has more or fewer values than the first one.
    pub fn open(path: &Path, options: &TableOptions) -> Result<Self, Error> {
        let name = path.display().to_string();
        let failure = |reason| FileError::Io { file: name.clone(), reason };
        // Before the file is opened: opening a pipe waits until somebody writes to it.
        if !path.metadata().map_err(failure)?.is_file() {
            return Err(FileError::NotAFile { file: name }.into());
        }
        let file = File::open(path).map_err(failure)?;
        Self::read(&name, file, options)
    }

    /// Reads `source`, which errors call `name`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn read(name: &str, source: impl std::io::Read, options: &TableOptions) -> Result<Self, Error> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .delimiter(options.delimiter)
            .from_reader(source);
        let file = name.to_string();
        let malformed = |problem: String| FormatError::Malformed { file: file.clone(), problem };
        let (mut names, mut columns, mut is_first) = (Vec::new(), 0, true);
        let (mut text, mut ends, mut lines) = (String::new(), Vec::new(), Vec::new());
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(|error| malformed(error.to_string()))? {
            let first = record.position().map_or(1, csv::Position::line);
            let next = reader.position().line();
            // A record begins behind the one before it: empty lines come first, which are not in it.
            let inside = record.iter().map(|value| value.matches('\n').count() as u64).sum::<u64>();
            let line = first.max(next.saturating_sub(1 + inside));
            if std::mem::take(&mut is_first) {
                columns = record.len();
                let is_header = options.header.unwrap_or_else(|| record.iter().all(is_name));
                if is_header {
                    // Excel writes a byte-order mark.
                    let plain = |name: &str| name.trim_start_matches('\u{feff}').to_string();
                    names = record.iter().map(plain).collect();
                    continue;
                }
            }
            if record.len() != columns {
                let got = Count::of(record.len(), "value");
                let problem = format!("the line has {got}, those before it have {columns}");
                let column = record.len().min(columns).max(1).to_string();
                return Err(FormatError::Value { file, line, column, problem }.into());
            }
            for value in &record {
                text.push_str(value);
                ends.push(text.len());
            }
            lines.push(line);
        }
        if lines.is_empty() {
            return Err(malformed("has no rows of values".to_string()).into());
        }
        Ok(Self { file, names, columns, text, ends, lines })
    }

    /// The number of rows, without the header.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The names of the columns; empty without a header.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The value at `row` and `column`; nothing if it is missing.
    pub(super) fn value(&self, row: usize, column: usize) -> Option<&str> {
        let place = row * self.columns + column;
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        let value = &self.text[start..self.ends[place]];
        (!MISSING.iter().any(|missing| missing.eq_ignore_ascii_case(value))).then_some(value)
    }

    /// The column called `label`, or with that number from 1.
    pub(super) fn find(&self, label: &str) -> Result<usize, FormatError> {
        let by_name = self.names.iter().position(|name| name == label);
        let by_number = label.parse::<usize>().ok().filter(|number| (1..=self.columns).contains(number));
        by_name.or(by_number.map(|number| number - 1)).ok_or_else(|| {
            let names = match self.names.as_slice() {
                [] => "no names".to_string(),
                names => format!("the names {}", names.join(", ")),
            };
            let columns = self.columns;
            self.malformed(format!(
                "has no column '{label}'; its columns have {names} and the numbers 1 to {columns}"
            ))
        })
    }

    /// The column in words.
    pub(super) fn describe(&self, column: usize) -> String {
        let name = self.names.get(column).map_or_else(String::new, |name| format!(" ('{name}')"));
        format!("{}{name}", column + 1)
    }

    pub(super) fn malformed(&self, problem: String) -> FormatError {
        FormatError::Malformed { file: self.file.clone(), problem }
    }

    /// The error that the value at `row` and `column` cannot be used.
    pub(super) fn error(&self, row: usize, column: usize, problem: String) -> FormatError {
        let (file, line) = (self.file.clone(), self.lines[row]);
        FormatError::Value { file, line, column: self.describe(column), problem }
    }
}

fn is_name(value: &str) -> bool {
    !value.is_empty() && value.parse::<f64>().is_err()
}
