//! Random numbers of one transformation of one sample.

use crate::philox::{halves, philox};
use crate::shuffle::below;

/// What the random numbers of a sample depend on, beside the transformation that draws them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) seed: u64,
    pub(crate) epoch: u32,
    pub(crate) index: u32,
}

impl Key {
    /// The numbers of a transformation: of the kind `purpose`, the one that has `earlier` of its kind before
    /// it.
    pub(crate) fn draws(self, purpose: [u8; 4], earlier: u32) -> Draws {
        let tail = [self.index, self.epoch, u32::from_be_bytes(purpose)];
        Draws { key: halves(self.seed), next_block: earlier << BLOCK_BITS, tail, block: [0; 4], used: 4 }
    }

    /// The key of the same sample in epoch 0.
    pub(crate) fn of_first_epoch(self) -> Self {
        Self { epoch: 0, ..self }
    }
}

/// No transformation draws more than `4 * 2^16` numbers for a sample: the longest are rejection samplers,
/// which reject less than half of what they try.
const BLOCK_BITS: u32 = 16;

/// Random numbers, one after the other: a pure function of the [`Key`] and the transformation.
///
/// # Source
///
/// Words are drawn in order from Philox blocks `(block + 2^16 earlier, index, epoch, purpose)` under the key
/// `(seed low, seed high)`.
#[derive(Clone, Debug)]
pub(crate) struct Draws {
    key: [u32; 2],
    next_block: u32,
    tail: [u32; 3],
    block: [u32; 4],
    used: usize,
}

impl Draws {
    /// 32 random bits.
    pub(crate) fn word(&mut self) -> u32 {
        if self.used == self.block.len() {
            let [index, epoch, purpose] = self.tail;
            self.block = philox([self.next_block, index, epoch, purpose], self.key);
            self.next_block = self.next_block.wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// True with `probability`, to within 2^-32; at 0 never and at 1 always.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        f64::from(self.word()) < probability * 4_294_967_296.0
    }

    /// A number below `bound`, which is at least 1, each exactly as likely as the others.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound).expect("no image and no set has 2^32 places");
        below(bound, || self.word()) as usize
    }

    /// A number above 0 and below 1: the middle of one of 2^32 equal parts.
    pub(crate) fn unit(&mut self) -> f64 {
        (f64::from(self.word()) + 0.5) / 4_294_967_296.0
    }

    /// A number between `from` and `to`.
    pub(crate) fn between(&mut self, [from, to]: [f64; 2]) -> f64 {
        from + self.unit() * (to - from)
    }

    /// A number of the standard normal distribution.
    ///
    /// # Source
    ///
    /// G. Box, M. Muller, "A note on the generation of random normal deviates", Annals of Mathematical
    /// Statistics 29 (1958); only the cosine is used.
    pub(crate) fn normal(&mut self) -> f64 {
        let [radius, angle] = [self.unit(), self.unit()];
        (-2.0 * libm::log(radius)).sqrt() * libm::cos(std::f64::consts::TAU * angle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { seed: 7, epoch: 3, index: 11 };

    fn words(key: Key, purpose: [u8; 4], earlier: u32) -> [u32; 6] {
        let mut draws = key.draws(purpose, earlier);
        std::array::from_fn(|_| draws.word())
    }

    #[test]
    fn everything_that_a_draw_depends_on_changes_it() {
        let reference = words(KEY, *b"test", 0);
        assert_eq!(words(KEY, *b"test", 0), reference);
        for other in [
            words(Key { seed: 7 + (1 << 32), ..KEY }, *b"test", 0),
            words(Key { epoch: 4, ..KEY }, *b"test", 0),
            words(Key { index: 12, ..KEY }, *b"test", 0),
            words(KEY, *b"tesu", 0),
            words(KEY, *b"test", 1),
        ] {
            assert!(other.iter().all(|word| !reference.contains(word)), "{other:?}");
        }
        assert_eq!(KEY.of_first_epoch(), Key { epoch: 0, ..KEY });
    }

    #[test]
    fn chances_are_what_they_say() {
        let mut draws = KEY.draws(*b"test", 0);
        for (probability, expected) in [(0.0, 0), (1.0, 100_000), (0.3, 30_000)] {
            let hits = (0..100_000).filter(|_| draws.chance(probability)).count();
            // 4.5 standard deviations of the binomial distribution.
            let tolerance = (100_000.0 * probability * (1.0 - probability)).sqrt() * 4.5;
            assert!(hits.abs_diff(expected) as f64 <= tolerance, "{hits} hits at {probability}");
        }
    }

    #[test]
    fn normal_numbers_have_the_moments_of_the_distribution() {
        let mut draws = KEY.draws(*b"test", 0);
        const COUNT: usize = 100_000;
        let numbers: Vec<f64> = (0..COUNT).map(|_| draws.normal()).collect();
        let mean = |power: i32| numbers.iter().map(|x| x.powi(power)).sum::<f64>() / COUNT as f64;
        // 4.5 standard errors each: of the moments 1, 2 and 4 the variances are 1, 2 and 96.
        for (power, expected, variance) in [(1, 0.0, 1.0_f64), (2, 1.0, 2.0), (4, 3.0, 96.0)] {
            let bound = 4.5 * (variance / COUNT as f64).sqrt();
            assert!((mean(power) - expected).abs() < bound, "moment {power} is {}", mean(power));
        }
    }

    #[test]
    fn numbers_of_a_range_fill_it() {
        let mut draws = KEY.draws(*b"test", 0);
        let numbers: Vec<f64> = (0..10_000).map(|_| draws.between([-2.0, 6.0])).collect();
        assert!(numbers.iter().all(|x| (-2.0..6.0).contains(x)));
        let mean = numbers.iter().sum::<f64>() / 10_000.0;
        // 4.5 standard errors: the deviation is 8 / sqrt(12).
        assert!((mean - 2.0).abs() < 4.5 * 8.0 / 12.0_f64.sqrt() / 100.0, "mean {mean}");
    }
}
