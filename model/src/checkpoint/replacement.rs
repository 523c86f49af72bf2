//! A file that replaces another file as a whole, or not at all.

use std::fs::{Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf, is_separator};
use tempfile::{Builder, NamedTempFile};

/// Name of a file that is being written: this, six random letters or digits, and the suffix.
const PREFIX: &str = ".isograd-";
const SUFFIX: &str = ".part";
/// Where the JSON of a safetensors header begins, behind its length.
const JSON_START: usize = 8;

/// A new file, in the folder of the file that it is to replace. It is removed unless it is
/// [finished](Self::finish).
pub(super) struct Replacement {
    file: NamedTempFile,
    target: PathBuf,
    /// The permissions of the file that is to be replaced.
    permissions: Option<Permissions>,
}

impl Replacement {
    /// Begins to replace what `path` leads to: a regular file that may be written, or nothing.
    pub(super) fn begin(path: &Path) -> io::Result<Self> {
        let (target, old) = resolve(path)?;
        if target.file_name().is_none() || target.to_string_lossy().ends_with(is_separator) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it names no file"));
        }
        if let Some(old) = &old {
            check_kind(old)?;
            // Root could open it for writing nevertheless.
            if old.permissions().readonly() {
                return Err(io::Error::new(ErrorKind::PermissionDenied, "the file is read-only"));
            }
            OpenOptions::new().write(true).open(&target)?;
        }
        let folder = folder_of(&target);
        if !folder.is_dir() {
            return Err(io::Error::new(
                ErrorKind::NotFound,
                format!("there is no folder {}", folder.display()),
            ));
        }
        let file = new_part(folder)?;
        Ok(Self { file, target, permissions: old.map(|old| old.permissions()) })
    }

    /// Reserves space for `bytes` bytes, if the file system can do that.
    pub(super) fn reserve(&self, bytes: u64) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            use rustix::io::{Errno, retry_on_intr};
            match retry_on_intr(|| fallocate(self.file.as_file(), FallocateFlags::empty(), 0, bytes)) {
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = bytes;
        Ok(())
    }

    /// Waits until the whole file is on the disk, and replaces the old file by it.
    pub(super) fn finish(self) -> io::Result<()> {
        let Self { file, target, permissions } = self;
        if let Some(permissions) = permissions {
            file.as_file().set_permissions(permissions)?;
        }
        file.as_file().sync_all()?;
        file.persist(&target).map_err(|error| error.error)?;
        // This puts the new name on the disk, too. Some file systems cannot do that, and some users may not
        // open the folder; then the name leads to the whole old file or the whole new file after a crash.
        #[cfg(unix)]
        let _ = std::fs::File::open(folder_of(&target)).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

/// A new `.part` file in `folder`, locked as long as its writer lives.
fn new_part(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    // The permissions of any new file: those that the user's mask leaves.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    loop {
        let part = builder.tempfile_in(folder)?;
        match part.as_file().try_lock() {
            // Between its creation and its lock, another process may have taken the file for abandoned and
            // removed it.
            Ok(()) if part.path().exists() => return Ok(part),
            // A file system without locks: nobody can lock the file, so nobody removes it.
            Err(TryLockError::Error(_)) => return Ok(part),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
        }
    }
}

/// Removes the `.part` files of killed writers in the folder of the file that `path` leads to. What cannot be
/// removed stays: it only takes space.
pub(super) fn remove_abandoned(path: &Path) {
    let Ok((target, _)) = resolve(path) else { return };
    let Ok(entries) = std::fs::read_dir(folder_of(&target)) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(is_part_name) {
            let _ = remove_if_abandoned(&entry.path());
        }
    }
}

/// Whether `name` is one that [`new_part`] gives: six letters or digits between prefix and suffix.
fn is_part_name(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    random.is_some_and(|random| random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Removes the file at `path` if it is the unfinished work of a killed writer: a regular file that nobody has
/// locked, and that is empty or begins as a checkpoint or with the zeros of reserved space. A user's own file
/// of such a name begins otherwise.
fn remove_if_abandoned(path: &Path) -> io::Result<()> {
    // Opening a pipe might not end, and what a link leads to is not a file of this folder.
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Ok(());
    }
    // Some network file systems lock only files that are open for writing.
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    if file.try_lock().is_err() {
        return Ok(());
    }
    let mut start = Vec::new();
    Read::by_ref(&mut file).take(JSON_START as u64 + 2).read_to_end(&mut start)?;
    let is_zero = start.iter().all(|byte| *byte == 0);
    if is_zero || start.get(JSON_START..) == Some(b"{\"") {
        // Still locked: a writer that has just made the file, and not locked it yet, makes another one.
        std::fs::remove_file(path)?;
    }
    Ok(())
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Refuses what is no regular file.
pub(super) fn check_kind(metadata: &Metadata) -> io::Result<()> {
    match metadata.file_type() {
        kind if kind.is_file() => Ok(()),
        kind if kind.is_dir() => Err(ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file")),
    }
}

/// What `path` leads to through symbolic links, and what is there.
fn resolve(path: &Path) -> io::Result<(PathBuf, Option<Metadata>)> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok((std::fs::canonicalize(path)?, Some(metadata))),
        Err(error) if error.kind() == ErrorKind::NotFound => match std::fs::read_link(path) {
            // A link to what does not exist yet; the system has followed it before, so it ends.
            Ok(next) => resolve(&path.parent().unwrap_or(Path::new("")).join(next)),
            Err(_) => Ok((path.to_path_buf(), None)),
        },
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
    }

    #[test]
    fn a_replacement_that_is_not_finished_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("file");
        std::fs::write(&target, "old").expect("a file");
        let mut replacement = Replacement::begin(&target).expect("a file that can be replaced");
        replacement.write_all(b"ne").expect("room");
        assert_eq!(names(folder.path()).len(), 2);
        drop(replacement);
        assert_eq!(names(folder.path()), ["file"]);
        assert_eq!(std::fs::read(&target).expect("a file"), b"old");
    }

    #[test]
    fn a_replacement_that_finds_its_place_taken_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("file");
        let replacement = Replacement::begin(&target).expect("a file that can be put there");
        std::fs::create_dir_all(target.join("inside")).expect("a folder");
        assert!(replacement.finish().is_err());
        assert_eq!(names(folder.path()), ["file"]);
        assert_eq!(names(&target), ["inside"]);
    }
}
