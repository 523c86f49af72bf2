//! Noise records: a length of two bytes (little-endian), then that many bytes of ciphertext with its
//! authenticator.

use std::io::{self, IoSlice, Read, Write};

use snow::TransportState;

/// The longest ciphertext that Noise allows.
const RECORD: usize = 65535;
/// The length of the authenticator that ends it.
const AUTHENTICATOR: usize = 16;
const PREFIX: usize = 2;

/// The two directions of an encrypted connection.
pub(super) struct Sealed {
    noise: TransportState,
    /// Bytes that were read and not yet opened.
    inbox: Box<[u8]>,
    filled: usize,
    /// The record that is being written.
    outbox: Box<[u8]>,
    sealed: usize,
    written: usize,
    plain: Box<[u8]>,
}

impl Sealed {
    pub(super) fn new(noise: TransportState) -> Self {
        Self {
            noise,
            inbox: vec![0; 2 * (PREFIX + RECORD)].into(),
            filled: 0,
            outbox: vec![0; PREFIX + RECORD].into(),
            sealed: 0,
            written: 0,
            plain: vec![0; RECORD].into(),
        }
    }

    /// Whether the last sealed record is written.
    pub(super) fn is_flushed(&self) -> bool {
        self.written == self.sealed
    }

    /// Writes the sealed record, once.
    pub(super) fn write(&mut self, to: &mut impl Write) -> io::Result<()> {
        match to.write(&self.outbox[self.written..self.sealed])? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            bytes => {
                self.written += bytes;
                Ok(())
            }
        }
    }

    /// Seals as much of `slices` as one record holds. Returns how many bytes that is. The record before must
    /// be written.
    pub(super) fn seal(&mut self, slices: &[IoSlice<'_>]) -> usize {
        assert!(self.is_flushed(), "{} of {} bytes are written", self.written, self.sealed);
        let mut bytes = 0;
        for slice in slices {
            let room = RECORD - AUTHENTICATOR - bytes;
            let taken = slice.len().min(room);
            self.plain[bytes..][..taken].copy_from_slice(&slice[..taken]);
            bytes += taken;
        }
        let length = self
            .noise
            .write_message(&self.plain[..bytes], &mut self.outbox[PREFIX..])
            .expect("a record within its bounds can be sealed 2^64 - 1 times");
        self.outbox[..PREFIX].copy_from_slice(&(length as u16).to_le_bytes());
        (self.sealed, self.written) = (PREFIX + length, 0);
        bytes
    }

    /// Reads once. Returns the count of bytes, and whether they filled the buffer.
    pub(super) fn read(&mut self, from: &mut impl Read) -> io::Result<(usize, bool)> {
        let bytes = from.read(&mut self.inbox[self.filled..])?;
        self.filled += bytes;
        Ok((bytes, self.filled == self.inbox.len()))
    }

    /// Opens every complete record, and passes the plain bytes to `consume`. The error says what the peer
    /// sent.
    pub(super) fn open(
        &mut self,
        mut consume: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut at = 0;
        while let Some((length, rest)) = self.inbox[at..self.filled].split_first_chunk::<PREFIX>() {
            let Some(record) = rest.get(..u16::from_le_bytes(*length).into()) else { break };
            let bytes = self
                .noise
                .read_message(record, &mut self.plain)
                .map_err(|_| format!("a record of {} bytes that does not authenticate", record.len()))?;
            consume(&self.plain[..bytes])?;
            at += PREFIX + record.len();
        }
        self.inbox.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }
}
