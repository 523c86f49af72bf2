//! The samples to train on and to test with.

use crate::cli::plan::Source;
use crate::failure::Failure;
use isograd_datasets::{Arrays, Dataset, Pixels, Sample, Synthetic, Target, mnist};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::cell::LazyCell;
use std::ops::Range;
use std::path::Path;

/// Random images to train on: as many as this, but no more bytes than that. There is a test image for each
/// six of them.
const SYNTHETIC_SAMPLES: u64 = 6_000;
const SYNTHETIC_BYTES: u64 = 128 << 20;

/// The [`digest`] of the built-in samples. It is known, so their 47 MB need not be hashed at each start.
#[cfg(feature = "bundled-mnist")]
const BUNDLED_TRAIN: &str = "c4de972083bfd01adfdb2d323176fa7ffce185f6069361c0504a57835f3934a4";
#[cfg(feature = "bundled-mnist")]
const BUNDLED_TEST: &str = "2535d2e908a0940be5e850e2ca4ed5ababd9cbb1c8c8aabcd919e9181cebfae3";

/// The samples to test with. Samples that cannot fail to load are loaded when they are first used, so that
/// training does not wait for them.
pub(crate) type TestSet = LazyCell<Arrays<'static>, Box<dyn FnOnce() -> Arrays<'static>>>;

impl Source {
    /// The data set's name on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            #[cfg(feature = "bundled-mnist")]
            Self::Bundled => "mnist",
            Self::Folder { name, .. } => name,
            Self::Synthetic { .. } => "synthetic",
        }
    }

    /// The samples to train on, and those to test with.
    pub(crate) fn load(&self) -> Result<(Arrays<'static>, TestSet), Failure> {
        match self {
            #[cfg(feature = "bundled-mnist")]
            Self::Bundled => Ok((
                mnist::bundled(mnist::Split::Train),
                TestSet::new(Box::new(|| mnist::bundled(mnist::Split::Test))),
            )),
            Self::Folder { folder, num_classes, .. } => {
                let test = from_folder(folder, mnist::Split::Test, *num_classes)?;
                let train = from_folder(folder, mnist::Split::Train, *num_classes)?;
                let shapes = [train.sample_shape(), test.sample_shape()];
                if shapes[0] != shapes[1] {
                    return Err(Failure::TestShape { train: shapes[0], test: shapes[1] });
                }
                Ok((train, TestSet::new(Box::new(|| test))))
            }
            Self::Synthetic { sample_shape, num_classes } => {
                let (shape, classes) = (*sample_shape, *num_classes);
                let [train, test] = synthetic_ranges(shape);
                let test = move || synthetic(test, shape, classes);
                Ok((synthetic(train, shape, classes), TestSet::new(Box::new(test))))
            }
        }
    }

    /// Loads the samples to test with, and no others.
    pub(crate) fn load_test(&self) -> Result<Arrays<'static>, Failure> {
        match self {
            #[cfg(feature = "bundled-mnist")]
            Self::Bundled => Ok(mnist::bundled(mnist::Split::Test)),
            Self::Folder { folder, num_classes, .. } => from_folder(folder, mnist::Split::Test, *num_classes),
            Self::Synthetic { sample_shape, num_classes } => {
                let [_, test] = synthetic_ranges(*sample_shape);
                Ok(synthetic(test, *sample_shape, *num_classes))
            }
        }
    }

    /// Digests of the samples to train on and to test with. Equal samples have equal digests, wherever they
    /// come from.
    pub(crate) fn digests(&self, train: &Arrays<'_>, test: &TestSet) -> [String; 2] {
        match self {
            #[cfg(feature = "bundled-mnist")]
            Self::Bundled => [BUNDLED_TRAIN, BUNDLED_TEST].map(str::to_string),
            _ => [digest(train), digest(test)],
        }
    }

    /// The first of the [`digests`](Self::digests) alone.
    pub(crate) fn train_digest(&self, train: &Arrays<'_>) -> String {
        match self {
            #[cfg(feature = "bundled-mnist")]
            Self::Bundled => BUNDLED_TRAIN.to_string(),
            _ => digest(train),
        }
    }

    /// The second of the [`digests`](Self::digests) alone.
    pub(crate) fn test_digest(&self, test: &Arrays<'_>) -> String {
        match self {
            #[cfg(feature = "bundled-mnist")]
            Self::Bundled => BUNDLED_TEST.to_string(),
            _ => digest(test),
        }
    }
}

/// The number of samples that a thread hashes at a time.
const CHUNK: usize = 1000;

/// The SHA-256 of the hashes of all chunks. The hash of a [`CHUNK`] of samples is the SHA-256 of their pixels
/// and targets, in order and little-endian.
fn digest(samples: &Arrays<'_>) -> String {
    let chunk = |index: usize| {
        let mut hash = Sha256::new();
        for index in index * CHUNK..samples.len().min((index + 1) * CHUNK) {
            let Sample { pixels, target } = samples.sample(index);
            match pixels {
                Pixels::U8(bytes) => hash.update(bytes),
                Pixels::F32(values) => values.iter().for_each(|value| hash.update(value.to_le_bytes())),
            }
            match target {
                Target::Class(label) => hash.update(label.to_le_bytes()),
                Target::Values(values) => values.iter().for_each(|value| hash.update(value.to_le_bytes())),
            }
        }
        hash.finalize()
    };
    let chunks: Vec<_> = (0..samples.len().div_ceil(CHUNK)).into_par_iter().map(chunk).collect();
    let mut hash = Sha256::new();
    chunks.iter().for_each(|digest| hash.update(digest));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_folder(folder: &Path, split: mnist::Split, num_classes: usize) -> Result<Arrays<'static>, Failure> {
    mnist::from_folder(folder, split, num_classes)
        .map_err(|source| Failure::Data { option: "--dataset-train-path", source })
}

/// Which samples of the random sequence are to train on, and which to test with.
fn synthetic_ranges(sample_shape: [usize; 3]) -> [Range<u64>; 2] {
    let bytes = sample_shape.iter().product::<usize>() as u64;
    let train = (SYNTHETIC_BYTES / bytes.max(1)).clamp(6, SYNTHETIC_SAMPLES);
    [0..train, train..train + train / 6]
}

fn synthetic(samples: Range<u64>, sample_shape: [usize; 3], num_classes: usize) -> Arrays<'static> {
    let sequence = Synthetic { seed: 0, sample_shape, num_classes };
    sequence.samples(samples).expect("the range, the shape and the classes are not empty")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "bundled-mnist")]
    #[test]
    fn the_digests_of_what_is_built_in_are_known() {
        assert_eq!(digest(&mnist::bundled(mnist::Split::Train)), BUNDLED_TRAIN);
        assert_eq!(digest(&mnist::bundled(mnist::Split::Test)), BUNDLED_TEST);
    }

    #[test]
    fn a_pixel_or_a_label_changes_the_digest() {
        let of = |pixels: [u8; 4], labels: [u32; 2]| {
            digest(&Arrays::from_u8(pixels.to_vec(), labels.to_vec(), [1, 1, 2], 10).unwrap())
        };
        let digests = [of([1, 2, 3, 4], [5, 6]), of([1, 2, 3, 5], [5, 6]), of([1, 2, 3, 4], [5, 7])];
        assert_eq!(of([1, 2, 3, 4], [5, 6]), digests[0]);
        assert!(digests[0] != digests[1] && digests[0] != digests[2], "{digests:?}");
    }
}
