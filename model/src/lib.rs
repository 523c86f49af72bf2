//! Neural networks on CPUs: layers, losses, optimizers, and a data-parallel trainer whose result is the same
//! bits on any number of threads and ranks.
//!
//! A [`Network`] is built from a list of [`layer`]s, checked and planned once. A [`Trainer`] runs it over a
//! data set: each batch is cut into shards, a shard goes through the whole network on one thread, or on
//! several if there are many more threads than shards, and the gradients of the shards are summed in one
//! fixed binary tree.
//!
//! Signatures here take types of three other crates, which are part of the interface: [`kernels`] (an
//! [`Isa`](kernels::Isa), the random streams of [`philox`](kernels::philox)), [`datasets`] (what a
//! [`Dataset`](datasets::Dataset) is), [`comm`] (the [`Communicator`](comm::Communicator) of several ranks).

#![forbid(unsafe_code)]

pub mod callback;
mod checkpoint;
mod confusion;
mod error;
#[cfg(feature = "files")]
pub mod file;
mod initializer;
mod last_layer;
pub mod layer;
pub mod logger;
pub mod loss;
mod memory;
pub mod metric;
mod names;
mod network;
pub mod onnx;
pub mod optimizer;
mod place;
mod predictor;
pub mod profile;
pub mod protobuf;
pub mod schedule;
mod shape;
mod targets;
mod test_time;
mod train;
pub mod workflow;
pub mod zoo;

#[cfg(feature = "ranks")]
pub use isograd_comm as comm;
pub use isograd_datasets as datasets;
pub use isograd_kernels as kernels;

pub use callback::Callback;
pub use checkpoint::{
    CheckpointError, FolderError, ImportReport, InputInfo, InputSize, ResumeError, RunFolder, RunInfo,
    SavedNetwork, ShapeMismatch, Unmatched, check_save, import, load, save, save_described,
};
pub use confusion::ConfusionMatrix;
pub use error::{BuildError, Error};
pub use initializer::Initializer;
pub use isograd_kernels::Element;
pub use last_layer::LastLayerError;
pub use logger::Logger;
pub use loss::Loss;
pub use metric::Metric;
pub use network::{Convolution, LayerNode, Network, Randomness, Session, State};
pub use optimizer::Optimizer;
pub use place::Place;
pub use predictor::{Predictor, Scores};
pub use profile::{Profile, Profiler};
pub use schedule::{Schedule, StepPosition};
pub use shape::Shape;
pub use targets::Targets;
pub use test_time::TestTime;
#[cfg(feature = "ranks")]
pub use train::Ranks;
pub use train::{
    DataError, EpochReport, Evaluation, FitEpoch, NonFinite, Observer, Progress, RatePoint, RateRange,
    Snapshot, TrainConfig, Trainer, WhitenError, Whitened, Whitening,
};

/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
