//! The form in which the bundled images are packed: where runs of pixels other than zero begin, how long they
//! are, and the pixels in them, one after another inside gzip.
//!
//! ```text
//! D0 D1 D2 R          | R steps       | R lengths     | the pixels of all runs
//! u32 each, big-endian | one byte each | one byte each | one byte each
//! ```
//!
//! A step leads from the begin of the run before, at first that of the image data. Four of five pixels of
//! MNIST are zero. Taken apart, steps, lengths and pixels each get codes of their own from deflate, which
//! makes the files an eighth smaller than gzipped IDX files, and the decoder has a quarter of the bytes to
//! produce. Where the next run is more than 255 pixels away, runs of length 0 lie between. `mnist/pack.py`
//! packs.

use std::io::Read;

use flate2::bufread::GzDecoder;

/// The pixels in `packed`, a file that this crate was built with, and their dimensions.
///
/// # Panics
///
/// If the file is damaged: it is part of the program.
pub(crate) fn unpack(packed: &[u8]) -> (Vec<u8>, [usize; 3]) {
    let mut content = Vec::with_capacity(2 * packed.len());
    GzDecoder::new(packed).read_to_end(&mut content).expect("a bundled file is a gzip stream");
    let (header, rest) = content.split_at(4 * 4);
    let number = |index: usize| {
        let bytes = header[4 * index..][..4].try_into().expect("4 bytes");
        u32::from_be_bytes(bytes) as usize
    };
    let dims = [number(0), number(1), number(2)];
    let (steps, rest) = rest.split_at(number(3));
    let (lengths, mut values) = rest.split_at(number(3));

    let mut pixels = vec![0; dims.iter().product()];
    let mut start = 0;
    for (&step, &length) in steps.iter().zip(lengths) {
        start += usize::from(step);
        let run;
        (run, values) = values.split_at(usize::from(length));
        pixels[start..start + run.len()].copy_from_slice(run);
    }
    assert!(values.is_empty(), "{} pixels of a bundled file have no place", values.len());
    (pixels, dims)
}
