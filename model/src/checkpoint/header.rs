//! The header of a safetensors file: its length in 8 bytes, then a table in JSON of names, element types, shapes and places.

use super::CheckpointError;
use crate::layer::Tensor;
use crate::network::Network;
use isograd_kernels::Element;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};

/// The metadata key of the network's name.
const MODEL: &str = "model";
/// Bytes of the header's length.
const LENGTH_BYTES: u64 = 8;
/// The longest header that readers of the format accept.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The header of a file of `network` called `model`, with the length in front: parameters, then running statistics, in layer
/// order and without gaps.
pub(super) fn encode<T: Element>(model: &str, network: &Network<T>) -> io::Result<Vec<u8>> {
    data_bytes(network)?;
    let mut end = 0;
    let entry = |tensor: &Tensor| {
        let start = end;
        end += tensor.range.len() * size_of::<T>();
        let (dtype, shape) = (dtype::<T>(), tensor.dims.clone());
        (tensor.name.clone(), TensorInfo { dtype, shape, data_offsets: (start, end) })
    };
    let tensors = all_tensors(network).map(entry).collect();
    let metadata = HashMap::from([(MODEL.to_string(), model.to_string())]);
    let table = Metadata::new(Some(metadata), tensors).expect("tensors without gaps, of their shapes' sizes");
    let mut json = serde_json::to_vec(&table).expect("a table of names and numbers");
    // The data begin at a multiple of 8.
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok([&(json.len() as u64).to_le_bytes(), json.as_slice()].concat())
}

/// Bytes of all tensors of `network`.
pub(super) fn data_bytes<T: Element>(network: &Network<T>) -> io::Result<u64> {
    let elements = network.parameter_count() as u128 + network.statistics_count() as u128;
    let bytes = elements * size_of::<T>() as u128;
    // Offsets are `usize`.
    usize::try_from(bytes).map(|bytes| bytes as u64).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

/// What a file says that it holds, in accord with its length.
pub(super) struct Contents {
    table: Metadata,
    /// Where the data begin.
    data_start: u64,
}

impl Contents {
    /// Reads the header of `file`, from its start.
    pub(super) fn read(file: &mut File) -> Result<Self, CheckpointError> {
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
        let mut json = vec![0; header_bytes as usize];
        file.read_exact(&mut json).map_err(CheckpointError::Read)?;
        // What the parser quotes of the file may be anything.
        let table: Metadata =
            serde_json::from_slice(&json).map_err(|e| foreign(e.to_string().escape_debug().to_string()))?;
        let expected_bytes = data_start.saturating_add(table.data_len() as u64);
        if file_bytes != expected_bytes {
            return Err(broken(expected_bytes));
        }
        Ok(Self { table, data_start })
    }

    /// Where the data of each tensor of `network` called `model` begin in the file: parameters first, in layer order.
    pub(super) fn starts<T: Element>(
        &self,
        model: &str,
        network: &Network<T>,
    ) -> Result<Vec<u64>, CheckpointError> {
        let named = self.table.metadata().as_ref().and_then(|metadata| metadata.get(MODEL));
        if let Some(found) = named.filter(|found| *found != model) {
            let (found, expected) = (found.escape_debug().to_string(), model.to_string());
            return Err(CheckpointError::OtherModel { found, expected });
        }
        let (found, expected) = (self.table.offset_keys().len(), all_tensors(network).count());
        if found != expected {
            return Err(CheckpointError::TensorCount { model: model.to_string(), found, expected });
        }
        all_tensors(network).map(|tensor| self.start::<T>(tensor)).collect()
    }

    fn start<T: Element>(&self, tensor: &Tensor) -> Result<u64, CheckpointError> {
        let name = || tensor.name.clone();
        let info =
            self.table.info(&tensor.name).ok_or_else(|| CheckpointError::MissingTensor { tensor: name() })?;
        if info.dtype != dtype::<T>() {
            let (found, expected) = (info.dtype.to_string(), dtype::<T>().to_string());
            return Err(CheckpointError::OtherType { tensor: name(), found, expected });
        }
        if info.shape != tensor.dims {
            let (found, expected) = (info.shape.clone(), tensor.dims.clone());
            return Err(CheckpointError::OtherShape { tensor: name(), found, expected });
        }
        Ok(self.data_start + info.data_offsets.0 as u64)
    }
}

/// Parameters, then running statistics, in layer order.
fn all_tensors<T: Element>(network: &Network<T>) -> impl Iterator<Item = &Tensor> {
    network.parameters().iter().chain(network.statistics())
}

fn dtype<T: Element>() -> Dtype {
    match size_of::<T>() {
        4 => Dtype::F32,
        8 => Dtype::F64,
        bytes => panic!("an element type of {bytes} bytes"),
    }
}
