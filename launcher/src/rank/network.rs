//! Builds networks, and loads their parameters.

use crate::cli::network_plan::NetworkPlan;
use crate::failure::Failure;
use isograd_datasets::Dataset;
use isograd_model::layer::ConvPath;
use isograd_model::{Element, Network, Shape, State, load};
use std::path::Path;

/// Builds the network `model` for the samples and classes of `dataset`, with convolutions by `conv`. A
/// network in a file is for those that the file says; whether they are those of the data set is found when it
/// is used.
pub(crate) fn build<T: Element>(
    model: &NetworkPlan,
    conv: ConvPath,
    dataset: &dyn Dataset,
) -> Result<Network<T>, Failure> {
    let [c, h, w] = dataset.sample_shape();
    build_for(model, conv, Shape::image(c, h, w), outputs(dataset))
}

/// The number of outputs for the targets of `dataset`: one for each class or number.
pub(crate) fn outputs(dataset: &dyn Dataset) -> usize {
    dataset.target_values().unwrap_or(dataset.num_classes())
}

/// As [`build`], for samples of shape `input` and `classes` classes.
pub(crate) fn build_for<T: Element>(
    model: &NetworkPlan,
    conv: ConvPath,
    input: Shape,
    classes: usize,
) -> Result<Network<T>, Failure> {
    let network = match model {
        NetworkPlan::Zoo(model) => Network::build(model.layers(input, classes))?,
        NetworkPlan::File(file) => file.build()?,
    };
    network
        .with_conv_path(conv)
        .map_err(|error| Failure::Usage { problem: format!("--conv: {error}"), hint: None })
}

/// Loads the state of `network`, called `model`, from the file at `path`. A checkpoint stands for its
/// averages, if it has some, since they are what was evaluated.
pub(crate) fn load_state<T: Element>(
    path: &Path,
    model: &str,
    network: &Network<T>,
) -> Result<State<T>, Failure> {
    let files = ["averages.safetensors", "model.safetensors"].map(|name| path.join(name));
    let file = files.iter().find(|file| path.is_dir() && file.exists()).map_or(path, |file| file.as_path());
    load(file, model, network).map_err(Failure::Load)
}
