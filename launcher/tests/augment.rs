//! Augmented runs have the same bits everywhere, and `isograd data` shows what they train on.

mod common;

use common::{hash, isograd, lines, train, words};

/// Every kind of change but those of colours, which want one or three channels: this data has one.
const CHANGES: &str = "--random-crop 2 --crop-border reflect --flip --vertical-flip --rotate 10 --translate 0.1 \
                       --color-jitter 0.2,0.2 --cutout 6 --normalize computed";
const RUN: &str = "train --dataset synthetic --global-batch-size 54 --shard-size 10 --steps 12 --hash";

#[test]
fn threads_ranks_and_readers_do_not_change_augmented_runs() {
    for changes in [CHANGES, "--crop 28 --alternating-flip --mixup 0.4 --cutmix 1 --normalize 0.5/0.25"] {
        let expected = hash(&isograd(&words(&format!("{RUN} {changes} --threads 1"))));
        for (start, options) in [
            ("", "--threads 2"),
            ("local -n 2", ""),
            ("local -n 3", "--transport tcp"),
            ("", "--prefetch 40"),
            ("local -n 2", "--prefetch 5 --prefetch-threads 2"),
        ] {
            let line = format!("{start} {RUN} {changes} {options}");
            assert_eq!(hash(&isograd(&words(&line))), expected, "{line}");
        }
        assert_ne!(hash(&isograd(&words(&format!("{RUN} {changes} --seed 1")))), expected);
        assert_ne!(hash(&isograd(&words(RUN))), expected);
    }
}

#[test]
fn the_settings_show_what_changes_samples() {
    let text =
        train("--steps 2 --flip --random-crop 2 --normalize computed --prefetch 8 --validation-split 0.5");
    for (name, value) in [
        ("flip:", "0.5"),
        ("random-crop:", "2 pixels of zeros"),
        ("normalize:", "computed"),
        ("prefetch:", "8 samples by 1 thread"),
    ] {
        assert_eq!(lines(&text, name).first().map(|line| line.trim()), Some(value), "{text}");
    }
}

/// The options must be those of the training run, as the network must be.
#[test]
fn a_saved_network_is_tested_as_it_was_trained() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.safetensors");
    let file = file.to_str().expect("a temporary folder's name is UTF-8");
    for options in ["--normalize computed", "--resized-crop 20 --normalize 0.5/0.2"] {
        let text = train(&format!("--steps 8 {options} --save {file}"));
        let line = format!("evaluate --dataset synthetic --load {file} {options}");
        let outcome = isograd(&words(&line));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert_eq!(lines(&outcome.stdout, "test_acc"), lines(&text, "test_acc"), "{options}");
        assert!(!lines(&text, "test_acc").is_empty(), "{text}");
    }
}

#[test]
fn options_that_do_not_fit_the_samples_end_the_run() {
    for (options, expected) in [
        ("--crop 100", "the random crop takes 100x100 pixels, but the image has 28x28"),
        ("--random-crop 28 --crop-border reflect", "a border of 28 cannot reflect an image of 28x28"),
        ("--normalize cifar10", "normalization has 3 channels, but the samples have 1"),
        ("--color-jitter 0,0,0,0.7", "the hue of the colour jitter is 0.7, expected 0 to 0.5"),
        ("--mixup 0.2 --loss hinge", "categorical_hinge does not take targets that are numbers"),
    ] {
        let outcome = isograd(&words(&format!("train --dataset synthetic --steps 1 {options}")));
        assert!(outcome.stderr.contains(expected), "{options}: {outcome:?}");
        assert!(matches!(outcome.code, Some(1 | 2)), "{outcome:?}");
    }
}

#[test]
fn a_data_set_is_checked_and_shown() {
    let outcome = isograd(&["data", "check", "synthetic"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(lines(&outcome.stdout, "training: "), ["6000 samples of 1x28x28 bytes"]);
    assert_eq!(lines(&outcome.stdout, "test: "), ["1000 samples of 1x28x28 bytes"]);
    assert_eq!(lines(&outcome.stdout, "    7: "), ["600", "100"]);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sheet.png");
    let show = |options: &str| {
        let line = format!("data show synthetic --rows 3 --columns 4 --out {} {options}", file.display());
        let outcome = isograd(&words(&line));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        std::fs::read(&file).unwrap()
    };
    let plain = show("");
    assert!(plain.starts_with(b"\x89PNG\r\n\x1a\n"));
    // Width and height of the header: images of 28 pixels are drawn three times as large.
    assert_eq!(plain[16..24], [0, 0, 1, 174, 0, 0, 1, 2]);
    let changed = show("--augment rotate,cutout --flip");
    assert_ne!(changed, plain);
    assert_eq!(changed, show("--rotate 15 --cutout 8 --flip"));
    assert_ne!(changed, show("--augment rotate,cutout --flip --sheet-seed 1"));
    let outcome = isograd(&["data", "show", "synthetic", "--out", "x.png", "--augment", "flop"]);
    assert!(outcome.stderr.contains("did you mean 'flip'?"), "{outcome:?}");
}
