//! Training on samples that are read ahead.

use crate::common::build;
use isograd_datasets::augment::{Augmented, HorizontalFlip, RandomCrop};
use isograd_datasets::{
    Dataset, Normalization, Prefetched, ReadError, Request, Sample, SampleBuffer, Synthetic,
};
use isograd_model::layer::*;
use isograd_model::{TrainConfig, Trainer, layers};
use std::sync::Mutex;

const SAMPLES: usize = 150;

/// Keeps what it was told of the samples to come, and which ones were asked for.
struct Recording<'a> {
    parent: &'a dyn Dataset,
    announced: Mutex<Vec<(u32, u32)>>,
    read: Mutex<Vec<(u32, u32)>>,
}

impl<'a> Recording<'a> {
    fn new(parent: &'a dyn Dataset) -> Self {
        Self { parent, announced: Mutex::default(), read: Mutex::default() }
    }
}

impl Dataset for Recording<'_> {
    fn len(&self) -> usize {
        self.parent.len()
    }

    fn sample_shape(&self) -> [usize; 3] {
        self.parent.sample_shape()
    }

    fn num_classes(&self) -> usize {
        self.parent.num_classes()
    }

    fn normalization(&self) -> &Normalization {
        self.parent.normalization()
    }

    fn read<'b>(&'b self, request: Request, buffer: &'b mut SampleBuffer) -> Result<Sample<'b>, ReadError> {
        self.read.lock().unwrap().push((request.epoch, request.index as u32));
        self.parent.read(request, buffer)
    }

    fn announce(&self, epoch: u32, upcoming: &mut dyn Iterator<Item = u32>) {
        self.announced.lock().unwrap().extend(upcoming.map(|index| (epoch, index)));
        self.parent.announce(epoch, &mut std::iter::empty());
    }
}

fn train(data: &dyn Dataset, threads: usize) -> String {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| {
        let network = build::<f32>(layers![Input::new(1, 8, 8), Flatten, Dense::new(4), Softmax]);
        let config = TrainConfig { batch_size: 40, shard_size: 8, ..TrainConfig::default() };
        let mut trainer = Trainer::new(network, config).expect("a valid configuration");
        for _ in 0..3 {
            trainer.train_epoch(data, |_| ()).expect("finite losses");
        }
        trainer.evaluate(data).expect("a finite loss");
        trainer.state().params_sha256()
    })
}

#[test]
fn reading_ahead_changes_no_bit() {
    let sequence = Synthetic { seed: 1, sample_shape: [1, 8, 8], num_classes: 4 };
    let set = sequence.samples(0..SAMPLES as u64).expect("a set");
    let changes = [HorizontalFlip::default().into(), RandomCrop::padded(1).into()];
    let augmented = Augmented::new(&set, 3, changes).expect("they fit");
    let expected = train(&augmented, 1);
    for (readers, ahead, threads) in [(0, 10, 2), (1, 3, 1), (3, 64, 2)] {
        let prefetched = Prefetched::new(&augmented, ahead);
        std::thread::scope(|scope| {
            let _closing = prefetched.closing();
            for _ in 0..readers {
                scope.spawn(|| prefetched.read_ahead());
            }
            assert_eq!(train(&prefetched, threads), expected, "{readers} threads, {ahead} ahead");
        });
    }
}

/// What is announced is what is read, each sample once an epoch; with one thread, in this order.
#[test]
fn all_samples_are_announced_in_order() {
    let sequence = Synthetic { seed: 1, sample_shape: [1, 8, 8], num_classes: 4 };
    let set = sequence.samples(0..SAMPLES as u64).expect("a set");
    for threads in [1, 3] {
        let recording = Recording::new(&set);
        train(&recording, threads);
        let mut announced = recording.announced.into_inner().unwrap();
        let mut read = recording.read.into_inner().unwrap();
        assert_eq!(announced.len(), 4 * SAMPLES);
        if threads > 1 {
            announced.sort_unstable();
            read.sort_unstable();
        }
        assert_eq!(announced, read, "{threads} threads");
    }
}
