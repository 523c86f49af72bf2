//! Whether the last layers give what the loss takes.
//!
//! A cross-entropy of numbers that are no probabilities can be computed, and a network can be trained on it
//! for hours without learning anything. So layers say what their output is ([`OutputKind`]), and a trainer
//! refuses a network whose output the loss does not take. A layer that says nothing is believed to give what
//! is needed.

use crate::layer::{Fusible, Layer, OutputKind};
use crate::loss::Loss;
use crate::shape::Shape;
use isograd_kernels::Element;

/// Why the output of a network does not fit its loss.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LastLayerError {
    /// The last layer gives something else than the loss takes.
    #[error("{loss} takes {}, but the last layer, {index} ({kind}), gives {gives}; {way_out}", takes(*.loss))]
    Output {
        /// The loss.
        loss: Loss,
        /// Position of the last layer.
        index: usize,
        /// Type of the last layer.
        kind: &'static str,
        /// What the last layer gives, in words.
        gives: &'static str,
        /// What to change.
        way_out: &'static str,
    },
    /// A softmax or sigmoid whose input are probabilities already: its output cannot come near 0 and 1.
    #[error(
        "layer {index} ({kind}) takes numbers of any size, but layer {first} ({first_kind}) gives probabilities; remove \
         one of the two"
    )]
    Twice {
        /// Position of the second of the two layers.
        index: usize,
        /// Type of the second layer.
        kind: &'static str,
        /// Position of the first of the two layers.
        first: usize,
        /// Type of the first layer.
        first_kind: &'static str,
    },
    /// A softmax over a single output, which is 1 whatever the input is.
    #[error(
        "layer {index} ({kind}) has one output, which is always 1; use one output for each class, or Sigmoid with \
         binary_cross_entropy"
    )]
    OneOutput {
        /// Position of the softmax.
        index: usize,
        /// Type of the layer.
        kind: &'static str,
    },
}

/// What a loss takes, in words.
fn takes(loss: Loss) -> &'static str {
    match loss {
        Loss::CategoricalCrossEntropy => "probabilities that add up to 1, as Softmax gives them",
        Loss::BinaryCrossEntropy => "probabilities, as Sigmoid gives them",
        Loss::MeanSquaredError => "numbers of any size",
    }
}

/// What [`check`] needs to know of a layer that has been built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerOutput {
    pub(crate) kind: OutputKind,
    pub(crate) shape: Shape,
    pub(crate) has_parameters: bool,
}

/// Checks that `loss` takes what the last of `layers` gives; `outputs` describes each of them.
pub(crate) fn check<T: Element>(
    loss: Loss,
    layers: &[Box<dyn Layer<T>>],
    outputs: &[LayerOutput],
) -> Result<(), LastLayerError> {
    let last = layers.len() - 1;
    let LayerOutput { kind: given, shape, .. } = outputs[last];
    let last_squash_of = |count: usize| (0..count).rev().find(|index| squashing(&*layers[*index]).is_some());
    let squash = last_squash_of(layers.len());
    if let Some(index) = squash.filter(|index| *index > 0 && given.is_probability()) {
        let kind = layers[index].kind();
        if outputs[index - 1].kind.is_probability() {
            let first = last_squash_of(index).unwrap_or(index - 1);
            return Err(LastLayerError::Twice { index, kind, first, first_kind: layers[first].kind() });
        }
        if squashing(&*layers[index]) == Some(Fusible::Softmax) && outputs[index].shape.c == 1 {
            return Err(LastLayerError::OneOutput { index, kind });
        }
    }
    let Some(gives) = mismatch(loss, given, shape) else { return Ok(()) };
    let function = squash.and_then(|index| squashing(&*layers[index]));
    let is_followed_by_parameters =
        squash.is_none_or(|index| outputs[index + 1..].iter().any(|output| output.has_parameters));
    let way_out = way_out(loss, given, function.filter(|_| !is_followed_by_parameters));
    Err(LastLayerError::Output { loss, index: last, kind: layers[last].kind(), gives, way_out })
}

/// The function of a layer, if it turns numbers of any size into probabilities.
fn squashing<T: Element>(layer: &dyn Layer<T>) -> Option<Fusible> {
    layer.fusible().filter(|function| matches!(function, Fusible::Softmax | Fusible::Sigmoid))
}

/// What an output of kind `given` is in words, if `loss` does not take it.
fn mismatch(loss: Loss, given: OutputKind, shape: Shape) -> Option<&'static str> {
    match (loss, given) {
        (Loss::MeanSquaredError, _) | (_, OutputKind::Unknown) => None,
        (_, OutputKind::Scores) => Some("numbers of any size"),
        (Loss::BinaryCrossEntropy, OutputKind::Probabilities | OutputKind::Distribution) => None,
        (Loss::CategoricalCrossEntropy, OutputKind::Probabilities) => {
            Some("a probability for each output on its own")
        }
        (Loss::CategoricalCrossEntropy, OutputKind::Distribution) if shape.is_vector() => None,
        (Loss::CategoricalCrossEntropy, OutputKind::Distribution) => {
            Some("probabilities that add up to 1 at each pixel")
        }
    }
}

/// What to change where `loss` does not take an output of kind `given`; `function` is the softmax or sigmoid
/// behind which no layer has parameters.
fn way_out(loss: Loss, given: OutputKind, function: Option<Fusible>) -> &'static str {
    match (loss, given, function) {
        (Loss::BinaryCrossEntropy, _, Some(Fusible::Sigmoid)) => "make Sigmoid the last layer",
        (Loss::BinaryCrossEntropy, ..) => "add Sigmoid behind it",
        (_, OutputKind::Scores, Some(Fusible::Softmax)) => "make Softmax the last layer",
        (_, OutputKind::Scores, _) => "add Softmax behind it",
        (_, _, Some(Fusible::Softmax)) => "put Flatten in front of Softmax, and Softmax last",
        (_, _, Some(Fusible::Sigmoid)) => "put Softmax in the place of Sigmoid, or use binary_cross_entropy",
        _ => "put Softmax in its place, or use binary_cross_entropy",
    }
}
