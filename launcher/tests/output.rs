//! What the program prints: lines that scripts read, both spellings, help, and a reader that goes away.

mod common;

use common::{isograd, lines, train};
use std::process::Command;

/// The number between `before` and `after` in `line`, which has `decimals` digits behind the point.
#[track_caller]
fn number(line: &str, before: &str, after: &str, decimals: usize) -> f64 {
    let (_, rest) = line.split_once(before).unwrap_or_else(|| panic!("'{before}' is not in: {line}"));
    let digits = &rest[..rest.find(after).unwrap_or_else(|| panic!("'{after}' is not in: {line}"))];
    let (_, fraction) = digits.split_once('.').unwrap_or_else(|| panic!("no point in: {digits}"));
    assert_eq!(fraction.len(), decimals, "digits of {digits}");
    digits.parse().unwrap_or_else(|error| panic!("{digits}: {error}"))
}

#[track_caller]
fn assert_test_line(line: &str) {
    let accuracy = number(line, "acc: ", "%, test_loss: ", 2);
    assert!((0.0..=100.0).contains(&accuracy), "{line}");
    let loss = number(&format!("{line}\n"), "test_loss: ", "\n", 7);
    assert!(loss >= 0.0, "{line}");
}

#[test]
fn results_are_lines_of_their_own() {
    let stdout = train("--steps 5 --validation-split 0.1 --evaluate --hash");
    assert!(stdout.starts_with("layer  type"), "{stdout}");
    assert!(stdout.contains("\nparameters: 149210\n"), "{stdout}");

    let epochs = lines(&stdout, "epoch 1/10: ");
    assert_eq!(epochs.len(), 1, "{stdout}");
    number(&format!("={}", epochs[0]), "=", " samples/s, loss ", 1);
    number(epochs[0], " samples/s, loss ", ", acc ", 7);
    number(epochs[0], ", acc ", "%, val_loss ", 2);
    number(epochs[0], ", val_loss ", ", val_acc ", 7);
    number(&format!("{}\n", epochs[0]), ", val_acc ", "%\n", 2);

    let only = |prefix: &str| match lines(&stdout, prefix).as_slice() {
        [line] => format!("={line}\n"),
        found => panic!("{prefix}: {found:?}"),
    };
    number(&only("Time: "), "=", " s\n", 2);
    number(&only("Throughput: "), "=", " samples/s\n", 1);
    let hash = only("params: sha256:");
    assert!(hash.len() == 66 && hash[1..65].bytes().all(|b| b.is_ascii_hexdigit()), "{hash}");
    let tests = lines(&stdout, "test_");
    assert_eq!(tests.len(), 2, "one before training, one after: {stdout}");
    tests.iter().for_each(|line| assert_test_line(line));

    let quiet = train("--steps 5");
    assert_eq!((lines(&quiet, "test_").len(), lines(&quiet, "params: ").len()), (1, 0), "{quiet}");
}

#[test]
fn parameters_in_force_are_listed() {
    let stdout =
        train("--steps 3 --optimizer sgd --nesterov --threads 1 --dtype float64 --validation-split 0.25");
    let value =
        |name: &str| lines(&stdout, &format!("{name}:")).first().map(|value| value.trim().to_string());
    for (name, expected) in [
        ("model", "simplecnn"),
        ("dataset", "synthetic"),
        ("training samples", "4500"),
        ("validation samples", "1500"),
        ("steps", "3"),
        ("global-batch-size", "64"),
        ("learning-rate", "0.01"),
        ("optimizer", "sgd"),
        ("momentum", "0.9"),
        ("nesterov", "true"),
        ("threads", "1"),
        ("dtype", "float64"),
        ("conv", "auto"),
    ] {
        assert_eq!(value(name).as_deref(), Some(expected), "{name} in: {stdout}");
    }
    assert_eq!(value("schedule").as_deref(), Some("constant"));
    assert_eq!((value("beta1"), value("accumulate"), value("ema")), (None, None, None));

    let schedule = "--schedule multi-step --milestones 1.5,2 --warm-up-epochs 0.5 --scale-learning-rate";
    let stdout = train(&format!("--steps 1 --optimizer lamb --decay-all --ema 0.99 {schedule}"));
    for (name, expected) in [
        ("learning-rate", "0.002 (0.002 for each rank)"),
        ("schedule", "multi-step"),
        ("milestones", "1.5,2"),
        ("gamma", "0.1"),
        ("warm-up-epochs", "0.5"),
        ("warm-up-factor", "1.0"),
        ("optimizer", "lamb"),
        ("epsilon", "1e-6"),
        ("decay-all", "true"),
        ("ema", "0.99"),
    ] {
        assert_eq!(lines(&stdout, &format!("{name}:"))[0].trim(), expected, "{name} in: {stdout}");
    }

    let stdout = train("--steps 1 --batch-size 100 --accumulate 3 --threads 1024");
    for (name, expected) in [("global-batch-size", "100"), ("accumulate", "3"), ("samples per step", "300")] {
        assert_eq!(lines(&stdout, &format!("{name}:"))[0].trim(), expected, "{name} in: {stdout}");
    }
    let most = 4 * std::thread::available_parallelism().map_or(1, usize::from);
    if most < 1024 {
        let expected = format!("{most} (of 1024: at most 4 for each core)");
        assert_eq!(lines(&stdout, "threads:")[0].trim(), expected, "{stdout}");
    }
}

#[test]
fn the_accuracy_is_tested_when_other_metrics_are_reported() {
    let stdout = train("--steps 2 --metrics regression_mse,categorical_hinge --dtype float64");
    let epoch = lines(&stdout, "epoch 1/10: ")[0];
    number(epoch, ", mse ", ", hin ", 7);
    assert!(!epoch.contains("acc "), "{epoch}");
    assert_test_line(lines(&stdout, "test_")[0]);
}

#[test]
fn both_spellings_mean_the_same() {
    let hash = |options: &str| lines(&train(options), "params: ")[0].to_string();
    let hyphens =
        hash("--hash --num-epochs 1 --steps 2 --batch-size 48 --shard-size=16 --learning-rate 0.01");
    let underscores =
        hash("--hash --num_epochs 1 --steps 2 --batch_size 48 --shard_size=16 --learning_rate 0.01");
    assert_eq!(hyphens, underscores);
    assert_ne!(hyphens, hash("--hash --steps 2"), "the options count");
}

#[test]
fn epochs_end_training_before_the_steps_do() {
    let stdout = train("--epochs 2 --steps 99 --batch-size 3000 --model simplemlp");
    assert_eq!(lines(&stdout, "epoch ").len(), 2, "{stdout}");
}

#[test]
fn help_has_groups_defaults_and_an_example() {
    let outcome = isograd(&["train", "--help"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    for part in
        ["Network and data:", "Training:", "Learning rate:", "Optimizer:", "Execution:", "Files and output:"]
    {
        assert_eq!(lines(&outcome.stdout, part).len(), 1, "'{part}' in: {}", outcome.stdout);
    }
    for part in ["[default: 64]", "[default: simplecnn]", "--num-epochs", "Examples:\n  isograd train --"] {
        assert!(outcome.stdout.contains(part), "'{part}' is not in: {}", outcome.stdout);
    }
    let version = isograd(&["--version"]);
    assert_eq!(version.stdout, format!("isograd {}\n", env!("CARGO_PKG_VERSION")));
}

#[cfg(feature = "bundled-mnist")]
#[test]
fn summary_is_the_table_of_the_layers() {
    let outcome = isograd(&["summary"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    assert!(outcome.stdout.contains("1x28x28") && outcome.stdout.contains("\nparameters: 149210\n"));
    assert!(outcome.stdout.contains("\nmemory of a shard of 32: "), "{}", outcome.stdout);
    let mlp = isograd(&["summary", "--model", "simplemlp", "--shard-size", "8"]);
    assert!(mlp.stdout.contains("\nparameters: 932362\n"), "{}", mlp.stdout);
    assert!(mlp.stdout.contains("\nmemory of a shard of 8: "), "{}", mlp.stdout);
    // Without a data set, a network is shown for the samples that it was made for.
    let tree = isograd(&["summary", "--model", "resnet20"]);
    assert!(tree.stdout.contains("3x32x32") && tree.stdout.contains("layer1: Sequence"), "{}", tree.stdout);
}

#[test]
fn all_networks_are_listed() {
    let outcome = isograd(&["models"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    assert_eq!(outcome.stdout.lines().count(), 56);
    let line = outcome.stdout.lines().find(|line| line.starts_with("resnet50_imagenet "));
    assert!(line.is_some_and(|line| line.contains("25557032") && line.contains("3x224x224")), "{line:?}");
}

/// As in `isograd … | head -1`, once `head` has read its line and gone.
#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let synthetic = ["--dataset", "synthetic"];
    for args in [
        &["train", "--help"][..],
        &[&["summary"], &synthetic[..]].concat(),
        &[&["train"], &synthetic[..]].concat(),
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_isograd")).args(args).stdout(writer).output();
        let output = output.expect("the program starts");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
        assert_eq!(output.status.code(), Some(141), "{args:?}");
    }
}
