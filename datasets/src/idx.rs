//! The IDX format of MNIST: a header of dimensions, then the elements, raw or inside gzip. Images are
//! unsigned bytes, labels may be any integers.
//!
//! ```text
//! 00 00 | type, 08 = unsigned bytes, 09, 0b and 0c = integers of 1, 2 and 4 bytes | D = 1 to 4
//! D dimensions, u32 big-endian | elements, row-major
//! ```
//!
//! The header is read apart from the elements, so that a caller who knows how many samples belong together
//! can refuse a file before any element is decoded.
//!
//! A reader trusts nothing: every file that is not exactly this is an [`Error`] that names the file. A header
//! that claims more than its file can hold is one before any element is read: a raw file of L bytes holds L,
//! a gzip file at most 1032 L. Memory for the elements is never more than the header claims, and that of a
//! gzip file starts with at most 16 L and grows only as real data comes out of the decoder.
//!
//! # Source
//!
//! Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use crate::gzip::{self, GzipReader};
use crate::{Error, FileError, IdxError};

const UNSIGNED_BYTES: u8 = 0x08;
const MAX_DIMENSIONS: usize = 4;
const FILE_BUFFER_BYTES: usize = 1 << 16;

/// How much larger than a gzip file its content may be taken to be before any of it is decoded. Images of
/// digits reach 5 to 7; what exceeds the guess is paid for with reallocations.
const GZIP_EXPANSION: u64 = 16;

/// The most bytes that deflate (RFC 1951) makes of one: matches of 258, for which a length and a distance
/// code of one bit each.
const MAX_GZIP_EXPANSION: u64 = 1032;

/// The content of an IDX file of unsigned bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    dims: Vec<usize>,
    data: Vec<u8>,
}

impl Idx {
    /// The dimensions, 1 to 4 of them, slowest first; zeros are possible.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The elements, row-major; as many as the product of the dimensions.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The elements, without a copy.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }
}

/// Reads an IDX file, raw or gzip by what it begins with, whatever its name.
///
/// # Errors
///
/// [`FileError::Io`], [`FileError::NotAFile`], [`FileError::Gzip`], [`FileError::GzipTooSmall`],
/// [`FileError::Truncated`], [`FileError::TooLong`] or an [`IdxError`], each with the path of the file.
pub fn from_file(path: &Path) -> Result<Idx, Error> {
    open(path)?.read()
}

/// Reads the bytes of an IDX file, raw or gzip by what they begin with; `name` is what errors call them.
///
/// ```
/// let idx = isograd_datasets::idx::from_bytes("inline", &[0, 0, 8, 1, 0, 0, 0, 2, 7, 9])?;
/// assert_eq!((idx.dims(), idx.data()), (&[2][..], &[7, 9][..]));
/// # Ok::<(), isograd_datasets::Error>(())
/// ```
///
/// # Errors
///
/// As [`from_file`], [`FileError::Io`] and [`FileError::NotAFile`] excepted.
pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Idx, Error> {
    header(name.to_owned(), bytes, bytes.len() as u64)?.read()
}

/// Opens an IDX file and reads its header.
pub(crate) fn open(path: &Path) -> Result<IdxReader<'static>, Error> {
    let name = path.display().to_string();
    let fail = |source| Error::File(FileError::Io { file: name.clone(), reason: source });
    // Before the file is opened: opening a pipe waits until somebody writes to it.
    let file = path.metadata().map_err(fail)?;
    if !file.is_file() {
        return Err(Error::File(FileError::NotAFile { file: name }));
    }
    let file_bytes = file.len();
    let file = File::open(path).map_err(fail)?;
    header(name, BufReader::with_capacity(FILE_BUFFER_BYTES, file), file_bytes)
}

/// Reads the header of `source`, which is `source_bytes` long and which errors call `name`.
fn header<'a>(
    name: String,
    mut source: impl BufRead + 'a,
    source_bytes: u64,
) -> Result<IdxReader<'a>, Error> {
    let head = source
        .fill_buf()
        .map_err(|source| Error::File(FileError::Io { file: name.clone(), reason: source }))?;
    let gzip = head.starts_with(&gzip::MAGIC);
    let reader: Box<dyn Read> = if gzip { Box::new(GzipReader::new(source)) } else { Box::new(source) };
    let mut decoder = Decoder { name, reader, position: 0, source_bytes, gzip };
    let (element, dims) = decoder.header()?;
    Ok(IdxReader { decoder, element, dims })
}

/// An IDX file whose header has been read and whose elements have not.
pub(crate) struct IdxReader<'a> {
    decoder: Decoder<'a>,
    element: Element,
    dims: Vec<usize>,
}

impl IdxReader<'_> {
    /// What errors call the file.
    pub(crate) fn name(&self) -> &str {
        &self.decoder.name
    }

    /// The dimensions in the header.
    pub(crate) fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Reads the elements, unsigned bytes, up to the end of the file.
    pub(crate) fn read(self) -> Result<Idx, Error> {
        let Self { mut decoder, element, dims } = self;
        if element.code != UNSIGNED_BYTES {
            return Err(decoder.element_error(element, dims, "only unsigned bytes (0x08)"));
        }
        let data = decoder.elements(&dims, 1)?;
        Ok(Idx { dims, data })
    }

    /// Reads the elements, integers of any length, up to the end of the file.
    pub(crate) fn read_integers(self) -> Result<Vec<i64>, Error> {
        let Self { mut decoder, element, dims } = self;
        if !element.is_integer {
            return Err(decoder.element_error(element, dims, "labels are integers"));
        }
        let data = decoder.elements(&dims, element.bytes)?;
        Ok(match element.code {
            UNSIGNED_BYTES => data.into_iter().map(i64::from).collect(),
            // Big-endian: the first byte has the sign.
            _ => data.chunks_exact(element.bytes).map(signed).collect(),
        })
    }
}

/// A big-endian integer in two's complement.
fn signed(bytes: &[u8]) -> i64 {
    let sign = if bytes[0] >= 0x80 { -1 } else { 0 };
    bytes.iter().fold(sign, |value, &byte| value << 8 | i64::from(byte))
}

struct Decoder<'a> {
    name: String,
    reader: Box<dyn Read + 'a>,
    /// Decoded bytes consumed so far.
    position: u64,
    /// Length of the file as it is.
    source_bytes: u64,
    gzip: bool,
}

impl Decoder<'_> {
    /// Reads the header and gives the type of the elements and the dimensions.
    fn header(&mut self) -> Result<(Element, Vec<usize>), Error> {
        let magic: [u8; 4] =
            self.take(4, 4)?.try_into().expect("take gives as many bytes as it was asked for");
        let [zero0, zero1, code, rank] = magic;
        let Some(element) = Element::from_code(code).filter(|_| [zero0, zero1] == [0, 0]) else {
            return Err(Error::Idx(IdxError::NotIdx { file: self.file(), magic }));
        };
        let rank = usize::from(rank);
        if !(1..=MAX_DIMENSIONS).contains(&rank) {
            return Err(Error::Idx(IdxError::DimensionCount { file: self.file(), got: rank }));
        }
        let dims = self.take(4 * rank, header_bytes(rank))?;
        let dims = dims
            .chunks_exact(4)
            .map(|dim| u32::from_be_bytes(dim.try_into().expect("chunks of 4 bytes")) as usize)
            .collect();
        Ok((element, dims))
    }

    fn element_error(&self, element: Element, dims: Vec<usize>, expected: &'static str) -> Error {
        let Element { code, name: element_type, .. } = element;
        Error::Idx(IdxError::ElementType { file: self.file(), code, element_type, dims, expected })
    }

    /// Reads the elements that belong to `dims`, of `element_bytes` each, and checks that nothing follows.
    fn elements(&mut self, dims: &[usize], element_bytes: usize) -> Result<Vec<u8>, Error> {
        let header_bytes = header_bytes(dims.len());
        let data_bytes = dims.iter().try_fold(element_bytes, |product, &dim| product.checked_mul(dim));
        let Some(total_bytes) = data_bytes
            .and_then(|bytes| bytes.checked_add(header_bytes))
            .filter(|&bytes| bytes <= isize::MAX as usize)
        else {
            return Err(Error::Idx(IdxError::SizeOverflow { file: self.file(), dims: dims.to_vec() }));
        };
        self.check_claim(total_bytes as u64)?;
        let data = self.take(total_bytes - header_bytes, total_bytes)?;
        self.end(total_bytes)?;
        Ok(data)
    }

    /// Checks that the file can hold the `expected_bytes` that its header asks for.
    fn check_claim(&self, expected_bytes: u64) -> Result<(), Error> {
        let Self { source_bytes, gzip, .. } = *self;
        let most_bytes = if gzip { source_bytes.saturating_mul(MAX_GZIP_EXPANSION) } else { source_bytes };
        match (expected_bytes <= most_bytes, gzip) {
            (true, _) => Ok(()),
            (false, true) => Err(Error::File(FileError::GzipTooSmall {
                file: self.file(),
                expected_bytes,
                gzip_bytes: source_bytes,
                most_bytes,
            })),
            (false, false) => Err(Error::File(FileError::Truncated {
                file: self.file(),
                expected_bytes,
                got_bytes: source_bytes,
            })),
        }
    }

    /// The next `len` bytes, which end at `expected_end` of the file.
    fn take(&mut self, len: usize, expected_end: usize) -> Result<Vec<u8>, Error> {
        let expansion = if self.gzip { GZIP_EXPANSION } else { 1 };
        let plausible = usize::try_from(self.source_bytes.saturating_mul(expansion)).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        let outcome = bytes
            .try_reserve_exact(len.min(plausible))
            .map_err(io::Error::from)
            .and_then(|()| self.reader.by_ref().take(len as u64).read_to_end(&mut bytes));
        self.position += bytes.len() as u64;
        outcome.map_err(|source| self.read_error(source))?;
        if bytes.len() < len {
            return Err(Error::File(FileError::Truncated {
                file: self.file(),
                expected_bytes: expected_end as u64,
                got_bytes: self.position,
            }));
        }
        Ok(bytes)
    }

    /// Checks that nothing follows, which is also when a gzip decoder checks the length and checksum of its
    /// stream.
    fn end(&mut self, expected_bytes: usize) -> Result<(), Error> {
        let mut one_more = Vec::new();
        let outcome = self.reader.by_ref().take(1).read_to_end(&mut one_more);
        outcome.map_err(|source| self.read_error(source))?;
        if one_more.is_empty() {
            return Ok(());
        }
        let seen_bytes = self.position + 1;
        let got_bytes = if self.gzip { seen_bytes } else { seen_bytes.max(self.source_bytes) };
        Err(Error::File(FileError::TooLong {
            file: self.file(),
            expected_bytes: expected_bytes as u64,
            got_bytes,
        }))
    }

    fn read_error(&self, source: io::Error) -> Error {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        if self.gzip && matches!(source.kind(), InvalidData | InvalidInput | UnexpectedEof) {
            Error::File(FileError::Gzip { file: self.file(), decoded_bytes: self.position, reason: source })
        } else {
            Error::File(FileError::Io { file: self.file(), reason: source })
        }
    }

    fn file(&self) -> String {
        self.name.clone()
    }
}

/// The length of a header with `rank` dimensions.
fn header_bytes(rank: usize) -> usize {
    4 + 4 * rank
}

/// A type of elements.
#[derive(Clone, Copy)]
struct Element {
    /// The type byte of a header.
    code: u8,
    name: &'static str,
    bytes: usize,
    is_integer: bool,
}

impl Element {
    /// What the type byte of a header stands for, where it stands for anything.
    fn from_code(code: u8) -> Option<Self> {
        let (name, bytes, is_integer) = match code {
            UNSIGNED_BYTES => ("unsigned bytes", 1, true),
            0x09 => ("signed bytes", 1, true),
            0x0b => ("16-bit integers", 2, true),
            0x0c => ("32-bit integers", 4, true),
            0x0d => ("32-bit floats", 4, false),
            0x0e => ("64-bit floats", 8, false),
            _ => return None,
        };
        Some(Self { code, name, bytes, is_integer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_integers_of_any_length() {
        let read = |code: u8, data: &[u8]| {
            let bytes = [&[0, 0, code, 1, 0, 0, 0, 2], data].concat();
            header("inline".to_string(), &bytes[..], bytes.len() as u64)
                .and_then(IdxReader::read_integers)
                .map_err(|error| error.to_string())
        };
        assert_eq!(read(0x08, &[7, 255]), Ok(vec![7, 255]));
        assert_eq!(read(0x09, &[7, 255]), Ok(vec![7, -1]));
        assert_eq!(read(0x0b, &[1, 2, 255, 254]), Ok(vec![258, -2]));
        assert_eq!(read(0x0c, &[0, 1, 0, 0, 255, 255, 255, 255]), Ok(vec![65_536, -1]));
        assert!(read(0x0d, &[0; 8]).unwrap_err().ends_with("are not supported, labels are integers"));
        assert!(read(0x0c, &[0; 7]).unwrap_err().contains("truncated: expected 16 bytes, got 15"));
    }
}
