//! Records of CSV files as a source.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::error::{Cause, SourceError};
use super::files;
use super::source::Source;
use crate::csv::{Problem, Reader, Record};

/// A CSV file, gzip or not, read record by record: it may be larger than memory.
///
/// All records must have as many fields as the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvFile {
    path: PathBuf,
    separator: u8,
    has_header: bool,
}

impl CsvFile {
    /// A file with commas between fields and a header, which is no record.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), separator: b',', has_header: true }
    }

    /// The first line is a record.
    pub fn without_header(mut self) -> Self {
        self.has_header = false;
        self
    }

    /// Another byte between fields, as `b';'` or `b'\t'`.
    pub fn separator(mut self, separator: u8) -> Self {
        self.separator = separator;
        self
    }
}

/// A record of a [`CsvFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvRecord {
    /// The file.
    pub path: PathBuf,
    /// The line on which it begins, from 1.
    pub line: u64,
    /// The fields, without quotes.
    pub fields: Vec<String>,
}

impl CsvRecord {
    /// All fields as numbers.
    ///
    /// # Errors
    ///
    /// [`SourceError::Csv`] with the line and the field that is none.
    pub fn floats(&self) -> Result<Vec<f32>, SourceError> {
        let number = |(index, field): (usize, &String)| {
            let problem = || format!("field {} is not a number: {field:?}", index + 1);
            field.trim().parse().map_err(|_| csv_error(&self.path, self.line, problem()))
        };
        self.fields.iter().enumerate().map(number).collect()
    }
}

fn csv_error(path: &Path, line: u64, problem: String) -> SourceError {
    SourceError::Csv { file: path.display().to_string(), line, problem }
}

impl Source for CsvFile {
    type Item = CsvRecord;
    type Items = Box<dyn Iterator<Item = Result<CsvRecord, Cause>>>;

    fn open(&self) -> Result<Self::Items, Cause> {
        let unreadable = |reason| SourceError::Io { file: self.path.display().to_string(), reason };
        let source = BufReader::new(files::open(&self.path).map_err(unreadable)?);
        let (path, reader) = (self.path.clone(), Reader::new(source, self.separator));
        let mut records = Records { reader, path, record: Record::default(), width: None, is_over: false };
        if self.has_header {
            records.next_record()?;
        }
        Ok(Box::new(std::iter::from_fn(move || records.next_record().map_err(Into::into).transpose())))
    }
}

struct Records<R> {
    reader: Reader<R>,
    path: PathBuf,
    record: Record,
    /// The number of fields of the first record.
    width: Option<usize>,
    /// Whether reading has failed: it would fail each time, and a run that ignores errors would not end.
    is_over: bool,
}

impl<R: BufRead> Records<R> {
    /// The next record; none at the end, and behind a failure to read.
    fn next_record(&mut self) -> Result<Option<CsvRecord>, SourceError> {
        let Self { reader, path, record, width, is_over } = self;
        if *is_over {
            return Ok(None);
        }
        let is_there = reader.read(record).map_err(|problem| match problem {
            Problem::Io(reason) => {
                *is_over = true;
                SourceError::Io { file: path.display().to_string(), reason }
            }
            Problem::Line { line, problem } => csv_error(path, line, problem),
        })?;
        if !is_there {
            return Ok(None);
        }
        let expected = *width.get_or_insert(record.len());
        if record.len() != expected {
            let got = crate::count::Count::of(record.len(), "field");
            let problem = format!("{got}, expected {expected} as in the first line");
            return Err(csv_error(path, record.line, problem));
        }
        let fields = record.fields().map(str::to_string).collect();
        Ok(Some(CsvRecord { path: path.clone(), line: record.line, fields }))
    }
}
