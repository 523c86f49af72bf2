//! Whether the last layers give what the loss takes.
//!
//! A cross-entropy of numbers that are no probabilities can be computed, and a network can be trained on it
//! for hours without learning anything. So layers say what their output is ([`OutputKind`]), and a trainer
//! refuses a network whose output the loss does not take. A layer that says nothing is believed to give what
//! is needed.

use crate::layer::{Fusible, OutputKind};
use crate::loss::Takes;
use crate::place::Place;
use crate::shape::Shape;

/// Why the output of a network does not fit its loss.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LastLayerError {
    /// The last layer gives something else than the loss takes.
    #[error("{loss} takes {takes}, but the last layer, {place}, gives {gives}; {way_out}")]
    Output {
        /// The name of the loss.
        loss: &'static str,
        /// What it takes, in words.
        takes: &'static str,
        /// Where the last layer stands.
        place: Place,
        /// What the last layer gives, in words.
        gives: &'static str,
        /// What to change.
        way_out: &'static str,
    },
    /// A softmax or sigmoid whose input are probabilities already: its output cannot come near 0 and 1.
    #[error("{place} takes numbers of any size, but {first} gives probabilities; remove one of the two")]
    Twice {
        /// Where the second of the two layers stands.
        place: Place,
        /// Where the first of the two layers stands.
        first: Place,
    },
    /// A softmax over a single output, which is 1 whatever the input is.
    #[error(
        "{place} has one output, which is always 1; use one output for each class, or Sigmoid with binary_cross_entropy"
    )]
    OneOutput {
        /// Where the softmax stands.
        place: Place,
    },
}

/// What a loss takes, in words.
fn words(takes: Takes) -> &'static str {
    match takes {
        Takes::Anything => "any numbers",
        Takes::Scores => "numbers of any size",
        Takes::Probabilities => "probabilities, as Sigmoid gives them",
        Takes::Distribution => "probabilities that add up to 1, as Softmax gives them",
    }
}

/// What [`check`] needs to know of a layer that has been built.
#[derive(Debug, Clone)]
pub(crate) struct LayerOutput {
    pub(crate) place: Place,
    pub(crate) function: Option<Fusible>,
    pub(crate) kind: OutputKind,
    pub(crate) shape: Shape,
    pub(crate) has_parameters: bool,
}

impl LayerOutput {
    /// The function of the layer, if it turns numbers of any size into probabilities.
    fn squash(&self) -> Option<Fusible> {
        self.function.filter(|function| matches!(function, Fusible::Softmax | Fusible::Sigmoid))
    }

    /// Whether what is in front of the layer can be of any kind behind it.
    fn starts_anew(&self) -> bool {
        self.has_parameters || self.kind == OutputKind::Unknown
    }
}

/// Checks that the loss called `loss`, which takes `takes`, gets it from the last of `chain`: layers in a
/// row, each fed by the one before it.
pub(crate) fn check(loss: &'static str, takes: Takes, chain: &[LayerOutput]) -> Result<(), LastLayerError> {
    let last = &chain[chain.len() - 1];
    // The functions behind the last layer with parameters, from the end.
    let tail = chain.iter().enumerate().rev().take_while(|(_, layer)| !layer.starts_anew());
    let mut squashes = tail.filter(|(_, layer)| layer.squash().is_some());
    let squash = squashes.next();
    if let Some((index, layer)) = squash.filter(|_| last.kind.is_probability()) {
        let place = layer.place.clone();
        let before = index.checked_sub(1).map(|before| &chain[before]);
        let first = squashes.next().map(|(_, first)| first);
        if let Some(first) = first.or(before.filter(|before| before.kind.is_probability())) {
            return Err(LastLayerError::Twice { place, first: first.place.clone() });
        }
        if layer.squash() == Some(Fusible::Softmax) && layer.shape.c == 1 {
            return Err(LastLayerError::OneOutput { place });
        }
    }
    let Some(gives) = mismatch(takes, last.kind, last.shape) else { return Ok(()) };
    let function = squash.and_then(|(_, layer)| layer.squash());
    let way_out = way_out(takes, last.kind, function);
    Err(LastLayerError::Output { loss, takes: words(takes), place: last.place.clone(), gives, way_out })
}

/// What an output of kind `given` is in words, if a loss that takes `takes` does not take it.
fn mismatch(takes: Takes, given: OutputKind, shape: Shape) -> Option<&'static str> {
    match (takes, given) {
        (Takes::Anything, _) | (_, OutputKind::Unknown) => None,
        (Takes::Scores, OutputKind::Scores | OutputKind::Bounded) => None,
        (Takes::Scores, _) => Some("probabilities"),
        (_, OutputKind::Scores) => Some("numbers of any size"),
        (_, OutputKind::Bounded) => Some("numbers within bounds that are no probabilities"),
        (Takes::Probabilities, OutputKind::Probabilities | OutputKind::Distribution) => None,
        (Takes::Distribution, OutputKind::Probabilities) => Some("a probability for each output on its own"),
        (Takes::Distribution, OutputKind::Distribution) if shape.is_vector() => None,
        (Takes::Distribution, OutputKind::Distribution) => {
            Some("probabilities that add up to 1 at each pixel")
        }
    }
}

/// What to change where a loss that takes `takes` does not take an output of kind `given`; `function` is the
/// softmax or sigmoid behind which no layer has parameters.
fn way_out(takes: Takes, given: OutputKind, function: Option<Fusible>) -> &'static str {
    match (takes, given, function) {
        (Takes::Scores, ..) => "remove what makes them probabilities",
        (Takes::Probabilities, OutputKind::Bounded, _) => "put Sigmoid in its place",
        (Takes::Probabilities, _, Some(Fusible::Sigmoid)) => "make Sigmoid the last layer",
        (Takes::Probabilities, _, Some(Fusible::Softmax)) => "make Softmax the last layer",
        (Takes::Probabilities, ..) => "add Sigmoid behind it",
        (_, OutputKind::Bounded, _) => "put Softmax in its place",
        (_, OutputKind::Scores, Some(Fusible::Softmax)) => "make Softmax the last layer",
        (_, OutputKind::Scores, _) => "add Softmax behind it",
        (_, _, Some(Fusible::Softmax)) => "put Flatten in front of Softmax, and Softmax last",
        (_, _, Some(Fusible::Sigmoid)) => "put Softmax in the place of Sigmoid, or use binary_cross_entropy",
        _ => "put Softmax in its place, or use binary_cross_entropy",
    }
}
