//! Chunks from files: one file a chunk, or records of one file that is larger than memory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::error::{Cause, SourceError};
use super::source::Source;
use crate::gzip::{GzipReader, MAGIC};

/// How much is read at a time.
const READ_BYTES: usize = 1 << 16;

/// The file of one chunk. The source gives it unread, so that several workers of the next stage read and
/// decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkFile {
    /// The file.
    pub path: PathBuf,
    /// Its number in the stream, from 0.
    pub number: usize,
}

impl ChunkFile {
    /// A reader of the contents, which are decoded if they are gzip.
    ///
    /// # Errors
    ///
    /// [`SourceError::Io`].
    pub fn open(&self) -> Result<Box<dyn Read>, SourceError> {
        open(&self.path).map_err(|reason| unreadable(&self.path, reason))
    }

    /// The contents, decoded if they are gzip.
    ///
    /// # Errors
    ///
    /// [`SourceError::Io`], also for a gzip stream that breaks off.
    pub fn read(&self) -> Result<Vec<u8>, SourceError> {
        let mut bytes = Vec::new();
        let read = open(&self.path).and_then(|mut reader| reader.read_to_end(&mut bytes));
        read.map(|_| bytes).map_err(|reason| unreadable(&self.path, reason))
    }
}

fn unreadable(path: &Path, reason: io::Error) -> SourceError {
    SourceError::Io { file: path.display().to_string(), reason }
}

/// The contents of `path`, decoded if they begin like gzip.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    decoded(File::open(path)?)
}

/// What `source` has, decoded if it begins like gzip.
pub(super) fn decoded(mut source: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut magic = Vec::new();
    source.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic)?;
    let is_gzip = magic == MAGIC;
    let whole = BufReader::with_capacity(READ_BYTES, io::Cursor::new(magic).chain(source));
    Ok(if is_gzip { Box::new(GzipReader::new(whole)) } else { Box::new(whole) })
}

/// The files that match `pattern`, whose file name may have `*` (any characters) and `?` (one character), in
/// the order of their names. Files whose names begin with a dot match only a pattern that does.
///
/// # Errors
///
/// [`SourceError::NoFiles`] if there are none, [`SourceError::FolderPattern`], [`SourceError::Io`] for a
/// folder that cannot be read.
pub fn chunk_files(pattern: impl AsRef<Path>) -> Result<ChunkFiles, SourceError> {
    let pattern = pattern.as_ref();
    let text = || pattern.display().to_string();
    let Some(name) = pattern.file_name().and_then(OsStr::to_str) else {
        return Err(SourceError::NoFiles { pattern: text() });
    };
    let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if folder.to_string_lossy().contains(['*', '?']) {
        return Err(SourceError::FolderPattern { pattern: text() });
    }
    let name: Vec<char> = name.chars().collect();
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(|reason| unreadable(folder, reason))? {
        let path = entry.map_err(|reason| unreadable(folder, reason))?.path();
        let entry_name: Vec<char> =
            path.file_name().and_then(OsStr::to_str).unwrap_or_default().chars().collect();
        let is_hidden = entry_name.first() == Some(&'.') && name.first() != Some(&'.');
        if !is_hidden && matches(&name, &entry_name) && path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(SourceError::NoFiles { pattern: text() });
    }
    paths.sort();
    Ok(ChunkFiles { paths })
}

/// Whether `name` matches `pattern`.
pub(super) fn matches(pattern: &[char], name: &[char]) -> bool {
    // Where to go on after a mismatch: behind the last `*`, which then stands for one character more.
    let (mut p, mut n, mut retry) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((star, begin)) = retry else { return false };
                retry = Some((star, begin + 1));
                (p, n) = (star + 1, begin + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Files as a source: see [`chunk_files`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkFiles {
    paths: Vec<PathBuf>,
}

impl ChunkFiles {
    /// The files, in their order.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }
}

impl Source for ChunkFiles {
    type Item = ChunkFile;
    type Items = Box<dyn Iterator<Item = Result<ChunkFile, Cause>>>;

    fn open(&self) -> Result<Self::Items, Cause> {
        let chunk = |(number, path)| Ok(ChunkFile { path, number });
        Ok(Box::new(self.paths.clone().into_iter().enumerate().map(chunk)))
    }
}

/// A file of records of one length, gzip or not, read in chunks: it may be larger than memory.
///
/// Each chunk has `records` whole records, the last one perhaps fewer. A file that ends within a record is an
/// error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFile {
    path: PathBuf,
    record_bytes: usize,
    records: usize,
}

impl RecordFile {
    /// Chunks of `records` records of `record_bytes` bytes each.
    ///
    /// # Panics
    ///
    /// If one of them is 0.
    pub fn new(path: impl Into<PathBuf>, record_bytes: usize, records: usize) -> Self {
        assert!(record_bytes > 0 && records > 0, "chunks of {records} records of {record_bytes} bytes");
        Self { path: path.into(), record_bytes, records }
    }
}

impl Source for RecordFile {
    type Item = Vec<u8>;
    type Items = Box<dyn Iterator<Item = Result<Vec<u8>, Cause>>>;

    fn open(&self) -> Result<Self::Items, Cause> {
        let reader = open(&self.path).map_err(|reason| unreadable(&self.path, reason))?;
        let origin = self.path.display().to_string();
        Ok(Box::new(Records {
            reader,
            origin,
            record_bytes: self.record_bytes,
            records: self.records,
            is_over: false,
        }))
    }
}

/// Records of a reader, in chunks.
pub(super) struct Records<R> {
    pub(super) reader: R,
    pub(super) origin: String,
    pub(super) record_bytes: usize,
    pub(super) records: usize,
    pub(super) is_over: bool,
}

impl<R: Read> Records<R> {
    fn chunk(&mut self) -> Result<Option<Vec<u8>>, SourceError> {
        let most = self.record_bytes.saturating_mul(self.records);
        let mut chunk = Vec::new();
        let read = self.reader.by_ref().take(most as u64).read_to_end(&mut chunk);
        read.map_err(|reason| SourceError::Io { file: self.origin.clone(), reason })?;
        self.is_over = chunk.len() < most;
        let rest_bytes = chunk.len() % self.record_bytes;
        if rest_bytes > 0 {
            let (origin, record_bytes) = (self.origin.clone(), self.record_bytes);
            return Err(SourceError::CutRecord { origin, record_bytes, rest_bytes });
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = Result<Vec<u8>, Cause>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let chunk = self.chunk();
        self.is_over |= chunk.is_err();
        chunk.map_err(Into::into).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_in_a_shell() {
        let is_match = |pattern: &str, name: &str| {
            let [pattern, name] = [pattern, name].map(|text| text.chars().collect::<Vec<_>>());
            matches(&pattern, &name)
        };
        for (pattern, name, expected) in [
            ("*.npz", "a.npz", true),
            ("*.npz", ".npz", true),
            ("*.npz", "a.npz.tmp", false),
            ("part-??.bin", "part-07.bin", true),
            ("part-??.bin", "part-7.bin", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("**", "anything", true),
            ("?", "", false),
        ] {
            assert_eq!(is_match(pattern, name), expected, "{pattern} {name}");
        }
    }
}
