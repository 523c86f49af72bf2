//! The mean and the variance of a channel, in one pass over its values.

use crate::element::Element;
use crate::long_sum::{Terms, chunk_sums};
use crate::simd::{Kernel, Level};

/// The most elements in a chunk. The mean of all elements before a chunk is subtracted from the chunk's
/// elements.
const CHUNK: usize = 4096;
/// The mean of this many first elements is subtracted from the first chunk.
const PREFIX: usize = 512;

/// The count, the mean, and the sum of squared deviations from the mean.
#[derive(Clone, Copy, Default)]
pub(super) struct Moments {
    count: f64,
    pub(super) mean: f64,
    squares: f64,
}

impl Moments {
    /// Includes `count` further values with `sum = sum(x - centre)` and `squares = sum((x - centre)^2)`.
    ///
    /// `squares` is larger than the chunk's squared deviations from its own mean, by
    /// `count * (mean of the chunk - centre)^2`. The subtraction below removes the difference, and rounding
    /// errors grow with it. `centre` is the mean of `k` values that are part of the total. If it is far from
    /// the chunk's mean, these `k` values alone add at least `k / 2` times the same square to the total. So
    /// the relative rounding error grows by a factor of at most `1 + 2 count / k`, and it does not grow when
    /// the mean stays the same.
    #[inline(always)]
    fn include(&mut self, count: f64, centre: f64, sum: f64, squares: f64) {
        let offset = sum / count;
        let total = self.count + count;
        let delta = centre + offset - self.mean;
        self.squares += (squares - sum * offset).max(0.0) + delta * delta * (self.count * count / total);
        self.mean += delta * (count / total);
        self.count = total;
    }

    pub(super) fn variance(&self) -> f64 {
        if self.count == 0.0 { 0.0 } else { self.squares / self.count }
    }
}

/// The moments of `x`.
pub(super) struct Measure<'a, T> {
    pub(super) x: &'a [T],
}

impl<T: Element> Kernel for Measure<'_, T> {
    type Output = Moments;

    #[inline(always)]
    fn run<S: Level>(self, s: S) -> Moments {
        let mut moments = Moments::default();
        let prefix = &self.x[..self.x.len().min(PREFIX)];
        let [sum, _] = chunk_sums(s, Deviations { centre: T::ZERO }, [prefix]);
        let mut centre = T::from_f64(sum.to_f64() / prefix.len().max(1) as f64);
        for chunk in self.x.chunks(CHUNK) {
            let [sum, squares] = chunk_sums(s, Deviations { centre }, [chunk]).map(T::to_f64);
            moments.include(chunk.len() as f64, centre.to_f64(), sum, squares);
            centre = T::from_f64(moments.mean);
        }
        moments
    }
}

/// The terms `x - centre` and `(x - centre)^2`.
#[derive(Clone, Copy)]
struct Deviations<T> {
    centre: T,
}

impl<T: Element> Terms<T, 1, 2> for Deviations<T> {
    #[inline(always)]
    fn add<S: Level>(self, s: S, [sum, squares]: [T::V<S>; 2], [x]: [T::V<S>; 1]) -> [T::V<S>; 2] {
        let deviation = T::vsub(s, x, T::splat(s, self.centre));
        [T::vadd(s, sum, deviation), T::mul_add(s, deviation, deviation, squares)]
    }

    #[inline(always)]
    fn nothing(self) -> [T; 1] {
        [self.centre]
    }
}
