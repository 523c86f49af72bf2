//! Networks after training: predicted with, evaluated, exported and imported.

mod common;

use common::{Outcome, idx, isograd, lines, words};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A folder in which commands run, with a run of a few steps on MNIST in `runs/a`.
struct Folder(TempDir);

impl Folder {
    fn trained() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let trained = folder.run(
            "train --steps 60 --epochs 1 --normalize mnist --checkpoint runs/a --save digits.safetensors",
        );
        assert_eq!(trained.code, Some(0), "{trained:?}");
        fs::write(folder.path("trained"), trained.stdout).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, command: &str) -> Outcome {
        let mut program = Command::new(env!("CARGO_BIN_EXE_isograd"));
        let output = program.args(words(command)).current_dir(self.0.path()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    fn stdout(&self, command: &str) -> String {
        let outcome = self.run(command);
        assert_eq!(outcome.code, Some(0), "{command}: {outcome:?}");
        outcome.stdout
    }

    /// The scores that `command` prints as JSON lines.
    #[track_caller]
    fn scores(&self, command: &str) -> Vec<Vec<(u64, f64)>> {
        let of_line = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let top = line["top"].as_array().unwrap();
            top.iter().map(|top| (top["class"].as_u64().unwrap(), top["score"].as_f64().unwrap())).collect()
        };
        self.stdout(command).lines().map(of_line).collect()
    }
}

/// Writes a PNG of `side` x `side` pixels, grey or in colour.
fn png(path: &Path, side: u32, color: png::ColorType) {
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), side, side);
    encoder.set_color(color);
    let length = side as usize * side as usize * color.samples();
    encoder.write_header().unwrap().write_image_data(&vec![90; length]).unwrap();
}

#[test]
fn a_run_is_used_without_options() {
    let folder = Folder::trained();
    let trained = fs::read_to_string(folder.path("trained")).unwrap();
    let [expected] = lines(&trained, "test_acc: ")[..] else { panic!("{trained}") };
    // What the checkpoint tells need not be said: the network, the data and their normalisation.
    for load in ["runs/a", "runs/a/last", "digits.safetensors"] {
        let found = folder.stdout(&format!("evaluate --load {load}"));
        assert_eq!(lines(&found, "test_acc: "), [expected], "{load}");
    }
    let one = folder.stdout("evaluate --load runs/a --per-class --per-class-file one.csv");
    assert!(one.contains("class  samples precision  recall      f1\n"), "{one}");
    let two = folder.stdout("local -n 2 evaluate --load runs/a --per-class --per-class-file two.csv");
    // In front of it, the job says where its ranks run.
    assert!(two.ends_with(&one), "{one}{two}");
    let [one, two] = ["one.csv", "two.csv"].map(|name| fs::read_to_string(folder.path(name)).unwrap());
    assert_eq!(one, two);
    let samples = one.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().parse::<u32>().unwrap());
    assert_eq!(samples.sum::<u32>(), 10_000);
}

#[test]
fn images_and_arrays_are_predicted() {
    let folder = Folder::trained();
    fs::write(folder.path("digits"), idx(&[3, 28, 28], &[200; 784])).unwrap();
    fs::create_dir(folder.path("photos")).unwrap();
    png(&folder.path("photos/grey.png"), 28, png::ColorType::Grayscale);
    png(&folder.path("photos/large.png"), 56, png::ColorType::Rgb);
    let scores = folder.scores("predict --load runs/a --top 10 --json digits");
    assert_eq!(scores.len(), 3);
    assert_eq!(scores[1], scores[2]);
    assert!((scores[0].iter().map(|(_, score)| score).sum::<f64>() - 1.0).abs() < 1e-5);
    assert!(scores[0].is_sorted_by(|one, other| one.1 >= other.1));
    for (options, load) in [("--threads 1", "runs/a"), ("--threads 3", "digits.safetensors")] {
        let command = format!("predict --load {load} --top 10 --json {options} digits");
        assert_eq!(folder.scores(&command), scores, "{command}");
    }
    let predicted = folder.run("predict --load runs/a --csv --out found.csv photos digits");
    assert_eq!(predicted.code, Some(0), "{predicted:?}");
    let csv = fs::read_to_string(folder.path("found.csv")).unwrap();
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!((rows.len(), rows[0]), (6, "input,index,rank,class,name,score"));
    assert!(rows[1].starts_with("photos/grey.png,,1,") && rows[5].starts_with("digits,2,1,"), "{csv}");
    let said = predicted.stderr;
    assert!(said.contains("1 image was in colour: their brightness was taken"), "{said}");
    assert!(said.contains("1 image was of another size: they were scaled to cover 28 x 28 pixels"), "{said}");
}

#[test]
fn a_bad_input_is_named_and_the_others_go_on() {
    let folder = Folder::trained();
    png(&folder.path("good.png"), 28, png::ColorType::Grayscale);
    fs::write(folder.path("bad.png"), b"\x89PNG\r\n\x1a\nnonsense").unwrap();
    fs::write(folder.path("short"), &idx(&[3, 28, 28], &[])[..100]).unwrap();
    fs::write(folder.path("small"), idx(&[3, 9, 9], &[])).unwrap();
    fs::write(folder.path("table.csv"), "a,b\n1,2\n").unwrap();
    let predicted = folder.run("predict --load runs/a missing.png bad.png good.png short small table.csv");
    assert_eq!(predicted.code, Some(1));
    assert!(
        predicted.stdout.starts_with("good.png: ") && predicted.stdout.lines().count() == 1,
        "{predicted:?}"
    );
    for expected in [
        "missing.png: ",
        "error: bad.png: ",
        "error: short is truncated",
        "error: small: samples are 1x9x9, the network takes 1x28x28",
        "error: table.csv: tables are not read; an .npy file",
        "error: 5 of 6 inputs cannot be predicted",
    ] {
        assert!(predicted.stderr.contains(expected), "{expected} in {}", predicted.stderr);
    }
}

#[test]
fn parameters_go_out_and_come_back() {
    let folder = Folder::trained();
    fs::write(folder.path("digits"), idx(&[3, 28, 28], &[200; 784])).unwrap();
    let expected = folder.scores("predict --load runs/a --json --top 10 digits");
    let said = folder.stdout("export --load runs/a weights.safetensors");
    assert!(said.starts_with("wrote weights.safetensors: simplecnn with 8 tensors of runs/a/"), "{said}");
    assert_eq!(folder.scores("predict --load weights.safetensors --json --top 10 digits"), expected);
    let said = folder.stdout("import weights.safetensors --model simplecnn --save start.safetensors");
    assert!(said.starts_with("matched: 8 tensors: conv2d1.weight, "), "{said}");
    folder.stdout("train --load start.safetensors --steps 1 --epochs 1");
    folder.stdout("export --load runs/a --format npz weights.npz");
    folder.stdout("export --load runs/a --logits model.onnx");
    assert!(fs::metadata(folder.path("model.onnx")).unwrap().len() > 4 * 149_210);
    // Where a new file finds no room, the old one stays.
    for (format, file) in [("npz", "weights.npz"), ("onnx", "model.onnx")] {
        let old = fs::read(folder.path(file)).unwrap();
        let program = env!("CARGO_BIN_EXE_isograd");
        let line = format!(
            "trap '' XFSZ; ulimit -f 16; exec '{program}' export --load runs/a --format {format} {file}"
        );
        let output = Command::new("sh").args(["-c", &line]).current_dir(folder.path("")).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(fs::read(folder.path(file)).unwrap() == old, "{file}");
    }

    let outcome = folder.run("import weights.safetensors --model simplecnn --classes 7 --save x.safetensors");
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("tensor 'dense2.weight' is [10, 128], expected [7, 128]"), "{outcome:?}");
    assert!(
        outcome.stderr.contains("hint: the file has 10 classes, the network 7: --classes 10"),
        "{outcome:?}"
    );
    let outcome = folder.run("export --load runs/a model.bin");
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome.stderr.contains("--format is missing: 'model.bin' ends in no known format"),
        "{outcome:?}"
    );
}

#[test]
fn a_file_that_tells_nothing_is_refused_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let header = b"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat();
    fs::write(&path, bytes).unwrap();
    let outcome = isograd(&["predict", "--load", path.to_str().unwrap(), "x.png"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("the file does not tell which network it is of"), "{outcome:?}");
    assert!(outcome.stderr.contains("hint: --model NAME says which network it is"), "{outcome:?}");
}
