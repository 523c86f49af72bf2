//! Networks for other programs, in the ONNX format: opset 19, IR version 9, f32.
//!
//! The graph has one input, `input`, and one output, `output` or `logits`. Both have the batch as their first
//! dimension, of any size and called `batch`; images are `[batch, C, H, W]`, vectors `[batch, features]`. The
//! input is that of the network: samples are normalised already. Tensors are called as in a checkpoint.
//! Layers that do nothing in use, as dropout, have no node. Batch normalisation keeps nodes of its own, which
//! runtimes fold themselves.
//!
//! The metadata tell what else is known: `model`, `class_names` (a list in JSON) and `input` (how samples are
//! normalised, an [`InputInfo`](crate::InputInfo) in JSON).
//!
//! | layer | operators |
//! | --- | --- |
//! | `Conv2D`, `Dense`, `BatchNormalization` | `Conv`, `Gemm`, `BatchNormalization` |
//! | `MaxPool2D`, `AveragePool2D` | `MaxPool`, `AveragePool`, never with `ceil_mode`, or the global ones |
//! | `AdaptiveAveragePool2D` | `MatMul` with the shares of rows and columns |
//! | `AdaptiveMaxPool2D` | `Slice`, `ReduceMax` and `Concat` |
//! | `LocalResponseNormalization` | `LRN`; of an even number of channels, `Conv` over the squares |
//! | `ZeroPadding2D` | `Pad` |
//! | blocks | `Sum`, `Concat` |
//! | activations, `Softmax` | those of the name, or the terms of their formula |

mod builder;
mod layers;
mod pooling;
mod proto;

use crate::checkpoint::RunInfo;
use crate::error::Error;
use crate::layer::Fusible;
use crate::network::{Network, PlainStep, State};
use crate::place::Place;
use crate::shape::Shape;
use builder::{Builder, Takes};
use isograd_kernels::Element;

/// The version of the operators.
const OPSET: i64 = 19;
/// The version of the format, that of ONNX 1.14.
const IR_VERSION: i64 = 9;
/// The longest message that protobuf reads.
const MAX_BYTES: u64 = (1 << 31) - 1;

/// What is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnnxOptions {
    /// Leaves out a softmax or a sigmoid at the end, so that the output are logits.
    pub logits: bool,
}

impl OnnxOptions {
    /// Those of a network without its last layer, if that is a softmax or a sigmoid.
    pub fn logits() -> Self {
        Self { logits: true }
    }
}

/// Why a network cannot be written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// A layer of another crate.
    #[error("{place} cannot be written to ONNX: its type is not one of this library's")]
    Layer {
        /// Where the layer stands.
        place: Place,
    },
    /// A layer with options that no operator has.
    #[error("{place} cannot be written to ONNX: {reason}")]
    Options {
        /// Where the layer stands.
        place: Place,
        /// What no operator does.
        reason: String,
    },
    /// A network that is larger than a file can be.
    #[error("the network takes {bytes} bytes, a file in the ONNX format has at most {MAX_BYTES}")]
    TooLarge {
        /// How much it takes.
        bytes: u64,
    },
}

/// The bytes of an ONNX file of `network` in `state`, of which `info` tells more.
///
/// # Errors
///
/// [`OnnxError`].
///
/// # Panics
///
/// When `state` is that of a network with other parameters.
pub fn to_onnx<T: Element>(
    network: &Network<T>,
    state: &State<T>,
    info: &RunInfo,
    options: OnnxOptions,
) -> Result<Vec<u8>, Error> {
    state.assert_fits(network);
    let numbers = network.parameter_count() as u64 + network.statistics_count() as u64;
    // What the graph takes beside the numbers is little.
    let bytes = numbers * size_of::<f32>() as u64 + (1 << 20);
    if bytes > MAX_BYTES {
        return Err(OnnxError::TooLarge { bytes }.into());
    }
    let graph = graph(network, state, options)?;
    let json = |key: &str, value: serde_json::Result<String>| proto::Entry {
        key: key.to_string(),
        value: value.expect("texts and numbers"),
    };
    let mut metadata_props = vec![proto::Entry { key: "model".to_string(), value: info.model.clone() }];
    if !info.class_names.is_empty() {
        metadata_props.push(json("class_names", serde_json::to_string(&info.class_names)));
    }
    if let Some(input) = &info.input {
        let mut input = input.clone();
        input.network = None;
        metadata_props.push(json("input", serde_json::to_string(&input)));
    }
    let model = proto::Model {
        ir_version: IR_VERSION,
        producer_name: "isograd".to_string(),
        producer_version: env!("CARGO_PKG_VERSION").to_string(),
        graph: proto::Graph { name: info.model.clone(), ..graph },
        opset: OPSET,
        metadata_props,
    };
    Ok(model.encode().into_bytes())
}

fn graph<T: Element>(
    network: &Network<T>,
    state: &State<T>,
    options: OnnxOptions,
) -> Result<proto::Graph, OnnxError> {
    let mut builder = Builder::new(network, state);
    let mut steps: Vec<PlainStep<'_, T>> = network.plain_steps().collect();
    let mut output = network.plain_output();
    let has_logits = matches!(network.last_function(), Some(Fusible::Softmax | Fusible::Sigmoid));
    let name = if options.logits && has_logits { "logits" } else { "output" };
    if name == "logits"
        && let Some(PlainStep::Layer(last)) = steps.pop()
    {
        output = last.reads;
    }
    for step in steps {
        match step {
            PlainStep::Layer(layer) => layers::add(&mut builder, &layer)?,
            PlainStep::Sum { reads, writes } => builder.sum(reads, writes),
        }
    }
    let shape = network.output_shape();
    let takes = if shape.is_vector() { Takes::Features } else { Takes::Image };
    let (found, _) = builder.value(output, shape, takes);
    builder.node("Identity", [found], vec![], name);
    let (nodes, initializers) = builder.finish();
    Ok(proto::Graph {
        node: nodes,
        name: String::new(),
        initializer: initializers,
        input: value_info("input", network.input_shape()),
        output: value_info(name, shape),
    })
}

/// A value of the graph, with a batch of any size.
fn value_info(name: &str, shape: Shape) -> proto::ValueInfo {
    let Shape { c, h, w } = shape;
    let dims = if shape.is_vector() { vec![c] } else { vec![c, h, w] };
    let dims = dims.into_iter().map(|dim| proto::Dimension::Value(dim as i64));
    let dims = std::iter::once(proto::Dimension::Name("batch")).chain(dims).collect();
    proto::ValueInfo { name: name.to_string(), dims }
}
