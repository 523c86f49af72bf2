//! A synthetic data set with a pattern that a network can learn.
//!
//! ```text
//! label[i]        = i mod num_classes
//! template[k, p]  = random byte of (seed, class k, position p)
//! noise[i, p]     = random byte of (seed, sample i, position p)
//! pixel[i, p]     = (template[label[i], p] + noise[i, p]) / 2, rounded down
//! ```
//!
//! Half of what a pixel holds is its class, so with more than a few dozen pixels a classifier can be nearly
//! perfect, while a single pixel tells little.

use std::ops::Range;

use crate::arrays::total_values;
use crate::philox::{halves, philox};
use crate::{ArrayError, Arrays, Error, SyntheticError};

/// Separate templates from noise, and both from all other words under the same seed: the last counter word.
const TEMPLATE: u32 = u32::from_be_bytes(*b"tmpl");
const NOISE: u32 = u32::from_be_bytes(*b"nois");

/// What errors call the set.
const ORIGIN: &str = "synthetic data";

/// Bytes in a block of Philox.
const BLOCK_BYTES: usize = 16;

/// An endless sequence of labelled random images, of which [`samples`](Self::samples) makes a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synthetic {
    /// Chooses the templates and the noise.
    pub seed: u64,
    /// `[c, h, w]`: channels, height and width of a sample.
    pub sample_shape: [usize; 3],
    /// The number of classes.
    pub num_classes: usize,
}

impl Synthetic {
    /// Samples `range` of the sequence, as bytes under
    /// [`Normalization::unit_range`](crate::Normalization::unit_range).
    ///
    /// Sample `i` is a pure function of the three fields and `i`, with the same bits on every platform:
    /// disjoint ranges are different samples of the same classes, which makes them a training and a test set.
    /// Classes come in turn.
    ///
    /// ```
    /// use isograd_datasets::{Dataset, Synthetic};
    ///
    /// let sequence = Synthetic { seed: 1, sample_shape: [3, 32, 32], num_classes: 10 };
    /// let train = sequence.samples(0..500)?;
    /// let test = sequence.samples(500..600)?;
    /// assert_eq!((train.len(), test.len(), test.sample(7).target.class()), (500, 100, Some(7)));
    /// # Ok::<(), isograd_datasets::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SyntheticError::SampleRange`] for an empty range, [`ArrayError::SampleShape`] for a shape that has a
    /// zero or is too large, [`SyntheticError::ClassCount`] without classes or with more than a label can
    /// name.
    ///
    /// # Source
    ///
    /// Byte `p` of template `k` is byte `p % 16`, little-endian, of Philox block `(p / 16, k, 0, "tmpl")`
    /// under the key `(seed low, seed high)`; of the noise of sample `i`, of block `(p / 16, i low, i high,
    /// "nois")`.
    pub fn samples(&self, range: Range<u64>) -> Result<Arrays<'static>, Error> {
        let Synthetic { seed, sample_shape, num_classes } = *self;
        if range.is_empty() {
            return Err(Error::Synthetic(SyntheticError::SampleRange { start: range.start, end: range.end }));
        }
        if num_classes == 0 || u32::try_from(num_classes).is_err() {
            return Err(Error::Synthetic(SyntheticError::ClassCount { num_classes }));
        }
        let samples = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let total_bytes = total_values(sample_shape, samples, ORIGIN)?;
        let mut pixels = Vec::new();
        if pixels.try_reserve_exact(total_bytes).is_err() {
            return Err(Error::Array(ArrayError::SampleShape {
                origin: ORIGIN.to_owned(),
                sample_shape,
                samples,
            }));
        }
        let mut labels = Vec::with_capacity(samples);
        for index in range {
            let label = (index % num_classes as u64) as u32;
            append_sample(seed, index, label, total_bytes / samples, &mut pixels);
            labels.push(label);
        }
        Arrays::from_u8_named(pixels, labels, sample_shape, num_classes, ORIGIN)
    }
}

fn append_sample(seed: u64, index: u64, label: u32, sample_bytes: usize, pixels: &mut Vec<u8>) {
    let key = halves(seed);
    let [index_low, index_high] = halves(index);
    for (block, start) in (0_u32..).zip((0..sample_bytes).step_by(BLOCK_BYTES)) {
        let template = philox([block, label, 0, TEMPLATE], key);
        let noise = philox([block, index_low, index_high, NOISE], key);
        let mut bytes = [0; BLOCK_BYTES];
        for ((bytes, template), noise) in bytes.chunks_exact_mut(4).zip(template).zip(noise) {
            bytes.copy_from_slice(&midpoints(template, noise));
        }
        pixels.extend_from_slice(&bytes[..BLOCK_BYTES.min(sample_bytes - start)]);
    }
}

/// The means of the four bytes of `a` and `b`, rounded down, lowest byte first.
fn midpoints(a: u32, b: u32) -> [u8; 4] {
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    std::array::from_fn(|byte| a[byte].midpoint(b[byte]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dataset, Pixels};

    fn bytes<'a>(set: &'a Arrays<'_>, index: usize) -> &'a [u8] {
        let Pixels::U8(bytes) = set.sample(index).pixels else { panic!("a synthetic set holds bytes") };
        bytes
    }

    fn message(sequence: Synthetic, range: Range<u64>) -> String {
        sequence.samples(range).unwrap_err().to_string()
    }

    const SMALL: Synthetic =
        Synthetic { seed: 0x0123_4567_89ab_cdef, sample_shape: [1, 3, 7], num_classes: 3 };

    /// Values from `tests/golden/generator.py`.
    #[test]
    fn samples_are_those_of_the_script() {
        let set = SMALL.samples(0x1_0000_0001..0x1_0000_0002).unwrap();
        assert_eq!(set.labels(), [2]);
        let golden = [
            245, 63, 37, 97, 103, 136, 135, 119, 157, 153, 229, 61, 214, 15, 77, 118, 123, 176, 153, 198, 34,
        ];
        assert_eq!(bytes(&set, 0), golden);
    }

    #[test]
    fn a_sample_does_not_depend_on_the_range() {
        let whole = SMALL.samples(0..20).unwrap();
        let part = SMALL.samples(13..20).unwrap();
        for index in 0..7 {
            assert_eq!(part.sample(index), whole.sample(13 + index), "sample {index} of the part");
        }
        assert_ne!(bytes(&whole, 0), bytes(&whole, 3), "two samples of one class");
        let other_seed = Synthetic { seed: SMALL.seed + 1, ..SMALL };
        assert_ne!(bytes(&other_seed.samples(0..1).unwrap(), 0), bytes(&whole, 0));
    }

    /// The nearest class mean, a linear classifier, learnt on one part and tried on another.
    #[test]
    fn the_pattern_can_be_learnt() {
        const CLASSES: usize = 10;
        let sequence = Synthetic { seed: 5, sample_shape: [1, 8, 8], num_classes: CLASSES };
        let train = sequence.samples(0..500).unwrap();
        let test = sequence.samples(500..1000).unwrap();
        let mut means = vec![[0.0; 64]; CLASSES];
        for index in 0..train.len() {
            let mean = &mut means[train.labels()[index] as usize];
            mean.iter_mut().zip(bytes(&train, index)).for_each(|(mean, &b)| *mean += f64::from(b) / 50.0);
        }
        let distance = |mean: &[f64], sample: &[u8]| {
            mean.iter().zip(sample).map(|(mean, &b)| (mean - f64::from(b)).powi(2)).sum::<f64>()
        };
        let correct = (0..test.len()).filter(|&index| {
            let sample = bytes(&test, index);
            let nearest = (0..CLASSES)
                .min_by(|&a, &b| distance(&means[a], sample).total_cmp(&distance(&means[b], sample)));
            nearest == Some(test.labels()[index] as usize)
        });
        assert!(correct.count() >= 495, "a linear classifier should be nearly perfect");
    }

    #[test]
    fn nonsense_is_refused_with_its_numbers() {
        assert_eq!(message(SMALL, 4..4), "sample range 4..4 is empty");
        assert_eq!(
            message(Synthetic { num_classes: 0, ..SMALL }, 0..1),
            "number of classes 0 is out of range, expected 1 to 4294967295"
        );
        assert_eq!(
            message(Synthetic { sample_shape: [3, 0, 2], ..SMALL }, 0..5),
            "synthetic data: sample shape [3, 0, 2] is empty or too large for 5 samples"
        );
        assert!(message(SMALL, 0..u64::MAX).contains("too large for 18446744073709551615 samples"));
        assert!(message(SMALL, 0..1 << 58).contains("too large for 288230376151711744 samples"));
    }
}
