//! Layers from their options.

use super::error::{FileProblem, Mistake};
use super::table::Table;
use crate::initializer::Initializer;
use crate::layer::{
    AdaptiveAveragePool2D, AdaptiveMaxPool2D, ArcTanh, AveragePool2D, BatchNormalization, Conv2D, Dense,
    Dropout, ELU, Flatten, GELU, HardSigmoid, HardSwish, Layer, LeakyReLU, LocalResponseNormalization,
    LogSigmoid, MaxPool2D, ReLU, ReLU6, SiLU, Sigmoid, Size2, Softmax, Softplus, Tanh, ZeroPadding2D,
};
use isograd_kernels::Element;

/// The types of all layers that are no blocks. The input has a place of its own in a file.
pub(super) const TYPES: [&str; 25] = [
    "Conv2D",
    "Dense",
    "BatchNormalization",
    "Dropout",
    "Flatten",
    "MaxPool2D",
    "AveragePool2D",
    "AdaptiveMaxPool2D",
    "AdaptiveAveragePool2D",
    "ZeroPadding2D",
    "LocalResponseNormalization",
    "ReLU",
    "LeakyReLU",
    "ReLU6",
    "ELU",
    "SiLU",
    "GELU",
    "HardSwish",
    "HardSigmoid",
    "Softplus",
    "Sigmoid",
    "LogSigmoid",
    "Tanh",
    "ArcTanh",
    "Softmax",
];

/// The layer of type `kind` with the options of `table`; `None` if no layer is of this type.
pub(super) fn layer<T: Element>(
    kind: &str,
    table: &mut Table<'_>,
) -> Result<Option<Box<dyn Layer<T>>>, Mistake> {
    Ok(Some(match kind {
        "Conv2D" => Box::new(conv2d(table)?),
        "Dense" => Box::new(dense(table)?),
        "BatchNormalization" => Box::new(batch_normalization(table)?),
        "Dropout" => {
            let rate = table.number("rate")?.ok_or_else(|| table.missing("rate"))?;
            Box::new(Dropout::new(rate))
        }
        "Flatten" => Box::new(Flatten),
        "MaxPool2D" => Box::new(max_pool2d(table)?),
        "AveragePool2D" => Box::new(average_pool2d(table)?),
        "AdaptiveMaxPool2D" => Box::new(AdaptiveMaxPool2D::new(table.needed_size("size")?)),
        "AdaptiveAveragePool2D" => Box::new(AdaptiveAveragePool2D::new(table.needed_size("size")?)),
        "ZeroPadding2D" => Box::new(ZeroPadding2D::new(table.needed_sides("sides")?)),
        "LocalResponseNormalization" => Box::new(local_response_normalization(table)?),
        "ReLU" => Box::new(ReLU),
        "LeakyReLU" => Box::new(table.number("slope")?.map_or_else(LeakyReLU::default, LeakyReLU::new)),
        "ReLU6" => Box::new(ReLU6),
        "ELU" => Box::new(table.number("alpha")?.map_or_else(ELU::default, ELU::new)),
        "SiLU" => Box::new(SiLU),
        "GELU" => Box::new(if table.switch("tanh")? == Some(true) { GELU::tanh() } else { GELU::new() }),
        "HardSwish" => Box::new(HardSwish),
        "HardSigmoid" => Box::new(HardSigmoid),
        "Softplus" => Box::new(Softplus),
        "Sigmoid" => Box::new(Sigmoid),
        "LogSigmoid" => Box::new(LogSigmoid),
        "Tanh" => Box::new(Tanh),
        "ArcTanh" => Box::new(ArcTanh),
        "Softmax" => Box::new(Softmax),
        _ => return Ok(None),
    }))
}

fn conv2d(table: &mut Table<'_>) -> Result<Conv2D, Mistake> {
    let mut layer = Conv2D::new(table.needed_count("filters")?, table.needed_size("kernel")?);
    if let Some(stride) = table.size("stride")? {
        layer = layer.stride(stride);
    }
    if let Some(padding) = table.size("padding")? {
        layer = layer.padding(padding);
    }
    if let Some(dilation) = table.size("dilation")? {
        layer = layer.dilation(dilation);
    }
    if let Some(groups) = table.count("groups", 1)? {
        layer = layer.groups(groups);
    }
    if table.switch("bias")? == Some(false) {
        layer = layer.without_bias();
    }
    let [weights, biases] = initializers(table)?;
    Ok(layer.initializers(weights, biases))
}

fn dense(table: &mut Table<'_>) -> Result<Dense, Mistake> {
    let mut layer = Dense::new(table.needed_count("outputs")?);
    if table.switch("bias")? == Some(false) {
        layer = layer.without_bias();
    }
    let [weights, biases] = initializers(table)?;
    Ok(layer.initializers(weights, biases))
}

/// What weights and biases begin with.
fn initializers(table: &mut Table<'_>) -> Result<[Initializer; 2], Mistake> {
    let weights = table.initializer("weight_initializer")?.unwrap_or(Initializer::OF_WEIGHTS);
    let biases = table.initializer("bias_initializer")?.unwrap_or(Initializer::OF_BIASES);
    Ok([weights, biases])
}

fn batch_normalization(table: &mut Table<'_>) -> Result<BatchNormalization, Mistake> {
    let mut layer = BatchNormalization::new();
    if let Some(momentum) = table.number("momentum")? {
        layer = layer.momentum(momentum);
    }
    if let Some(epsilon) = table.number("epsilon")? {
        layer = layer.epsilon(epsilon);
    }
    if table.switch("scale")? == Some(false) {
        layer = layer.without_scale();
    }
    if table.switch("sync_stats")? == Some(true) {
        layer = layer.sync_stats();
    }
    if table.switch("shift")? == Some(false) {
        layer = layer.without_shift();
    }
    Ok(layer)
}

fn local_response_normalization(table: &mut Table<'_>) -> Result<LocalResponseNormalization, Mistake> {
    let mut layer = LocalResponseNormalization::new();
    if let Some(size) = table.count("size", 0)? {
        layer = layer.size(size);
    }
    if let Some(alpha) = table.number("alpha")? {
        layer = layer.alpha(alpha);
    }
    if let Some(beta) = table.number("beta")? {
        layer = layer.beta(beta);
    }
    if let Some(k) = table.number("k")? {
        layer = layer.k(k);
    }
    Ok(layer)
}

/// The size of a pooling window; 0 if it is the whole image.
fn window(table: &mut Table<'_>) -> Result<Size2, Mistake> {
    let (size, is_global) = (table.size("size")?, table.switch("global")? == Some(true));
    match (size, is_global) {
        (Some(size), false) => Ok(size),
        (None, true) => Ok(Size2::from(0)),
        (None, false) => Err(table.missing("size")),
        (Some(_), true) => {
            let (what, first, second) = (table.what.clone(), "size", "global");
            Err(Mistake::new(table.offset, FileProblem::Conflict { what, first, second }))
        }
    }
}

/// Gives a pooling layer the options that both types have.
macro_rules! pool_options {
    ($layer:ident, $table:ident) => {
        if let Some(stride) = $table.size("stride")? {
            $layer = $layer.stride(stride);
        }
        if let Some(padding) = $table.size("padding")? {
            $layer = $layer.padding(padding);
        }
        if let Some(dilation) = $table.size("dilation")? {
            $layer = $layer.dilation(dilation);
        }
        if $table.switch("ceil_mode")? == Some(true) {
            $layer = $layer.ceil_mode();
        }
    };
}

fn max_pool2d(table: &mut Table<'_>) -> Result<MaxPool2D, Mistake> {
    let mut layer = MaxPool2D::new(window(table)?);
    pool_options!(layer, table);
    Ok(layer)
}

fn average_pool2d(table: &mut Table<'_>) -> Result<AveragePool2D, Mistake> {
    let mut layer = AveragePool2D::new(window(table)?);
    pool_options!(layer, table);
    if table.switch("count_padding")? == Some(true) {
        layer = layer.count_padding();
    }
    Ok(layer)
}
