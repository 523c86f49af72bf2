//! The members of zip files that numpy writes: stored or deflated, of any length.
//!
//! # Source
//!
//! PKWARE, "APPNOTE.TXT: .ZIP File Format Specification", sections 4.3 (records), 4.4 (fields) and 4.5.3
//! (lengths of 64 bits).

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Take};
use std::path::Path;

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

/// What records begin with.
pub(super) const LOCAL: u32 = 0x0403_4b50;
pub(super) const ENTRY: u32 = 0x0201_4b50;
pub(super) const END: u32 = 0x0605_4b50;
pub(super) const END_64: u32 = 0x0606_4b50;
pub(super) const LOCATOR_64: u32 = 0x0706_4b50;

/// Lengths of records without their names and comments.
const LOCAL_BYTES: usize = 30;
const ENTRY_BYTES: usize = 46;
const END_BYTES: usize = 22;
const END_64_BYTES: usize = 56;
const LOCATOR_64_BYTES: usize = 20;

/// The longest directory that is read: that of 100,000 members.
const MAX_DIRECTORY_BYTES: u64 = 1 << 24;
/// The extra field with lengths of 64 bits.
pub(super) const LENGTHS_64: u16 = 1;

/// A zip file whose directory has been read.
pub(super) struct Archive {
    file: File,
    /// The members, in the order of the directory.
    pub(super) entries: Vec<Entry>,
}

/// What the directory says of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    method: u16,
    is_encrypted: bool,
    checksum: u32,
    /// Bytes in the file.
    pub(super) packed_bytes: u64,
    /// Bytes when it is unpacked.
    pub(super) bytes: u64,
    /// Where its own header begins.
    header: u64,
}

impl Entry {
    /// Whether it lies in the file as it is.
    pub(super) fn is_stored(&self) -> bool {
        self.method == 0
    }
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        let directory = directory(&mut file).map_err(words)?;
        let entries = entries(&directory).ok_or("its directory is damaged")?;
        Ok(Self { file, entries })
    }

    /// Where the contents of a member begin in the file.
    pub(super) fn start(&mut self, entry: &Entry) -> Result<u64, String> {
        self.file.seek(SeekFrom::Start(entry.header)).map_err(words)?;
        let mut header = [0; LOCAL_BYTES];
        self.file.read_exact(&mut header).map_err(words)?;
        if u32_at(&header, 0) != Some(LOCAL) {
            return Err(format!("the header of {} is damaged", entry.name.escape_debug()));
        }
        let [name, extra] = [26, 28].map(|place| u64::from(u16_at(&header, place).unwrap_or_default()));
        entry
            .header
            .checked_add(LOCAL_BYTES as u64 + name + extra)
            .ok_or_else(|| "a member is too long".into())
    }

    /// The contents of a member. Its checksum is checked when it has been read to the end.
    pub(super) fn member(&mut self, entry: &Entry) -> Result<Member<'_>, String> {
        let name = entry.name.escape_debug();
        if entry.is_encrypted {
            return Err(format!("{name} is encrypted"));
        }
        let start = self.start(entry)?;
        self.file.seek(SeekFrom::Start(start)).map_err(words)?;
        let packed = BufReader::new(&self.file).take(entry.packed_bytes);
        let contents = match entry.method {
            0 => Contents::Stored(packed),
            8 => Contents::Deflated(Box::new(DeflateDecoder::new(packed))),
            method => return Err(format!("{name} is packed by method {method}; 0 and 8 can be read")),
        };
        Ok(Member { contents, rest_bytes: entry.bytes, crc: Crc::new(), checksum: entry.checksum })
    }
}

enum Contents<'a> {
    Stored(Take<BufReader<&'a File>>),
    Deflated(Box<DeflateDecoder<Take<BufReader<&'a File>>>>),
}

/// A member that is being read.
pub(super) struct Member<'a> {
    contents: Contents<'a>,
    rest_bytes: u64,
    crc: Crc,
    checksum: u32,
}

impl Read for Member<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = match &mut self.contents {
            Contents::Stored(contents) => contents.read(buffer)?,
            Contents::Deflated(contents) => contents.read(buffer)?,
        };
        if buffer.is_empty() {
            return Ok(0);
        }
        self.crc.update(&buffer[..got]);
        match self.rest_bytes.checked_sub(got as u64) {
            None => return Err(io::Error::other("a member is longer than the directory says")),
            Some(rest) => self.rest_bytes = rest,
        }
        match got {
            0 if self.rest_bytes > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            0 if self.crc.sum() != self.checksum => Err(io::Error::other("the checksum is wrong")),
            got => Ok(got),
        }
    }
}

/// The directory of a zip file: all of its entries, one after the other.
fn directory(file: &mut File) -> io::Result<Vec<u8>> {
    let file_bytes = file.metadata()?.len();
    // A comment of up to 64 KiB is behind the last record.
    let tail_start = file_bytes.saturating_sub((END_BYTES + LOCATOR_64_BYTES + 0xffff) as u64);
    let tail = read_at(file, tail_start, file_bytes - tail_start)?;
    let find = |place: &usize| u32_at(&tail, *place) == Some(END) && tail.len() - place >= END_BYTES;
    let Some(end) = (0..tail.len().saturating_sub(3)).rev().find(find) else {
        return Err(io::Error::other("it has no zip directory at its end"));
    };
    let [mut bytes, mut start] =
        [12, 16].map(|place| u64::from(u32_at(&tail, end + place).unwrap_or_default()));
    let locator = end.checked_sub(LOCATOR_64_BYTES).filter(|place| u32_at(&tail, *place) == Some(LOCATOR_64));
    if let Some(locator) = locator {
        let place = u64_at(&tail, locator + 8).unwrap_or_default();
        let end = read_at(file, place, END_64_BYTES as u64)?;
        if u32_at(&end, 0) != Some(END_64) {
            return Err(io::Error::other("its directory of 64 bits is damaged"));
        }
        [bytes, start] = [40, 48].map(|place| u64_at(&end, place).unwrap_or_default());
    }
    if bytes > MAX_DIRECTORY_BYTES || start.checked_add(bytes).is_none_or(|end| end > file_bytes) {
        return Err(io::Error::other(format!("its directory would be {bytes} bytes from byte {start} on")));
    }
    read_at(file, start, bytes)
}

fn read_at(file: &mut File, start: u64, bytes: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(start))?;
    let mut contents = vec![0; bytes as usize];
    file.read_exact(&mut contents)?;
    Ok(contents)
}

/// The entries in a directory; none if it is damaged.
fn entries(mut directory: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while !directory.is_empty() {
        if u32_at(directory, 0)? != ENTRY {
            return None;
        }
        let [name, extra, comment] = [28, 30, 32].map(|place| u16_at(directory, place).map(usize::from));
        let (fixed, behind) = directory.split_at_checked(ENTRY_BYTES)?;
        let (name, behind) = behind.split_at_checked(name?)?;
        let (extra, behind) = behind.split_at_checked(extra?)?;
        directory = behind.get(comment?..)?;
        let [bytes, packed, header] = [24, 20, 42].map(|place| u32_at(fixed, place));
        let mut lengths = [bytes?, packed?, header?].map(u64::from);
        long_lengths(extra, &mut lengths)?;
        let [bytes, packed_bytes, header] = lengths;
        entries.push(Entry {
            name: String::from_utf8_lossy(name).into_owned(),
            method: u16_at(fixed, 10)?,
            is_encrypted: u16_at(fixed, 8)? & 1 != 0,
            checksum: u32_at(fixed, 16)?,
            packed_bytes,
            bytes,
            header,
        });
    }
    Some(entries)
}

/// Overwrites the lengths that do not fit 32 bits with those in the extra fields.
fn long_lengths(mut extra: &[u8], lengths: &mut [u64; 3]) -> Option<()> {
    while let (Some(kind), Some(bytes)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let (field, behind) = extra[4..].split_at_checked(bytes.into())?;
        extra = behind;
        if kind == LENGTHS_64 {
            let long = lengths.iter_mut().filter(|length| **length == u64::from(u32::MAX));
            for (index, length) in long.enumerate() {
                *length = u64_at(field, 8 * index)?;
            }
        }
    }
    Some(())
}

fn u16_at(bytes: &[u8], place: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(place..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], place: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(place..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], place: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(place..)?.first_chunk()?))
}

fn words(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is truncated".to_string(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of a directory.
    fn entry(name: &str, lengths: [u32; 3], extra: &[u8]) -> Vec<u8> {
        let [bytes, packed, header] = lengths.map(u32::to_le_bytes);
        let mut entry = [&ENTRY.to_le_bytes()[..], &[0; 16], &packed, &bytes].concat();
        entry.extend([name.len() as u16, extra.len() as u16, 1].map(u16::to_le_bytes).concat());
        entry.extend([0; 8]);
        entry.extend(header);
        entry.extend([name.as_bytes(), extra, b"c"].concat());
        entry
    }

    #[test]
    fn lengths_of_64_bits_are_read() {
        let long =
            [&[9, 9, 1, 0, 7, 1, 0, 16, 0][..], &[1 << 33, 5_u64].map(u64::to_le_bytes).concat()].concat();
        let directory = [entry("a", [3, 4, 5], &[]), entry("bc", [u32::MAX, 6, u32::MAX], &long)].concat();
        let read = entries(&directory).unwrap();
        let numbers = |entry: &Entry| [entry.bytes, entry.packed_bytes, entry.header];
        assert_eq!((read[0].name.as_str(), numbers(&read[0])), ("a", [3, 4, 5]));
        assert_eq!((read[1].name.as_str(), numbers(&read[1])), ("bc", [1 << 33, 6, 5]));
        for length in 1..directory.len() {
            let cut = entries(&directory[..length]);
            assert!(cut.is_none() || length == entry("a", [3, 4, 5], &[]).len(), "{length} bytes");
        }
    }

    #[test]
    fn members_are_checked() {
        let contents = b"values";
        let mut crc = Crc::new();
        crc.update(contents);
        let local = [&LOCAL.to_le_bytes()[..], &[0; 24], &[0, 0], contents].concat();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let write = |bytes: u32, checksum: u32| {
            let mut directory = entry("a", [bytes, 6, 0], &[]);
            directory[16..20].copy_from_slice(&checksum.to_le_bytes());
            let end = [END, 0, 0, directory.len() as u32, local.len() as u32].map(u32::to_le_bytes).concat();
            std::fs::write(&path, [&local[..], &directory, &end, &[0, 0]].concat()).unwrap();
        };
        let read = || -> Result<Vec<u8>, String> {
            let mut archive = Archive::open(&path)?;
            let entry = archive.entries[0].clone();
            let mut read = Vec::new();
            archive.member(&entry)?.read_to_end(&mut read).map_err(|error| error.to_string())?;
            Ok(read)
        };
        write(6, crc.sum());
        assert_eq!(read().unwrap(), contents);
        write(6, 7);
        assert_eq!(read().unwrap_err(), "the checksum is wrong");
        write(5, crc.sum());
        assert_eq!(read().unwrap_err(), "a member is longer than the directory says");
        write(7, crc.sum());
        assert!(read().is_err());
        std::fs::write(&path, b"PK").unwrap();
        assert_eq!(Archive::open(&path).err().unwrap(), "it has no zip directory at its end");
    }
}
