//! The order in which an epoch sees the samples.
//!
//! ```text
//! order = 0, 1, .., len - 1
//! for i in len - 1 down to 1:                 // Fisher-Yates
//!     swap order[i] with order[j], j uniform in 0..=i
//! ```

use std::ops::Range;

use crate::philox::{halves, philox};

/// Separate the words drawn here from all others under the same seed: the last counter word.
const SAMPLES: u32 = u32::from_be_bytes(*b"shuf");
const CHUNKS: u32 = u32::from_be_bytes(*b"chnk");
const WINDOWS: u32 = u32::from_be_bytes(*b"wndw");

/// Overwrites `order` with a permutation of `0..order.len()`: what epoch `epoch` of a run with `seed` sees
/// first, second and so on.
///
/// A pure function of `seed`, `epoch` and the length: what `order` held before has no part in it, and every
/// platform gives the same permutation. Each of the permutations is equally likely as far as Philox is
/// uniform: the bounded draws are exact. Takes time linear in the length and allocates nothing.
///
/// ```
/// let mut order = [0; 5];
/// isograd_datasets::epoch_order(42, 0, &mut order);
/// let mut sorted = order;
/// sorted.sort();
/// assert_eq!(sorted, [0, 1, 2, 3, 4]);
/// ```
///
/// # Panics
///
/// If `order` is longer than `u32` can index.
///
/// # Source
///
/// R. Durstenfeld, "Algorithm 235: random permutation", CACM 7 (1964); bounded integers as in D. Lemire,
/// "Fast random integer generation in an interval", ACM TOMACS 29 (2019), section 4. Words are drawn in order
/// from Philox blocks `(block, epoch low, epoch high, "shuf")` under the key `(seed low, seed high)`.
pub fn epoch_order(seed: u64, epoch: u64, order: &mut [u32]) {
    let len = order.len();
    assert!(u32::try_from(len).is_ok(), "cannot shuffle {len} samples, at most {} are possible", u32::MAX);
    for (index, slot) in (0..).zip(order.iter_mut()) {
        *slot = index;
    }
    shuffle(order, &mut Words::new(seed, epoch, SAMPLES));
}

/// Overwrites `order` with a permutation of the samples of a set that is stored in chunks, in which the
/// samples of a chunk stay near each other: a reader that holds `window` chunks reads each chunk once.
///
/// ```text
/// order the chunks at random
/// for each `window` chunks in that order:
///     their samples, in random order
/// ```
///
/// `chunks` are the numbers of samples of the chunks, in the order of the set. A pure function of the
/// arguments, as [`epoch_order`] is.
///
/// ```
/// let mut order = [0; 6];
/// isograd_datasets::chunked_order(42, 0, &[3, 3], 1, &mut order);
/// let first = order[0] / 3;
/// assert!(order[..3].iter().all(|index| index / 3 == first));
/// ```
///
/// # Panics
///
/// If the chunks do not add up to the length of `order`, `window` is 0, or `order` is longer than `u32` can
/// index.
pub fn chunked_order(seed: u64, epoch: u64, chunks: &[usize], window: usize, order: &mut [u32]) {
    let len = order.len();
    assert!(u32::try_from(len).is_ok(), "cannot shuffle {len} samples, at most {} are possible", u32::MAX);
    assert!(window > 0, "a window of 0 chunks");
    assert_eq!(chunks.iter().sum::<usize>(), len, "samples of the chunks, and the length of the order");
    let starts = chunks.iter().scan(0, |next, samples| Some(std::mem::replace(next, *next + samples)));
    let starts: Vec<usize> = starts.collect();
    let mut chunk_order: Vec<u32> = (0..chunks.len() as u32).collect();
    shuffle(&mut chunk_order, &mut Words::new(seed, epoch, CHUNKS));
    let (mut words, mut filled) = (Words::new(seed, epoch, WINDOWS), 0);
    for window in chunk_order.chunks(window) {
        let first = filled;
        for &chunk in window {
            let chunk = chunk as usize;
            for index in starts[chunk]..starts[chunk] + chunks[chunk] {
                order[filled] = index as u32;
                filled += 1;
            }
        }
        shuffle(&mut order[first..filled], &mut words);
    }
}

/// The parts of `chunks` that lie in `range` of the samples; chunks outside of it are left out.
pub(crate) fn chunks_in(chunks: &[usize], range: Range<usize>) -> Vec<usize> {
    let mut start = 0;
    let parts = chunks.iter().map(|samples| {
        let chunk = start..start + samples;
        start = chunk.end;
        chunk.end.min(range.end).saturating_sub(chunk.start.max(range.start))
    });
    parts.filter(|&samples| samples > 0).collect()
}

/// Fisher-Yates with the next of `words`.
fn shuffle(order: &mut [u32], words: &mut Words) {
    for i in (1..order.len()).rev() {
        let j = below(i as u32 + 1, || words.next());
        order.swap(i, j as usize);
    }
}

/// The random words of one epoch for one purpose, one after the other.
struct Words {
    purpose: u32,
    key: [u32; 2],
    epoch: [u32; 2],
    /// Wraps around after 2^34 words, more than four for each sample that can be indexed.
    next_block: u32,
    block: [u32; 4],
    used: usize,
}

impl Words {
    fn new(seed: u64, epoch: u64, purpose: u32) -> Self {
        Self { purpose, key: halves(seed), epoch: halves(epoch), next_block: 0, block: [0; 4], used: 4 }
    }

    fn next(&mut self) -> u32 {
        if self.used == self.block.len() {
            self.block = philox([self.next_block, self.epoch[0], self.epoch[1], self.purpose], self.key);
            self.next_block = self.next_block.wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }
}

/// A number in `0..bound`, each equally likely if `word` gives uniform words.
pub(crate) fn below(bound: u32, mut word: impl FnMut() -> u32) -> u32 {
    let [mut low, mut high] = halves(u64::from(word()) * u64::from(bound));
    if low < bound {
        // 2^32 mod bound: the number of words that would make some results likelier than others.
        let surplus = bound.wrapping_neg() % bound;
        while low < surplus {
            [low, high] = halves(u64::from(word()) * u64::from(bound));
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn order(seed: u64, epoch: u64, len: usize) -> Vec<u32> {
        let mut order = vec![u32::MAX; len];
        epoch_order(seed, epoch, &mut order);
        order
    }

    /// Values from `tests/golden/generator.py`.
    #[test]
    fn order_is_that_of_the_script() {
        assert_eq!(order(1, 0, 12), [7, 2, 1, 6, 11, 8, 0, 10, 4, 9, 5, 3]);
        assert_eq!(order(0x0123_4567_89ab_cdef, 0x1_0000_0002, 12), [2, 0, 3, 1, 5, 8, 9, 11, 4, 7, 6, 10]);
    }

    #[test]
    fn every_length_gives_a_permutation() {
        for len in [0, 1, 2, 3, 64, 1000, 60_000] {
            let mut sorted = order(3, 1, len);
            sorted.sort_unstable();
            assert!(sorted.iter().copied().eq(0..len as u32), "length {len}");
        }
    }

    #[test]
    fn seed_and_epoch_change_the_order_and_the_buffer_does_not() {
        let reference = order(5, 9, 100);
        let mut reused = order(6, 9, 100);
        assert_ne!(reused, reference);
        assert_ne!(order(5, 10, 100), reference);
        assert_ne!(order(5 + (1 << 32), 9, 100), reference);
        assert_ne!(order(5, 9 + (1 << 32), 100), reference);
        epoch_order(5, 9, &mut reused);
        assert_eq!(reused, reference);
    }

    #[test]
    fn chunks_stay_together_in_windows() {
        let chunks = [3, 0, 5, 2, 4, 1];
        let order = |seed, epoch, window| {
            let mut order = vec![u32::MAX; 15];
            chunked_order(seed, epoch, &chunks, window, &mut order);
            order
        };
        let chunk = |index: u32| [3, 3, 8, 10, 14, 15].iter().position(|end| index < *end).unwrap();
        for window in 1..=7 {
            let order = order(7, 2, window);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..15), "window {window}");
            // A reader that holds `window` chunks meets each of them in one stretch.
            let (mut held, mut opened) = (Vec::new(), 0);
            for index in order {
                if !held.contains(&chunk(index)) {
                    held.push(chunk(index));
                    opened += 1;
                }
                if held.len() > window {
                    held.remove(0);
                }
            }
            assert_eq!(opened, 5, "window {window}");
        }
        assert_ne!(order(7, 2, 2), order(7, 3, 2));
        assert_ne!(order(7, 2, 2), order(8, 2, 2));
        assert_eq!(order(7, 2, 2), order(7, 2, 2));
    }

    #[test]
    fn a_range_has_parts_of_chunks() {
        assert_eq!(chunks_in(&[3, 0, 5, 2], 0..10), [3, 5, 2]);
        assert_eq!(chunks_in(&[3, 0, 5, 2], 2..4), [1, 1]);
        assert_eq!(chunks_in(&[3, 0, 5, 2], 4..7), [3]);
        assert!(chunks_in(&[3, 0, 5, 2], 4..4).is_empty());
    }

    #[test]
    fn all_permutations_are_equally_likely() {
        let epochs = 24_000;
        let mut counts = HashMap::new();
        for epoch in 0..epochs {
            *counts.entry(order(11, epoch, 4)).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        let expected = epochs as f64 / 24.0;
        let chi_squared = counts.values().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum::<f64>();
        // 23 degrees of freedom: 49.7 is exceeded once in a thousand seeds.
        assert!(chi_squared < 49.7, "chi squared is {chi_squared}");
    }

    #[test]
    fn bounded_draws_reject_the_surplus() {
        // 2^32 = 1 (mod 3): exactly the word 0 is surplus. The bound 3 * 2^30 rejects a quarter of all words.
        let draw = |bound, words: &[u32]| {
            let mut rest = words.iter().copied();
            let value = below(bound, || rest.next().expect("more words were drawn than expected"));
            (value, rest.len())
        };
        assert_eq!(draw(3, &[0, u32::MAX, 7]), (2, 1));
        assert_eq!(draw(3, &[1, 7]), (0, 1));
        assert_eq!(draw(3 << 30, &[0, 4, 1, 7]), (0, 1));
        assert_eq!(draw(1, &[u32::MAX]), (0, 0));
        assert_eq!(draw(u32::MAX, &[0, u32::MAX]), (u32::MAX - 1, 0));
    }
}
