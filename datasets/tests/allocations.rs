//! What the IDX reader allocates for files that lie about their size, arbitrary and damaged files included,
//! and that the shuffle and augmented samples allocate nothing.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{gzip, idx};
use isograd_datasets::augment::{
    AlternatingFlip, Augmented, ColorJitter, CutMix, Cutout, HorizontalFlip, Mixing, Mixup, RandomCrop,
    ResizedCrop, Rotation,
};
use isograd_datasets::idx::{Idx, from_bytes};
use isograd_datasets::{Dataset, Error, FileError, Request, SampleBuffer, Synthetic, epoch_order};
use proptest::prelude::*;

/// The system allocator, which adds up what each thread asks for.
struct Counting;

thread_local! {
    static REQUESTED_BYTES: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    REQUESTED_BYTES.set(REQUESTED_BYTES.get().saturating_add(bytes));
}

// SAFETY: every call goes to `System` with the caller's arguments, so its guarantees are those of `System`;
// counting touches a thread-local without destructor and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from `System` with this layout, because all of them do.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        // SAFETY: as for `dealloc`, and the caller keeps the contract on `new_size`.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `f` and says how many bytes this thread requested meanwhile, freed ones included.
fn requested_bytes<R>(f: impl FnOnce() -> R) -> (R, usize) {
    let before = REQUESTED_BYTES.get();
    let result = f();
    (result, REQUESTED_BYTES.get() - before)
}

/// The state of a decoder, its window and small change.
const FIXED_BYTES: usize = 1 << 17;

/// Reads `bytes` and checks what was allocated against their length, and against `content_bytes`, an upper
/// bound of what is really inside them.
fn read_within_bounds(bytes: &[u8], content_bytes: usize) -> Result<Idx, Error> {
    let (result, requested) = requested_bytes(|| from_bytes("fuzz", bytes));
    // The first guess is at most 16 times the file; doubling from there adds up to at most 4 times the
    // content.
    let bound = FIXED_BYTES + 16 * bytes.len() + 4 * content_bytes;
    assert!(requested <= bound, "{requested} bytes requested for a file of {}, bound {bound}", bytes.len());
    if let Ok(idx) = &result {
        assert_eq!(idx.data().len(), idx.dims().iter().product::<usize>());
    }
    result
}

#[test]
fn a_large_claim_on_a_small_file_gets_little_memory() {
    for dims in [&[u32::MAX][..], &[u32::MAX, 1 << 30], &[60_000, 28, 28]] {
        let file = idx(dims, &[1; 100]);
        let error = read_within_bounds(&file, file.len()).unwrap_err();
        let got = file.len() as u64;
        assert!(
            matches!(error, Error::File(FileError::Truncated { got_bytes, .. }) if got_bytes == got),
            "{error}"
        );
        let packed = gzip(&file);
        let error = read_within_bounds(&packed, file.len()).unwrap_err();
        let got = packed.len() as u64;
        assert!(
            matches!(error, Error::File(FileError::GzipTooSmall { gzip_bytes, .. }) if gzip_bytes == got),
            "{error}"
        );
    }
}

/// A claim that a file of this length cannot hold is refused before its content is decoded, however much that
/// is; one that it could hold is believed as far as there is content.
#[test]
fn a_claim_beyond_what_deflate_can_hold_is_refused_before_the_content_is_decoded() {
    let content = vec![0; 20_000_000];
    let packed = gzip(&idx(&[u32::MAX, 4000], &content));
    let error = read_within_bounds(&packed, 0).unwrap_err();
    let most = (MAX_EXPANSION * packed.len()) as u64;
    assert!(
        matches!(error, Error::File(FileError::GzipTooSmall { most_bytes, .. }) if most_bytes == most),
        "{error}"
    );

    let packed = gzip(&idx(&[20_000_001], &content));
    let error = read_within_bounds(&packed, content.len()).unwrap_err();
    assert!(matches!(error, Error::File(FileError::Truncated { got_bytes: 20_000_008, .. })), "{error}");
    let packed = gzip(&idx(&[20_000_000], &content));
    assert_eq!(read_within_bounds(&packed, content.len()).unwrap().data(), content);
}

#[test]
fn a_small_claim_on_a_large_content_gets_little_memory() {
    let bomb = gzip(&idx(&[16], &vec![0; 20_000_000]));
    assert!(bomb.len() < 25_000, "{} bytes are too many for this test", bomb.len());
    let error = read_within_bounds(&bomb, 16).unwrap_err();
    assert!(matches!(error, Error::File(FileError::TooLong { expected_bytes: 24, .. })), "{error}");
}

#[test]
fn the_shuffle_allocates_nothing() {
    let mut order = vec![0; 10_000];
    let ((), requested) = requested_bytes(|| epoch_order(1, 2, &mut order));
    assert_eq!(requested, 0);
}

/// Every transformation, whose draws differ from read to read, in memory that has grown to what they need.
#[test]
fn an_augmented_sample_allocates_nothing() {
    let set = Synthetic { seed: 1, sample_shape: [3, 24, 20], num_classes: 4 }.samples(0..50).unwrap();
    let transformations = [
        RandomCrop::padded(2).into(),
        HorizontalFlip::default().into(),
        AlternatingFlip.into(),
        Rotation { degrees: 20.0 }.into(),
        ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 }.into(),
        Cutout { size: 4 }.into(),
        // Of all parts, so that the filters have the same length.
        ResizedCrop { area: [1.0, 1.0], aspect: [0.8, 1.25], size: [17, 30] }.into(),
    ];
    let plain = Augmented::new(&set, 7, transformations).unwrap();
    let mixing = Mixing::Either(Mixup { alpha: 0.4 }, CutMix { alpha: 1.0 });
    let mixed = Augmented::new(&set, 7, transformations).unwrap().with_mixing(mixing).unwrap();
    for set in [plain, mixed] {
        let mut buffer = SampleBuffer::new();
        let mut read = |epoch| {
            for index in 0..50 {
                set.read(Request { index, epoch }, &mut buffer).unwrap();
            }
        };
        read(0);
        let ((), requested) = requested_bytes(|| (1..4).for_each(&mut read));
        assert_eq!(requested, 0);
    }
}

/// A valid file of 1 to 4 small dimensions.
fn valid_file() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..6_u32, 1..=4).prop_flat_map(|dims| {
        let len = dims.iter().product::<u32>() as usize;
        prop::collection::vec(any::<u8>(), len).prop_map(move |data| idx(&dims, &data))
    })
}

/// What happens to a file on its way.
#[derive(Clone, Debug)]
struct Damage {
    replaced: Vec<(prop::sample::Index, u8)>,
    cut: Option<prop::sample::Index>,
    appended: Vec<u8>,
}

impl Damage {
    fn strategy() -> impl Strategy<Value = Self> {
        let replaced = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
        let cut = prop::option::of(any::<prop::sample::Index>());
        let appended = prop::collection::vec(any::<u8>(), 0..4);
        (replaced, cut, appended).prop_map(|(replaced, cut, appended)| Self { replaced, cut, appended })
    }

    fn apply(&self, file: &mut Vec<u8>) {
        for (position, byte) in &self.replaced {
            let position = position.index(file.len());
            file[position] = *byte;
        }
        if let Some(cut) = &self.cut {
            file.truncate(cut.index(file.len()));
        }
        file.extend(&self.appended);
    }
}

/// Deflate reaches no more than 1032 bytes for one.
const MAX_EXPANSION: usize = 1032;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn valid_files_are_read_as_written(file in valid_file()) {
        let raw = read_within_bounds(&file, file.len()).unwrap();
        prop_assert_eq!(raw.data(), &file[4 + 4 * raw.dims().len()..]);
        prop_assert_eq!(read_within_bounds(&gzip(&file), file.len()).unwrap(), raw);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let plain = read_within_bounds(&bytes, bytes.len());
        prop_assert_eq!(read_within_bounds(&gzip(&bytes), bytes.len()).ok(), plain.ok());
        let disguised = [&[0x1f, 0x8b, 8, 0][..], &bytes].concat();
        let _ = read_within_bounds(&disguised, MAX_EXPANSION * disguised.len());
    }

    #[test]
    fn arbitrary_headers_do_no_harm(dims in prop::collection::vec(any::<u32>(), 0..6), data in any::<[u8; 9]>()) {
        let file = idx(&dims, &data);
        let fits = (1..=4).contains(&dims.len()) && dims.iter().map(|&dim| u128::from(dim)).product::<u128>() == 9;
        prop_assert_eq!(read_within_bounds(&file, file.len()).is_ok(), fits);
        prop_assert_eq!(read_within_bounds(&gzip(&file), file.len()).is_ok(), fits);
    }

    #[test]
    fn damaged_files_do_no_harm(file in valid_file(), damage in Damage::strategy()) {
        let mut raw = file.clone();
        damage.apply(&mut raw);
        let _ = read_within_bounds(&raw, raw.len());

        let mut packed = gzip(&file);
        damage.apply(&mut packed);
        // Damage outside the checksum, such as in the time stamp, leaves the content as it was.
        if let Ok(idx) = read_within_bounds(&packed, MAX_EXPANSION * packed.len()) {
            prop_assert!(file.ends_with(idx.data()));
        }
    }
}
