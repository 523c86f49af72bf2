//! `--profile`, `--profile-out` and `--trace`.

mod common;

use common::{hash, isograd, lines, words};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const RUN: &str = "train --dataset synthetic --epochs 1 --validation-split 0.1 --steps 6 --hash";

/// A short run, with the words `before` it and the options `more`.
fn run(before: &str, more: &str) -> common::Outcome {
    isograd(&words(&format!("{before} {RUN} {more}")))
}

fn json(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_profile_of_two_ranks_tells_where_the_time_went() {
    let folder = tempfile::tempdir().unwrap();
    let (out, trace) = (folder.path().join("profile.json"), folder.path().join("trace.json"));
    let options =
        format!("--profile --profile-out {} --trace {} --threads 2", out.display(), trace.display());
    let outcome = run("local -n 2", &options);
    let plain = run("local -n 2", "");
    assert_eq!(hash(&outcome), hash(&plain));
    assert!(!plain.stdout.contains("limit: ") && !plain.stdout.contains("profile: "));

    let text = &outcome.stdout;
    assert_eq!(lines(text, "profile: 2 ranks on 4 threads, ").len(), 1, "{text}");
    let row = |name: &str| {
        let row = text.lines().find(|line| line.starts_with(name));
        row.unwrap_or_else(|| panic!("no row {name} in {text}"))
    };
    assert!(row("1 Conv2D").contains("forward") && row("1 Conv2D").contains(" %"));
    for name in
        ["read samples", "exchange, exposed", "exchange, hidden", "update parameters", "idle", "other"]
    {
        row(name);
    }
    assert!(row("all ").contains("100.0 %"), "{text}");
    assert_eq!(lines(text, "limit: ").len(), 1, "{text}");
    assert!(row("trace: ").contains("clocks of ranks within "), "{text}");

    let profile = json(&out);
    let seconds = profile["seconds"].as_f64().unwrap();
    let rows = profile["rows"].as_array().unwrap();
    let sum: f64 = rows.iter().map(|row| row["seconds"].as_f64().unwrap()).sum();
    assert!(sum >= 0.999 * seconds, "{sum} of {seconds} s");
    assert_eq!(profile["ranks"].as_array().unwrap().len(), 2);
    let prepared = rows.iter().find(|row| row["name"] == "prepare parameters");
    assert!(prepared.is_none(), "this network prepares nothing: {prepared:?}");

    let trace = json(&trace);
    let events = trace["traceEvents"].as_array().unwrap();
    for rank in [0, 1] {
        let steps = events.iter().filter(|event| event["name"] == "step" && event["pid"] == rank);
        assert_eq!(steps.count(), 6, "rank {rank}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "files are left over");
}

#[test]
fn a_profile_on_standard_output_is_json_among_the_lines() {
    let outcome = run("", "--profile-out -");
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let (_, rest) = outcome.stdout.split_once("\n{\n").expect("an object");
    let (object, rest) = rest.split_once("\n}\n").expect("its end");
    let profile: Value = serde_json::from_str(&format!("{{{object}}}")).expect("JSON");
    assert_eq!(profile["steps"]["steps"], 6, "{profile}");
    assert!(rest.contains("test_acc: "), "{rest}");
    assert!(!Path::new("-").exists());
}

#[test]
fn a_profile_is_csv_and_a_trace_alone_prints_no_table() {
    let folder = tempfile::tempdir().unwrap();
    let (out, trace) = (folder.path().join("profile.csv"), folder.path().join("trace.json"));
    let outcome = run("", &format!("--profile-out {}", out.display()));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(!outcome.stdout.contains("profile: ") && outcome.stdout.contains("limit: "));
    let csv = std::fs::read_to_string(&out).unwrap();
    assert!(csv.starts_with("name,pass,calls,seconds,share,gflops,peak_share,bytes,gbytes_per_s\n"), "{csv}");

    let outcome = run("", &format!("--trace {} --trace-bytes 10000 --threads 1", trace.display()));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(lines(&outcome.stdout, "Time: ").len(), 1);
    let [line] = lines(&outcome.stdout, "trace: ")[..] else { panic!("{}", outcome.stdout) };
    assert!(line.contains("; it ends after ") && line.ends_with(" s, at --trace-bytes"), "{line}");
    assert!(std::fs::metadata(&trace).unwrap().len() <= 10_000);
    assert!(json(&trace)["otherData"]["stopped_after_seconds"].is_number());
}

#[cfg(target_os = "linux")]
#[test]
fn a_trace_is_whole_after_an_interruption() {
    let folder = tempfile::tempdir().unwrap();
    let (trace, history) = (folder.path().join("trace.json"), folder.path().join("history.csv"));
    for before in [vec![], vec!["local", "-n", "2"]] {
        let [trace_path, history] = [&trace, &history].map(|path| path.to_str().unwrap());
        let options = ["train", "--dataset", "synthetic", "--epochs", "1000", "--trace", trace_path];
        // A shell that runs the tests in the background has them ignore SIGINT, which is inherited.
        let mut child = Command::new("env")
            .args(["--default-signal=INT", env!("CARGO_BIN_EXE_isograd")])
            .args(&before)
            .args(options)
            .args(["--history", history])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(output.any(|line| line.contains("epoch 1/1000")), "no epoch ends");
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let rest: Vec<String> = output.collect();
        assert_ne!(child.wait().unwrap().code(), Some(0));
        assert!(rest.iter().any(|line| line.contains("trace: ")), "{rest:?}");
        let events = json(&trace)["traceEvents"].as_array().unwrap().len();
        assert!(events > 1000, "{events} events");
        std::fs::remove_file(&trace).unwrap();
    }
}

#[test]
fn bad_input_is_refused_before_the_run() {
    let fails = |options: &str, code: i32, expected: &str| {
        let outcome = run("", options);
        assert_eq!(outcome.code, Some(code), "{options}: {outcome:?}");
        assert!(outcome.stderr.contains(expected), "{options}: {}", outcome.stderr);
        assert!(!outcome.stdout.contains("epoch "), "{options}: {}", outcome.stdout);
    };
    fails("--profile-out p.txt", 2, "must end in .csv or .json, or be -, it is 'p.txt'");
    fails("--trace /none/trace.json", 1, "--trace /none/trace.json: cannot write: ");
    fails("--profile-out /none/p.csv", 1, "--profile-out /none/p.csv: cannot write: ");
    fails("--trace /tmp", 1, "--trace /tmp: cannot write: ");
    fails(
        "--trace t.json --trace-bytes 100",
        2,
        "must be a whole number from 10000 to 4294967295, it is '100'",
    );
    fails("--trace-bytes 100000", 2, "--trace");
    fails("--profile --find-lr", 2, "--find-lr");
}

#[test]
fn a_run_that_fails_leaves_its_trace() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace.json");
    let options = format!("--learning-rate 1e30 --optimizer sgd --trace {}", trace.display());
    let outcome = run("", &options);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(!json(&trace)["traceEvents"].as_array().unwrap().is_empty());
}

#[test]
fn what_is_prepared_for_all_shards_is_a_row_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("profile.json");
    let network = r#"input = [16, 12, 12]
layers = [
    { type = "Conv2D", filters = 16, kernel = 3, padding = 1 },
    "Flatten",
    { type = "Dense", outputs = 10 },
    "Softmax",
]
"#;
    let model = folder.path().join("net.toml");
    std::fs::write(&model, network).unwrap();
    let options = format!(
        "{RUN} --model {} --conv winograd --profile-out {} --batch-size 32",
        model.display(),
        out.display()
    );
    let outcome = isograd(&words(&options));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let profile = json(&out);
    let row = profile["rows"].as_array().unwrap().iter().find(|row| row["name"] == "prepare parameters");
    let row = row.unwrap_or_else(|| panic!("no such row in {profile}"));
    // Six steps; the test, the validation and the check of what is saved prepare them as well.
    assert!(row["calls"].as_u64() >= Some(6) && row["seconds"].as_f64() > Some(0.0), "{row}");
    let of_rank = profile["ranks"][0]["prepare_seconds"].as_f64().unwrap();
    assert!((of_rank - row["seconds"].as_f64().unwrap()).abs() < 1e-9, "{profile}");
}
