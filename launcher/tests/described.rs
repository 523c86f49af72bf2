//! What a saved network tells of its training: names of classes, statistics, sizes. With it, the network is
//! used without the options of its training.

mod common;

use common::{isograd_in, lines};
use std::fs;
use std::path::Path;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../datasets/tests/golden");

/// Runs the program, which must end well.
#[track_caller]
fn run(folder: &Path, args: &str) -> String {
    let outcome = isograd_in(folder, args);
    assert_eq!(outcome.code, Some(0), "{args}: {outcome:?}");
    outcome.stdout
}

/// A BMP file of 8 x 8 pixels of one colour.
fn bmp(colour: [u8; 3]) -> Vec<u8> {
    let mut bmp = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x08\0\0\0\x08\0\0\0\x01\0\x18\0".to_vec();
    bmp.resize(54, 0);
    bmp.extend(colour.repeat(64));
    bmp
}

/// What is computed from the samples is kept: a run that goes on, and who uses its network, need not read
/// them all again, and are not misled by what has become of them.
#[test]
fn computed_statistics_stay_those_of_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let write = |brightness: u8| {
        for (class, number) in [("dark", 0), ("dark", 1), ("light", 2), ("light", 3)] {
            let class = folder.path().join("photos").join(class);
            fs::create_dir_all(&class).unwrap();
            let [r, g, b] = [number * 20 + brightness, number * 30, number * 10 + 5];
            fs::write(class.join(format!("{number}.bmp")), bmp([b, g, r])).unwrap();
        }
    };
    let kept = || {
        let bytes = fs::read(folder.path().join("run/last/model.safetensors")).unwrap();
        let header = String::from_utf8_lossy(&bytes).into_owned();
        let start = header.find("scale").expect("a header with factors");
        header[start..start + header[start..].find("is_bytes").expect("the end of the factors")].to_string()
    };
    write(1);
    run(
        folder.path(),
        "train --dataset ./photos --resize 8 --validation-split 0.5 --model simplemlp --normalize computed \
         --global-batch-size 2 --steps 1 --epochs 3 --checkpoint run",
    );
    let at_the_start = kept();
    let tested = |options: &str| run(folder.path(), &format!("evaluate --load run {options}"));
    let told = tested("--dataset ./photos --dataset-test-path ./photos");
    write(150);
    let others = tested("--dataset ./photos --dataset-test-path ./photos");
    assert_ne!(others, told, "other samples");
    let again = tested("--dataset ./photos --dataset-test-path ./photos --normalize computed");
    assert_ne!(again, others, "other statistics");
    for start in ["", "local -n 2 "] {
        let resumed = run(folder.path(), &format!("{start}train --resume run --steps 2"));
        let row = resumed.lines().find_map(|line| line.split_once("normalize:")).expect("a row").1;
        assert_eq!(row.trim(), "as in training");
        assert_eq!(kept(), at_the_start);
    }
}

/// A tar file.
fn tar(members: &[(String, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes) in members {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        tar.extend(header);
        tar.extend(*bytes);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// In the order of the classes: in the file of parameters, in predictions and in the table of classes.
#[test]
fn class_names_travel_with_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for class in ["cat", "dog", "emu"] {
        let class = path("photos").join(class);
        fs::create_dir_all(&class).unwrap();
        for (number, name) in ["a.bmp", "b.bmp"].into_iter().enumerate() {
            fs::write(class.join(name), bmp([number as u8 * 90, 7, 200])).unwrap();
        }
    }
    let rows: String =
        (0..12).map(|row| format!("{row},{},{}\n", row * row, ["cat", "dog"][row % 2])).collect();
    fs::write(path("animals.csv"), format!("a,b,kind\n{rows}")).unwrap();
    // CIFAR with names of its own.
    fs::create_dir(path("cifar")).unwrap();
    let names: Vec<String> = (0..10).map(|class| format!("kind_{class}")).collect();
    fs::write(path("cifar/batches.meta.txt"), names.join("\n")).unwrap();
    let image = |label: u8| [vec![label], vec![label * 20; 3072]].concat();
    for file in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
    {
        fs::write(path(&format!("cifar/{file}.bin")), [image(0), image(7)].concat()).unwrap();
    }
    // Fashion-MNIST, whose names are known.
    fs::create_dir(path("fashion")).unwrap();
    for split in ["train", "t10k"] {
        let write = |name: &str, bytes: Vec<u8>| fs::write(path("fashion").join(name), bytes).unwrap();
        write(&format!("{split}-images-idx3-ubyte"), common::idx(&[4, 28, 28], &[]));
        write(&format!("{split}-labels-idx1-ubyte"), common::idx(&[4], &[0, 9, 2, 3]));
    }
    let photo = bmp([1, 2, 3]);
    let members: Vec<(String, &[u8])> = ["plane", "boat", "plane", "boat"]
        .into_iter()
        .enumerate()
        .flat_map(|(number, class)| {
            [(format!("{number}.bmp"), &photo[..]), (format!("{number}.cls"), class.as_bytes())]
        })
        .collect();
    fs::write(path("shard.tar"), tar(&members)).unwrap();
    for name in ["named.npz", "texts.npz", "named.safetensors"] {
        fs::copy(Path::new(GOLDEN).join("arrays").join(name), path(name)).unwrap();
    }
    let kinds: Vec<&str> = names.iter().map(String::as_str).collect();
    for (saved, dataset, options, expected) in [
        ("images", "./photos", "--resize 12 --validation-split 0.2", &["cat", "dog", "emu"][..]),
        ("csv", "animals.csv", "--dataset-test-path animals.csv", &["cat", "dog"]),
        ("tar", "shard.tar", "--resize 12 --validation-split 0.5", &["boat", "plane"]),
        ("cifar", "./cifar", "", &kinds),
        ("idx", "fashion-mnist", "--dataset-train-path fashion", &["T-shirt/top", "Trouser"]),
        ("npz", "named.npz", "--dataset-test-path named.npz", &["oak", "bär", "ash"]),
        ("texts", "texts.npz", "", &["ash", "bär", "oak"]),
        ("tensors", "named.safetensors", "--dataset-test-path named.npz", &["oak", "bär", "ash"]),
    ] {
        let line = format!(
            "train --dataset {dataset} {options} --model simplemlp --global-batch-size 2 --steps 1 \
             --save {saved}.st"
        );
        run(folder.path(), &line);
        let text = String::from_utf8_lossy(&fs::read(path(&format!("{saved}.st"))).unwrap()).into_owned();
        let list =
            text.split("class_names").nth(1).unwrap_or_else(|| panic!("{saved}: no names in its file"));
        let list = &list[..list.find(']').expect("the end of a list")];
        let mut place = 0;
        for name in expected {
            place += list[place..].find(name).unwrap_or_else(|| panic!("{saved}: {name} in {list}"));
        }
        if ["images", "tar", "cifar"].contains(&saved) {
            let said = run(folder.path(), &format!("predict --load {saved}.st photos/cat/a.bmp"));
            assert!(expected.iter().any(|name| said.contains(name)), "{saved}: {said}");
        }
        if ["npz", "texts", "tensors"].contains(&saved) {
            let said = run(folder.path(), &format!("predict --load {saved}.st {dataset}"));
            assert!(
                said.lines().all(|line| expected.iter().any(|name| line.contains(name))),
                "{saved}: {said}"
            );
        }
        if !options.contains("--validation-split") {
            let tested = format!("evaluate --load {saved}.st --dataset {dataset} {options} --per-class");
            let table = run(folder.path(), &tested);
            assert!(expected.iter().all(|name| table.contains(name)), "{saved}: {table}");
        }
    }
}

/// The size that is given, and the statistics of the training.
#[test]
fn what_is_said_of_sizes_says_nothing_of_the_normalisation() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "train --model simplecnn --crop 24 --normalize 0.3/0.2 --steps 40 --save digits.st");
    let scores = |options: &str| {
        let found = run(folder.path(), &format!("evaluate --load digits.st {options}"));
        lines(&found, "test_acc: ")[0].to_string()
    };
    let told = scores("");
    assert_eq!(scores("--crop 24"), told);
    assert_eq!(scores("--crop 24 --normalize 0.3/0.2"), told);
    assert_eq!(scores("--normalize 0.3/0.2"), told);
    assert_ne!(scores("--normalize 0/1"), told);
    assert_ne!(scores("--resized-crop 24"), told);
}

/// A file of parameters tells the data set by its name, but not the names of files.
#[test]
fn a_saved_network_is_tested_on_the_data_set_of_its_training() {
    let folder = tempfile::tempdir().unwrap();
    let trained =
        run(folder.path(), "train --dataset synthetic --model simplemlp --steps 3 --save random.st");
    let tested = run(folder.path(), "evaluate --load random.st");
    assert_eq!(lines(&tested, "test_acc: "), lines(&trained, "test_acc: "));
    photos(folder.path());
    run(folder.path(), "train --dataset ./photos --resize 20 --model simplecnn --steps 2 --save photos.st");
    let tested = isograd_in(folder.path(), "evaluate --load photos.st");
    assert!(tested.stderr.contains("error: --dataset is missing"), "{tested:?}");
    run(folder.path(), "evaluate --load photos.st --dataset ./photos --dataset-test-path photos");
}

/// Images in 3 classes and of 3 sizes, each with a stripe at another place.
fn photos(folder: &Path) {
    for (class, name) in ["left", "middle", "right"].into_iter().enumerate() {
        let class_folder = folder.join("photos").join(name);
        fs::create_dir_all(&class_folder).unwrap();
        for number in 0..6_usize {
            let (width, height) = (36 + 4 * (number % 3), 36 + 8 * (number % 2));
            let file = fs::File::create(class_folder.join(format!("{number}.png"))).unwrap();
            let mut encoder = png::Encoder::new(file, width as u32, height as u32);
            encoder.set_color(png::ColorType::Rgb);
            let stripe = class * width / 3..(class + 1) * width / 3;
            let pixel = |place: usize| {
                if stripe.contains(&(place % width)) {
                    [200, 90 + 9 * number as u8, 40]
                } else {
                    [20, 30, 60]
                }
            };
            let pixels: Vec<u8> = (0..width * height).flat_map(pixel).collect();
            encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        }
    }
}

/// A network of a file or of the library, on images in colour or in grey, resized and cropped in every way:
/// the run and the file that was saved test as the training did, and predict, without being told how.
#[test]
fn a_run_says_itself_what_images_go_through() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path());
    let of = |channels: usize| {
        format!(
            "input = [{channels}, 24, 24]\nlayers = [{{ type = \"Conv2D\", filters = 4, kernel = 3 }}, \"ReLU\", \
             \"Flatten\", {{ type = \"Dense\", outputs = 3 }}, \"Softmax\"]\n"
        )
    };
    fs::write(folder.path().join("colour.toml"), of(3)).unwrap();
    fs::write(folder.path().join("grey.toml"), of(1)).unwrap();
    fs::copy(folder.path().join("photos/left/0.png"), folder.path().join("one.png")).unwrap();
    for (number, options) in [
        "--model colour.toml --resize 24",
        "--model colour.toml --resize 28 --crop 24 --normalize imagenet",
        "--model grey.toml --resize 24 --grey --normalize computed",
        "--model grey.toml --resize 32 --crop 24 --grey --normalize 0.4/0.2",
        "--model colour.toml --resized-crop 24 --normalize computed",
        "--model colour.toml --resize 30 --resized-crop 24",
        "--model simplecnn --resize 20 --grey",
        "--model simplecnn --resized-crop 20 --normalize imagenet",
    ]
    .into_iter()
    .enumerate()
    {
        // The last checkpoint is what was tested; the best one may be another.
        let (last, file) = (format!("run{number}/last"), format!("{number}.safetensors"));
        let trained = run(
            folder.path(),
            &format!(
                "train --dataset ./photos --dataset-test-path ./photos {options} --steps 6 --global-batch-size 9 \
                 --checkpoint run{number} --save {file}"
            ),
        );
        let [expected] = lines(&trained, "test_acc: ")[..] else { panic!("{trained}") };
        // A network of a file is not needed any more.
        for (load, data) in [
            (&last, ""),
            (&last, "--dataset ./photos --dataset-test-path ./photos"),
            (&file, "--dataset ./photos --dataset-test-path ./photos"),
        ] {
            let tested = run(folder.path(), &format!("evaluate --load {load} {data}"));
            assert_eq!(lines(&tested, "test_acc: "), [expected], "{options}: {load} {data}");
        }
        let predictions = |load: &str| {
            let outcome = isograd_in(folder.path(), &format!("predict --load {load} photos one.png"));
            assert_eq!(outcome.code, Some(0), "{options}: {outcome:?}");
            // No size is another one than in training.
            let said = if options.contains("grey") { "19 images were in colour" } else { "" };
            assert!(outcome.stderr.lines().count() <= 1 && outcome.stderr.contains(said), "{outcome:?}");
            assert!(!outcome.stderr.contains("size"), "{options}: {outcome:?}");
            outcome.stdout
        };
        let predicted = predictions(&last);
        assert_eq!(predictions(&file), predicted, "{options}");
        let is_right = |line: &&str| {
            let (file, class) = line.split_once(": ").expect("a prediction");
            file.contains(&format!("/{}/", class.split(' ').next().unwrap()))
        };
        let right = predicted.lines().filter(is_right).count();
        let accuracy: f64 = expected.split('%').next().unwrap().parse().unwrap();
        assert_eq!(predicted.lines().count(), 19);
        assert!((accuracy - 100.0 * right as f64 / 18.0).abs() < 0.01, "{options}: {accuracy}, {predicted}");
    }
    fs::remove_file(folder.path().join("colour.toml")).unwrap();
    run(folder.path(), "evaluate --load run0");
}

/// Where a set has no test samples, those are tested that the training has tested: the ones to validate on.
#[test]
fn a_run_without_test_samples_is_tested_as_the_training_did() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path());
    let trained = run(
        folder.path(),
        "train --dataset ./photos --resize 20 --validation-split 0.4 --model simplecnn --steps 4 \
         --global-batch-size 6 --schedule onecycle --checkpoint run",
    );
    let [expected] = lines(&trained, "test_acc: ")[..] else { panic!("{trained}") };
    for start in ["", "local -n 2 "] {
        let tested = isograd_in(folder.path(), &format!("{start}evaluate --load run"));
        assert_eq!(tested.code, Some(0), "{tested:?}");
        assert!(tested.stdout.contains(&format!("test_acc: {expected}\n")), "{tested:?} after {trained}");
        assert!(tested.stderr.contains("warn: the data set has no test samples: "), "{tested:?}");
    }
    let other = isograd_in(folder.path(), "evaluate --load run --dataset ./photos");
    assert!(other.stderr.contains("error: the data set has no test samples"), "{other:?}");
    assert!(!other.stderr.contains("--validation-split"), "evaluate has no such option: {other:?}");
}

/// What is not said of the data set is what it was in training.
#[test]
fn other_files_of_the_set_of_a_run_are_tested() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["here", "there"] {
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        for split in ["train", "t10k"] {
            let write = |file: &str, bytes: Vec<u8>| fs::write(path.join(file), bytes).unwrap();
            write(&format!("{split}-images-idx3-ubyte"), common::idx(&[4, 28, 28], &[]));
            write(&format!("{split}-labels-idx1-ubyte"), common::idx(&[4], &[0, 9, 2, 3]));
        }
    }
    run(
        folder.path(),
        "train --dataset fashion-mnist --dataset-train-path here --model simplemlp --steps 1 --checkpoint run \
         --validation-split 0.5",
    );
    // Test samples that are lost are an error; the validation samples do not stand in for them.
    fs::remove_file(folder.path().join("here/t10k-images-idx3-ubyte")).unwrap();
    let lost = isograd_in(folder.path(), "evaluate --load run");
    assert_ne!(lost.code, Some(0), "{lost:?}");
    assert!(lost.stderr.contains("error: ") && lost.stderr.contains("t10k-images"), "{lost:?}");
    fs::remove_dir_all(folder.path().join("here")).unwrap();
    let table = run(folder.path(), "evaluate --load run --dataset-train-path there --per-class");
    assert!(table.contains("Ankle boot"), "{table}");
}
