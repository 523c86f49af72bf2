//! A checkpoint: a folder with everything that the next step of a run depends on.
//!
//! ```text
//! manifest.json           lengths and SHA-256 of all other files, and its own
//! run.json                epoch, step, place in the epoch, configuration, and what the caller tells
//! model.safetensors       parameters and running statistics, as `save` writes them
//! averages.safetensors    the same of their averages, if there are any
//! optimizer.safetensors   what the optimizer keeps: `slot1.conv2d1.weight`, …
//! progress.bin            sums over the samples of the open epoch, and the states of callbacks
//! ```

use super::manifest::{self, Manifest, Noted};
use super::run_info::RunInfo;
use super::{FolderError, ResumeError, fill, list, open, open_tensors, write_state, write_values};
use crate::error::Error;
use crate::layer::Tensor;
use crate::train::{RunState, Snapshot, Trainer};
use isograd_kernels::Element;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// The files of a checkpoint beside the manifest.
pub(super) const RUN: &str = "run.json";
pub(super) const MODEL: &str = "model.safetensors";
pub(super) const AVERAGES: &str = "averages.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const PROGRESS: &str = "progress.bin";

/// What the name of a folder that is being written begins and ends with.
pub(super) const PART: [&str; 2] = [".isograd-", ".part"];

/// The contents of `run.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RunFile {
    pub(super) run: RunState,
    /// Network and configuration.
    pub(super) configuration: Vec<(String, String)>,
    pub(super) info: RunInfo,
}

impl RunFile {
    pub(super) fn read(folder: &Path) -> Result<Self, FolderError> {
        let contents = |error: serde_json::Error| {
            let (file, reason) = (RUN.to_string(), error.to_string());
            FolderError::Contents { file, reason }
        };
        let open = File::open(folder.join(RUN)).map_err(FolderError::read(RUN))?;
        serde_json::from_reader(BufReader::new(open)).map_err(contents)
    }
}

impl<T: Element> Snapshot<T> {
    /// Writes a checkpoint: a new folder `folder`, which is there with all its files or not at all. They are
    /// written to a hidden folder beside it, `.isograd-….part`, which gets its name when all of it is on the
    /// disk. A failure leaves nothing; a process that is killed leaves its hidden folder.
    ///
    /// # Errors
    ///
    /// [`Error::Folder`] when there is something of this name, when the folder cannot be written, or when a
    /// parameter or a running statistic is infinite or NaN.
    pub fn write(&self, folder: &Path, info: &RunInfo) -> Result<(), Error> {
        let write = || {
            if folder.symlink_metadata().is_ok() {
                return Err(FolderError::Exists);
            }
            let part = self.write_part(parent(folder), info)?;
            put_in_place(part, folder).map_err(FolderError::write("it"))
        };
        write().map_err(|error| error.at(folder))
    }

    /// Writes a checkpoint to a new hidden folder in `parent`.
    pub(super) fn write_part(&self, parent: &Path, info: &RunInfo) -> Result<PartFolder, FolderError> {
        if let Some(tensor) = self.first_non_finite() {
            return Err(FolderError::NonFinite { tensor: tensor.to_string() });
        }
        let part = PartFolder::begin(parent).map_err(FolderError::write("it"))?;
        let mut manifest = Manifest::new();
        let mut file = |name: &str, write: &dyn Fn(&mut Writer) -> io::Result<()>| {
            let line = write_file(&part.0, name, write).map_err(FolderError::write(name))?;
            manifest.files.insert(name.to_string(), line);
            Ok::<_, FolderError>(())
        };
        let tensors = [self.tensors.parameters.as_slice(), &self.tensors.statistics];
        file(MODEL, &|to| write_state(to, info, tensors, &self.state))?;
        if let Some(average) = self.average.as_ref().filter(|_| self.run.average_steps > 0) {
            file(AVERAGES, &|to| write_state(to, info, tensors, average))?;
        }
        let slots = self.slot_tensors();
        if !slots.is_empty() {
            file(OPTIMIZER, &|to| {
                let names: Vec<&Tensor> = slots.iter().map(|(_, tensor)| tensor).collect();
                to.write_all(&super::header::encode::<T>(&RunInfo::new(&info.model), &names)?)?;
                let mut values = slots.iter().map(|(slot, tensor)| &self.slots[*slot][tensor.range.clone()]);
                values.try_for_each(|values| write_values(to, values))
            })?;
        }
        file(PROGRESS, &|to| to.write_all(&self.run.numbers()))?;
        let run = RunFile { run: self.run.clone(), configuration: self.facts.clone(), info: info.clone() };
        file(RUN, &|to| Ok(serde_json::to_writer_pretty(to, &run)?))?;
        let text = manifest.text();
        write_file(&part.0, manifest::NAME, &|to| to.write_all(text.as_bytes()))
            .map_err(FolderError::write(manifest::NAME))?;
        sync(&part.0);
        Ok(part)
    }

    /// Reads the checkpoint in `folder`, and checks that it is one of the run of `trainer` and `info`.
    ///
    /// # Errors
    ///
    /// [`Error::Folder`] when it cannot be read, is damaged, or is of a run with another network, another
    /// configuration, or other data; [`Error::OutOfMemory`].
    pub fn read(folder: &Path, info: &RunInfo, trainer: &Trainer<T>) -> Result<Self, Error> {
        let mut snapshot = Self::zeroed(trainer)?;
        snapshot.fill(folder, info).map_err(|error| error.at(folder))?;
        Ok(snapshot)
    }

    fn fill(&mut self, folder: &Path, info: &RunInfo) -> Result<(), FolderError> {
        let manifest = Manifest::read(folder)?;
        manifest.check(folder, RUN)?;
        let file = RunFile::read(folder)?;
        // What is of another run is said to be so, rather than damaged.
        ResumeError::compare(&file.configuration, &self.facts)?;
        ResumeError::compare(&file.info.facts(), &info.facts())?;
        manifest.files.keys().try_for_each(|name| manifest.check(folder, name))?;
        let listed = |name: &str| match manifest.files.contains_key(name) {
            true => Ok(()),
            false => Err(FolderError::Manifest { reason: format!("it does not list {name}") }),
        };

        self.run = file.run;
        listed(PROGRESS)?;
        let mut numbers = Vec::new();
        open(&folder.join(PROGRESS))
            .map_err(|error| io::Error::other(error.to_string()))
            .and_then(|mut file| file.read_to_end(&mut numbers))
            .map_err(FolderError::read(PROGRESS))?;
        self.run.set_numbers(&numbers).ok_or_else(|| FolderError::Contents {
            file: PROGRESS.to_string(),
            reason: "other sums or other callbacks than in run.json".to_string(),
        })?;

        let tensors = [self.tensors.parameters.as_slice(), &self.tensors.statistics];
        listed(MODEL)?;
        read_state(
            folder,
            MODEL,
            &info.model,
            tensors,
            [&mut self.state.params, &mut self.state.statistics],
        )?;
        if let Some(average) = self.average.as_mut().filter(|_| self.run.average_steps > 0) {
            listed(AVERAGES)?;
            let values = [&mut average.params[..], &mut average.statistics];
            read_state(folder, AVERAGES, &info.model, tensors, values)?;
        }
        let slots = self.slot_tensors();
        if !slots.is_empty() {
            listed(OPTIMIZER)?;
            let names: Vec<&Tensor> = slots.iter().map(|(_, tensor)| tensor).collect();
            let (mut file, starts) = open_tensors::<T>(&folder.join(OPTIMIZER), &info.model, &names)
                .map_err(|reason| FolderError::Tensors { file: OPTIMIZER.to_string(), reason })?;
            for ((slot, tensor), start) in slots.iter().zip(starts) {
                fill(&mut file, std::slice::from_ref(tensor), &[start], &mut self.slots[*slot])
                    .map_err(FolderError::read(OPTIMIZER))?;
            }
        }
        Ok(())
    }

    /// What the optimizer keeps: the number of each slot, and its tensor under a name of its own.
    fn slot_tensors(&self) -> Vec<(usize, Tensor)> {
        let mut all = Vec::new();
        for (tensor, slots) in self.tensors.parameters.iter().zip(&self.tensors.slots) {
            for slot in 0..*slots {
                let name = format!("slot{}.{}", slot + 1, tensor.name);
                all.push((slot, Tensor { name, ..tensor.clone() }));
            }
        }
        all
    }
}

/// Reads a file of parameters and running statistics.
fn read_state<T: Element>(
    folder: &Path,
    name: &str,
    model: &str,
    tensors: [&[Tensor]; 2],
    values: [&mut [T]; 2],
) -> Result<(), FolderError> {
    let (mut file, starts) = open_tensors::<T>(&folder.join(name), model, &list(tensors))
        .map_err(|reason| FolderError::Tensors { file: name.to_string(), reason })?;
    let (parameters, statistics) = starts.split_at(tensors[0].len());
    for ((tensors, starts), values) in tensors.into_iter().zip([parameters, statistics]).zip(values) {
        fill(&mut file, tensors, starts, values).map_err(FolderError::read(name))?;
    }
    Ok(())
}

type Writer = Noted<BufWriter<File>>;

/// Writes a file of a checkpoint to the disk. Returns its line of the manifest.
fn write_file(
    folder: &Path,
    name: &str,
    write: &dyn Fn(&mut Writer) -> io::Result<()>,
) -> io::Result<manifest::FileInfo> {
    let mut to = Noted::new(BufWriter::with_capacity(1 << 20, File::create_new(folder.join(name))?));
    write(&mut to)?;
    let (buffer, info) = to.finish();
    buffer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(info)
}

/// A hidden folder that is being written. It is removed unless it is [put in its place](put_in_place).
pub(super) struct PartFolder(PathBuf);

impl PartFolder {
    fn begin(parent: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PART[0]).suffix(PART[1]);
        // The permissions of any new folder: those that the user's mask leaves.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        Ok(Self(builder.tempdir_in(parent)?.keep()))
    }
}

impl Drop for PartFolder {
    fn drop(&mut self) {
        // It is not there any more when it has been put in its place.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Gives a folder that is whole its name.
pub(super) fn put_in_place(part: PartFolder, folder: &Path) -> io::Result<()> {
    std::fs::rename(&part.0, folder)?;
    sync(parent(folder));
    Ok(())
}

/// Brings the names in `folder` to the disk. Some file systems cannot do that; then a checkpoint may be
/// missing after a crash of the machine, but no part of one.
pub(super) fn sync(folder: &Path) {
    #[cfg(unix)]
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

pub(super) fn parent(folder: &Path) -> &Path {
    folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
