//! Writes zip files of stored members, with lengths of 64 bits throughout, as [`zip`](super::zip) reads them.

use std::io::{self, Write};

use flate2::Crc;

use super::zip::{END, END_64, ENTRY, LENGTHS_64, LOCAL, LOCATOR_64};

/// The version of the format that has lengths of 64 bits.
const VERSION: u16 = 45;
/// The first of January 1980, the earliest day there is: the same arrays give the same file.
const DATE: u16 = 1 << 5 | 1;
/// What stands where a length of 64 bits is elsewhere.
const ELSEWHERE: u32 = u32::MAX;

/// A zip file that is being written.
pub(super) struct ZipWriter<W> {
    to: W,
    offset: u64,
    directory: Vec<u8>,
    members: u64,
}

impl<W: Write> ZipWriter<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, offset: 0, directory: Vec::new(), members: 0 }
    }

    /// Writes the member `name`, which the parts make up one after the other. `parts` gives them twice: the
    /// checksum stands in front of them.
    pub(super) fn member<P: AsRef<[u8]>, I: Iterator<Item = P>>(
        &mut self,
        name: &str,
        parts: impl Fn() -> I,
    ) -> io::Result<()> {
        let mut checksum = Crc::new();
        let mut bytes = 0;
        for part in parts() {
            checksum.update(part.as_ref());
            bytes += part.as_ref().len() as u64;
        }
        let mut local = LOCAL.to_le_bytes().to_vec();
        describe(&mut local, checksum.sum(), name);
        let lengths = [bytes, bytes];
        local.extend((4 + 8 * lengths.len() as u16).to_le_bytes());
        local.extend(name.as_bytes());
        extra(&mut local, &lengths);

        self.directory.extend(ENTRY.to_le_bytes());
        self.directory.extend(VERSION.to_le_bytes());
        describe(&mut self.directory, checksum.sum(), name);
        let lengths = [bytes, bytes, self.offset];
        self.directory.extend((4 + 8 * lengths.len() as u16).to_le_bytes());
        // No comment, the first disk, no attributes.
        self.directory.extend([0; 10]);
        self.directory.extend(ELSEWHERE.to_le_bytes());
        self.directory.extend(name.as_bytes());
        extra(&mut self.directory, &lengths);

        self.to.write_all(&local)?;
        parts().try_for_each(|part| self.to.write_all(part.as_ref()))?;
        self.offset += local.len() as u64 + bytes;
        self.members += 1;
        Ok(())
    }

    /// Writes the directory.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let directory = self.directory.len() as u64;
        let mut end = self.directory;
        // The length of what follows in this record, two versions, two disks.
        end.extend(END_64.to_le_bytes());
        end.extend(44_u64.to_le_bytes());
        end.extend([VERSION, VERSION].map(u16::to_le_bytes).concat());
        end.extend([0; 8]);
        end.extend([self.members, self.members, directory, self.offset].map(u64::to_le_bytes).concat());
        end.extend(LOCATOR_64.to_le_bytes());
        end.extend([0; 4]);
        end.extend((self.offset + directory).to_le_bytes());
        end.extend(1_u32.to_le_bytes());
        end.extend(END.to_le_bytes());
        end.extend([0; 4]);
        end.extend([u16::MAX, u16::MAX].map(u16::to_le_bytes).concat());
        end.extend([ELSEWHERE, ELSEWHERE].map(u32::to_le_bytes).concat());
        end.extend([0; 2]);
        self.to.write_all(&end)?;
        self.to.flush()
    }
}

/// The fields that both headers of a member share, up to the length of its name.
fn describe(header: &mut Vec<u8>, checksum: u32, name: &str) {
    // No flags, no compression, midnight.
    header.extend([VERSION, 0, 0, 0, DATE].map(u16::to_le_bytes).concat());
    header.extend([checksum, ELSEWHERE, ELSEWHERE].map(u32::to_le_bytes).concat());
    header.extend((name.len() as u16).to_le_bytes());
}

fn extra(header: &mut Vec<u8>, lengths: &[u64]) {
    header.extend(LENGTHS_64.to_le_bytes());
    header.extend((8 * lengths.len() as u16).to_le_bytes());
    lengths.iter().for_each(|length| header.extend(length.to_le_bytes()));
}
