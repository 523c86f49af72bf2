//! The prior art's example, 50 times faster, and what the monitor and the diagram say.

use std::time::Duration;

use isograd_datasets::pipeline::{Bound, BuiltPipeline, Cause, Monitor, Pipeline, Step};

use crate::{LONG, within};

/// Half a second, 50 times faster.
const HALF: Duration = Duration::from_millis(10);

fn example(workers: usize) -> BuiltPipeline {
    let load = (0..10_u32).inspect(|_| std::thread::sleep(HALF));
    Pipeline::new()
        .source("load", load)
        .map("transform", |n| {
            std::thread::sleep(2 * HALF);
            n * n
        })
        .workers(workers)
        .fold("save", Vec::new(), |saved: &mut Vec<u32>, n| {
            std::thread::sleep(HALF);
            saved.push(n);
            Ok::<_, Cause>(())
        })
        .build()
        .unwrap()
}

#[test]
fn load_transform_save() {
    within("example", LONG, || {
        let serial: Vec<u32> = (0..10).map(|n| n * n).collect();
        for workers in [1, 2] {
            let mut out = example(workers).run().unwrap();
            assert_eq!(out.take::<Vec<u32>>("save").unwrap(), serial);
            let monitor = out.monitor();
            let counts: Vec<_> =
                monitor.stages.iter().map(|s| (s.items_in, s.items_out, s.skipped)).collect();
            assert_eq!(counts, [(10, 10, 0), (10, 10, 0), (10, 0, 0)]);
            // A sleep is at least as long as it says, so these hold on any machine.
            let busy: Vec<Duration> = monitor.stages.iter().map(|s| s.busy).collect();
            assert!(busy[0] >= 10 * HALF && busy[1] >= 20 * HALF && busy[2] >= 10 * HALF, "{busy:?}");
            // The stages overlap: the time of the run is less than that of all stages' work.
            assert!(monitor.elapsed < busy.iter().sum(), "{monitor}");
            if workers == 1 {
                let bottleneck = monitor.bottleneck().unwrap();
                assert_eq!(bottleneck.stage, "transform", "{monitor}");
                // 2, or 3 where the machine's sleeps are longer than asked for.
                let needed = bottleneck.workers_needed.unwrap();
                assert!((2..=3).contains(&needed), "{monitor}");
                let words =
                    format!("the bottleneck is transform: {needed} workers would remove it (it has 1)");
                assert!(monitor.to_string().contains(&words), "{monitor}");
            }
        }
    });
}

/// A report with these times.
fn monitor(stages: &[(&str, usize, u64)]) -> Monitor {
    let mut monitor = example(1).run().unwrap().monitor().clone();
    for (report, (name, workers, busy_ms)) in monitor.stages.iter_mut().zip(stages) {
        (report.stage, report.workers, report.busy) =
            ((*name).to_owned(), *workers, Duration::from_millis(*busy_ms));
    }
    monitor
}

#[test]
fn the_bottleneck_follows_from_work_and_workers() {
    let needed = |stages: &[_]| {
        let bottleneck = monitor(stages).bottleneck().unwrap();
        (bottleneck.stage, bottleneck.workers_needed)
    };
    let two = |n| ("t".to_owned(), Some(n));
    assert_eq!(needed(&[("l", 1, 500), ("t", 1, 1000), ("s", 1, 500)]), two(2));
    assert_eq!(needed(&[("l", 1, 500), ("t", 2, 3000), ("s", 1, 400)]), two(6));
    // 4 % over a whole number is within what can be measured.
    assert_eq!(needed(&[("l", 1, 500), ("t", 1, 1040), ("s", 1, 500)]), two(2));
    assert_eq!(needed(&[("l", 1, 0), ("t", 1, 1000), ("s", 1, 0)]), two(64));
    assert_eq!(needed(&[("l", 1, 900), ("t", 1, 100), ("s", 1, 500)]), ("l".to_owned(), None));
    // Divided by its workers, it is not.
    assert_eq!(needed(&[("l", 1, 400), ("t", 3, 1000), ("s", 1, 500)]), ("s".to_owned(), Some(2)));
    let idle = monitor(&[("l", 1, 0), ("t", 1, 0), ("s", 1, 0)]);
    assert_eq!(idle.bottleneck(), None);
}

#[test]
fn a_live_snapshot_counts_the_item_at_hand() {
    within("live", LONG, || {
        let run = example(1).start().unwrap();
        while run.monitor().stages[1].items_in < 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let monitor = run.monitor();
        assert!(!run.is_over());
        assert!(monitor.stages[1].busy > Duration::ZERO);
        assert!(monitor.line().starts_with("load "), "{}", monitor.line());
        let ended = run.wait().unwrap();
        assert!(ended.monitor().elapsed > monitor.elapsed);
    });
}

#[test]
fn diagrams() {
    let mut forked = Pipeline::new().source("a \"quoted\" <name>", 0..3_u32).buffer(8).fork(2).into_iter();
    forked.next().unwrap().map("double", |n| *n * 2).workers(2).collect("all");
    let body = |lap: isograd_datasets::pipeline::Lap<_>| {
        lap.stage("step", |n| Ok::<_, Cause>(Step::<_, ()>::Again(n)))
    };
    let end = forked.next().unwrap().cycle("round", Bound { rounds: 2, inside: 1 }, body).collect("none");
    let diagram = end.build().unwrap().diagram();
    assert_eq!(
        diagram.mermaid(),
        "flowchart LR\n    s0([\"a &quot;quoted&quot; &lt;name&gt;\"])\n    s1[\"double x 2\"]\n    s2([\"all\"])\n    \
         s3[\"round\"]\n    s4[\"step\"]\n    s5[\"round exit\"]\n    s6([\"none\"])\n    s0 -->|8| s1\n    s1 --> s2\n    \
         s0 -->|8| s3\n    s3 --> s4\n    s5 -.-> s4\n    s4 --> s5\n    s5 --> s6\n"
    );
    let dot = diagram.dot();
    assert!(dot.contains("s0 [label=\"a \\\"quoted\\\" <name>\", shape=oval];"), "{dot}");
    assert!(dot.contains("s0 -> s1 [style=solid, label=\"8\"];"), "{dot}");
    assert!(dot.contains("s5 -> s4 [style=dashed, constraint=false];"), "{dot}");
    let svg = diagram.svg();
    assert_eq!(svg.matches("<rect ").count(), 7);
    assert_eq!(svg.matches("<path ").count(), 7 + 1, "an arrow each, and the tip");
    assert_eq!(svg.matches("stroke-dasharray").count(), 1);
    assert!(svg.contains(">a &quot;quoted&quot; &lt;name&gt;</text>"), "{svg}");
}
