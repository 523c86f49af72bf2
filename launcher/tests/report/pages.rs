//! What a page has, whatever is in the folder of its run.

use crate::common::{Outcome, isograd, words};
use crate::logs::Log;
use std::fs;
use std::path::Path;

/// A network that learns synthetic images well in a few steps, but not perfectly.
pub(crate) const NETWORK: &str = "input = [1, 28, 28]\nlayers = [{ type = 'AveragePool2D', size = 4 }, 'Flatten', \
    { type = 'Dense', outputs = 10 }, 'Softmax']";

/// Trains into `folder/name`, for a checkpoint that can be tested.
pub(crate) fn train(folder: &Path, name: &str, options: &str) {
    let network = folder.join("net.toml");
    fs::write(&network, NETWORK).unwrap();
    let (network, run) = (network.display(), folder.join(name));
    let line =
        format!("train --dataset synthetic --model {network} --checkpoint {} {options}", run.display());
    let outcome = isograd(&words(&line));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}

/// Reports with `options`.
pub(crate) fn report(options: &[&str]) -> Outcome {
    isograd(&[&["report"], options].concat())
}

/// The page of a run, which must be written.
#[track_caller]
pub(crate) fn page(run: &Path, options: &[&str]) -> String {
    let outcome = report(&[&[run.to_str().unwrap()], options].concat());
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    fs::read_to_string(run.join("report.html")).expect("the page")
}

#[track_caller]
pub(crate) fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

#[test]
fn a_page_has_curves_figures_settings_and_machine() {
    let folder = tempfile::tempdir().unwrap();
    let run = Log::default().write(&folder.path().join("a"));
    fs::write(run.join("config.toml"), "learning_rate = 0.1 # <&>\n").unwrap();
    let page = page(&run, &["--no-evaluation"]);
    assert_has(
        &page,
        &[
            "<!DOCTYPE html>",
            "Loss by epoch",
            "Acc by epoch",
            "Loss by step",
            "Learning rate",
            "Throughput",
            "resnet20_cifar10",
            "91.25 %",
            "AMD EPYC 9555",
            "node1, node2",
            "isograd 0.1.0",
            "523.0 MB",
            "2 min 19 s",
            "learning_rate = 0.1 # &lt;&amp;&gt;",
        ],
    );
    assert!(!page.contains("Most confused pairs"), "there is no evaluation");
    // Nothing is loaded from elsewhere: the only address is that of the namespace that browsers know.
    assert!(
        !page.contains("src=\"http") && !page.contains("href=\"http") && !page.contains("url("),
        "{page}"
    );
}

#[test]
fn a_checkpoint_is_tested_and_the_result_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), "run", "--epochs 1 --learning-rate 0.02 --metrics acc");
    let run = folder.path().join("run");
    let first = page(&run, &[]);
    assert_has(&first, &["Most confused pairs", "Surest mistakes", "data:image/png;base64,", "recall", "F1"]);
    let kept = run.join("evaluation.json");
    let text = fs::read_to_string(&kept).expect("the result is kept");
    // The accuracy is that of the program's own test.
    let outcome = report(&[run.to_str().unwrap(), "--format", "json"]);
    let summary: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let evaluation = &summary["runs"][0]["evaluation"];
    let load = run.join("last");
    let network = folder.path().join("net.toml");
    let line =
        format!("evaluate --dataset synthetic --model {} --load {}", network.display(), load.display());
    let tested = isograd(&words(&line)).stdout;
    let accuracy = evaluation["accuracy"].as_f64().unwrap();
    assert!(tested.contains(&format!("test_acc: {accuracy:.2}%")), "{accuracy} is not that of {tested}");
    assert_eq!((evaluation["samples"].as_u64(), evaluation["part"].as_str()), (Some(1000), Some("test")));
    // Threads change nothing.
    fs::remove_file(&kept).unwrap();
    assert_eq!(page(&run, &["--threads", "3"]), first);
    assert_eq!(fs::read_to_string(&kept).unwrap(), text);
    // What is kept is not computed again, though the network is gone.
    fs::remove_file(&network).unwrap();
    assert_eq!(page(&run, &[]), first);
    // Without it, the page says why, and has the rest.
    fs::write(&kept, "{").unwrap();
    let rest = page(&run, &[]);
    assert_has(&rest, &["no confusion matrix and no mistakes: ", "net.toml: cannot read: "]);
    assert!(!rest.contains("Most confused pairs"));
}

#[test]
fn several_runs_share_charts_and_show_where_they_differ() {
    let folder = tempfile::tempdir().unwrap();
    let a = Log::default().write(&folder.path().join("a"));
    let b = Log { learning_rate: 0.05, epochs: 4, ..Log::default() }.write(&folder.path().join("b"));
    let out = folder.path().join("ab.html");
    let outcome = report(&[
        a.to_str().unwrap(),
        b.to_str().unwrap(),
        "--no-evaluation",
        "--out",
        out.to_str().unwrap(),
    ]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let page = fs::read_to_string(&out).unwrap();
    assert_has(&page, &["2 runs", "Settings that differ", "a loss", "b val_loss", "id=\"show-1\""]);
    assert_eq!(page.matches("<svg viewBox").count(), 6, "one chart for both runs each");
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert!(lines[0].split_whitespace().eq(["a", "b"]), "{}", outcome.stdout);
    assert!(
        lines.iter().any(|line| line.split_whitespace().eq(["learning-rate", "0.1", "0.05"])),
        "{}",
        outcome.stdout
    );
}

/// A page of a long run is small, whatever the number of steps.
#[test]
fn a_long_run_has_a_small_page() {
    let folder = tempfile::tempdir().unwrap();
    let run = Log { epochs: 100, steps_per_epoch: 782, every: 1, ..Log::default() }
        .write(&folder.path().join("long"));
    let page = page(&run, &["--no-evaluation"]);
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    assert_has(&page, &["mean of the last 1564 logged values"]);
}

/// Names from logs and folders are text and nothing else.
#[test]
fn hostile_names_are_escaped() {
    let evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&";
    let folder = tempfile::tempdir().unwrap();
    let mut lines = Log { cpu: evil.to_string(), ..Log::default() }.lines();
    lines[0]["model"] = evil.into();
    lines[0]["dataset"] = evil.into();
    lines[0]["hosts"] = serde_json::json!([evil]);
    lines[0]["settings"] = serde_json::json!({ evil: evil });
    for line in &mut lines {
        if line["event"] == "epoch" {
            line["metrics"] = serde_json::json!({ evil: 1.0 });
        }
    }
    let evil_name = "<b onclick=alert(3)>";
    let run = crate::logs::write(&folder.path().join(evil_name), &lines);
    fs::write(run.join("config.toml"), evil).unwrap();
    let page = page(&run, &["--no-evaluation"]);
    for part in ["<img src=x", "<b onclick", "<script>alert"] {
        assert!(!page.contains(part), "{part}");
    }
    assert_has(&page, &["&lt;b onclick=alert(3)&gt;", "&lt;img src=x onerror=alert(2)&gt;"]);
    assert_eq!(page.matches("<script").count(), 1, "the page's own script");
}
