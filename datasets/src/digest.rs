//! Digests of data sets, by which ranks find that they have the same data.

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::{Dataset, Pixels, ReadError, Request, Sample, SampleBuffer, Target};

/// The number of samples that a thread hashes at a time.
const CHUNK: usize = 1000;

/// The digest of all samples as they are stored: the SHA-256 of the hashes of all chunks. The hash of a chunk
/// of 1000 samples is the SHA-256 of their pixels and targets, in order and little-endian.
///
/// Equal samples have equal digests, wherever they come from. The chunks are hashed by the threads of the
/// caller's rayon pool.
///
/// # Errors
///
/// [`ReadError`] of the first sample that cannot be read.
pub fn contents<D: Dataset + ?Sized>(set: &D) -> Result<String, ReadError> {
    let chunk = |index: usize| -> Result<_, ReadError> {
        let (mut hash, mut buffer) = (Sha256::new(), SampleBuffer::new());
        for index in index * CHUNK..set.len().min((index + 1) * CHUNK) {
            let sample = set.read(Request::new(index), &mut buffer);
            let Sample { pixels, target } =
                sample.map_err(|reason| ReadError::new(format!("{}: {reason}", set.describe(index))))?;
            match pixels {
                Pixels::U8(bytes) => hash.update(bytes),
                Pixels::F32(values) => values.iter().for_each(|value| hash.update(value.to_le_bytes())),
            }
            match target {
                Target::Class(label) => hash.update(label.to_le_bytes()),
                Target::Values(values) => values.iter().for_each(|value| hash.update(value.to_le_bytes())),
            }
        }
        Ok(hash.finalize())
    };
    let chunks: Vec<_> = (0..set.len().div_ceil(CHUNK)).into_par_iter().map(chunk).collect();
    let mut hash = Sha256::new();
    for digest in chunks {
        hash.update(digest?);
    }
    Ok(hex(&hash.finalize()))
}

/// A digest of lines of text: of the names, lengths and labels of files, for instance.
#[derive(Clone, Default)]
pub(crate) struct Lines(Sha256);

impl Lines {
    /// Adds a line. Its length comes first, so that no two lists of lines are hashed alike.
    pub(crate) fn add(&mut self, line: &str) {
        self.0.update((line.len() as u64).to_le_bytes());
        self.0.update(line);
    }

    /// The digest of all lines.
    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arrays, Subset};

    /// Known to the program, so that the built-in samples need not be hashed at each start.
    #[cfg(feature = "bundled-mnist")]
    #[test]
    fn the_digests_of_the_bundled_sets_are_known() {
        use crate::mnist;
        for split in [mnist::Split::Train, mnist::Split::Test] {
            assert_eq!(contents(&mnist::bundled(split)).unwrap(), mnist::bundled_digest(split));
        }
    }

    #[test]
    fn a_pixel_or_a_label_changes_the_digest() {
        let of = |pixels: [u8; 4], labels: [u32; 2]| {
            contents(&Arrays::from_u8(pixels.to_vec(), labels.to_vec(), [1, 1, 2], 10).unwrap()).unwrap()
        };
        let digests = [of([1, 2, 3, 4], [5, 6]), of([1, 2, 3, 5], [5, 6]), of([1, 2, 3, 4], [5, 7])];
        assert_eq!(of([1, 2, 3, 4], [5, 6]), digests[0]);
        assert!(digests[0] != digests[1] && digests[0] != digests[2], "{digests:?}");
    }

    #[test]
    fn parts_differ_from_each_other_and_lines_are_told_apart() {
        let set = Arrays::from_u8(vec![7; 4], vec![0; 4], [1, 1, 1], 1).unwrap();
        let digest = |range| Subset::new(&set, range).digest().unwrap();
        assert_ne!(digest(0..2), digest(2..4));
        let lines = |lines: &[&str]| {
            let mut digest = Lines::default();
            lines.iter().for_each(|line| digest.add(line));
            digest.finish()
        };
        assert_ne!(lines(&["ab", "c"]), lines(&["a", "bc"]));
    }
}
