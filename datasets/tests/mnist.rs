//! The bundled MNIST and folders in its format.

mod common;

use std::fs;
use std::path::Path;

use common::{gzip, idx};
#[cfg(unix)]
use isograd_datasets::idx::from_file;
use isograd_datasets::mnist::{NUM_CLASSES, Split};
use isograd_datasets::{Arrays, Dataset, Error, Pixels, mnist};

const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";

/// Three images of 2x2 and their labels.
fn write_training_set(folder: &Path) {
    fs::write(folder.join(TRAIN_IMAGES), idx(&[3, 2, 2], b"abcdefghijkl")).unwrap();
    fs::write(folder.join(TRAIN_LABELS), idx(&[3], &[9, 0, 4])).unwrap();
}

fn from_folder(folder: &Path, split: Split) -> Result<Arrays<'static>, Error> {
    mnist::from_folder(folder, split, NUM_CLASSES)
}

fn message(folder: &Path, split: Split) -> String {
    from_folder(folder, split).expect_err("a bad folder was read").to_string()
}

/// Counts per digit and the sum of all pixels are those published for MNIST (mean 33.3184 of the training
/// images).
#[cfg(feature = "bundled-mnist")]
#[test]
fn bundled_files_are_mnist() {
    use isograd_datasets::{Normalization, mnist::bundled};

    struct Expected {
        split: Split,
        first_labels: [u32; 10],
        digits: [usize; 10],
        pixel_sum: u64,
        pixel_crc: u32,
    }
    for expected in [
        Expected {
            split: Split::Train,
            first_labels: [5, 0, 4, 1, 9, 2, 1, 3, 1, 4],
            digits: [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
            pixel_sum: 1_567_298_545,
            pixel_crc: 0xf363_9b56,
        },
        Expected {
            split: Split::Test,
            first_labels: [7, 2, 1, 0, 4, 1, 4, 9, 5, 9],
            digits: [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
            pixel_sum: 264_923_200,
            pixel_crc: 0xe4ca_5f57,
        },
    ] {
        let set = bundled(expected.split);
        let (mut digits, mut pixel_sum, mut crc) = ([0; 10], 0, flate2::Crc::new());
        for index in 0..set.len() {
            let sample = set.sample(index);
            let Pixels::U8(bytes) = sample.pixels else { panic!("MNIST is bytes") };
            digits[sample.target.class().unwrap() as usize] += 1;
            pixel_sum += bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
            crc.update(bytes);
        }
        assert_eq!(set.len(), expected.digits.iter().sum::<usize>());
        assert_eq!((set.sample_shape(), set.num_classes()), ([1, 28, 28], 10));
        assert_eq!(set.normalization(), &Normalization::unit_range(1));
        assert_eq!(set.labels()[..10], expected.first_labels);
        assert_eq!(digits, expected.digits);
        assert_eq!((pixel_sum, crc.sum()), (expected.pixel_sum, expected.pixel_crc));
    }
}

#[test]
fn a_folder_is_read_raw_or_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_training_set(folder);
    fs::write(folder.join("t10k-images-idx3-ubyte.gz"), gzip(&idx(&[1, 1, 3], b"xyz"))).unwrap();
    fs::write(folder.join("t10k-labels-idx1-ubyte.gz"), gzip(&idx(&[1], &[7]))).unwrap();

    let train = from_folder(folder, Split::Train).unwrap();
    assert_eq!((train.len(), train.sample_shape(), train.labels()), (3, [1, 2, 2], &[9, 0, 4][..]));
    assert_eq!(train.sample(1).pixels, Pixels::U8(b"efgh"));
    let test = from_folder(folder, Split::Test).unwrap();
    assert_eq!((test.sample(0).pixels, test.sample(0).target.class()), (Pixels::U8(b"xyz"), Some(7)));
}

/// Kaggle's archive of MNIST has each file under both spellings, once in a folder of its own; and `gzip -k`
/// keeps the packed file.
#[test]
fn a_file_may_be_there_twice_with_one_content_only() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_training_set(folder);
    let labels = idx(&[3], &[9, 0, 4]);
    let nested = folder.join("train-labels.idx1-ubyte");
    fs::create_dir(&nested).unwrap();
    fs::write(nested.join("train-labels.idx1-ubyte"), &labels).unwrap();
    let packed = folder.join(format!("{TRAIN_LABELS}.gz"));
    fs::write(&packed, gzip(&labels)).unwrap();
    assert_eq!(from_folder(folder, Split::Train).unwrap().labels(), [9, 0, 4]);

    let plain = folder.join(TRAIN_LABELS);
    let all = [&plain, &packed, &nested.join("train-labels.idx1-ubyte")];
    let all = all.map(|path| path.display().to_string()).join(", ");
    let expected = format!("several files that differ could be {TRAIN_LABELS}: {all}; only one may be there");
    for other in [gzip(&idx(&[3], &[9, 0, 5])), gzip(&[&labels[..], &[0]].concat()), b"anything".to_vec()] {
        fs::write(&packed, other).unwrap();
        assert_eq!(message(folder, Split::Train), expected);
    }
    fs::remove_file(&packed).unwrap();
    fs::write(nested.join("train-labels.idx1-ubyte"), &labels[..10]).unwrap();
    assert!(message(folder, Split::Train).starts_with("several files that differ could be "));
}

#[test]
fn the_names_of_emnist_are_found_and_sets_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let name = |set: &str, file: &str| format!("emnist-{set}-{file}-ubyte.gz");
    let write = |set: &str, split: &str, label: u8| {
        let images = name(set, &format!("{split}-images-idx3"));
        fs::write(folder.join(images), gzip(&idx(&[1, 1, 1], b"x"))).unwrap();
        let labels = name(set, &format!("{split}-labels-idx1"));
        fs::write(folder.join(labels), gzip(&idx(&[1], &[label]))).unwrap();
    };
    write("letters", "train", 26);
    write("letters", "test", 1);
    fs::write(folder.join("emnist-letters-mapping.txt"), "1 65 97\n").unwrap();
    let labels = |split| mnist::from_folder(folder, split, 27).unwrap().labels().to_vec();
    assert_eq!((labels(Split::Train), labels(Split::Test)), (vec![26], vec![1]));

    fs::remove_file(folder.join(name("letters", "test-labels-idx1"))).unwrap();
    let missing = message(folder, Split::Test);
    let expected =
        "has no file emnist-letters-test-labels-idx1-ubyte or emnist-letters-test-labels.idx1-ubyte, ";
    assert!(missing.contains(expected), "{missing}");

    write("digits", "train", 3);
    let several = format!(
        "folder {} has files of several data sets: {}, {}; each set needs a folder of its own",
        folder.display(),
        name("digits", "train-images-idx3"),
        name("letters", "test-images-idx3")
    );
    assert_eq!(message(folder, Split::Train), several);
    assert_eq!(message(folder, Split::Test), several);
}

#[test]
fn missing_folders_and_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let absent = folder.join("absent");
    assert_eq!(message(&absent, Split::Train), format!("no folder {}", absent.display()));
    let lacks = |name: &str, has: &str| {
        let dotted = name.replace("-idx", ".idx");
        format!("folder {} has no file {name} or {dotted}, with or without .gz; it {has}", folder.display())
    };
    assert_eq!(message(folder, Split::Train), lacks(TRAIN_LABELS, "is empty"));
    fs::write(folder.join(TRAIN_LABELS), idx(&[1], &[0])).unwrap();
    let has = format!("has {TRAIN_LABELS}");
    assert_eq!(message(folder, Split::Train), lacks(TRAIN_IMAGES, &has));
    assert_eq!(message(folder, Split::Test), lacks("t10k-labels-idx1-ubyte", &has));
    fs::create_dir(folder.join("raw")).unwrap();
    for number in 0..9 {
        fs::write(folder.join(format!("file{number}")), "").unwrap();
    }
    let has = "has file0, file1, file2, file3, file4, file5, file6, file7, file8, raw/ and 1 more";
    assert_eq!(message(folder, Split::Train), lacks(TRAIN_IMAGES, has));
}

/// The names with dots are those of the original distribution, the folders those of Kaggle's archive.
#[test]
fn other_spellings_of_the_names_are_found() {
    type Spelling = fn(&str) -> String;
    let spellings: [Spelling; 7] = [
        |name| name.replace("-idx", ".idx"),
        |name| format!("{}.gz", name.replace("-idx", ".idx")),
        |name| format!("{name}/{name}"),
        |name| format!("{name}.gz/{name}.gz"),
        |name| format!("{0}/{0}", name.replace("-idx", ".idx")),
        |name| format!("{0}.gz/{0}.gz", name.replace("-idx", ".idx")),
        |name| format!("{name}/{}", name.replace("-idx", ".idx")),
    ];
    for spelling in spellings {
        let folder = tempfile::tempdir().unwrap();
        let files = [(TRAIN_IMAGES, idx(&[2, 1, 1], b"ab")), (TRAIN_LABELS, idx(&[2], &[3, 4]))];
        for (name, bytes) in files {
            let path = folder.path().join(spelling(name));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let set = from_folder(folder.path(), Split::Train).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(set.labels(), [3, 4], "{}", spelling(TRAIN_LABELS));
    }
}

/// The letters of EMNIST have labels from 1 to 26, its largest set has 62 classes.
#[test]
fn a_set_may_have_other_than_ten_classes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_training_set(folder);
    let labels = folder.join(TRAIN_LABELS);
    fs::write(&labels, idx(&[3], &[1, 26, 7])).unwrap();
    let letters = mnist::from_folder(folder, Split::Train, 27).unwrap();
    assert_eq!((letters.num_classes(), letters.labels()), (27, &[1, 26, 7][..]));
    let error = mnist::from_folder(folder, Split::Train, 26).unwrap_err().to_string();
    let expected = "label 26 of sample 1 is out of range for 26 classes";
    assert_eq!(error, format!("{}: {expected}", labels.display()));
}

/// The error of the stream would show that images were decoded.
#[test]
fn images_without_labels_are_not_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_training_set(folder);
    fs::remove_file(folder.join(TRAIN_IMAGES)).unwrap();
    let stream = gzip(&idx(&[1000, 28, 28], &[7; 1000]));
    let images = folder.join(format!("{TRAIN_IMAGES}.gz"));
    fs::write(&images, &stream[..stream.len() - 4]).unwrap();
    assert_eq!(
        message(folder, Split::Train),
        format!(
            "{} has 1000 images, but {} has 3 labels",
            images.display(),
            folder.join(TRAIN_LABELS).display()
        )
    );
}

/// A pipe would keep the reader waiting for ever.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_named_and_not_opened() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_training_set(folder);
    let (labels, packed) = (folder.join(TRAIN_LABELS), folder.join(format!("{TRAIN_LABELS}.gz")));
    fs::remove_file(&labels).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&labels).status().unwrap();
    assert!(made.success());
    assert_eq!(message(folder, Split::Train), format!("{} is not a regular file", labels.display()));
    assert_eq!(
        from_file(&labels).unwrap_err().to_string(),
        format!("{} is not a regular file", labels.display())
    );
    fs::write(&packed, gzip(&idx(&[3], &[1, 2, 3]))).unwrap();
    assert_eq!(from_folder(folder, Split::Train).unwrap().labels(), [1, 2, 3]);

    fs::remove_file(&labels).unwrap();
    fs::remove_file(&packed).unwrap();
    symlink("gone", &packed).unwrap();
    let dangling = format!("cannot read {}, a link to gone: ", packed.display());
    assert!(message(folder, Split::Train).starts_with(&dangling), "{}", message(folder, Split::Train));
}

#[test]
fn images_and_labels_must_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_training_set(folder);
    let (images, labels) = (folder.join(TRAIN_IMAGES), folder.join(TRAIN_LABELS));

    fs::write(&labels, idx(&[2], &[1, 2])).unwrap();
    assert_eq!(
        message(folder, Split::Train),
        format!("{} has 3 images, but {} has 2 labels", images.display(), labels.display())
    );
    fs::write(&labels, idx(&[3], &[1, 10, 200])).unwrap();
    assert_eq!(
        message(folder, Split::Train),
        format!("{}: label 10 of sample 1 is out of range for 10 classes", labels.display())
    );
    fs::copy(&images, &labels).unwrap();
    assert_eq!(message(folder, Split::Train), format!("{} has 3 dimensions, expected 1", labels.display()));
    fs::write(&labels, idx(&[3], &[1, 2, 3])).unwrap();
    fs::copy(&labels, &images).unwrap();
    assert_eq!(message(folder, Split::Train), format!("{} has 1 dimension, expected 3", images.display()));
}

#[test]
fn empty_sets_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (images, labels) = (folder.join(TRAIN_IMAGES), folder.join(TRAIN_LABELS));
    fs::write(&images, idx(&[0, 2, 2], &[])).unwrap();
    fs::write(&labels, idx(&[0], &[])).unwrap();
    assert_eq!(message(folder, Split::Train), format!("{} has no samples", images.display()));
    fs::write(&images, idx(&[1, 0, 28], &[])).unwrap();
    fs::write(&labels, idx(&[1], &[0])).unwrap();
    assert_eq!(
        message(folder, Split::Train),
        format!("{}: sample shape [1, 0, 28] is empty or too large for 1 sample", images.display())
    );
}

#[test]
fn broken_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_training_set(folder);
    let (images, packed) = (folder.join(TRAIN_IMAGES), folder.join(format!("{TRAIN_IMAGES}.gz")));
    fs::write(&images, idx(&[3, 2, 2], b"abcdefghijk")).unwrap();
    assert_eq!(
        message(folder, Split::Train),
        format!("{} is truncated: expected 28 bytes, got 27", images.display())
    );
    fs::write(&images, idx(&[3, 2, 2], b"abcdefghijklm")).unwrap();
    assert_eq!(
        message(folder, Split::Train),
        format!("{} is too long: expected 28 bytes, got at least 29", images.display())
    );
    fs::remove_file(&images).unwrap();
    let stream = gzip(&idx(&[3, 2, 2], b"abcdefghijkl"));
    fs::write(&packed, &stream[..stream.len() - 6]).unwrap();
    let broken = format!("{}: broken gzip stream after 28 decoded bytes: ", packed.display());
    assert!(message(folder, Split::Train).starts_with(&broken), "{}", message(folder, Split::Train));
}

/// EMNIST's archive has the files of all its sets in one folder; its letters count from 1.
#[test]
fn a_set_is_found_by_its_name_and_counts_as_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (set, labels) in [("letters", [1, 26]), ("digits", [0, 9])] {
        let write = |kind: &str, bytes: Vec<u8>| {
            fs::write(folder.join(format!("emnist-{set}-test-{kind}-ubyte")), bytes).unwrap();
        };
        write("images-idx3", idx(&[2, 1, 2], b"abcd"));
        write("labels-idx1", idx(&[2], &labels));
    }
    let open = |name| mnist::open(folder, mnist::Set::by_name(name).unwrap(), Split::Test);
    let letters = open("emnist-letters").unwrap();
    assert_eq!((letters.labels(), letters.num_classes()), (&[0, 25][..], 26));
    assert_eq!((letters.class_names()[0].as_str(), letters.class_names()[25].as_str()), ("A", "Z"));
    assert_eq!(open("emnist-digits").unwrap().labels(), [0, 9]);
    assert!(message(folder, Split::Test).contains("several data sets"));
    fs::write(folder.join("emnist-letters-test-labels-idx1-ubyte"), idx(&[2], &[1, 0])).unwrap();
    let text = open("emnist-letters").unwrap_err().to_string();
    assert!(text.ends_with("label 0 of sample 1 is below 1, the first label"), "{text}");
}

/// QMNIST has eight 32-bit numbers for each image, the first of which is the class.
#[test]
fn labels_may_be_wide() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let labels = |dims: &[u32], numbers: &[i32]| {
        let mut file = idx(dims, &[]);
        file[2] = 0x0c;
        numbers.iter().for_each(|number| file.extend(number.to_be_bytes()));
        file
    };
    fs::write(folder.join("qmnist-train-images-idx3-ubyte"), idx(&[2, 1, 2], b"abcd")).unwrap();
    let path = folder.join("qmnist-train-labels-idx2-int");
    let numbers: Vec<i32> = [[7, 4, 70_000, 0, 1, -1, 0, 0], [3, 0, 0, 0, 0, 0, 0, 0]].concat();
    fs::write(&path, gzip(&labels(&[2, 8], &numbers))).unwrap();
    let set = mnist::Set::by_name("qmnist").unwrap();
    assert_eq!(mnist::open(folder, set, Split::Train).unwrap().labels(), [7, 3]);
    fs::write(&path, labels(&[2], &[-1, 3])).unwrap();
    let text = mnist::open(folder, set, Split::Train).unwrap_err().to_string();
    assert!(text.ends_with("label -1 of sample 0 is below 0, the first label"), "{text}");
}
