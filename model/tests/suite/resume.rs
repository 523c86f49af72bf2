//! Runs that are interrupted and gone on with: the bits of a run that was not, wherever it was interrupted,
//! and whatever goes on with it.

use crate::common::build;
use crate::training::pattern;
use isograd_datasets::{Arrays, Dataset, Normalization, ReadError, Request, Sample, SampleBuffer};
use isograd_model::callback::{Callback, Decision, EarlyStopping, Quantity, StopAt};
use isograd_model::layer::*;
use isograd_model::metric::{CategoricalAccuracy, ConfusionMatrix};
use isograd_model::schedule::Cosine;
use isograd_model::{Error, FitEpoch, Network, Observer, Progress, RunInfo, TrainConfig, Trainer, layers};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub(crate) const EPOCHS: u32 = 2;
/// Steps of 20, 20 and 15 samples.
const SAMPLES: u64 = 55;

pub(crate) fn network() -> Network<f32> {
    build(layers![
        Input::new(1, 8, 8),
        Conv2D::new(2, 3),
        BatchNormalization::new(),
        ReLU,
        Flatten,
        Dropout::new(0.25),
        Dense::new(4),
        Softmax
    ])
}

pub(crate) fn config() -> TrainConfig {
    TrainConfig {
        batch_size: 20,
        shard_size: 4,
        seed: 5,
        schedule: Arc::new(Cosine::default()),
        metrics: vec![Arc::new(CategoricalAccuracy), Arc::new(ConfusionMatrix)],
        ema: Some(0.5),
        clip_norm: Some(1.0),
        max_epochs: Some(EPOCHS),
        ..TrainConfig::default()
    }
}

pub(crate) fn data() -> [Arrays<'static>; 2] {
    [pattern(0..SAMPLES), pattern(SAMPLES..SAMPLES + 10)]
}

pub(crate) fn info() -> RunInfo {
    let mut info = RunInfo::new("small");
    info.class_names = ["a", "b", "c", "d"].map(str::to_string).to_vec();
    info.must_agree.push(("training samples".to_string(), "sha256:17".to_string()));
    info
}

/// Saves a checkpoint after each step and each epoch.
pub(crate) struct Saver<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) saved: Vec<PathBuf>,
}

impl Saver<'_> {
    fn save(&mut self, trainer: &Trainer<f32>, callbacks: &[&mut dyn Callback<f32>]) -> Result<(), Error> {
        let folder = self.folder.join(self.saved.len().to_string());
        trainer.save(&folder, &info(), callbacks)?;
        self.saved.push(folder);
        Ok(())
    }
}

impl Observer<f32> for Saver<'_> {
    type Failure = Error;

    fn on_step(
        &mut self,
        trainer: &mut Trainer<f32>,
        callbacks: &[&mut dyn Callback<f32>],
        progress: &Progress<'_>,
    ) -> Result<(), Error> {
        assert_eq!(trainer.position(), progress.samples);
        self.save(trainer, callbacks)
    }

    fn on_epoch(
        &mut self,
        trainer: &mut Trainer<f32>,
        callbacks: &[&mut dyn Callback<f32>],
        _: &FitEpoch,
    ) -> Result<(), Error> {
        assert_eq!(trainer.position(), 0);
        self.save(trainer, callbacks)
    }
}

/// A set that notes which samples are read for which epoch.
struct Audited {
    inner: Arrays<'static>,
    seen: Mutex<Vec<(u32, usize)>>,
}

impl Dataset for Audited {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn sample_shape(&self) -> [usize; 3] {
        self.inner.sample_shape()
    }

    fn num_classes(&self) -> usize {
        self.inner.num_classes()
    }

    fn normalization(&self) -> &Normalization {
        self.inner.normalization()
    }

    fn read<'a>(&'a self, request: Request, buffer: &'a mut SampleBuffer) -> Result<Sample<'a>, ReadError> {
        self.seen.lock().expect("no panic").push((request.epoch, request.index));
        self.inner.read(request, buffer)
    }
}

/// Interrupted again after every step, by a request as a signal makes it.
#[test]
fn every_sample_of_every_epoch_is_seen_exactly_once() {
    let [inner, _] = data();
    let data = Audited { inner, seen: Mutex::default() };
    let folder = tempfile::tempdir().expect("a folder");
    let new = || Trainer::new(network(), config()).expect("a valid configuration");
    let mut unbroken = new();
    unbroken.fit(&pattern(0..SAMPLES), None, EPOCHS, &mut []).expect("finite losses");

    let mut trainer = new();
    for number in 0.. {
        let request = Arc::new(AtomicBool::new(true));
        trainer.stop_on(Arc::clone(&request));
        let epochs = trainer.fit(&data, None, EPOCHS, &mut []).expect("finite losses");
        if !trainer.is_stopped() {
            // The last epoch ended with the step before.
            assert_eq!((trainer.steps(), epochs.len()), (6, 1));
            break;
        }
        // The first step of the second epoch comes when the first epoch, which has no step left, has ended.
        assert_eq!((trainer.steps(), epochs.len()), (number + 1, 1 + usize::from(number == 3)));
        let report = &epochs[epochs.len() - 1].report;
        assert_eq!((report.train.samples, report.resumed_at % 20), (trainer.position(), 0));
        let checkpoint = folder.path().join(number.to_string());
        trainer.save(&checkpoint, &info(), &[]).expect("room for a checkpoint");
        trainer = new();
        trainer.resume(&checkpoint, &info(), &mut []).expect("a checkpoint");
        assert!(!trainer.is_stopped());
    }
    let mut seen = data.seen.into_inner().expect("no panic");
    seen.sort_unstable();
    let expected: Vec<_> =
        (0..EPOCHS).flat_map(|epoch| (0..SAMPLES as usize).map(move |index| (epoch, index))).collect();
    assert_eq!(seen, expected);
    assert_eq!(trainer.state().params_sha256(), unbroken.state().params_sha256());
}

/// A run that a callback has ended stays ended, be it saved in its last step or after its last epoch.
#[test]
fn training_that_a_callback_has_ended_is_over() {
    #[derive(Debug)]
    struct StopInStep(u64);

    impl Callback<f32> for StopInStep {
        fn name(&self) -> &'static str {
            "StopInStep"
        }

        fn on_step_end(&mut self, _: &Progress<'_>) -> Decision {
            self.0 -= 1;
            Decision::stop_if(self.0 == 0)
        }

        fn state(&self) -> Vec<u8> {
            self.0.to_le_bytes().to_vec()
        }

        fn restore(&mut self, bytes: &[u8]) -> Result<(), Error> {
            self.0 = u64::from_le_bytes(bytes.try_into().expect("its own state"));
            Ok(())
        }
    }

    let [train, validation] = data();
    let in_step = || Box::new(StopInStep(2)) as Box<dyn Callback<f32>>;
    let after_epoch = || Box::new(StopAt { quantity: Quantity::Loss, goal: 1e9 }) as Box<dyn Callback<f32>>;
    let callbacks: [&dyn Fn() -> _; 2] = [&in_step, &after_epoch];
    for (callback, steps) in callbacks.into_iter().zip([2, 3]) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut saver = Saver { folder: folder.path(), saved: Vec::new() };
        let run = |checkpoint: Option<&Path>, observer: &mut Saver<'_>| {
            let mut trainer = Trainer::new(network(), config()).expect("a valid configuration");
            let mut callback = callback();
            let mut stopping = EarlyStopping::new(5).restore_best();
            let callbacks: &mut [&mut dyn Callback<f32>] = &mut [&mut *callback, &mut stopping];
            if let Some(checkpoint) = checkpoint {
                trainer.resume(checkpoint, &info(), callbacks).expect("a checkpoint");
            }
            trainer.fit_observed(&train, Some(&validation), 9, callbacks, observer).expect("finite losses");
            (trainer.steps(), trainer.epochs(), trainer.state().params_sha256())
        };
        let expected = run(None, &mut saver);
        assert_eq!((expected.0, expected.1), (steps, 1));
        let saved = saver.saved.clone();
        assert_eq!(saved.len(), steps as usize + 1);
        for checkpoint in &saved {
            let again = tempfile::tempdir().expect("a folder");
            let mut saver = Saver { folder: again.path(), saved: Vec::new() };
            assert_eq!(run(Some(checkpoint), &mut saver), expected, "{}", checkpoint.display());
        }
    }
}

/// Without `fit` and callbacks, and with other data behind the break.
#[test]
fn an_epoch_goes_on_with_its_own_samples_alone() {
    let request = Arc::new(AtomicBool::new(false));
    let mut trainer = Trainer::new(network(), config()).expect("a valid configuration");
    trainer.stop_on(Arc::clone(&request));
    let [train, _] = data();
    let report =
        trainer.train_epoch(&train, |_| request.store(true, Ordering::Relaxed)).expect("finite losses");
    assert_eq!((report.steps, trainer.epochs(), trainer.position()), (2, 0, 40));
    let snapshot = trainer.snapshot(&[]).expect("memory");
    assert_eq!((snapshot.steps(), snapshot.epochs(), snapshot.position()), (2, 0, 40));

    let mut resumed = Trainer::new(network(), config()).expect("a valid configuration");
    resumed.restore(Some(&snapshot), &mut []).expect("a snapshot of this run");
    let error = resumed.train_epoch(&pattern(0..50), |_| ()).expect_err("another set").to_string();
    assert_eq!(error, "the epoch was begun with 55 samples, the data set has 50");
    let report = resumed.train_epoch(&train, |_| ()).expect("finite losses");
    assert_eq!((report.steps, report.train.samples, report.resumed_at), (3, 55, 40));
    let mut unbroken = Trainer::new(network(), config()).expect("a valid configuration");
    let expected = unbroken.train_epoch(&train, |_| ()).expect("finite losses");
    assert_eq!(report.train, expected.train);
    assert_eq!(resumed.state().params_sha256(), unbroken.state().params_sha256());

    // A snapshot in the memory of an earlier one is the same.
    let mut reused = unbroken.snapshot(&[]).expect("memory");
    trainer.snapshot_into(&[], &mut reused);
    let mut again = Trainer::new(network(), config()).expect("a valid configuration");
    again.restore(Some(&reused), &mut []).expect("a snapshot of this run");
    assert_eq!(again.train_epoch(&train, |_| ()).expect("finite losses").train, expected.train);
}

/// Some options of layers are in no tensor and in no summary.
#[test]
fn options_of_layers_belong_to_a_checkpoint() {
    let new = |epsilon, rate| {
        let network = build::<f32>(layers![
            Input::vector(4),
            BatchNormalization::new().epsilon(epsilon),
            Dropout::new(rate),
            Dense::new(4),
            Softmax
        ]);
        Trainer::new(network, config()).expect("a trainer")
    };
    let snapshot = new(0.001, 0.5).snapshot(&[]).expect("memory");
    new(0.001, 0.5).restore(Some(&snapshot), &mut []).expect("the same network");
    for (epsilon, rate) in [(0.001, 0.25), (0.01, 0.5)] {
        let error = new(epsilon, rate).restore(Some(&snapshot), &mut []).expect_err("another network");
        assert!(error.to_string().contains("network"), "{error}");
    }
}
