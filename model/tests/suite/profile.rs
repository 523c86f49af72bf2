//! Profiles and traces: they change no bit, count what was done, and agree between ranks.

use crate::common::{branching, in_pool, simplecnn_with_dropout_and_batch_norm, synchronised};
use crate::ranks::{Group, Over, each_rank};
use isograd_datasets::{Arrays, Synthetic};
use isograd_model::{Error, Network, Profile, Profiler, TrainConfig, Trainer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

const SAMPLES: u64 = 96;
const STEPS: usize = 3;
/// Of three steps.
const SHARDS: usize = 12;
const TRACE_BYTES: usize = 1 << 20;

fn data() -> Arrays<'static> {
    Synthetic { seed: 3, sample_shape: [1, 28, 28], num_classes: 10 }.samples(0..SAMPLES).expect("data")
}

fn config() -> TrainConfig {
    TrainConfig { batch_size: 32, shard_size: 8, seed: 5, ..TrainConfig::default() }
}

/// An epoch and an evaluation.
fn run(mut trainer: Trainer<f32>, profiler: Option<&Profiler>) -> Result<(String, Option<Profile>), Error> {
    if let Some(profiler) = profiler {
        trainer.set_profiler(profiler)?;
    }
    trainer.train_epoch(&data(), |_| ())?;
    trainer.evaluate(&data())?;
    trainer.snapshot(&[])?;
    let hash = trainer.state().params_sha256();
    Ok((hash, trainer.take_profile()?))
}

fn alone(network: Network<f32>, threads: usize, profiler: Option<&Profiler>) -> (String, Option<Profile>) {
    in_pool(threads, || run(Trainer::new(network, config())?, profiler)).expect("finite losses")
}

fn group(over: Over, overlap: bool, world: usize) -> Group {
    Group::new(over, 2, overlap, world)
}

fn trace(profile: &Profile, bytes: usize) -> (Value, isograd_model::profile::TraceSummary) {
    let mut text = Vec::new();
    let summary = profile.write_trace(&mut text, bytes).expect("memory takes all bytes");
    assert_eq!(summary.bytes, text.len());
    (serde_json::from_slice(&text).expect("a JSON object"), summary)
}

#[test]
fn a_profile_changes_no_bit() {
    for network in [branching, simplecnn_with_dropout_and_batch_norm, synchronised] {
        let (expected, none) = alone(network(), 1, None);
        assert!(none.is_none());
        for threads in [1, 2, 3] {
            for profiler in [Profiler::new(), Profiler::with_trace(TRACE_BYTES)] {
                assert_eq!(alone(network(), threads, Some(&profiler)).0, expected);
            }
        }
        for (over, overlap) in [(Over::SharedMemory, true), (Over::Tcp, false)] {
            let mut group = group(over, overlap, 2);
            group.network = network;
            let hashes = each_rank(&group, &config(), |_, trainer| {
                Ok(run(trainer, Some(&Profiler::with_trace(TRACE_BYTES)))?.0)
            });
            assert_eq!(hashes, [expected.clone(), expected.clone()]);
        }
    }
}

#[test]
fn steps_have_parts_that_add_up_without_evaluations() {
    let group = group(Over::SharedMemory, true, 2);
    let profiles = each_rank(&group, &config(), |_, trainer| {
        Ok(run(trainer, Some(&Profiler::new()))?.1.expect("a profiler was set"))
    });
    let alone = alone(simplecnn_with_dropout_and_batch_norm(), 2, Some(&Profiler::new()));
    let alone = alone.1.expect("a profiler was set");
    for (profile, ranks) in [(&alone, 1), (&profiles[0], 2), (&profiles[1], 2)] {
        let parts = profile.step_parts();
        assert_eq!(parts.steps, STEPS as u64, "{profile}");
        let exchange = [parts.exchange_hidden, parts.exchange_exposed];
        let own = [parts.shards, parts.parameters, parts.read];
        let sum: f64 = own.iter().chain(&exchange).sum::<f64>() + parts.wait + parts.other;
        // `other` is what is left, so the sum is longer only if a part was counted twice.
        assert!((sum / parts.seconds - 1.0).abs() < 0.02, "{parts:?}");
        assert!(
            own.iter().all(|part| *part > 0.0) && parts.seconds < profile.wall().as_secs_f64(),
            "{parts:?}"
        );
        assert_eq!(exchange.iter().all(|part| *part > 0.0), ranks > 1, "{parts:?}");
        let json: Value = serde_json::from_str(&profile.to_json()).unwrap();
        assert_eq!(json["steps"]["shard_seconds"], parts.shards);
        assert_eq!(json["bucket_bytes"].as_array().map(Vec::is_empty), Some(false), "{json}");
    }
}

#[test]
fn rows_count_calls_and_add_up() {
    for network in [simplecnn_with_dropout_and_batch_norm, synchronised] {
        let (_, profile) = alone(network(), 2, Some(&Profiler::new()));
        let profile = profile.expect("a profiler was set");
        let rows = profile.rows();
        let find = |name: &str, pass: &str| {
            let row = rows.iter().find(|row| row.name.ends_with(name) && row.pass == pass);
            row.unwrap_or_else(|| panic!("no {name}, {pass}, in {profile}"))
        };
        for pass in ["forward", "backward", "evaluation"] {
            let row = find("1 Conv2D", pass);
            assert_eq!(row.calls, SHARDS as u64, "{pass} in {profile}");
            assert!(row.gflops > Some(0.0) && row.bytes > Some(0), "{row:?}");
        }
        assert_eq!(find("read samples", "").calls, 2 * SHARDS as u64);
        assert_eq!(find("update parameters", "").calls, STEPS as u64);
        assert_eq!(find("checkpoint copy", "").calls, 1);
        assert!(!rows.iter().any(|row| row.name.starts_with("exchange")), "{profile}");
        // The last row is what is left, so the sum is short only if a part was counted twice.
        let sum: f64 = rows.iter().map(|row| row.seconds).sum();
        assert!((sum - profile.wall().as_secs_f64()).abs() < 1e-6, "{sum} s in {profile}");
        assert!(profile.peak_gflops() > 0.1, "{profile}");
        // A backward pass without a gradient by the input does the work of one forward pass, not of two.
        let flops = |row: &isograd_model::profile::ProfileRow| {
            row.gflops.expect("a convolution") * row.bytes.expect("tensors") as f64
                / row.gbytes_per_s.expect("tensors")
        };
        let ratio = flops(find("1 Conv2D", "backward")) / flops(find("1 Conv2D", "forward"));
        assert!((ratio - 1.0).abs() < 1e-9, "{ratio}");
    }
}

/// Threads that share each shard are not idle beside one that has it.
#[test]
fn threads_that_share_shards_count_as_busy() {
    let config = TrainConfig { threads_per_shard: 2, ..config() };
    let network = simplecnn_with_dropout_and_batch_norm();
    let profile = in_pool(2, || run(Trainer::new(network, config)?, Some(&Profiler::new())));
    let profile = profile.expect("finite losses").1.expect("a profiler was set");
    let seconds = |of: &dyn Fn(&str, &str) -> bool| -> f64 {
        let rows = profile.rows();
        rows.iter().filter(|row| of(&row.name, row.pass)).map(|row| row.seconds).sum()
    };
    let of_layers = seconds(&|_, pass| !pass.is_empty());
    let idle = seconds(&|name, _| name == "idle");
    // Half of the threads would be idle for as long as the others work.
    assert!(idle < of_layers / 2.0, "{profile}");
    let sum = seconds(&|_, _| true);
    assert!((sum - profile.wall().as_secs_f64()).abs() < 1e-6, "{sum} s in {profile}");
    assert!(profile.to_string().contains(" on 2 threads, "), "{profile}");
}

#[test]
fn a_profile_is_the_same_in_all_forms() {
    let (_, profile) = alone(branching(), 1, Some(&Profiler::new().on_host("node \"7\"")));
    let profile = profile.expect("a profiler was set");
    let rows = profile.rows();
    let json: Value = serde_json::from_str(&profile.to_json()).expect("JSON");
    let csv = profile.to_csv();
    assert_eq!(csv.lines().count(), rows.len() + 1);
    assert_eq!(json["rows"].as_array().expect("a list").len(), rows.len());
    assert_eq!(json["ranks"][0]["host"], "node \"7\"");
    for ((row, line), value) in rows.iter().zip(csv.lines().skip(1)).zip(json["rows"].as_array().unwrap()) {
        assert!(line.starts_with(&format!("{},{},{},{},", row.name, row.pass, row.calls, row.seconds)));
        assert_eq!((value["name"].as_str(), value["calls"].as_u64()), (Some(&*row.name), Some(row.calls)));
    }
    let text = profile.to_string();
    assert!(text.starts_with("profile: 1 rank on 1 thread, "), "{text}");
    assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
}

/// Names of events, with start and end in nanoseconds.
type Lane = Vec<(String, i64, i64)>;

/// Complete events by process and thread.
fn lanes(trace: &Value) -> BTreeMap<(u64, u64), Lane> {
    let mut lanes: BTreeMap<_, Lane> = BTreeMap::new();
    for event in trace["traceEvents"].as_array().expect("a list") {
        if event["ph"] == "X" {
            let number = |key: &str| event[key].as_u64().expect("a number");
            let ns = |key: &str| (event[key].as_f64().expect("a number") * 1e3).round() as i64;
            let name = event["name"].as_str().expect("a name").to_string();
            let lane = lanes.entry((number("pid"), number("tid"))).or_default();
            lane.push((name, ns("ts"), ns("ts") + ns("dur")));
        }
    }
    lanes
}

#[test]
fn a_trace_has_all_ranks_on_one_clock() {
    for (over, overlap) in [(Over::SharedMemory, true), (Over::Both, true), (Over::Tcp, false)] {
        let world = 3;
        let mut profiles = each_rank(&group(over, overlap, world), &config(), |rank, trainer| {
            let profiler = Profiler::with_trace(TRACE_BYTES).on_host(format!("host{rank}"));
            // Clocks of profilers begin at different times.
            std::thread::sleep(Duration::from_millis(20 * (3 - rank as u64)));
            let mut trainer = trainer;
            trainer.set_profiler(&profiler)?;
            let span = profiler.span("my \"epoch\"");
            trainer.train_epoch(&data(), |_| ())?;
            span.end();
            Ok(trainer.take_profile()?.expect("a profiler was set"))
        });
        assert!(!profiles[1].has_trace() && profiles[0].has_trace());
        assert_eq!(profiles[0].rows(), profiles[2].rows());
        let (trace, summary) = trace(&profiles.remove(0), TRACE_BYTES);
        assert!(summary.stopped.is_none() && summary.clock_error > Duration::ZERO, "{summary:?}");
        assert_eq!(trace["otherData"]["ranks"].as_array().expect("a list").len(), world);
        assert!(trace["otherData"]["stopped_after_seconds"].is_null());

        let events = trace["traceEvents"].as_array().expect("a list");
        let named = |pid: usize, what: &str| -> Vec<&str> {
            let of = events.iter().filter(|event| event["name"] == what && event["pid"] == pid);
            of.map(|event| event["args"]["name"].as_str().expect("a name")).collect()
        };
        for rank in 0..world {
            assert_eq!(named(rank, "process_name"), [format!("rank {rank} (host{rank})")]);
            assert_eq!(named(rank, "thread_name"), ["training", "worker 0", "worker 1"]);
            let halves = |phase: &str| {
                let is_half = |event: &&Value| {
                    event["ph"] == phase && event["pid"] == rank && event["name"] == "my \"epoch\""
                };
                events.iter().filter(is_half).count()
            };
            assert_eq!((halves("b"), halves("e")), (1, 1));
        }

        let lanes = lanes(&trace);
        for (place, spans) in &lanes {
            // Spans are in the order of their starts: each ends before the next one begins, or is around it.
            let mut around: Vec<&(String, i64, i64)> = Vec::new();
            for span in spans {
                while around.last().is_some_and(|outer| outer.2 <= span.1) {
                    around.pop();
                }
                if let Some(outer) = around.last() {
                    assert!(span.2 <= outer.2, "{span:?} in {outer:?} of {place:?}");
                }
                around.push(span);
            }
        }
        // No rank ends a step before all have begun it: they exchange gradients.
        let error = (summary.clock_error.as_nanos() as i64) * 2 + 2;
        let steps = |rank: u64| {
            let spans = lanes[&(rank, 0)].iter().filter(|span| span.0 == "step");
            spans.map(|(_, start, end)| (*start, *end)).collect::<Vec<_>>()
        };
        for (rank, other) in [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)] {
            assert_eq!(steps(rank).len(), STEPS);
            for ((start, _), (_, end)) in steps(rank).into_iter().zip(steps(other)) {
                assert!(
                    start <= end + error,
                    "{over:?}: rank {other} ended {end}, rank {rank} began {start}"
                );
            }
        }
        let shards: usize = lanes.values().flatten().filter(|span| span.0 == "shard").count();
        assert_eq!(shards, SHARDS);
    }
}

#[test]
fn a_trace_stops_at_its_length() {
    let (_, whole) = alone(branching(), 2, Some(&Profiler::with_trace(TRACE_BYTES)));
    let whole = whole.expect("a profiler was set");
    let (_, complete) = trace(&whole, TRACE_BYTES);
    assert!(complete.stopped.is_none(), "{complete:?}");
    let mut last = 0;
    for bytes in [4_000, complete.bytes / 2, complete.bytes] {
        let (trace, summary) = trace(&whole, bytes);
        assert!(summary.bytes <= bytes, "{summary:?} in {bytes}");
        assert!(summary.events > last && summary.events < complete.events, "{summary:?}");
        assert!(trace["otherData"]["stopped_after_seconds"].as_f64().expect("a number") >= 0.0);
        last = summary.events;
    }
    // A recorder without room stops the whole trace; times are still added up.
    let (_, short) = alone(branching(), 2, Some(&Profiler::with_trace(20_000)));
    let short = short.expect("a profiler was set");
    let (_, summary) = trace(&short, TRACE_BYTES);
    assert!(summary.stopped.is_some() && summary.events < complete.events, "{summary:?}");
    let calls = |profile: &Profile| profile.rows().iter().map(|row| row.calls).sum::<u64>();
    assert_eq!(calls(&short), calls(&whole));
}

#[test]
fn spans_of_a_name_add_up() {
    let profiler = Profiler::with_trace(TRACE_BYTES);
    for _ in 0..3 {
        let outer = profiler.span("outer");
        let inner = profiler.span(format!("inner {}", 1));
        let (first, second) = (inner.end(), inner.end());
        assert!(first <= second && second <= outer.end());
    }
    profiler.add("read elsewhere", Duration::from_millis(250));
    profiler.disable();
    drop(profiler.span("unseen"));
    profiler.add("unseen", Duration::from_secs(1));
    profiler.enable();
    drop(profiler.span("dropped"));
    let spans = profiler.spans();
    let calls: Vec<_> = spans.iter().map(|span| (&*span.name, span.calls)).collect();
    assert_eq!(calls, [("inner 1", 6), ("outer", 3), ("read elsewhere", 1), ("dropped", 1)]);
    for span in &spans {
        let (least, most) = (span.least_ns as f64, span.most_ns as f64);
        assert!(least <= span.mean_ns() && span.mean_ns() <= most, "{span:?}");
    }
    assert_eq!(spans[2].total_ns, 250_000_000);
    assert!(profiler.table().lines().any(|line| line.starts_with("read elsewhere      1    0.250  250.000")));
}

#[test]
fn a_rank_has_its_own_profile_after_a_failure() {
    let profiler = Profiler::with_trace(TRACE_BYTES);
    in_pool(2, || {
        let mut trainer = Trainer::new(branching(), config()).expect("a trainer");
        assert!(trainer.take_own_profile().is_none());
        trainer.set_profiler(&profiler).expect("memory");
        trainer.state_mut().params_mut().fill(f32::NAN);
        trainer.train_epoch(&data(), |_| ()).expect_err("a loss that is NaN");
        let profile = trainer.take_own_profile().expect("a profile");
        assert!(trace(&profile, TRACE_BYTES).1.events > 0);
        assert!(trainer.take_own_profile().is_none());
    });
}
