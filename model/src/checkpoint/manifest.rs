//! The manifest of a checkpoint: which files it has, their lengths and their digests, and its own digest. So
//! a checkpoint that is torn or changed, be it by a single bit, is known as such.

use super::{FolderError, open};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;

/// The name of its file.
pub(super) const NAME: &str = "manifest.json";
/// The format of checkpoints that this version writes and reads.
const FORMAT: u32 = 1;
/// What the line of its own digest begins and ends with. It is the last one, and the digest that of all
/// above.
const DIGEST_START: &str = "  \"sha256\": \"";
const DIGEST_END: &str = "\"\n}\n";
/// Characters of a SHA-256 in hexadecimal.
const DIGEST_LEN: usize = 64;
/// More bytes than any manifest has.
const MOST_BYTES: u64 = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    written_by: String,
    pub(super) files: BTreeMap<String, FileInfo>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FileInfo {
    bytes: u64,
    sha256: String,
}

impl Manifest {
    /// The manifest of a checkpoint without files.
    pub(super) fn new() -> Self {
        let written_by = concat!("isograd ", env!("CARGO_PKG_VERSION")).to_string();
        Self { format: FORMAT, written_by, files: BTreeMap::new() }
    }

    /// Its text.
    pub(super) fn text(&self) -> String {
        let body = serde_json::to_string_pretty(self).expect("a table of names and numbers");
        let above = format!("{},\n", body.strip_suffix("\n}").expect("the end of a table"));
        let digest = hex(&Sha256::digest(&above));
        format!("{above}{DIGEST_START}{digest}{DIGEST_END}")
    }

    /// Reads that of the checkpoint in `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, FolderError> {
        let read = || {
            let mut text = Vec::new();
            open(&folder.join(NAME)).map_err(io_error)?.take(MOST_BYTES).read_to_end(&mut text)?;
            Ok(text)
        };
        let text = read().map_err(FolderError::read(NAME))?;
        let damaged = |reason: &str| FolderError::Manifest { reason: reason.to_string() };
        let tail = DIGEST_START.len() + DIGEST_LEN + DIGEST_END.len();
        let place = text.len().checked_sub(tail).ok_or_else(|| damaged("it is too short"))?;
        let (above, below) = text.split_at(place);
        let expected = format!("{DIGEST_START}{}{DIGEST_END}", hex(&Sha256::digest(above)));
        if below != expected.as_bytes() {
            return Err(damaged("its last line is not its own digest"));
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| damaged(&error.to_string()))?;
        if manifest.format != FORMAT {
            let (found, writer) = (manifest.format, manifest.written_by);
            return Err(FolderError::Format { found, writer, known: FORMAT });
        }
        Ok(manifest)
    }

    /// Checks that `file` in `folder` is what the manifest says.
    pub(super) fn check(&self, folder: &Path, file: &str) -> Result<(), FolderError> {
        let Some(info) = self.files.get(file) else {
            return Err(FolderError::Manifest { reason: format!("it does not list {file}") });
        };
        // A name with a separator would lead elsewhere.
        if Path::new(file).file_name().is_none_or(|name| name != file) {
            return Err(FolderError::Manifest { reason: format!("it lists {file:?}") });
        }
        let digest = || {
            let mut open = open(&folder.join(file)).map_err(io_error)?;
            let (mut hash, mut all, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
            // A byte more than expected is enough to know that the file is too long.
            while all <= info.bytes {
                let bytes = open.read(&mut buffer)?;
                if bytes == 0 {
                    break;
                }
                all += bytes as u64;
                hash.update(&buffer[..bytes]);
            }
            Ok((if all > info.bytes { open.metadata()?.len() } else { all }, hex(&hash.finalize())))
        };
        let (file, expected) = (file.to_string(), info.sha256.clone());
        let (bytes, found) = digest().map_err(FolderError::read(&file))?;
        if bytes != info.bytes {
            return Err(FolderError::Length { file, found: bytes, expected: info.bytes });
        }
        if found != expected {
            return Err(FolderError::Digest { file, found, expected });
        }
        Ok(())
    }
}

/// The cause of what [`open`] says.
fn io_error(error: super::CheckpointError) -> io::Error {
    match error {
        super::CheckpointError::Read(source) => source,
        other => io::Error::other(other.to_string()),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes to a file, and notes length and digest.
pub(super) struct Noted<W> {
    to: W,
    bytes: u64,
    hash: Sha256,
}

impl<W: Write> Noted<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, bytes: 0, hash: Sha256::new() }
    }

    /// The file, and its line of the manifest.
    pub(super) fn finish(self) -> (W, FileInfo) {
        (self.to, FileInfo { bytes: self.bytes, sha256: hex(&self.hash.finalize()) })
    }
}

impl<W: Write> Write for Noted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.bytes += written as u64;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
