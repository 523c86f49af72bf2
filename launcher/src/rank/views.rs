//! Samples as the network sees them: normalised, in one size, and in training changed at random.

use crate::cli::augment_plan::{AugmentPlan, InputPlan, NormalizePlan};
use crate::failure::Failure;
use isograd_datasets::augment::{AugmentError, Augmented};
use isograd_datasets::{
    Dataset, Moments, Normalization, Normalized, Parent, Request, SampleBuffer, SampleError, ValidationSplit,
};
use isograd_model::{DataError, Error};
use rayon::prelude::*;

/// The samples of a training run.
pub(crate) struct Views<'a> {
    /// Changed at random, if the plan says so.
    pub(crate) train: Parent<'a>,
    /// The same samples without random changes.
    pub(crate) plain: Parent<'a>,
    pub(crate) validation: Parent<'a>,
    /// What the plan says instead of what the data set does.
    pub(crate) normalization: Option<Normalization>,
}

impl<'a> Views<'a> {
    /// The views of `parts` that `plan` describes; random changes are drawn by `seed`.
    pub(crate) fn new(
        plan: &AugmentPlan,
        parts: &'a ValidationSplit<'_>,
        seed: u64,
    ) -> Result<Self, Failure> {
        let normalization = normalization(&plan.input, &parts.train)?;
        let train = normalized(&parts.train, normalization.as_ref())?;
        let is_changed = plan.transformations().next().is_some() || plan.mixing.is_some();
        let train = match is_changed {
            true => {
                let augmented = Augmented::new(train, seed, plan.transformations()).map_err(refused)?;
                let augmented = match plan.mixing {
                    Some(mixing) => augmented.with_mixing(mixing).map_err(refused)?,
                    None => augmented,
                };
                Parent::Owned(Box::new(augmented))
            }
            false => train,
        };
        Ok(Self {
            train,
            plain: in_tests(&plan.input, &parts.train, normalization.as_ref())?,
            validation: in_tests(&plan.input, &parts.validation, normalization.as_ref())?,
            normalization,
        })
    }
}

/// The samples of `set` as they are tested, under `normalization` if it is given.
pub(crate) fn in_tests<'a>(
    plan: &InputPlan,
    set: &'a dyn Dataset,
    normalization: Option<&Normalization>,
) -> Result<Parent<'a>, Failure> {
    let set = normalized(set, normalization)?;
    match plan.in_tests(&*set) {
        // Nothing is drawn, whatever the seed.
        Some(size) => Ok(Parent::Owned(Box::new(Augmented::new(set, 0, [size]).map_err(refused)?))),
        None => Ok(set),
    }
}

/// The normalization that `plan` asks for, if it does; that of `train` is computed in parallel.
pub(crate) fn normalization(plan: &InputPlan, train: &dyn Dataset) -> Result<Option<Normalization>, Failure> {
    let of_set = train.normalization();
    let normalization = match &plan.normalize {
        None => return Ok(None),
        Some(NormalizePlan::Published(published)) => of_set.standardized(published.mean, published.std),
        Some(NormalizePlan::Given(mean, std)) => of_set.standardized(mean, std),
        Some(NormalizePlan::Computed) => moments(train)?.normalization(),
        Some(NormalizePlan::Saved { bytes, floats }) => {
            let [scale, shift] = if has_bytes(train)? { bytes } else { floats }.clone();
            Normalization::new(scale, shift)
        }
    };
    normalization.map(Some).map_err(|source| Failure::Data { option: "--normalize", source })
}

/// Whether samples are bytes, by the first one.
pub(crate) fn has_bytes(set: &dyn Dataset) -> Result<bool, Failure> {
    let mut buffer = SampleBuffer::new();
    match set.read(Request::new(0), &mut buffer) {
        Ok(sample) => Ok(sample.pixels.bytes().is_some()),
        Err(reason) => {
            let sample = set.describe(0);
            Err(Error::Data(DataError::Sample(SampleError::Read { sample, reason })).into())
        }
    }
}

/// The moments of all samples; the same bits on any number of threads.
pub(crate) fn moments(set: &dyn Dataset) -> Result<Moments, Failure> {
    let blocks: Vec<_> = Moments::blocks(set.len()).collect();
    let of_block = |block| Moments::of(set, block, &mut SampleBuffer::new());
    let parts: Result<Vec<_>, SampleError> = blocks.into_par_iter().map(of_block).collect();
    let mut moments = Moments::default();
    parts.map_err(|error| Error::Data(DataError::Sample(error)))?.iter().for_each(|part| moments.add(part));
    Ok(moments)
}

fn normalized<'a>(
    set: &'a dyn Dataset,
    normalization: Option<&Normalization>,
) -> Result<Parent<'a>, Failure> {
    let Some(normalization) = normalization else { return Ok(Parent::Borrowed(set)) };
    let normalized = Normalized::new(set, normalization.clone());
    let normalized = normalized.map_err(|source| Failure::Data { option: "--normalize", source })?;
    Ok(Parent::Owned(Box::new(normalized)))
}

/// Options that do not fit the samples.
fn refused(error: AugmentError) -> Failure {
    Failure::Usage { problem: error.to_string(), hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plan::TrainPlan;
    use crate::cli::{Arguments, Command};
    use clap::Parser;
    use isograd_datasets::{Arrays, Synthetic, validation_split};

    fn plan(options: &str) -> AugmentPlan {
        let args =
            ["isograd", "train", "--dataset", "synthetic"].into_iter().chain(options.split_whitespace());
        match Arguments::try_parse_from(args).unwrap().command {
            Command::Train(args) => TrainPlan::try_from(args).unwrap().augment,
            other => panic!("{other:?}"),
        }
    }

    fn set() -> Arrays<'static> {
        Synthetic { seed: 1, sample_shape: [3, 12, 10], num_classes: 4 }.samples(0..2000).unwrap()
    }

    #[test]
    fn without_options_samples_are_as_they_are() {
        let set = set();
        let parts = validation_split(&set, 0.25).unwrap();
        let views = Views::new(&plan(""), &parts, 1).unwrap();
        for view in [&views.train, &views.plain, &views.validation] {
            assert!(matches!(view, Parent::Borrowed(_)));
        }
    }

    #[test]
    fn training_samples_alone_are_changed() {
        let set = set();
        let parts = validation_split(&set, 0.25).unwrap();
        let views = Views::new(&plan("--crop 8 --flip --normalize computed --mixup 1"), &parts, 1).unwrap();
        let read = |view: &dyn Dataset, epoch| {
            let mut buffer = SampleBuffer::new();
            view.read(Request { index: 5, epoch }, &mut buffer).unwrap().pixels.bytes().unwrap().to_vec()
        };
        assert_ne!(read(&*views.train, 0), read(&*views.train, 1));
        for view in [&views.plain, &views.validation] {
            assert_eq!(read(&**view, 0), read(&**view, 1));
            assert_eq!((view.sample_shape(), view.target_values()), ([3, 8, 8], None));
        }
        assert_eq!((views.train.sample_shape(), views.train.target_values()), ([3, 8, 8], Some(4)));
        assert_eq!((views.train.len(), views.validation.len()), (1500, 500));
        // Of the training samples alone.
        let expected = Moments::of_all(&parts.train).unwrap().normalization().unwrap();
        assert_eq!(views.normalization, Some(expected.clone()));
        assert_eq!(views.validation.normalization(), &expected);
    }

    #[test]
    fn what_a_run_has_computed_stays_what_it_was_at_its_start() {
        let [set, other] = [
            set(),
            Synthetic { seed: 2, sample_shape: [3, 12, 10], num_classes: 4 }.samples(0..100).unwrap(),
        ];
        let (parts, other) = (validation_split(&set, 0.0).unwrap(), validation_split(&other, 0.0).unwrap());
        let mut plan = plan("--normalize computed");
        let computed = Views::new(&plan, &parts, 1).unwrap().normalization.unwrap();
        let mut told = isograd_model::InputInfo::new([3, 12, 10], 4);
        (told.scale, told.shift) = (computed.scale().to_vec(), computed.shift().to_vec());
        plan.input.keep_computed(None);
        assert_ne!(Views::new(&plan, &other, 1).unwrap().normalization, Some(computed.clone()));
        plan.input.keep_computed(Some(&told));
        assert_eq!(Views::new(&plan, &other, 1).unwrap().normalization, Some(computed));
    }

    #[test]
    fn what_does_not_fit_the_samples_is_refused() {
        let set = set();
        let parts = validation_split(&set, 0.0).unwrap();
        let message = |options| Views::new(&plan(options), &parts, 1).err().expect("an error").to_string();
        assert_eq!(message("--crop 11"), "the random crop takes 11x11 pixels, but the image has 12x10");
        assert_eq!(
            message("--normalize mnist"),
            "--normalize: normalization has 1 channel, but the samples have 3"
        );
    }
}
