//! Training of the networks of the zoo on random images with all threads: samples per second. The batch
//! has 64 images of CIFAR's size or 16 of ImageNet's; a run is two steps.
//!
//! As a test, each ImageNet network of at most [`TESTED_MULTIPLY_ADDS`] takes two steps of two images;
//! those of CIFAR's size take steps in the tests of the model crate.

use isograd_benches::{Suite, Work};
use isograd_datasets::{Dataset, Synthetic};
use isograd_kernels::Isa;
use isograd_model::zoo::{self, Model};
use isograd_model::{Network, TrainConfig, Trainer};
use std::time::Duration;

/// Larger networks take too long for a test.
const TESTED_MULTIPLY_ADDS: u64 = 1_600_000_000;

fn trainer(isa: Isa, model: &Model, batch_size: usize) -> Trainer<f32> {
    let network = Network::build(model.layers(model.input, model.classes)).expect("a network of the zoo");
    let config =
        TrainConfig { batch_size, shard_size: batch_size.div_ceil(2), isa, ..TrainConfig::default() };
    Trainer::new(network, config).expect("a valid configuration")
}

fn throughput(suite: &mut Suite, isa: Isa, model: &Model, batch_size: usize) {
    let threads = rayon::current_num_threads();
    let samples = 2 * batch_size;
    suite.custom(isa, threads, model.name, Work::Samples(samples), || {
        let mut trainer = trainer(isa, model, batch_size);
        let sample_shape = [model.input.c, model.input.h, model.input.w];
        let images = Synthetic { seed: 1, sample_shape, num_classes: model.classes };
        let images = images.samples(0..samples as u64).expect("a data set");
        move |runs| {
            let mut time = Duration::ZERO;
            for _ in 0..runs {
                let report = trainer.train_epoch(&images, |_| ()).expect("finite losses");
                assert_eq!((report.steps, report.train.samples), (2, images.len()));
                time += report.elapsed;
            }
            time
        }
    });
}

fn main() {
    // Cargo runs the benchmarks with this argument, and tests without.
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let mut suite = Suite::with_samples("networks", 10, Duration::from_secs(2));
    for isa in suite.levels() {
        for model in zoo::ALL.iter().filter(|model| model.input.c == 3) {
            let is_large = model.input.h > 64;
            if is_measured {
                throughput(&mut suite, isa, model, if is_large { 16 } else { 64 });
            } else if is_large {
                let layers = model.layers(model.input, model.classes);
                let network = Network::<f32>::build(layers).expect("a network of the zoo");
                if network.multiply_adds() <= TESTED_MULTIPLY_ADDS {
                    throughput(&mut suite, isa, model, 2);
                }
            }
        }
    }
    suite.finish();
}
