//! `isograd scaling`: what it measures, keeps and predicts.

#[path = "common/browser.rs"]
mod browser;
mod common;

use common::{Outcome, isograd, isograd_in, lines, words};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

fn scaling(out: &Path, options: &str, train: &str) -> Outcome {
    let line = format!("scaling --out {} {options} train --dataset synthetic {train}", out.display());
    isograd(&words(&line))
}

fn table(out: &Path) -> Vec<HashMap<String, String>> {
    let text = fs::read_to_string(out.join("scaling.csv")).expect("a table");
    let mut rows = text.lines().map(|line| line.split(',').map(str::to_string).collect::<Vec<_>>());
    let header = rows.next().expect("a header");
    let row = |cells: Vec<String>| {
        assert_eq!(cells.len(), header.len(), "{text}");
        header.iter().cloned().zip(cells).collect()
    };
    rows.map(row).collect()
}

#[test]
fn points_are_measured_once_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("scaling");
    let train = "--epochs 2 --batch-size 500 --threads 1";
    let outcome = scaling(&out, "--ranks 2,1 --repeat 2", train);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let number = |row: &HashMap<String, String>, key: &str| {
        row[key].parse::<f64>().unwrap_or_else(|_| panic!("{key}: {row:?}"))
    };
    let rows = table(&out);
    let measured: Vec<_> = rows.iter().filter(|row| row["kind"] == "measured").collect();
    assert_eq!(measured.iter().map(|row| row["ranks"].as_str()).collect::<Vec<_>>(), ["1", "2"]);
    for row in &measured {
        // The batch is that of the fewest ranks, at all of them.
        assert_eq!((number(row, "batch"), number(row, "repeats")), (500.0, 2.0));
        let [least, step, most] = ["step_s_min", "step_s", "step_s_max"].map(|key| number(row, key));
        assert!(0.0 < least && least <= step && step <= most, "{row:?}");
        assert!((number(row, "samples_per_s") * step - 500.0).abs() < 1e-6, "{row:?}");
        assert!((number(row, "epoch_s") / step - 12.0).abs() < 1e-6, "{row:?}");
        assert!(number(row, "predicted_step_s") > 0.0);
        let shares = ["compute", "exposed", "hidden", "data", "waiting", "other"];
        let shares = shares.map(|name| number(row, &format!("{name}_share")));
        assert!(shares.iter().all(|share| (0.0..1.0).contains(share)), "{row:?}");
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9 && shares[0] > 0.0, "{row:?}");
        // Ranks exchange gradients, and a single one does not.
        assert_eq!(shares[1] > 0.0 && shares[2] > 0.0, row["ranks"] == "2", "{row:?}");
        let error = 100.0 * (number(row, "predicted_step_s") / step - 1.0);
        assert!((number(row, "prediction_error_percent") - error).abs() < 1e-6, "{row:?}");
    }
    // The fewest ranks are what is predicted from.
    assert_eq!(number(measured[0], "speedup"), 1.0);
    assert!(number(measured[0], "prediction_error_percent").abs() < 1e-6, "{:?}", measured[0]);
    assert!(number(measured[1], "exchange_s") > 0.0 && measured[0]["exchange_s"].is_empty());
    let hosts: Vec<&str> =
        rows.iter().filter(|row| row["kind"] == "predicted").map(|row| row["hosts"].as_str()).collect();
    assert_eq!((hosts.first(), hosts.last()), (Some(&"2"), Some(&"1024")));

    // As after a kill: one run is not whole. The others are not run again.
    let stdout = |run: &str| out.join(format!("ranks-{run}/rank.0/stdout"));
    let old = fs::read_to_string(stdout("1/1")).unwrap();
    let whole = fs::read_to_string(stdout("1/2")).unwrap();
    fs::write(stdout("1/2"), &whole[..whole.len() / 2]).unwrap();
    let again = scaling(&out, "--ranks 1,2 --repeat 2", train);
    assert_eq!(again.code, Some(0), "{again:?}");
    let done = again.stdout.lines().filter(|line| line.ends_with(": done before")).count();
    assert_eq!(done, 4, "{}", again.stdout);
    assert_eq!(lines(&again.stdout, "ranks-1/2: ").len(), 1, "{}", again.stdout);
    assert_eq!(fs::read_to_string(stdout("1/1")).unwrap(), old);

    let page = fs::read_to_string(out.join("scaling.html")).expect("a page");
    for part in [
        "Strong scaling",
        "Time of a step",
        "Speed-up",
        "What a step consists of",
        "prefers-color-scheme: dark",
    ] {
        assert!(page.contains(part), "'{part}' is not in {page}");
    }
    if let Some(python) = browser::python() {
        let parts = ["--epochs 2 --batch-size 500", "exchange, exposed", "1024", "2 ranks on 1 host"];
        browser::look_at(&python, &out.join("scaling.html"), ["ranks", "measured"], &parts);
    }

    let other = scaling(&out, "--ranks 1,2", "--epochs 3 --batch-size 500 --threads 1");
    assert!(
        other.code == Some(2) && other.stderr.contains("the measurement of another command"),
        "{other:?}"
    );
}

#[test]
fn a_weak_measurement_has_a_batch_for_each_rank() {
    let folder = tempfile::tempdir().unwrap();
    let outcome =
        scaling(folder.path(), "--ranks 1,2 --repeat 1 --weak", "--steps 3 --global-batch-size=300");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let page = fs::read_to_string(folder.path().join("scaling.html")).expect("a page");
    assert!(page.contains("Weak scaling") && !page.contains("Strong scaling"), "{page}");
    let batches: Vec<String> = table(folder.path()).iter().take(3).map(|row| row["batch"].clone()).collect();
    assert_eq!(batches, ["300", "600", "1200"]);
}

/// Numbers have no accuracy, and a table has no test samples.
#[test]
fn a_training_on_numbers_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..200).map(|row| format!("{row},{}\n", 2 * row)).collect();
    fs::write(folder.path().join("line.csv"), format!("x,y\n{rows}")).unwrap();
    let network = "input = [1]\nlayers = [{ type = 'Dense', outputs = 1 }]\n";
    fs::write(folder.path().join("line.toml"), network).unwrap();
    let line = "scaling --ranks 1 --repeat 2 --out s train --dataset line.csv --label-column y --targets numbers \
                --model line.toml --loss mse --epochs 2";
    for done_before in [0, 2] {
        let outcome = isograd_in(folder.path(), line);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let lines = outcome.stdout.lines().filter(|line| line.ends_with(": done before"));
        assert_eq!(lines.count(), done_before, "{}", outcome.stdout);
    }
    assert_eq!(table(&folder.path().join("s"))[0]["kind"], "measured");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (options, train, expected) in [
        ("--ranks 1", "--save x.st", "--save: the runs of a measurement keep nothing"),
        ("--ranks 0", "", "--ranks"),
        ("--ranks 1 --repeat 0", "", "--repeat"),
        ("--ranks 1", "--profile-out a.json", "--profile-out: the runs of a measurement keep nothing"),
        ("--ranks 1", "--learning-rate fast", "--learning-rate"),
        ("--ranks 1", "--log-ranks console=1", "--log-ranks: a measurement sets the batch"),
        ("--ranks 1", "--scale-learning-rate", "--scale-learning-rate: a measurement sets the batch"),
    ] {
        let outcome = scaling(&folder.path().join("s"), options, train);
        assert!(
            outcome.code == Some(2) && outcome.stderr.contains(expected),
            "{options} {train}: {outcome:?}"
        );
    }
    // A run that could not start, or that failed, has measured nothing: the corrected command may begin.
    let out = folder.path().join("corrected");
    let wrong = scaling(&out, "--ranks 1 --repeat 1 --hostfile /nowhere", "--steps 2");
    assert!(wrong.code == Some(2) && wrong.stderr.contains("--hostfile /nowhere: "), "{wrong:?}");
    let failed = scaling(&out, "--ranks 1 --repeat 1", "--steps 2 --load /nowhere");
    assert!(failed.code != Some(0) && out.join("ranks-1/1").exists(), "{failed:?}");
    assert_eq!(scaling(&out, "--ranks 1 --repeat 1", "--steps 2").code, Some(0));
    let outcome =
        isograd(&words(&format!("scaling --ranks 1 --out {} summary", folder.path().join("s").display())));
    assert!(outcome.code == Some(2) && outcome.stderr.contains("only train can be measured"), "{outcome:?}");
}
