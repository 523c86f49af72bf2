//! Parameters and running statistics in safetensors files.
//!
//! A file holds each tensor under its name (`1.conv2d.weight`), little-endian, and the network's name under the metadata key
//! `model`. Any safetensors reader can open it.

use crate::error::Error;
use crate::layer::Tensor;
use crate::network::{Network, State};
use isograd_kernels::Element;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::path::Path;

/// The metadata key of the network's name.
const MODEL: &str = "model";

/// Writes `state` of a network called `model` to `path`: first to a file beside it, which then takes its place, so that a
/// crash leaves the old file or the new one, never half of one.
///
/// # Errors
///
/// When the file cannot be written.
pub fn save<T: Element>(
    path: &Path,
    model: &str,
    network: &Network<T>,
    state: &State<T>,
) -> Result<(), Error> {
    let fail = |reason: String| Error::Checkpoint { path: path.to_path_buf(), reason };
    let bytes: Vec<(&Tensor, Vec<u8>)> = tensors(network, state)
        .map(|(tensor, values)| {
            let mut bytes = Vec::with_capacity(size_of_val(values));
            values.iter().for_each(|value| bytes.extend_from_slice(value.to_le_bytes().as_ref()));
            (tensor, bytes)
        })
        .collect();
    let mut views = Vec::new();
    for (tensor, bytes) in &bytes {
        let view =
            TensorView::new(dtype::<T>(), tensor.dims.clone(), bytes).map_err(|e| fail(e.to_string()))?;
        views.push((tensor.name.clone(), view));
    }
    let metadata = HashMap::from([(MODEL.to_string(), model.to_string())]);
    let file = safetensors::serialize(views, Some(metadata)).map_err(|e| fail(e.to_string()))?;

    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".part");
    std::fs::write(&temporary, file)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|e| fail(format!("cannot write: {e}")))
}

/// Replaces `state` of a network called `model` by that in the file at `path`.
///
/// # Errors
///
/// When the file cannot be read, is not a safetensors file, is of another model, or a tensor is missing, unexpected, or of
/// another shape or element type. `state` is unchanged then.
pub fn load<T: Element>(
    path: &Path,
    model: &str,
    network: &Network<T>,
    state: &mut State<T>,
) -> Result<(), Error> {
    let fail = |reason: String| Error::Checkpoint { path: path.to_path_buf(), reason };
    let bytes = std::fs::read(path).map_err(|e| fail(format!("cannot read: {e}")))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| fail(format!("not a safetensors file: {e}")))?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| fail(e.to_string()))?;
    if let Some(found) =
        metadata.metadata().as_ref().and_then(|m| m.get(MODEL)).filter(|found| *found != model)
    {
        return Err(fail(format!("a checkpoint of model '{found}', not of '{model}'")));
    }
    let expected = network.parameters().len() + network.statistics().len();
    if file.len() != expected {
        return Err(fail(format!("{} tensors, model '{model}' has {expected}", file.len())));
    }

    let mut found = Vec::with_capacity(expected);
    for (tensor, _) in tensors(network, state) {
        let name = &tensor.name;
        let view = file.tensor(name).map_err(|_| fail(format!("tensor '{name}' is missing")))?;
        if view.dtype() != dtype::<T>() {
            return Err(fail(format!("tensor '{name}' is {:?}, expected {:?}", view.dtype(), dtype::<T>())));
        }
        if view.shape() != tensor.dims {
            return Err(fail(format!("tensor '{name}' is {:?}, expected {:?}", view.shape(), tensor.dims)));
        }
        found.push(view.data());
    }
    let (parameters, statistics) = found.split_at(network.parameters().len());
    fill(network.parameters(), parameters, state.params_mut());
    fill(network.statistics(), statistics, state.statistics_mut());
    Ok(())
}

/// All tensors of a network with their values, parameters first.
fn tensors<'a, T: Element>(
    network: &'a Network<T>,
    state: &'a State<T>,
) -> impl Iterator<Item = (&'a Tensor, &'a [T])> {
    let values = |tensors: &'a [Tensor], buffer: &'a [T]| {
        tensors.iter().map(move |tensor| (tensor, &buffer[tensor.range.clone()]))
    };
    values(network.parameters(), state.params()).chain(values(network.statistics(), state.statistics()))
}

fn fill<T: Element>(tensors: &[Tensor], data: &[&[u8]], values: &mut [T]) {
    for (tensor, bytes) in tensors.iter().zip(data) {
        for (value, bytes) in values[tensor.range.clone()].iter_mut().zip(bytes.chunks_exact(size_of::<T>()))
        {
            *value = T::from_le_bytes(bytes);
        }
    }
}

fn dtype<T: Element>() -> Dtype {
    if T::NAME == "float32" { Dtype::F32 } else { Dtype::F64 }
}
