//! The task that fetches an object, and goes on where the server breaks off.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectStore};
use reqwest::StatusCode;
use tokio::sync::Semaphore;

use super::connection::{classify, last_status};
use super::error::StoreError;
use super::options::StoreOptions;
use super::version::Version;

/// So much without a break begins a new row of breaks.
const ROW_BYTES: u64 = 1 << 20;
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A part of a download.
pub(super) enum Piece {
    /// What is being downloaded: the first piece.
    Version(Version),
    Bytes(Vec<u8>),
}

/// Why a request ended early.
pub(super) enum Failure {
    /// Another one may help.
    Broken(String),
    Fatal(StoreError),
}

/// How long to wait after which break.
pub(super) struct Pauses {
    next: Duration,
    breaks: u32,
    first: Duration,
    most: u32,
}

impl Pauses {
    pub(super) fn new(options: &StoreOptions) -> Self {
        Self { next: options.pause, breaks: 0, first: options.pause, most: options.retries }
    }

    /// Waits after a break; false if there have been too many.
    pub(super) async fn wait(&mut self) -> bool {
        self.breaks += 1;
        if self.breaks > self.most {
            return false;
        }
        tokio::time::sleep(self.next).await;
        self.next = (2 * self.next).min(LONGEST_PAUSE);
        true
    }

    /// The breaks of this row.
    pub(super) fn breaks(&self) -> u32 {
        self.breaks
    }

    fn begin_row(&mut self) {
        (self.next, self.breaks) = (self.first, 0);
    }
}

/// A download from the server's side.
pub(super) struct Fetch {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: Path,
    /// What is to be downloaded, where a list or an earlier download says it.
    pub(super) version: Option<Version>,
    /// The first byte that is missing.
    pub(super) next: u64,
    /// Whether the server can begin in the middle, as far as known.
    pub(super) has_ranges: bool,
    pub(super) pauses: Pauses,
    /// A permit for each byte that may be ahead of the reader.
    pub(super) room: Arc<Semaphore>,
    pub(super) read_ahead_bytes: usize,
    pub(super) pieces: Sender<Result<Piece, StoreError>>,
}

impl Fetch {
    /// Fetches the object, or says why that failed. Ends early if the reader is gone.
    pub(super) async fn run(mut self) {
        let mut row_begin = self.next;
        loop {
            let failure = match self.request().await {
                Ok(()) => return,
                Err(failure) => failure,
            };
            let error = match failure {
                Failure::Fatal(error) => error,
                Failure::Broken(reason) => {
                    if self.next - row_begin >= ROW_BYTES {
                        self.pauses.begin_row();
                        row_begin = self.next;
                    }
                    let is_the_same_told = self.version.as_ref().is_some_and(Version::is_telling);
                    if self.next > 0 && !self.has_ranges && !is_the_same_told {
                        let bytes = self.version.as_ref().map_or(self.next, |version| version.bytes);
                        StoreError::NoResume { byte: self.next, bytes, reason }
                    } else if self.pauses.wait().await {
                        continue;
                    } else {
                        self.too_often(reason)
                    }
                }
            };
            // The reader may be gone, and then nobody asks.
            let _ = self.pieces.send(Err(error));
            return;
        }
    }

    fn too_often(&self, reason: String) -> StoreError {
        let breaks = self.pauses.breaks();
        match &self.version {
            Some(version) => StoreError::BrokenOff { byte: self.next, bytes: version.bytes, breaks, reason },
            None => StoreError::NoAnswer { tries: breaks, reason },
        }
    }

    fn changed(&self, what: &str) -> Failure {
        Failure::Fatal(StoreError::Changed { byte: self.next, what: what.to_string() })
    }

    /// Gets what is missing, as far as it comes.
    async fn request(&mut self) -> Result<(), Failure> {
        let answer = self.ask().await?;
        let version = Version::of(&answer.meta);
        match &self.version {
            Some(known) if known.bytes != version.bytes => {
                return Err(self.changed(&format!("{} bytes instead of {}", version.bytes, known.bytes)));
            }
            Some(known) if !known.fits(&version) => return Err(self.changed("another version")),
            _ => (),
        }
        if self.next == 0 {
            let _ = self.pieces.send(Ok(Piece::Version(version.clone())));
        }
        let end = version.bytes;
        // What an answer from the start has before.
        let mut passed = answer.range.start;
        self.version = Some(version);
        let mut body = answer.into_stream();
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(|error| classify(&error))?;
            let skip = (self.next - passed).min(bytes.len() as u64) as usize;
            passed += skip as u64;
            if self.next + (bytes.len() - skip) as u64 > end {
                return Err(Failure::Fatal(StoreError::TooLong { bytes: end }));
            }
            for piece in bytes[skip..].chunks(self.read_ahead_bytes) {
                let permits = self.room.acquire_many(piece.len() as u32).await;
                // The reader gives them back.
                permits.expect("it is never closed").forget();
                if self.pieces.send(Ok(Piece::Bytes(piece.to_vec()))).is_err() {
                    return Ok(());
                }
                self.next += piece.len() as u64;
                passed += piece.len() as u64;
            }
        }
        match self.next == end {
            true => Ok(()),
            false => Err(Failure::Broken("the answer ends early".to_string())),
        }
    }

    /// The answer to a request for what is missing.
    async fn ask(&mut self) -> Result<GetResult, Failure> {
        loop {
            let version = self.version.as_ref().filter(|_| self.next > 0);
            let is_range = version.is_some() && self.has_ranges;
            let options = GetOptions {
                if_match: version.and_then(Version::strong_tag),
                range: version.filter(|_| is_range).map(|known| GetRange::Bounded(self.next..known.bytes)),
                ..GetOptions::default()
            };
            let error = match self.store.get_opts(&self.path, options).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match last_status() {
                // The whole object, although a part was asked for.
                Some(StatusCode::OK) if is_range => {
                    self.has_ranges = false;
                    if !self.version.as_ref().is_some_and(Version::is_telling) {
                        return Err(Failure::Broken("it ignores ranges".to_string()));
                    }
                }
                Some(StatusCode::PRECONDITION_FAILED) => return Err(self.changed("another version")),
                Some(StatusCode::RANGE_NOT_SATISFIABLE) => return Err(self.changed("it is shorter now")),
                _ => return Err(classify(&error)),
            }
        }
    }
}
