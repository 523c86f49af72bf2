//! Files that are there whole at any time: the old one, or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Writes `bytes` to the file at `path` in one move, as [`write_with`] does.
pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    write_with(path, |file| file.write_all(bytes.as_ref()))
}

/// Lets `write` write a new file, which takes the place of the one that `path` leads to when it is whole.
/// What is there and no file, as a pipe, is written to, and so is a file in whose folder none can be made.
pub(crate) fn write_with(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    // A file that may not be written is not replaced either.
    let old = match OpenOptions::new().write(true).open(path) {
        Ok(mut old) => match old.metadata()? {
            found if found.is_file() => Some(found.permissions()),
            _ => return write(&mut old),
        },
        // A link to a file that is not there yet.
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
            return write(&mut File::create(path)?);
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // A link stays where it is.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".isograd-").suffix(".part");
    // As any new file, for others to read unless the user's mask says otherwise.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut new = match builder.tempfile_in(folder) {
        Ok(new) => new,
        Err(_) if old.is_some() => return write(&mut File::create(&path)?),
        Err(error) => return Err(error),
    };
    write(new.as_file_mut())?;
    if let Some(permissions) = old {
        new.as_file().set_permissions(permissions)?;
    }
    match new.persist(&path) {
        // A file that is mounted by itself, as into a container, has no folder to move in.
        Err(error) if error.error.kind() == ErrorKind::ResourceBusy => {
            fs::copy(error.file.path(), &path).map(|_| ())
        }
        outcome => outcome.map(|_| ()).map_err(|error| error.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for text in ["one", "two"] {
            write(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(write(folder.path(), "").is_err());
        assert!(write(&folder.path().join("missing/a"), "").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_stays_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "old").unwrap();
        let fails = |file: &mut File| -> io::Result<()> {
            file.write_all(b"ne")?;
            Err(ErrorKind::StorageFull.into())
        };
        assert_eq!(write_with(&path, fails).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn links_and_permissions_stay() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        symlink("file", &link).unwrap();
        write(&link, "new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        // A link to what is not there yet makes it.
        fs::remove_file(&file).unwrap();
        write(&link, "newer").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "newer");
    }
}
