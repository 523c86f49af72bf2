//! Builds networks, and loads their parameters.

use crate::cli::conv_plan::ConvPlan;
use crate::cli::metric_plan::TargetKind;
use crate::cli::network_plan::NetworkPlan;
use crate::failure::Failure;
use isograd_datasets::Dataset;
use isograd_model::layer::{self, Layers};
use isograd_model::{Element, Network, SavedNetwork, Shape, State, load};
use std::path::Path;

/// Builds the network `model` for the samples and classes of `dataset`, with convolutions by `conv`; with
/// `sync_stats`, its batch normalisations take the statistics of the whole batch. A network in a file is for
/// the samples that the file says; whether they are those of the data set is found when it is used.
pub(crate) fn build<T: Element>(
    model: &NetworkPlan,
    conv: &ConvPlan,
    dataset: &dyn Dataset,
    sync_stats: bool,
) -> Result<Network<T>, Failure> {
    if let (NetworkPlan::Zoo(zoo), TargetKind::Numbers) = (model, TargetKind::of(dataset)) {
        return Err(Failure::Usage {
            problem: format!("--model {}: it gives classes, and the targets are numbers", zoo.name),
            hint: Some(format!(
                "'isograd summary --model {} --toml' writes it as a file, of which the last layers can be changed; \
                 --targets classes reads a table's targets as classes",
                zoo.name
            )),
        });
    }
    let [c, h, w] = dataset.sample_shape();
    let mut layers = layers(model, Shape::image(c, h, w), outputs(dataset))?;
    if sync_stats && layer::sync_stats(&mut layers) == 0 {
        let problem = format!("--sync-stats: {} has no batch normalisation", model.argument());
        return Err(Failure::Usage { problem, hint: None });
    }
    conv.apply(Network::build(layers)?)
}

/// The number of outputs for the targets of `dataset`: one for each class or number.
pub(crate) fn outputs(dataset: &dyn Dataset) -> usize {
    dataset.target_values().unwrap_or(dataset.num_classes())
}

/// The layers of the network `model` for samples of shape `input` and `classes` classes.
pub(crate) fn layers<T: Element>(
    model: &NetworkPlan,
    input: Shape,
    classes: usize,
) -> Result<Layers<T>, Failure> {
    match model {
        NetworkPlan::Zoo(model) => Ok(model.layers(input, classes)),
        NetworkPlan::File(file) => file.layers(),
    }
}

/// Loads the state of `network`, called `model`, from the file at `path`, or from the checkpoint that a
/// folder stands for. A checkpoint stands for its averages, if it has some, since they are what was
/// evaluated.
pub(crate) fn load_state<T: Element>(
    path: &Path,
    model: &str,
    network: &Network<T>,
) -> Result<State<T>, Failure> {
    let file = match path.is_dir() {
        true => SavedNetwork::find(path).map_err(Failure::Load)?.file,
        false => path.to_path_buf(),
    };
    load(&file, model, network).map_err(Failure::Load)
}
