//! Runs that belong together: the same bits on any number of threads, and what one run leaves for the next.

mod common;

use common::{isograd, lines, train};
use serde_json::Value;
use std::path::Path;

fn hash(options: &str) -> String {
    lines(&train(&format!("--steps 30 --hash {options}")), "params: sha256:")[0].to_string()
}

#[test]
fn threads_do_not_change_the_bits_and_the_seed_does() {
    // The last batch of an epoch of 6,000 has 6 of 54 samples, and the last shard of a batch 4 of 10.
    let options = "--batch-size 54 --shard-size 10";
    let one = hash(&format!("{options} --threads 1"));
    assert_eq!(hash(&format!("{options} --threads 2")), one);
    assert_eq!(hash(&format!("{options} --threads 3")), one);
    assert_ne!(hash(&format!("{options} --threads 2 --seed 1")), one);
}

fn path_in(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).to_str().expect("a temporary folder's name is UTF-8").to_string()
}

#[test]
fn what_is_saved_tests_as_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder, "net.safetensors");
    for dtype in ["float32", "float64"] {
        let stdout = train(&format!("--steps 10 --dtype {dtype} --save {path}"));
        let args =
            ["evaluate", "--dataset", "synthetic", "--dtype", dtype, "--load", &path, "--threads", "3"];
        let outcome = isograd(&args);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        let tests = lines(&stdout, "test_acc: ");
        assert_eq!(outcome.stdout, format!("test_acc: {}\n", tests[0]), "{dtype}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but the file is left");
}

/// Averages are what is tested and saved; the parameters that are trained are those of a run without.
#[test]
fn averages_are_saved_and_test_as_they_did() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder, "net.safetensors");
    let run = "--steps 10 --hash --optimizer adamw --schedule cosine";
    let stdout = train(&format!("{run} --ema 0.8 --save {path}"));
    let plain = train(run);
    let (params, averages) = (lines(&stdout, "params: "), lines(&stdout, "averages: "));
    assert_eq!((params.len(), averages.len()), (1, 1), "{stdout}");
    assert_eq!(params, lines(&plain, "params: "));
    assert_ne!(params, averages);
    assert_ne!(lines(&stdout, "test_acc: "), lines(&plain, "test_acc: "));

    let outcome = isograd(&["evaluate", "--dataset", "synthetic", "--load", &path]);
    assert_eq!(outcome.stdout, format!("test_acc: {}\n", lines(&stdout, "test_acc: ")[0]), "{outcome:?}");
    let loaded = train(&format!("--steps 1 --learning-rate 0 --hash --load {path}"));
    assert_eq!(lines(&loaded, "params: "), averages);
}

#[test]
fn training_starts_from_what_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder, "net.safetensors");
    let saved = train(&format!("--steps 5 --save {path}"));
    let loaded = train(&format!("--steps 1 --learning-rate 0 --evaluate --seed 9 --load {path}"));
    let load = lines(&loaded, "load:")[0];
    assert!(load.ends_with("net.safetensors (parameters alone: the optimizer starts cold)"), "{load}");
    let test = lines(&saved, "test_acc: ")[0];
    assert_eq!(lines(&loaded, "test_acc: "), [test, test]);
}

/// The rows of a history of two epochs of two steps, from the JSON lines.
fn assert_rows(rows: &[Value], validated: bool) {
    let mut names = vec![
        "epoch",
        "step",
        "samples_per_s",
        "learning_rate",
        "loss",
        "categorical_accuracy",
        "regression_mae",
    ];
    if validated {
        names.extend(["val_loss", "val_categorical_accuracy", "val_regression_mae"]);
    }
    assert_eq!(rows.len(), 2);
    for (index, row) in rows.iter().enumerate() {
        let row = row.as_object().expect("an object");
        names.iter().for_each(|name| assert!(row[*name].is_number(), "{name} in {row:?}"));
        assert_eq!(row.len(), names.len(), "{row:?}");
        let epoch = index as f64 + 1.0;
        assert_eq!((row["epoch"].as_f64(), row["step"].as_f64()), (Some(epoch), Some(2.0 * epoch)));
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn history_has_a_row_for_each_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = "--epochs 2 --batch-size 3000 --metrics categorical_accuracy,regression_mae";
    let path = path_in(&folder, "run.jsonl");
    let stdout = train(&format!("{metrics} --validation-split 0.1 --history {path}"));
    let rows: Vec<Value> =
        read(path.as_ref()).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_rows(&rows, true);
    // The file has the numbers of the lines on the screen, in all their digits.
    let epochs = lines(&stdout, "epoch ");
    for (row, line) in rows.iter().zip(epochs) {
        let loss = row["val_loss"].as_f64().expect("a number");
        assert!(line.contains(&format!("val_loss {loss:.7}")), "{loss} in: {line}");
    }

    let path = path_in(&folder, "run.csv");
    std::fs::write(&path, "an earlier run\n").unwrap();
    train(&format!("{metrics} --history {path}"));
    let text = read(path.as_ref());
    let mut table = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = table.next().expect("a header");
    let rows: Vec<Value> = table
        .map(|cells| {
            assert_eq!(cells.len(), header.len());
            let number = |cell: &str| Value::from(cell.parse::<f64>().expect("a number"));
            header.iter().zip(cells).map(|(name, cell)| (name.to_string(), number(cell))).collect()
        })
        .collect();
    assert_rows(&rows, false);
}

/// The network that `summary --toml` prints trains to the bits of the one with a name, and its parameters are
/// those of a network called like the file.
#[test]
fn a_network_file_is_trained_tested_and_printed_again() {
    let folder = tempfile::tempdir().unwrap();
    let (file, saved) = (path_in(&folder, "my-net.toml"), path_in(&folder, "net.safetensors"));
    let toml = |model: &str| isograd(&["summary", "--model", model, "--toml"]);
    let text = toml("simplecnn").stdout;
    assert!(text.starts_with(
        "input = [1, 28, 28]\nlayers = [\n    { type = \"Conv2D\", filters = 4, kernel = 3 },\n"
    ));
    std::fs::write(&file, &text).unwrap();
    assert_eq!(toml(&file).stdout, text);
    let table = |model: &str| isograd(&["summary", "--model", model]).stdout;
    assert_eq!(table(&file), table("simplecnn"));

    let stdout = train(&format!("--steps 10 --hash --model {file} --save {saved}"));
    assert_eq!(lines(&stdout, "params: "), lines(&train("--steps 10 --hash"), "params: "));
    assert_eq!(lines(&stdout, "model:")[0].trim(), file);
    let args = ["evaluate", "--dataset", "synthetic", "--load", &saved];
    let expected = format!("test_acc: {}\n", lines(&stdout, "test_acc: ")[0]);
    assert_eq!(isograd(&[&args[..], &["--model", &file]].concat()).stdout, expected);
    let bytes = std::fs::read(&saved).unwrap();
    let metadata = b"\"model\":\"my-net\"";
    assert!(bytes.windows(metadata.len()).any(|window| window == metadata), "no name of the model");
}
