//! A file that takes another one's place as a whole, or not at all.

use std::fs::{Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf, is_separator};
use tempfile::{Builder, NamedTempFile};

/// A new file, in the folder of the one that it is to replace; removed if it does not come to that.
pub(super) struct Replacement {
    file: NamedTempFile,
    target: PathBuf,
    /// Those of the file that is to be replaced.
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
            // Root may write it all the same.
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
        let mut builder = Builder::new();
        builder.prefix(".isograd-").suffix(".part");
        // As of any new file: what the user's mask leaves of them.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder)?;
        Ok(Self { file, target, permissions: old.map(|old| old.permissions()) })
    }

    /// Takes room for `bytes` bytes, if the file system can tell beforehand whether there is any.
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

    /// Puts the file in its place, once all of it is on the disk.
    pub(super) fn finish(self) -> io::Result<()> {
        let Self { file, target, permissions } = self;
        if let Some(permissions) = permissions {
            file.as_file().set_permissions(permissions)?;
        }
        file.as_file().sync_all()?;
        file.persist(&target).map_err(|error| error.error)?;
        // So that the name is on the disk, too. Not every file system can, nor may everybody open the folder; the name then
        // still is that of a whole file, the old one or the new one.
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
