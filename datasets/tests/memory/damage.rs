//! Files of every format, cut off or changed at random: each is a data set or an error, within a bound of
//! memory.

use std::fs;
use std::path::{Path, PathBuf};

use isograd_datasets::images::{Colour, ImageFiles};
use isograd_datasets::inputs::open_arrays;
use isograd_datasets::open::{OpenOptions, open};
use isograd_datasets::{Dataset, Request, SampleBuffer};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::allocator::Memory;
use crate::files::{gzip, idx, npy, with_checksums, zip};

/// What is taken whatever the length of a file: buffers of readers and decoders, and small tables.
const FIXED_BYTES: usize = 4 << 20;
/// How many values a byte of a packed file can stand for, as deflate packs them at most.
const MAX_EXPANSION: usize = 1032;
/// How many bytes of pixels a byte of an image can stand for: 512 pixels of three channels, of which a
/// decoder may keep coefficients in two bytes, beside the image and the sample.
const MAX_IMAGE_EXPANSION: usize = 512 * 3 * 4;

/// A change of a file. Places are shares of its length.
#[derive(Clone, Debug)]
enum Damage {
    CutOff(f64),
    Flip(f64, u8),
    Set(f64, u8),
    /// A number as lengths are: in two, four or eight bytes, of one order or the other.
    Number(f64, u64, usize, bool),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len() as f64;
        let place = |share: f64| (share * length) as usize;
        match *self {
            Self::CutOff(share) => bytes.truncate(place(share)),
            Self::Flip(share, bit) => {
                let place = place(share);
                bytes.get_mut(place).into_iter().for_each(|byte| *byte ^= 1 << bit);
            }
            Self::Set(share, value) => {
                let place = place(share);
                bytes.get_mut(place).into_iter().for_each(|byte| *byte = value);
            }
            Self::Number(share, value, width, is_big_endian) => {
                let place = place(share);
                let little = value.to_le_bytes();
                for (index, byte) in bytes.iter_mut().skip(place).take(width).enumerate() {
                    *byte = if is_big_endian { little[width - 1 - index] } else { little[index] };
                }
            }
        }
    }
}

/// One to four changes; half of them near the beginning, where headers are.
fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let place = || prop_oneof![0.0..1.0_f64, (0.0..1.0_f64).prop_map(|share| share * share * share * share)];
    let number = prop_oneof![
        Just(u64::MAX),
        Just(u64::from(u32::MAX)),
        Just(i64::MAX as u64),
        Just(i32::MAX as u64),
        Just(0),
        1..70_000_u64,
    ];
    let damage = prop_oneof![
        place().prop_map(Damage::CutOff),
        (place(), 0..8_u8).prop_map(|(place, bit)| Damage::Flip(place, bit)),
        (place(), any::<u8>()).prop_map(|(place, value)| Damage::Set(place, value)),
        (place(), number, prop_oneof![Just(2), Just(4), Just(8)], any::<bool>())
            .prop_map(|(place, number, width, order)| Damage::Number(place, number, width, order)),
    ];
    prop::collection::vec(damage, 1..5)
}

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Opens the set at `path` and reads all samples, as far as that goes.
fn read_all(path: &Path) {
    let Ok(opened) = open(path, None, &OpenOptions::default()) else { return };
    let mut buffer = SampleBuffer::new();
    for set in [Some(&opened.train), opened.validation.as_ref(), opened.test.as_ref()].into_iter().flatten() {
        for index in 0..set.len() {
            // An error is as good as a sample.
            let _ = set.read(Request::new(index), &mut buffer);
        }
    }
}

/// Reads the image at `path` as `predict` does.
fn read_image(path: &Path) {
    let set = ImageFiles::new(vec![path.to_owned()], [8, 8], None, Colour::Rgb);
    let _ = set.read(Request::new(0), &mut SampleBuffer::new());
}

/// Reads the arrays at `path` as `predict` does.
fn read_arrays(path: &Path) {
    let _ = open_arrays(path, [1, 4, 4]);
}

/// Damages `whole` in many ways, writes it with `write` into a folder, and reads it there.
fn survives(
    what: &str,
    cases: u32,
    whole: &[u8],
    most_bytes: usize,
    write: impl Fn(Vec<u8>, &Path) -> PathBuf,
    read: impl Fn(&Path),
) {
    let memory = Memory::alone();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    // The same cases everywhere.
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let check = |damages: Vec<Damage>| {
        let mut bytes = whole.to_vec();
        damages.iter().for_each(|damage| damage.apply(&mut bytes));
        let folder = tempfile::tempdir().expect("a folder");
        let path = write(bytes, folder.path());
        let (most, ()) = memory.most_during(|| read(&path));
        prop_assert!(most <= most_bytes, "{what}: {most} bytes were in use, at most {most_bytes} may be");
        Ok(())
    };
    if let Err(error) = runner.run(&damages(), check) {
        panic!("{what}: {error}");
    }
}

/// Writes a file called `name`, made of what `wrap` makes of the damaged bytes.
fn file(name: &str, wrap: impl Fn(Vec<u8>) -> Vec<u8>) -> impl Fn(Vec<u8>, &Path) -> PathBuf {
    move |bytes, folder| {
        let path = folder.join(name);
        fs::write(&path, wrap(bytes)).expect("room for a file");
        path
    }
}

#[test]
fn damaged_idx_files() {
    let values: Vec<u8> = (0..20 * 16).map(|value| value as u8).collect();
    let (images, labels) = (idx(&[20, 4, 4], &values), idx(&[20], &[1; 20]));
    let pair = |images: Vec<u8>, labels: Vec<u8>, folder: &Path| {
        fs::write(folder.join("train-images-idx3-ubyte"), images).expect("room for a file");
        fs::write(folder.join("train-labels-idx1-ubyte"), labels).expect("room for a file");
        folder.to_owned()
    };
    let most = FIXED_BYTES + 8 * images.len();
    survives("IDX images", 400, &images, most, |bytes, folder| pair(bytes, labels.clone(), folder), read_all);
    survives("IDX labels", 200, &labels, most, |bytes, folder| pair(images.clone(), bytes, folder), read_all);
    survives("an IDX file", 200, &images, most, file("x.idx", |bytes| bytes), read_arrays);
    // Damaged and packed, and packed and damaged.
    survives("IDX in gzip", 200, &images, most, file("x.gz", |bytes| gzip(&bytes)), read_arrays);
    let packed = gzip(&images);
    let most = FIXED_BYTES + 2 * MAX_EXPANSION * packed.len();
    survives("gzip of IDX", 200, &packed, most, file("x.gz", |bytes| bytes), read_arrays);
}

#[test]
fn damaged_cifar_files() {
    let image =
        |label: u8| std::iter::once(label).chain((0..3072).map(|place| place as u8)).collect::<Vec<_>>();
    let batch = [image(1), image(9)].concat();
    let most = FIXED_BYTES + 20 * batch.len();
    let write = |bytes: Vec<u8>, folder: &Path| {
        (2..=5).for_each(|number| {
            fs::write(folder.join(format!("data_batch_{number}.bin")), &batch).expect("room for a file");
        });
        fs::write(folder.join("data_batch_1.bin"), bytes).expect("room for a file");
        fs::write(folder.join("test_batch.bin"), &batch).expect("room for a file");
        folder.to_owned()
    };
    survives("a batch of CIFAR", 150, &batch, most, write, read_all);
    let mut archive = tar::Builder::new(Vec::new());
    for name in (1..=5).map(|number| format!("data_batch_{number}.bin")).chain(["test_batch.bin".to_string()])
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(batch.len() as u64);
        archive.append_data(&mut header, format!("cifar-10-batches-bin/{name}"), &batch[..]).expect("memory");
    }
    let archive = archive.into_inner().expect("memory");
    let most = FIXED_BYTES + 8 * archive.len();
    let name = "cifar-10-binary.tar.gz";
    survives("the archive of CIFAR", 150, &archive, most, file(name, |bytes| gzip(&bytes)), read_all);
    let packed = gzip(&archive);
    let most = FIXED_BYTES + 2 * MAX_EXPANSION * packed.len();
    survives("the packed archive of CIFAR", 150, &packed, most, file(name, |bytes| bytes), read_all);
}

#[test]
fn damaged_arrays() {
    for name in ["nchw.npz", "floats.npz", "from_one.npz", "packed/a.npz", "stored/a.npz", "pickled.npz"] {
        let whole = golden(&format!("arrays/{name}"));
        let most = FIXED_BYTES + 2 * MAX_EXPANSION * whole.len();
        survives(name, 200, &whole, most, file("set.npz", |bytes| bytes), read_all);
    }
    let values: Vec<u8> = (0..64).collect();
    let (samples, labels) = (npy("|u1", "(4, 4, 4)", &values), npy("<i8", "(4,)", &[1, 0, 0, 0].repeat(8)));
    let most = FIXED_BYTES + 16 * (samples.len() + labels.len());
    // With right checksums, so that damage gets behind the zip file's.
    let members = |x: Vec<u8>, y: Vec<u8>| zip(&[("x.npy", x), ("y.npy", y)]);
    survives("samples", 400, &samples, most, file("a.npz", |x| members(x, labels.clone())), read_all);
    survives("targets", 400, &labels, most, file("a.npz", |y| members(samples.clone(), y)), read_all);
    survives("an npy file", 300, &samples, most, file("x.npy", |bytes| bytes), read_arrays);
    let whole = golden("arrays/tensors.safetensors");
    let most = FIXED_BYTES + 16 * whole.len();
    survives("safetensors", 400, &whole, most, file("set.safetensors", |bytes| bytes), read_all);
}

#[test]
fn damaged_tables() {
    let table = b"a,colour,kind\n1,red,\"cat\"\n3,\"light, \"\"blue\"\"\",dog\n\"5\",red,cat\n-6e3,,dog\n";
    let most = FIXED_BYTES + 1000 * table.len();
    for name in ["table.csv", "table.tsv"] {
        survives(name, 400, table, most, file(name, |bytes| bytes), read_all);
    }
}

#[test]
fn damaged_tar_files() {
    let whole = golden("arrays/shards/train-000.tar");
    let most = FIXED_BYTES + MAX_IMAGE_EXPANSION * whole.len();
    survives("a tar file", 400, &whole, most, file("train-000.tar", |bytes| bytes), read_all);
}

#[test]
fn damaged_images() {
    for name in [
        "baseline.jpg",
        "progressive.jpg",
        "cmyk.jpg",
        "grey.jpg",
        "turned_6.jpg",
        "palette.png",
        "grey16.png",
        "one_bit.png",
        "rgba.png",
        "rgb.bmp",
        "palette.bmp",
    ] {
        let whole = golden(&format!("images/{name}"));
        let most = FIXED_BYTES + MAX_IMAGE_EXPANSION * whole.len();
        survives(name, 200, &whole, most, file(name, |bytes| bytes), read_image);
        if name.ends_with(".png") {
            let most = FIXED_BYTES + 4 * MAX_EXPANSION * whole.len();
            survives(name, 300, &whole, most, file(name, with_checksums), read_image);
        }
    }
    // A few bytes of lossless WebP may stand for any number of pixels, of which 2^26 are decoded: to four
    // bytes each by the decoder, which become three of the sample.
    for name in ["lossy.webp", "lossless.webp"] {
        let whole = golden(&format!("images/{name}"));
        survives(name, 60, &whole, FIXED_BYTES + (7 << 26), file(name, |bytes| bytes), read_image);
    }
}

/// The headers of a folder of images are read when it is opened.
#[test]
fn damaged_images_in_folders() {
    for name in ["turned_6.jpg", "rgb.png", "rgb.bmp"] {
        let whole = golden(&format!("images/{name}"));
        let write = |bytes: Vec<u8>, folder: &Path| {
            for class in ["a", "b"] {
                fs::create_dir(folder.join(class)).expect("a folder");
                fs::write(folder.join(class).join(name), &bytes).expect("room for a file");
            }
            folder.to_owned()
        };
        let most = FIXED_BYTES + 2 * MAX_IMAGE_EXPANSION * whole.len();
        survives(name, 100, &whole, most, write, read_all);
    }
}
