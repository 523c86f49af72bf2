//! Random graphs of stages, with errors, panics and cancellations in random places, against a model that
//! computes what each sink must get. Every case has a watchdog, and every item is counted.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use isograd_datasets::pipeline::{
    Bound, Cause, Gather, Pipeline, PipelineError, Rebatch, RunError, Split, Step, Stream,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::ends::Counted;
use crate::{LONG, within};

/// An item that is counted while it lives.
#[derive(Debug)]
struct Item {
    value: u64,
    _counted: Counted,
}

/// A change of the graph. `at` and the like choose among the open streams.
#[derive(Clone, Debug)]
enum Op {
    Source { items: u64 },
    Map { at: usize, workers: usize, is_ordered: bool },
    Flaky { at: usize, workers: usize },
    Filter { at: usize, keep: u64 },
    Regroup { at: usize, size: usize },
    Rebatch { at: usize, size: usize, rows: usize },
    Fork { at: usize, branches: usize },
    Switch { at: usize },
    Merge { at: usize, with: usize },
    Join { at: usize, with: usize },
    Cycle { at: usize, inside: usize },
    Buffer { at: usize, items: usize },
}

/// What goes wrong, in which of the maps, at which of its calls.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    Error { map: usize, call: usize },
    Panic { map: usize, call: usize },
    Cancel { after_us: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    let at = 0..8_usize;
    prop_oneof![
        2 => (0..40_u64).prop_map(|items| Op::Source { items }),
        4 => (at.clone(), 1..4_usize, any::<bool>())
            .prop_map(|(at, workers, is_ordered)| Op::Map { at, workers, is_ordered }),
        1 => (at.clone(), 1..3_usize).prop_map(|(at, workers)| Op::Flaky { at, workers }),
        1 => (at.clone(), 1..4_u64).prop_map(|(at, keep)| Op::Filter { at, keep }),
        1 => (at.clone(), 1..9_usize).prop_map(|(at, size)| Op::Regroup { at, size }),
        1 => (at.clone(), 1..6_usize, 1..6_usize).prop_map(|(at, size, rows)| Op::Rebatch { at, size, rows }),
        2 => (at.clone(), 1..4_usize).prop_map(|(at, branches)| Op::Fork { at, branches }),
        1 => at.clone().prop_map(|at| Op::Switch { at }),
        1 => (at.clone(), at.clone()).prop_map(|(at, with)| Op::Merge { at, with }),
        2 => (at.clone(), at.clone()).prop_map(|(at, with)| Op::Join { at, with }),
        1 => (at.clone(), 1..4_usize).prop_map(|(at, inside)| Op::Cycle { at, inside }),
        2 => (at, 1..6_usize).prop_map(|(at, items)| Op::Buffer { at, items }),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    let place = (0..4_usize, 0..40_usize);
    prop_oneof![
        3 => Just(Fault::None),
        1 => place.clone().prop_map(|(map, call)| Fault::Error { map, call }),
        1 => place.prop_map(|(map, call)| Fault::Panic { map, call }),
        1 => (0..2000_u64).prop_map(|after_us| Fault::Cancel { after_us }),
    ]
}

/// An open stream and the values that it will have.
struct Open {
    stream: Stream<Item>,
    values: Vec<u64>,
    is_ordered: bool,
}

struct Case {
    pipeline: Pipeline,
    live: Arc<AtomicUsize>,
    open: Vec<Open>,
    fault: Fault,
    /// Which map has been called how often is known by its counter.
    maps: Vec<Arc<AtomicUsize>>,
    stages: usize,
    has_join: bool,
}

/// What maps compute.
fn mapped(value: u64) -> u64 {
    value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1)
}

impl Case {
    fn name(&mut self, kind: &str) -> String {
        self.stages += 1;
        format!("{kind} {}", self.stages)
    }

    /// Makes items with a new value, in whatever stage.
    fn maker(&self) -> impl Fn(u64) -> Item + Clone + Send + Sync + 'static {
        let live = Arc::clone(&self.live);
        move |value| Item { value, _counted: Counted::new(&live) }
    }

    fn take(&mut self, at: usize) -> Open {
        let at = at % self.open.len();
        self.open.remove(at)
    }

    fn apply(&mut self, op: Op) {
        let item = self.maker();
        match op {
            Op::Source { items } => {
                let name = self.name("source");
                let base = self.stages as u64 * 1000;
                let stream = self.pipeline.source(name, (base..base + items).map(item));
                self.open.push(Open { stream, values: (base..base + items).collect(), is_ordered: true });
            }
            Op::Map { at, workers, is_ordered } => {
                let open = self.take(at);
                let (number, calls, fault) = (self.maps.len(), Arc::new(AtomicUsize::new(0)), self.fault);
                self.maps.push(Arc::clone(&calls));
                let map = move |old: Item| {
                    let now = calls.fetch_add(1, Ordering::Relaxed);
                    match fault {
                        Fault::Error { map, call } if (map, call) == (number, now) => Err("injected"),
                        Fault::Panic { map, call } if (map, call) == (number, now) => panic!("injected"),
                        _ => Ok(item(mapped(old.value))),
                    }
                };
                let stream = open.stream.stage(format!("map {number}"), map).workers(workers);
                let stream = if is_ordered { stream } else { stream.unordered() };
                let is_ordered = open.is_ordered && (is_ordered || workers == 1);
                let values = open.values.into_iter().map(mapped).collect();
                self.open.push(Open { stream, values, is_ordered });
            }
            Op::Flaky { at, workers } => {
                let (open, name) = (self.take(at), self.name("flaky"));
                let fail = |item: Item| if item.value.is_multiple_of(3) { Err("three") } else { Ok(item) };
                let stream = open.stream.stage(name, fail).workers(workers).ignore(|_| true);
                let values = open.values.into_iter().filter(|value| value % 3 != 0).collect();
                self.open.push(Open { stream, values, ..open });
            }
            Op::Filter { at, keep } => {
                let (open, name) = (self.take(at), self.name("filter"));
                let stream =
                    open.stream.filter_map(name, move |item| (item.value % keep == 0).then_some(item));
                let values = open.values.into_iter().filter(|value| value % keep == 0).collect();
                self.open.push(Open { stream, values, ..open });
            }
            Op::Regroup { at, size } => {
                let (open, names) = (self.take(at), [self.name("gather"), self.name("split")]);
                let [gather, split] = names;
                let stream = open.stream.regulate(gather, Gather::new(size)).regulate(split, Split);
                self.open.push(Open { stream, ..open });
            }
            Op::Rebatch { at, size, rows } => {
                let (open, names) =
                    (self.take(at), [self.name("gather"), self.name("batch"), self.name("split")]);
                let [gather, batch, split] = names;
                let stream = open.stream.regulate(gather, Gather::new(size));
                let stream = stream.regulate(batch, Rebatch::new(rows)).regulate(split, Split);
                self.open.push(Open { stream, ..open });
            }
            Op::Fork { at, branches } => {
                let open = self.take(at);
                for stream in open.stream.fork(branches) {
                    let (name, item) = (self.name("branch"), item.clone());
                    let stream = stream.map(name, move |shared| item(shared.value));
                    self.open.push(Open { stream, values: open.values.clone(), is_ordered: open.is_ordered });
                }
            }
            Op::Switch { at } => {
                let open = self.take(at);
                let way = |value: u64| (value % 3 != 2).then_some((value % 3) as usize);
                for (number, stream) in
                    open.stream.switch(2, move |item| way(item.value)).into_iter().enumerate()
                {
                    let values = open.values.iter().copied().filter(|value| way(*value) == Some(number));
                    self.open.push(Open { stream, values: values.collect(), is_ordered: open.is_ordered });
                }
            }
            Op::Merge { at, with } if self.open.len() > 1 => {
                let (a, b) = (self.take(at), self.take(with));
                let stream = self.pipeline.merge([a.stream, b.stream]);
                self.open.push(Open { stream, values: [a.values, b.values].concat(), is_ordered: false });
            }
            Op::Join { at, with } if self.open.len() > 1 => {
                let (a, b) = (self.take(at), self.take(with));
                if a.values.len() != b.values.len() || !a.is_ordered || !b.is_ordered {
                    self.open.extend([a, b]);
                    return;
                }
                let (join, map) = (self.name("join"), self.name("add"));
                let add = |a: u64, b: u64| a.wrapping_mul(31).wrapping_add(b);
                let pairs = a.stream.join(join, b.stream);
                let stream = pairs.map(map, move |(a, b)| item(add(a.value, b.value)));
                let values = a.values.into_iter().zip(b.values).map(|(a, b)| add(a, b)).collect();
                self.has_join = true;
                self.open.push(Open { stream, values, is_ordered: true });
            }
            Op::Merge { .. } | Op::Join { .. } => (),
            Op::Cycle { at, inside } => {
                let (open, cycle, step) = (self.take(at), self.name("cycle"), self.name("step"));
                let rounds = |value: u64| value % 4;
                let values = open.values.iter().map(|value| value + rounds(*value)).collect();
                let (start, name) = (self.name("start"), item.clone());
                let stream = open.stream.map(start, move |old| (rounds(old.value), name(old.value)));
                let stream = stream.cycle(cycle, Bound { rounds: 4, inside }, |lap| {
                    let go = move |(left, old): (u64, Item)| {
                        Ok::<_, Cause>(match left {
                            0 => Step::Done(old),
                            _ => Step::Again((left - 1, item(old.value + 1))),
                        })
                    };
                    lap.stage(step, go).workers(2)
                });
                self.open.push(Open { stream, values, is_ordered: open.is_ordered && inside == 1 });
            }
            Op::Buffer { at, items } => {
                let open = self.take(at);
                self.open.push(Open { stream: open.stream.buffer(items), ..open });
            }
        }
    }

    /// Builds, runs, and compares. What came of it, in a word.
    fn run(mut self) -> &'static str {
        let mut expected = Vec::new();
        for (number, open) in std::mem::take(&mut self.open).into_iter().enumerate() {
            open.stream.collect(format!("sink {number}"));
            expected.push((open.values, open.is_ordered));
        }
        let built = self.pipeline.build().unwrap();
        let run = built.start().unwrap();
        if let Fault::Cancel { after_us } = self.fault {
            std::thread::sleep(Duration::from_micros(after_us));
            run.cancel_handle().cancel();
        }
        let result = run.wait();
        let outcome = match (result, self.fault) {
            (Ok(mut out), fault) => {
                if let Fault::Error { map, call } | Fault::Panic { map, call } = fault {
                    let calls = self.maps.get(map).map_or(0, |calls| calls.load(Ordering::Relaxed));
                    assert!(
                        calls <= call,
                        "map {map} was called {calls} times, and its fault at {call} was lost"
                    );
                }
                for (number, (mut values, is_ordered)) in expected.into_iter().enumerate() {
                    let items: Vec<Item> = out.take(&format!("sink {number}")).unwrap();
                    let mut got: Vec<u64> = items.iter().map(|item| item.value).collect();
                    if !is_ordered {
                        values.sort_unstable();
                        got.sort_unstable();
                    }
                    assert_eq!(got, values, "sink {number}");
                }
                "ended"
            }
            (Err(PipelineError::Run(RunError::Stage { stage, cause, .. })), Fault::Error { map, .. }) => {
                assert_eq!((stage, cause.to_string()), (format!("map {map}"), "injected".to_owned()));
                "failed"
            }
            (Err(PipelineError::Run(RunError::Panic { stage, message, .. })), Fault::Panic { map, .. }) => {
                assert_eq!((stage, message), (format!("map {map}"), "injected".to_owned()));
                "panicked"
            }
            (Err(PipelineError::Run(RunError::Cancelled)), Fault::Cancel { .. }) => "cancelled",
            // A join behind a fork and a stage that holds items back, with small queues between.
            (Err(PipelineError::Run(RunError::Stalled { stages })), _) if self.has_join => {
                assert!(!stages.is_empty());
                "stalled"
            }
            (Err(error), fault) => panic!("{error} with {fault:?}"),
        };
        drop(built);
        assert_eq!(self.live.load(Ordering::Relaxed), 0, "items have stayed");
        for calls in &self.maps {
            assert_eq!(Arc::strong_count(calls), 1, "a thread, or what it had, has stayed");
        }
        outcome
    }
}

/// Runs random graphs, and counts what came of them.
fn run_graphs(config: ProptestConfig) -> BTreeMap<&'static str, usize> {
    let seen = RefCell::new(BTreeMap::new());
    let strategy = (proptest::collection::vec(op(), 1..12), fault());
    let run = TestRunner::new(config).run(&strategy, |(ops, fault)| {
        let outcome = within("a random graph", LONG, move || {
            let (pipeline, live) = (Pipeline::new(), Arc::default());
            let mut case = Case {
                pipeline,
                live,
                open: Vec::new(),
                fault,
                maps: Vec::new(),
                stages: 0,
                has_join: false,
            };
            case.apply(Op::Source { items: 30 });
            ops.into_iter().for_each(|op| case.apply(op));
            case.run()
        });
        *seen.borrow_mut().entry(outcome).or_default() += 1;
        Ok(())
    });
    let seen = seen.into_inner();
    if let Err(error) = run {
        panic!("{error}\nso far: {seen:?}");
    }
    seen
}

#[test]
fn random_graphs_lose_nothing_and_always_end() {
    // Graphs wait more than they compute, so several run at a time.
    const SIDE_BY_SIDE: u32 = 10;
    // `PROPTEST_CASES` asks for another number.
    let default = ProptestConfig::default();
    let cases = if default.cases == 256 { 10_000 } else { default.cases };
    let config = ProptestConfig { cases: cases.div_ceil(SIDE_BY_SIDE), failure_persistence: None, ..default };
    let seen = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(|| run_graphs(config.clone()))).collect();
        runs.into_iter().fold(BTreeMap::<&str, usize>::new(), |mut all, run| {
            for (outcome, count) in run.join().expect("all graphs are right") {
                *all.entry(outcome).or_default() += count;
            }
            all
        })
    });
    // The test would say nothing if its cases were of one kind.
    for outcome in ["ended", "failed", "panicked", "cancelled"] {
        let count = seen.get(outcome).copied().unwrap_or_default();
        assert!(count * 200 >= cases as usize, "{outcome} only {count} times: {seen:?}");
    }
}
