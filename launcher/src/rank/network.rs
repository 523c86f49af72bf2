//! Builds networks by name, and loads their parameters.

use crate::failure::Failure;
use isograd_datasets::Dataset;
use isograd_model::{Element, Network, Shape, State, load, zoo};
use std::path::Path;

/// Builds the network called `model` for the samples and classes of `dataset`.
pub(crate) fn build<T: Element>(model: &str, dataset: &dyn Dataset) -> Result<Network<T>, Failure> {
    let [c, h, w] = dataset.sample_shape();
    Ok(Network::build(zoo::by_name(model, Shape::image(c, h, w), dataset.num_classes())?)?)
}

/// Loads the state of `network`, called `model`, from the file at `path`.
pub(crate) fn load_state<T: Element>(
    path: &Path,
    model: &str,
    network: &Network<T>,
) -> Result<State<T>, Failure> {
    load(path, model, network).map_err(Failure::Load)
}
