//! Configurations: files, recipes, what is printed and kept, on one rank and on several.

mod common;

use common::{Outcome, hash, isograd, lines, words};
use std::path::Path;

const RUN: &str = "--dataset synthetic --steps 12 --global-batch-size 54 --shard-size 10 --hash";

fn run(options: &str) -> Outcome {
    isograd(&words(options))
}

/// A file in `folder`.
fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a temporary folder");
    path.to_str().expect("a name in UTF-8").to_string()
}

const NETWORK: &str = "
seed: 5
optimizer: {optimizer: sgd, learning_rate: 0.05}
model:
  input: [1, 12, 12]
  layers:
    - {type: Conv2D, filters: 4, kernel: 3}
    - ReLU
    - Flatten
    - {type: Dense, outputs: 10}
    - Softmax
";

#[test]
fn a_printed_configuration_gives_the_same_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let given = file(folder.path(), "given.yaml", NETWORK);
    let options = format!("train --config {given} {RUN} --set momentum=0.5");
    let expected = hash(&run(&options));
    let printed = run(&format!("{options} --print-config"));
    assert_eq!(printed.code, Some(0), "{printed:?}");
    assert!(printed.stdout.contains("momentum = 0.5\n"), "{}", printed.stdout);
    let again = file(folder.path(), "again.toml", &printed.stdout);
    assert_eq!(hash(&run(&format!("train --config {again}"))), expected);
    // The ranks of a job get it, too.
    assert_eq!(hash(&run(&format!("local -n 3 train --config {again}"))), expected);
    let other = hash(&run(&format!("train --config {again} --seed 6")));
    assert_ne!(other, expected);
}

#[test]
fn a_run_folder_keeps_its_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let given = file(folder.path(), "given.yaml", NETWORK);
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let start = format!(
        "local -n 2 train --config {given} --dataset synthetic --steps 12 --batch-size 27 --shard-size 10 --hash"
    );
    let expected = hash(&run(&format!("{start} --checkpoint {}", a.display())));
    let kept = a.join("config.toml");
    let text = std::fs::read_to_string(&kept).expect("a configuration");
    // What came of the number of ranks, and nothing of one process.
    assert!(text.contains("global_batch_size = 54\n") && !text.contains("\ncheckpoint = "), "{text}");
    let again = format!("train --config {} --checkpoint {}", kept.display(), b.display());
    assert_eq!(hash(&run(&again)), expected);
    let resumed = run(&format!("train --resume {} --steps 14 --hash", a.display()));
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    let longer = format!("train --config {} --steps 14 --hash", kept.display());
    assert_eq!(hash(&resumed), hash(&run(&longer)));
}

#[test]
fn a_mistake_is_one_line_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), "x.toml", "[optimizer]\nlerning_rate = 0.1\n");
    for command in ["train", "local -n 2 train"] {
        let outcome = run(&format!("{command} --config {path}"));
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        let place = "line 2, column 1: unknown key 'lerning_rate'; did you mean 'learning_rate'?";
        assert_eq!(lines(&outcome.stderr, "error: "), [format!("--config {path}: {place}")], "{outcome:?}");
        assert!(outcome.stdout.is_empty(), "{outcome:?}");
    }
}

#[test]
fn recipes_are_listed_printed_and_run() {
    let listed = run("recipes");
    assert!(listed.stdout.lines().any(|line| line.starts_with("resnet20-cifar10 ")), "{listed:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let printed = run("recipes simplecnn-mnist").stdout;
    let recipe = file(folder.path(), "recipe.toml", &printed);
    let options = "--steps 5 --dataset synthetic --hash";
    let expected = hash(&run(&format!("train --recipe simplecnn-mnist {options}")));
    assert_eq!(hash(&run(&format!("train --config {recipe} {options}"))), expected);
    let unknown = run("recipes simplecn-mnist");
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("did you mean 'simplecnn-mnist'?"), "{unknown:?}");
}

#[test]
fn an_epoch_has_the_steps_that_it_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    for (steps, samples) in [(3, 192), (100, 6400)] {
        let history = folder.path().join(format!("{steps}.jsonl"));
        let options = format!(
            "train --dataset synthetic --model simplemlp --epochs 2 --steps-per-epoch {steps} --test-as-validation --history {}",
            history.display()
        );
        let outcome = run(&options);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let of = |name: &str| lines(&outcome.stdout, name).first().map(|value| value.trim().to_string());
        assert_eq!(of("training samples:"), Some(samples.to_string()));
        assert_eq!(of("validation samples:"), Some("1000".to_string()));
        let last = std::fs::read_to_string(&history).expect("a history");
        let last: serde_json::Value = serde_json::from_str(last.lines().last().expect("rows")).expect("JSON");
        assert_eq!(last["step"], 2 * steps);
        // The same samples are validated and tested.
        let test = lines(&outcome.stdout, "test_acc: ");
        let loss = test[0].split("test_loss: ").nth(1).expect("a loss").to_string();
        assert!(outcome.stdout.contains(&format!("val_loss {loss}")), "{}", outcome.stdout);
    }
}

#[test]
fn one_rank_is_insisted_on() {
    let outcome = run("local -n 2 train --parallel=sequential --dataset synthetic");
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(
        outcome.stderr.starts_with("error: --parallel sequential is for one rank, but there are 2"),
        "{outcome:?}"
    );
    assert_eq!(outcome.stdout, "");
    assert_eq!(run("train --parallel=sequential --dataset synthetic --steps 1").code, Some(0));
}

#[test]
fn commands_that_use_networks_take_configurations() {
    let folder = tempfile::tempdir().expect("a folder");
    let run_folder = folder.path().join("a");
    let trained = run(&format!("train --dataset synthetic --steps 2 --checkpoint {}", run_folder.display()));
    assert_eq!(trained.code, Some(0), "{trained:?}");
    let used = format!("load = '{}'\nformat = 'npz'\ntop = 2\n", run_folder.display());
    let used = file(folder.path(), "use.toml", &used);
    let weights = folder.path().join("weights");
    let exported = run(&format!("export --config {used} {}", weights.display()));
    assert_eq!(exported.code, Some(0), "{exported:?}");
    assert!(std::fs::read(&weights).unwrap().starts_with(b"PK"), "it is an npz file");
    // What a run has kept serves other commands, which leave out what they do not know.
    let kept = run_folder.join("config.toml");
    let options = format!("predict --config {} --config {used} x.png --print-config", kept.display());
    let printed = run(&options);
    assert_eq!(printed.code, Some(0), "{printed:?}");
    for line in ["top = 2", "model = \"simplecnn\""] {
        assert!(printed.stdout.lines().any(|own| own == line), "{line} in {}", printed.stdout);
    }
    assert!(!printed.stdout.contains("epochs"), "{}", printed.stdout);
    let reported =
        run(&format!("report --set format=json --set no_evaluation=true {}", run_folder.display()));
    assert!(reported.stdout.starts_with('{'), "{reported:?}");
    let table = file(folder.path(), "t.csv", "a,b,kind\n1,2,cat\n3,4,dog\n");
    let checked = run(&format!("data check --set dataset={table}"));
    assert!(checked.code == Some(0) && checked.stdout.contains("cat"), "{checked:?}");
    // What a training says of its epochs and its seed is not the sheet's.
    let sheet = run(&format!("data show --config {} --out x.png --print-config", kept.display()));
    assert_eq!(sheet.code, Some(0), "{sheet:?}");
    for line in ["rows = 8", "columns = 8", "sheet_seed = 0", "dataset = \"synthetic\""] {
        assert!(sheet.stdout.lines().any(|own| own == line), "{line} in {}", sheet.stdout);
    }
    for command in ["predict x.png", "export x.npz", "import x.st", "report x", "data check", "data show"] {
        let refused = run(&format!("{command} --set tpo=3"));
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("unknown key 'tpo'"), "{refused:?}");
    }
}
