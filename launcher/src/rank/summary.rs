//! `isograd summary` and `isograd models`: what networks are made of.

use crate::cli::dtype::Dtype;
use crate::cli::plan::SummaryPlan;
use crate::failure::Failure;
use crate::output::Output;
use crate::rank::network::{layers, outputs};
use isograd_model::layer::Mode;
use isograd_model::{Element, Network, Shape, file, zoo};

/// Prints the table of the network's layers, and what a shard takes of memory; or the network as a file.
pub(crate) fn print(plan: &SummaryPlan, out: &mut Output) -> Result<(), Failure> {
    match plan.dtype {
        Dtype::F32 | Dtype::Bf16 => print_as::<f32>(plan, out),
        Dtype::F64 => print_as::<f64>(plan, out),
    }
}

fn print_as<T: Element>(plan: &SummaryPlan, out: &mut Output) -> Result<(), Failure> {
    let (input, classes) = match &plan.source {
        Some(source) => {
            let samples = source.load_some()?;
            let [c, h, w] = samples.sample_shape();
            (Shape::image(c, h, w), outputs(&*samples))
        }
        None => plan.model.made_for(),
    };
    let layers = || layers::<T>(&plan.model, input, classes);
    let mut network = plan.dtype.apply(plan.conv.apply(Network::build(layers()?)?)?)?;
    if plan.recompute {
        network = network.with_recomputation();
    }
    if plan.toml {
        return out.text(&file::to_toml(layers()?)?);
    }
    let [train, eval] = [Mode::Train, Mode::Eval].map(|mode| network.shard_bytes(mode, plan.shard_size));
    let mut memory = format!(
        "multiply-adds of a sample: {}\nmemory of a shard of {}: {} in training, {} in use\n",
        network.multiply_adds(),
        plan.shard_size,
        megabytes(train),
        megabytes(eval)
    );
    let [train, eval] = [Mode::Train, Mode::Eval].map(|mode| network.prepared_bytes(mode));
    if train > 0 {
        memory += &format!(
            "prepared weights of all shards: {} in training, {} in use\n",
            megabytes(train),
            megabytes(eval)
        );
    }
    out.text(&(network.summary() + &memory))
}

/// Prints a table of all networks.
pub(crate) fn print_models(out: &mut Output) -> Result<(), Failure> {
    let mut text = format!(
        "{:<22} {:>10} {:>12} {:>14}  {}\n",
        "name", "input", "parameters", "multiply-adds", "source"
    );
    for model in &zoo::ALL {
        let network = Network::<f32>::build(model.layers(model.input, model.classes))?;
        text += &format!(
            "{:<22} {:>10} {:>12} {:>14}  {}\n",
            model.name,
            model.input.to_string(),
            network.parameter_count(),
            network.multiply_adds(),
            model.source
        );
    }
    out.text(&text)
}

fn megabytes(bytes: u128) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
