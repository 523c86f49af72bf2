//! The secret of a job: every process that has it may join, and no other.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::error::{Error, FileError};

/// What editors write before text in UTF-8, and in the two kinds of UTF-16.
const BYTE_ORDER_MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];

/// The 32 random bytes that prove membership in a job.
///
/// A key file holds them as 64 hexadecimal digits and a newline, and is open to its owner only. `Debug` does
/// not show the bytes, and there is no `Display`.
///
/// ```
/// use isograd_comm::Key;
/// let folder = std::env::temp_dir().join(format!("isograd-key-{}", std::process::id()));
/// std::fs::create_dir(&folder)?;
/// Key::create_file(folder.join("key"))?;
/// Key::read_file(folder.join("key"))?;
/// assert!(Key::create_file(folder.join("key")).is_err(), "a key is never overwritten");
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// A new key from the operating system's random numbers.
    ///
    /// # Errors
    ///
    /// When the operating system gives none.
    pub fn generate() -> Result<Self, Error> {
        random().map(Self)
    }

    /// The key of these bytes, which must have come from a cryptographic random generator.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Writes a new key into a new file of mode 0600.
    ///
    /// # Errors
    ///
    /// When the file exists already, or cannot be written.
    pub fn create_file(path: impl AsRef<Path>) -> Result<(), Error> {
        let mut line = Self::generate()?.to_hex();
        line.push('\n');
        write_private(path.as_ref(), line.as_bytes())
    }

    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, belongs to another user, is open to the group or to others, or holds
    /// anything but 64 hexadecimal digits, with or without a newline after them.
    pub fn read_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = read_private(path, 65)?;
        if BYTE_ORDER_MARKS.iter().any(|mark| text.starts_with(mark)) {
            return Err(FileError::ByteOrderMark { file: path.to_owned() }.into());
        }
        let digits = text.strip_suffix(b"\n").unwrap_or(&text);
        Self::from_hex(digits).ok_or_else(|| {
            Error::File(FileError::Content {
                file: path.to_owned(),
                expected: "a key: 64 hexadecimal digits and a newline",
            })
        })
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn from_hex(digits: &[u8]) -> Option<Self> {
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = (high * 16 + low) as u8;
        }
        Some(Self(bytes))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Bytes that nobody can guess, from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|source| Error::io("draw random numbers", source.into()))?;
    Ok(bytes)
}

/// Writes a new file that only its owner may open.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), Error> {
    create_private(path)?.write_all(content).map_err(|source| cannot_create(path, source))
}

/// Makes a new, empty file that only its owner may open.
pub(crate) fn create_private(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.map_err(|source| cannot_create(path, source))
}

/// The error for a file that cannot be made or filled.
pub(crate) fn cannot_create(path: &Path, source: io::Error) -> Error {
    Error::io(format!("create {}", path.display()), source)
}

/// Reads a file of at most `limit` bytes, and one byte more of a longer one; refuses a file that others can
/// have read or written.
pub(crate) fn read_private(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::io(format!("read {}", path.display()), source);
    // Nonblocking: opening a pipe of this name would otherwise wait for its writer.
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(FileError::Type { file: path.to_owned() }.into());
    }
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(Error::File(FileError::Owner { file: path.to_owned(), owner: metadata.uid(), user }));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::File(FileError::Mode { file: path.to_owned(), mode }));
    }
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_file_holds_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        Key::create_file(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.len(), 65);
        let key = Key::read_file(&path).unwrap();
        assert_eq!(format!("{}\n", key.to_hex()), text);
        assert_ne!(key.bytes(), Key::generate().unwrap().bytes());
        assert_eq!(format!("{key:?}"), "Key(..)");
    }

    #[test]
    fn an_existing_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "precious").unwrap();
        let error = Key::create_file(&path).unwrap_err();
        assert!(
            matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists)
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn files_open_to_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        Key::create_file(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601, 0o644] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = Key::read_file(&path).unwrap_err();
            assert!(
                matches!(error, Error::File(FileError::Mode { mode: found, .. }) if found == mode),
                "{mode:o}: {error}"
            );
        }
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        Key::read_file(&path).unwrap();
    }

    #[test]
    fn files_of_another_length_or_alphabet_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let hex = "0123456789abcdefABCDEF0123456789".repeat(2);
        let texts = [
            String::new(),
            hex[1..].to_owned(),
            format!("{hex}0"),
            format!("{hex}\n\n"),
            format!("{}g\n", &hex[1..]),
            hex.repeat(100),
        ];
        for (i, text) in texts.iter().enumerate() {
            let path = folder.path().join(i.to_string());
            write_private(&path, text.as_bytes()).unwrap();
            let error = Key::read_file(&path).unwrap_err();
            assert!(matches!(error, Error::File(FileError::Content { .. })), "{text:?}: {error}");
        }
        for mark in BYTE_ORDER_MARKS {
            let path = folder.path().join(format!("{mark:?}"));
            write_private(&path, &[mark, hex.as_bytes(), b"\n"].concat()).unwrap();
            let expected = "it begins with a byte-order mark; save it as UTF-8 without one";
            let error = Key::read_file(&path).unwrap_err().to_string();
            assert_eq!(error, format!("{}: {expected}", path.display()));
        }
        let path = folder.path().join("good");
        write_private(&path, hex.as_bytes()).unwrap();
        assert_eq!(Key::read_file(&path).unwrap().to_hex(), hex.to_lowercase());
        let error = Key::read_file(folder.path()).unwrap_err();
        assert!(matches!(error, Error::File(FileError::Type { .. })), "{error}");
    }
}
