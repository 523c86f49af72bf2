//! A training step after the first allocates nothing, on any thread.
//!
//! A thread's first matrix products reserve that thread's scratch memory. Which step that is depends on when
//! the thread gets hold of a shard first; here every thread has had one before the steps are watched.

mod common;

use common::{build, pool};
use isograd_datasets::Synthetic;
use isograd_kernels::Isa;
use isograd_model::loss::MeanSquaredError;
use isograd_model::{
    Network, Profiler, Randomness, Shape, TrainConfig, Trainer, layer::*, layers, loss, metric, optimizer,
    zoo,
};
use rayon::ThreadPool;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system allocator, which counts what all threads ask for.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to `System` with the caller's arguments, so its guarantees are those of `System`;
// counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is that of `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from `System` with this layout, because all of them do.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as for `dealloc`, and the caller keeps the contract on `new_size`.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Four shards in a step.
fn of_twelves() -> TrainConfig {
    TrainConfig { shard_size: 12, ..TrainConfig::default() }
}

/// 21 full batches and a ragged one of 13 samples, which has a shard less.
const SAMPLES: usize = 21 * 48 + 13;
const STEPS: usize = 22;

/// Trains for two epochs, and checks in each that nothing was allocated from the end of the first step to
/// that of the last.
fn check(what: &str, network: Network<f32>, config: TrainConfig, pool: &ThreadPool) {
    check_profiled(what, network, config, pool, None);
}

/// The same with a profiler, if there is one.
fn check_profiled(
    what: &str,
    network: Network<f32>,
    config: TrainConfig,
    pool: &ThreadPool,
    profiler: Option<Profiler>,
) {
    let Shape { c, h, w } = network.input_shape();
    let data = Synthetic { seed: 1, sample_shape: [c, h, w], num_classes: 4 }.samples(0..SAMPLES as u64);
    let data = data.expect("a data set");
    let threads = pool.current_num_threads();
    pool.broadcast(|_| warm_up(&network));
    pool.install(|| {
        let config = TrainConfig { batch_size: 48, ..config };
        let mut trainer = Trainer::new(network, config).expect("a valid configuration");
        if let Some(profiler) = &profiler {
            trainer.set_profiler(profiler).expect("memory");
        }
        for epoch in 1..=2 {
            let (mut counts, mut step) = ([0; STEPS], 0);
            let report = trainer.train_epoch(&data, |_| {
                counts[step] = ALLOCATIONS.load(Ordering::Relaxed);
                step += 1;
            });
            assert_eq!(report.expect("finite losses").steps, STEPS as u64);
            for (step, pair) in counts.windows(2).enumerate() {
                let allocations = pair[1] - pair[0];
                assert_eq!(
                    allocations,
                    0,
                    "{what}, {threads} threads: {allocations} allocations in step {} of epoch {epoch}",
                    step + 2
                );
            }
        }
    });
}

/// Every layer, with convolutions on both of their paths.
fn zoo_of_layers() -> Network<f32> {
    build(layers![
        Input::new(2, 12, 11),
        BatchNormalization::new(),
        ZeroPadding2D::new([2, 1, 0, 3]),
        Conv2D::new(24, 3),
        // With enough work for several threads.
        LocalResponseNormalization::new(),
        Dropout::new(0.1),
        AdaptiveMaxPool2D::new([12, 6]),
        AdaptiveAveragePool2D::new([12, 11]),
        Conv2D::new(5, 3).padding(1),
        ReLU,
        MaxPool2D::new(2).stride(1),
        Conv2D::new(3, 3).stride(2).dilation([1, 2]),
        Sigmoid,
        ArcTanh,
        AveragePool2D::new(2).stride(1),
        Tanh,
        Softmax,
        LogSigmoid,
        Flatten,
        Dropout::new(0.2),
        Dense::new(6),
        ReLU,
        Dense::new(4),
        Softmax,
    ])
}

/// Two steps of a network of the zoo: the second one allocates nothing.
fn check_network(model: &zoo::Model) {
    let network: Network<f32> = build(model.layers(model.input, model.classes));
    let Shape { c, h, w } = model.input;
    let data = Synthetic { seed: 1, sample_shape: [c, h, w], num_classes: model.classes }.samples(0..8);
    let config = TrainConfig { batch_size: 4, shard_size: 4, ..TrainConfig::default() };
    let mut trainer = Trainer::new(network, config).expect("a valid configuration");
    let mut counts = Vec::with_capacity(2);
    let report = trainer.train_epoch(&data.expect("a data set"), |_| {
        counts.push(ALLOCATIONS.load(Ordering::Relaxed));
    });
    assert_eq!(report.expect("finite losses").steps, 2);
    assert_eq!(counts[1] - counts[0], 0, "allocations in the second step of {}", model.name);
}

/// A pass of a shard on this thread.
fn warm_up(network: &Network<f32>) {
    let x = vec![0.5; network.input_shape().elements() * 12];
    let state = network.initial_state(0).expect("memory");
    network.loss_and_gradients(&state, Isa::best(), &MeanSquaredError, Randomness::default(), &x, &[0; 12]);
}

/// A program without the test harness: another test, and even the harness's message about a test that runs
/// for a minute, would allocate meanwhile. An argument that is not part of the name leaves it out.
fn main() {
    const NAME: &str = "steps_after_the_first_allocate_nothing";
    let mut filters = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    if filters.peek().is_some() && !filters.any(|filter| NAME.contains(&filter)) {
        return;
    }
    steps_after_the_first_allocate_nothing();
    println!("test {NAME} ... ok");
}

fn steps_after_the_first_allocate_nothing() {
    let simplecnn = || build(zoo::simplecnn(Shape::image(1, 28, 28), 10));
    // All pools live to the end: a thread that ends hands its share of the queues' garbage over, which
    // allocates.
    let pools = [1, 2, 3].map(pool);
    for pool in &pools {
        check("simplecnn", simplecnn(), of_twelves(), pool);
        // Fewer shards than threads, which then share a shard.
        let shared = || TrainConfig { shard_size: 48, ..TrainConfig::default() };
        check("simplecnn in one shard", simplecnn(), shared(), pool);
        check("a network that branches in one shard", common::branching(), shared(), pool);
        let rounded = common::branching().with_bfloat16_values().expect("f32");
        check("rounded values", rounded, of_twelves(), pool);
        // Also when the memory for the trace is full, as it soon is here.
        for profiler in [Profiler::new(), Profiler::with_trace(10_000), Profiler::with_trace(1 << 24)] {
            check_profiled("profiled layers", zoo_of_layers(), of_twelves(), pool, Some(profiler));
        }
        for name in optimizer::NAMES {
            let optimizer = optimizer::by_name(name).expect("a known name");
            check(name, zoo_of_layers(), TrainConfig { optimizer, ..of_twelves() }, pool);
        }
        // Tensors that are worth several tasks, in several blocks of rows.
        let optimizer = optimizer::by_name("muon").expect("a known name");
        let config = TrainConfig { optimizer, ema: Some(0.9), ..of_twelves() };
        check("muon and averages of simplecnn", simplecnn(), config, pool);
        // So low a limit that every step is clipped.
        let config = TrainConfig { clip_norm: Some(1e-3), ..of_twelves() };
        check("clipped simplecnn", simplecnn(), config, pool);
        for name in loss::NAMES {
            let loss = loss::by_name(name).expect("a known name");
            let metrics =
                metric::NAMES.map(|name| metric::by_name(&name.replace('5', "2")).expect("a known name"));
            let metrics = metrics.to_vec();
            let config = TrainConfig { loss, metrics, ..of_twelves() };
            check(name, zoo_of_layers(), config, pool);
        }
    }
    // The one network of 1,202 layers has the blocks of the others.
    let is_small = |model: &&zoo::Model| model.input.w <= 32 && model.name != "resnet1202_cifar10";
    pools[0].install(|| zoo::ALL.iter().filter(is_small).for_each(check_network));
}
