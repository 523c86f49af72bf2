//! The mean and the variance of a channel, in one pass over its values.

use super::block_len;
use super::forward::inverse_std;
use crate::Isa;
use crate::element::Element;
use crate::long_sum::{Terms, chunk_sums};
use crate::simd::{Kernel, Level};

/// The most elements in a chunk. The mean of all elements before a chunk is subtracted from the chunk's
/// elements.
const CHUNK: usize = 4096;
/// The mean of this many first elements is subtracted from the first chunk.
const PREFIX: usize = 512;

/// The moments of some values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    /// The number of values.
    pub count: f64,
    /// The mean; 0 of no values.
    pub mean: f64,
    /// The sum of squared deviations from the mean.
    pub squares: f64,
}

/// The moments of each channel; overwrites `moments`.
///
/// `x` has one block of equal length for each element of `moments`. The sums do not cancel: see
/// [`batch_norm_train`](super::batch_norm_train).
///
/// # Panics
///
/// When `x` cannot be cut into as many equal blocks as there are channels.
pub fn batch_norm_moments<T: Element>(isa: Isa, x: &[T], moments: &mut [Moments]) {
    let m = block_len("batch_norm_moments", moments.len(), x.len(), x.len());
    for (channel, moments) in moments.iter_mut().enumerate() {
        *moments = isa.run(Measure { x: &x[channel * m..(channel + 1) * m] });
    }
}

impl Moments {
    /// The moments of `count` values `x` with the sums `sum(x - centre)` and `sum((x - centre)^2)`.
    ///
    /// The sums of several sets of values may be added up before, if `centre` is the same. The relative
    /// rounding error of the variance is a few units of f64, times `1 + (mean - centre)^2 / variance`. So any
    /// `centre` does for values of f32 whose mean is less than ten thousand standard deviations away from it.
    ///
    /// ```
    /// use isograd_kernels::Isa;
    /// use isograd_kernels::batch_norm::{Moments, batch_norm_moments};
    /// let mut parts = [Moments::default(); 2]; // of 1, 2 and of 3, 6
    /// batch_norm_moments(Isa::best(), &[1.0f32, 2.0, 3.0, 6.0], &mut parts);
    /// let [a, b] = parts.map(|part| part.sums(0.0));
    /// let all = Moments::from_sums(4.0, 0.0, [a[0] + b[0], a[1] + b[1]]);
    /// assert_eq!((all.mean, all.variance()), (3.0, 3.5));
    /// ```
    pub fn from_sums(count: f64, centre: f64, [sum, squares]: [f64; 2]) -> Self {
        if count == 0.0 {
            return Self::default();
        }
        let offset = sum / count;
        let difference = squares - sum * offset;
        // A rounding error can make the difference negative. NaN stays NaN.
        let squares = if difference < 0.0 { 0.0 } else { difference };
        Self { count, mean: centre + offset, squares }
    }

    /// `[sum(x - centre), sum((x - centre)^2)]` of the values `x`.
    pub fn sums(&self, centre: f64) -> [f64; 2] {
        let offset = self.mean - centre;
        let sum = self.count * offset;
        [sum, self.squares + sum * offset]
    }

    /// The mean of the squared deviations from the mean, which is the biased variance; 0 of no values.
    pub fn variance(&self) -> f64 {
        if self.count == 0.0 { 0.0 } else { self.squares / self.count }
    }

    /// `1 / sqrt(variance + eps)`.
    pub fn inverse_std(&self, eps: f64) -> f64 {
        inverse_std(self.variance(), eps)
    }

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
