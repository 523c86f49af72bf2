//! Arrays in a safetensors file.

use std::fs;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use super::npy::{Element, Tensor};
use crate::{Error, FileError, FormatError};

/// The key of the metadata with the names of classes.
const CLASS_NAMES: &str = "class_names";

/// Reads all arrays of a file, and what its metadata says of the names of classes.
pub(crate) fn read(path: &Path) -> Result<(Vec<Tensor>, Option<String>), Error> {
    let file = || path.display().to_string();
    let failure = |reason| FileError::Io { file: file(), reason };
    if !path.metadata().map_err(failure)?.is_file() {
        return Err(FileError::NotAFile { file: file() }.into());
    }
    let bytes = fs::read(path).map_err(failure)?;
    let malformed = |problem: String| FormatError::Malformed { file: file(), problem };
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|error| malformed(format!("is no safetensors file: {error}")))?;
    let mut arrays = Vec::new();
    for (name, view) in tensors.iter() {
        let element = match view.dtype() {
            Dtype::U8 | Dtype::BOOL => Element::U8,
            Dtype::I8 => Element::Signed(1),
            Dtype::I16 => Element::Signed(2),
            Dtype::I32 => Element::Signed(4),
            Dtype::I64 => Element::Signed(8),
            Dtype::U16 => Element::Unsigned(2),
            Dtype::U32 => Element::Unsigned(4),
            Dtype::U64 => Element::Unsigned(8),
            Dtype::F32 => Element::F32,
            Dtype::F64 => Element::F64,
            other => {
                let problem = format!(
                    "array '{name}' has values of type {other:?}, expected whole numbers, F32 or F64"
                );
                return Err(malformed(problem).into());
            }
        };
        let dims = view.shape().to_vec();
        if dims.is_empty() {
            return Err(malformed(format!("array '{name}' is a single value")).into());
        }
        arrays.push(Tensor { name: name.to_string(), element, dims, bytes: view.data().to_vec() });
    }
    arrays.sort_by(|one, other| one.name.cmp(&other.name));
    let (_, metadata) = SafeTensors::read_metadata(&bytes)
        .map_err(|error| malformed(format!("is no safetensors file: {error}")))?;
    let names = metadata.metadata().as_ref().and_then(|metadata| metadata.get(CLASS_NAMES));
    Ok((arrays, names.cloned()))
}
