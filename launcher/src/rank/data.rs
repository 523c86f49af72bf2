//! The samples to train on and to test with.

use super::remote_data::local;
use crate::cli::source::{PathSource, Source};
use crate::failure::Failure;
#[cfg(feature = "bundled-mnist")]
use isograd_datasets::mnist;
use isograd_datasets::open::{Format, Opened, open};
use isograd_datasets::{
    self as datasets, Arrays, Dataset, Subset, Synthetic, ValidationSplit, shuffled_split, stratified_split,
    validation_split,
};
use std::cell::LazyCell;
use std::ops::Range;

/// Random images to train on: as many as this, but no more bytes than that. There is a test image for each
/// six of them.
const SYNTHETIC_SAMPLES: u64 = 6_000;
const SYNTHETIC_BYTES: u64 = 128 << 20;

/// The samples to test with. Samples that cannot fail to load are loaded when they are first used, so that
/// training does not wait for them.
pub(crate) type TestSet = LazyCell<Box<dyn Dataset>, Box<dyn FnOnce() -> Box<dyn Dataset>>>;

/// The samples of a run.
pub(crate) struct Samples {
    /// To train on, or to split.
    pub(crate) train: Box<dyn Dataset>,
    /// Whether they may be sorted, so that the last ones are not like the others.
    may_be_sorted: bool,
    /// To validate on, where the data set has them apart.
    validation: Option<Box<dyn Dataset>>,
    test: Option<TestSet>,
    /// Files that were left out, and why.
    pub(crate) skipped: Vec<String>,
}

impl Source {
    /// Loads all samples.
    pub(crate) fn load(&self) -> Result<Samples, Failure> {
        match self {
            #[cfg(feature = "bundled-mnist")]
            Self::Bundled => {
                let test = || Box::new(mnist::bundled(mnist::Split::Test)) as Box<dyn Dataset>;
                Ok(Samples::new(mnist::bundled(mnist::Split::Train), Box::new(test)))
            }
            Self::Named { set, path, test_path, .. } => {
                let test_path = test_path.as_ref().map(|path| local(path, TEST_PATH)).transpose()?;
                let opened = set.open(&local(path, NAMED)?, test_path.as_deref());
                opened.map(Samples::from).map_err(failure(NAMED))
            }
            Self::Path(source) => open_path(source).map(Samples::from),
            Self::Synthetic { sample_shape, num_classes } => {
                let (shape, classes) = (*sample_shape, *num_classes);
                let [train, test] = synthetic_ranges(shape);
                let test = move || Box::new(synthetic(test, shape, classes)) as Box<dyn Dataset>;
                Ok(Samples::new(synthetic(train, shape, classes), Box::new(test)))
            }
        }
    }

    /// Loads the samples to test with, and no others where that is possible.
    pub(crate) fn load_test(&self) -> Result<Box<dyn Dataset>, Failure> {
        self.find_test()?.ok_or_else(without_test)
    }

    /// As [`load_test`](Self::load_test); `None` for a set without such samples.
    pub(crate) fn find_test(&self) -> Result<Option<Box<dyn Dataset>>, Failure> {
        let test: Box<dyn Dataset> = match self {
            #[cfg(feature = "bundled-mnist")]
            Self::Bundled => Box::new(mnist::bundled(mnist::Split::Test)),
            Self::Named { set, path, test_path, .. } => {
                let path = match test_path {
                    Some(path) => local(path, TEST_PATH)?,
                    None => local(path, NAMED)?,
                };
                Box::new(set.open_test(&path).map_err(failure(NAMED))?)
            }
            // The training samples say what the others mean: their classes, their categories.
            Self::Path(source) => return Ok(open_path(source)?.test),
            Self::Synthetic { sample_shape, num_classes } => {
                let [_, test] = synthetic_ranges(*sample_shape);
                Box::new(synthetic(test, *sample_shape, *num_classes))
            }
        };
        Ok(Some(test))
    }

    /// Loads samples that show the shape and the classes of all: the fewest where there is a choice.
    pub(crate) fn load_some(&self) -> Result<Box<dyn Dataset>, Failure> {
        match self {
            Self::Path(source) => Ok(open_path(source)?.train),
            _ => self.load_test(),
        }
    }

    /// Digests of the samples to train on, to validate on and to test with, which ranks compare. Equal
    /// samples have equal digests.
    pub(crate) fn digests(&self, samples: &Samples) -> Result<Vec<(&'static str, String)>, Failure> {
        #[cfg(feature = "bundled-mnist")]
        if matches!(self, Self::Bundled) {
            return Ok([(TRAIN, mnist::Split::Train), (TEST, mnist::Split::Test)]
                .map(|(name, split)| (name, format!("sha256:{}", mnist::bundled_digest(split))))
                .to_vec());
        }
        let mut digests = vec![(TRAIN, digest(&*samples.train)?)];
        if let Some(validation) = &samples.validation {
            digests.push((VALIDATION, digest(&**validation)?));
        }
        if let Some(test) = &samples.test {
            digests.push((TEST, digest(&***test)?));
        }
        Ok(digests)
    }

    /// The digest of the training samples alone.
    pub(crate) fn train_digest(&self, train: &dyn Dataset) -> Result<String, Failure> {
        #[cfg(feature = "bundled-mnist")]
        if matches!(self, Self::Bundled) {
            return Ok(format!("sha256:{}", mnist::bundled_digest(mnist::Split::Train)));
        }
        digest(train)
    }

    /// The digest of the test samples alone.
    pub(crate) fn test_digest(&self, test: &dyn Dataset) -> Result<(&'static str, String), Failure> {
        #[cfg(feature = "bundled-mnist")]
        if matches!(self, Self::Bundled) {
            return Ok((TEST, format!("sha256:{}", mnist::bundled_digest(mnist::Split::Test))));
        }
        Ok((TEST, digest(test)?))
    }
}

/// Names of the samples for other ranks: they name the options that choose them.
const TRAIN: &str = "the training samples (--dataset, --dataset-train-path)";
const VALIDATION: &str = "the validation samples (--dataset)";
const TEST: &str = "the test samples (--dataset, --dataset-train-path)";

/// The option that chooses the files of a set with a name, and the files of any other.
const NAMED: &str = "--dataset-train-path";
const PATH: &str = "--dataset";
/// The option that chooses the files of test samples that are elsewhere.
const TEST_PATH: &str = "--dataset-test-path";

pub(super) const NO_TEST: &str = "the data set has no test samples";
/// The ways out of a training, which can put samples aside.
pub(super) const TEST_HINT: &str =
    "--dataset-test-path says where they are; with --validation-split, the validation samples are tested";

fn failure(option: &'static str) -> impl Fn(datasets::Error) -> Failure {
    move |source| Failure::Data { option, source }
}

fn open_path(source: &PathSource) -> Result<Opened, Failure> {
    let PathSource { path, test_path, options, .. } = source;
    let test_path = test_path.as_ref().map(|path| local(path, TEST_PATH)).transpose()?;
    let opened = open(&local(path, PATH)?, test_path.as_deref(), options).map_err(failure(PATH))?;
    source.check(opened.format)?;
    Ok(opened)
}

fn digest(set: &dyn Dataset) -> Result<String, Failure> {
    let digest = set.digest().map_err(|reason| Failure::Digest { reason })?;
    Ok(format!("sha256:{digest}"))
}

pub(crate) fn without_test() -> Failure {
    let hint = "--dataset-test-path says where they are".to_string();
    Failure::Usage { problem: NO_TEST.to_string(), hint: Some(hint) }
}

impl From<Opened> for Samples {
    fn from(opened: Opened) -> Self {
        let Opened { format, train, validation, test, skipped } = opened;
        // Images are mixed by class; IDX and CIFAR are published in random order.
        let may_be_sorted = matches!(format, Format::Table | Format::Arrays | Format::Shards);
        let test = test.map(|test| TestSet::new(Box::new(|| test)));
        Self { train, may_be_sorted, validation, test, skipped }
    }
}

impl Samples {
    fn new(train: Arrays<'static>, test: Box<dyn FnOnce() -> Box<dyn Dataset>>) -> Self {
        let test = Some(TestSet::new(test));
        Self { train: Box::new(train), may_be_sorted: false, validation: None, test, skipped: Vec::new() }
    }

    /// The samples to train and to validate on, each class with its share if `stratify` says so. A set that
    /// has validation samples of its own is not split.
    pub(crate) fn parts(&self, split: f64, stratify: bool) -> Result<ValidationSplit<'_>, Failure> {
        let parts = match &self.validation {
            Some(_) if split > 0.0 => {
                let problem = "--validation-split: the data set has validation samples of its own";
                return Err(Failure::Usage { problem: problem.to_string(), hint: None });
            }
            Some(validation) => ValidationSplit {
                train: Subset::new(&*self.train, 0..self.train.len()),
                validation: Subset::new(&**validation, 0..validation.len()),
            },
            None => {
                // Without a split, all samples stay in the order of the set.
                let split_set = match split > 0.0 {
                    true if stratify => stratified_split,
                    true if self.may_be_sorted => shuffled_split,
                    _ => validation_split,
                };
                split_set(&*self.train, split).map_err(failure("--validation-split"))?
            }
        };
        Ok(parts)
    }

    /// The samples to train on, with those to test with as the ones to validate on.
    pub(crate) fn parts_with_test(&self) -> Result<ValidationSplit<'_>, Failure> {
        if self.validation.is_some() {
            let problem = "--test-as-validation: the data set has validation samples of its own";
            return Err(Failure::Usage { problem: problem.to_string(), hint: None });
        }
        let test: &dyn Dataset = &***self.test.as_ref().ok_or_else(without_test)?;
        Ok(ValidationSplit {
            train: Subset::new(&*self.train, 0..self.train.len()),
            validation: Subset::new(test, 0..test.len()),
        })
    }

    /// All parts by name.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'static str, &dyn Dataset)> {
        let validation = self.validation.as_ref().map(|set| ("validation", &**set));
        let test = self.test.as_ref().map(|set| ("test", &***set));
        [Some(("training", &*self.train)), validation, test].into_iter().flatten()
    }

    /// The samples to test with: those to validate on if there are no others, and `None` without either.
    pub(crate) fn test<'a>(&'a self, parts: &'a ValidationSplit<'_>) -> Option<&'a dyn Dataset> {
        match &self.test {
            Some(test) => Some(&***test),
            None => (!parts.validation.is_empty()).then_some(&parts.validation as &dyn Dataset),
        }
    }
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
