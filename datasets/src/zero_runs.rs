//! The form in which the bundled images are packed: runs of zeros apart from the pixels between them, inside gzip.
//!
//! ```text
//! D0 D1 D2 R | R lengths of zeros | R lengths of what follows them | all pixels that are not zero
//! u32 each, big-endian | one byte each | one byte each | one byte each
//! ```
//!
//! Four of five pixels of MNIST are zero. Taken apart, lengths and pixels each get codes of their own from deflate, which makes
//! the files an eighth smaller than gzipped IDX files, and the decoder has a quarter of the bytes to produce. A run of more
//! than 255 zeros is several runs with nothing between them.
//! `mnist/pack.py` packs.

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
    let (zeros, rest) = rest.split_at(number(3));
    let (others, mut values) = rest.split_at(number(3));

    let mut pixels = vec![0; dims.iter().product()];
    let mut free = &mut pixels[..];
    for (&zeros, &others) in zeros.iter().zip(others) {
        let run;
        (run, free) = free[usize::from(zeros)..].split_at_mut(usize::from(others));
        let source;
        (source, values) = values.split_at(usize::from(others));
        run.copy_from_slice(source);
    }
    assert!(values.is_empty(), "{} pixels of a bundled file have no place", values.len());
    (pixels, dims)
}
