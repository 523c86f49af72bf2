//! Streaming stages: a graph of stages in one process, each in threads of its own, joined by bounded queues.
//!
//! Data that never fit in memory flow from a [`Source`] through [`Transform`]s and [`Regulator`]s into one or
//! several [`Sink`]s. A stage that is slow holds up those before it, so memory stays bounded. [`Pipeline`]
//! describes the graph with types: what does not fit together does not compile. [`BuiltPipeline`] runs it.
//!
//! ```
//! use isograd_datasets::pipeline::{Branch, Pipeline, Rebatch};
//!
//! let decode = |k: u32| Ok::<_, String>((0..100).map(|row| 100 * k + row).collect::<Vec<_>>());
//! let count = |name: &str| Branch::new({
//!     let name = name.to_owned();
//!     move |batches| batches.fold(name, 0, |sum: &mut usize, batch: std::sync::Arc<Vec<u32>>| {
//!         *sum += batch.len();
//!         Ok::<_, String>(())
//!     })
//! });
//! let mut out = Pipeline::new()
//!     .source("chunks", 0..10_u32)
//!     .stage("decode", decode).workers(2)
//!     .regulate("mini-batches", Rebatch::new(64))
//!     .fan_out([count("model a"), count("model b")])
//!     .build()?
//!     .run()?;
//! assert_eq!([out.take::<usize>("model a")?, out.take::<usize>("model b")?], [1000, 1000]);
//! assert!(out.monitor().to_string().contains("decode"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The same bits
//!
//! Each stage hands on its items in the order of its input, however many workers it has. So the order of a
//! stream is a function of its source, and what is computed from it in order has the same bits in every run.
//! What gives that up says so: [`unordered`](Stream::unordered), [`compete`](Stream::compete),
//! [`merge`](Pipeline::merge), and a [`cycle`](Stream::cycle) with several items inside.
//!
//! # Ends
//!
//! A run ends when its sources have ended and every item has reached its sink; or at the first error or panic
//! of a stage, a [cancellation](CancelHandle) or a [deadline](BuiltPipeline::deadline). In the second case,
//! queues drop their items and every thread ends after the item that it works on. Stages that wait for each
//! other for ever (a join behind a fan-out, one branch of which gathers more items than the queue of the
//! other holds) are found, and named. Panics are caught only where they unwind, not in a program built with
//! `panic = "abort"`.

mod builder;
mod command;
mod csv;
mod cycle;
mod diagram;
pub(crate) mod error;
mod files;
mod graph;
mod items;
mod joint;
mod monitor;
mod outcome;
mod pace;
mod queue;
mod regulate;
mod run;
mod samples;
mod sequencer;
mod source;
mod stage;
#[cfg(feature = "object-store")]
mod store;
mod stream;
mod sync;
mod work;

pub use builder::{BuiltPipeline, End, Pipeline};
pub use command::CommandOutput;
pub use csv::{CsvFile, CsvRecord};
pub use cycle::{Bound, Lap, Step, TooManyRounds};
pub use diagram::Diagram;
pub use error::{BuildError, Cause, PipelineError, RunError, SourceError};
pub use files::{ChunkFile, ChunkFiles, RecordFile, chunk_files};
pub use items::Items;
pub use monitor::{Bottleneck, Monitor, StageReport};
pub use outcome::Outcome;
pub use queue::Stopped;
pub use regulate::{Chunk, Gather, Group, Parts, Rebatch, Rest, Split};
pub use run::{CancelHandle, Run};
pub use samples::{MixedChunks, Samples};
pub use source::{Generator, Once, Source, generator, once};
pub use stage::{Outlet, Regulator, Sink, Transform, Worker};
#[cfg(feature = "object-store")]
pub use store::{
    Address, AddressError, ChunkObject, ChunkObjects, RecordObjects, StoreError, StoreOptions, chunk_objects,
    mirror,
};
pub use stream::{Branch, Inlet, Stream};
