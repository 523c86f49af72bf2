//! Pipelines in which the stages' own work is nearly all: large chunks, and stages that take their time.
//!
//! ```text
//! made           ten chunks of 100 MB, each made anew, through five stages
//! handed on      ten times the same chunk, made before: what the stages alone take
//! serial         ten items, one after the other: load 10 ms, transform 20 ms, save 10 ms
//! pipelined      the same, a stage each
//! two workers    the same, with two for the transform
//! ```
//!
//! `benches/peers/chunks.py` measures the first two for others. The last three are MiniPipe's own example,
//! fifty times as fast. A stage sleeps, so that cores do not matter. The critical path is what they take at
//! least: 10 x 40 ms; one load, ten transforms, one save; ten loads, one transform, one save.

use isograd_benches::{Suite, Work};
use isograd_datasets::pipeline::{Cause, Pipeline};
use isograd_kernels::Isa;
use std::sync::{Arc, LazyLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

const CHUNKS: usize = 10;
/// The f64 of a chunk: 100 MB.
const LEN: usize = 12_500_000;

const ITEMS: u32 = 10;
const LOAD: Duration = Duration::from_millis(10);
const TRANSFORM: Duration = Duration::from_millis(20);
const SAVE: Duration = Duration::from_millis(10);

/// An item after `time`.
fn after<T>(time: Duration, item: T) -> T {
    sleep(time);
    item
}

/// The time of one run through a stage each, with so many workers for the transform.
fn pipelined(workers: usize) -> Duration {
    let save = |count: &mut u32, _: u32| {
        *count += after(SAVE, 1);
        Ok::<_, Cause>(())
    };
    let loaded = Pipeline::new().source("load", (0..ITEMS).map(|item| after(LOAD, item)));
    let transformed = loaded.map("transform", |item| after(TRANSFORM, item)).workers(workers);
    let built = transformed.fold("save", 0, save).build().expect("a graph");
    let start = Instant::now();
    let mut out = built.run().expect("a run");
    let elapsed = start.elapsed();
    assert_eq!(out.take::<u32>("save").expect("a count"), ITEMS);
    elapsed
}

/// The time of one run without a pipeline.
fn serial() -> Duration {
    let start = Instant::now();
    let saved: u32 = (0..ITEMS).map(|item| after(SAVE, after(TRANSFORM, after(LOAD, item)))).map(|_| 1).sum();
    assert_eq!(saved, ITEMS);
    start.elapsed()
}

fn chunk(number: usize) -> Arc<Vec<f64>> {
    Arc::new(vec![number as f64; LEN])
}

/// The time of ten chunks through five stages, each of which hands on what it gets.
fn chunks(make: impl Fn(usize) -> Arc<Vec<f64>> + Clone + Send + Sync + 'static) -> Duration {
    let check = |count: &mut usize, chunk: Arc<Vec<f64>>| {
        assert!(chunk.len() == LEN && chunk[LEN - 1] < CHUNKS as f64, "this is not what was made");
        *count += 1;
        Ok::<_, Cause>(())
    };
    let made = Pipeline::new().source("source", (0..CHUNKS).map(make)).buffer(3);
    let passed = made.map("one", |chunk| chunk).buffer(3).map("two", |chunk| chunk).buffer(3);
    let passed = passed.map("three", |chunk| chunk).buffer(3);
    let built = passed.fold("sink", 0, check).build().expect("a graph");
    let start = Instant::now();
    let mut out = built.run().expect("a run");
    let elapsed = start.elapsed();
    assert_eq!(out.take::<usize>("sink").expect("a count"), CHUNKS);
    elapsed
}

fn main() {
    let mut suite = Suite::with_samples("stages", 10, Duration::from_secs(4));
    let isa = Isa::best();
    let mut bench = |name: &str, threads: usize, work: Work, run: fn() -> Duration| {
        suite.custom(isa, threads, name, work, || move |runs: u64| (0..runs).map(|_| run()).sum());
    };
    bench("100 MB chunks, made", 5, Work::Items(CHUNKS), || chunks(chunk));
    bench("100 MB chunks, handed on", 5, Work::Items(CHUNKS), || {
        static ONE: LazyLock<Arc<Vec<f64>>> = LazyLock::new(|| chunk(0));
        let one = Arc::clone(&ONE);
        chunks(move |_| Arc::clone(&one))
    });
    let [one, all] = [1, ITEMS];
    let at_least =
        |loads, transforms, saves| Work::AtLeast(LOAD * loads + TRANSFORM * transforms + SAVE * saves);
    bench("serial", 1, at_least(all, all, all), serial);
    bench("pipelined", 3, at_least(one, all, one), || pipelined(1));
    bench("pipelined, two workers", 4, at_least(all, one, one), || pipelined(2));
    suite.finish();
}
