//! Records of CSV files.
//!
//! # Source
//!
//! RFC 4180: fields in quotes may have separators, line ends and doubled quotes. We also take lines that end
//! in LF alone, skip empty lines, and pass over the byte-order mark that Excel writes. A quote inside a field
//! that does not begin with one is a quote.

use std::io::{self, BufRead, Read};
use std::ops::Range;

/// The longest record, and the longest line.
const MAX_BYTES: u64 = 1 << 24;

/// Reads records, one after the other.
pub(crate) struct Reader<R> {
    source: R,
    separator: u8,
    /// The lines read so far.
    lines: u64,
    line: String,
}

/// A record, whose memory is used again for the next one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// The line on which it begins, from 1.
    pub(crate) line: u64,
    text: String,
    /// Where each field ends in the text.
    ends: Vec<usize>,
}

/// Why there is no record.
#[derive(Debug)]
pub(crate) enum Problem {
    Io(io::Error),
    Line { line: u64, problem: String },
}

impl Record {
    /// The number of fields.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The fields, without their quotes.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| &self.text[std::mem::replace(&mut start, *end)..*end])
    }
}

impl<R: BufRead> Reader<R> {
    /// Of `source`, with `separator` between fields.
    pub(crate) fn new(source: R, separator: u8) -> Self {
        Self { source, separator, lines: 0, line: String::new() }
    }

    /// Overwrites `record` with the next one; false at the end.
    pub(crate) fn read(&mut self, record: &mut Record) -> Result<bool, Problem> {
        loop {
            if !self.next_line()? {
                return Ok(false);
            }
            if !self.line[..self.end()].is_empty() {
                break;
            }
        }
        record.text.clear();
        record.ends.clear();
        record.line = self.lines;
        let separator = char::from(self.separator);
        let mut place = 0;
        loop {
            place = match self.line[place..].starts_with('"') {
                true => self.quoted(place + 1, record)?,
                false => {
                    let rest = &self.line[place..self.end()];
                    let length = rest.find(separator).unwrap_or(rest.len());
                    record.text.push_str(&rest[..length]);
                    place + length
                }
            };
            record.ends.push(record.text.len());
            let rest = &self.line[place..self.end()];
            match rest.strip_prefix(separator) {
                Some(_) => place += 1,
                None if rest.is_empty() => return Ok(true),
                None => {
                    let rest: String = rest.chars().take(20).collect();
                    let field = record.len();
                    return Err(self.problem(format!("{rest:?} follows the closing quote of field {field}")));
                }
            }
        }
    }

    /// Adds a field to `record` whose opening quote is in front of `place`. Gives the place behind the
    /// closing one, in a line that may be a later one.
    fn quoted(&mut self, mut place: usize, record: &mut Record) -> Result<usize, Problem> {
        loop {
            let Some(length) = self.line[place..].find('"') else {
                record.text.push_str(&self.line[place..]);
                if record.text.len() as u64 > MAX_BYTES || !self.next_line()? {
                    let (line, field) = (record.line, record.len() + 1);
                    let problem = format!("the quote of field {field} is not closed");
                    return Err(Problem::Line { line, problem });
                }
                place = 0;
                continue;
            };
            let field: Range<usize> = place..place + length;
            place = field.end + 1;
            record.text.push_str(&self.line[field]);
            if !self.line[place..].starts_with('"') {
                return Ok(place);
            }
            record.text.push('"');
            place += 1;
        }
    }

    /// Reads a line, with its end; false at the end of the file.
    fn next_line(&mut self) -> Result<bool, Problem> {
        let mut bytes = std::mem::take(&mut self.line).into_bytes();
        bytes.clear();
        self.source.by_ref().take(MAX_BYTES).read_until(b'\n', &mut bytes).map_err(Problem::Io)?;
        if bytes.is_empty() {
            return Ok(false);
        }
        self.lines += 1;
        if bytes.len() as u64 == MAX_BYTES {
            return Err(self.problem(format!("the line is longer than {MAX_BYTES} bytes")));
        }
        if self.lines == 1 && bytes.starts_with("\u{feff}".as_bytes()) {
            bytes.drain(..3);
        }
        self.line = String::from_utf8(bytes).map_err(|_| self.problem("it is not UTF-8".to_string()))?;
        Ok(true)
    }

    /// Where the line ends, without the characters that end it.
    fn end(&self) -> usize {
        let line = self.line.strip_suffix('\n').unwrap_or(&self.line);
        line.strip_suffix('\r').unwrap_or(line).len()
    }

    fn problem(&self, problem: String) -> Problem {
        Problem::Line { line: self.lines, problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records, each with its line, or the first problem.
    fn records(text: &str) -> Result<Vec<(u64, Vec<String>)>, String> {
        let mut reader = Reader::new(text.as_bytes(), b',');
        let (mut record, mut records) = (Record::default(), Vec::new());
        loop {
            match reader.read(&mut record) {
                Ok(true) => records.push((record.line, record.fields().map(str::to_string).collect())),
                Ok(false) => return Ok(records),
                Err(Problem::Line { line, problem }) => return Err(format!("{line}: {problem}")),
                Err(Problem::Io(error)) => return Err(error.to_string()),
            }
        }
    }

    fn fields(text: &str) -> Result<Vec<String>, String> {
        records(text).map(|mut records| records.remove(0).1)
    }

    #[test]
    fn fields_with_quotes() {
        assert_eq!(fields("1,,x y").unwrap(), ["1", "", "x y"]);
        assert_eq!(fields("\"a,b\",\"say \"\"no\"\"\",\"\"").unwrap(), ["a,b", "say \"no\"", ""]);
        assert_eq!(fields("\"a\nb\",2\r\n").unwrap(), ["a\nb", "2"]);
        assert_eq!(fields("\"a\"b,2").unwrap_err(), "1: \"b,2\" follows the closing quote of field 1");
        assert_eq!(fields("1,\n").unwrap(), ["1", ""]);
        assert_eq!(fields("a 5\" pipe,2").unwrap(), ["a 5\" pipe", "2"]);
        assert_eq!(fields("1,\"2\n3").unwrap_err(), "1: the quote of field 2 is not closed");
    }

    #[test]
    fn records_have_the_lines_on_which_they_begin() {
        let read = records("\u{feff}a,b\r\n\n\"1\n\n2\",3\n4,5").unwrap();
        let lines: Vec<u64> = read.iter().map(|(line, _)| *line).collect();
        assert_eq!((lines, read[0].1[0].as_str(), read[1].1[0].as_str()), (vec![1, 3, 6], "a", "1\n\n2"));
        let mut reader = Reader::new(&b"1\n\xff\n"[..], b',');
        let mut record = Record::default();
        assert!(reader.read(&mut record).unwrap());
        assert!(matches!(reader.read(&mut record), Err(Problem::Line { line: 2, .. })));
    }

    #[test]
    fn a_line_without_an_end_takes_little_memory() {
        let endless = io::BufReader::new(io::repeat(b'7'));
        let problem = Reader::new(endless, b',').read(&mut Record::default());
        assert!(matches!(problem, Err(Problem::Line { line: 1, .. })));
        let quoted = io::BufReader::new(io::Cursor::new("\"\n").chain(io::repeat(b'\n')));
        let problem = Reader::new(quoted, b',').read(&mut Record::default());
        assert!(matches!(problem, Err(Problem::Line { line: 1, .. })));
    }
}
