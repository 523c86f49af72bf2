//! Mean and variance of a channel.

use crate::element::Element;
use crate::long_sum::{Terms, chunk_sums};
use crate::simd::{Kernel, Level};

/// Elements that are centred on the mean of those before them.
const CHUNK: usize = 4096;
/// Elements whose mean the first chunk is centred on.
const PREFIX: usize = 512;

/// Count, mean and sum of squared deviations from it.
#[derive(Clone, Copy, Default)]
pub(super) struct Moments {
    count: f64,
    pub(super) mean: f64,
    squares: f64,
}

impl Moments {
    /// Takes in `count` further values, of which `sum = sum(x - centre)` and `squares = sum((x - centre)^2)`.
    ///
    /// `squares` exceeds what the chunk adds by `count * (mean of the chunk - centre)^2`, which the subtraction below
    /// cancels. With `centre` at the mean of `k` values that are themselves part of the total, these alone add `k` times
    /// that square, or half of it: the rounding error grows by a factor of at most `1 + 2 count / k`, and by none when
    /// the mean does not drift.
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

/// `x - centre` and `(x - centre)^2`.
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
