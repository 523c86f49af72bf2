//! The npz format of numpy: a zip file of npy files.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use zip::ZipArchive;
use zip::read::ZipFile;

use super::npy::{self, Header, Tensor};
use crate::{Error, FileError, FormatError};

/// The most bytes that deflate (RFC 1951) makes of one.
const MAX_EXPANSION: u64 = 1032;

pub(super) type Archive = ZipArchive<BufReader<File>>;

/// Opens a zip file.
pub(super) fn archive(path: &Path) -> Result<Archive, Error> {
    let file = || path.display().to_string();
    let failure = |reason| FileError::Io { file: file(), reason };
    // Before the file is opened: opening a pipe waits until somebody writes to it.
    if !path.metadata().map_err(failure)?.is_file() {
        return Err(FileError::NotAFile { file: file() }.into());
    }
    let source = BufReader::new(File::open(path).map_err(failure)?);
    ZipArchive::new(source).map_err(|error| malformed(path, &format!("is no npz file: {error}")).into())
}

/// Reads the arrays whose names are `wanted`.
pub(crate) fn read(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<Tensor>, Error> {
    let mut archive = archive(path)?;
    let mut tensors = Vec::new();
    for index in 0..archive.len() {
        let mut member = member(path, &mut archive, index)?;
        let Some(name) = array_name(&member).filter(|name| wanted(name)) else { continue };
        let bytes = checked_size(path, &name, &member)?;
        let tensor = npy::read(&name, &mut member, bytes);
        tensors.push(tensor.map_err(|problem| malformed(path, &format!("array '{name}' {problem}")))?);
    }
    Ok(tensors)
}

/// The names of all arrays.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, Error> {
    let mut archive = archive(path)?;
    let mut names = Vec::new();
    for index in 0..archive.len() {
        names.extend(array_name(&member(path, &mut archive, index)?));
    }
    Ok(names)
}

/// The header of the array in a member, and the member's name.
pub(super) fn header(
    path: &Path,
    member: &mut ZipFile<'_, BufReader<File>>,
) -> Result<Option<(String, Header)>, Error> {
    let Some(name) = array_name(member) else { return Ok(None) };
    let header = Header::read(member);
    let header = header.map_err(|problem| malformed(path, &format!("array '{name}' {problem}")))?;
    Ok(Some((name, header)))
}

/// Member `index` of an archive.
pub(super) fn member<'a>(
    path: &Path,
    archive: &'a mut Archive,
    index: usize,
) -> Result<ZipFile<'a, BufReader<File>>, Error> {
    archive.by_index(index).map_err(|error| malformed(path, &format!("is damaged: {error}")).into())
}

/// The unpacked length of a member, which its packed one can hold.
fn checked_size(path: &Path, name: &str, member: &ZipFile<'_, BufReader<File>>) -> Result<u64, FormatError> {
    let (size, packed) = (member.size(), member.compressed_size());
    if size > packed.saturating_mul(MAX_EXPANSION) {
        let problem = format!("array '{name}' claims {size} bytes, {packed} packed ones hold fewer");
        return Err(malformed(path, &problem));
    }
    Ok(size)
}

/// The name of the array in a member, without `.npy`.
fn array_name(member: &ZipFile<'_, BufReader<File>>) -> Option<String> {
    let name = member.name().ok()?;
    name.strip_suffix(".npy").map(str::to_string)
}

pub(super) fn malformed(path: &Path, problem: &str) -> FormatError {
    FormatError::Malformed { file: path.display().to_string(), problem: problem.to_string() }
}
