//! What a run writes for others: its log, event files, MLflow's files and requests; and what `runs` reads
//! from logs.

mod common;
#[path = "common/python.rs"]
mod python;

use common::{isograd, lines, train, words};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Twenty steps in two epochs.
const RUN: &str = "--epochs 2 --batch-size 540 --validation-split 0.1 --threads 1";

fn log(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("log.jsonl")).expect("a log");
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn of<'l>(log: &'l [Value], event: &str) -> Vec<&'l Value> {
    log.iter().filter(|line| line["event"] == event).collect()
}

#[test]
fn a_run_tells_all_of_itself_in_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("a");
    let stdout = train(&format!("{RUN} --log {} --log-every 5steps --hash", run.display()));
    let log = log(&run);
    let events: Vec<&str> = log.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let steps = ["step", "step", "epoch"];
    assert_eq!(events, [&["start"][..], &steps, &steps, &["test", "end"]].concat());
    let start = &log[0];
    assert_eq!(
        (&start["run"], &start["model"], &start["step"]),
        (&"a".into(), &"simplecnn".into(), &0.into())
    );
    assert_eq!((&start["train_samples"], &start["steps_per_epoch"]), (&5400.into(), &10.into()));
    assert_eq!(start["settings"]["optimizer"], "adam");
    assert!(start["cpu"].as_str().is_some_and(|cpu| !cpu.is_empty()) && start["hosts"][0].is_string());
    let epoch = of(&log, "epoch")[1];
    let line = lines(&stdout, "epoch 2/2: ")[0].to_string();
    for (key, value) in [("loss", &epoch["loss"]), ("val_loss", &epoch["val_loss"])] {
        assert!(line.contains(&format!("{key} {:.7}", value.as_f64().unwrap())), "{line} {epoch}");
    }
    assert_eq!((&epoch["step"], epoch["metrics"]["acc"].is_number()), (&20.into(), true));
    let end = of(&log, "end")[0];
    let hash = lines(&stdout, "params: sha256:")[0];
    assert_eq!((&end["reason"], &end["hash"]), (&"finished".into(), &hash.into()));
    assert!(end["peak_memory_bytes"].as_u64().unwrap() > 1 << 20, "{end}");
    // Another run of that name does not overwrite it.
    train(&format!("{RUN} --log {} --steps 1", run.display()));
    assert!(run.join("log-1.jsonl").exists());
}

/// The numbers of both parts of a run that goes on are those of one that did not stop.
#[test]
fn a_run_that_goes_on_goes_on_with_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    train(&format!("{RUN} --log {}", at("whole").display()));
    let run = at("run");
    train(&format!("{RUN} --checkpoint {} --checkpoint-every 7steps --steps 14", run.display()));
    let outcome =
        isograd(&words(&format!("local -n 2 train --resume {} --steps 20 --threads 1", run.display())));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let numbers = |folder: &Path| {
        let number =
            |line: &&Value| ["event", "epoch", "step", "loss", "val_loss"].map(|key| line[key].clone());
        log(folder)
            .iter()
            .filter(|line| line["event"] != "start" && line["event"] != "end")
            .map(|l| number(&l))
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(&run), numbers(&at("whole")));
    let log = log(&run);
    let starts = of(&log, "start");
    let number = |line: &Value, key: &str| line[key].as_u64();
    let of_starts = [number(starts[0], "step"), number(starts[1], "step"), number(starts[1], "ranks")];
    assert_eq!(of_starts, [Some(0), Some(14), Some(2)]);
    assert_eq!(of(&log, "end").len(), 1);
}

#[test]
fn a_logger_that_fails_does_not_end_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history.csv");
    std::os::unix::fs::symlink("/dev/full", &history).unwrap();
    let run = folder.path().join("run");
    let line =
        format!("train --dataset synthetic {RUN} --history {} --log {}", history.display(), run.display());
    let outcome = isograd(&words(&line));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let warnings = lines(&outcome.stderr, "warning: ").len() + lines(&outcome.stderr, "warn: ").len();
    assert_eq!(
        (warnings, outcome.stderr.matches("the run goes on without it").count()),
        (1, 1),
        "{outcome:?}"
    );
    assert_eq!(of(&log(&run), "end").len(), 1);
}

#[test]
fn each_rank_may_log() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("h.csv");
    let line = format!(
        "local -n 2 train --dataset synthetic {RUN} --history {} --log-every step --log-ranks history=all,console=1",
        history.display()
    );
    let outcome = isograd(&words(&line));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let rows = |name: &str| fs::read_to_string(folder.path().join(name)).expect(name).lines().count();
    // A header, five steps in each of two epochs, and the epochs: the ranks' batches make one.
    assert_eq!([rows("h.csv"), rows("h.rank1.csv")], [13, 13]);
    let of_console = |start: &str| lines(&outcome.stdout, start).len();
    assert_eq!([of_console("rank 1: step "), of_console("rank 1: epoch "), of_console("epoch ")], [10, 2, 0]);
}

#[test]
fn tensorboard_reads_event_files() {
    let Some(python) = python::python_with("tensorboard") else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (run, events) = (at("run"), at("tb"));
    let start = format!("{RUN} --checkpoint {} --checkpoint-every 7steps", run.display());
    train(&format!("{start} --steps 14 --tensorboard {} --log-every 2steps", events.display()));
    train_more(&format!("--resume {} --steps 20", run.display()));
    let script = r#"
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
ea = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0, "tensors": 0})
ea.Reload()
tags = ea.Tags()
graph = ea.Graph()
print(json.dumps({
    "scalars": {tag: [[e.step, e.value] for e in ea.Scalars(tag)] for tag in tags["scalars"]},
    "images": [[e.width, e.height, e.encoded_image_string[:4].hex()] for e in ea.Images("samples")],
    "text": ea.Tensors("settings")[-1].tensor_proto.string_val[0].decode(),
    "plugin": ea.SummaryMetadata("settings").plugin_data.plugin_name,
    "nodes": [[n.name, n.op, list(n.input)] for n in graph.node],
}))
"#;
    let read: Value = serde_json::from_str(&python::run(&python, script, &[events.as_os_str()])).unwrap();
    let steps = |tag: &str| -> Vec<u64> {
        let values = read["scalars"][tag].as_array().unwrap_or_else(|| panic!("{tag} in {read}"));
        values.iter().map(|pair| pair[0].as_u64().unwrap()).collect()
    };
    assert_eq!(steps("step/loss"), [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
    let log = log(&run);
    let epochs: Vec<f64> = of(&log, "epoch").iter().map(|line| line["val_loss"].as_f64().unwrap()).collect();
    let last = read["scalars"]["validation/loss"].as_array().unwrap().last().unwrap();
    let value = last[1].as_f64().map(|value| value as f32);
    assert_eq!((last[0].as_u64(), value), (Some(20), epochs.last().map(|loss| *loss as f32)));
    for tag in ["train/loss", "train/acc", "validation/acc", "test/acc", "learning_rate", "samples_per_s"] {
        assert!(!steps(tag).is_empty(), "{tag}");
    }
    let image = &read["images"][0];
    assert!(image[0].as_u64() > Some(300) && image[2] == "89504e47", "{image}");
    let text = read["text"].as_str().unwrap();
    assert!(text.contains("| optimizer | adam |") && read["plugin"] == "text", "{text}");
    let nodes = read["nodes"].as_array().unwrap();
    assert!(nodes.iter().any(|node| node[1] == "Dense"), "{nodes:?}");
    let names: Vec<&str> = nodes.iter().map(|node| node[0].as_str().unwrap()).collect();
    let inputs = nodes.iter().flat_map(|node| node[2].as_array().unwrap());
    inputs.for_each(|input| assert!(names.contains(&input.as_str().unwrap()), "{input} in {names:?}"));
}

/// Pictures of the surest mistakes, which are called by their classes.
#[test]
fn tensorboard_shows_mistakes() {
    let Some(python) = python::python_with("tensorboard") else { return };
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("tb");
    // Two steps are too few to be right.
    let options = format!("--global-batch-size 64 --steps 2 --tensorboard {}", events.display());
    for start in ["train", "local -n 2 train"] {
        let outcome = isograd(&words(&format!("{start} {options}")));
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{outcome:?}");
    }
    let script = r#"
import json, os, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
runs = []
for name in sorted(os.listdir(sys.argv[1])):
    ea = EventAccumulator(os.path.join(sys.argv[1], name), size_guidance={"images": 0})
    ea.Reload()
    tags = [tag for tag in ea.Tags()["images"] if tag.startswith("mistakes/")]
    runs.append([[tag] + [[e.step, e.width, e.height, e.encoded_image_string[:4].hex()] for e in ea.Images(tag)] for tag in sorted(tags)])
print(json.dumps(runs))
"#;
    let runs: Value = serde_json::from_str(&python::run(&python, script, &[events.as_os_str()])).unwrap();
    let runs = runs.as_array().unwrap();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_eq!(runs[0], runs[1]);
    let mut shares = Vec::new();
    for (place, mistake) in runs[0].as_array().unwrap().iter().enumerate() {
        let words: Vec<&str> = mistake[0].as_str().unwrap().split(' ').collect();
        let [name, class, "taken", "for", predicted, share, "%)"] = words[..] else { panic!("{mistake}") };
        assert_eq!(name, format!("mistakes/{:02}", place + 1));
        assert!(class != predicted && class.parse::<u32>().is_ok() && predicted.parse::<u32>().is_ok());
        shares.push(share[1..].parse::<f64>().unwrap());
        assert_eq!(
            (&mistake[1], mistake.as_array().unwrap().len()),
            (&serde_json::json!([2, 28, 28, "89504e47"]), 2)
        );
    }
    assert!(shares.len() == 24 && shares.is_sorted_by(|one, other| one >= other), "{shares:?}");
}

/// As [`train`], for a run that goes on.
fn train_more(options: &str) {
    let outcome = isograd(&words(&format!("train {options}")));
    assert_eq!(outcome.code, Some(0), "{options}: {}", outcome.stderr);
}

/// Prints the runs of an experiment, as the client of MLflow reads them.
const MLFLOW: &str = r#"
import json, sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
experiment = client.get_experiment_by_name(sys.argv[2])
runs = []
for run in client.search_runs([experiment.experiment_id]):
    history = {key: [[m.step, m.value] for m in client.get_metric_history(run.info.run_id, key)] for key in run.data.metrics}
    runs.append({"name": run.info.run_name, "status": run.info.status, "end": run.info.end_time,
                 "params": run.data.params, "tags": run.data.tags, "history": history})
print(json.dumps(runs))
"#;

/// Checks the run that was interrupted after step 14, and went on up to step 20.
fn assert_mlflow(runs: &Value, log: &[Value], name: &str) {
    let runs = runs.as_array().unwrap();
    assert_eq!(runs.len(), 1, "{runs:?}");
    let run = &runs[0];
    assert_eq!(
        (&run["name"], &run["status"], run["end"].is_number()),
        (&name.into(), &"FINISHED".into(), true)
    );
    assert_eq!((&run["params"]["optimizer"], &run["params"]["seed"]), (&"adam".into(), &"0".into()));
    assert_eq!(run["tags"]["mlflow.parentRunId"], "parent");
    let last = |key: &str| {
        run["history"][key].as_array().unwrap_or_else(|| panic!("{key}: {run}")).last().unwrap().clone()
    };
    let epoch = of(log, "epoch").last().unwrap().to_owned().clone();
    assert_eq!((&last("val_loss")[0], &last("val_loss")[1]), (&20.into(), &epoch["val_loss"]));
    assert_eq!(last("test_acc")[1], of(log, "test")[0]["metrics"]["acc"]);
    let steps: Vec<u64> = run["history"]["step_loss"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| pair[0].as_u64().unwrap())
        .collect();
    assert_eq!(steps, [7, 14]);
}

fn two_parts(target: &str, folder: &Path) -> Vec<Value> {
    let run = folder.join("run");
    let mlflow = format!("--mlflow {target} --experiment tests --parent-run parent --log-every 7steps");
    train(&format!("{RUN} --checkpoint {} --checkpoint-every 7steps --steps 14 {mlflow}", run.display()));
    train_more(&format!("--resume {} --steps 20", run.display()));
    log(&run)
}

#[test]
fn mlflow_reads_the_files() {
    let Some(python) = python::python_with("mlflow") else { return };
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("mlruns");
    let log = two_parts(&format!("file:{}", store.display()), folder.path());
    let runs = python::run(&python, MLFLOW, &[store.as_os_str(), "tests".as_ref()]);
    assert_mlflow(&serde_json::from_str(&runs).unwrap(), &log, "run");
}

/// A server of MLflow, ended with the processes that it has started.
struct Server(Child, u16);

impl Server {
    fn start(python: &Path, folder: &Path) -> Self {
        use std::os::unix::process::CommandExt;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (store, artifacts) = (format!("sqlite:///{}/db", folder.display()), folder.join("artifacts"));
        let output = fs::File::create(folder.join("server")).unwrap();
        let server = Command::new(python)
            .args([
                "-m",
                "mlflow",
                "server",
                "--host",
                "127.0.0.1",
                "--workers",
                "1",
                "--port",
                &port.to_string(),
            ])
            .args(["--backend-store-uri", &store, "--default-artifact-root"])
            .arg(artifacts)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0)
            .spawn()
            .expect("Python starts");
        let this = Self(server, port);
        let start = Instant::now();
        while !this.answers() {
            assert!(
                start.elapsed() < Duration::from_secs(120),
                "{:?}",
                fs::read_to_string(folder.join("server"))
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        this
    }

    fn answers(&self) -> bool {
        use std::io::Write;
        let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", self.1)) else { return false };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).is_ok() && line.contains(" 200 ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn mlflow_takes_runs_at_its_server() {
    let Some(python) = python::python_with("mlflow") else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&python, folder.path());
    let address = format!("http://127.0.0.1:{}", server.1);
    let log = two_parts(&address, folder.path());
    let runs = python::run(&python, MLFLOW, &[address.as_ref(), "tests".as_ref()]);
    assert_mlflow(&serde_json::from_str(&runs).unwrap(), &log, "run");
}

#[test]
fn a_server_that_is_gone_does_not_hold_up_a_run() {
    // A port at which nobody listens.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let line = format!("train --dataset synthetic {RUN} --mlflow http://127.0.0.1:{port}");
    let outcome = isograd(&words(&line));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("numbers were not sent"), "{outcome:?}");
    assert!(outcome.stdout.contains("test_acc: "), "{outcome:?}");
}

#[test]
fn runs_are_listed_filtered_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    train(&format!("{RUN} --log {}", at("a")));
    train(&format!("--epochs 1 --batch-size 540 --validation-split 0.1 --optimizer sgd --log {}", at("b")));
    fs::create_dir(folder.path().join("c")).unwrap();
    // Killed in its first epoch.
    let text = fs::read_to_string(folder.path().join("a/log.jsonl")).unwrap();
    fs::write(folder.path().join("c/log.jsonl"), text.lines().next().unwrap().to_string() + "\n{\"ev")
        .unwrap();
    let root = folder.path().display().to_string();
    let run = |args: &[&str]| {
        let outcome = isograd(&[&["runs"], args].concat());
        assert_eq!(outcome.code, Some(0), "{args:?}: {outcome:?}");
        outcome.stdout
    };
    let table = run(&[&root]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..5], ["folder", "state", "model", "dataset", "epochs"]);
    let states: Vec<&str> = rows[1..].iter().map(|row| row[1]).collect();
    assert_eq!((rows.len(), states.iter().filter(|state| **state == "finished").count()), (4, 2), "{table}");
    assert!(rows[1..].iter().any(|row| row[1] == "killed" && row[4] == "0/2"), "{table}");
    let filtered = run(&[&root, "--filter", "optimizer=sgd and state=finished", "--json"]);
    let one: Value = serde_json::from_str(filtered.trim()).unwrap();
    assert!(one["folder"].as_str().unwrap().ends_with("/b") && one["test_acc"].is_number(), "{one}");
    let sorted = run(&[&root, "--sort", "-val_loss", "--csv"]);
    assert_eq!(sorted.lines().count(), 4);
    assert!(sorted.lines().last().unwrap().contains("/c,"), "a run without the key comes last: {sorted}");
    let shown = run(&["show", &at("a"), &at("b")]);
    let row = lines(&shown, "optimizer").concat();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["adam", "sgd"], "{shown}");
    assert!(!shown.contains("\nmodel ") && shown.contains("\nepochs "), "{shown}");
    // Runs that have not begun.
    let empty = tempfile::tempdir().unwrap();
    fs::write(empty.path().join("log.jsonl"), "").unwrap();
    let table = run(&[&empty.path().display().to_string()]);
    assert!(table.lines().count() == 2 && table.contains("killed"), "{table}");
    for (args, expected) in [
        (&["runs", "/nowhere"][..], "/nowhere"),
        (&["runs", &root, "--filter", "modle=x"], "did you mean 'model'"),
        (&["runs", &root, "--sort", "nothing"], "unknown key 'nothing'"),
        (&["runs", "show", &root], "no log of a run"),
    ] {
        let outcome = isograd(args);
        assert!(outcome.code == Some(2) && outcome.stderr.contains(expected), "{args:?}: {outcome:?}");
    }
}
