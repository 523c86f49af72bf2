//! The networks of the zoo on random images with all threads: samples per second. In training, the batch has
//! 64 images of CIFAR's size or 16 of ImageNet's, and a run is two steps; trained networks are used on such a
//! batch ("used"), and on one image, which all threads share ("one image"). Training is measured with values
//! stored as bfloat16s, too; all is, with convolutions in bfloat16, where the CPU has instructions for it.
//!
//! As a test, each ImageNet network of at most [`TESTED_MULTIPLY_ADDS`] takes two steps of two images;
//! those of CIFAR's size take steps in the tests of the model crate.

use isograd_benches::{Suite, Work};
use isograd_datasets::{Dataset, Synthetic};
use isograd_kernels::Isa;
use isograd_kernels::conv::Precision;
use isograd_model::layer::ConvPath;
use isograd_model::zoo::{self, Model};
use isograd_model::{InputInfo, Network, Predictor, TrainConfig, Trainer};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Larger networks take too long for a test.
const TESTED_MULTIPLY_ADDS: u64 = 1_600_000_000;

/// What is rounded to bfloat16.
#[derive(Debug, Clone, Copy)]
struct Rounding {
    /// The end of the names of benchmarks.
    name: &'static str,
    factors: Precision,
    values: bool,
}

const NOTHING: Rounding = Rounding { name: "", factors: Precision::Full, values: false };
const FACTORS: Rounding = Rounding { name: " bfloat16 factors", factors: Precision::Bfloat16, values: false };
const VALUES: Rounding = Rounding { name: " bfloat16 values", factors: Precision::Full, values: true };
const BOTH: Rounding = Rounding { name: " bfloat16", factors: Precision::Bfloat16, values: true };

fn network(model: &Model, rounding: Rounding) -> Network<f32> {
    const F32: &str = "elements of f32";
    let network = Network::build(model.layers(model.input, model.classes)).expect("a network of the zoo");
    let network = network.with_conv_path(ConvPath::Auto, rounding.factors).expect(F32);
    if rounding.values { network.with_bfloat16_values().expect(F32) } else { network }
}

fn trainer(isa: Isa, model: &Model, rounding: Rounding, batch_size: usize) -> Trainer<f32> {
    let network = network(model, rounding);
    let config =
        TrainConfig { batch_size, shard_size: batch_size.div_ceil(2), isa, ..TrainConfig::default() };
    Trainer::new(network, config).expect("a valid configuration")
}

fn throughput(suite: &mut Suite, isa: Isa, model: &Model, rounding: Rounding, batch_size: usize) {
    let threads = rayon::current_num_threads();
    let name = format!("{}{}", model.name, rounding.name);
    let samples = 2 * batch_size;
    suite.custom(isa, threads, &name, Work::Samples(samples), || {
        let mut trainer = trainer(isa, model, rounding, batch_size);
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

fn use_of(suite: &mut Suite, isa: Isa, model: &Model, rounding: Rounding, what: &str, samples: usize) {
    let name = format!("{} {what}{}", model.name, rounding.name);
    suite.custom(isa, rayon::current_num_threads(), &name, Work::Samples(samples), || {
        let network = network(model, rounding);
        let state = network.initial_state(0).expect("memory");
        let input = InputInfo::new([model.input.c, model.input.h, model.input.w], model.classes);
        let predictor = Predictor::new(network, state, input, Vec::new()).expect("memory").with_isa(isa);
        let values = samples * model.input.elements();
        let pixels: Vec<f32> = (0..values).map(|i| (i * 7919 % 256) as f32 / 255.0).collect();
        move |runs| {
            let start = Instant::now();
            for _ in 0..runs {
                black_box(predictor.predict_nchw(black_box(&pixels)).expect("whole samples"));
            }
            start.elapsed()
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
            let batch_size = if is_large { 16 } else { 64 };
            if is_measured {
                // Without instructions, products in bfloat16 are slow.
                let [training, used]: [&[Rounding]; 2] = match isa.has_bf16() {
                    true => [&[NOTHING, FACTORS, VALUES, BOTH], &[NOTHING, FACTORS]],
                    false => [&[NOTHING, VALUES], &[NOTHING]],
                };
                for rounding in training {
                    throughput(&mut suite, isa, model, *rounding, batch_size);
                }
                for rounding in used {
                    use_of(&mut suite, isa, model, *rounding, "used", batch_size);
                    use_of(&mut suite, isa, model, *rounding, "one image", 1);
                }
            } else if is_large {
                let layers = model.layers(model.input, model.classes);
                let network = Network::<f32>::build(layers).expect("a network of the zoo");
                if network.multiply_adds() <= TESTED_MULTIPLY_ADDS {
                    throughput(&mut suite, isa, model, NOTHING, 2);
                    use_of(&mut suite, isa, model, NOTHING, "one image", 1);
                }
            }
        }
    }
    suite.finish();
}
