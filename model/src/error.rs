//! What can go wrong.

use crate::checkpoint::CheckpointError;
use crate::shape::Shape;
use isograd_kernels::conv::ConvError;
use isograd_kernels::pool::PoolError;
use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A layer does not fit its input, or has a parameter outside its range.
    #[error("layer {index} ({kind}): {source}")]
    Build {
        /// Position in the list of layers, from 0.
        index: usize,
        /// Type of the layer.
        kind: &'static str,
        /// Why.
        source: BuildError,
    },
    /// A network without an input layer in front.
    #[error("the first layer must be Input, which gives the shape of a sample; it is {found}")]
    NoInput {
        /// What is there instead.
        found: &'static str,
    },
    /// A name that is not known.
    #[error("unknown {what} '{name}'; known are {known}{}", suggest(.nearest))]
    UnknownName {
        /// What the name should have named.
        what: &'static str,
        /// The name.
        name: String,
        /// All known names.
        known: String,
        /// The known name that is most alike, if any is.
        nearest: Option<String>,
    },
    /// A number outside its range.
    #[error("{name} must be {expected}, it is {value}")]
    OutOfRange {
        /// The parameter.
        name: &'static str,
        /// The range, in words.
        expected: &'static str,
        /// The value.
        value: String,
    },
    /// The network's input is not the data set's sample.
    #[error("the network takes samples of {network}, the data set has samples of {dataset}")]
    SampleShape {
        /// Input shape of the network.
        network: Shape,
        /// Sample shape of the data set.
        dataset: Shape,
    },
    /// The network has fewer outputs than the data set has classes; see [`Loss::most_classes`](crate::Loss::most_classes).
    #[error("the network has {outputs} output{}, the data set has {classes} classes", if *.outputs == 1 { "" } else { "s" })]
    TooFewOutputs {
        /// Output elements of the network.
        outputs: usize,
        /// Classes of the data set.
        classes: usize,
    },
    /// Memory that is not to be had.
    #[error("no memory for {what}: {bytes} bytes")]
    OutOfMemory {
        /// What it is for.
        what: String,
        /// How much.
        bytes: u128,
    },
    /// A data set without samples.
    #[error("the data set has no samples")]
    NoSamples,
    /// The loss became infinite or not a number.
    #[error("the loss became {loss} in step {step} (epoch {epoch}); a smaller learning rate may help")]
    NonFiniteLoss {
        /// The step, from 1 at the start of training; it was not done.
        step: u64,
        /// The epoch, from 1.
        epoch: u32,
        /// The value.
        loss: f64,
    },
    /// The norm of a gradient that is to be clipped is infinite or not a number.
    #[error(
        "the norm of the gradient became {norm} in step {step} (epoch {epoch}), it cannot be clipped; a smaller learning \
         rate may help"
    )]
    NonFiniteGradient {
        /// The step, from 1 at the start of training; it was not done.
        step: u64,
        /// The epoch, from 1.
        epoch: u32,
        /// The norm.
        norm: f64,
    },
    /// A parameter or a running statistic became infinite or not a number.
    #[error(
        "parameters became infinite or NaN by the end of step {step} (epoch {epoch}), first in '{tensor}'; a smaller learning \
         rate may help"
    )]
    NonFiniteParameters {
        /// The first tensor with such a value, in layer order; running statistics come last.
        tensor: String,
        /// The last step that was done, from 1 at the start of training.
        step: u64,
        /// The epoch, from 1.
        epoch: u32,
    },
    /// The loss of an evaluation is infinite or not a number.
    #[error("the mean loss of {samples} evaluated samples is {loss}")]
    NonFiniteEvaluation {
        /// Samples that were evaluated.
        samples: usize,
        /// The value.
        loss: f64,
    },
    /// The ranks do not work together any more.
    #[error(transparent)]
    Ranks(#[from] isograd_comm::Error),
    /// A file of parameters that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<CheckpointError>,
    },
}

fn suggest(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean '{name}'?"))
}

impl Error {
    /// The error for a `name` that is not among `known`, with the most similar one as a suggestion.
    pub fn unknown_name(what: &'static str, name: &str, known: &[&str]) -> Self {
        let nearest = known
            .iter()
            .map(|k| (strsim::jaro_winkler(&k.to_lowercase(), &name.to_lowercase()), *k))
            .filter(|(likeness, _)| *likeness > 0.7)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, k)| k.to_string());
        Self::UnknownName { what, name: name.to_string(), known: known.join(", "), nearest }
    }
}

/// Why a layer cannot be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A layer that takes vectors got images.
    #[error("takes a vector of features, its input is {input}; put Flatten in front")]
    NotAVector {
        /// The input shape.
        input: Shape,
    },
    /// An input layer inside a network.
    #[error("only the first layer can be Input")]
    InputInside,
    /// A convolution that does not fit.
    #[error(transparent)]
    Conv(#[from] ConvError),
    /// A pooling window that does not fit.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// A number outside its range.
    #[error("{name} must be {expected}, it is {value}")]
    OutOfRange {
        /// The parameter.
        name: &'static str,
        /// The range, in words.
        expected: &'static str,
        /// The value.
        value: f64,
    },
    /// More parameters or activations than can be addressed.
    #[error("the layer has more elements than can be addressed")]
    TooLarge,
}
