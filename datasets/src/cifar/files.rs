//! Where the files of CIFAR lie: in a folder or in an archive.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::{Set, Split};
use crate::gzip::{self, GzipReader};
use crate::{Error, FileError, FormatError, tar};

/// More than any file of CIFAR has: 154 MB.
const MAX_BYTES: u64 = 1 << 29;

/// The files of a set.
pub(super) enum Files {
    Folder(PathBuf),
    /// A tar archive, perhaps in gzip.
    Archive(PathBuf),
}

impl Files {
    /// Finds the files of `set` at `path`.
    pub(super) fn find(path: &Path, set: Set) -> Result<Self, FormatError> {
        let first = set.files(Split::Test)[0];
        let folders = [path.to_owned(), path.join(set.folder())];
        if let Some(folder) = folders.into_iter().find(|folder| folder.join(first).is_file()) {
            return Ok(Self::Folder(folder));
        }
        let archive = path.join(set.archive());
        if archive.is_file() {
            return Ok(Self::Archive(archive));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_file() && (name.ends_with(".tar.gz") || name.ends_with(".tgz") || name.ends_with(".tar")) {
            return Ok(Self::Archive(path.to_owned()));
        }
        Err(FormatError::Unrecognised {
            path: path.to_owned(),
            problem: "has no files of CIFAR".to_string(),
            looked_for: format!("{first}, {}/{first}, {}", set.folder(), set.archive()),
        })
    }

    /// Reads the files `names`, and what errors call them, in that order.
    pub(super) fn read(&self, names: &[&str]) -> Result<Vec<(String, Vec<u8>)>, Error> {
        match self {
            Self::Folder(folder) => names.iter().map(|name| read_file(&folder.join(name))).collect(),
            Self::Archive(archive) => {
                let mut found = read_archive(archive, names)?;
                let take = |(name, found): (&&str, &mut Option<Vec<u8>>)| {
                    let file = format!("{} in {}", name, archive.display());
                    match found.take() {
                        Some(bytes) => Ok((file, bytes)),
                        None => Err(FormatError::Malformed {
                            file: archive.display().to_string(),
                            problem: format!("has no file {name}"),
                        }
                        .into()),
                    }
                };
                names.iter().zip(&mut found).map(take).collect()
            }
        }
    }

    /// Reads the file `name` if it is there.
    pub(super) fn read_if_there(&self, name: &str) -> Result<Option<(String, Vec<u8>)>, Error> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                path.is_file().then(|| read_file(&path)).transpose()
            }
            Self::Archive(archive) => {
                let found = read_archive(archive, &[name])?.remove(0);
                Ok(found.map(|bytes| (format!("{name} in {}", archive.display()), bytes)))
            }
        }
    }
}

fn read_file(path: &Path) -> Result<(String, Vec<u8>), Error> {
    let file = path.display().to_string();
    let failure = |reason| FileError::Io { file: file.clone(), reason };
    let length = fs::metadata(path).map_err(failure)?.len();
    if length > MAX_BYTES {
        let problem = format!("has {length} bytes, a file of CIFAR has at most {MAX_BYTES}");
        return Err(FormatError::Malformed { file, problem }.into());
    }
    let bytes = fs::read(path).map_err(failure)?;
    Ok((file, bytes))
}

/// Reads the members of an archive that are called `names`, in whatever folder.
fn read_archive(path: &Path, names: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let file = || path.display().to_string();
    let failure = |reason: io::Error| FormatError::Malformed {
        file: file(),
        problem: format!("is no archive that can be read: {reason}"),
    };
    let source = File::open(path).map_err(|reason| FileError::Io { file: file(), reason })?;
    let mut source = BufReader::with_capacity(1 << 16, source);
    let is_packed = io::BufRead::fill_buf(&mut source).map_err(failure)?.starts_with(&gzip::MAGIC);
    let source: Box<dyn Read> = if is_packed { Box::new(GzipReader::new(source)) } else { Box::new(source) };
    let mut archive = tar::Archive::streamed(source);
    let mut found: Vec<Option<Vec<u8>>> = names.iter().map(|_| None).collect();
    while let Some(member) = archive.next().map_err(failure)? {
        let name = member.name.rsplit('/').next().unwrap_or_default();
        let Some(place) = names.iter().position(|wanted| *wanted == name) else { continue };
        let contents = archive.read(&member, MAX_BYTES).map_err(|error| {
            let problem = match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    format!("{name} is truncated: expected {} bytes", member.bytes)
                }
                _ => format!("{name} cannot be read: {error}"),
            };
            FormatError::Malformed { file: file(), problem }
        })?;
        found[place] = Some(contents);
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    Ok(found)
}
