//! The folder of a run, with its checkpoints.
//!
//! ```text
//! runs/a/epoch-0003-step-00001407/    a checkpoint after the third epoch
//! runs/a/epoch-0003-step-00001500/    one in the fourth epoch
//! runs/a/last -> epoch-0003-step-00001500
//! runs/a/best -> epoch-0003-step-00001407
//! runs/a/.lock                        locked while a run writes to the folder
//! ```

use super::folder::{PART, parent, put_in_place, sync};
use super::manifest;
use super::{FolderError, RunInfo};
use crate::error::Error;
use crate::logger::{is_locked, unlock};
use crate::train::Snapshot;
use isograd_kernels::Element;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The names of the links to the newest and to the best checkpoint.
const LAST: &str = "last";
const BEST: &str = "best";
const LOCK: &str = ".lock";

/// The folder of a run, which no other run writes to meanwhile.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    keep: usize,
    /// Locked; the system unlocks it when the process ends, however it does.
    lock: File,
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        unlock(&self.lock);
    }
}

impl RunFolder {
    /// Opens the folder at `path`, or creates it, to keep the `keep` newest checkpoints in it, at least one,
    /// and the best one. What killed writers have left is removed.
    ///
    /// # Errors
    ///
    /// [`Error::Folder`] when another run writes to it ([`FolderError::InUse`]), or when it cannot be
    /// written.
    pub fn open(path: &Path, keep: usize) -> Result<Self, Error> {
        let open = || {
            fs::create_dir_all(path).map_err(FolderError::write("it"))?;
            let lock = File::options().create(true).truncate(false).write(true).open(path.join(LOCK));
            let lock = lock.map_err(FolderError::write(LOCK))?;
            match lock.try_lock() {
                Err(TryLockError::WouldBlock) => return Err(FolderError::InUse),
                // Some file systems have no locks.
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            Ok(lock)
        };
        let lock = open().map_err(|error| error.at(path))?;
        remove_parts(path);
        Ok(Self { path: path.to_path_buf(), keep: keep.max(1), lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The checkpoints in the run folder at `path`, the newest first; whether they are whole is not looked
    /// at. If `path` is itself a checkpoint, it alone.
    ///
    /// # Errors
    ///
    /// [`Error::Folder`] when the folder cannot be read, or has no checkpoint.
    pub fn checkpoints(path: &Path) -> Result<Vec<PathBuf>, Error> {
        if path.join(manifest::NAME).exists() {
            return Ok(vec![path.to_path_buf()]);
        }
        let list = || {
            let entries = fs::read_dir(path).map_err(FolderError::read("it"))?;
            let mut found: Vec<_> = entries
                .flatten()
                .filter_map(|entry| Some((place_of(entry.file_name().to_str()?)?, entry.path())))
                .collect();
            if found.is_empty() {
                return Err(FolderError::NoCheckpoint);
            }
            found.sort_by(|a, b| b.cmp(a));
            Ok(found.into_iter().map(|(_, path)| path).collect())
        };
        list().map_err(|error| error.at(path))
    }

    /// The checkpoint to use of the run folder at `path`: the best one, where the run has one, or else the
    /// newest. If `path` is itself a checkpoint, it.
    ///
    /// # Errors
    ///
    /// As [`checkpoints`](Self::checkpoints).
    pub fn to_use(path: &Path) -> Result<PathBuf, Error> {
        let mut all = Self::checkpoints(path)?;
        let best = path.join(BEST);
        // Where there are no links, there is a file with the name.
        let named = fs::read_to_string(&best).ok().map(|name| path.join(name.trim()));
        let best = named.unwrap_or(best);
        Ok(if best.join(manifest::NAME).exists() { best } else { all.swap_remove(0) })
    }

    /// Whether `path` is the folder of a run with checkpoints.
    pub fn has_checkpoints(path: &Path) -> bool {
        Self::checkpoints(path).is_ok()
    }

    /// Whether a run writes to the folder at `path` now; `None` if that cannot be known, as where no run with
    /// checkpoints has written to it or the file system has no locks.
    pub fn is_in_use(path: &Path) -> Option<bool> {
        is_locked(&File::open(path.join(LOCK)).ok()?)
    }

    /// The run folder of the checkpoints that [`checkpoints`](Self::checkpoints) finds at `path`.
    pub fn of(path: &Path) -> PathBuf {
        match path.join(manifest::NAME).exists() {
            // A link, as `last`, lies in the run folder as what it leads to does.
            true => parent(path).to_path_buf(),
            false => path.to_path_buf(),
        }
    }

    /// Writes a checkpoint of `snapshot`, makes it the last one, and removes the oldest ones. If it
    /// `is_best`, it becomes the best one. What was there before stays if it fails.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::write`].
    pub fn write<T: Element>(
        &self,
        snapshot: &Snapshot<T>,
        info: &RunInfo,
        is_best: bool,
    ) -> Result<PathBuf, Error> {
        let name = name_of(snapshot);
        let checkpoint = self.path.join(&name);
        let write = || {
            let part = snapshot.write_part(&self.path, info)?;
            // There is one of this name where a run goes on from an older checkpoint than its last one.
            let old = self.set_aside(&checkpoint).map_err(FolderError::write("it"))?;
            put_in_place(part, &checkpoint).map_err(FolderError::write("it"))?;
            drop(old);
            if is_best {
                self.link(BEST, &name).map_err(FolderError::write(BEST))?;
            }
            self.link(LAST, &name).map_err(FolderError::write(LAST))
        };
        write().map_err(|error| error.at(&checkpoint))?;
        self.remove_old(&checkpoint);
        Ok(checkpoint)
    }

    /// Makes the newest checkpoint the best one.
    ///
    /// # Errors
    ///
    /// [`Error::Folder`] when that cannot be written.
    pub fn mark_best(&self) -> Result<(), Error> {
        let newest = Self::checkpoints(&self.path)?.swap_remove(0);
        let name = newest.file_name().and_then(|name| name.to_str()).expect("a name that was parsed");
        self.link(BEST, name).map_err(|source| FolderError::write(BEST)(source).at(&self.path))
    }

    /// Moves what is at `checkpoint` to a hidden folder, which is removed when it is dropped.
    fn set_aside(&self, checkpoint: &Path) -> io::Result<Option<tempfile::TempDir>> {
        if checkpoint.symlink_metadata().is_err() {
            return Ok(None);
        }
        let mut builder = tempfile::Builder::new();
        let aside = builder.prefix(PART[0]).suffix(PART[1]).tempdir_in(&self.path)?;
        fs::rename(checkpoint, aside.path().join("old"))?;
        Ok(Some(aside))
    }

    /// Lets the link `link` lead to the checkpoint `name`, in one move.
    fn link(&self, link: &str, name: &str) -> io::Result<()> {
        #[cfg(unix)]
        {
            let new = self.path.join(format!("{}{link}{}", PART[0], PART[1]));
            let _ = fs::remove_file(&new);
            std::os::unix::fs::symlink(name, &new)?;
            fs::rename(&new, self.path.join(link))?;
            sync(&self.path);
        }
        #[cfg(not(unix))]
        fs::write(self.path.join(link), name)?;
        Ok(())
    }

    /// Removes all checkpoints but the newest, the best, and the one that was `written` just now: where a run
    /// goes on from an older checkpoint, as its newest is damaged, that one is not among the newest. What
    /// cannot be removed stays: it only takes space.
    fn remove_old(&self, written: &Path) {
        let best = fs::canonicalize(self.path.join(BEST)).ok();
        let Ok(checkpoints) = Self::checkpoints(&self.path) else { return };
        for checkpoint in checkpoints.into_iter().skip(self.keep).filter(|checkpoint| checkpoint != written) {
            if best.is_none() || fs::canonicalize(&checkpoint).ok() != best {
                // Under its hidden name first: a part of a checkpoint must not look like one.
                let _ = self.set_aside(&checkpoint);
            }
        }
    }
}

/// `epoch-0003-step-00001407`: the epochs that have ended, and the steps.
fn name_of<T>(snapshot: &Snapshot<T>) -> String {
    format!("epoch-{:04}-step-{:08}", snapshot.run.epoch, snapshot.run.step)
}

/// The step and the epoch that [`name_of`] has put into `name`: of two checkpoints, the later one has the
/// greater ones.
fn place_of(name: &str) -> Option<(u64, u32)> {
    let (epoch, step) = name.strip_prefix("epoch-")?.split_once("-step-")?;
    Some((step.parse().ok()?, epoch.parse().ok()?))
}

/// Removes what killed writers have left in the run folder `path`, which is locked.
fn remove_parts(path: &Path) {
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_part = name.to_str().is_some_and(|name| name.starts_with(PART[0]) && name.ends_with(PART[1]));
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_part {
            let _ = if is_folder { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_two_checkpoints_has_the_greater_place() {
        let places = ["epoch-0003-step-00001407", "epoch-0004-step-00001407", "epoch-0004-step-00001500"];
        let places = places.map(|name| place_of(name).expect("a checkpoint's name"));
        assert!(places.is_sorted() && places[0] == (1407, 3), "{places:?}");
        for name in ["epoch-3", "last", "epoch-x-step-1", ".isograd-aaaaaa.part"] {
            assert_eq!(place_of(name), None, "{name}");
        }
    }
}
