//! The npz format of numpy: a zip file of npy files.

use std::path::Path;

use super::npy::{self, Header, Tensor};
use super::zip::{Archive, Entry, Member};
use crate::{Error, FileError, FormatError};

/// The most bytes that deflate (RFC 1951) makes of one.
const MAX_EXPANSION: u64 = 1032;

/// Opens a zip file.
pub(super) fn archive(path: &Path) -> Result<Archive, Error> {
    let file = || path.display().to_string();
    let failure = |reason| FileError::Io { file: file(), reason };
    // Before the file is opened: opening a pipe waits until somebody writes to it.
    if !path.metadata().map_err(failure)?.is_file() {
        return Err(FileError::NotAFile { file: file() }.into());
    }
    Archive::open(path).map_err(|problem| malformed(path, &format!("is no npz file: {problem}")).into())
}

/// Reads the arrays whose names are `wanted`.
pub(crate) fn read(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<Tensor>, Error> {
    let mut archive = archive(path)?;
    let mut tensors = Vec::new();
    for entry in archive.entries.clone() {
        let Some(name) = array_name(&entry).filter(|name| wanted(name)) else { continue };
        let bytes = checked_size(path, name, &entry)?;
        let tensor = npy::read(name, &mut member(path, &mut archive, &entry)?, bytes);
        tensors.push(tensor.map_err(|problem| malformed(path, &format!("array '{name}' {problem}")))?);
    }
    Ok(tensors)
}

/// The names of all arrays.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, Error> {
    Ok(archive(path)?.entries.iter().filter_map(array_name).map(str::to_string).collect())
}

/// The header of the array `name` in a member.
pub(super) fn header(path: &Path, archive: &mut Archive, entry: &Entry, name: &str) -> Result<Header, Error> {
    let header = Header::read(&mut member(path, archive, entry)?);
    Ok(header.map_err(|problem| malformed(path, &format!("array '{name}' {problem}")))?)
}

/// The contents of a member.
pub(super) fn member<'a>(
    path: &Path,
    archive: &'a mut Archive,
    entry: &Entry,
) -> Result<Member<'a>, FormatError> {
    archive.member(entry).map_err(|problem| malformed(path, &format!("is damaged: {problem}")))
}

/// The unpacked length of a member, which its packed one can hold.
fn checked_size(path: &Path, name: &str, entry: &Entry) -> Result<u64, FormatError> {
    let (size, packed) = (entry.bytes, entry.packed_bytes);
    if size > packed.saturating_mul(MAX_EXPANSION) {
        let problem = format!("array '{name}' claims {size} bytes, {packed} packed ones hold fewer");
        return Err(malformed(path, &problem));
    }
    Ok(size)
}

/// The name of the array in a member, without `.npy`.
pub(super) fn array_name(entry: &Entry) -> Option<&str> {
    entry.name.strip_suffix(".npy")
}

pub(super) fn malformed(path: &Path, problem: &str) -> FormatError {
    FormatError::Malformed { file: path.display().to_string(), problem: problem.to_string() }
}
