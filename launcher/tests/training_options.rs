//! Options of training that any network can have: whitening, test-time augmentation, factors of learning
//! rates, label smoothing.

mod common;

use common::{Outcome, hash, isograd_in, lines};
use std::path::Path;

/// A network that begins with a convolution, on small images in colour.
const NETWORK: &str = "input = [3, 8, 8]
layers = [
    { type = 'Conv2D', filters = 12, kernel = 2, name = 'whiten' },
    'ReLU', 'Flatten', { type = 'Dense', outputs = 10 }, 'Softmax',
]
";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("net.toml"), NETWORK).expect("a file");
    folder
}

#[track_caller]
fn run(folder: &Path, command: &str) -> Outcome {
    let outcome = isograd_in(folder, command);
    assert_eq!(outcome.code, Some(0), "{command}: {outcome:?}");
    outcome
}

#[track_caller]
fn refused(folder: &Path, command: &str) -> String {
    let outcome = isograd_in(folder, command);
    assert_eq!(outcome.code, Some(2), "{command}: {outcome:?}");
    let errors = lines(&outcome.stderr, "error: ");
    assert_eq!(errors.len(), 1, "{outcome:?}");
    errors[0].to_string()
}

#[test]
fn whitening_is_the_same_on_all_ranks_and_after_a_resume() {
    let folder = folder();
    let folder = folder.path();
    let train =
        "train --dataset synthetic --model net.toml --whiten --whiten-samples 500 --epochs 2 --steps 20";
    let whole = run(folder, &format!("{train} --hash --threads 1"));
    assert!(whole.stdout.contains("500 samples"), "{whole:?}");
    let expected = hash(&whole);
    assert_ne!(hash(&run(folder, &format!("{} --hash", train.replace("500", "501")))), expected);
    assert_eq!(hash(&run(folder, &format!("{train} --hash --threads 3"))), expected);
    assert_eq!(hash(&run(folder, &format!("local -n 2 {train} --hash --global-batch-size 64"))), expected);
    // The weights come from the checkpoint: other samples would give others.
    run(folder, &format!("{} --checkpoint run", train.replace("--steps 20", "--steps 10")));
    assert_eq!(hash(&run(folder, "train --resume run --steps 20 --hash")), expected);
    run(folder, "evaluate --load run");
}

#[test]
fn whitening_that_cannot_be_is_refused() {
    let folder = folder();
    let folder = folder.path();
    for (options, expected) in [
        (
            "--model simplemlp --whiten",
            "--whiten: whitening is for networks whose first layer is a convolution",
        ),
        (
            "--model vgg11_cifar10 --whiten",
            "has 64 filters of 27 elements, of which whitening gives at most 54",
        ),
        ("--model net.toml --whiten-samples 5", "--whiten"),
        ("--model net.toml --whiten --whiten-samples 0", "must be a whole number from 1"),
        ("--model net.toml --whiten --whiten-epsilon 0", "must be a finite number above 0, it is '0'"),
        ("--model net.toml --whiten --load x.safetensors", "--load"),
    ] {
        let error = refused(folder, &format!("train --dataset synthetic {options}"));
        assert!(error.contains(expected), "{options}: {error}");
    }
}

#[test]
fn tests_predictions_and_the_training_have_the_same_views() {
    let folder = folder();
    let folder = folder.path();
    let train = "train --model net.toml --dataset synthetic --epochs 1 --steps 15 --learning-rate 0.002";
    let trained = run(folder, &format!("{train} --tta flip-translate --checkpoint run --save x.st"));
    assert!(trained.stdout.contains("flip-translate"), "{trained:?}");
    let plain = run(folder, train);
    let tested = |outcome: &Outcome| match lines(&outcome.stdout, "test_acc: ")[..] {
        [line] => line.to_string(),
        _ => panic!("{outcome:?}"),
    };
    assert_ne!(tested(&trained), tested(&plain));
    // What the training has done is done again, unless something else is said.
    assert_eq!(tested(&run(folder, "evaluate --load run")), tested(&trained));
    assert_eq!(tested(&run(folder, "local -n 2 evaluate --load run --threads 2")), tested(&trained));
    assert_eq!(tested(&run(folder, "evaluate --load x.st")), tested(&trained));
    assert_eq!(tested(&run(folder, "evaluate --load run --tta none")), tested(&plain));
    std::fs::write(folder.join("x.npy"), npy([2, 3, 8, 8])).expect("a file");
    let predicted_by = |load: &str, options: &str| {
        run(folder, &format!("predict --load {load} --top 10 --json x.npy {options}"))
    };
    let predicted = |options: &str| predicted_by("run", options).stdout;
    assert_eq!(predicted(""), predicted("--tta flip-translate --threads 1"));
    assert_eq!(predicted(""), predicted_by("x.st", "").stdout);
    assert_ne!(predicted(""), predicted("--tta none"));
    assert_ne!(predicted("--tta flip"), predicted("--tta none"));
    // The training says nothing of another network.
    let network = std::fs::read_to_string(folder.join("net.toml")).expect("a file");
    std::fs::write(folder.join("another.toml"), format!("{network}# Another one.\n")).expect("a file");
    assert_eq!(predicted("--model net.toml"), predicted(""));
    assert_eq!(predicted("--model another.toml"), predicted("--tta none"));
    let error = refused(folder, &format!("{train} --tta flop"));
    assert!(
        error.contains("unknown test-time augmentation 'flop'; known are none, flip, flip-translate"),
        "{error}"
    );
}

/// Bytes that are not their own mirror image.
fn npy(dims: [usize; 4]) -> Vec<u8> {
    let [n, c, h, w] = dims;
    let mut header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({n}, {c}, {h}, {w}), }}");
    header += &" ".repeat((64 - (header.len() + 11) % 64) % 64);
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend((0..n * c * h * w).map(|i| (i * i % 251) as u8));
    bytes
}

#[test]
fn factors_and_smoothing_change_a_run_and_are_checked() {
    let folder = folder();
    let folder = folder.path();
    let train = "train --model net.toml --dataset synthetic --steps 5 --hash";
    let plain = hash(&run(folder, train));
    let scaled = run(folder, &format!("{train} --rate-factor *.bias=64 --rate-factor dense1.*=0.5"));
    assert!(scaled.stdout.contains("*.bias=64.0"), "{scaled:?}");
    let smoothed = run(folder, &format!("{train} --label-smoothing 0.2"));
    assert!(hash(&scaled) != plain && hash(&smoothed) != plain && hash(&scaled) != hash(&smoothed));
    assert_eq!(hash(&run(folder, &format!("{train} --rate-factor *=1 --label-smoothing 0"))), plain);
    std::fs::write(folder.join("x.toml"), "rate_factor = ['*.bias=64', 'dense1.*=0.5']").expect("a file");
    assert_eq!(hash(&run(folder, &format!("{train} --config x.toml"))), hash(&scaled));
    for (options, expected) in [
        ("--rate-factor dens1.*=2", "--rate-factor: no parameter's name matches 'dens1.*'"),
        ("--rate-factor *.bias", "must be as '*.bias=0.5', it is '*.bias'"),
        ("--label-smoothing 1.5", "must be a number from 0 to 1, it is '1.5'"),
        (
            "--label-smoothing 0.1 --loss mse",
            "--label-smoothing is for the loss categorical_cross_entropy, not for mean",
        ),
    ] {
        let error = refused(folder, &format!("{train} {options}"));
        assert!(error.contains(expected), "{options}: {error}");
    }
}

/// The recipe runs as it is on images of another kind.
#[test]
fn the_fast_recipe_runs() {
    let folder = folder();
    let options = "--dataset synthetic --steps 1 --epochs 1 --global-batch-size 32";
    let outcome = isograd_in(folder.path(), &format!("train --recipe airbench94 {options}"));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for setting in ["whiten: ", "tta: ", "label-smoothing: ", "rate-factor: "] {
        assert_eq!(lines(&outcome.stdout, setting).len(), 1, "{setting}: {outcome:?}");
    }
}
