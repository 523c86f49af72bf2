//! `--dtype bfloat16` and `--conv-precision bfloat16`: the same bits on any number of threads and ranks,
//! after a stop, and where the network is used; and one clear line for each mistake.

mod common;

use common::{Outcome, hash, isograd_in, lines};
use std::fs;
use std::path::Path;

/// A network with a matrix product, strides, and a shape for Winograd's algorithm.
const NETWORK: &str = "input = [3, 10, 10]\nlayers = [\n\
    { type = 'Conv2D', filters = 16, kernel = 3, padding = 1, bias = false },\n'BatchNormalization',\n'ReLU',\n\
    { type = 'Conv2D', filters = 33, kernel = 1 },\n'ReLU',\n\
    { type = 'Conv2D', filters = 48, kernel = 3, stride = 2, padding = 1 },\n'ReLU',\n\
    { type = 'Conv2D', filters = 17, kernel = 3, padding = 1 },\n'ReLU',\n'Flatten',\n\
    { type = 'Dense', outputs = 4 },\n'Softmax',\n]\n";

const RUN: &str = "train --model net.toml --dataset synthetic --global-batch-size 54 --shard-size 9 --hash";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("net.toml"), NETWORK).expect("room for a file");
    folder
}

fn run(folder: &Path, args: &str) -> Outcome {
    isograd_in(folder, args)
}

/// A failure of one line, which has `part`.
#[track_caller]
fn problem(folder: &Path, args: &str, part: &str) {
    let outcome = run(folder, args);
    assert_ne!(outcome.code, Some(0), "{args}: {outcome:?}");
    let errors = lines(&outcome.stderr, "error: ");
    assert!(errors.len() == 1 && errors[0].contains(part), "{args}: {}", outcome.stderr);
}

#[test]
fn the_bits_are_the_same_on_any_threads_and_ranks() {
    let folder = folder();
    let of = |line: &str| hash(&run(folder.path(), line));
    let full = of(&format!("{RUN} --steps 6"));
    let mut all = vec![full];
    for options in ["--conv-precision bfloat16", "--conv-precision bf16 --conv winograd", "--conv winograd"] {
        let expected = of(&format!("{RUN} --steps 6 --threads 1 {options}"));
        for start in ["", "local -n 3 "] {
            let line = format!("{start}{RUN} --steps 6 --threads 2 {options}");
            assert_eq!(of(&line), expected, "{line}");
        }
        assert!(!all.contains(&expected), "{options} changes the bits");
        all.push(expected);
    }
    assert_eq!(of(&format!("{RUN} --steps 6 --conv-precision full")), all[0]);
}

#[test]
fn rounded_values_have_the_same_bits_on_any_threads_and_ranks() {
    let folder = folder();
    let of = |line: &str| hash(&run(folder.path(), line));
    let expected = of(&format!("{RUN} --steps 6 --threads 1 --dtype bfloat16"));
    assert_ne!(of(&format!("{RUN} --steps 6")), expected);
    for line in [
        format!("{RUN} --steps 6 --threads 2 --dtype bf16 --recompute"),
        format!("local -n 3 {RUN} --steps 6 --threads 2 --threads-per-shard 2 --dtype bf16"),
    ] {
        assert_eq!(of(&line), expected, "{line}");
    }
}

#[test]
fn a_run_keeps_the_type_of_its_values() {
    let folder = folder();
    let test = |outcome: &Outcome| lines(&outcome.stdout, "test_acc: ").join("");
    let whole = run(folder.path(), &format!("{RUN} --steps 9 --dtype bfloat16"));
    assert!(whole.stdout.contains("bfloat16"), "{whole:?}");
    let part = format!("{RUN} --steps 4 --dtype bfloat16 --checkpoint run");
    assert_eq!(run(folder.path(), &part).code, Some(0));
    let resumed = run(folder.path(), "train --resume run --steps 9 --hash");
    assert_eq!(hash(&resumed), hash(&whole));
    let evaluated = run(folder.path(), "evaluate --load run --dataset synthetic");
    assert_eq!(test(&evaluated), test(&whole), "{evaluated:?}");
    let renamed = run(folder.path(), "train --resume run --steps 9 --dtype bf16");
    assert_eq!(renamed.code, Some(0), "another name of the same: {renamed:?}");
    let again = "--dtype float32: the run was started with bfloat16, and another value would change its bits";
    problem(folder.path(), "train --resume run --steps 9 --dtype float32", again);
}

#[test]
fn the_summary_tells_what_the_type_of_values_saves() {
    let folder = folder();
    let megabytes = |options: &str| -> [f64; 2] {
        let outcome = run(folder.path(), &format!("summary --model resnet20_cifar10 {options}"));
        let line = lines(&outcome.stdout, "memory of a shard of 32: ").join("");
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |unit: usize| words[unit - 1].parse().expect("a number");
        let mut units = (0..words.len()).filter(|index| words[*index] == "MB");
        std::array::from_fn(|_| number(units.next().expect("training and use")))
    };
    let [[full, full_use], [half, half_use], [double, _]] =
        ["", "--dtype bfloat16", "--dtype float64"].map(megabytes);
    assert!(half < 0.7 * full, "{half} MB, not {full}");
    assert_eq!(half_use, full_use);
    assert!(double > 1.9 * full, "{double} MB, not {full}");
}

#[test]
fn a_run_keeps_its_precision() {
    let folder = folder();
    let test = |outcome: &Outcome| lines(&outcome.stdout, "test_acc: ").join("");
    let whole = run(folder.path(), &format!("{RUN} --steps 9 --conv-precision bfloat16"));
    let part = format!("{RUN} --steps 4 --conv-precision bfloat16 --checkpoint run --save part.st");
    let part = run(folder.path(), &part);
    assert_eq!(part.code, Some(0));
    let evaluated = run(folder.path(), "evaluate --load part.st");
    assert_eq!(test(&evaluated), test(&part), "saved parameters tell it, too: {evaluated:?}");
    let resumed = run(folder.path(), "train --resume run --steps 9 --hash");
    assert_eq!(hash(&resumed), hash(&whole));
    let evaluated = run(folder.path(), "evaluate --load run --dataset synthetic");
    assert_eq!(test(&evaluated), test(&whole), "{evaluated:?}");
    let full = run(folder.path(), "evaluate --load run --dataset synthetic --conv-precision full");
    assert_ne!(test(&full), test(&whole), "{full:?}");
    let resumed = run(folder.path(), "train --resume run --steps 9 --hash --conv-precision bf16");
    assert_eq!(resumed.code, Some(0), "another name of the same: {resumed:?}");
    let again =
        "--conv-precision full: the run was started with bfloat16, and another value would change its bits";
    problem(folder.path(), "train --resume run --steps 9 --conv-precision full", again);
}

#[test]
fn mistakes_are_told() {
    let folder = folder();
    let train = |options: &str| format!("{RUN} --steps 1 {options}");
    problem(folder.path(), &train("--conv-precision bfloat"), "unknown precision 'bfloat'");
    problem(
        folder.path(),
        &train("--conv-precision bfloat16 --dtype float64"),
        "--conv-precision: only float32 is rounded to bfloat16, and the elements are float64",
    );
    let choices = "format = 1\nversion = '0.1.0'\nmodel = 'net'\nmachine = 'a CPU'\nisa = 'portable'\ndtype = 'float32'\n\
        threads = 1\nbatch_size = 54\nshard_size = 9\nconvolutions = []\n";
    fs::write(folder.path().join("x.toml"), choices).expect("room for a file");
    let both = run(folder.path(), &train("--conv-precision bfloat16 --tuned x.toml"));
    let error = "the argument '--conv-precision <NAME>' cannot be used with '--tuned <FILE>'";
    assert!(both.code != Some(0) && both.stderr.contains(error), "{both:?}");
    let summary = run(folder.path(), "summary --model net.toml --conv-precision bfloat16").stdout;
    let paths: Vec<&str> = summary
        .lines()
        .filter(|line| line.contains("Conv2D"))
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    let mixed = "im2col-bf16/im2col-bf16/im2col";
    assert_eq!(paths, ["direct", mixed, "im2col-bf16", "winograd4"], "{summary}");
}
