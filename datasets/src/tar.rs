//! The members of tar files, as GNU tar, Python and others write them.
//!
//! # Source
//!
//! IEEE Std 1003.1, "pax", for the headers of ustar and pax; the manual of GNU tar, "Basic Tar Format", for
//! long names and large numbers.

use std::io::{self, Read, Seek, SeekFrom};

pub(crate) const BLOCK: u64 = 512;

/// The longest name, and the longest list of attributes, that is read.
const MAX_NAME_BYTES: u64 = 1 << 16;

/// A tar file that is read from its start to its end.
pub(crate) struct Archive<R> {
    source: R,
    /// How bytes of the source are passed over.
    skip: fn(&mut R, u64) -> io::Result<()>,
    /// Where the next header begins.
    next: u64,
    /// Where the source stands.
    place: u64,
}

/// A member, of whatever kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) is_file: bool,
    /// Where its contents begin.
    pub(crate) offset: u64,
    /// The length of its contents.
    pub(crate) bytes: u64,
}

impl<R: Read> Archive<R> {
    /// Of a source that can be read alone, as that of a packed file.
    pub(crate) fn streamed(source: R) -> Self {
        let skip = |source: &mut R, bytes: u64| {
            let got = io::copy(&mut source.take(bytes), &mut io::sink())?;
            if got == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        };
        Self { source, skip, next: 0, place: 0 }
    }

    /// Of a file, of which headers alone are read.
    pub(crate) fn seekable(source: R) -> Self
    where
        R: Seek,
    {
        let skip = |source: &mut R, bytes: u64| {
            let bytes = i64::try_from(bytes).map_err(io::Error::other)?;
            source.seek(SeekFrom::Current(bytes)).map(drop)
        };
        Self { source, skip, next: 0, place: 0 }
    }

    /// The next member; none at the end, where zeros alone are left, at least a block of them. Contents that
    /// nobody has read are passed over.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] where the file breaks off; those of a header that is damaged; and
    /// that something follows the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Member>> {
        let (mut long_name, mut long_bytes) = (None, None);
        loop {
            (self.skip)(&mut self.source, self.next - self.place)?;
            self.place = self.next;
            let mut header = [0; BLOCK as usize];
            self.source.read_exact(&mut header)?;
            self.place += BLOCK;
            if header.iter().all(|byte| *byte == 0) {
                return self.check_end().map(|()| None);
            }
            check(&header)?;
            let mut bytes = number(&header[124..136])?;
            let kind = header[156];
            if kind != b'x' && kind != b'L' {
                bytes = long_bytes.unwrap_or(bytes);
            }
            let length =
                bytes.checked_next_multiple_of(BLOCK).and_then(|length| length.checked_add(self.place));
            self.next = length.ok_or_else(|| io::Error::other(format!("a member of {bytes} bytes")))?;
            let mut member = Member { name: String::new(), is_file: false, offset: self.place, bytes };
            match kind {
                b'L' => {
                    let name = self.read(&member, MAX_NAME_BYTES)?;
                    long_name = Some(text(&name));
                }
                b'x' => {
                    for (key, value) in attributes(&self.read(&member, MAX_NAME_BYTES)?) {
                        match key {
                            "path" => long_name = Some(value.to_string()),
                            "size" => long_bytes = value.parse().ok(),
                            _ => (),
                        }
                    }
                }
                // Headers of all members, and long targets of links.
                b'g' | b'K' => (),
                kind => {
                    member.name = long_name.unwrap_or_else(|| name(&header));
                    member.is_file = matches!(kind, b'0' | 0 | b'7');
                    return Ok(Some(member));
                }
            }
        }
    }

    /// Checks that zeros alone are left. The members of a file that `cat` put behind another one would be
    /// lost without a word.
    fn check_end(&mut self) -> io::Result<()> {
        let mut rest = [0; BLOCK as usize];
        loop {
            match self.source.read(&mut rest) {
                Ok(0) => return Ok(()),
                Ok(got) if rest[..got].iter().any(|byte| *byte != 0) => {
                    let problem =
                        "something follows the end of the archive; tar --concatenate joins archives";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
                }
                Ok(_) => (),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
    }

    /// Where the header of the next member begins.
    pub(crate) fn end(&self) -> u64 {
        self.next
    }

    /// The contents of `member`, the last one that was given, of at most `limit` bytes.
    pub(crate) fn read(&mut self, member: &Member, limit: u64) -> io::Result<Vec<u8>> {
        if member.bytes > limit {
            return Err(io::Error::other(format!("{} bytes, at most {limit} are read", member.bytes)));
        }
        let mut contents = Vec::new();
        let got = self.source.by_ref().take(member.bytes).read_to_end(&mut contents)? as u64;
        self.place += got;
        if got == member.bytes { Ok(contents) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// Checks the checksum of a header: the sum of its bytes, with blanks in its own place.
fn check(header: &[u8; BLOCK as usize]) -> io::Result<()> {
    let stored = number(&header[148..156])?;
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    if sum(&header[..148]) + 8 * u64::from(b' ') + sum(&header[156..]) != stored {
        return Err(io::Error::other("the checksum of a header is wrong"));
    }
    Ok(())
}

/// A number of a header: in octal digits, or, if the first bit is set, in bytes.
fn number(field: &[u8]) -> io::Result<u64> {
    let wrong = || io::Error::other("a header has no number where one belongs");
    if field[0] & 0x80 != 0 {
        let append = |number: u64, byte: &u8| Some(number.checked_mul(256)? + u64::from(*byte));
        let number = field[1..].iter().try_fold(0, append);
        return number.filter(|_| field[0] == 0x80).ok_or_else(wrong);
    }
    let digits = text(field);
    match digits.trim() {
        "" => Ok(0),
        digits => u64::from_str_radix(digits, 8).map_err(|_| wrong()),
    }
}

/// The name in a header, with the folder that ustar has apart.
fn name(header: &[u8; BLOCK as usize]) -> String {
    let name = text(&header[..100]);
    let prefix = text(&header[345..500]);
    // GNU tar has other fields there.
    if &header[257..263] == b"ustar\0" && !prefix.is_empty() { format!("{prefix}/{name}") } else { name }
}

/// The text in front of the first zero.
fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

/// The attributes of pax: lines of a length, a key and a value, as in `13 path=a/b\n`.
fn attributes(list: &[u8]) -> Vec<(&str, &str)> {
    let (mut attributes, mut rest) = (Vec::new(), list);
    while let Some(blank) = rest.iter().position(|byte| *byte == b' ') {
        let length = str::from_utf8(&rest[..blank]).ok().and_then(|digits| digits.parse::<usize>().ok());
        let Some(length) = length.filter(|length| (blank + 2..=rest.len()).contains(length)) else { break };
        let line = str::from_utf8(&rest[blank + 1..length - 1]).ok();
        attributes.extend(line.and_then(|line| line.split_once('=')));
        rest = &rest[length..];
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tar file that the tar crate writes.
    fn archive() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let long = format!("{}/file.jpg", "folder".repeat(30));
        for (name, contents) in [("a.txt", &b"first"[..]), (&long, b"second"), ("empty", b"")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(contents.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, contents).unwrap();
        }
        builder.append_pax_extensions([("comment", &b"x=y"[..]), ("path", b"named/by/pax.cls")]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(1);
        header.set_path("short").unwrap();
        header.set_cksum();
        builder.append(&header, &b"7"[..]).unwrap();
        builder.into_inner().unwrap()
    }

    fn members(mut archive: Archive<impl Read>) -> Vec<(String, Vec<u8>)> {
        let mut members = Vec::new();
        while let Some(member) = archive.next().unwrap() {
            assert!(member.is_file);
            let contents = archive.read(&member, 100).unwrap();
            members.push((member.name, contents));
        }
        members
    }

    #[test]
    fn members_are_those_that_were_written() {
        let file = archive();
        let read = members(Archive::streamed(&file[..]));
        let long = format!("{}/file.jpg", "folder".repeat(30));
        let expected =
            [("a.txt", &b"first"[..]), (&long, b"second"), ("empty", b""), ("named/by/pax.cls", b"7")];
        assert_eq!(read, expected.map(|(name, contents)| (name.to_string(), contents.to_vec())));
        assert_eq!(members(Archive::seekable(io::Cursor::new(&file))), read);
        // Contents that are passed over.
        let mut archive = Archive::seekable(io::Cursor::new(&file));
        let places: Vec<Member> = std::iter::from_fn(|| archive.next().unwrap()).collect();
        assert_eq!(places.len(), 4);
        for (member, (name, contents)) in places.iter().zip(read) {
            assert_eq!(member.name, name);
            assert_eq!(file[member.offset as usize..][..contents.len()], contents);
        }
    }

    #[test]
    fn damaged_headers_are_errors() {
        let file = archive();
        let mut changed = file.clone();
        changed[3] ^= 1;
        let error = Archive::streamed(&changed[..]).next().unwrap_err();
        assert_eq!(error.to_string(), "the checksum of a header is wrong");
        for length in [0, 100, 511] {
            let error = Archive::streamed(&file[..length]).next().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        let mut archive = Archive::streamed(&file[..512 + 3]);
        let member = archive.next().unwrap().unwrap();
        assert_eq!(archive.read(&member, 4).unwrap_err().to_string(), "5 bytes, at most 4 are read");
        assert_eq!(archive.read(&member, 5).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn something_behind_the_end_is_an_error() {
        let file = archive();
        let end = |bytes: &[u8]| {
            let mut archive = Archive::seekable(io::Cursor::new(bytes));
            std::iter::from_fn(|| archive.next().transpose()).collect::<io::Result<Vec<_>>>()
        };
        let padded = [&file[..], &[0; 9_999]].concat();
        assert_eq!(end(&padded).unwrap().len(), 4);
        for joined in [[&file[..], &file].concat(), [&padded[..], &[1]].concat()] {
            let error = end(&joined).unwrap_err().to_string();
            assert!(error.starts_with("something follows the end"), "{error}");
        }
    }

    #[test]
    fn numbers_are_octal_or_bytes() {
        assert_eq!(number(b"0000017\0").unwrap(), 15);
        assert_eq!(number(b"   17 \0\0").unwrap(), 15);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1]).unwrap(), (3 << 32) + 1);
        // A checksum has fewer bytes than a length.
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 3]).unwrap(), 3);
        assert!(number(b"0000018\0").is_err() && number(&[0xff; 12]).is_err());
        assert!(number(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]).is_err(), "2^64");
    }
}
