//! Files that are there whole at any time: the old one, or the new one.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// Writes `text` to the file at `path` in one move. What is there and no file, as a pipe, is written to.
pub(crate) fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    if path.metadata().is_ok_and(|file| !file.is_file()) {
        return OpenOptions::new().write(true).open(path)?.write_all(text);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".isograd-").suffix(".part");
    // As any new file, for others to read unless the user's mask says otherwise.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(text)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for text in ["one", "two"] {
            write(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert!(write(folder.path(), b"").is_err());
        assert!(write(&folder.path().join("missing/a"), b"").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
