//! What the tests of this crate share: numbers that are a formula, networks, thread pools, and comparisons.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this module")]

use isograd_kernels::Element;
use isograd_model::layer::*;
use isograd_model::{Network, Shape, layers, zoo};

/// `len` pseudo-random 16-bit integers, those of `words` in `golden/simplecnn.py`.
pub fn words(seed: u64, stream: u64, len: usize) -> impl Iterator<Item = u32> {
    (0..len as u64).map(move |i| {
        let hash = i.wrapping_mul(2_654_435_761).wrapping_add(stream * 1_640_531_527).wrapping_add(seed);
        let scramble = |hash: u32| (hash ^ (hash >> 16)).wrapping_mul(0x045D_9F3B);
        scramble(scramble(hash as u32)) >> 16
    })
}

/// `len` multiples of 2^-15 in [-1, 1), each multiplied by `scale`: the same numbers in f32 and f64 if that
/// is a power of two.
pub fn values<T: Element>(seed: u64, stream: u64, len: usize, scale: f64) -> Vec<T> {
    words(seed, stream, len).map(|word| T::from_f64((f64::from(word) - 32768.0) / 32768.0 * scale)).collect()
}

/// `n` classes below `classes`.
pub fn labels(seed: u64, stream: u64, n: usize, classes: u32) -> Vec<u32> {
    words(seed, stream, n).map(|word| word % classes).collect()
}

/// `[n, elements]`, sample after sample, as `[elements, n]`, samples innermost.
pub fn samples_innermost<T: Copy>(x: &[T], n: usize) -> Vec<T> {
    let elements = x.len() / n;
    (0..x.len()).map(|i| x[i % n * elements + i / n]).collect()
}

/// simplecnn on 1x28x28 with a batch normalisation behind the first ReLU, another one in front of the third,
/// which needs shards of two samples, and a dropout of a quarter behind the third.
pub fn simplecnn_with_dropout_and_batch_norm<T: Element>() -> Network<T> {
    let mut layers = zoo::simplecnn(Shape::image(1, 28, 28), 10);
    let kinds: Vec<_> = layers.iter().map(|layer| layer.kind()).collect();
    assert_eq!(kinds[2..4], ["ReLU", "Conv2D"]);
    assert_eq!(kinds[8..10], ["ReLU", "Dense"]);
    layers.insert(9, Box::new(Dropout::new(0.25)));
    layers.insert(8, Box::new(BatchNormalization::new()));
    layers.insert(3, Box::new(BatchNormalization::new()));
    Network::build(layers).expect("a network that fits")
}

/// A network on 1x28x28 with every kind of block, nested, and with most layers.
pub fn branching<T: Element>() -> Network<T> {
    let unit = |filters: usize| layers![Conv2D::new(filters, 3).padding(1), BatchNormalization::new(), ReLU];
    let inception = Concatenation::new([
        layers![Conv2D::new(3, 1), ReLU],
        unit(4),
        layers![MaxPool2D::new(3).stride(1).padding(1), Conv2D::new(2, 1).without_bias()],
        layers![],
    ]);
    let depthwise =
        layers![Conv2D::new(17, 3).padding(1).groups(17), ReLU6, Conv2D::new(8, 1), Dropout::new(0.25)];
    let nested = Addition::new([
        layers![Residual::new(unit(8)), SiLU],
        layers![Concatenation::new([
            layers![Conv2D::new(3, 1)],
            layers![Conv2D::new(5, 3).padding(1), Tanh]
        ])],
        layers![],
    ]);
    build(layers![
        Input::new(1, 28, 28),
        Conv2D::new(8, 5).stride(2),
        LocalResponseNormalization::new(),
        ReLU,
        AveragePool2D::new(2),
        Residual::new(layers![Conv2D::new(8, 3).padding(1), BatchNormalization::new()]),
        ReLU,
        named("mixed", inception),
        Sequence::new(depthwise),
        nested,
        ReLU,
        AdaptiveAveragePool2D::new(2),
        Flatten,
        Dense::new(16),
        GELU::new(),
        BatchNormalization::new(),
        ReLU,
        Dense::new(10),
        Softmax,
    ])
}

/// A network on 1x28x28 whose shards wait for each other: batch normalisations over the whole batch, one of
/// them frozen, one behind a block, one of vectors.
pub fn synchronised<T: Element>() -> Network<T> {
    let norm = || BatchNormalization::new().sync_stats();
    build(layers![
        Input::new(1, 28, 28),
        Conv2D::new(6, 5).stride(2),
        norm(),
        ReLU,
        MaxPool2D::new(2),
        Residual::new(layers![Conv2D::new(6, 3).padding(1), norm(), ReLU, Dropout::new(0.1)]),
        Concatenation::new([layers![Conv2D::new(4, 1), norm().without_scale()], layers![]]),
        Frozen::new(norm()),
        ReLU,
        AdaptiveAveragePool2D::new(2),
        Flatten,
        Dense::new(16),
        norm().without_shift(),
        ReLU,
        Dense::new(10),
        Softmax,
    ])
}

/// Builds `layers`, which must fit.
pub fn build<T: Element>(layers: Vec<Box<dyn Layer<T>>>) -> Network<T> {
    Network::build(layers).unwrap_or_else(|error| panic!("{error}"))
}

/// A pool of `threads` threads, all of which have started.
pub fn pool(threads: usize) -> rayon::ThreadPool {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    pool.broadcast(|_| ());
    pool
}

/// Runs `f` in a pool of `threads` threads.
pub fn in_pool<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    pool(threads).install(f)
}

/// Asserts `|got[i] - expected[i]| <= bound` for all `i`.
pub fn assert_close<T: Element>(what: &str, got: &[T], expected: &[f64], bound: f64) {
    assert_eq!(got.len(), expected.len(), "{what}: lengths differ");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let difference = (got.to_f64() - expected).abs();
        assert!(
            difference <= bound,
            "{what}: element {i} is {got}, expected {expected}: the difference {difference:e} exceeds {bound:e}"
        );
    }
}

/// The largest magnitude.
pub fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| value.abs().max(largest))
}
