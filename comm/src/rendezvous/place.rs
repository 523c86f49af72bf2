//! Where the group meets: rank 0 opens the place, the other ranks look for it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::host_port::HostPort;
use super::meeting::Place;
use crate::error::{Error, FileError, RendezvousError};
use crate::key::{Key, random, read_private, write_private};

/// The first line of a meeting file.
const TITLE: &str = "isograd meeting 1";
/// Longer than any meeting file, in bytes.
const FILE_LIMIT: u64 = 256;
/// How many connections the operating system keeps for a listener that is busy.
const BACKLOG: i32 = 1024;

/// What rank 0 keeps open until all ranks have come.
pub(super) struct Opened {
    /// One or more.
    pub(super) listeners: Vec<TcpListener>,
    pub(super) key: Key,
    /// Removed when dropped.
    pub(super) file: Option<MeetingFile>,
}

/// Listens at the place, and at other addresses of this host.
pub(super) fn open(place: &Place, others: &[SocketAddr]) -> Result<Opened, Error> {
    match place {
        Place::Address { address, key } => {
            let mut listeners = vec![listen_at(address)?];
            let own = address_of(listeners[0].local_addr())?;
            for other in others.iter().filter(|other| **other != own) {
                let failed = |source| Error::io(format!("listen at {other}"), source);
                listeners.push(listen(*other).map_err(failed)?);
            }
            Ok(Opened { listeners, key: key.clone(), file: None })
        }
        Place::File(path) => {
            let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
                .map_err(|source| Error::io("listen at 127.0.0.1", source))?;
            let key = Key::generate()?;
            let file = MeetingFile::write(path, address_of(listener.local_addr())?, &key)?;
            Ok(Opened { listeners: vec![listener], key, file: Some(file) })
        }
        #[cfg(feature = "mpi")]
        Place::Mpi(_) => unreachable!("ranks of MPI need no listener"),
    }
}

/// The address of a socket.
pub(super) fn address_of(address: io::Result<SocketAddr>) -> Result<SocketAddr, Error> {
    address.map_err(|source| Error::io("ask for the address of a socket", source))
}

/// A nonblocking listener.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn listen_at(address: &str) -> Result<TcpListener, Error> {
    let unresolved =
        |error: io::Error| RendezvousError::Resolve { address: address.into(), reason: error.to_string() };
    for candidate in HostPort::parse(address)?.resolve().map_err(unresolved)? {
        match listen(candidate) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => (),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(RendezvousError::PortInUse { address: address.into() }.into());
            }
            Err(error) => return Err(Error::io(format!("listen at {address} ({candidate})"), error)),
        }
    }
    Err(RendezvousError::NotLocal { address: address.into() }.into())
}

/// The file by which the ranks of one user on one host meet. It holds the address of rank 0 and the key.
pub(super) struct MeetingFile {
    path: PathBuf,
    /// The device and inode of the file that we wrote.
    identity: (u64, u64),
}

impl MeetingFile {
    fn write(path: &Path, address: SocketAddr, key: &Key) -> Result<Self, Error> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{:016x}", u64::from_le_bytes(random()?)));
        let beside = PathBuf::from(beside);
        write_private(&beside, format!("{TITLE}\n{address}\n{}\n", key.to_hex()).as_bytes())?;
        let placed = identity(&beside).and_then(|identity| fs::rename(&beside, path).map(|()| identity));
        match placed {
            Ok(identity) => Ok(Self { path: path.to_owned(), identity }),
            Err(source) => {
                // The first error is the one to report.
                let _ = fs::remove_file(&beside);
                check_entry(path)?;
                Err(Error::io(format!("create {}", path.display()), source))
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
    use super::*;
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
    fn addresses_that_cannot_be_met_at() {
        let key = Key::from_bytes([0; 32]);
        let open = |address: &str| {
            open(&Place::Address { address: address.into(), key: key.clone() }, &[]).map(|_| ()).unwrap_err()
        };
        let error = open("127.0.0.1");
        assert!(matches!(error, Error::Rendezvous(RendezvousError::Resolve { .. })), "{error}");
        // A network for documentation: no interface should have its addresses.
        let error = open("198.51.100.77:29500");
        assert!(matches!(error, Error::Rendezvous(RendezvousError::NotLocal { .. })), "{error}");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let error = open(&address);
        assert!(matches!(error, Error::Rendezvous(RendezvousError::PortInUse { .. })), "{error}");
        assert_eq!(
            error.to_string(),
            format!("rendezvous at {address}: the port is in use by another process")
        );
    }
}
