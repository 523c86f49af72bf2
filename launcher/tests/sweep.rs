//! `isograd sweep`: trials, their results, and what is left of them after a kill.

mod common;

use common::{Outcome, isograd, words};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A small network on synthetic data.
const BASE: &str = "model = 'simplemlp'\ndataset = 'synthetic'\nepochs = 2\nsteps_per_epoch = 2\n\
    batch_size = 32\nthreads = 1\nvalidation_split = 0.05\n";

fn file(folder: &Path, sweep: &str) -> PathBuf {
    let path = folder.join("a.toml");
    fs::write(&path, format!("{BASE}[sweep]\n{sweep}")).unwrap();
    path
}

fn sweep(file: &Path, out: &Path, options: &str) -> Outcome {
    isograd(&words(&format!("sweep {} --out {} {options}", file.display(), out.display())))
}

/// The rows of sweep.csv.
fn table(out: &Path) -> Vec<HashMap<String, String>> {
    let text = fs::read_to_string(out.join("sweep.csv")).expect("a table");
    let mut rows = text.lines().map(|line| line.splitn(8, ',').map(str::to_string).collect::<Vec<_>>());
    let header = rows.next().expect("a header");
    rows.map(|row| header.iter().cloned().zip(row).collect()).collect()
}

/// Trial, state, epochs, value and learning rate of all trials.
fn results(out: &Path) -> Vec<[String; 5]> {
    let mut all: Vec<_> = table(out)
        .iter()
        .map(|row| ["trial", "state", "epochs", "val_loss", "learning_rate"].map(|key| row[key].clone()))
        .collect();
    all.sort();
    all
}

const RATES: &str = "[sweep.values]\nlearning_rate = { loguniform = [1e-4, 1e-1] }\n";

#[test]
fn a_grid_ends_with_a_table_and_the_best_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let values = "[sweep.values]\nlearning_rate = { choice = [0.001, 0.01] }\noptimizer = { choice = ['sgd', 'adam'] }\n";
    let path = file(folder.path(), values);
    let outcome = sweep(&path, &out, "--search grid --jobs 2");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let rows = table(&out);
    assert_eq!(rows.len(), 4);
    let losses: Vec<f64> = rows.iter().map(|row| row["val_loss"].parse().unwrap()).collect();
    assert!(losses.is_sorted(), "{losses:?}");
    assert!(rows.iter().all(|row| row["state"] == "finished" && row["epochs"] == "2"), "{rows:?}");
    let mut values: Vec<String> =
        rows.iter().map(|row| format!("{} {}", row["learning_rate"], row["optimizer"])).collect();
    values.sort();
    assert_eq!(
        values,
        ["0.001 \"adam\"", "0.001 \"sgd\"", "0.01 \"adam\"", "0.01 \"sgd\""]
            .map(|text| text.replace('"', ""))
    );

    // What is best trains again, with the bits of the trial.
    let best = out.join("best.toml");
    let run = folder.path().join("run");
    let again =
        isograd(&words(&format!("train --config {} --checkpoint {} --hash", best.display(), run.display())));
    assert_eq!(again.code, Some(0), "{again:?}");
    let trial = out.join("trials").join(format!("{:0>4}", rows[0]["trial"]));
    let parameters = |folder: &Path| fs::read(folder.join("last").join("model.safetensors")).unwrap();
    let names = |path: &Path| fs::read_dir(path.join("last")).unwrap().count();
    assert_eq!(names(&trial), names(&run));
    assert!(parameters(&trial) == parameters(&run), "best.toml gives other parameters than its trial");

    // `runs` lists the trials as runs of the sweep, and the file of a sweep is one of a run, too.
    let runs = isograd(&words(&format!("runs {} --csv", out.display())));
    assert_eq!(runs.stdout.lines().count(), 5, "{runs:?}");
    assert!(runs.stdout.contains("out/0003"), "{runs:?}");
    let plain = isograd(&words(&format!("train --config {} --print-config", path.display())));
    assert_eq!(plain.code, Some(0), "{plain:?}");
}

#[test]
fn a_workflow_is_searched_by_what_its_training_logs() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("small.yaml"), folder.path().join("out"));
    let text = "training: { model: simplemlp, epochs: 2, steps_per_epoch: 2, batch_size: 32, threads: 1, learning_rate: 0.1 }\n\
        workflow:\n  - getter: { dataset: synthetic }\n  - splitter: { validation: 0.05 }\n  - trainer: ${training}\n\
        sweep:\n  metric: val_loss\n  values:\n    training.learning_rate: { choice: [0.001, 0.01] }\n";
    fs::write(&path, text).unwrap();
    let outcome = sweep(&path, &out, "--search grid --jobs 1");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let rows = table(&out);
    assert!(rows.iter().all(|row| row["state"] == "finished" && row["epochs"] == "2"), "{rows:?}");
    let losses: Vec<f64> = rows.iter().map(|row| row["val_loss"].parse().unwrap()).collect();
    assert!(losses.len() == 2 && losses[0] < losses[1], "{losses:?}");
    let best = fs::read_to_string(out.join("best.sh")).unwrap();
    assert!(
        best.contains(&format!("--set training.learning_rate={}", rows[0]["training.learning_rate"])),
        "{best}"
    );
}

#[test]
fn trials_of_a_workflow_pause_and_the_best_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("small.yaml"), folder.path().join("out"));
    let text = "training: { model: simplemlp, epochs: 2, steps_per_epoch: 2, batch_size: 32, learning_rate: 0.1 }\n\
        workflow:\n  - getter: { dataset: synthetic }\n  - splitter: { validation: 0.05 }\n  - trainer: ${training}\n  \
        - evaluator\nsweep:\n  metric: val_loss\n  values:\n    training.learning_rate: { loguniform: [1e-4, 1e-1] }\n";
    fs::write(&path, text).unwrap();
    let outcome = sweep(&path, &out, "--search asha --trials 5 --eta 2 --jobs 2");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let rows = table(&out);
    let of = |state: &str| rows.iter().filter(|row| row["state"] == state).collect::<Vec<_>>();
    let (pruned, finished) = (of("pruned"), of("finished"));
    assert!(!pruned.is_empty() && !finished.is_empty() && pruned.len() + finished.len() == 5, "{rows:?}");
    for (rows, epochs, is_tested) in [(pruned, "1", false), (finished, "2", true)] {
        for row in rows {
            assert_eq!(row["epochs"], epochs, "{row:?}");
            let trial: usize = row["trial"].parse().unwrap();
            let output = fs::read_to_string(out.join(format!("trials/{trial:04}/output.txt"))).unwrap();
            assert!(output.contains("paused after epoch 1 of 2"), "{output}");
            assert_eq!(output.contains("== evaluator: done"), is_tested, "{output}");
        }
    }

    for (change, expected) in [
        (
            ("epochs: 2,", "steps: 2,"),
            "line 5, column 5: a training that can pause ends after epochs, not after 'steps'",
        ),
        (
            ("epochs: 2,", "epochs: 2, checkpoint: c,"),
            "a training with a 'checkpoint' of its own cannot pause",
        ),
        (("epochs: 2,", "epochs: 1,"), "trials have 1 epochs, so none could be pruned"),
        (
            ("training.learning_rate: { loguniform: [1e-4, 1e-1] }", "training.epochs: { choice: [2, 4] }"),
            "trials of equally many epochs: they have 2 in the file, 4 with training.epochs=4",
        ),
        (("  - trainer: ${training}\n  - evaluator\n", ""), "no step of the workflow is a trainer"),
    ] {
        fs::write(&path, text.replace(change.0, change.1)).unwrap();
        let outcome = sweep(&path, &folder.path().join("bad"), "--search asha --trials 5 --eta 2");
        assert!(outcome.code == Some(2) && outcome.stderr.contains(expected), "{expected}: {outcome:?}");
    }
}

#[test]
fn a_killed_sweep_goes_on_with_the_same_trials() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), RATES);
    let options = "--search asha --trials 5 --eta 2 --jobs 2";
    let whole = folder.path().join("whole");
    let outcome = sweep(&path, &whole, options);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let pruned: Vec<_> = results(&whole).into_iter().filter(|row| row[1] == "pruned").collect();
    assert!(!pruned.is_empty() && pruned.iter().all(|row| row[2] == "1"), "{outcome:?}");
    assert!(outcome.stdout.contains("of 5 trials went on, with a val_loss up to the cut of"), "{outcome:?}");

    let out = folder.path().join("out");
    let line = format!("sweep {} --out {} {options}", path.display(), out.display());
    let mut child = Command::new(env!("CARGO_BIN_EXE_isograd"))
        .args(line.split_whitespace())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let has_result = || fs::read(out.join("results.jsonl")).is_ok_and(|text| text.contains(&b'\n'));
    while !has_result() && start.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = fs::read_to_string(out.join("results.jsonl")).unwrap();
    let outcome = sweep(&path, &out, options);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(fs::read_to_string(out.join("results.jsonl")).unwrap().starts_with(&before));
    assert_eq!(results(&out), results(&whole));

    // Nothing is left to do; and another number of jobs has changed nothing.
    let outcome = sweep(&path, &out, &options.replace("--jobs 2", "--jobs 1"));
    assert_eq!((outcome.code, outcome.stdout.contains("epochs, ")), (Some(0), false), "{outcome:?}");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("1e-4", "1e-3")).unwrap();
    let other = sweep(&path, &out, options);
    let expected = "it has another sweep: values of learning_rate: loguniform [0.0001, 0.1] then, loguniform [0.001, 0.1] now";
    assert!(other.code == Some(2) && other.stderr.contains(expected), "{other:?}");
}

/// A line of results.jsonl.
fn line(trial: u32, rung: u32, epochs: u32, value: f64) -> String {
    format!(
        "{{\"trial\":{trial},\"rung\":{rung},\"epochs\":{epochs},\"value\":{value:?},\"seconds\":1.0,\"problem\":null}}\n"
    )
}

#[test]
fn more_trials_do_not_prune_one_that_has_come_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (file(folder.path(), RATES), folder.path().join("out"));
    let options = "--search asha --eta 3 --jobs 2";
    let outcome = sweep(&path, &out, &format!("{options} --trials 2"));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let before = table(&out);
    assert_eq!(before[0]["state"], "finished", "{before:?}");

    // As if six more had run: all were better after one epoch, and the two that went on are worse in the end.
    let path_of_results = out.join("results.jsonl");
    let mut text = fs::read_to_string(&path_of_results).unwrap();
    let at_first = (2..8).map(|trial| (trial, 0, 1, f64::from(trial) - 100.0));
    for (trial, rung, epochs, value) in at_first.chain([(2, 1, 2, 1e6), (3, 1, 2, 1e6)]) {
        text += &line(trial, rung, epochs, value);
    }
    fs::write(&path_of_results, &text).unwrap();
    let outcome = sweep(&path, &out, &format!("{options} --trials 8"));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(fs::read_to_string(&path_of_results).unwrap(), text, "nothing was left to do");
    let row = &table(&out)[0];
    let facts =
        |row: &HashMap<String, String>| ["trial", "state", "epochs", "val_loss"].map(|key| row[key].clone());
    assert_eq!(facts(row), facts(&before[0]), "{outcome:?}");
    assert!(outcome.stdout.contains(&format!("best: trial {} (", row["trial"])), "{outcome:?}");
}

#[test]
fn a_retry_changes_no_values_of_other_trials() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (file(folder.path(), RATES), folder.path().join("out"));
    let options = "--search tpe --jobs 1";
    let outcome = sweep(&path, &out, &format!("{options} --trials 1"));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");

    // As if 23 more had run: trial 2 failed, and is the best one when it runs again.
    let path_of_results = out.join("results.jsonl");
    let mut text = fs::read_to_string(&path_of_results).unwrap();
    for trial in 1..24 {
        let good = line(trial, 0, 2, 10.0 + f64::from(trial));
        text += &if trial == 2 { good.replace("null", "\"x\"") } else { good };
    }
    fs::write(&path_of_results, &text).unwrap();
    let rates = || -> Vec<_> { results(&out).into_iter().map(|[trial, .., rate]| (trial, rate)).collect() };
    let outcome = sweep(&path, &out, &format!("{options} --trials 24"));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let before = rates();
    fs::write(&path_of_results, text + &line(2, 0, 2, -1.0)).unwrap();
    let outcome = sweep(&path, &out, &format!("{options} --trials 24"));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!((before.len(), rates()), (24, before));
    assert!(outcome.stdout.contains("best: trial 2 ("), "{outcome:?}");
}

#[test]
fn failed_trials_are_shown_and_do_not_end_the_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let path = file(
        folder.path(),
        "[sweep.values]\nlearning_rate = { choice = [1e30, 0.01] }\noptimizer = { choice = ['sgd'] }\n",
    );
    let outcome = sweep(&path, &out, "--search grid --jobs 1");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let states: Vec<String> =
        table(&out).iter().map(|row| format!("{} {}", row["trial"], row["state"])).collect();
    assert_eq!(states, ["1 finished", "0 failed"]);
    assert!(
        outcome.stdout.contains("trial 0: failed: ") && outcome.stdout.contains("smaller learning rate"),
        "{outcome:?}"
    );
    let ended = sweep(&path, &folder.path().join("other"), "--search grid --jobs 1 --max-failures 1");
    assert!(ended.code == Some(2) && ended.stderr.contains("1 trials in a row have failed"), "{ended:?}");
}

#[test]
fn keys_in_included_files_and_behind_references_can_be_searched() {
    let folder = tempfile::tempdir().unwrap();
    let (out, path) = (folder.path().join("out"), folder.path().join("w.yaml"));
    let base = "training: { model: simplemlp, steps: 3, validation_split: 0.1, seed: 7 }\n\
                sweep:\n  values:\n    KEY: { choice: [1, 2] }\n";
    let steps =
        "include: base.yaml\nworkflow:\n  - getter: { dataset: synthetic }\n  - trainer: ${training}\n";
    fs::write(&path, steps).unwrap();
    for key in ["training.seed", "workflow.trainer.seed"] {
        fs::write(folder.path().join("base.yaml"), base.replace("KEY", key)).unwrap();
        let out = folder.path().join(key);
        let outcome = sweep(&path, &out, "--search grid --jobs 1");
        assert_eq!(outcome.code, Some(0), "{key}: {outcome:?}");
        assert_eq!(outcome.stderr, "", "{key}");
        let best = fs::read_to_string(out.join("best.sh")).unwrap();
        assert!(best.contains(&format!("--set {key}=")), "{best}");
        let rows = table(&out);
        let losses: std::collections::BTreeSet<&str> =
            rows.iter().map(|row| row["val_loss"].as_str()).collect();
        assert_eq!((rows.len(), losses.len()), (2, 2), "another seed has another loss: {rows:?}");
    }
    for (key, expected) in [
        ("training.seeds", "base.yaml: line 4, column 5: 'training.seeds': unknown key 'seeds'"),
        ("workflow.trainer.sed", "base.yaml: line 4, column 5: 'workflow.trainer.sed': unknown key 'sed'"),
        ("workflow.getter.dataset.name", "'name' cannot be in 'synthetic'"),
    ] {
        fs::write(folder.path().join("base.yaml"), base.replace("KEY", key)).unwrap();
        let outcome = sweep(&path, &out, "--search grid");
        assert!(outcome.code == Some(2) && outcome.stderr.contains(expected), "{key}: {outcome:?}");
        assert!(!out.exists(), "{key}");
    }
    fs::write(folder.path().join("base.yaml"), "training: { model: simplemlp, steps: 3 }\n").unwrap();
    let outcome = sweep(&path, &out, "--search grid");
    assert!(outcome.stderr.contains("w.yaml: it has no section 'sweep'"), "{outcome:?}");
}

#[test]
fn mistakes_are_told_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for (sweep_section, options, expected) in [
        (
            "[sweep.values]\nlearning_rat = { choice = [1] }\n",
            "",
            "unknown key 'learning_rat'; did you mean 'learning_rate'?",
        ),
        (
            "[sweep.values]\nlearning_rate = { choice = [] }\n",
            "",
            "choice must be a list of at least one value",
        ),
        ("[sweep.values]\nlearning_rate = { uniform = [1, 1] }\n", "", "low below high"),
        ("[sweep.values]\nlearning_rate = { loguniform = [0, 1] }\n", "", "low above 0"),
        ("[sweep.values]\nlearning_rate = { uniform = [-1, 1] }\n", "", "--learning-rate"),
        (
            "[sweep.values]\nmomentum = { uniform = [0, 1] }\n",
            "",
            "--momentum is not a parameter of the optimizer adam",
        ),
        (RATES, "--search grid", "'learning_rate' has values without end"),
        (RATES, "--search asha --min-epochs 2", "trials have 2 epochs"),
        (RATES, "--search best", "unknown search 'best'; known are grid, random, asha, tpe"),
        (RATES, "--trials 0", "--trials"),
    ] {
        let outcome = sweep(&file(folder.path(), sweep_section), &out, options);
        assert!(
            outcome.code == Some(2) && outcome.stderr.contains(expected),
            "{sweep_section} {options}: {outcome:?}"
        );
        assert!(!out.exists(), "{options}");
    }
    let path = file(folder.path(), RATES);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("validation_split = 0.05\n", "")).unwrap();
    let outcome = sweep(&path, &out, "");
    assert!(outcome.stderr.contains("val_loss: there is no validation") && !out.exists(), "{outcome:?}");
    fs::write(&path, format!("save = 'x.st'\n{text}")).unwrap();
    let outcome = sweep(&path, &out, "");
    assert!(outcome.stderr.contains("--save: each trial has a folder of its own"), "{outcome:?}");
}
