//! A gzip stream as `gzip` itself reads it: members one after another, then perhaps zeros.
//!
//! Tapes and disk images pad files with zeros. `gzip` ignores them, and so does this reader; the decoder of flate2 takes them
//! for the header of a next member. Anything else after a member is an error.
//!
//! # Source
//!
//! RFC 1952, section 2.2, for members; the manual of GNU gzip, "Using gzip on tapes", for zeros.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// What every member of a gzip stream begins with.
pub(crate) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The content of all members of the gzip stream in `R`.
pub(crate) struct GzipReader<R> {
    /// The member at hand; none after the last one.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> GzipReader<R> {
    /// A reader of `source`, which begins with [`MAGIC`].
    pub(crate) fn new(source: R) -> Self {
        Self { member: Some(GzDecoder::new(source)) }
    }
}

impl<R: BufRead> Read for GzipReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            let read_bytes = member.read(buffer)?;
            if read_bytes > 0 {
                return Ok(read_bytes);
            }
            self.member =
                self.member.take().map(GzDecoder::into_inner).map(next_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

/// The member that begins in `source`, or none if `source` ends, perhaps after zeros.
fn next_member<R: BufRead>(mut source: R) -> io::Result<Option<GzDecoder<R>>> {
    let mut padding_bytes = 0_u64;
    loop {
        let bytes = match source.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        match bytes.get(zeros) {
            None if bytes.is_empty() => return Ok(None),
            None => (),
            Some(_) if padding_bytes + zeros as u64 == 0 => return Ok(Some(GzDecoder::new(source))),
            Some(_) => {
                let problem = "something follows the zeros after the stream";
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
        }
        padding_bytes += zeros as u64;
        source.consume(zeros);
    }
}
