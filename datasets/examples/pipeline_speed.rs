//! How fast pipelines are: the prior art's example 50 times faster, empty stages, and chunks of 100 MB.
//!
//! Run it with `cargo run --release -p isograd-datasets --example pipeline_speed`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use isograd_datasets::pipeline::{Branch, Cause, Pipeline, PipelineError, Stream};

fn main() -> Result<(), PipelineError> {
    load_transform_save()?;
    empty_stages()?;
    large_chunks()
}

/// Load 0.5 s, transform 1 s, save 0.5 s, ten items, all 50 times faster.
fn load_transform_save() -> Result<(), PipelineError> {
    let unit = Duration::from_millis(10);
    let begin = Instant::now();
    for _ in 0..10 {
        [1, 2, 1].into_iter().for_each(|units| std::thread::sleep(units * unit));
    }
    println!("serial: {:.1} ms, critical path 400", milliseconds(begin));
    // The first load and the last save stand alone; between them, the slowest stage has work all the time.
    for (workers, critical_ms) in [(1, 220), (2, 120)] {
        let built = Pipeline::new()
            .source("load", (0..10_u32).inspect(move |_| std::thread::sleep(unit)))
            .map("transform", move |n| {
                std::thread::sleep(2 * unit);
                n
            })
            .workers(workers)
            .for_each("save", move |_| {
                std::thread::sleep(unit);
                Ok::<_, Cause>(())
            })
            .build()?;
        let begin = Instant::now();
        let out = built.run()?;
        println!(
            "transform x {workers}: {:.1} ms, critical path {critical_ms}\n{}",
            milliseconds(begin),
            out.monitor()
        );
    }
    Ok(())
}

/// Three stages with one worker each, which do nothing.
fn empty_stages() -> Result<(), PipelineError> {
    const ITEMS: u64 = 10_000_000;
    let built = Pipeline::new()
        .source("numbers", 0..ITEMS)
        .map("pass", |n| n)
        .fold("count", 0, |count: &mut u64, _| {
            *count += 1;
            Ok::<_, Cause>(())
        })
        .build()?;
    for _ in 0..5 {
        let begin = Instant::now();
        let mut out = built.run()?;
        let seconds = begin.elapsed().as_secs_f64();
        assert_eq!(out.take::<u64>("count")?, ITEMS);
        println!("empty stages: {:.2} million items/s", ITEMS as f64 / seconds / 1e6);
    }
    Ok(())
}

/// Ten chunks of 100 MB through five stages: a source, three stages, and the sinks of a three-way split.
fn large_chunks() -> Result<(), PipelineError> {
    let sink = |name: &'static str| {
        Branch::new(move |chunks: Stream<Arc<Vec<u8>>>| {
            chunks.fold(name, 0, |sum: &mut u64, chunk: Arc<Vec<u8>>| {
                *sum += u64::from(chunk[chunk.len() / 2]);
                Ok::<_, Cause>(())
            })
        })
    };
    let touch = |mut chunk: Vec<u8>| {
        let middle = chunk.len() / 2;
        chunk[middle] += 1;
        chunk
    };
    let built = Pipeline::new()
        .source("make", (0..10_u8).map(|n| vec![n; 100_000_000]))
        .buffer(1)
        .map("one", touch)
        .buffer(1)
        .map("two", touch)
        .buffer(1)
        .map("three", touch)
        .buffer(1)
        .fan_out([sink("a"), sink("b"), sink("c")])
        .build()?;
    let begin = Instant::now();
    let mut out = built.run()?;
    println!("10 chunks of 100 MB: {:.1} ms\n{}", milliseconds(begin), out.monitor());
    assert_eq!(out.take::<u64>("b")?, (0..10).map(|n| n + 3).sum::<u64>());
    Ok(())
}

fn milliseconds(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}
