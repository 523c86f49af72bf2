//! Summaries for programs, and tables.

use crate::logs::{self, Log};
use crate::pages::{assert_has, report};
use std::fs;

#[test]
fn a_summary_has_all_figures() {
    let folder = tempfile::tempdir().unwrap();
    let run = Log::default().write(&folder.path().join("a"));
    let outcome = report(&[run.to_str().unwrap(), "--no-evaluation", "--format", "json"]);
    let summary: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("one JSON object");
    assert_eq!(summary["format"], 1);
    let run = &summary["runs"][0];
    assert_eq!(
        (&run["name"], &run["state"], &run["reason"]),
        (&"a".into(), &"ended".into(), &"finished".into())
    );
    assert_eq!((&run["last"]["epoch"], &run["last"]["val_acc"]), (&5.into(), &90.0.into()));
    assert_eq!((&run["best"]["acc"]["value"], &run["best"]["val_loss"]["epoch"]), (&95.0.into(), &5.into()));
    assert_eq!((&run["test"]["acc"], &run["samples_per_s"]), (&91.25.into(), &1805.4.into()));
    assert_eq!((&run["settings"]["optimizer"], &run["ranks"]), (&"sgd".into(), &2.into()));
    assert_eq!((run["epochs"].as_array().unwrap().len(), &run["evaluation"]), (5, &serde_json::Value::Null));
}

/// The end tells of the last part alone.
#[test]
fn a_run_that_went_on_has_the_figures_of_all_its_parts() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = Log::default().lines();
    let fourth = lines.iter().position(|line| line["event"] == "epoch" && line["epoch"] == 4).unwrap();
    let mut start = lines[0].clone();
    (start["step"], start["time"]) = (lines[fourth]["step"].clone(), 1_790_050_000.0.into());
    lines.insert(fourth + 1, start);
    let end = lines.last_mut().unwrap();
    (end["seconds"], end["samples_per_s"]) = (30.into(), 0.into());
    let run = logs::write(&folder.path().join("a"), &lines);
    let text = |format: &str| report(&[run.to_str().unwrap(), "--no-evaluation", "--format", format]).stdout;
    let summary: serde_json::Value = serde_json::from_str(&text("json")).expect("one JSON object");
    let figures = &summary["runs"][0];
    // The fourth epoch ended 160 s after the start, and the time between the parts is none of the run.
    assert_eq!(figures["seconds"], 190.0);
    assert!((figures["samples_per_s"].as_f64().unwrap() - 1800.0).abs() < 1e-6, "{figures}");
    assert_has(&text("markdown"), &["| time | 3 min 10 s |"]);
}

#[test]
fn the_name_of_the_file_says_the_format() {
    let folder = tempfile::tempdir().unwrap();
    let run = Log::default().write(&folder.path().join("a"));
    let out = folder.path().join("a.md");
    let outcome = report(&[run.to_str().unwrap(), "--no-evaluation", "--out", out.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let text = fs::read_to_string(&out).unwrap();
    assert_has(
        &text,
        &["# a\n", "## Figures\n", "| test acc | 91.25 % |\n", "## Settings\n", "| optimizer | sgd |\n"],
    );
    // Beside a file, the terminal has a table.
    assert_has(&outcome.stdout, &["samples/s", "1805.4", "report: "]);
    let outcome = report(&[run.to_str().unwrap(), "--no-evaluation", "--out", "-"]);
    assert!(outcome.stdout.starts_with("<!DOCTYPE html>"), "{}", outcome.stdout);
    assert!(!run.join("report.html").exists());
}
