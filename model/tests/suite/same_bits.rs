//! The law of the house: the same run gives the same bits on any number of threads.

use crate::common::{branching, build, in_pool, simplecnn_with_dropout_and_batch_norm};
use isograd_datasets::{Arrays, Synthetic};
use isograd_kernels::Isa;
use isograd_model::layer::{
    AdaptiveAveragePool2D, AdaptiveMaxPool2D, Backward, Context, Conv2D, Dense, Dropout, Flatten, Input,
    Layer, LayerPlan, LocalResponseNormalization, Memory, Softmax, ZeroPadding2D,
};
use isograd_model::{BuildError, Element, Evaluation, Network, Shape, TrainConfig, Trainer, layers};
use std::sync::atomic::{AtomicUsize, Ordering};

const THREADS: [usize; 5] = [1, 2, 3, 4, 8];

/// What the cut into steps and shards leaves over.
struct Cut {
    samples: u64,
    batch_size: usize,
    shard_size: usize,
}

/// A last batch of 33, which shards of 32 would cut into 32 and 1.
const LONELY_SHARD: Cut = Cut { samples: 97, batch_size: 64, shard_size: 32 };
/// Ten shards a step, no multiple of any vector's length, and a last batch of one sample.
const FIVES: Cut = Cut { samples: 97, batch_size: 48, shard_size: 5 };
/// Three shards a step, and a last batch of 7 and 6.
const SEVENS: Cut = Cut { samples: 97, batch_size: 21, shard_size: 7 };
/// Three shards of one sample more than two vectors have, and a last batch in less than one.
const THIRTY_THREES: Cut = Cut { samples: 115, batch_size: 99, shard_size: 33 };
/// A step is one shard, which all threads share; so is the last batch.
const ONE_SHARD: Cut = Cut { samples: 57, batch_size: 40, shard_size: 40 };
/// Batches of 16 and 7, of which shards of 5 leave a rest of one sample and of two. Small: the portable level
/// is slow without inlining.
const SMALL: Cut = Cut { samples: 23, batch_size: 16, shard_size: 5 };

/// Everything that training and evaluation give.
#[derive(Debug, PartialEq)]
struct Outcome {
    params_sha256: String,
    statistics: Vec<f64>,
    epochs: Vec<Evaluation>,
    evaluation: Evaluation,
}

fn data(samples: u64) -> Arrays<'static> {
    Synthetic { seed: 3, sample_shape: [1, 28, 28], num_classes: 10 }.samples(0..samples).expect("a data set")
}

fn trainer<T: Element>(isa: Isa, seed: u64, cut: &Cut) -> Trainer<T> {
    trainer_of(simplecnn_with_dropout_and_batch_norm(), isa, seed, cut)
}

fn trainer_of<T: Element>(network: Network<T>, isa: Isa, seed: u64, cut: &Cut) -> Trainer<T> {
    let Cut { batch_size, shard_size, .. } = *cut;
    let config = TrainConfig { isa, seed, batch_size, shard_size, ..TrainConfig::default() };
    Trainer::new(network, config).expect("a valid configuration")
}

/// Trains for two epochs and evaluates.
fn finish<T: Element>(mut trainer: Trainer<T>, cut: &Cut) -> Outcome {
    let data = data(cut.samples);
    let epochs = (0..2).map(|_| trainer.train_epoch(&data, |_| ()).expect("finite losses").train).collect();
    let evaluation = trainer.evaluate(&data).expect("a data set that fits");
    let state = trainer.state();
    Outcome {
        params_sha256: state.params_sha256(),
        statistics: state.statistics().iter().map(|v| v.to_f64()).collect(),
        epochs,
        evaluation,
    }
}

fn run<T: Element>(isa: Isa, threads: usize, seed: u64, cut: &Cut) -> Outcome {
    in_pool(threads, || finish(trainer::<T>(isa, seed, cut), cut))
}

fn any_number_of_threads<T: Element>(isa: Isa, cut: &Cut) {
    let expected = run::<T>(isa, 1, 42, cut);
    assert!(expected.evaluation.loss.is_finite());
    let what = |threads| format!("{isa}, {}, shards of {}, {threads} threads", T::NAME, cut.shard_size);
    for threads in THREADS {
        assert_eq!(run::<T>(isa, threads, 42, cut), expected, "{}", what(threads));
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for cut in [LONELY_SHARD, FIVES, SEVENS, THIRTY_THREES, ONE_SHARD] {
        any_number_of_threads::<f32>(Isa::best(), &cut);
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits_at_every_level_and_in_f64() {
    for isa in Isa::available() {
        any_number_of_threads::<f64>(isa, &SMALL);
        any_number_of_threads::<f32>(isa, &SMALL);
    }
}

/// Threads share shards of which there would be one for each of them.
#[test]
fn threads_that_share_shards_by_choice_give_the_same_bits() {
    let run = |isa, threads, threads_per_shard, cut: &Cut| {
        let Cut { batch_size, shard_size, .. } = *cut;
        let config = TrainConfig {
            isa,
            seed: 42,
            batch_size,
            shard_size,
            threads_per_shard,
            ..TrainConfig::default()
        };
        in_pool(threads, || {
            finish(Trainer::<f32>::new(branching(), config).expect("a valid configuration"), cut)
        })
    };
    for isa in Isa::available() {
        for cut in [FIVES, SEVENS, SMALL] {
            let expected = run(isa, 1, 1, &cut);
            for (threads, of_shard) in [(2, 2), (3, 2), (5, 2), (8, 3), (2, 9)] {
                assert_eq!(
                    run(isa, threads, of_shard, &cut),
                    expected,
                    "{isa}, shards of {}, {threads} threads, {of_shard} of them on each",
                    cut.shard_size
                );
            }
        }
    }
}

/// With every block, and most layers.
#[test]
fn networks_that_branch_give_the_same_bits() {
    for (isa, cut) in Isa::available().into_iter().flat_map(|isa| [(isa, SEVENS), (isa, ONE_SHARD)]) {
        let run = |threads| in_pool(threads, || finish(trainer_of::<f32>(branching(), isa, 42, &cut), &cut));
        let expected = run(1);
        assert!(expected.evaluation.loss.is_finite());
        for threads in [2, 3, 8] {
            assert_eq!(run(threads), expected, "{isa}, shards of {}, {threads} threads", cut.shard_size);
        }
    }
}

/// Layers that are rare in networks, with enough work for several threads on a shard.
#[test]
fn rare_layers_that_threads_share_give_the_same_bits() {
    let network = || {
        build(layers![
            Input::new(1, 28, 28),
            Conv2D::new(13, 3),
            ZeroPadding2D::new([1, 2, 0, 3]),
            Dropout::new(0.25),
            AdaptiveMaxPool2D::new([20, 19]),
            LocalResponseNormalization::new().size(4).alpha(0.5),
            AdaptiveAveragePool2D::new(7),
            Flatten,
            Dense::new(10),
            Softmax
        ])
    };
    let run = |threads| {
        in_pool(threads, || finish(trainer_of::<f32>(network(), Isa::best(), 42, &ONE_SHARD), &ONE_SHARD))
    };
    let expected = run(1);
    assert!(expected.evaluation.loss.is_finite());
    for threads in [2, 3, 8] {
        assert_eq!(run(threads), expected, "{threads} threads");
    }
}

/// The most parts into which a team has cut its work.
static MOST_PARTS: AtomicUsize = AtomicUsize::new(0);

/// A layer of a user that does nothing, and counts in how many parts.
#[derive(Debug, Clone, Copy)]
struct Counting;

impl Counting {
    fn copy(isa: Isa, from: &[f32], to: &mut [f32], memory: Memory<'_, f32>) {
        let parts = AtomicUsize::new(0);
        memory.team.elements(to, [from], |to, [from]| {
            parts.fetch_add(1, Ordering::Relaxed);
            isa.vectorize(|| to.copy_from_slice(from));
        });
        MOST_PARTS.fetch_max(parts.into_inner(), Ordering::Relaxed);
    }
}

impl Layer<f32> for Counting {
    fn kind(&self) -> &'static str {
        "Counting"
    }

    fn build(&mut self, input: Shape, _: &mut LayerPlan) -> Result<Shape, BuildError> {
        Ok(input)
    }

    fn forward(&self, cx: &Context<'_, f32>, x: &[f32], y: &mut [f32], memory: Memory<'_, f32>) {
        Self::copy(cx.isa, x, y, memory);
    }

    fn backward(&self, cx: &Context<'_, f32>, tensors: Backward<'_, f32>, memory: Memory<'_, f32>) {
        let Backward { dy, dx: Some(dx), .. } = tensors else { return };
        Self::copy(cx.isa, dy, dx, memory);
    }
}

/// Where there are as many shards as threads, each runs on one of them; where there are fewer, the threads
/// share them, a user's layer included.
#[test]
fn threads_without_a_shard_help_the_others() {
    let most_parts = |threads, cut: &Cut| {
        let network = build(layers![
            Input::new(1, 28, 28),
            Conv2D::new(8, 3),
            Counting,
            Flatten,
            Dense::new(10),
            Softmax
        ]);
        in_pool(threads, || {
            let mut trainer = trainer_of::<f32>(network, Isa::best(), 1, cut);
            MOST_PARTS.store(0, Ordering::Relaxed);
            trainer.train_epoch(&data(cut.samples), |_| ()).expect("finite losses");
        });
        MOST_PARTS.load(Ordering::Relaxed)
    };
    let whole = Cut { samples: 80, ..ONE_SHARD };
    assert_eq!([1, 2, 4].map(|threads| most_parts(threads, &whole)), [1, 2, 4]);
    let halves = Cut { samples: 80, batch_size: 40, shard_size: 20 };
    assert_eq!([1, 2, 5].map(|threads| most_parts(threads, &halves)), [1, 1, 2]);
}

#[test]
fn only_another_seed_gives_other_bits() {
    let hash = |seed| run::<f32>(Isa::best(), 2, seed, &LONELY_SHARD).params_sha256;
    let first = hash(1);
    assert_eq!(first.len(), 64);
    assert_eq!(first, hash(1));
    assert_ne!(first, hash(2));
}

/// The trainer has as many workers as its first pool had threads; who runs them does not matter.
#[test]
fn a_change_of_pool_changes_no_bit() {
    let cut = SEVENS;
    let expected = run::<f32>(Isa::best(), 1, 42, &cut);
    for [before, after] in [[1, 4], [4, 1], [2, 3]] {
        let trainer = in_pool(before, || trainer::<f32>(Isa::best(), 42, &cut));
        assert_eq!(in_pool(after, || finish(trainer, &cut)), expected, "from {before} threads to {after}");
    }
}

/// Samples that were evaluated leave no trace in what follows.
#[test]
fn evaluation_changes_no_bit_of_the_training() {
    let cut = FIVES;
    let mut trainer = trainer::<f32>(Isa::best(), 42, &cut);
    let first = trainer.evaluate(&data(31)).expect("a data set that fits");
    assert_eq!(first, trainer.evaluate(&data(31)).expect("a data set that fits"));
    assert_eq!(finish(trainer, &cut), run::<f32>(Isa::best(), 1, 42, &cut));
}
