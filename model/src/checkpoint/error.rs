//! What can be wrong with a file of parameters.

use crate::error::Error;
use std::io;
use std::path::Path;

/// Why a file of parameters cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file cannot be opened or read.
    #[error("cannot read: {0}")]
    Read(io::Error),
    /// The file cannot be written, or not be put in its place.
    #[error("cannot write: {0}")]
    Write(io::Error),
    /// The file does not begin with the header of a safetensors file.
    #[error("not a safetensors file: {reason}")]
    NotSafetensors {
        /// Why not.
        reason: String,
    },
    /// The file has another length than its header says.
    #[error(
        "broken: the file has {file_bytes} bytes, by its header (of {header_bytes} bytes) it should have {expected_bytes}"
    )]
    Broken {
        /// Length of the file.
        file_bytes: u64,
        /// Length of the header.
        header_bytes: u64,
        /// Length of the length of the header, the header, and the data that it tells of; without the data if the file ends
        /// before them.
        expected_bytes: u64,
    },
    /// A checkpoint of another model.
    #[error("a checkpoint of model '{found}', not of '{expected}'")]
    OtherModel {
        /// The model that the file names.
        found: String,
        /// The one that was to be loaded.
        expected: String,
    },
    /// More or fewer tensors than the network has.
    #[error("{found} tensors, model '{model}' has {expected}")]
    TensorCount {
        /// The model.
        model: String,
        /// Tensors of the file.
        found: usize,
        /// Tensors of the network.
        expected: usize,
    },
    /// A tensor of the network that the file does not have.
    #[error("tensor '{tensor}' is missing")]
    MissingTensor {
        /// Its name.
        tensor: String,
    },
    /// A tensor of another shape.
    #[error("tensor '{tensor}' is {found:?}, expected {expected:?}")]
    OtherShape {
        /// Its name.
        tensor: String,
        /// Its dimensions in the file.
        found: Vec<usize>,
        /// Its dimensions in the network.
        expected: Vec<usize>,
    },
    /// A tensor of another element type.
    #[error("tensor '{tensor}' is {found}, expected {expected}")]
    OtherType {
        /// Its name.
        tensor: String,
        /// Its element type in the file, as safetensors calls it: `F32`, `F64`, …
        found: String,
        /// The network's element type.
        expected: String,
    },
}

impl CheckpointError {
    /// Whether the file is a whole checkpoint, but of another network or of another element type.
    pub fn is_mismatch(&self) -> bool {
        match self {
            Self::Read(_) | Self::Write(_) | Self::NotSafetensors { .. } | Self::Broken { .. } => false,
            Self::OtherModel { .. }
            | Self::TensorCount { .. }
            | Self::MissingTensor { .. }
            | Self::OtherShape { .. }
            | Self::OtherType { .. } => true,
        }
    }

    /// The error of the file at `path`.
    pub(super) fn at(self, path: &Path) -> Error {
        Error::Checkpoint { path: path.to_path_buf(), reason: Box::new(self) }
    }
}
