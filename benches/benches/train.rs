//! Training of simplecnn and simplemlp on MNIST: samples per second, with one thread and with all threads.
//!
//! A run is one epoch over the first [`SAMPLES`] images. The time is the one that the trainer reports for the
//! epoch: it includes gathering the samples, the passes, the sum over shards and the update, but not the
//! shuffle.

use isograd_benches::{Suite, Work};
use isograd_datasets::{Dataset, Subset, mnist, validation_split};
use isograd_kernels::Isa;
use isograd_model::{Network, Shape, TrainConfig, Trainer, zoo};
use rayon::ThreadPool;
use std::time::Duration;

const SAMPLES: usize = 4096;
const MODELS: [&str; 2] = ["simplecnn", "simplemlp"];
const BATCH_SIZES: [usize; 2] = [64, 256];

fn trainer(isa: Isa, model: &str, batch_size: usize) -> Trainer<f32> {
    let layers =
        zoo::by_name(model, Shape::image(1, 28, 28), mnist::NUM_CLASSES).expect("a model of the zoo");
    let network = Network::build(layers).expect("a model that fits MNIST");
    Trainer::new(network, TrainConfig { batch_size, isa, ..TrainConfig::default() })
        .expect("a valid configuration")
}

/// Trains one epoch on the caller's pool of threads, and returns its time.
fn epoch(trainer: &mut Trainer<f32>, data: &Subset<'_>) -> Duration {
    let report = trainer.train_epoch(data, |_| ()).expect("training on MNIST does not fail");
    assert_eq!(report.train.samples, data.len(), "the epoch did not use all samples");
    report.elapsed
}

fn pool(threads: usize) -> ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started")
}

/// The hash of the parameters after one epoch on one thread, which every number of threads must reproduce.
fn expected_hash(isa: Isa, model: &str, batch_size: usize, data: &Subset<'_>) -> String {
    pool(1).install(|| {
        let mut trainer = trainer(isa, model, batch_size);
        epoch(&mut trainer, data);
        trainer.state().params_sha256()
    })
}

fn throughput(
    suite: &mut Suite,
    isa: Isa,
    model: &str,
    batch_size: usize,
    threads: usize,
    data: &Subset<'_>,
) {
    let name = format!("{model} batch {batch_size} threads {threads}");
    suite.custom(isa, threads, &name, Work::Samples(data.len()), || {
        let pool = pool(threads);
        let mut trainer = pool.install(|| trainer(isa, model, batch_size));
        pool.install(|| epoch(&mut trainer, data));
        let (hash, expected) = (trainer.state().params_sha256(), expected_hash(isa, model, batch_size, data));
        assert_eq!(hash, expected, "{name}: the parameters differ from those of one thread");
        move |runs| pool.install(|| (0..runs).map(|_| epoch(&mut trainer, data)).sum())
    });
}

fn main() {
    let all = mnist::bundled(mnist::Split::Train);
    let left_out = 1.0 - SAMPLES as f64 / all.len() as f64;
    let data = validation_split(&all, left_out).expect("a part of the samples").train;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut threads = vec![1, cores];
    threads.dedup();

    let mut suite = Suite::with_samples("train", 20, Duration::from_secs(4));
    for isa in suite.levels() {
        for model in MODELS {
            for batch_size in BATCH_SIZES {
                for &threads in &threads {
                    throughput(&mut suite, isa, model, batch_size, threads, &data);
                }
            }
        }
    }
    suite.finish();
}
