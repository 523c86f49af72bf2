//! The binary files of CIFAR, in folders and archives.

use std::fs;
use std::io::Write;
use std::path::Path;

use isograd_datasets::cifar::{Set, Split, open};
use isograd_datasets::open::{Format, OpenOptions};
use isograd_datasets::{Arrays, Dataset, Pixels};

/// Images with these labels in front: pixel `p` of image `i` is `7 i + p`.
fn images(labels: &[&[u8]]) -> Vec<u8> {
    let image = |(index, labels): (usize, &&[u8])| {
        let pixels = (0..3072).map(move |place| (7 * index + place) as u8);
        labels.iter().copied().chain(pixels).collect::<Vec<u8>>()
    };
    labels.iter().enumerate().flat_map(image).collect()
}

fn write_cifar10(folder: &Path) {
    for batch in 1..=5 {
        fs::write(folder.join(format!("data_batch_{batch}.bin")), images(&[&[batch], &[0]])).unwrap();
    }
    fs::write(folder.join("test_batch.bin"), images(&[&[9]])).unwrap();
}

fn message(folder: &Path, set: Set, split: Split) -> String {
    open(folder, set, split).expect_err("a bad folder was read").to_string()
}

fn check_pixels(set: &Arrays<'_>, index: usize, of_file: usize) {
    let expected: Vec<u8> = (0..3072).map(|place| (7 * of_file + place) as u8).collect();
    assert_eq!(set.sample(index).pixels, Pixels::U8(&expected));
}

#[test]
fn batches_are_one_set() {
    let folder = tempfile::tempdir().unwrap();
    write_cifar10(folder.path());
    let train = open(folder.path(), Set::Cifar10, Split::Train).unwrap();
    assert_eq!((train.len(), train.sample_shape(), train.num_classes()), (10, [3, 32, 32], 10));
    assert_eq!(train.labels(), [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]);
    assert_eq!(train.class_names()[..2], ["airplane", "automobile"]);
    check_pixels(&train, 5, 1);
    // (0 - 0.4914) / 0.2470, and so on for 255.
    let normalization = train.normalization();
    assert!((normalization.shift()[0] + 0.4914 / 0.2470).abs() < 1e-12);
    assert!((255.0 * normalization.scale()[2] - 1.0 / 0.2616).abs() < 1e-12);
    let test = open(folder.path(), Set::Cifar10, Split::Test).unwrap();
    assert_eq!((test.len(), test.labels()), (1, &[9][..]));
    let opened = isograd_datasets::open::open(folder.path(), None, &OpenOptions::default()).unwrap();
    assert_eq!((opened.format, opened.train.len(), opened.test.unwrap().len()), (Format::Cifar, 10, 1));
}

#[test]
fn cifar100_has_fine_and_coarse_labels_and_names() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("cifar-100-binary");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("train.bin"), images(&[&[19, 99], &[3, 0]])).unwrap();
    fs::write(inner.join("test.bin"), images(&[&[1, 2]])).unwrap();
    let names: Vec<String> = (0..100).map(|class| format!("class_{class}")).collect();
    fs::write(inner.join("fine_label_names.txt"), format!("{}\n\n", names.join("\n"))).unwrap();
    let fine = open(folder.path(), Set::Cifar100, Split::Train).unwrap();
    assert_eq!((fine.labels(), fine.num_classes(), fine.class_names()), (&[99, 0][..], 100, &names[..]));
    check_pixels(&fine, 1, 1);
    let coarse = open(&inner, Set::Cifar100Coarse, Split::Train).unwrap();
    assert_eq!((coarse.labels(), coarse.num_classes()), (&[19, 3][..], 20));
    fs::write(inner.join("fine_label_names.txt"), "one\ntwo\n").unwrap();
    let text = message(folder.path(), Set::Cifar100, Split::Test);
    assert!(text.ends_with("fine_label_names.txt: has 2 names of classes, expected 100"), "{text}");
}

#[test]
fn the_archive_is_read_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, format!("cifar-10-batches-bin/{name}"), bytes).unwrap();
    };
    add("batches.meta.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
    for batch in [3, 1, 2, 5, 4] {
        add(&format!("data_batch_{batch}.bin"), &images(&[&[batch]]));
    }
    add("test_batch.bin", &images(&[&[7]]));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&archive.into_inner().unwrap()).unwrap();
    let bytes = encoder.finish().unwrap();
    let path = folder.path().join("cifar-10-binary.tar.gz");
    fs::write(&path, &bytes).unwrap();
    for place in [folder.path(), &path] {
        let train = open(place, Set::Cifar10, Split::Train).unwrap();
        assert_eq!((train.labels(), train.class_names()[9].as_str()), (&[1, 2, 3, 4, 5][..], "j"));
        assert_eq!(open(place, Set::Cifar10, Split::Test).unwrap().labels(), [7]);
    }
    for length in [20, bytes.len() / 2] {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(message(&path, Set::Cifar10, Split::Train).contains("cifar-10-binary.tar.gz"));
    }
}

#[test]
fn damaged_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let text = message(path, Set::Cifar10, Split::Train);
    assert!(text.contains("looked for test_batch.bin, cifar-10-batches-bin/test_batch.bin"), "{text}");
    write_cifar10(path);
    let good = images(&[&[1], &[2]]);
    for (bytes, part) in [
        (&good[..good.len() - 1], "data_batch_3.bin: 6145 bytes are not a number of whole images of 3073"),
        (&[][..], "data_batch_3.bin: 0 bytes are not"),
        (&images(&[&[1], &[10]]), "data_batch_3.bin: label 10 of image 1 is not below 10"),
    ] {
        fs::write(path.join("data_batch_3.bin"), bytes).unwrap();
        let text = message(path, Set::Cifar10, Split::Train);
        assert!(text.contains(part), "{text}");
    }
    fs::remove_file(path.join("data_batch_3.bin")).unwrap();
    assert!(message(path, Set::Cifar10, Split::Train).contains("data_batch_3.bin"));
}
