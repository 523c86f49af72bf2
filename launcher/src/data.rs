//! The samples to train on and to test with.

use crate::failure::Failure;
use isograd_datasets::{Arrays, Dataset, Synthetic, mnist};
use std::cell::LazyCell;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where samples come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The MNIST in this binary.
    #[cfg(feature = "bundled-mnist")]
    Bundled,
    /// IDX files.
    Folder { name: &'static str, folder: PathBuf },
    /// Random images with a pattern, of MNIST's shape.
    Synthetic,
}

const SYNTHETIC_TRAIN: Range<u64> = 0..6_000;
const SYNTHETIC_TEST: Range<u64> = 6_000..7_000;

/// The samples to test with. Those that cannot fail to load are loaded when they are first used: training starts without
/// waiting for them.
type TestSet = LazyCell<Arrays<'static>, Box<dyn FnOnce() -> Arrays<'static>>>;

impl Source {
    /// The data set's name on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            #[cfg(feature = "bundled-mnist")]
            Self::Bundled => "mnist",
            Self::Folder { name, .. } => name,
            Self::Synthetic => "synthetic",
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
            Self::Folder { folder, .. } => {
                let test = from_folder(folder, mnist::Split::Test)?;
                let train = from_folder(folder, mnist::Split::Train)?;
                let shapes = [train.sample_shape(), test.sample_shape()];
                if shapes[0] != shapes[1] {
                    return Err(Failure::TestShape { train: shapes[0], test: shapes[1] });
                }
                Ok((train, TestSet::new(Box::new(|| test))))
            }
            Self::Synthetic => {
                Ok((synthetic(SYNTHETIC_TRAIN), TestSet::new(Box::new(|| synthetic(SYNTHETIC_TEST)))))
            }
        }
    }

    /// The samples to test with, alone.
    pub(crate) fn load_test(&self) -> Result<Arrays<'static>, Failure> {
        match self {
            #[cfg(feature = "bundled-mnist")]
            Self::Bundled => Ok(mnist::bundled(mnist::Split::Test)),
            Self::Folder { folder, .. } => from_folder(folder, mnist::Split::Test),
            Self::Synthetic => Ok(synthetic(SYNTHETIC_TEST)),
        }
    }
}

fn from_folder(folder: &Path, split: mnist::Split) -> Result<Arrays<'static>, Failure> {
    mnist::from_folder(folder, split)
        .map_err(|source| Failure::Data { option: "--dataset-train-path", source })
}

fn synthetic(samples: Range<u64>) -> Arrays<'static> {
    let sequence = Synthetic { seed: 0, sample_shape: [1, 28, 28], num_classes: mnist::NUM_CLASSES };
    sequence.samples(samples).expect("the range, the shape and the classes are not empty")
}
