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
        /// Length of the length of the header, the header, and the data that it tells of; without the data if
        /// the file ends before them.
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
    /// A header that is longer than that of any file of the network.
    #[error(
        "not a checkpoint of model '{model}': the header has {header_bytes} bytes, that of its {tensors} tensors has at most \
         {most_bytes}"
    )]
    LongHeader {
        /// The model.
        model: String,
        /// Tensors of the network.
        tensors: usize,
        /// Length of the header.
        header_bytes: u64,
        /// The longest header that is read.
        most_bytes: u64,
    },
    /// Tensors of other names than the network has.
    #[error("{}", describe_names(missing, *missing_count, unexpected, *unexpected_count, prefix.as_deref()))]
    OtherTensors {
        /// The first ten tensors of the network that the file does not have, in layer order.
        missing: Vec<String>,
        /// How many tensors of the network the file does not have.
        missing_count: usize,
        /// The first ten tensors of the file that the network does not have, in the order of their names.
        unexpected: Vec<String>,
        /// How many tensors of the file the network does not have.
        unexpected_count: usize,
        /// What the names of all missing tensors have in front of them in the file, if they do.
        prefix: Option<String>,
    },
    /// Tensors of other shapes than the network's.
    #[error("{}", describe_shapes(first, *count))]
    OtherShapes {
        /// The first ten, in layer order.
        first: Vec<ShapeMismatch>,
        /// How many there are.
        count: usize,
    },
    /// A file that does not tell which network it is of.
    #[error("{reason}")]
    UnknownNetwork {
        /// What is missing.
        reason: String,
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

/// A tensor that has another shape in a file than in the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeMismatch {
    /// Its name.
    pub tensor: String,
    /// Its dimensions in the file.
    pub found: Vec<usize>,
    /// Its dimensions in the network.
    pub expected: Vec<usize>,
}

impl CheckpointError {
    /// Whether the file is a whole checkpoint, but of another network or of another element type.
    pub fn is_mismatch(&self) -> bool {
        match self {
            Self::Read(_)
            | Self::Write(_)
            | Self::NotSafetensors { .. }
            | Self::Broken { .. }
            | Self::UnknownNetwork { .. } => false,
            Self::LongHeader { .. }
            | Self::OtherModel { .. }
            | Self::OtherTensors { .. }
            | Self::OtherShapes { .. }
            | Self::OtherType { .. } => true,
        }
    }

    /// The error of the file at `path`.
    pub(super) fn at(self, path: &Path) -> Error {
        Error::Checkpoint { path: path.to_path_buf(), reason: Box::new(self) }
    }
}

/// The shapes of some tensors, and how many more there are.
fn describe_shapes(first: &[ShapeMismatch], count: usize) -> String {
    let describe = |ShapeMismatch { tensor, found, expected }: &ShapeMismatch| {
        format!("tensor '{tensor}' is {found:?}, expected {expected:?}")
    };
    let list = first.iter().map(describe).collect::<Vec<_>>().join("; ");
    let more = count - first.len();
    if more > 0 { format!("{list}; and {more} more tensors of other shapes") } else { list }
}

/// What is missing, what is there instead, and the way out where all that differs is a prefix.
fn describe_names(
    missing: &[String],
    missing_count: usize,
    unexpected: &[String],
    unexpected_count: usize,
    prefix: Option<&str>,
) -> String {
    let list = |names: &[String], count: usize| {
        let names: Vec<_> = names.iter().map(|name| format!("'{name}'")).collect();
        let more = count - names.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", names.join(", "))
    };
    let tensors = |count: usize| if count == 1 { "1 tensor".to_string() } else { format!("{count} tensors") };
    let found = list(unexpected, unexpected_count);
    let mut text = match (missing_count, unexpected_count) {
        (0, count) => format!("{} that the network does not have: {found}", tensors(count)),
        (count, 0) => format!("{} missing: {}", tensors(count), list(missing, count)),
        (count, _) => {
            format!("{} missing: {}; in the file instead: {found}", tensors(count), list(missing, count))
        }
    };
    if let Some(prefix) = prefix {
        let origin = match prefix {
            "module." => ", which PyTorch's DataParallel adds",
            "_orig_mod." => ", which torch.compile adds",
            _ => "",
        };
        text +=
            &format!("; the names in the file begin with '{prefix}'{origin}: save the tensors without it");
    }
    text
}
