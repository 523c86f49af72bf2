//! Data sets for training: what a sample is, where samples come from, and in which order they are
//! seen.
//!
//! A [`Dataset`] hands out one sample at a time, in place where it can: raw `u8` or `f32` values in
//! `[C, H, W]` order and the target, a class or numbers. Nothing is normalised or laid out ahead of time. The
//! thread that trains on a shard reads the shard's samples, and applies the [`Normalization`] in the same
//! pass that brings them into its own layout:
//!
//! ```text
//! dataset.order(seed, epoch, &mut order)                      // once an epoch
//! for n, index in order[shard]:                             // in the thread that owns the shard
//!     sample = dataset.read(index, epoch)
//!     targets[n] = sample.target
//!     x[c, h, w, n] = scale[c] * sample.pixels[c, h, w] + shift[c]
//! ```
//!
//! | module | what it offers |
//! | --- | --- |
//! | [`mnist`] | the bundled MNIST; MNIST and sets in its format from a folder |
//! | [`idx`] | the file format of both |
//! | [`cifar`] | CIFAR-10 and CIFAR-100 |
//! | [`images`] | folders of images, and [tar files](images::shards) of them |
//! | [`table`] | CSV files |
//! | [`tensors`] | npz and safetensors files |
//! | [`inputs`] | arrays of samples without targets |
//! | [`open`] | whatever is at a path |
//! | [`arrays`] | samples that the caller holds in memory |
//! | [`synthetic`] | a seeded set of any size with a pattern that a network can learn |
//! | [`pipeline`] | streams of data through stages, for what never fits in memory |
//! | [`split`] | the validation split |
//! | [`shuffle`] | the order of the samples in an epoch |
//! | [`prefetch`] | samples read ahead by threads of the caller |
//! | [`statistics`] | mean and deviation of a set, for its normalization |
//! | [`augment`] | random changes of samples: flips, crops, colours, mixup |
//!
//! # Example
//!
//! ```
//! use isograd_datasets::{Dataset, Request, SampleBuffer, Synthetic, validation_split};
//!
//! let set = Synthetic { seed: 7, sample_shape: [1, 8, 8], num_classes: 3 }.samples(0..100)?;
//! let parts = validation_split(&set, 0.2)?;
//! let mut order = vec![0; parts.train.len()];
//! parts.train.order(42, 0, &mut order);
//! let mut buffer = SampleBuffer::new();
//! let first = parts.train.read(Request::new(order[0] as usize), &mut buffer)?;
//! assert!(first.target.class().unwrap() < 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod arrays;
pub mod augment;
pub mod cifar;
mod count;
mod csv;
pub mod dataset;
pub mod digest;
pub mod error;
mod gzip;
pub mod idx;
pub mod images;
pub mod inputs;
pub mod mnist;
pub mod normalization;
mod normalized;
pub mod open;
pub mod parent;
pub mod parts;
mod philox;
pub mod pipeline;
#[cfg(feature = "bundled-mnist")]
mod pixel_runs;
pub mod prefetch;
mod repeated;
mod resample;
pub mod shuffle;
pub mod split;
pub mod statistics;
mod stratified;
pub mod synthetic;
pub mod table;
mod tar;
pub mod tensors;

pub use arrays::Arrays;
pub use augment::{AugmentError, Augmented};
pub use dataset::{
    Chunks, Dataset, OuterBuffer, Pixels, ReadError, Request, Sample, SampleBuffer, SampleError, Target,
    check_sample,
};
pub use error::{
    ArrayError, Error, FileError, FormatError, IdxError, ImageError, NormalizationError, SplitError,
    SyntheticError,
};
pub use normalization::Normalization;
pub use normalized::Normalized;
pub use parent::Parent;
pub use parts::{Part, Parts};
pub use prefetch::Prefetched;
pub use repeated::Repeated;
pub use shuffle::{chunked_order, epoch_order};
pub use split::{Subset, ValidationSplit, shuffled_split, validation_split};
pub use statistics::{Moments, Published};
pub use stratified::stratified_split;
pub use synthetic::Synthetic;

// The example of the README is a test, where the files that it uses are built in.
#[cfg(all(doctest, feature = "bundled-mnist"))]
#[doc = include_str!("../README.md")]
struct Readme;
