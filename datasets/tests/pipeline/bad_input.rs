//! Graphs that cannot work: one clear error each, with the stage's name, before anything runs.

use isograd_datasets::pipeline::{Bound, Cause, End, Gather, Lap, Pipeline, Step, Stream};

fn message(pipeline: &Pipeline) -> String {
    pipeline.build().expect_err("the graph cannot work").to_string()
}

fn of(end: End) -> String {
    message(&end.pipeline())
}

fn numbers() -> Stream<u32> {
    Pipeline::new().source("numbers", 0..10_u32)
}

#[test]
fn each_mistake_has_its_error() {
    assert_eq!(message(&Pipeline::new()), "the pipeline has no stages");
    assert_eq!(
        of(numbers().map("double", |n| n * 2).workers(0).collect("all")),
        "stage double has 0 workers, expected at least 1"
    );
    assert_eq!(of(numbers().collect("all").workers(0)), "stage all has 0 workers, expected at least 1");
    assert_eq!(
        of(numbers().workers(2).collect("all")),
        "stage numbers is a source and can have 1 worker only, not 2"
    );
    assert_eq!(
        of(numbers().regulate("gather", Gather::new(3)).workers(4).collect("all")),
        "stage gather is a regulator and can have 1 worker only, not 4"
    );
    assert_eq!(
        of(numbers().buffer(0).collect("all")),
        "the buffer behind stage numbers holds 0 items, expected at least 1"
    );
    assert_eq!(
        of(numbers().map("numbers", |n| n).collect("all")),
        "two stages have the name numbers; results and errors need names that differ"
    );
    let open = Pipeline::new();
    drop(open.source("numbers", 0..3).map("double", |n| n * 2));
    assert_eq!(message(&open), "nothing reads the output of stage double; end it with a sink");
    let forked = numbers().fork(2).into_iter().next().unwrap().collect("all");
    assert_eq!(of(forked), "nothing reads the output of stage numbers; end it with a sink");
    assert_eq!(of(numbers().fan_out([])), "nothing reads the output of stage numbers; end it with a sink");
    assert_eq!(of(numbers().compete([])), "nothing reads the output of stage numbers; end it with a sink");
}

#[test]
fn a_stage_without_upstream() {
    let pipeline = Pipeline::new();
    let (_inlet, stream) = pipeline.inlet::<u32>("later");
    stream.map("double", |n| n * 2).collect("all");
    assert_eq!(message(&pipeline), "stage double has no upstream: nothing feeds inlet later");
}

#[test]
fn a_cycle_without_a_bound() {
    let pipeline = Pipeline::new();
    let (inlet, back) = pipeline.inlet::<u32>("back");
    let merged = pipeline.merge([pipeline.source("numbers", 0..10), back.map("again", |n| n)]);
    let mut ways = merged.map("step", |n| n / 2).switch(2, |n| Some(usize::from(*n > 0))).into_iter();
    ways.next().unwrap().collect("all");
    ways.next().unwrap().feed(&inlet);
    let text = message(&pipeline);
    assert!(
        ["again -> step -> again", "step -> again -> step"].iter().any(|cycle| text
            == format!("stages feed each other in a cycle without a bound: {cycle}; use `cycle`")),
        "{text}"
    );
}

#[test]
fn a_cycle_bounded_by_nothing() {
    for (rounds, inside, expected) in [
        (0, 1, "cycle round is bounded by 0 rounds and 1 item, expected at least 1 of each"),
        (3, 0, "cycle round is bounded by 3 rounds and 0 items, expected at least 1 of each"),
    ] {
        let body = |lap: Lap<u32>| lap.stage("step", |n| Ok::<_, Cause>(Step::<u32, u32>::Done(n)));
        assert_eq!(of(numbers().cycle("round", Bound { rounds, inside }, body).collect("all")), expected);
    }
}

#[test]
fn results_that_are_not_there() {
    let mut out = numbers().collect("all").build().unwrap().run().unwrap();
    let wrong_name = out.take::<Vec<u32>>("al").unwrap_err();
    assert_eq!(wrong_name.to_string(), "sink al has no result; there are results of all");
    let wrong_type = out.take::<Vec<u64>>("all").unwrap_err();
    assert_eq!(
        wrong_type.to_string(),
        "the result of sink all has type alloc::vec::Vec<u32>, not alloc::vec::Vec<u64>"
    );
    assert_eq!(out.take::<Vec<u32>>("all").unwrap().len(), 10, "a wrong type takes nothing away");
    assert_eq!(
        out.take::<Vec<u32>>("all").unwrap_err().to_string(),
        "sink all has no result; no results are left"
    );
}
