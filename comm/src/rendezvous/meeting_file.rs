//! The file by which the ranks of one user on one host meet. It holds the address of rank 0 and the key.
//!
//! Rank 0 keeps its file locked. So the file of a process that was killed is known by its free lock, and the
//! next rank 0 that meets in the same folder removes it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, FileError};
use crate::key::{Key, cannot_create, create_private, random, read_private};

/// The first line of a meeting file.
const TITLE: &str = "isograd meeting 1";
/// Longer than any meeting file, in bytes.
const FILE_LIMIT: u64 = 256;

/// The file of this process. It is removed when this is dropped.
pub(super) struct MeetingFile {
    path: PathBuf,
    /// The device and inode of the file that we wrote.
    identity: (u64, u64),
    /// Open, so that its lock lives as long as this process.
    _locked: File,
}

impl MeetingFile {
    /// Writes the file at `path`, and removes those of killed processes from its folder.
    pub(super) fn write(path: &Path, address: SocketAddr, key: &Key) -> Result<Self, Error> {
        let beside = beside(path)?;
        let mut file = create_private(&beside)?;
        // Locked while it is empty: nobody takes an empty file for a meeting file. Where the file system has
        // no locks, nobody can take one, and abandoned files stay.
        let _ = file.try_lock();
        let content = format!("{TITLE}\n{address}\n{}\n", key.to_hex());
        let placed = file.write_all(content.as_bytes()).and_then(|()| {
            let identity = identity(&beside)?;
            fs::rename(&beside, path).map(|()| identity)
        });
        match placed {
            Ok(identity) => {
                remove_abandoned(path);
                Ok(Self { path: path.to_owned(), identity, _locked: file })
            }
            Err(source) => {
                // The first error is the one to report.
                let _ = fs::remove_file(&beside);
                check_entry(path)?;
                Err(cannot_create(path, source))
            }
        }
    }
}

impl Drop for MeetingFile {
    fn drop(&mut self) {
        // Another group may have put its own file here since; that file stays.
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// A name in the folder of `path` that no other file has.
fn beside(path: &Path) -> Result<PathBuf, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}", u64::from_le_bytes(random()?)));
    Ok(PathBuf::from(name))
}

/// Removes the meeting files of killed processes from the folder of `path`. What cannot be removed stays: it
/// harms nobody.
fn remove_abandoned(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = remove_if_abandoned(&entry.path());
    }
}

fn remove_if_abandoned(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::io(format!("remove {}", path.display()), source);
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    let user = rustix::process::geteuid().as_raw();
    let is_likely = metadata.is_file() && metadata.len() <= FILE_LIMIT && metadata.uid() == user;
    if !is_likely || metadata.mode() & 0o777 != 0o600 {
        return Ok(());
    }
    let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW).bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let opened = file.metadata().map_err(failed)?;
    let mut title = Vec::new();
    (&file).take(TITLE.len() as u64 + 1).read_to_end(&mut title).map_err(failed)?;
    if title.strip_suffix(b"\n") != Some(TITLE.as_bytes()) || file.try_lock().is_err() {
        return Ok(());
    }
    let aside = beside(path)?;
    fs::rename(path, &aside).map_err(failed)?;
    if identity(&aside).map_err(failed)? != (opened.dev(), opened.ino()) {
        // A new rank 0 took the name at this moment. It gets its file back, unless there is a newer one
        // still.
        let _ = fs::hard_link(&aside, path);
    }
    fs::remove_file(&aside).map_err(failed)
}

/// An error if something lies at `path` that cannot be a meeting file of this user. Another user has taken
/// the name in a folder that several users may write to, or another program has: waiting does not help.
fn check_entry(path: &Path) -> Result<(), Error> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let (file, owner, user) = (path.to_owned(), metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        return Err(FileError::Owner { file, owner, user }.into());
    }
    if !metadata.is_file() {
        return Err(FileError::Type { file }.into());
    }
    Ok(())
}

/// Reads a meeting file.
pub(super) fn read_meeting_file(path: &Path) -> Result<(SocketAddr, Key), Error> {
    check_entry(path)?;
    let content = read_private(path, FILE_LIMIT)?;
    let parse = || {
        let mut lines = str::from_utf8(&content).ok()?.lines();
        let title = lines.next()?;
        let address = lines.next()?.parse().ok()?;
        let key = Key::from_hex(lines.next()?.as_bytes())?;
        (title == TITLE && lines.next().is_none()).then_some((address, key))
    };
    parse().ok_or_else(|| {
        Error::File(FileError::Content {
            file: path.to_owned(),
            expected: "the address and key of a meeting",
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::meeting::Place;
    use super::super::place::open;
    use super::*;
    use crate::key::write_private;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_meeting_file_is_private_and_goes_with_its_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("meeting");
        let count = || fs::read_dir(folder.path()).unwrap().count();
        let opened = open(&Place::File(path.clone()), &[]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(count(), 1, "nothing is left beside it");
        let (address, key) = read_meeting_file(&path).unwrap();
        assert_eq!(address, opened.listeners[0].local_addr().unwrap());
        assert_eq!(key.bytes(), opened.key.bytes());

        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let error = read_meeting_file(&path).unwrap_err();
        assert!(matches!(error, Error::File(FileError::Mode { mode: 0o644, .. })), "{error}");
        drop(opened);
        assert_eq!(count(), 0);
    }

    #[test]
    fn the_file_of_a_newer_group_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("meeting");
        let older = open(&Place::File(path.clone()), &[]).unwrap();
        let newer = open(&Place::File(path.clone()), &[]).unwrap();
        drop(older);
        assert_eq!(read_meeting_file(&path).unwrap().0, newer.listeners[0].local_addr().unwrap());
    }

    #[test]
    fn an_unwritable_folder_is_one_error_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let error = open(&Place::File(folder.path().join("no/folder")), &[]).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        // A folder has the name: the file is written beside it, but cannot be renamed.
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        let error = open(&Place::File(path), &[]).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::File(FileError::Type { .. })), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn other_files_are_no_meeting() {
        let folder = tempfile::tempdir().unwrap();
        let key = "00".repeat(32);
        let texts = [
            String::new(),
            format!("{TITLE}\n127.0.0.1:1\n"),
            format!("{TITLE}\n127.0.0.1\n{key}\n"),
            format!("{TITLE}\n127.0.0.1:1\n{key}00\n"),
            format!("{TITLE}\n127.0.0.1:1\n{key}\nmore\n"),
            format!("{TITLE}0\n127.0.0.1:1\n{key}\n"),
        ];
        for (i, text) in texts.iter().enumerate() {
            let path = folder.path().join(i.to_string());
            write_private(&path, text.as_bytes()).unwrap();
            let error = read_meeting_file(&path).unwrap_err();
            assert!(matches!(error, Error::File(FileError::Content { .. })), "{text:?}: {error}");
        }
    }

    #[test]
    fn files_of_killed_processes_are_removed_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let key = Key::from_bytes([1; 32]);
        let live = MeetingFile::write(&path("live"), "127.0.0.1:1".parse().unwrap(), &key).unwrap();
        let content = fs::read(path("live")).unwrap();
        write_private(&path("killed"), &content).unwrap();
        write_private(&path("killed.0123456789abcdef"), &content).unwrap();
        // Some that only look alike.
        write_private(&path("other"), b"isograd meeting 10\n").unwrap();
        write_private(&path("long"), &[&content[..], &[b'x'; 256]].concat()).unwrap();
        fs::write(path("readable"), &content).unwrap();
        fs::set_permissions(path("readable"), Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(path("live"), path("link")).unwrap();
        fs::create_dir(path("folder")).unwrap();

        let new = MeetingFile::write(&path("new"), "127.0.0.1:2".parse().unwrap(), &key).unwrap();
        let names = || {
            let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names(), ["folder", "link", "live", "long", "new", "other", "readable"]);
        drop((live, new));
        assert_eq!(names(), ["folder", "link", "long", "other", "readable"]);
    }
}
