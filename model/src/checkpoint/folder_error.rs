//! What can be wrong with a checkpoint.

use super::CheckpointError;
use crate::error::Error;
use std::io;
use std::path::Path;

/// Why a checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// A file of it, or the folder itself, cannot be read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// The name of the file.
        file: String,
        /// Why not.
        source: io::Error,
    },
    /// A file of it, or the folder itself, cannot be written.
    #[error("cannot write {file}: {source}")]
    Write {
        /// The name of the file.
        file: String,
        /// Why not.
        source: io::Error,
    },
    /// The manifest is damaged, or is none.
    #[error("manifest.json is damaged: {reason}")]
    Manifest {
        /// What is wrong with it.
        reason: String,
    },
    /// A later version has written it.
    #[error("it has the format {found}, written by {writer}; this version reads the format {known}")]
    Format {
        /// The format of the checkpoint.
        found: u32,
        /// The program that wrote it.
        writer: String,
        /// The format that can be read.
        known: u32,
    },
    /// A file of another length than the manifest says.
    #[error("{file} is damaged: it has {found} bytes, by the manifest it should have {expected}")]
    Length {
        /// The name of the file.
        file: String,
        /// Its length.
        found: u64,
        /// Its length by the manifest.
        expected: u64,
    },
    /// A file of other contents than the manifest says.
    #[error("{file} is damaged: its SHA-256 is {found}, by the manifest it should be {expected}")]
    Digest {
        /// The name of the file.
        file: String,
        /// SHA-256 of the contents.
        found: String,
        /// SHA-256 by the manifest.
        expected: String,
    },
    /// A file that is whole, but not what its name says.
    #[error("{file}: {reason}")]
    Contents {
        /// The name of the file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of tensors that is whole, but not of this network.
    #[error("{file}: {reason}")]
    Tensors {
        /// The name of the file.
        file: String,
        /// What is wrong with it.
        reason: CheckpointError,
    },
    /// It is a checkpoint of another run.
    #[error(transparent)]
    OtherRun(#[from] ResumeError),
    /// There is something of its name.
    #[error("there is something of this name already")]
    Exists,
    /// The state that was to be saved is of no use.
    #[error("not written: '{tensor}' has a value that is infinite or NaN")]
    NonFinite {
        /// The first tensor with such a value.
        tensor: String,
    },
    /// Another run writes its checkpoints to the folder.
    #[error("another run is writing its checkpoints to it")]
    InUse,
    /// The folder has no checkpoint.
    #[error("there is no checkpoint in it")]
    NoCheckpoint,
}

impl FolderError {
    /// The error of the checkpoint in the folder `path`.
    pub(super) fn at(self, path: &Path) -> Error {
        Error::Folder { path: path.to_path_buf(), reason: Box::new(self) }
    }

    /// `file` cannot be read.
    pub(super) fn read(file: &str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Read { file: file.to_string(), source }
    }

    /// `file` cannot be written.
    pub(super) fn write(file: &str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Write { file: file.to_string(), source }
    }

    /// Whether the checkpoint is damaged or incomplete, so that another one of the run may do. It is not if
    /// it is whole, but of another run.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Read { .. }
            | Self::Manifest { .. }
            | Self::Length { .. }
            | Self::Digest { .. }
            | Self::Contents { .. } => true,
            Self::Write { .. }
            | Self::Format { .. }
            | Self::Tensors { .. }
            | Self::OtherRun(_)
            | Self::Exists
            | Self::NonFinite { .. }
            | Self::InUse
            | Self::NoCheckpoint => false,
        }
    }
}

/// What differs between a saved run and the one that is to go on with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the saved run has the {what} {}, this run has {}", plain(found), plain(expected))]
#[non_exhaustive]
pub struct ResumeError {
    /// What differs.
    pub what: String,
    /// That of the saved run.
    pub found: String,
    /// That of this run.
    pub expected: String,
}

/// A value that a run need not have, without Rust's words for that.
fn plain(value: &str) -> &str {
    let some = value.strip_prefix("Some(").and_then(|value| value.strip_suffix(')'));
    if value == "None" { "none" } else { some.unwrap_or(value) }
}

impl ResumeError {
    /// Checks that all names in `expected` have the same values in `found`.
    pub(crate) fn compare(found: &[(String, String)], expected: &[(String, String)]) -> Result<(), Self> {
        for (what, expected) in expected {
            let found =
                found.iter().find(|(name, _)| name == what).map_or("none", |(_, value)| value.as_str());
            if found != expected {
                let [what, found, expected] = [what, found, expected.as_str()].map(str::to_string);
                return Err(Self { what, found, expected });
            }
        }
        Ok(())
    }
}
