//! The mask of inverted dropout.

use crate::element::Element;
use crate::isa::Isa;
use crate::philox::{Rng, philox4x32_lanes};
use crate::simd::{Kernel, Level};

/// The number of samples whose random blocks are computed side by side.
const LANES: usize = 16;

/// The number of features that share one random block. Each takes one word of it.
const FEATURES: usize = 4;

struct DropoutMask<'a, T> {
    rng: Rng,
    first_position: u64,
    n: usize,
    /// A feature is dropped when its word is below this.
    threshold: u32,
    keep: T,
    mask: &'a mut [T],
}

impl<T: Element> Kernel for DropoutMask<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, _: S) {
        let (threshold, keep) = (self.threshold, self.keep);
        for (index, group) in self.mask.chunks_mut(FEATURES * self.n).enumerate() {
            for first in (0..self.n).step_by(LANES) {
                let counter = self.rng.counter(self.first_position + first as u64, index as u32);
                let mut counters = [[0; LANES]; 4];
                for (lanes, word) in counters.iter_mut().zip(counter) {
                    *lanes = [word; LANES];
                }
                for (lane, position) in counters[0].iter_mut().enumerate() {
                    *position = position.wrapping_add(lane as u32);
                }
                let words = philox4x32_lanes(counters, self.rng.key());
                let width = LANES.min(self.n - first);
                for (row, words) in group.chunks_exact_mut(self.n).zip(words) {
                    // The compiler turns a loop of constant length into a vector select. The CPU would
                    // mispredict half of the branches of another loop.
                    let mut values = [T::ZERO; LANES];
                    for lane in 0..LANES {
                        values[lane] = if words[lane] < threshold { T::ZERO } else { keep };
                    }
                    row[first..first + width].copy_from_slice(&values[..width]);
                }
            }
        }
    }
}

/// The mask of inverted dropout: each element is 0 with probability `rate`, and `1 / (1 - rate)` otherwise,
/// so that the expected activation does not change. Overwrites `mask`.
///
/// `mask` is `[features, n]`, with samples innermost. All dimensions before the samples count as features.
/// [`elementwise::mul`](crate::elementwise::mul) applies the mask, in the forward pass and in the backward
/// pass.
///
/// Column `s` belongs to the sample at position `first_position + s` of the epoch's order. Whether a feature
/// of a sample is dropped depends only on `rng`, on the feature and on that position. It does not depend on
/// `n`, on how samples are cut into shards, or on `isa`. A feature is dropped when word `feature mod 4` of
/// [`Rng::block`]`(position, feature / 4)` is less than `rate * 2^32`.
///
/// # Panics
/// When `rate` is not in [0, 1], when `mask` does not have `features * n` elements, or when a position is
/// 2^32 or more.
///
/// # Source
/// Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014, section
/// 10 for the scaling at training time.
pub fn dropout_mask<T: Element>(
    isa: Isa,
    rng: &Rng,
    first_position: u64,
    features: usize,
    n: usize,
    rate: f64,
    mask: &mut [T],
) {
    assert!((0.0..=1.0).contains(&rate), "dropout_mask: rate {rate} is not in [0, 1]");
    assert_eq!(
        mask.len(),
        features.saturating_mul(n),
        "dropout_mask: mask has {} elements, but {features} features of {n} samples need {}",
        mask.len(),
        features.saturating_mul(n)
    );
    let end = first_position + n as u64;
    assert!(end <= 1 << 32, "dropout_mask: sample positions up to {end} do not fit in 32 bits");
    let threshold = (rate * (1u64 << 32) as f64).round() as u64;
    let Ok(threshold) = u32::try_from(threshold) else {
        return mask.fill(T::ZERO);
    };
    if n == 0 {
        return;
    }
    let keep = T::from_f64(1.0 / (1.0 - rate));
    isa.run(DropoutMask { rng: *rng, first_position, n, threshold, keep, mask });
}
