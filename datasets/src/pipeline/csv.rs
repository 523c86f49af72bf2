//! Records of CSV files as a source.
//!
//! # Source
//!
//! RFC 4180: fields in quotes may have commas, line ends and doubled quotes. We also take lines that end in
//! LF alone, and skip empty lines.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::error::{Cause, SourceError};
use super::files;
use super::source::Source;

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
        let reader = BufReader::new(files::open(&self.path).map_err(unreadable)?);
        let (path, separator) = (self.path.clone(), self.separator);
        let mut records = Records { reader, path, separator, line: 0, width: None };
        if self.has_header {
            records.record()?;
        }
        Ok(Box::new(std::iter::from_fn(move || records.record().map_err(Into::into).transpose())))
    }
}

struct Records<R> {
    reader: R,
    path: PathBuf,
    separator: u8,
    /// The lines read so far.
    line: u64,
    /// The number of fields of the first record.
    width: Option<usize>,
}

impl<R: BufRead + Read> Records<R> {
    /// The next record; none at the end.
    fn record(&mut self) -> Result<Option<CsvRecord>, SourceError> {
        let mut text = String::new();
        let begin = loop {
            text.clear();
            if !self.read_line(&mut text)? {
                return Ok(None);
            }
            if !text.trim_end_matches(['\r', '\n']).is_empty() {
                break self.line;
            }
        };
        // An odd number of quotes: a line end inside a field.
        while text.matches('"').count() % 2 == 1 {
            if !self.read_line(&mut text)? {
                return Err(self.error(begin, "a quote is not closed".to_owned()));
            }
        }
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let fields = split(text, char::from(self.separator)).map_err(|problem| self.error(begin, problem))?;
        let expected = *self.width.get_or_insert(fields.len());
        if fields.len() != expected {
            let got = crate::count::Count::of(fields.len(), "field");
            return Err(self.error(begin, format!("{got}, expected {expected} as in the first line")));
        }
        Ok(Some(CsvRecord { path: self.path.clone(), line: begin, fields }))
    }

    /// Puts a line behind `text`; false at the end.
    fn read_line(&mut self, text: &mut String) -> Result<bool, SourceError> {
        let mut bytes = Vec::new();
        let unreadable = |reason| SourceError::Io { file: self.path.display().to_string(), reason };
        self.reader.read_until(b'\n', &mut bytes).map_err(unreadable)?;
        self.line += 1;
        text.push_str(
            str::from_utf8(&bytes).map_err(|_| self.error(self.line, "it is not UTF-8".to_owned()))?,
        );
        Ok(!bytes.is_empty())
    }

    fn error(&self, line: u64, problem: String) -> SourceError {
        csv_error(&self.path, line, problem)
    }
}

/// The fields of a record.
fn split(text: &str, separator: char) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(separator).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(separator) {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err(format!("{after:?} follows the closing quote of field {}", fields.len())),
        }
    }
}

/// A field whose opening quote has been read, and what follows its closing one.
fn quoted_field(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some(quote) = rest.find('"') else { return Err("a quote is not closed".to_owned()) };
        field.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_with_quotes() {
        let fields = |text| split(text, ',');
        assert_eq!(fields("1,,x y").unwrap(), ["1", "", "x y"]);
        assert_eq!(fields("\"a,b\",\"say \"\"no\"\"\",\"\"").unwrap(), ["a,b", "say \"no\"", ""]);
        assert_eq!(fields("\"a\nb\",2").unwrap(), ["a\nb", "2"]);
        assert_eq!(fields("\"a\"b,2").unwrap_err(), "\"b,2\" follows the closing quote of field 1");
        assert_eq!(fields("1,").unwrap(), ["1", ""]);
    }
}
