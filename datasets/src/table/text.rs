//! A CSV file as text: every value with its line and column.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::TableOptions;
use crate::count::Count;
use crate::csv::{Problem, Reader, Record};
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
        let mut reader = Reader::new(BufReader::new(source), options.delimiter);
        let file = name.to_string();
        let malformed = |problem: String| FormatError::Malformed { file: file.clone(), problem };
        let (mut names, mut columns, mut is_first) = (Vec::new(), 0, true);
        let (mut text, mut ends, mut lines) = (String::new(), Vec::new(), Vec::new());
        let mut record = Record::default();
        while reader.read(&mut record).map_err(|problem| match problem {
            Problem::Io(error) => malformed(error.to_string()),
            Problem::Line { line, problem } => malformed(format!("line {line}: {problem}")),
        })? {
            let line = record.line;
            if std::mem::take(&mut is_first) {
                columns = record.len();
                if options.header.unwrap_or_else(|| has_names(&record)) {
                    names = record.fields().map(|name| name.trim().to_string()).collect();
                    continue;
                }
            }
            if record.len() != columns {
                let got = Count::of(record.len(), "value");
                let problem = format!("the line has {got}, those before it have {columns}");
                let column = record.len().min(columns).max(1).to_string();
                return Err(FormatError::Value { file, line, column, problem }.into());
            }
            for value in record.fields() {
                text.push_str(value.trim());
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
        let name = self
            .names
            .get(column)
            .filter(|name| !name.is_empty())
            .map_or_else(String::new, |name| format!(" ('{name}')"));
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

/// Whether a first row has the names of the columns. The first may be empty, as that of the rows' index is in
/// files of pandas.
fn has_names(record: &Record) -> bool {
    let mut values = record.fields().map(str::trim).peekable();
    let is_name = |value: &str| !value.is_empty() && value.parse::<f64>().is_err();
    let first = values.next().unwrap_or_default();
    (is_name(first) || first.is_empty() && values.peek().is_some()) && values.all(is_name)
}
