//! How runs end: errors, ignored errors, panics, cancellation, deadlines, stalls, drops; and no thread stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use isograd_datasets::pipeline::{
    Bound, Cause, Gather, Pipeline, PipelineError, RunError, Split, Step, Stream, generator,
};

use crate::{LONG, within};

/// Counts how many of it live.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(crate) fn new(live: &Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(live))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn endless() -> Stream<u64> {
    Pipeline::new().source("numbers", 0..u64::MAX)
}

#[test]
fn an_error_names_stage_item_and_cause_and_ends_every_thread() {
    within("error", LONG, || {
        for workers in [1, 3] {
            let live = Arc::new(AtomicUsize::new(0));
            let held = Counted::new(&live);
            let fail = move |n: u64| {
                let _ = &held;
                if n == 17 { Err("cannot decode".to_owned()) } else { Ok(n) }
            };
            let built = endless()
                .map("before", |n| n)
                .stage("decode", fail)
                .workers(workers)
                .collect("all")
                .build()
                .unwrap();
            let error = built.run().unwrap_err();
            assert_eq!(error.to_string(), "stage decode at item 17: cannot decode");
            assert!(matches!(error, PipelineError::Run(RunError::Stage { item: Some(17), .. })));
            // `run` returns after all threads; what they shared goes with the pipeline.
            drop(built);
            assert_eq!(live.load(Ordering::Relaxed), 0, "a thread or an item has stayed");
        }
    });
}

#[test]
fn sources_sinks_states_and_ends_of_streams_report_errors_too() {
    within("errors", LONG, || {
        let message =
            |built: isograd_datasets::pipeline::End| built.build().unwrap().run().unwrap_err().to_string();
        let broken = || Ok::<_, Cause>([Ok(1), Ok(2), Err("disk gone")].into_iter());
        let source = || Pipeline::new().source("disk", generator(broken));
        assert_eq!(message(source().collect("all")), "stage disk at item 2: disk gone");
        let closed = || Err::<std::vec::IntoIter<Result<u32, Cause>>, _>("no such disk");
        assert_eq!(
            message(Pipeline::new().source("disk", generator(closed)).collect("all")),
            "stage disk: no such disk"
        );
        let save = |n: u64| if n == 3 { Err("disk full") } else { Ok(()) };
        assert_eq!(message(endless().for_each("save", save)), "stage save at item 3: disk full");
        let state = |_: &isograd_datasets::pipeline::Worker| Err::<Late, Cause>("no memory".into());
        assert_eq!(message(endless().transform("state", state).collect("all")), "stage state: no memory");
        let few = Pipeline::new().source("few", 0..3_u64);
        assert_eq!(message(few.transform("late", |_| Ok(Late)).collect("all")), "stage late: too late");
    });
}

/// Fails at the end of the stream.
struct Late;

impl isograd_datasets::pipeline::Transform<u64> for Late {
    type Output = u64;
    fn process(&mut self, _: u64, _: &mut isograd_datasets::pipeline::Outlet<'_, u64>) -> Result<(), Cause> {
        Ok(())
    }
    fn finish(&mut self, _: &mut isograd_datasets::pipeline::Outlet<'_, u64>) -> Result<(), Cause> {
        Err("too late".into())
    }
}

#[test]
fn a_panic_is_reported_with_the_stage() {
    within("panic", LONG, || {
        let built = endless().map("fragile", |n| if n == 5 { panic!("5 is right out") } else { n });
        let built = built.workers(2).collect("all").build().unwrap();
        let error = built.run().unwrap_err();
        assert_eq!(error.to_string(), "stage fragile at item 5 panicked: 5 is right out");
        // And the pipeline can be run again.
        assert!(matches!(
            built.run().unwrap_err(),
            PipelineError::Run(RunError::Panic { item: Some(5), .. })
        ));
    });
}

#[test]
fn an_item_that_panics_when_it_is_dropped_hangs_nobody() {
    #[derive(Debug)]
    struct Mine(u64);
    impl Drop for Mine {
        fn drop(&mut self) {
            assert!(self.0 != 7, "trodden on");
        }
    }
    within("drop", LONG, || {
        let stream = endless().map("lay", Mine).buffer(16).map("wait", |mine| {
            std::thread::sleep(Duration::from_millis(2));
            mine
        });
        let built = stream.collect("all").build().unwrap();
        // The seventh waits in the queue when the run is cancelled, and its drop panics there.
        let run = built.start().unwrap();
        std::thread::sleep(Duration::from_millis(5));
        let cancel = run.cancel_handle();
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cancel.cancel()));
        assert!(run.wait().is_err());
    });
}

#[test]
fn ignored_errors_are_counted_and_skipped() {
    within("ignored", LONG, || {
        let odd = |n: u64| if n % 2 == 1 { Err(std::io::Error::other("odd")) } else { Ok(n) };
        let is_io = |cause: &Cause| cause.is::<std::io::Error>();
        for workers in [1, 2] {
            let stream =
                Pipeline::new().source("n", 0..10_u64).stage("odd", odd).workers(workers).ignore(is_io);
            let mut out = stream.collect("all").build().unwrap().run().unwrap();
            assert_eq!(out.take::<Vec<u64>>("all").unwrap(), [0, 2, 4, 6, 8]);
            let report = &out.monitor().stages[1];
            assert_eq!((report.items_in, report.items_out, report.skipped), (10, 5, 5));
        }
        let pipeline = Pipeline::new().ignore_errors(is_io);
        let stream = pipeline
            .source("n", 0..10_u64)
            .stage("odd", odd)
            .stage("text", |n| format!("{n}x").parse::<u64>());
        let error = stream.collect("all").build().unwrap().run().unwrap_err();
        assert_eq!(error.to_string(), "stage text at item 0: invalid digit found in string");
        let rest =
            || Ok::<_, Cause>([Ok(1_u32), Err(std::io::Error::other("one bad sector")), Ok(3)].into_iter());
        let stream = Pipeline::new().source("disk", generator(rest)).ignore(is_io).collect("all");
        assert_eq!(stream.build().unwrap().run().unwrap().take::<Vec<u32>>("all").unwrap(), [1, 3]);
    });
}

#[test]
fn cancel_deadline_and_drop_end_the_threads() {
    within("cancel", LONG, || {
        let live = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&live);
        let built =
            endless().map("count", move |_| Counted::new(&counter)).workers(2).for_each("slow", |_| {
                std::thread::sleep(Duration::from_millis(1));
                Ok::<_, Cause>(())
            });
        let built = built.build().unwrap();
        let run = built.start().unwrap();
        assert!(matches!(built.start().unwrap_err(), PipelineError::Run(RunError::Running)));
        let cancel = run.cancel_handle();
        std::thread::spawn(move || cancel.cancel()).join().unwrap();
        assert!(matches!(run.wait().unwrap_err(), PipelineError::Run(RunError::Cancelled)));
        assert_eq!(live.load(Ordering::Relaxed), 0);

        drop(built.start().unwrap());
        assert_eq!(live.load(Ordering::Relaxed), 0, "dropping waits for the threads and drops the items");

        let begin = Instant::now();
        let error = built.deadline(Duration::from_millis(80)).run().unwrap_err();
        assert!(begin.elapsed() >= Duration::from_millis(80));
        assert!(error.to_string().starts_with("the pipeline has not ended within 80ms; busy: "), "{error}");
        assert_eq!(live.load(Ordering::Relaxed), 0);

        let mut items = endless().items().unwrap();
        assert_eq!(items.next().unwrap().unwrap(), 0);
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(items.next().unwrap().unwrap(), 1, "a caller may take its time");
        items.cancel_handle().unwrap().cancel();
        assert!(items.by_ref().last().unwrap().is_err());
        assert!(items.next().is_none());
    });
}

#[test]
fn stages_that_wait_for_each_other_are_found() {
    within("stall", LONG, || {
        let build = |buffer| {
            let mut streams =
                Pipeline::new().source("numbers", 0..100_u32).buffer(buffer).fork(2).into_iter();
            let (direct, gathered) = (streams.next().unwrap(), streams.next().unwrap());
            let late = gathered.regulate("gather", Gather::new(50)).regulate("split", Split);
            direct.join("pair", late).collect("all").build().unwrap()
        };
        let error = build(10).run().unwrap_err();
        let expected =
            "all stages wait for each other; the queues behind numbers are full: give them larger buffers";
        assert_eq!(error.to_string(), expected);
        let pairs: Vec<(Arc<u32>, Arc<u32>)> = build(60).run().unwrap().take("all").unwrap();
        assert!(pairs.iter().all(|(a, b)| Arc::ptr_eq(a, b)) && pairs.len() == 100);
    });
}

#[test]
fn joined_streams_must_have_one_length() {
    within("lengths", LONG, || {
        let pipeline = Pipeline::new();
        let (short, long) = (pipeline.source("short", 0..3), pipeline.source("long", 0..u64::MAX));
        let error = short.join("pair", long).collect("all").build().unwrap().run().unwrap_err();
        assert_eq!(error.to_string(), "stage pair: input 0 ended after 3 items, but input 1 goes on");
        let streams = [5, 5, 4].map(|n| pipeline.source(format!("to {n}"), 0..n));
        assert!(pipeline.build().is_err(), "names must differ");
        drop(streams);
    });
}

#[test]
fn a_cycle_with_errors_inside_ends() {
    within("cycle", LONG, || {
        let build = |rounds, does_ignore: bool| {
            let step = |(n, left): (u64, u64)| match left {
                _ if n % 7 == 3 => Err("a bad number"),
                0 => Ok(Step::Done(n)),
                _ => Ok(Step::Again((n, left - 1))),
            };
            let stream = Pipeline::new().source("n", (0..50_u64).map(|n| (n, n % 5)));
            stream
                .cycle("rounds", Bound { rounds, inside: 3 }, |lap| {
                    lap.stage("pass", Ok::<_, Cause>).stage("step", step).ignore(move |_| does_ignore)
                })
                .collect("all")
                .build()
                .unwrap()
        };
        let mut all: Vec<u64> = build(5, true).run().unwrap().take("all").unwrap();
        all.sort_unstable();
        assert_eq!(all, (0..50).filter(|n| n % 7 != 3).collect::<Vec<_>>());
        let error = build(5, false).run().unwrap_err().to_string();
        assert!(error.starts_with("stage step at item ") && error.ends_with(": a bad number"), "{error}");
        let error = build(4, true).run().unwrap_err().to_string();
        assert!(error.ends_with("an item has gone 4 rounds, and wants another"), "{error}");
    });
}

#[test]
fn a_source_that_waits_elsewhere_is_interrupted() {
    struct Bell(AtomicBool);
    impl isograd_datasets::pipeline::Source for Bell {
        type Item = u32;
        type Items = std::iter::Empty<Result<u32, Cause>>;
        fn open(&self) -> Result<Self::Items, Cause> {
            while !self.0.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(std::iter::empty())
        }
        fn interrupt(&self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    within("interrupt", LONG, || {
        let built =
            Pipeline::new().source("bell", Bell(AtomicBool::new(false))).collect("all").build().unwrap();
        let error = built.deadline(Duration::from_millis(50)).run().unwrap_err();
        assert!(matches!(error, PipelineError::Run(RunError::Deadline { .. })), "{error}");
    });
}
