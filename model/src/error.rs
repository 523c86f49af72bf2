//! The errors of this crate: one enum, with one nested enum for each topic that has several cases.
//!
//! Every message stands alone: it contains the message of the nested error, which is therefore not handed out
//! as a [`source`](std::error::Error::source) as well.

use crate::checkpoint::{CheckpointError, FolderError, ResumeError};
#[cfg(feature = "files")]
use crate::file::FileError;
use crate::last_layer::LastLayerError;
use crate::layer::ConvPath;
use crate::onnx::OnnxError;
use crate::place::Place;
use crate::shape::Shape;
use crate::train::{DataError, NonFinite, WhitenError};
use isograd_kernels::conv::{Conv2dShape, ConvError};
use isograd_kernels::pool::PoolError;
use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A layer does not fit its input, or was given a number outside its range.
    #[error("{place}: {reason}")]
    Build {
        /// Where the layer stands.
        place: Place,
        /// What is wrong.
        reason: BuildError,
    },
    /// The first layer of a network is not `Input`.
    #[error("the first layer must be Input, which gives the shape of a sample; it is {found}")]
    NoInput {
        /// Type of the first layer, or `missing`.
        found: &'static str,
    },
    /// A path of convolutions that no layer of the network can take.
    #[error("no layer of the network can take the path {path}{}", path_hint(*path))]
    NoConvPath {
        /// The path.
        path: ConvPath,
    },
    /// Factors of convolutions, or values in memory, in bfloat16, for elements of another type than f32.
    #[error("only float32 is rounded to bfloat16, and the elements are {dtype}")]
    NoBfloat16 {
        /// The type of the elements.
        dtype: &'static str,
    },
    /// A convolution that a table of paths does not have.
    #[error(
        "there is no choice for {place}, a convolution of {shape}: the choices are of another network, or of images of \
         another size"
    )]
    NoConvChoice {
        /// Where its layer stands.
        place: Place,
        /// Its shape.
        shape: Box<Conv2dShape>,
    },
    /// The network's output is not what the loss takes.
    #[error(transparent)]
    LastLayer(#[from] LastLayerError),
    /// A batch would be cut into shards that are too small for a layer.
    #[error(
        "{place} needs at least {needed} samples in each shard, but a batch of {batch_size} in shards of {shard_size} \
         has a shard of {smallest}; use {}", more_samples(*needed, *enough)
    )]
    ShardTooSmall {
        /// Where the layer stands.
        place: Place,
        /// The fewest samples that the layer works on.
        needed: usize,
        /// Samples in a batch: all samples of the data set if it has fewer than a batch.
        batch_size: usize,
        /// Samples in a full shard.
        shard_size: usize,
        /// Samples in the smallest shard.
        smallest: usize,
        /// The smallest shard size with which the batch has no shard that is too small, if there is one.
        enough: Option<usize>,
    },
    /// A pattern that no parameter's name matches.
    #[error("no parameter's name matches '{pattern}'{}", suggest(.nearest))]
    NothingMatches {
        /// The pattern.
        pattern: String,
        /// The name that is most similar, if one is similar at all.
        nearest: Option<String>,
    },
    /// A name that is not known.
    #[error("unknown {what} '{name}'; known are {known}{}", suggest(.nearest))]
    UnknownName {
        /// The kind of thing that the name should be of: `optimizer`, `loss`, …
        what: &'static str,
        /// The name.
        name: String,
        /// All known names, separated by commas.
        known: String,
        /// The known name that is most similar, if one is similar at all.
        nearest: Option<String>,
    },
    /// The start of several known names.
    #[error("the {what} '{name}' can be {names}")]
    AmbiguousName {
        /// The kind of thing that the name should be of.
        what: &'static str,
        /// The name.
        name: String,
        /// The names that begin with it, separated by commas.
        names: String,
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
    /// A schedule gave a step a learning rate that is none. The step was not done.
    #[error(
        "the schedule gives step {step} (epoch {epoch}) the learning rate {rate}; it must be a number of at least 0"
    )]
    LearningRate {
        /// The learning rate.
        rate: f64,
        /// The step, from 1 at the start of training.
        step: u64,
        /// The epoch, from 1.
        epoch: u32,
    },
    /// A schedule that needs to know when training ends, in a configuration that does not say so.
    #[error("the schedule depends on when training ends: set the number of epochs or of steps")]
    NoEnd,
    /// The system has less memory than is needed.
    #[error("no memory for {what}: {bytes} bytes")]
    OutOfMemory {
        /// What the memory is for.
        what: String,
        /// How much is needed.
        bytes: u128,
    },
    /// The data set does not fit the network, or contradicts itself.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A first layer that cannot be made to whiten samples.
    #[error(transparent)]
    Whiten(#[from] WhitenError),
    /// A number that became infinite or NaN.
    #[error(transparent)]
    NonFinite(#[from] NonFinite),
    /// Bytes that are not the state of a callback, or that of another network.
    #[error("the saved state of the callback {callback}, of {bytes} bytes, does not fit")]
    CallbackState {
        /// The name of the callback.
        callback: &'static str,
        /// The number of bytes.
        bytes: usize,
    },
    /// The group of ranks has failed.
    #[cfg(feature = "ranks")]
    #[error(transparent)]
    Ranks(#[from] isograd_comm::Error),
    /// A network that cannot be written in the ONNX format.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// A file of parameters cannot be read or written.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: Box<CheckpointError>,
    },
    /// A checkpoint that cannot be read or written, or is not one of this run.
    #[error("{}: {reason}", path.display())]
    Folder {
        /// Its folder.
        path: PathBuf,
        /// What is wrong.
        reason: Box<FolderError>,
    },
    /// A saved run that this run cannot go on with.
    #[error(transparent)]
    Resume(ResumeError),
    /// A network file that cannot be read, or a network that cannot be written to one.
    #[cfg(feature = "files")]
    #[error(transparent)]
    File(#[from] FileError),
}

/// The end of a message that has the name most similar to an unknown one, if there is one.
pub(crate) fn suggest(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean '{name}'?"))
}

/// The way out where a shard has fewer samples than the `needed` ones.
fn more_samples(needed: usize, enough: Option<usize>) -> String {
    match enough {
        Some(shard_size) => format!("shards of at least {shard_size} samples"),
        None => format!("batches of at least {needed} samples"),
    }
}

/// The name among `known` that is most similar to `name`, if one is similar at all.
pub(crate) fn nearest(name: &str, known: &[&str]) -> Option<String> {
    known
        .iter()
        .map(|k| (strsim::jaro_winkler(&k.to_lowercase(), &name.to_lowercase()), *k))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k.to_string())
}

impl Error {
    /// The error for a `name` that is not among `known`; it suggests the most similar known name.
    pub fn unknown_name(what: &'static str, name: &str, known: &[&str]) -> Self {
        let nearest = nearest(name, known);
        Self::UnknownName { what, name: name.to_string(), known: known.join(", "), nearest }
    }

    /// The error for a `pattern` that matches none of `names`; it suggests the most similar name.
    pub(crate) fn nothing_matches(pattern: &str, names: &[&str]) -> Self {
        Self::NothingMatches { pattern: pattern.to_string(), nearest: nearest(pattern, names) }
    }

    /// Whether the group of ranks has failed.
    pub(crate) fn is_of_ranks(&self) -> bool {
        #[cfg(feature = "ranks")]
        return matches!(self, Self::Ranks(_));
        #[cfg(not(feature = "ranks"))]
        false
    }
}

/// Why a layer cannot be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A layer that takes vectors has images as its input.
    #[error("takes a vector of features, its input is {input}; put Flatten in front")]
    NotAVector {
        /// The input shape.
        input: Shape,
    },
    /// An input layer that is not the first layer.
    #[error("only the first layer can be Input")]
    InputInside,
    /// A convolution that does not fit its input.
    #[error(transparent)]
    Conv(#[from] ConvError),
    /// A pooling window that does not fit its input.
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
    /// A block without layers.
    #[error("it has no layers")]
    EmptyBlock,
    /// A block behind all layers.
    #[error("a block of paths cannot be last; put a layer behind it")]
    BlockLast,
    /// Paths whose outputs cannot be added up.
    #[error("the outputs of its paths must have one shape to be added up, they are {}", list(.shapes))]
    PathShapes {
        /// The output shape of each path.
        shapes: Vec<Shape>,
    },
    /// Paths whose outputs cannot be joined along the channels.
    #[error("the outputs of its paths must have images of one size to be joined, they are {}", list(.shapes))]
    PathImages {
        /// The output shape of each path.
        shapes: Vec<Shape>,
    },
    /// A name that cannot be part of a parameter's name.
    #[error("the name {name:?} is empty or has blanks or control characters in it")]
    Name {
        /// The name.
        name: String,
    },
    /// Something that a layer of your own found wrong.
    #[error("{0}")]
    Other(String),
    /// An output without elements.
    #[error("its output {} has no elements: each of channels, height and width must be at least 1", dimensions(.output))]
    EmptyOutput {
        /// The output shape.
        output: Shape,
    },
    /// An output that is said to be the input unchanged, and has another number of elements.
    #[error("its output {output} takes the place of its input {input}, which has another number of elements")]
    NotInPlace {
        /// The input shape.
        input: Shape,
        /// The output shape.
        output: Shape,
    },
    /// A parameter or running statistic without elements.
    #[error("its tensor '{name}' has the dimensions {dims:?}, which hold no element")]
    EmptyTensor {
        /// Name of the tensor.
        name: String,
        /// Its dimensions.
        dims: Vec<usize>,
    },
    /// Two tensors of one name, which could not be told apart in a checkpoint.
    #[error("there are two tensors called '{name}'")]
    DuplicateTensor {
        /// Full name of both tensors.
        name: String,
    },
    /// More parameters or activations than can be addressed.
    #[error("the layer has more elements than can be addressed")]
    TooLarge,
}

/// All three dimensions: where one is 0, the short form of a vector would hide which.
fn dimensions(shape: &Shape) -> String {
    format!("{}x{}x{}", shape.c, shape.h, shape.w)
}

fn list(shapes: &[Shape]) -> String {
    shapes.iter().map(Shape::to_string).collect::<Vec<_>>().join(", ")
}

fn path_hint(path: ConvPath) -> &'static str {
    match path {
        ConvPath::Winograd => {
            ": it is for convolutions with kernels of 3x3, stride 1, dilation 1, one group and padding of at most 2"
        }
        _ => ": it has no convolution",
    }
}
