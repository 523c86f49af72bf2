//! A download as a reader.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use object_store::path::Path;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::connection::Connection;
use super::error::StoreError;
use super::fetch::{Fetch, Pauses, Piece};
use super::version::Version;
use crate::pipeline::queue::Stopped;

/// The most that a download may be ahead: permits are counted in 32 bits.
const MOST_AHEAD: usize = 1 << 30;

/// The bytes of an object while they come in. Dropping it ends the download.
pub(super) struct Download {
    /// Keeps the thread.
    _connection: Arc<Connection>,
    pieces: Receiver<Result<Piece, StoreError>>,
    room: Arc<Semaphore>,
    task: AbortHandle,
    version: Option<Version>,
    piece: Vec<u8>,
    /// How much of the piece has been read.
    read_bytes: usize,
    /// The place of the next byte of the next piece.
    next: u64,
}

impl Download {
    /// Begins to fetch the object at `path`. If `known` says what it must be, `begin` bytes of that are there
    /// already.
    pub(super) fn start(
        connection: &Arc<Connection>,
        path: &Path,
        known: Option<Version>,
        begin: u64,
    ) -> Self {
        let options = &connection.options;
        let read_ahead_bytes = options.read_ahead_bytes.clamp(1, MOST_AHEAD);
        let room = Arc::new(Semaphore::new(read_ahead_bytes));
        let (sender, pieces) = channel();
        let fetch = Fetch {
            store: Arc::clone(&connection.store),
            path: path.clone(),
            version: known.clone(),
            next: begin,
            has_ranges: true,
            pauses: Pauses::new(options),
            room: Arc::clone(&room),
            read_ahead_bytes,
            pieces: sender,
        };
        let task = connection.spawn(fetch.run());
        // What is there already is of this version; else the first piece says it.
        let version = known.filter(|_| begin > 0);
        let _connection = Arc::clone(connection);
        Self { _connection, pieces, room, task, version, piece: Vec::new(), read_bytes: 0, next: begin }
    }

    /// What is being downloaded: known when the server has answered.
    pub(super) fn version(&mut self) -> Result<&Version, StoreError> {
        while self.version.is_none() {
            match self.pieces.recv().unwrap_or(Err(StoreError::Stopped(Stopped)))? {
                Piece::Version(version) => self.version = Some(version),
                Piece::Bytes(_) => unreachable!("the version comes first"),
            }
        }
        Ok(self.version.as_ref().expect("it has come"))
    }

    /// The next piece; false at the end.
    fn advance(&mut self) -> Result<bool, StoreError> {
        let end = self.version()?.bytes;
        loop {
            self.room.add_permits(std::mem::take(&mut self.piece).len());
            self.read_bytes = 0;
            match self.pieces.recv() {
                // A second answer, before anything was read.
                Ok(Ok(Piece::Version(_))) => (),
                Ok(Ok(Piece::Bytes(piece))) => {
                    self.next += piece.len() as u64;
                    self.piece = piece;
                    return Ok(true);
                }
                Ok(Err(error)) => return Err(error),
                Err(_) if self.next == end => return Ok(false),
                Err(_) => return Err(StoreError::Stopped(Stopped)),
            }
        }
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || (self.read_bytes == self.piece.len() && !self.advance()?) {
            return Ok(0);
        }
        let rest = &self.piece[self.read_bytes..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.read_bytes += count;
        Ok(count)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.task.abort();
    }
}
