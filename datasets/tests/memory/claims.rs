//! Small files that claim to be large.

use std::fs;
use std::path::Path;

use isograd_datasets::images::{Colour, ImageFiles};
use isograd_datasets::open::{OpenOptions, open};
use isograd_datasets::{Dataset, Request, SampleBuffer};

use crate::allocator::Memory;
use crate::files::npz_of_shape;
use crate::png;

/// Opens the data set at `path`, which is none, and checks what was in use meanwhile.
fn refused(memory: &Memory, path: &Path, what: &str) {
    let open = || open(path, None, &OpenOptions::default()).err().map(|error| error.to_string());
    let (most, error) = memory.most_during(open);
    assert!(error.is_some(), "{what} was opened");
    assert!(most < 8 << 20, "{what} took {most} bytes: {error:?}");
}

fn bmp(side: u32) -> Vec<u8> {
    let mut bmp = b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bmp.extend([side.to_le_bytes(), side.to_le_bytes()].concat());
    bmp.extend([1, 0, 24, 0]);
    bmp.resize(70, 0);
    bmp
}

fn jpeg(side: u16) -> Vec<u8> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/images/baseline.jpg");
    let mut jpeg = fs::read(golden).unwrap();
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).expect("a baseline frame");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[side.to_be_bytes(), side.to_be_bytes()].concat());
    jpeg
}

fn webp() -> Vec<u8> {
    let mut webp = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0".to_vec();
    webp.extend([0xff, 0x3f, 0, 0xff, 0x3f, 0]);
    webp
}

/// An image of one pixel, as far as its header goes, whose EXIF data is said to have 2^29 bytes.
fn webp_with_exif() -> Vec<u8> {
    let mut webp = b"RIFF\x26\0\0\0WEBPVP8X\x0a\0\0\0\x08\0\0\0\0\0\0\0\0\0".to_vec();
    webp.extend(b"VP8L\0\0\0\0EXIF\0\0\0\x20");
    webp
}

fn tar() -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("0001.cls").unwrap();
    header.set_size(1 << 32);
    header.set_cksum();
    [header.as_bytes(), &[b'7'; 2048][..]].concat()
}

#[test]
fn large_claims_get_little_memory() {
    let memory = Memory::alone();
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("100_000.png", png::claiming(100_000)),
        ("20_000.png", png::claiming(20_000)),
        ("20_000.bmp", bmp(20_000)),
        ("65_535.jpg", jpeg(65_535)),
        ("16_384.webp", webp()),
    ] {
        let root = folder.path().join(name).with_extension("");
        for class in ["a", "b"] {
            fs::create_dir_all(root.join(class)).unwrap();
            fs::write(root.join(class).join(name), &bytes).unwrap();
        }
        refused(&memory, &root, name);
    }
    let path = folder.path().join("exif.webp");
    fs::write(&path, webp_with_exif()).unwrap();
    let image = ImageFiles::new(vec![path], [8, 8], None, Colour::Rgb);
    let read = || image.read(Request::new(0), &mut SampleBuffer::new()).is_err();
    let (most, is_refused) = memory.most_during(read);
    assert!(is_refused && most < 8 << 20, "exif.webp took {most} bytes");
    for (name, bytes) in [
        ("huge.npz", npz_of_shape("(100000, 3, 1000, 1000)")),
        ("overflow.npz", npz_of_shape("(4294967296, 4294967296, 2)")),
        ("huge.safetensors", [&(1_u64 << 40).to_le_bytes()[..], b"{}"].concat()),
        ("huge.tar", tar()),
        ("huge-cifar-10.tar", tar()),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        refused(&memory, &path, name);
    }
}
