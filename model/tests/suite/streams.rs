//! Trainers that take a stream as their data.

use crate::common::{branching, pool, simplecnn_with_dropout_and_batch_norm};
use isograd_datasets::pipeline::{Branch, Cause, Pipeline, Samples, Sink, Stream};
use isograd_datasets::{Dataset, Synthetic};
use isograd_model::{Network, Shape, TrainConfig, Trainer, zoo};
use rayon::ThreadPool;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const CHUNKS: u64 = 5;
/// Samples of a chunk: several steps, the last of which is short.
const CHUNK: u64 = 72;

/// A chunk of the stream. A real loader would read a file.
fn load(chunk: u64) -> Samples {
    let synthetic = Synthetic { seed: 11, sample_shape: [1, 28, 28], num_classes: 10 };
    let set = synthetic.samples(chunk * CHUNK..(chunk + 1) * CHUNK).expect("samples");
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for index in 0..set.len() {
        let sample = set.sample(index);
        pixels.extend_from_slice(sample.pixels.bytes().expect("bytes"));
        labels.extend(sample.target.class());
    }
    Samples::from_u8(pixels, labels, [1, 28, 28], 10).expect("samples that fit")
}

/// What is trained: a network with its learning rate.
#[derive(Clone, Copy)]
struct Candidate {
    network: fn() -> Network<f32>,
    learning_rate: f64,
}

fn mlp() -> Network<f32> {
    Network::build(zoo::by_name("simplemlp", Shape::image(1, 28, 28), 10).expect("a model"))
        .expect("a network")
}

const CANDIDATES: [Candidate; 4] = [
    Candidate { network: mlp, learning_rate: 0.001 },
    Candidate { network: mlp, learning_rate: 0.01 },
    Candidate { network: branching, learning_rate: 0.001 },
    Candidate { network: simplecnn_with_dropout_and_batch_norm, learning_rate: 0.001 },
];

/// A trainer at the end of a stream: a chunk is an epoch. Its result is the hash of the parameters.
struct Training {
    trainer: Trainer<f32>,
    pool: ThreadPool,
}

impl Training {
    fn new(candidate: Candidate, threads: usize) -> Result<Self, Cause> {
        let pool = pool(threads);
        let Candidate { network, learning_rate } = candidate;
        let config = TrainConfig { batch_size: 32, shard_size: 8, learning_rate, ..TrainConfig::default() };
        Ok(Self { trainer: pool.install(|| Trainer::new(network(), config))?, pool })
    }
}

impl Sink<Arc<Samples>> for Training {
    type Result = String;

    fn consume(&mut self, chunk: Arc<Samples>) -> Result<(), Cause> {
        let (Self { trainer, pool }, data) = (self, chunk.as_arrays()?);
        pool.install(|| trainer.train_epoch(&data, |_| ()))?;
        Ok(())
    }

    fn finish(self) -> Result<String, Cause> {
        Ok(self.trainer.state().params_sha256())
    }
}

/// The hash of a run of its own, on `threads` threads.
fn lonely(candidate: Candidate, threads: usize) -> String {
    let mut training = Training::new(candidate, threads).expect("a trainer");
    for chunk in 0..CHUNKS {
        training.consume(Arc::new(load(chunk))).expect("finite losses");
    }
    training.finish().expect("a hash")
}

#[test]
fn four_networks_from_one_loader_have_the_hashes_of_their_lonely_runs() {
    let loaded = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&loaded);
    let trainer = |(number, candidate): (usize, Candidate)| {
        let name = format!("trainer {number}");
        Branch::new(move |chunks: Stream<Arc<Samples>>| {
            chunks.sink(name, move |_| Training::new(candidate, 1))
        })
    };
    let built = Pipeline::new()
        .source("chunks", 0..CHUNKS)
        .map("load", move |chunk| {
            count.fetch_add(1, Ordering::Relaxed);
            load(chunk)
        })
        .workers(2)
        .fan_out(CANDIDATES.into_iter().enumerate().map(trainer))
        .build()
        .expect("a graph");
    let mut out = built.run().expect("a run");
    assert_eq!(loaded.load(Ordering::Relaxed), CHUNKS as usize, "each chunk is loaded once");
    let mut hashes = Vec::new();
    for (number, candidate) in CANDIDATES.into_iter().enumerate() {
        let hash = out.take::<String>(&format!("trainer {number}")).expect("a hash");
        assert_eq!(hash, lonely(candidate, 1), "trainer {number}");
        hashes.push(hash);
    }
    assert_eq!(lonely(CANDIDATES[0], 2), hashes[0], "the number of threads changes no bit");
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), CANDIDATES.len(), "candidates differ");
}
