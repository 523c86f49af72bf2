//! Inverted dropout.

use crate::element::Element;
use crate::isa::Isa;
use crate::philox::{Rng, philox4x32_lanes};
use crate::simd::{Kernel, Level};
use std::ops::Range;

/// The number of samples whose random blocks are computed side by side, and whose bits are in one number. Any
/// type of elements holds such numbers exactly.
pub const SAMPLES_OF_NUMBER: usize = 16;

/// Parts of the features begin at multiples of this: so many share a random block, of which each takes a
/// word.
pub const FEATURES_OF_PART: usize = 4;

/// Inverted dropout: each element is multiplied by 0 with probability `rate`, and by `1 / (1 - rate)`
/// otherwise, so that the expected activation does not change.
///
/// Whether a feature of a sample is dropped depends only on `rng`, on the feature and on the sample's
/// position in the epoch's order. It does not depend on how samples are cut into shards, or on the level. A
/// feature is dropped when word `feature mod 4` of [`Rng::block`]`(position, feature / 4)` is less than
/// `rate * 2^32`.
///
/// # Source
///
/// Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014, section
/// 10 for the scaling at training time.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// The random numbers of an epoch and a layer.
    pub rng: Rng,
    /// The position of the first sample.
    pub first_position: u64,
    /// The probability, between 0 and 1.
    pub rate: f64,
}

impl Dropout {
    /// The number of elements that tell, for each feature, which of `n` samples keep it: whole numbers with a
    /// bit for each of [`SAMPLES_OF_NUMBER`] samples.
    pub fn kept_len(n: usize) -> usize {
        n.div_ceil(SAMPLES_OF_NUMBER)
    }

    /// Computes `y` `[features, n]` from `x` `[features, n]`, and `kept` `[features, kept_len(n)]`, which the
    /// backward pass needs; overwrites both. Samples are innermost; all dimensions before them count as
    /// features. `features` are those of the slices: all, or a part. An element that is dropped is
    /// multiplied, too: NaN and infinities become NaN.
    ///
    /// # Panics
    ///
    /// When `rate` is not in [0, 1], when a length does not fit, when the first feature is no multiple of
    /// [`FEATURES_OF_PART`], or when a position or a feature is 2^32 or more.
    pub fn forward<T: Element>(
        &self,
        isa: Isa,
        features: Range<usize>,
        n: usize,
        x: &[T],
        y: &mut [T],
        kept: &mut [T],
    ) {
        let Self { rng, first_position, rate } = *self;
        let factor = self.factor();
        check_lengths(features.len(), n, [("x", x.len()), ("y", y.len())], kept.len());
        assert!(
            features.start.is_multiple_of(FEATURES_OF_PART) && features.end as u64 <= 1 << 32,
            "dropout: features {features:?} do not begin at a multiple of {FEATURES_OF_PART}, or are too many"
        );
        let end = first_position.saturating_add(n as u64);
        assert!(end <= 1 << 32, "dropout: sample positions up to {end} do not fit in 32 bits");
        if n == 0 {
            return;
        }
        // 2^32, which drops all, does not fit.
        let threshold = u32::try_from((rate * (1u64 << 32) as f64).round() as u64).ok();
        let first_index = (features.start / FEATURES_OF_PART) as u32;
        isa.run(Forward { rng, first_position, first_index, n, threshold, factor, x, y, kept });
    }

    /// Computes the gradient by the input: what was kept is multiplied by `1 / (1 - rate)`, the rest by 0.
    /// `dy` and `dx` are `[features, n]`; `kept` is that of the forward pass; overwrites `dx`.
    ///
    /// # Panics
    ///
    /// When `rate` is not in [0, 1], or when a length does not fit.
    pub fn backward<T: Element>(
        &self,
        isa: Isa,
        features: usize,
        n: usize,
        kept: &[T],
        dy: &[T],
        dx: &mut [T],
    ) {
        let factor = self.factor();
        check_lengths(features, n, [("dy", dy.len()), ("dx", dx.len())], kept.len());
        if n > 0 {
            isa.run(Backward { n, factor, kept, dy, dx });
        }
    }

    /// What elements that are kept are multiplied by.
    fn factor<T: Element>(&self) -> T {
        let rate = self.rate;
        assert!((0.0..=1.0).contains(&rate), "dropout: rate {rate} is not in [0, 1]");
        T::from_f64(1.0 / (1.0 - rate))
    }
}

fn check_lengths(features: usize, n: usize, tensors: [(&str, usize); 2], kept: usize) {
    let [tensor, bits] = [n, Dropout::kept_len(n)].map(|row| features.saturating_mul(row));
    for (name, len, needed) in
        tensors.map(|(name, len)| (name, len, tensor)).into_iter().chain([("kept", kept, bits)])
    {
        assert!(
            len == needed,
            "dropout: {name} has {len} elements, but {features} features of {n} samples need {needed}"
        );
    }
}

struct Forward<'a, T> {
    rng: Rng,
    first_position: u64,
    /// The index of the random blocks of the first features.
    first_index: u32,
    n: usize,
    /// A feature is dropped when its word is below this; if there is none, all are.
    threshold: Option<u32>,
    factor: T,
    x: &'a [T],
    y: &'a mut [T],
    kept: &'a mut [T],
}

impl<T: Element> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, _: S) {
        let Self { rng, first_position, first_index, n, threshold, factor, x, y, kept } = self;
        let bits = Dropout::kept_len(n);
        let groups = x.chunks(FEATURES_OF_PART * n).zip(y.chunks_mut(FEATURES_OF_PART * n));
        let groups = groups.zip(kept.chunks_mut(FEATURES_OF_PART * bits));
        for (index, ((x, y), kept)) in (first_index..).zip(groups) {
            for block in 0..bits {
                let samples = block * SAMPLES_OF_NUMBER..n.min((block + 1) * SAMPLES_OF_NUMBER);
                let counter = rng.counter(first_position + samples.start as u64, index);
                let mut counters = [[0; SAMPLES_OF_NUMBER]; 4];
                for (lanes, word) in counters.iter_mut().zip(counter) {
                    *lanes = [word; SAMPLES_OF_NUMBER];
                }
                for (lane, position) in counters[0].iter_mut().enumerate() {
                    *position = position.wrapping_add(lane as u32);
                }
                let words = philox4x32_lanes(counters, rng.key());
                for (feature, words) in words.iter().enumerate().take(x.len() / n) {
                    let mut set = 0;
                    for (lane, word) in words.iter().enumerate() {
                        set |= u16::from(threshold.is_some_and(|threshold| *word >= threshold)) << lane;
                    }
                    kept[feature * bits + block] = T::from_f64(f64::from(set));
                    let row = |t: Range<usize>| feature * n + t.start..feature * n + t.end;
                    multiply(set, factor, &x[row(samples.clone())], &mut y[row(samples.clone())]);
                }
            }
        }
    }
}

struct Backward<'a, T> {
    n: usize,
    factor: T,
    kept: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Element> Kernel for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, _: S) {
        let Self { n, factor, kept, dy, dx } = self;
        let rows =
            dy.chunks_exact(n).zip(dx.chunks_exact_mut(n)).zip(kept.chunks_exact(Dropout::kept_len(n)));
        for ((dy, dx), kept) in rows {
            for ((dy, dx), kept) in
                dy.chunks(SAMPLES_OF_NUMBER).zip(dx.chunks_mut(SAMPLES_OF_NUMBER)).zip(kept)
            {
                multiply(kept.to_f64() as u16, factor, dy, dx);
            }
        }
    }
}

/// Multiplies up to [`SAMPLES_OF_NUMBER`] samples by `factor` where their bit is set, and by 0 elsewhere.
#[inline(always)]
fn multiply<T: Element>(set: u16, factor: T, x: &[T], y: &mut [T]) {
    // The compiler turns a loop of constant length into a vector select. The CPU would mispredict half of the
    // branches of another loop.
    let mut factors = [T::ZERO; SAMPLES_OF_NUMBER];
    for (lane, of_lane) in factors.iter_mut().enumerate() {
        *of_lane = if set & 1 << lane == 0 { T::ZERO } else { factor };
    }
    if let (Ok(x), Ok(y)) =
        (<&[T; SAMPLES_OF_NUMBER]>::try_from(x), <&mut [T; SAMPLES_OF_NUMBER]>::try_from(&mut *y))
    {
        for lane in 0..SAMPLES_OF_NUMBER {
            y[lane] = x[lane] * factors[lane];
        }
        return;
    }
    for ((x, y), factor) in x.iter().zip(y).zip(factors) {
        *y = *x * factor;
    }
}
