//! Pipelines: items per second through stages that do nothing, and training from a stream against training
//! from memory.
//!
//! ```text
//! empty          a source, a stage and a sink, one worker each
//! memory         simplecnn on a set in memory, on one thread
//! stream         the same samples, of which a stage makes each chunk anew
//! one by one     four simplecnn on one stream each, one after the other, each on all cores
//! together       the same four on one stream, each on a thread of its own
//! ```

use isograd_benches::{Suite, Work};
use isograd_datasets::pipeline::{Branch, Cause, Pipeline, Samples, Sink, Stream};
use isograd_datasets::{Dataset, Subset, mnist, validation_split};
use isograd_kernels::Isa;
use isograd_model::{Network, Shape, TrainConfig, Trainer, zoo};
use rayon::ThreadPool;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ITEMS: u64 = 1_000_000;
/// Samples of a chunk, and chunks of a run.
const CHUNK: usize = 4096;
const CHUNKS: u64 = 4;
const RATES: [f64; 4] = [1e-3, 2e-3, 3e-3, 4e-3];

/// A trainer at the end of a stream: a chunk is an epoch. Its result is the hash of the parameters.
struct Training {
    trainer: Trainer<f32>,
    pool: Arc<ThreadPool>,
}

impl Training {
    fn new(isa: Isa, learning_rate: f64, pool: Arc<ThreadPool>) -> Result<Self, Cause> {
        let layers = zoo::simplecnn(Shape::image(1, 28, 28), mnist::NUM_CLASSES);
        let config = TrainConfig { isa, learning_rate, ..TrainConfig::default() };
        let trainer = pool.install(|| Trainer::new(Network::build(layers)?, config))?;
        Ok(Self { trainer, pool })
    }

    fn epoch(&mut self, data: &dyn Dataset) -> Result<(), Cause> {
        let Self { trainer, pool } = self;
        pool.install(|| trainer.train_epoch(data, |_| ()))?;
        Ok(())
    }

    fn hash(&self) -> String {
        self.trainer.state().params_sha256()
    }
}

impl Sink<Arc<Samples>> for Training {
    type Result = String;

    fn consume(&mut self, chunk: Arc<Samples>) -> Result<(), Cause> {
        self.epoch(&chunk.as_arrays()?)
    }

    fn finish(self) -> Result<String, Cause> {
        Ok(self.hash())
    }
}

fn pool(threads: usize) -> Arc<ThreadPool> {
    Arc::new(rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started"))
}

/// The pixels and the labels of a data set.
fn copied(data: &Subset<'_>) -> (Vec<u8>, Vec<u32>) {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let mut buffer = isograd_datasets::SampleBuffer::new();
    for index in 0..data.len() {
        let sample =
            data.read(isograd_datasets::Request::new(index), &mut buffer).expect("MNIST is in memory");
        pixels.extend_from_slice(sample.pixels.bytes().expect("MNIST has bytes"));
        labels.extend(sample.target.class());
    }
    (pixels, labels)
}

/// Trains with each of `rates` from one stream, each on a pool of `threads`; returns the time and the hashes.
fn from_stream(
    isa: Isa,
    rates: &[f64],
    threads: usize,
    data: &Arc<(Vec<u8>, Vec<u32>)>,
) -> (Duration, Vec<String>) {
    let data = Arc::clone(data);
    let load = move |_: u64| {
        let (pixels, labels) = (*data).clone();
        Samples::from_u8(pixels, labels, [1, 28, 28], mnist::NUM_CLASSES)
    };
    let names: Vec<String> = rates.iter().map(|rate| format!("trainer {rate}")).collect();
    let branches = rates.iter().zip(&names).map(|(rate, name)| {
        let (rate, name, pool) = (*rate, name.clone(), pool(threads));
        Branch::new(move |chunks: Stream<Arc<Samples>>| {
            chunks.sink(name, move |_| Training::new(isa, rate, Arc::clone(&pool)))
        })
    });
    let chunks = Pipeline::new().source("chunks", 0..CHUNKS).stage("load", load).buffer(2);
    let built = chunks.fan_out(branches.collect::<Vec<_>>()).build().expect("a graph");
    let start = Instant::now();
    let mut out = built.run().expect("a run");
    let elapsed = start.elapsed();
    (elapsed, names.iter().map(|name| out.take(name).expect("a hash")).collect())
}

fn empty(suite: &mut Suite) {
    suite.custom(Isa::best(), 3, "empty stages", Work::Items(ITEMS as usize), || {
        let add = |count: &mut u64, _: u64| {
            *count += 1;
            Ok::<_, Cause>(())
        };
        let stages = Pipeline::new().source("numbers", 0..ITEMS).map("pass", |n| n);
        let built = stages.fold("count", 0, add).build().expect("a graph");
        move |runs| {
            let start = Instant::now();
            for _ in 0..runs {
                let mut out = built.run().expect("a run");
                assert_eq!(out.take::<u64>("count").expect("a count"), ITEMS);
            }
            start.elapsed()
        }
    });
}

fn main() {
    let all = mnist::bundled(mnist::Split::Train);
    let left_out = 1.0 - CHUNK as f64 / all.len() as f64;
    let data = validation_split(&all, left_out).expect("a part of the samples").train;
    let copy = Arc::new(copied(&data));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let samples = CHUNK * CHUNKS as usize;
    let mut suite = Suite::with_samples("pipeline", 10, Duration::from_secs(8));
    empty(&mut suite);
    for isa in suite.levels() {
        // In memory, from the start: what a stream is compared with, also by its hash.
        let memory = |pool: &Arc<ThreadPool>| {
            let mut training = Training::new(isa, RATES[0], Arc::clone(pool)).expect("a trainer");
            let start = Instant::now();
            (0..CHUNKS).for_each(|_| training.epoch(&data).expect("finite losses"));
            (start.elapsed(), training.hash())
        };
        suite.custom(isa, 1, "simplecnn from memory", Work::Samples(samples), || {
            let pool = pool(1);
            move |runs| (0..runs).map(|_| memory(&pool).0).sum()
        });
        suite.custom(isa, 1, "simplecnn from a stream", Work::Samples(samples), || {
            let (expected, copy) = (memory(&pool(1)).1, Arc::clone(&copy));
            move |runs| {
                let run = |_| {
                    let (elapsed, hashes) = from_stream(isa, &RATES[..1], 1, &copy);
                    assert_eq!(hashes[0], expected, "the stream changes bits");
                    elapsed
                };
                (0..runs).map(run).sum()
            }
        });
        let four = samples * RATES.len();
        suite.custom(isa, cores, "four simplecnn, one by one", Work::Samples(four), || {
            let copy = Arc::clone(&copy);
            move |runs| {
                let alone = |rate: &f64| from_stream(isa, &[*rate], cores, &copy).0;
                (0..runs).map(|_| RATES.iter().map(alone).sum::<Duration>()).sum()
            }
        });
        suite.custom(isa, cores, "four simplecnn, one stream", Work::Samples(four), || {
            let copy = Arc::clone(&copy);
            let expected = from_stream(isa, &RATES[1..2], cores, &copy).1;
            move |runs| {
                let run = |_| {
                    let (elapsed, hashes) = from_stream(isa, &RATES, 1, &copy);
                    assert_eq!(hashes[1], expected[0], "company changes bits");
                    elapsed
                };
                (0..runs).map(run).sum()
            }
        });
    }
    suite.finish();
}
