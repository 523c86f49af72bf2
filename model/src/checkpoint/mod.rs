//! Parameters and running statistics in safetensors files, and whole runs in folders.
//!
//! A file holds each tensor under its name (`conv2d1.weight`), little-endian, and the network's name under
//! the metadata key `model`. What else is known of the network, such as the names of its classes and what its
//! input goes through, is under the key `isograd`. Any safetensors reader can open it.
//!
//! A folder holds all that a run needs to go on: see [`Snapshot::write`](crate::Snapshot::write).

mod error;
mod folder;
mod folder_error;
mod header;
mod import;
mod input_info;
mod manifest;
mod replacement;
mod run_folder;
mod run_info;
mod saved;
mod state_dict;

pub use error::{CheckpointError, ShapeMismatch};
pub use folder_error::{FolderError, ResumeError};
pub use import::{ImportReport, Unmatched, import};
pub use input_info::{InputInfo, InputSize};
pub use run_folder::RunFolder;
pub use run_info::RunInfo;
pub use saved::SavedNetwork;

use crate::error::Error;
use crate::layer::Tensor;
use crate::network::{Network, State};
use header::Contents;
use isograd_kernels::Element;
use replacement::Replacement;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Elements that are turned into bytes, or back, at a time.
const CHUNK: usize = 1 << 14;

/// Writes `state` of a network called `model` to `path`.
///
/// It first writes a new file `.isograd-….part` in the same folder, which replaces the old file when all of
/// it is on the disk. After a crash, `path` is the old file or the new file, never half of one; a failure
/// leaves nothing new. A process that is killed leaves its `.part` file, which the next call that saves to
/// the same folder removes. A `.part` file whose writer lives stays.
///
/// A symbolic link at `path` is followed. The permissions of a file that is replaced stay as they are.
///
/// What the optimizer keeps is not saved: a run that is to go on needs a
/// [`Trainer::save`](crate::Trainer::save).
///
/// # Errors
///
/// When the file cannot be written, when what is at `path` is no regular file, or when that file is
/// read-only.
///
/// # Panics
///
/// When `state` is that of a network with other parameters.
pub fn save<T: Element>(
    path: &Path,
    model: &str,
    network: &Network<T>,
    state: &State<T>,
) -> Result<(), Error> {
    save_described(path, &RunInfo::new(model), network, state)
}

/// As [`save`], with what `info` tells of the network: its input, its output and the names of its classes.
///
/// # Errors
///
/// As `save`.
///
/// # Panics
///
/// As `save`.
pub fn save_described<T: Element>(
    path: &Path,
    info: &RunInfo,
    network: &Network<T>,
    state: &State<T>,
) -> Result<(), Error> {
    state.assert_fits(network);
    let write = || -> io::Result<()> {
        replacement::remove_abandoned(path);
        let mut file = Replacement::begin(path)?;
        write_state(&mut file, info, [network.parameters(), network.statistics()], state)?;
        file.finish()
    };
    write().map_err(|source| CheckpointError::Write(source).at(path))
}

/// Checks that [`save`] can write a state of `network` to `path`: that a new file can be made there, and on
/// Linux that there is enough space for it, if the file system can tell. Changes nothing.
///
/// # Errors
///
/// As `save`.
pub fn check_save<T: Element>(path: &Path, model: &str, network: &Network<T>) -> Result<(), Error> {
    let rehearse = || -> io::Result<()> {
        let tensors = list([network.parameters(), network.statistics()]);
        let header = header::encode::<T>(&RunInfo::new(model), &tensors)?;
        let data_bytes = header::data_bytes::<T>(&tensors)?;
        Replacement::begin(path)?.reserve((header.len() as u64).saturating_add(data_bytes))
    };
    rehearse().map_err(|source| CheckpointError::Write(source).at(path))
}

/// The state of a network called `model` in the file at `path`.
///
/// Memory is taken only for what the file is known to hold: its header is first compared with the network and
/// with the file's length.
///
/// # Errors
///
/// When the file cannot be read, is not a whole safetensors file, is of another model, or when a tensor is
/// missing, unexpected, or of another shape or element type.
pub fn load<T: Element>(path: &Path, model: &str, network: &Network<T>) -> Result<State<T>, Error> {
    let tensors = list([network.parameters(), network.statistics()]);
    let (mut file, starts) = open_tensors::<T>(path, model, &tensors).map_err(|e| e.at(path))?;
    let mut state = State::zeroed(network)?;
    let (parameters, statistics) = starts.split_at(network.parameters().len());
    fill(&mut file, network.parameters(), parameters, &mut state.params)
        .and_then(|()| fill(&mut file, network.statistics(), statistics, &mut state.statistics))
        .map_err(|source| CheckpointError::Read(source).at(path))?;
    Ok(state)
}

/// Writes a file of `state`, whose parameters and running statistics are `tensors`.
fn write_state<T: Element>(
    file: &mut impl Write,
    info: &RunInfo,
    tensors: [&[Tensor]; 2],
    state: &State<T>,
) -> io::Result<()> {
    file.write_all(&header::encode::<T>(info, &list(tensors))?)?;
    write_values(file, state.params())?;
    write_values(file, state.statistics())
}

/// Parameters, then running statistics, in layer order.
fn list(tensors: [&[Tensor]; 2]) -> Vec<&Tensor> {
    tensors.into_iter().flatten().collect()
}

/// Writes `values`, little-endian.
fn write_values<T: Element>(file: &mut impl Write, values: &[T]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(CHUNK.min(values.len()) * size_of::<T>());
    for values in values.chunks(CHUNK) {
        bytes.clear();
        values.iter().for_each(|value| bytes.extend_from_slice(value.to_le_bytes().as_ref()));
        file.write_all(&bytes)?;
    }
    Ok(())
}

/// Opens a file of `tensors` of a network called `model`, and finds where the data of each begin.
fn open_tensors<T: Element>(
    path: &Path,
    model: &str,
    tensors: &[&Tensor],
) -> Result<(File, Vec<u64>), CheckpointError> {
    let mut file = open(path)?;
    let starts = Contents::read(&mut file, model, tensors)?.starts::<T>(model, tensors)?;
    Ok((file, starts))
}

/// Opens a regular file. A pipe or a device is refused, since reading it might never end.
fn open(path: &Path) -> Result<File, CheckpointError> {
    let metadata = std::fs::metadata(path).map_err(CheckpointError::Read)?;
    replacement::check_kind(&metadata).map_err(CheckpointError::Read)?;
    File::open(path).map_err(CheckpointError::Read)
}

/// Overwrites the values of `tensors`, the bytes of which begin at `starts`.
fn fill<T: Element>(file: &mut File, tensors: &[Tensor], starts: &[u64], values: &mut [T]) -> io::Result<()> {
    let mut bytes = vec![0; CHUNK * size_of::<T>()];
    for (tensor, start) in tensors.iter().zip(starts) {
        file.seek(SeekFrom::Start(*start))?;
        for values in values[tensor.range.clone()].chunks_mut(CHUNK) {
            let bytes = &mut bytes[..size_of_val(values)];
            file.read_exact(bytes)?;
            for (value, bytes) in values.iter_mut().zip(bytes.chunks_exact(size_of::<T>())) {
                *value = T::from_le_bytes(bytes);
            }
        }
    }
    Ok(())
}
