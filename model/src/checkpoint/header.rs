//! The header of a safetensors file: its length in 8 bytes, then a table in JSON of names, element types,
//! shapes and places.

use super::{CheckpointError, RunInfo, ShapeMismatch};
use crate::layer::Tensor;
use isograd_kernels::Element;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read};

/// The metadata key of the network's name.
pub(super) const MODEL: &str = "model";
/// The metadata key of what else is known of the network, in JSON.
const INFO: &str = "isograd";
/// Bytes of the header's length.
const LENGTH_BYTES: u64 = 8;
/// The longest header that readers of the format accept.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// The longest header of a network that is not known before it is read: that of some 100,000 tensors.
const MAX_ANY_HEADER_BYTES: u64 = 1 << 24;
/// Room in a header for what writers add beside the tensors: metadata, blanks.
const EXTRA_HEADER_BYTES: usize = 1 << 20;
/// The most bytes that a header keeps of what is known of the network beside its name.
const MAX_INFO_BYTES: usize = 1 << 18;
/// Tensors that an error lists.
pub(super) const LISTED: usize = 10;
/// Characters of a text from a file that an error quotes.
const QUOTED_CHARS: usize = 80;

/// The header of a file of `tensors` of the network that `info` tells of, with the length in front: in their
/// order and without gaps.
pub(super) fn encode<T: Element>(info: &RunInfo, tensors: &[&Tensor]) -> io::Result<Vec<u8>> {
    data_bytes::<T>(tensors)?;
    let mut end = 0;
    let entry = |tensor: &&Tensor| {
        let start = end;
        end += tensor.range.len() * size_of::<T>();
        let (dtype, shape) = (dtype::<T>(), tensor.dims.clone());
        (tensor.name.clone(), TensorInfo { dtype, shape, data_offsets: (start, end) })
    };
    let tensors = tensors.iter().map(entry).collect();
    let table = Metadata::new(None, tensors).expect("tensors without gaps, of their shapes' sizes");
    let table = serde_json::to_vec(&table).expect("a table of names and numbers");
    // Sorted, so that equal networks give equal files.
    let mut json = br#"{"__metadata__":"#.to_vec();
    serde_json::to_writer(&mut json, &metadata(info)).expect("texts");
    if table.len() > 2 {
        json.push(b',');
    }
    json.extend(&table[1..]);
    // The data begin at a multiple of 8.
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok([&(json.len() as u64).to_le_bytes(), json.as_slice()].concat())
}

/// What a file tells of its network.
fn metadata(info: &RunInfo) -> BTreeMap<&'static str, String> {
    let mut metadata = BTreeMap::from([(MODEL, info.model.clone())]);
    if info.input.is_some() || !info.class_names.is_empty() || !info.notes_of_use.is_empty() {
        // Not what belongs to a run, such as the names of files.
        let RunInfo { class_names, input, dataset, notes_of_use, .. } = info.clone();
        let told = RunInfo { class_names, input, dataset, notes_of_use, ..RunInfo::default() };
        let json = serde_json::to_string(&told).expect("texts and numbers");
        if json.len() <= MAX_INFO_BYTES {
            metadata.insert(INFO, json);
        }
    }
    metadata
}

/// Bytes of all `tensors`.
pub(super) fn data_bytes<T: Element>(tensors: &[&Tensor]) -> io::Result<u64> {
    let elements: u128 = tensors.iter().map(|tensor| tensor.range.len() as u128).sum();
    let bytes = elements * size_of::<T>() as u128;
    // Offsets are `usize`.
    usize::try_from(bytes).map(|bytes| bytes as u64).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

/// The table of tensors in a file whose length is what the table asks for.
pub(super) struct Contents {
    table: Metadata,
    /// Where the data begin.
    data_start: u64,
}

impl Contents {
    /// Reads the header of `file`, from its start, if it can be that of `tensors` of a network called
    /// `model`.
    pub(super) fn read(file: &mut File, model: &str, tensors: &[&Tensor]) -> Result<Self, CheckpointError> {
        // A table of millions of tensors would take much memory and time before it turns out to be that of
        // another network.
        let most_bytes = most_header_bytes(tensors);
        Self::read_checked(file, |header_bytes| match header_bytes > most_bytes {
            true => {
                let (model, tensors) = (model.to_string(), tensors.len());
                Err(CheckpointError::LongHeader { model, tensors, header_bytes, most_bytes })
            }
            false => Ok(()),
        })
    }

    /// Reads the header of `file`, from its start, whatever network it is of.
    pub(super) fn read_any(file: &mut File) -> Result<Self, CheckpointError> {
        Self::read_checked(file, |header_bytes| match header_bytes > MAX_ANY_HEADER_BYTES {
            true => {
                let reason = format!(
                    "its header has {header_bytes} bytes, that of a network at most {MAX_ANY_HEADER_BYTES}"
                );
                Err(CheckpointError::NotSafetensors { reason })
            }
            false => Ok(()),
        })
    }

    fn read_checked(
        file: &mut File,
        check: impl FnOnce(u64) -> Result<(), CheckpointError>,
    ) -> Result<Self, CheckpointError> {
        let file_bytes = file.metadata().map_err(CheckpointError::Read)?.len();
        let foreign = |reason| CheckpointError::NotSafetensors { reason };
        if file_bytes < LENGTH_BYTES {
            return Err(foreign(format!("it has {file_bytes} bytes")));
        }
        let mut length = [0; LENGTH_BYTES as usize];
        file.read_exact(&mut length).map_err(CheckpointError::Read)?;
        let header_bytes = u64::from_le_bytes(length);
        if header_bytes > MAX_HEADER_BYTES {
            return Err(foreign(format!("its header would have {header_bytes} bytes")));
        }
        let data_start = LENGTH_BYTES + header_bytes;
        let broken = |expected_bytes| CheckpointError::Broken { file_bytes, header_bytes, expected_bytes };
        if file_bytes < data_start {
            return Err(broken(data_start));
        }
        check(header_bytes)?;
        let mut json = vec![0; header_bytes as usize];
        file.read_exact(&mut json).map_err(CheckpointError::Read)?;
        let table: Metadata = serde_json::from_slice(&json).map_err(|e| foreign(quote(&e.to_string())))?;
        let expected_bytes = data_start.saturating_add(table.data_len() as u64);
        if file_bytes != expected_bytes {
            return Err(broken(expected_bytes));
        }
        Ok(Self { table, data_start })
    }

    /// What the file tells of its network.
    pub(super) fn info(&self) -> RunInfo {
        let metadata = self.table.metadata().as_ref();
        let told = metadata.and_then(|metadata| serde_json::from_str(metadata.get(INFO)?).ok());
        let model = metadata.and_then(|metadata| metadata.get(MODEL)).cloned().unwrap_or_default();
        RunInfo { model, ..told.unwrap_or_default() }
    }

    /// The tensor `name`: its element type, its shape, and where its data begin in the file.
    pub(super) fn tensor(&self, name: &str) -> Option<(Dtype, &[usize], u64)> {
        let info = self.table.info(name)?;
        Some((info.dtype, &info.shape, self.data_start + info.data_offsets.0 as u64))
    }

    /// The names of all tensors, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.table.tensors().into_keys().collect();
        names.sort_unstable();
        names
    }

    /// Where the data of each of `tensors` of a network called `model` begin in the file.
    pub(super) fn starts<T: Element>(
        &self,
        model: &str,
        tensors: &[&Tensor],
    ) -> Result<Vec<u64>, CheckpointError> {
        let named = self.table.metadata().as_ref().and_then(|metadata| metadata.get(MODEL));
        if let Some(found) = named.filter(|found| *found != model) {
            return Err(CheckpointError::OtherModel { found: quote(found), expected: model.to_string() });
        }
        self.check_names(tensors)?;
        self.check_shapes(tensors)?;
        tensors.iter().map(|tensor| self.start::<T>(tensor)).collect()
    }

    /// Checks that the file has `tensors` and no others, by their names.
    fn check_names(&self, tensors: &[&Tensor]) -> Result<(), CheckpointError> {
        let names = || tensors.iter().map(|tensor| tensor.name.as_str());
        let expected: HashSet<&str> = names().collect();
        let in_file = self.table.tensors();
        let missing: Vec<&str> = names().filter(|name| !in_file.contains_key(*name)).collect();
        let mut unexpected: Vec<&str> =
            in_file.keys().map(String::as_str).filter(|name| !expected.contains(name)).collect();
        if missing.is_empty() && unexpected.is_empty() {
            return Ok(());
        }
        unexpected.sort_unstable();
        let first = |names: &[&str]| names.iter().take(LISTED).map(|name| quote(name)).collect();
        Err(CheckpointError::OtherTensors {
            missing: first(&missing),
            missing_count: missing.len(),
            unexpected: first(&unexpected),
            unexpected_count: unexpected.len(),
            prefix: common_prefix(&missing, &unexpected).map(quote),
        })
    }

    /// Checks that all tensors have the shapes of `tensors`.
    fn check_shapes(&self, tensors: &[&Tensor]) -> Result<(), CheckpointError> {
        let mut mismatches = tensors.iter().filter_map(|tensor| {
            let found = &self.table.info(&tensor.name).expect("the names have been checked").shape;
            (*found != tensor.dims).then(|| ShapeMismatch {
                tensor: tensor.name.clone(),
                found: found.clone(),
                expected: tensor.dims.clone(),
            })
        });
        let first: Vec<_> = mismatches.by_ref().take(LISTED).collect();
        let count = first.len() + mismatches.count();
        if count == 0 { Ok(()) } else { Err(CheckpointError::OtherShapes { first, count }) }
    }

    fn start<T: Element>(&self, tensor: &Tensor) -> Result<u64, CheckpointError> {
        let name = || tensor.name.clone();
        let info = self.table.info(&tensor.name).expect("the names have been checked");
        if info.dtype != dtype::<T>() {
            let (found, expected) = (info.dtype.to_string(), dtype::<T>().to_string());
            return Err(CheckpointError::OtherType { tensor: name(), found, expected });
        }
        Ok(self.data_start + info.data_offsets.0 as u64)
    }
}

/// The longest header that is taken for that of a file of `tensors`, whoever wrote it.
fn most_header_bytes(tensors: &[&Tensor]) -> u64 {
    // An escaped character takes up to 6 bytes, a number 20; the keys, the type and the punctuation take
    // fewer than 200.
    let of_tensor = |tensor: &&Tensor| 6 * tensor.name.len() + 24 * (tensor.dims.len() + 2) + 200;
    let bytes = EXTRA_HEADER_BYTES + tensors.iter().map(of_tensor).sum::<usize>();
    (bytes as u64).min(MAX_HEADER_BYTES)
}

/// What each of the `missing` names has in front of it among the `unexpected` names, which are sorted.
pub(super) fn common_prefix<'a>(missing: &[&str], unexpected: &[&'a str]) -> Option<&'a str> {
    let first = missing.first()?;
    let prefixes =
        unexpected.iter().filter_map(|name| name.strip_suffix(first)).filter(|prefix| !prefix.is_empty());
    let is_common = |prefix: &&str| {
        missing.iter().all(|name| unexpected.binary_search(&format!("{prefix}{name}").as_str()).is_ok())
    };
    prefixes.into_iter().find(is_common)
}

/// A text from a file, fit for an error: on one line, without control characters, and not too long.
pub(super) fn quote(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTED_CHARS).collect::<String>().escape_debug().to_string();
    if text.chars().nth(QUOTED_CHARS).is_some() {
        quoted.push('…');
    }
    quoted
}

fn dtype<T: Element>() -> Dtype {
    match size_of::<T>() {
        4 => Dtype::F32,
        8 => Dtype::F64,
        bytes => panic!("an element type of {bytes} bytes"),
    }
}
