//! Small files that claim to be large get little memory, in all threads together.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use isograd_datasets::open::{OpenOptions, open};

/// The system allocator, which adds up what is in use and keeps the most.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn add(bytes: usize) {
    let in_use = IN_USE.fetch_add(bytes, Relaxed) + bytes;
    MOST.fetch_max(in_use, Relaxed);
}

// SAFETY: every call goes to `System` with the caller's arguments, so its guarantees are those of `System`;
// counting touches two statics and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: `block` came from `System` with this layout, because all of them do.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        add(new_size);
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as for `dealloc`, and the caller keeps the contract on `new_size`.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Opens the data set at `path`, which is none, and checks what was in use meanwhile.
fn refused(path: &Path, what: &str) {
    let before = IN_USE.load(Relaxed);
    MOST.store(before, Relaxed);
    let error = open(path, None, &OpenOptions::default()).err().map(|error| error.to_string());
    let most = MOST.load(Relaxed) - before;
    assert!(error.is_some(), "{what} was opened");
    assert!(most < 8 << 20, "{what} took {most} bytes: {error:?}");
}

fn png(side: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend([side.to_be_bytes(), side.to_be_bytes()].concat());
    header.extend([8, 6, 0, 0, 0]);
    let mut crc = flate2::Crc::new();
    crc.update(&header);
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    png.extend(header);
    png.extend(crc.sum().to_be_bytes());
    png.extend(b"\0\0\0\x0aIDAT\x78\xda\x63\0\0\0\x01\0\x01\0\0\0\0");
    png
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

/// A zip file with one member, stored, that is an npy file with this shape and no values.
fn npz(shape: &str) -> Vec<u8> {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut npy = b"\x93NUMPY\x01\0".to_vec();
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&npy);
    let (crc, length) = (crc.sum().to_le_bytes(), (npy.len() as u32).to_le_bytes());
    let shared = [&[0, 0, 0, 0, 0, 0][..], &[0, 0], &crc, &length, &length, &[5, 0, 0, 0]].concat();
    let mut zip = [b"PK\x03\x04\x14\0", &shared[..], b"x.npy", &npy].concat();
    let start = zip.len() as u32;
    let entry = [b"PK\x01\x02\x14\0\x14\0", &shared[..], &[0; 14], b"x.npy"].concat();
    zip.extend(&entry);
    zip.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    zip.extend((entry.len() as u32).to_le_bytes());
    zip.extend(start.to_le_bytes());
    zip.extend([0, 0]);
    zip
}

fn tar() -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("0001.cls").unwrap();
    header.set_size(1 << 32);
    header.set_cksum();
    [header.as_bytes(), &[b'7'; 2048][..]].concat()
}

/// One test, as the numbers are those of the whole program.
#[test]
fn large_claims_get_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("100_000.png", png(100_000)),
        ("20_000.png", png(20_000)),
        ("20_000.bmp", bmp(20_000)),
        ("65_535.jpg", jpeg(65_535)),
        ("16_384.webp", webp()),
    ] {
        let root = folder.path().join(name).with_extension("");
        for class in ["a", "b"] {
            fs::create_dir_all(root.join(class)).unwrap();
            fs::write(root.join(class).join(name), &bytes).unwrap();
        }
        refused(&root, name);
    }
    for (name, bytes) in [
        ("huge.npz", npz("(100000, 3, 1000, 1000)")),
        ("overflow.npz", npz("(4294967296, 4294967296, 2)")),
        ("huge.safetensors", [&(1_u64 << 40).to_le_bytes()[..], b"{}"].concat()),
        ("huge.tar", tar()),
        ("huge-cifar-10.tar", tar()),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        refused(&path, name);
    }
}
