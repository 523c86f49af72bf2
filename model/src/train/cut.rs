//! How a pass over samples is cut into shards.

use std::ops::Range;

/// Consecutive samples, in shards of `shard_len` and a last shard with the rest.
///
/// Where the rest has fewer than `least` samples, it shares with the shard before it, half and half: 33
/// samples in shards of 32 become 17 and 16, where `least` is 2. All other shards stay full, since whole
/// vectors are fast. The cut depends on the position of the samples alone, so it is the same for any number
/// of threads and ranks, and the number of shards is the same as without the sharing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) samples: usize,
    pub(super) shard_len: usize,
    pub(super) least: usize,
}

impl Cut {
    /// The number of shards.
    pub(super) fn shards(&self) -> usize {
        self.samples.div_ceil(self.shard_len)
    }

    /// The samples of shard `index`.
    pub(super) fn shard(&self, index: usize) -> Range<usize> {
        let Self { samples, shard_len, least } = *self;
        let (full, rest) = (samples / shard_len, samples % shard_len);
        let start = index * shard_len;
        if full == 0 || rest == 0 || rest >= least || index + 1 < full {
            return start..(start + shard_len).min(samples);
        }
        // The last two shards.
        let start = (full - 1) * shard_len;
        let middle = start + (samples - start).div_ceil(2);
        if index < full { start..middle } else { middle..samples }
    }

    /// Samples of the smallest shard.
    pub(super) fn smallest(&self) -> usize {
        // All shards but the last two are full.
        (self.shards().saturating_sub(2)..self.shards())
            .map(|index| self.shard(index).len())
            .min()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lens(samples: usize, shard_len: usize, least: usize) -> Vec<usize> {
        let cut = Cut { samples, shard_len, least };
        (0..cut.shards()).map(|index| cut.shard(index).len()).collect()
    }

    #[test]
    fn a_rest_that_is_too_small_shares_with_the_shard_before_it() {
        assert_eq!(lens(33, 32, 1), [32, 1]);
        assert_eq!(lens(33, 32, 2), [17, 16]);
        assert_eq!(lens(65, 32, 2), [32, 17, 16]);
        assert_eq!(lens(66, 32, 2), [32, 32, 2]);
        assert_eq!(lens(66, 32, 3), [32, 17, 17]);
        assert_eq!(lens(64, 32, 2), [32, 32]);
        assert_eq!(lens(1, 32, 2), [1]);
        // Three samples are too few for two shards of two.
        assert_eq!(lens(3, 2, 2), [2, 1]);
    }

    #[test]
    fn shards_tile_the_samples_and_none_is_larger_than_a_full_one() {
        for samples in 0..70 {
            for shard_len in 1..=17 {
                for least in 1..=9 {
                    let cut = Cut { samples, shard_len, least };
                    let mut end = 0;
                    for index in 0..cut.shards() {
                        let shard = cut.shard(index);
                        assert_eq!(shard.start, end, "{cut:?}, shard {index}");
                        assert!((1..=shard_len).contains(&shard.len()), "{cut:?}, shard {index}: {shard:?}");
                        end = shard.end;
                    }
                    assert_eq!(end, samples, "{cut:?}");
                    let smallest = lens(samples, shard_len, least).into_iter().min().unwrap_or(0);
                    assert_eq!(cut.smallest(), smallest, "{cut:?}");
                    if shard_len >= 2 * least - 1 && samples >= least {
                        assert!(smallest >= least, "{cut:?}: {smallest}");
                    }
                }
            }
        }
    }
}
