//! Arrays and tar files that numpy, safetensors and tarfile wrote (`golden/arrays.py`), and damaged ones.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use isograd_datasets::augment::{Augmented, HorizontalFlip};
use isograd_datasets::images::ImageOptions;
use isograd_datasets::images::shards::TarShards;
use isograd_datasets::open::{Format, OpenOptions, Opened};
use isograd_datasets::tensors::{self, NpzChunks};
use isograd_datasets::{
    Dataset, Normalization, Normalized, Pixels, Request, SampleBuffer, Subset, Target, shuffled_split,
};

fn file(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/arrays")).join(name)
}

fn open(path: &Path) -> Result<Opened, String> {
    isograd_datasets::open::open(path, None, &OpenOptions::default()).map_err(|error| error.to_string())
}

/// Sample `index` of the script, `[3, 4, 5]`.
fn pixels(index: usize) -> Vec<u8> {
    (0..60).map(|place| (10 * index + place) as u8).collect()
}

/// Checks that samples and classes are those of the script from `first` on.
fn check(set: &dyn Dataset, first: usize, len: usize) {
    assert_eq!((set.len(), set.sample_shape()), (len, [3, 4, 5]));
    let mut buffer = SampleBuffer::new();
    // Not in order: nothing depends on who reads what before.
    for index in (0..len).rev().chain(0..len) {
        let sample = set.read(Request::new(index), &mut buffer).unwrap();
        let expected = pixels(first + index);
        match sample.pixels {
            Pixels::U8(bytes) => assert_eq!(bytes, expected, "{}", set.describe(index)),
            Pixels::F32(values) => {
                assert!(values.iter().zip(&expected).all(|(value, byte)| *value * 4.0 == f32::from(*byte)));
            }
        }
        if let Target::Class(class) = sample.target {
            assert_eq!(class as usize, (first + index) % 3);
        }
    }
}

#[test]
fn arrays_are_read_in_every_layout() {
    let set = open(&file("nchw.npz")).unwrap();
    assert_eq!((set.format, set.train.num_classes()), (Format::Arrays, 3));
    check(&*set.train, 0, 6);
    check(&*set.test.unwrap(), 6, 2);
    let set = open(&file("nhwc.npz")).unwrap();
    check(&*set.train, 0, 6);
    assert!(set.test.is_none());
    let set = open(&file("from_one.npz")).unwrap();
    assert_eq!(set.train.num_classes(), 3);
    check(&*set.train, 0, 6);
    let set = open(&file("tensors.safetensors")).unwrap();
    check(&*set.train, 0, 6);
    check(&*set.test.unwrap(), 6, 2);
}

#[test]
fn floats_and_targets_of_numbers_stay_what_they_are() {
    let set = open(&file("floats.npz")).unwrap().train;
    check(&*set, 0, 6);
    assert_eq!((set.num_classes(), set.target_values()), (0, Some(2)));
    assert_eq!(set.normalization(), &Normalization::identity(3));
    let mut buffer = SampleBuffer::new();
    let sample = set.read(Request::new(4), &mut buffer).unwrap();
    assert_eq!(sample.target, Target::Values(&[1.5, 1.25]));
}

/// The script's classes are oak, bär and ash; texts are sorted.
#[test]
fn classes_have_the_names_that_a_file_lists() {
    for name in ["named.npz", "named.safetensors"] {
        let set = open(&file(name)).unwrap().train;
        check(&*set, 0, 6);
        assert_eq!(set.class_names(), ["oak", "bär", "ash"], "{name}");
    }
    let classes = |set: &dyn Dataset| -> Vec<u32> {
        let class = |index| {
            set.read(Request::new(index), &mut SampleBuffer::new()).unwrap().target.class().expect("a class")
        };
        (0..set.len()).map(class).collect()
    };
    let set = open(&file("texts.npz")).unwrap();
    assert_eq!(set.train.class_names(), ["ash", "bär", "oak"]);
    assert_eq!(classes(&*set.train), [2, 1, 0, 2, 1, 0]);
    assert_eq!(classes(&*set.test.unwrap()), [2, 0]);
    let set = open(&file("chunks")).unwrap().train;
    assert_eq!((set.class_names(), set.num_classes()), (&["ash", "bär", "oak"].map(str::to_string)[..], 3));
    assert_eq!(classes(&*set), [2, 1, 0, 2, 1, 0, 2, 1, 0, 2, 1, 0]);
    let other = tensors::open(&file("named.npz"), Some(&file("named.safetensors"))).unwrap();
    assert_eq!(other.test.unwrap().class_names(), ["oak", "bär", "ash"]);
    let text = tensors::open(&file("named.npz"), Some(&file("texts.npz"))).err().unwrap().to_string();
    assert!(text.contains("'y_test' has texts, expected classes, a whole number for each sample"), "{text}");
}

#[test]
fn arrays_that_are_no_set_are_refused() {
    for (name, part) in [
        ("pickled.npz", "array 'y' holds pickled objects"),
        ("by_columns.npz", "array 'x' is stored by columns; numpy.ascontiguousarray"),
        ("unequal.npz", "'x' has 6 samples, 'y' has 5 targets"),
        ("other_names.npz", "has the arrays weights, bias; expected"),
    ] {
        let text = open(&file(name)).err().expect("an error");
        assert!(text.contains(name) && text.contains(part), "{text}");
    }
    let nowhere = open(&file("nowhere.npz")).err().unwrap();
    assert!(nowhere.starts_with("cannot read ") && nowhere.contains("nowhere.npz"), "{nowhere}");
}

#[test]
fn a_changed_value_is_found_by_the_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.npz");
    let mut bytes = fs::read(file("nchw.npz")).unwrap();
    let values = bytes.windows(5).position(|values| values == [10, 11, 12, 13, 14]).expect("sample 1");
    bytes[values] ^= 1;
    fs::write(&path, bytes).unwrap();
    let text = open(&path).err().expect("an error");
    assert!(text.contains("changed.npz: array 'x_train'"), "{text}");
}

#[test]
fn several_files_are_one_set() {
    for folder in ["stored", "packed"] {
        let set = open(&file(folder)).unwrap();
        assert_eq!((set.format, set.train.num_classes()), (Format::Arrays, 3), "{folder}");
        check(&*set.train, 0, 12);
        assert!(set.train.describe(4).contains("number 0 of "));
    }
    let paths: Vec<PathBuf> = ["a", "b", "c"].map(|name| file("packed").join(format!("{name}.npz"))).into();
    // Room for one file, so for a window of one: the samples of a file come together.
    let set = NpzChunks::open(&paths, 1).unwrap();
    check(&set, 0, 12);
    let mut order = [0; 12];
    set.order(3, 1, &mut order);
    let chunk = |index: u32| [4, 7, 12].iter().position(|end| index < *end).unwrap();
    let changes = order.windows(2).filter(|pair| chunk(pair[0]) != chunk(pair[1])).count();
    assert_eq!(changes, 2, "{order:?}");
    // A part of the set keeps them together, too.
    let (part, mut order) = (Subset::new(&set, 2..9), [0; 7]);
    part.order(3, 1, &mut order);
    let changes = order.windows(2).filter(|pair| chunk(pair[0] + 2) != chunk(pair[1] + 2)).count();
    order.sort_unstable();
    assert_eq!((changes, order), (2, [0, 1, 2, 3, 4, 5, 6]));
    let other = NpzChunks::open(&paths[..2], 1).unwrap();
    assert_ne!(set.digest().unwrap(), other.digest().unwrap());
}

#[test]
fn threads_share_unpacked_files() {
    let paths: Vec<PathBuf> = ["a", "b", "c"].map(|name| file("packed").join(format!("{name}.npz"))).into();
    let set = NpzChunks::open(&paths, 500).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| check(&set, 0, 12));
        }
    });
}

#[test]
fn tar_files_are_read_with_their_parts() {
    let set = open(&file("shards")).unwrap();
    assert_eq!((set.format, set.train.num_classes()), (Format::Shards, 3));
    check(&*set.train, 0, 7);
    assert!(set.train.describe(3).contains("./data/0003 in ") && set.test.is_none());
    check(&*set.validation.unwrap(), 7, 2);
    let one = open(&file("shards/train-001.tar")).unwrap();
    check(&*one.train, 3, 4);
}

/// macOS keeps attributes of files in hidden ones beside them, in archives and on disks of others.
#[test]
fn hidden_files_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let image = fs::read(file("../images/rgb.png")).unwrap();
    let members =
        [("._1.png", &b"no image"[..]), ("1.png", &image), ("a/._1.cls", b"no class"), ("1.cls", b"0")];
    fs::write(folder.path().join("train.tar"), tar(&members)).unwrap();
    fs::write(folder.path().join("._train.tar"), "no archive").unwrap();
    fs::create_dir(folder.path().join("val")).unwrap();
    fs::write(folder.path().join("val/._1.tar"), "no archive").unwrap();
    let set = open(folder.path()).unwrap();
    assert_eq!((set.train.len(), set.validation.is_none()), (1, true));
    // A folder of hidden folders has no classes.
    let empty = tempfile::tempdir().unwrap();
    fs::create_dir(empty.path().join(".git")).unwrap();
    let text = open(empty.path()).err().unwrap();
    assert!(text.contains("neither folders nor known files"), "{text}");
}

#[test]
fn a_tar_file_that_breaks_off_is_an_error() {
    let whole = fs::read(file("shards/train-000.tar")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.tar");
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        TarShards::open(std::slice::from_ref(&path), &ImageOptions::default()).map(|set| set.len())
    };
    let content = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let last = content.div_ceil(512) * 512;
    assert_eq!(open(&whole).unwrap(), 3);
    // Inside a header, inside an image, behind an image, behind the last member.
    for length in [100, 512 + 40, 1024, 1024 + 300, last] {
        let text = open(&whole[..length]).unwrap_err().to_string();
        assert!(text.contains("cut.tar") && text.contains("byte "), "{length}: {text}");
    }
    assert!(open(b"").is_err());
    // As `cat` joins files: the second one would be lost.
    let text = open(&whole.repeat(2)).unwrap_err().to_string();
    assert!(text.contains("something follows the end of the archive"), "{text}");
    let mut no_class = whole.clone();
    let name = no_class.windows(8).position(|name| name == b"0001.cls").unwrap();
    no_class[name + 7] = b'x';
    assert!(open(&no_class).is_err(), "the checksum of the header is wrong");
}

/// A tar file with members of these names and contents.
fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, contents) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        builder.append_data(&mut header, name, *contents).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn a_sample_of_a_tar_file_has_one_image() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.tar");
    let image = |name: &str| fs::read(file(&format!("../images/{name}"))).unwrap();
    let (photo, mask) = (image("rgb.png"), image("turned_6.jpg"));
    let open = |members: &[(&str, &[u8])]| {
        fs::write(&path, tar(members)).unwrap();
        open(&path)
    };
    let masked = [("0001.png", &photo[..]), ("0001.seg.jpg", &mask), ("0001.cls", b"0")];
    for members in [masked, [masked[1], masked[0], masked[2]]] {
        assert_eq!(open(&members).unwrap().train.sample_shape(), [3, 17, 23]);
    }
    let text = open(&[("0001.png", &photo), ("0001.jpg", &mask), ("0001.cls", b"0")]).err().unwrap();
    assert!(text.ends_with("train.tar: sample 0001 has two images"), "{text}");
    let text = open(&masked[1..]).err().unwrap();
    assert!(text.ends_with("train.tar: sample 0001 has no image"), "{text}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(500))]
    /// Whatever a file holds, it is a set or an error that names the file: no panic, and no more memory than
    /// it has bytes for.
    #[test]
    fn damaged_files_are_errors_or_sets(
        which in 0_usize..8,
        cut in 0.0..1.2_f64,
        changes in proptest::collection::vec((0.0..1.0_f64, proptest::num::u8::ANY), 0..8),
    ) {
        let names = [
            "nchw.npz", "nhwc.npz", "floats.npz", "tensors.safetensors", "shards/train-000.tar", "named.npz", "texts.npz",
            "named.safetensors",
        ];
        let mut bytes = fs::read(file(names[which])).unwrap();
        bytes.truncate((cut * bytes.len() as f64) as usize);
        for (place, value) in changes {
            let length = bytes.len();
            if let Some(byte) = bytes.get_mut((place * length as f64) as usize) {
                *byte = value;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Path::new(names[which]).file_name().unwrap());
        fs::write(&path, bytes).unwrap();
        match open(&path) {
            Err(text) => proptest::prop_assert!(text.contains(&*folder.path().to_string_lossy()), "{}", text),
            Ok(set) => {
                let mut buffer = SampleBuffer::new();
                for index in 0..set.train.len() {
                    let _ = set.train.read(Request::new(index), &mut buffer);
                }
            }
        }
        if names[which].ends_with("npz") {
            let _ = NpzChunks::open(std::slice::from_ref(&path), 1 << 20);
            let _ = tensors::open(&path, Some(&path));
        }
    }
}

/// An npy file of bytes or of 64-bit labels.
fn npy(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), values].concat()
}

#[test]
fn npy_files_lie_beside_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, contents: Vec<u8>| fs::write(folder.path().join(name), contents).unwrap();
    let labels = |labels: &[i64]| {
        npy(
            "<i8",
            &format!("({},)", labels.len()),
            &labels.iter().flat_map(|l| l.to_le_bytes()).collect::<Vec<_>>(),
        )
    };
    write("x.npy", npy("|u1", "(3, 2, 2)", &(0..12).collect::<Vec<_>>()));
    write("y.npy", labels(&[1, 0, 1]));
    write("x_test.npy", npy("|u1", "(1, 2, 2)", &[9; 4]));
    write("test-labels.npy", labels(&[1]));
    write("notes.npy", b"no array".to_vec());
    let path = folder.path().join("x.npy");
    let set = open(&path).unwrap();
    assert_eq!((set.train.len(), set.train.sample_shape(), set.train.num_classes()), (3, [1, 2, 2], 2));
    let mut buffer = SampleBuffer::new();
    let sample = set.train.read(Request::new(2), &mut buffer).unwrap();
    assert_eq!((sample.pixels.bytes().unwrap(), sample.target.class()), (&[8, 9, 10, 11][..], Some(1)));
    assert_eq!(set.test.unwrap().len(), 1);
    fs::remove_file(folder.path().join("y.npy")).unwrap();
    let text = open(&path).err().unwrap().to_string();
    assert!(text.contains("expected samples and targets"), "{text}");
}

/// A zip file with deflated members.
fn zip(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for (name, contents) in members {
        let mut crc = flate2::Crc::new();
        crc.update(contents);
        let mut packed = Vec::new();
        let mut encoder = flate2::read::DeflateEncoder::new(&contents[..], flate2::Compression::default());
        encoder.read_to_end(&mut packed).unwrap();
        let lengths = [crc.sum(), packed.len() as u32, contents.len() as u32, name.len() as u32];
        let shared = [&[8, 0, 0, 0, 0, 0][..], &lengths.map(u32::to_le_bytes).concat()].concat();
        let start = (zip.len() as u32).to_le_bytes();
        zip.extend([b"PK\x03\x04\x14\0\0\0", &shared[..], name.as_bytes(), &packed].concat());
        directory
            .extend([b"PK\x01\x02\x14\0\x14\0\0\0", &shared[..], &[0; 10], &start, name.as_bytes()].concat());
    }
    let (count, start) = ((members.len() as u16).to_le_bytes(), (zip.len() as u32).to_le_bytes());
    let bytes = (directory.len() as u32).to_le_bytes();
    [zip, directory, [&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &bytes, &start, &[0, 0]].concat()].concat()
}

/// Whichever of its arrays come first in the file, none is dropped in silence or taken for another part.
#[test]
fn one_of_several_files_has_one_part() {
    let folder = tempfile::tempdir().unwrap();
    let labels = |value: u8| npy("<i8", "(2,)", &[[value, 0, 0, 0, 0, 0, 0, 0], [0; 8]].concat());
    let samples = |value: u8| npy("|u1", "(2, 1, 1)", &[value; 2]);
    let arrays = [
        ("x_train.npy", samples(1)),
        ("y_train.npy", labels(1)),
        ("x_test.npy", samples(2)),
        ("y_test.npy", labels(1)),
    ];
    let path = folder.path().join("set.npz");
    for order in [[0, 1, 2, 3], [2, 3, 0, 1], [0, 2, 3, 1], [3, 0, 1, 2]] {
        fs::write(&path, zip(&order.map(|place: usize| arrays[place].clone()))).unwrap();
        let text = open(folder.path()).err().expect("an error");
        let part = "set.npz: has arrays of several parts, such as ";
        assert!(text.contains(part), "{text}");
        assert_eq!(open(&path).unwrap().test.unwrap().len(), 2);
    }
    // Of one part, whatever it is called.
    for part in [&arrays[..2], &arrays[2..]] {
        fs::write(&path, zip(part)).unwrap();
        assert_eq!(open(folder.path()).unwrap().train.len(), 2);
    }
}

/// ImageNet in the prior art's form: chunks of bytes `[N, C, H, W]` with labels of 16 bits from 1, here
/// not of one length and packed. A random split of them validates on samples of each file, and the order
/// of both parts keeps those of a file together.
#[test]
fn chunks_of_imagenet_are_split_by_file() {
    let folder = tempfile::tempdir().unwrap();
    for (chunk, samples) in [40_usize, 30, 50].into_iter().enumerate() {
        let labels: Vec<u8> =
            (0..samples).flat_map(|index| (1 + (index * 7 + chunk) as i16 % 10).to_le_bytes()).collect();
        let x = npy("|u1", &format!("({samples}, 3, 4, 4)"), &vec![chunk as u8; samples * 48]);
        let members = [("x.npy", x), ("y.npy", npy("<i2", &format!("({samples},)"), &labels))];
        fs::write(folder.path().join(format!("train-{chunk}.npz")), zip(&members)).unwrap();
    }
    let set = open(folder.path()).unwrap();
    assert_eq!((set.train.len(), set.train.sample_shape(), set.train.num_classes()), (120, [3, 4, 4], 10));
    let mut buffer = SampleBuffer::new();
    let first = set.train.read(Request::new(0), &mut buffer).unwrap();
    assert_eq!(first.target.class(), Some(0));
    let parts = shuffled_split(&*set.train, 0.1).unwrap();
    let file = |part: &Subset<'_>, index: usize| {
        part.read(Request::new(index), &mut SampleBuffer::new()).unwrap().pixels.bytes().unwrap()[0]
    };
    let files: Vec<u8> = (0..12).map(|index| file(&parts.validation, index)).collect();
    assert_eq!(files, [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2]);
    // Through adapters, one file after the other where one is mixed at a time.
    let train =
        NpzChunks::open(&[0, 1, 2].map(|chunk| folder.path().join(format!("train-{chunk}.npz"))), 1).unwrap();
    let parts = shuffled_split(&train, 0.1).unwrap();
    let normalized = Normalized::new(&parts.train, Normalization::identity(3)).unwrap();
    let augmented = Augmented::new(&normalized, 1, [HorizontalFlip::default().into()]).unwrap();
    let outer = Subset::new(&augmented, 10..100);
    let mut order = vec![0; outer.len()];
    outer.order(3, 1, &mut order);
    let file = |index: u32| {
        outer.read(Request::new(index as usize), &mut SampleBuffer::new()).unwrap().pixels.bytes().unwrap()[0]
    };
    let mut files: Vec<u8> = order.iter().map(|index| file(*index)).collect();
    files.dedup();
    assert_eq!(files.len(), 3, "{files:?}");
    order.sort_unstable();
    assert!(order.into_iter().eq(0..90));
}
