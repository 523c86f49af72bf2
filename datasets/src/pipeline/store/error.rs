//! Why an object cannot be read.

use std::io;

use crate::count::Count;
use crate::pipeline::error::SourceError;
use crate::pipeline::queue::Stopped;

/// Why an object cannot be read. It is inside a [`SourceError::Io`], which has the address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The server refuses for good.
    #[error("the server answers {answer}")]
    Refused {
        /// The status, and the code of an S3-compatible store.
        answer: String,
    },

    /// There was no answer, or one that says "not now", too often.
    #[error("no answer in {}: {reason}", Count::of(*tries as usize, "attempt"))]
    NoAnswer {
        /// How often it was tried.
        tries: u32,
        /// Why the last try failed.
        reason: String,
    },

    /// The download broke off too often.
    #[error("the download broke off at byte {byte} of {bytes}, {} in a row: {reason}", Count::of(*breaks as usize, "time"))]
    BrokenOff {
        /// The first byte that is missing.
        byte: u64,
        /// The length of the object.
        bytes: u64,
        /// How often it broke off in a row.
        breaks: u32,
        /// Why it did the last time.
        reason: String,
    },

    /// The object is not the same any more.
    #[error("it has changed at byte {byte} of the download: {what}")]
    Changed {
        /// The first byte that is missing.
        byte: u64,
        /// What differs.
        what: String,
    },

    /// The server sends more than it has announced.
    #[error("the server sends more than the {bytes} bytes that it has announced")]
    TooLong {
        /// The length that was announced.
        bytes: u64,
    },

    /// The server cannot begin in the middle, and nothing tells whether the object is still the same.
    #[error(
        "the download broke off at byte {byte} of {bytes}, and the server cannot go on from there: {reason}"
    )]
    NoResume {
        /// The first byte that is missing.
        byte: u64,
        /// The length of the object.
        bytes: u64,
        /// Why it broke off.
        reason: String,
    },

    /// An answer that makes no sense.
    #[error("the server's answer cannot be used: {reason}")]
    Unusable {
        /// What is wrong with it.
        reason: String,
    },

    /// An S3-compatible store without credentials.
    #[error(
        "there are no credentials: neither in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor of this machine; \
         AWS_SKIP_SIGNATURE=true reads a public bucket without"
    )]
    NoCredentials,

    /// Variables that make no sense.
    #[error("the variables AWS_* cannot be used: {reason}")]
    Settings {
        /// What is wrong with them.
        reason: String,
    },

    /// Nothing has such a name.
    #[error("there are no such objects")]
    NoObjects,

    /// The run is over.
    #[error("the download has been stopped")]
    Stopped(#[source] Stopped),

    /// The operating system gives no thread.
    #[error("cannot start a thread for downloads: {reason}")]
    Thread {
        /// What the system said.
        reason: io::Error,
    },
}

impl StoreError {
    /// With the address, as an error of a source.
    pub(super) fn of(self, address: &str) -> SourceError {
        SourceError::Io { file: address.to_string(), reason: self.into() }
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        Self::other(error)
    }
}
