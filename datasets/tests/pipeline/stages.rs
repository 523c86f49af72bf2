//! What stages do with items: order, fan-out, joins, switches, regulators, cycles, workers, runs again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use isograd_datasets::pipeline::{
    Bound, Branch, Cause, Gather, Outlet, Pipeline, Rebatch, Samples, Split, Step, Stream, Transform, Worker,
};
use isograd_datasets::{Dataset, Request, SampleBuffer};

use crate::{LONG, within};

/// Sleeps longer for some items than for others.
fn unevenly(n: u64) -> u64 {
    std::thread::sleep(Duration::from_micros(n * 7919 % 5 * 300));
    n
}

#[test]
fn several_workers_keep_the_order() {
    within("order", LONG, || {
        for workers in [1, 2, 3, 7] {
            let pipeline = Pipeline::new()
                .source("numbers", 0..200_u64)
                .map("uneven", unevenly)
                .workers(workers)
                .filter_map("no multiples of 3", |n| (!n.is_multiple_of(3)).then_some(n))
                .workers(workers)
                .collect("all")
                .build()
                .unwrap();
            let expected: Vec<u64> = (0..200).filter(|n| n % 3 != 0).collect();
            assert_eq!(
                pipeline.run().unwrap().take::<Vec<u64>>("all").unwrap(),
                expected,
                "{workers} workers"
            );
        }
    });
}

#[test]
fn a_fast_stream_keeps_its_order_in_batches() {
    within("fast order", LONG, || {
        let pipeline = Pipeline::new()
            .source("numbers", 0..200_000_u64)
            .map("a", |n| n + 1)
            .workers(3)
            .map("b", |n| n * 2)
            .collect("all")
            .build()
            .unwrap();
        let all: Vec<u64> = pipeline.run().unwrap().take("all").unwrap();
        assert!(all.iter().copied().eq((0..200_000).map(|n| (n + 1) * 2)));
    });
}

#[test]
fn an_unordered_stage_lets_a_slow_item_be_overtaken() {
    within("unordered", LONG, || {
        let pipeline = Pipeline::new()
            .source("numbers", 0..50_u64)
            .map("first is slow", |n| {
                if n == 0 {
                    std::thread::sleep(Duration::from_millis(200));
                }
                n
            })
            .workers(2)
            .unordered()
            .collect("all")
            .build()
            .unwrap();
        let all: Vec<u64> = pipeline.run().unwrap().take("all").unwrap();
        assert_ne!(all[0], 0, "the second worker has 200 ms for an item");
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), (0..50).collect());
    });
}

/// Emits each item as often as its value, and at the end how many items it took.
struct Repeat {
    taken: u64,
}

impl Transform<u64> for Repeat {
    type Output = u64;

    fn process(&mut self, n: u64, out: &mut Outlet<'_, u64>) -> Result<(), Cause> {
        self.taken += 1;
        Ok((0..n).try_for_each(|_| out.emit(n))?)
    }

    fn finish(&mut self, out: &mut Outlet<'_, u64>) -> Result<(), Cause> {
        Ok(out.emit(1000 + self.taken)?)
    }
}

#[test]
fn a_stage_may_emit_any_number_and_flush_at_the_end() {
    within("repeat", LONG, || {
        for workers in [1, 3] {
            let pipeline = Pipeline::new()
                .source("numbers", 0..5_u64)
                .transform("repeat", |_| Ok(Repeat { taken: 0 }))
                .workers(workers)
                .collect("all")
                .build()
                .unwrap();
            let all: Vec<u64> = pipeline.run().unwrap().take("all").unwrap();
            let (items, ends) = all.split_at(10);
            assert_eq!(items, [1, 2, 2, 3, 3, 3, 4, 4, 4, 4]);
            assert_eq!(ends.len(), workers);
            assert_eq!(ends.iter().map(|end| end - 1000).sum::<u64>(), 5, "all items are counted once");
        }
    });
}

#[test]
fn state_is_made_and_dropped_in_its_worker() {
    struct Here(std::thread::ThreadId, Arc<AtomicUsize>);
    impl Transform<u64> for Here {
        type Output = u64;
        fn process(&mut self, n: u64, out: &mut Outlet<'_, u64>) -> Result<(), Cause> {
            assert_eq!(self.0, std::thread::current().id());
            Ok(out.emit(n)?)
        }
    }
    impl Drop for Here {
        fn drop(&mut self) {
            assert_eq!(self.0, std::thread::current().id());
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    within("state", LONG, || {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (made, counter) = (Arc::new(std::sync::Mutex::new(Vec::new())), Arc::clone(&dropped));
        let seen = Arc::clone(&made);
        let make = move |worker: &Worker| {
            seen.lock().unwrap().push((worker.stage.clone(), worker.index, worker.count));
            Ok(Here(std::thread::current().id(), Arc::clone(&counter)))
        };
        let end = Pipeline::new().source("n", 0..100).transform("here", make).workers(3).collect("all");
        end.build().unwrap().run().unwrap();
        let mut made = made.lock().unwrap().clone();
        made.sort();
        assert_eq!(made, [0, 1, 2].map(|index| ("here".to_owned(), index, 3)));
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn branches_share_an_item_and_a_join_brings_them_together() {
    within("fork", LONG, || {
        let mut streams =
            Pipeline::new().source("rows", (0..500_u32).map(|n| vec![n; 8])).fork(3).into_iter();
        let [a, b, c] = [(); 3].map(|()| streams.next().unwrap());
        let address = |item: Arc<Vec<u32>>| (item.as_ptr() as usize, item[0]);
        let pair = a.map("a", address).join("pair", b.map("b", address).workers(2));
        let mut out = pair.join("triple", c).collect("all").build().unwrap().run().unwrap();
        type Triple = (((usize, u32), (usize, u32)), Arc<Vec<u32>>);
        let all: Vec<Triple> = out.take("all").unwrap();
        assert_eq!(all.len(), 500);
        for (n, ((a, b), c)) in all.into_iter().enumerate() {
            assert_eq!(a, b);
            assert_eq!(a, (c.as_ptr() as usize, n as u32));
        }
    });
}

#[test]
fn many_streams_are_joined_row_by_row() {
    within("join_all", LONG, || {
        let pipeline = Pipeline::new();
        let streams: Vec<Stream<u64>> = (0..4)
            .map(|k| pipeline.source(format!("source {k}"), (0..30).map(move |n| n * 10 + k)))
            .collect();
        let mut out = pipeline.join_all("rows", streams).collect("all").build().unwrap().run().unwrap();
        let rows: Vec<Vec<u64>> = out.take("all").unwrap();
        let expected: Vec<Vec<u64>> = (0..30).map(|n| (0..4).map(|k| n * 10 + k).collect()).collect();
        assert_eq!(rows, expected);
    });
}

#[test]
fn a_switch_sends_each_item_one_way_or_none() {
    within("switch", LONG, || {
        let pipeline = Pipeline::new();
        let choose = |n: &u32| [Some(0), Some(1), None][(n % 3) as usize];
        let streams = pipeline.source("numbers", 0..30_u32).switch(2, choose);
        for (k, stream) in streams.into_iter().enumerate() {
            stream.collect(format!("way {k}"));
        }
        let mut out = pipeline.build().unwrap().run().unwrap();
        let ways = [0, 1].map(|k| out.take::<Vec<u32>>(&format!("way {k}")).unwrap());
        assert_eq!(ways, [0, 1].map(|k| (0..10).map(|n| n * 3 + k).collect::<Vec<_>>()));
    });
}

#[test]
fn competing_stages_share_a_queue_and_merged_streams_meet() {
    within("compete", LONG, || {
        let pipeline = Pipeline::new();
        let (inlet, merged) = pipeline.inlet::<(usize, u32)>("merged");
        let branch = |k: usize| {
            Branch::new(move |stream: Stream<u32>| {
                stream.map(format!("reader {k}"), move |n| (k, n)).collect(format!("sink {k}"))
            })
        };
        pipeline.source("numbers", 0..1000_u32).compete([branch(0), branch(1), branch(2)]);
        pipeline.source("a", (0..100).map(|n| (0, n))).feed(&inlet);
        pipeline.source("b", (0..100).map(|n| (1, n))).feed(&inlet);
        merged.collect("both");
        let mut out = pipeline.build().unwrap().run().unwrap();
        let read = [0, 1, 2].map(|k| out.take::<Vec<(usize, u32)>>(&format!("sink {k}")).unwrap());
        let mut all: Vec<u32> = read.iter().flatten().map(|(_, n)| *n).collect();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        let both: Vec<(usize, u32)> = out.take("both").unwrap();
        for k in [0, 1] {
            let of_k = both.iter().filter(|(from, _)| *from == k).map(|(_, n)| *n);
            assert!(of_k.eq(0..100), "each stream keeps its own order");
        }
    });
}

#[test]
fn regulators_cut_and_gather_without_loss() {
    within("regulators", LONG, || {
        for (rows, sizes) in
            [(1, vec![5, 0, 3]), (4, vec![1, 1, 9, 2]), (4, vec![8, 4, 12]), (7, vec![0, 3]), (64, vec![0])]
        {
            let mut next = 0;
            let chunks: Vec<Vec<u32>> = sizes
                .iter()
                .map(|size| {
                    next += size;
                    (next - size..next).collect()
                })
                .collect();
            let end = Pipeline::new()
                .source("chunks", chunks.clone().into_iter())
                .regulate("batches", Rebatch::new(rows));
            let batches: Vec<Vec<u32>> =
                end.collect("all").build().unwrap().run().unwrap().take("all").unwrap();
            let expected: Vec<Vec<u32>> = chunks.concat().chunks(rows).map(<[u32]>::to_vec).collect();
            assert_eq!(batches, expected, "{rows} rows of {sizes:?}");
        }
        let parts =
            Pipeline::new().source("n", 0..10).regulate("gather", Gather::new(4)).regulate("split", Split);
        let mut out = parts.regulate("again", Gather::new(3)).collect("all").build().unwrap().run().unwrap();
        assert_eq!(
            out.take::<Vec<Vec<i32>>>("all").unwrap(),
            [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7, 8], vec![9]]
        );
    });
}

#[test]
fn mini_batches_do_not_keep_the_memory_of_their_chunk() {
    within("capacity", LONG, || {
        let stream = Pipeline::new().source("chunks", (0..3).map(|_| vec![0_u8; 1_000_000]));
        let out = stream
            .regulate("batches", Rebatch::new(640))
            .map("capacity", |batch| (batch.len(), batch.capacity()));
        let batches: Vec<(usize, usize)> =
            out.collect("all").build().unwrap().run().unwrap().take("all").unwrap();
        assert_eq!(batches.iter().map(|(len, _)| len).sum::<usize>(), 3_000_000);
        assert!(
            batches.iter().all(|(_, capacity)| *capacity <= 2 * 640),
            "{:?}",
            batches.iter().max_by_key(|b| b.1)
        );
    });
}

#[test]
fn a_cycle_through_stages_ends_when_it_is_empty() {
    within("cycle", LONG, || {
        for inside in [1, 2, 10] {
            // The rounds of the Collatz sequence, through two stages with workers; the number rides along.
            let pipeline = Pipeline::new()
                .source("numbers", (1..200_u64).map(|n| (n, n, 0)))
                .cycle("collatz", Bound { rounds: 200, inside }, |lap| {
                    let next = |(first, n, rounds): (u64, u64, u32)| {
                        Ok::<_, Cause>((first, if n % 2 == 0 { n / 2 } else { 3 * n + 1 }, rounds + 1))
                    };
                    let judge = |item: (u64, u64, u32)| {
                        Ok::<_, Cause>(if item.1 == 1 {
                            Step::Done((item.0, item.2))
                        } else {
                            Step::Again(item)
                        })
                    };
                    lap.stage("next", next).workers(2).stage("judge", judge)
                })
                .collect("rounds")
                .build()
                .unwrap();
            let mut rounds: Vec<(u64, u32)> = pipeline.run().unwrap().take("rounds").unwrap();
            if inside == 1 {
                assert!(rounds.is_sorted(), "one at a time keeps the order");
            }
            rounds.sort_unstable();
            assert_eq!(rounds.len(), 199);
            for (first, got) in rounds {
                let (mut n, mut expected) = (first, 0);
                loop {
                    n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
                    expected += 1;
                    if n == 1 {
                        break;
                    }
                }
                assert_eq!(got, expected, "{first}");
            }
        }
    });
}

#[test]
fn a_pipeline_runs_again_from_the_start() {
    within("again", LONG, || {
        let built = Pipeline::new()
            .source("numbers", 0..100_u64)
            .map("square", |n| n * n)
            .workers(2)
            .regulate("gather", Gather::new(7))
            .fold("sum", 0, |sum: &mut u64, group: Vec<u64>| {
                *sum += group.iter().sum::<u64>();
                Ok::<_, Cause>(())
            })
            .build()
            .unwrap();
        for _ in 0..3 {
            assert_eq!(built.run().unwrap().take::<u64>("sum").unwrap(), 328_350);
        }
    });
}

#[test]
fn each_worker_of_a_sink_has_a_result() {
    within("sinks", LONG, || {
        let count = |count: &mut usize, _: u32| {
            *count += 1;
            Ok::<_, Cause>(())
        };
        let end = Pipeline::new().source("n", 0..1000_u32).fold("count", 0, count).workers(3);
        let mut out = end.build().unwrap().run().unwrap();
        let counts: Vec<usize> = std::iter::from_fn(|| out.take("count").ok()).collect();
        assert_eq!((counts.len(), counts.iter().sum::<usize>()), (3, 1000));
    });
}

#[test]
fn the_caller_reads_a_stream_as_data_sets() {
    within("items", LONG, || {
        let chunk = |k: u8| {
            let labels = (0..10).map(|n| u32::from(k * 10 + n)).collect();
            Samples::from_f32((0..20).map(|n| f32::from(k * 20 + n)).collect(), labels, [1, 1, 2], 80)
        };
        for workers in [1, 4] {
            let pipeline = Pipeline::new().source("k", 0..8_u8).stage("decode", chunk).workers(workers);
            let sets = pipeline.regulate("sets", Rebatch::new(25)).items().unwrap();
            let (mut sizes, mut next, mut buffer) = (Vec::new(), 0, SampleBuffer::new());
            for samples in sets {
                let set = samples.unwrap().into_arrays().unwrap();
                sizes.push(set.len());
                for index in 0..set.len() {
                    let sample = set.read(Request::new(index), &mut buffer).unwrap();
                    assert_eq!(sample.target.class(), Some(next));
                    assert_eq!(sample.pixels.floats().unwrap(), [2 * next, 2 * next + 1].map(|n| n as f32));
                    next += 1;
                }
            }
            assert_eq!((sizes, next), (vec![25, 25, 25, 5], 80));
        }
        let mixed = Pipeline::new()
            .source("k", 1..3_usize)
            .stage("decode", |w| Samples::from_u8(vec![0; w], vec![0], [1, 1, w], 2))
            .regulate("sets", Rebatch::new(2))
            .items()
            .unwrap();
        let errors: Vec<String> = mixed.filter_map(Result::err).map(|error| error.to_string()).collect();
        assert_eq!(
            errors,
            ["stage sets at item 1: a chunk of u8 samples of shape [1, 1, 2] and 2 classes follows one of \
              u8 samples of shape [1, 1, 1] and 2 classes"]
        );
    });
}
