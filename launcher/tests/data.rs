//! Data sets at a path: images, tables and arrays, and their mistakes.

mod common;

use common::{hash, isograd_in, lines};
use std::path::Path;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../datasets/tests/golden");

/// A folder with `photos` of three classes, `animals.csv` and `arrays.npz`.
fn data() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let images = ["rgb.png", "baseline.jpg", "lossless.webp", "palette.bmp", "turned_6.jpg"];
    for class in ["cat", "dog", "emu"] {
        let class = folder.path().join("photos").join(class);
        std::fs::create_dir_all(&class).unwrap();
        for image in images {
            std::fs::copy(Path::new(GOLDEN).join("images").join(image), class.join(image)).unwrap();
        }
    }
    let rows: String =
        (0..12).map(|row| format!("{row},{},{}\n", row * row, ["cat", "dog"][row % 2])).collect();
    std::fs::write(folder.path().join("animals.csv"), format!("a,b,kind\n{rows}")).unwrap();
    std::fs::copy(Path::new(GOLDEN).join("arrays/nchw.npz"), folder.path().join("arrays.npz")).unwrap();
    folder
}

#[test]
fn a_folder_of_images_is_checked_with_all_that_is_broken() {
    let folder = data();
    let whole = isograd_in(folder.path(), "data check ./photos");
    assert_eq!((whole.code, whole.stderr.as_str()), (Some(0), ""));
    for line in
        ["training: 15 images", "    dog: 5", "  sizes: 2 sizes, from 23x17 to 17x23 (width x height)"]
    {
        assert!(whole.stdout.contains(line), "'{line}' is not in: {}", whole.stdout);
    }
    assert!(!whole.stdout.contains("broken"));
    let sheet = isograd_in(folder.path(), "data show ./photos --augment flip,crop --rows 2 --out sheet.png");
    assert_eq!(sheet.code, Some(0), "{sheet:?}");
    assert!(sheet.stdout.starts_with("images have different sizes: they are shown as with --resize 224\n"));
    let jpeg = std::fs::read(folder.path().join("photos/cat/baseline.jpg")).unwrap();
    std::fs::write(folder.path().join("photos/cat/cut.jpg"), &jpeg[..jpeg.len() - 50]).unwrap();
    std::fs::write(folder.path().join("photos/emu/text.png"), "no picture").unwrap();
    let broken = isograd_in(folder.path(), "data check ./photos --grey");
    assert_eq!(broken.code, Some(1), "{broken:?}");
    for part in ["training: 15 images", "broken: 2 files", "cut.jpg", "JPEG file is truncated", "text.png"] {
        assert!(broken.stdout.contains(part), "'{part}' is not in: {}", broken.stdout);
    }
    assert!(broken.stderr.contains("error: 2 of 17 files cannot be decoded"), "{}", broken.stderr);
    assert!(broken.stderr.contains("hint: --on-bad-image skip"), "{}", broken.stderr);
    // What training refuses.
    std::fs::create_dir_all(folder.path().join("one/cat")).unwrap();
    std::fs::copy(Path::new(GOLDEN).join("images/rgb.png"), folder.path().join("one/cat/a.png")).unwrap();
    let one = ["training: 1 image", "  problem: folder ./one has one class only, 'cat'"];
    let checked = isograd_in(folder.path(), "data check ./one");
    assert!(one.iter().all(|part| checked.stdout.contains(part)), "{checked:?}");
    assert_error(
        folder.path(),
        "data check ./one",
        1,
        &["error: --dataset: folder ./one has one class only"],
    );
    std::fs::create_dir_all(folder.path().join("one/dog")).unwrap();
    assert_error(folder.path(), "data check ./one", 1, &["class folder ./one/dog has no images"]);
}

#[track_caller]
fn assert_error(folder: &Path, args: &str, code: i32, parts: &[&str]) {
    let outcome = isograd_in(folder, args);
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    for part in parts {
        assert!(outcome.stderr.contains(part), "'{part}' is not in: {}", outcome.stderr);
    }
}

/// The law of the house, for images that each rank decodes itself.
#[test]
fn images_train_to_the_same_bits_on_any_ranks() {
    let folder = data();
    let train = "train --dataset ./photos --resize 14 --crop 12 --validation-split 0.2 --model simplecnn \
                 --global-batch-size 6 --shard-size 2 --epochs 2 --hash";
    let alone = isograd_in(folder.path(), &format!("{train} --threads 1"));
    let row =
        |name: &str| lines(&alone.stdout, &format!("{name}:")).first().map(|value| value.trim().to_string());
    assert_eq!([row("dataset"), row("resize"), row("crop")].map(Option::unwrap), ["./photos", "14", "12x12"]);
    assert_eq!(
        (row("training samples").unwrap(), row("validation samples").unwrap()),
        ("12".into(), "3".into())
    );
    let several = isograd_in(folder.path(), &format!("local -n 2 {train} --threads 2"));
    assert_eq!(hash(&alone), hash(&several));
    assert!(folder.path().join("cache/isograd").read_dir().unwrap().count() == 1, "the index is kept");
}

#[test]
fn tables_and_arrays_are_trained_on() {
    let folder = data();
    let table = isograd_in(
        folder.path(),
        "train --dataset animals.csv --dataset-test-path animals.csv --model simplemlp --epochs 1 --hash",
    );
    assert!(!hash(&table).is_empty());
    let arrays = isograd_in(folder.path(), "train --dataset arrays.npz --model simplemlp --epochs 1 --hash");
    assert!(!hash(&arrays).is_empty());
    let untested = isograd_in(folder.path(), "train --dataset animals.csv --model simplemlp --epochs 1");
    assert_eq!(untested.code, Some(0), "{untested:?}");
    assert!(untested.stdout.contains("note: the data set has no test samples, so nothing is tested"));
    assert!(!untested.stdout.contains("test_acc"), "{untested:?}");
    let summary = isograd_in(folder.path(), "summary --dataset animals.csv --model simplemlp");
    assert_eq!(summary.code, Some(0), "{summary:?}");
}

#[test]
fn bad_images_are_named_or_skipped() {
    let folder = data();
    std::fs::write(folder.path().join("photos/cat/zero.jpg"), b"").unwrap();
    let train = "train --dataset ./photos --resize 12 --validation-split 0.2 --model simplecnn --epochs 1";
    let hint = "hint: --on-bad-image skip leaves out such files";
    assert_error(folder.path(), train, 1, &["photos/cat/zero.jpg: the file is empty", hint]);
    // Only decoding tells that this one is broken.
    std::fs::remove_file(folder.path().join("photos/cat/zero.jpg")).unwrap();
    let jpeg = std::fs::read(folder.path().join("photos/cat/baseline.jpg")).unwrap();
    let cut = folder.path().join("photos/cat/cut.jpg");
    std::fs::write(&cut, &jpeg[..jpeg.len() - 50]).unwrap();
    assert_error(folder.path(), train, 1, &["photos/cat/cut.jpg", "JPEG file is truncated", hint]);
    std::fs::remove_file(cut).unwrap();
    std::fs::write(folder.path().join("photos/cat/zero.jpg"), b"").unwrap();
    let outcome = isograd_in(folder.path(), &format!("{train} --on-bad-image skip"));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(lines(&outcome.stdout, "skipped: ").len(), 1, "{}", outcome.stdout);
}

#[test]
fn options_and_formats_must_go_together() {
    let folder = data();
    let photos = "train --dataset ./photos --validation-split 0.2";
    for (args, code, parts) in [
        ("train --resize 8", 2, &["--resize applies only where --dataset is a path"][..]),
        ("train --dataset animals.csv --resize 8", 2, &["--resize applies only to images", "a table"]),
        ("train --dataset ./photos --resize 8 --missing mean", 2, &["--missing applies only to tables"]),
        (
            "train --dataset ./photos --dataset-train-path x",
            2,
            &["--dataset-train-path", "is a path already"],
        ),
        ("train --dataset synthetic --dataset-test-path x", 2, &["--dataset-test-path", "synthetic"]),
        ("train --dataset cifar10", 2, &["--dataset-train-path is missing"]),
        (
            "train --dataset cifar10 --dataset-train-path .",
            1,
            &["has no files of CIFAR; looked for test_batch.bin"],
        ),
        ("train --dataset cifar10 --dataset-train-path . --classes 5", 2, &["--classes"]),
        ("train --dataset ./nowhere", 1, &["--dataset: cannot read ./nowhere"]),
        (
            "train --dataset animals.csv --evaluate",
            2,
            &["no test samples", "--dataset-test-path", "--validation-split"],
        ),
        ("train --dataset animals.csv --label-column sort", 1, &["has no column 'sort'", "a, b, kind"]),
        ("evaluate --load x --dataset animals.csv", 2, &["no test samples"]),
        (photos, 1, &["different sizes", "hint: --resize N makes all images N x N"]),
        (&format!("{photos} --resize 8 --crop 9"), 2, &["takes 9x9 pixels, but the image has 8x8"]),
        (&format!("{photos} --resize 0"), 2, &["--resize", "from 1 to 8192"]),
    ] {
        assert_error(folder.path(), args, code, parts);
    }
}

/// A file of numpy: rows of two 32-bit floats.
fn npy(rows: &[[f32; 2]]) -> Vec<u8> {
    let header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, 2), }}{:20}\n", rows.len(), "");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    file.extend(rows.iter().flatten().flat_map(|value| value.to_le_bytes()));
    file
}

#[test]
fn a_regression_is_trained_tested_and_used() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plane = |a: f32, b: f32| 2.0 * a - b + 1.0;
    let row = |place: u8| {
        let [a, b] = [place % 8, place / 8].map(f32::from);
        format!("{a},{},{b}\n", plane(a, b))
    };
    let rows: String = (0..64).map(row).collect();
    std::fs::write(folder.path().join("plane.csv"), format!("a,y,b\n{rows}")).unwrap();
    let network = "input = [2, 1, 1]\nlayers = [\"Flatten\", { type = \"Dense\", outputs = 1 }]\n";
    std::fs::write(folder.path().join("line.toml"), network).unwrap();
    let points = [[0.0, 0.0], [7.0, 1.0], [3.0, 6.0]];
    std::fs::write(folder.path().join("points.npy"), npy(&points)).unwrap();
    let run = |args: &str| {
        let outcome = isograd_in(folder.path(), args);
        assert_eq!(outcome.code, Some(0), "{args}: {outcome:?}");
        outcome.stdout
    };
    let data = "--dataset plane.csv --label-column y --targets numbers --model line.toml --loss mse";
    let training =
        "--dataset-test-path plane.csv --metrics mse --epochs 60 --batch-size 16 --learning-rate 0.1";
    let text = run(&format!("train {data} {training} --checkpoint run"));
    let of = |text: &str, name: &str| -> f64 {
        let scores = lines(text, "test_loss: ");
        let [scores] = scores.as_slice() else { panic!("no test in {text}") };
        let scores = format!("test_loss: {scores}");
        let score = scores.split(", ").find_map(|score| score.strip_prefix(name)?.strip_prefix(": "));
        score.and_then(|score| score.parse().ok()).unwrap_or_else(|| panic!("no {name} in {scores}"))
    };
    assert!(!text.contains("test_acc"), "{text}");
    let loss = of(&text, "test_loss");
    assert!(loss < 0.25 && (of(&text, "test_mse") - loss).abs() < 1e-4, "{text}");

    let tested = run("evaluate --load run/last");
    assert!(!tested.contains("test_acc"), "{tested}");
    for name in ["test_loss", "test_mse"] {
        assert!((of(&tested, name) - loss).abs() < 1e-3, "{tested} after {text}");
    }
    assert!(of(&tested, "test_mae") < 0.5, "{tested}");

    let predicted = run("predict --load run/last --csv points.npy");
    let mut table = predicted.lines();
    assert_eq!(table.next(), Some("input,index,output,value"));
    let values: Vec<f32> = table.map(|row| row.rsplit(',').next().unwrap().parse().expect(row)).collect();
    assert_eq!(values.len(), points.len(), "{predicted}");
    for (value, [a, b]) in values.iter().zip(points) {
        assert!((value - plane(a, b)).abs() < 1.5, "{value} at {a}, {b}");
    }

    let by_default = run(&format!("train {data} --validation-split 0.25 --epochs 1"));
    assert_eq!(lines(&by_default, "metrics: ").len(), 1, "{by_default}");
    assert!(lines(&by_default, "metrics: ")[0].trim() == "regression_mse", "{by_default}");
    assert!(by_default.contains(", val_mse "), "{by_default}");
    let no_loss = data.replace("--loss mse", "");
    let parts = ["--loss categorical_cross_entropy: it is for classes", "hint: --loss mse, mae or huber"];
    assert_error(folder.path(), &format!("train {no_loss} --validation-split 0.25"), 2, &parts);
    // Before the first step.
    let watched =
        format!("train {data} --validation-split 0.25 --checkpoint x --checkpoint-metric val_accuracy");
    let measured = ["measures no 'val_accuracy', but loss, regression_mse"];
    assert_error(folder.path(), &watched, 2, &measured);
    let no_network = data.replace("--model line.toml", "--model simplemlp");
    let parts = ["--model simplemlp: it gives classes", "--toml"];
    assert_error(folder.path(), &format!("train {no_network} --validation-split 0.25"), 2, &parts);
    let refused =
        isograd_in(folder.path(), &format!("train {data} --validation-split 0.25 --metrics accuracy"));
    assert!(refused.stderr.contains("the metric categorical_accuracy"), "{refused:?}");
    assert!(refused.stderr.contains("hint: ") && refused.stderr.contains("--metrics mse"), "{refused:?}");
}
