//! Runs that go on, were killed, are empty or damaged, and what is no run.

use crate::logs::{self, Log};
use crate::pages::{assert_has, page, report, train};
use std::fs;
use std::path::Path;

#[test]
fn what_a_run_lacks_is_said_on_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let lines = Log::default().lines();
    let of = |name: &str, lines: &[serde_json::Value]| logs::write(&folder.path().join(name), lines);
    let without_end = &lines[..lines.len() - 2];

    let killed = of("killed", without_end);
    fs::write(killed.join(".lock"), "").unwrap();
    assert_has(
        &page(&killed, &["--no-evaluation"]),
        &["the run was killed: its log has no end", "Loss by epoch"],
    );

    let running = of("running", without_end);
    let lock = fs::File::create(running.join(".lock")).unwrap();
    lock.lock().unwrap();
    assert_has(&page(&running, &["--no-evaluation"]), &["the run goes on", "state running"]);

    let empty = of("empty", &[]);
    assert_has(&page(&empty, &["--no-evaluation"]), &["log.jsonl has no step and no epoch yet"]);
    let started = of("started", &lines[..1]);
    assert_has(
        &page(&started, &["--no-evaluation"]),
        &["no step and no epoch yet", "0 of 5", "AMD EPYC 9555"],
    );
    let first_epoch = of("first", &lines[..4]);
    assert_has(
        &page(&first_epoch, &["--no-evaluation"]),
        &["log.jsonl has no whole epoch yet", "Loss by step"],
    );

    let damaged = of("damaged", &lines);
    let mut text = fs::read_to_string(damaged.join("log.jsonl")).unwrap();
    let third = text.match_indices('\n').nth(1).unwrap().0 + 1;
    text.insert_str(third, "{\"event\":\"step\",\"loss\":<oops>\n");
    text.push_str("{\"event\":\"sta");
    fs::write(damaged.join("log.jsonl"), text).unwrap();
    let page = page(&damaged, &["--no-evaluation"]);
    let line = "log.jsonl has 1 line that cannot be read and were left out, the first is line 3: {&quot;event&quot;:";
    assert_has(&page, &[line, "&lt;oops&gt;", "ends in the middle of a line", "91.25 %"]);
}

#[test]
fn numbers_that_are_not_finite_interrupt_a_curve() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = Log::default().lines();
    for line in &mut lines {
        if line["event"] == "epoch" && line["epoch"] == 3 {
            line["loss"] = "NaN".into();
            line["val_loss"] = "inf".into();
        }
    }
    let run = logs::write(&folder.path().join("diverged"), &lines);
    let page = page(&run, &["--no-evaluation"]);
    assert_has(&page, &["<td>NaN</td>", "<td>inf</td>"]);
    assert!(!page.contains("NaN L") && !page.contains("MNaN") && !page.contains("LNaN"));
    let summary = report(&[run.to_str().unwrap(), "--no-evaluation", "--format", "json"]);
    let summary: serde_json::Value = serde_json::from_str(&summary.stdout).unwrap();
    assert!(summary["runs"][0]["epochs"][2]["loss"].is_null());
}

#[test]
fn checkpoints_without_a_log_are_tested() {
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), "run", "--epochs 1 --steps 20");
    let run = folder.path().join("run");
    let _ = fs::remove_file(run.join("log.jsonl"));
    assert_has(&page(&run, &[]), &["there is no log.jsonl, so there are no curves", "Most confused pairs"]);
    // One of the checkpoints may be named, as a link or not.
    let out = folder.path().join("last.html");
    let outcome = report(&[run.join("last").to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_has(&fs::read_to_string(out).unwrap(), &["epoch-0000-step-00000020"]);
}

#[test]
fn a_damaged_checkpoint_is_said() {
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), "run", "--epochs 1 --steps 20");
    let run = folder.path().join("run");
    fs::write(fs::canonicalize(run.join("last")).unwrap().join("model.safetensors"), "torn").unwrap();
    assert_has(&page(&run, &[]), &["no confusion matrix and no mistakes: ", "model.safetensors"]);
}

#[track_caller]
fn assert_refused(paths: &[&Path], options: &[&str], parts: &[&str]) {
    let paths = paths.iter().map(|path| path.to_str().unwrap());
    let outcome = report(&paths.chain(options.iter().copied()).collect::<Vec<_>>());
    assert!(matches!(outcome.code, Some(1 | 2)), "{outcome:?}");
    assert_eq!((outcome.stderr.matches("error: ").count(), outcome.stdout.as_str()), (1, ""), "{outcome:?}");
    assert_has(&outcome.stderr, parts);
}

#[test]
fn what_is_no_run_gets_one_error() {
    let folder = tempfile::tempdir().unwrap();
    let good = Log::default().write(&folder.path().join("good"));
    let bad = folder.path().join("bad");
    assert_refused(&[&good, &bad], &["--no-evaluation"], &["/bad: cannot read: "]);
    fs::create_dir(&bad).unwrap();
    assert_refused(
        &[&good, &bad],
        &[],
        &["/bad: not the folder of a run", "hint: train --checkpoint FOLDER"],
    );
    assert_refused(&[folder.path()], &[], &["hint: it has the folders of runs: isograd report ", "/good"]);
    assert!(!Path::new("report.html").exists(), "nothing is written");
    let out = folder.path().join("missing/x.html");
    assert_refused(
        &[&good],
        &["--no-evaluation", "--out", out.to_str().unwrap()],
        &["--out ", "cannot write: "],
    );
    assert_refused(&[&good], &["--format", "pdf"], &["pdf"]);
    assert_refused(&[], &[], &["<RUN>"]);
    // An old page stays where a new one cannot be written.
    fs::create_dir(good.join("report.html")).unwrap();
    assert_refused(&[&good], &["--no-evaluation"], &["--out ", "report.html: cannot write: "]);
}
