//! The gradients of batch normalisation. The sums over a channel come first, because every value of `dx`
//! depends on them.

use super::{SavedStatistics, block_len, check_channels, factor};
use crate::element::Element;
use crate::elementwise::{Lanewise, update_accumulated};
use crate::long_sum::{Terms, sums};
use crate::simd::{Kernel, Level};
use crate::{Accum, Isa};

/// The gradients of [`Affine`](super::Affine), one value for each channel.
#[derive(Debug)]
pub struct AffineGradient<'a, T> {
    /// Whether they are overwritten or added to.
    pub accum: Accum,
    /// Of `gamma`, if it is needed.
    pub dgamma: Option<&'a mut [T]>,
    /// Of `beta`, if it is needed.
    pub dbeta: Option<&'a mut [T]>,
}

/// The gradient of the input.
#[derive(Debug)]
pub struct InputGradient<'a, T> {
    /// Whether it is overwritten or added to.
    pub accum: Accum,
    /// One block of values for each channel.
    pub dx: &'a mut [T],
}

/// The sums of [`batch_norm_gradient_sums`] over all values that were normalised together.
#[derive(Debug, Clone, Copy)]
pub struct GradientSums<'a> {
    /// The number of values of a channel that were added up.
    pub count: f64,
    /// For each channel, `sum(dy)` and `sum(dy * (x - mean))`.
    pub sums: &'a [[f64; 2]],
}

/// The gradients of [`batch_norm_train`](super::batch_norm_train) without an activation. For each channel,
/// with `xhat = (x - mean) * inv_std`:
///
/// `dbeta = sum(dy)`, `dgamma = sum(dy * xhat)`,
/// `dx = gamma * inv_std / m * (m * dy - sum(dy) - xhat * sum(dy * xhat))`.
///
/// - `x`, `dy`: one block of `m` values for each channel of `saved`.
/// - `gamma`: the factors; `None` stands for ones.
/// - `saved`: statistics that the forward pass wrote.
/// - `dx`: as `x`; overwritten or added to. `None` if the gradient of `x` is not needed.
/// - `gradient`: overwritten or added to.
///
/// The error of the sums is that of [`reduce::sum`](crate::reduce::sum), plus a few roundings.
///
/// # Panics
///
/// When `x` cannot be cut into as many equal blocks as there are channels, or a length does not fit.
pub fn batch_norm_backward<T: Element>(
    isa: Isa,
    x: &[T],
    dy: &[T],
    gamma: Option<&[T]>,
    saved: SavedStatistics<'_, T>,
    mut dx: Option<InputGradient<'_, T>>,
    mut gradient: AffineGradient<'_, T>,
) {
    let SavedStatistics { mean, inv_std } = saved;
    let c = mean.len();
    let m = block_len("batch_norm_backward", c, x.len(), dy.len());
    if let Some(InputGradient { dx, .. }) = &dx {
        block_len("batch_norm_backward", c, x.len(), dx.len());
    }
    check_channels(c, [("inv_std", Some(inv_std.len())), ("gamma", gamma.map(<[T]>::len))]);
    gradient.check(c);
    for channel in 0..c {
        let block = channel * m..(channel + 1) * m;
        let (x, dy, mean, inv_std) = (&x[block.clone()], &dy[block.clone()], mean[channel], inv_std[channel]);
        let sums = isa.run(Sums { x, dy, mean });
        gradient.store(channel, sums, inv_std);
        if let Some(InputGradient { accum, dx }) = &mut dx {
            let line = Line::new(factor(gamma, channel), mean, inv_std, m as f64, sums);
            update_accumulated(isa, "batch_norm_backward", line, *accum, &mut dx[block], [x, dy]);
        }
    }
}

/// The sums that the gradients of batch normalisation depend on. For each channel:
/// `[sum(dy), sum(dy * (x - mean))]`; overwrites `sums`.
///
/// `x`, `dy`: one block of equal length for each channel of `mean`. `mean` is the mean that `x` was
/// normalised with. The error of a sum is that of [`reduce::sum`](crate::reduce::sum), plus two roundings.
///
/// # Panics
///
/// When `x` cannot be cut into as many equal blocks as there are channels, or a length does not fit.
pub fn batch_norm_gradient_sums<T: Element>(isa: Isa, x: &[T], dy: &[T], mean: &[T], sums: &mut [[f64; 2]]) {
    let c = mean.len();
    let m = block_len("batch_norm_gradient_sums", c, x.len(), dy.len());
    check_channels(c, [("sums", Some(sums.len()))]);
    for channel in 0..c {
        let block = channel * m..(channel + 1) * m;
        sums[channel] = isa.run(Sums { x: &x[block.clone()], dy: &dy[block], mean: mean[channel] });
    }
}

/// The gradients of the factors and addends, from the sums of [`batch_norm_gradient_sums`]:
/// `dbeta = sum(dy)`, `dgamma = sum(dy * (x - mean)) * inv_std`; overwrites them or adds to them.
///
/// # Panics
///
/// When the lengths differ.
pub fn batch_norm_affine_gradient<T: Element>(
    sums: &[[f64; 2]],
    inv_std: &[T],
    mut gradient: AffineGradient<'_, T>,
) {
    let c = sums.len();
    check_channels(c, [("inv_std", Some(inv_std.len()))]);
    gradient.check(c);
    for (channel, (sums, inv_std)) in sums.iter().zip(inv_std).enumerate() {
        gradient.store(channel, *sums, *inv_std);
    }
}

/// The gradient of the input, from the sums over all `m` values that were normalised together. For each
/// channel, with `xhat = (x - mean) * inv_std`:
///
/// `dx = gamma * inv_std / m * (m * dy - sum(dy) - xhat * sum(dy * xhat))`; overwrites `dx` or adds to it.
///
/// - `x`, `dy`: one block of equal length for each channel of `saved`. They may be a part of the `m` values.
/// - `gamma`: the factors; `None` stands for ones.
/// - `sums`: `m`, and the sums of [`batch_norm_gradient_sums`], added up over all parts.
///
/// # Panics
///
/// When `x` cannot be cut into as many equal blocks as there are channels, or a length does not fit.
pub fn batch_norm_input_gradient<T: Element>(
    isa: Isa,
    x: &[T],
    dy: &[T],
    gamma: Option<&[T]>,
    saved: SavedStatistics<'_, T>,
    sums: GradientSums<'_>,
    dx: InputGradient<'_, T>,
) {
    let (SavedStatistics { mean, inv_std }, InputGradient { accum, dx }) = (saved, dx);
    let GradientSums { count, sums } = sums;
    let c = mean.len();
    let m = block_len("batch_norm_input_gradient", c, x.len(), dy.len());
    block_len("batch_norm_input_gradient", c, x.len(), dx.len());
    check_channels(
        c,
        [("inv_std", Some(inv_std.len())), ("gamma", gamma.map(<[T]>::len)), ("sums", Some(sums.len()))],
    );
    for channel in 0..c {
        let block = channel * m..(channel + 1) * m;
        let line = Line::new(factor(gamma, channel), mean[channel], inv_std[channel], count, sums[channel]);
        let inputs = [&x[block.clone()], &dy[block.clone()]];
        update_accumulated(isa, "batch_norm_input_gradient", line, accum, &mut dx[block], inputs);
    }
}

impl<T: Element> AffineGradient<'_, T> {
    fn check(&self, c: usize) {
        let lengths = [("dgamma", &self.dgamma), ("dbeta", &self.dbeta)];
        check_channels(c, lengths.map(|(name, values)| (name, values.as_ref().map(|values| values.len()))));
    }

    /// Stores the gradients of one channel.
    fn store(&mut self, channel: usize, [sum, product]: [f64; 2], inv_std: T) {
        for (gradient, sum) in [(&mut self.dbeta, sum), (&mut self.dgamma, product * inv_std.to_f64())] {
            let Some(gradient) = gradient else { continue };
            let sum = T::from_f64(sum);
            gradient[channel] = match self.accum {
                Accum::Replace => sum,
                Accum::Add => gradient[channel] + sum,
            };
        }
    }
}

struct Sums<'a, T> {
    x: &'a [T],
    dy: &'a [T],
    mean: T,
}

impl<T: Element> Kernel for Sums<'_, T> {
    type Output = [f64; 2];

    /// `sum(dy)` and `sum(dy * (x - mean))`.
    #[inline(always)]
    fn run<S: Level>(self, s: S) -> [f64; 2] {
        sums(s, GradientTerms { mean: self.mean }, [self.x, self.dy])
    }
}

/// The terms `dy` and `dy * (x - mean)`.
#[derive(Clone, Copy)]
struct GradientTerms<T> {
    mean: T,
}

impl<T: Element> Terms<T, 2, 2> for GradientTerms<T> {
    #[inline(always)]
    fn add<S: Level>(self, s: S, [sum, product]: [T::V<S>; 2], [x, dy]: [T::V<S>; 2]) -> [T::V<S>; 2] {
        let deviation = T::vsub(s, x, T::splat(s, self.mean));
        [T::vadd(s, sum, dy), T::mul_add(s, deviation, dy, product)]
    }

    #[inline(always)]
    fn nothing(self) -> [T; 2] {
        [self.mean, T::ZERO]
    }
}

/// The update `dx = scale * dy + (slope * (x - mean) + offset)`.
#[derive(Clone, Copy)]
struct Line<T> {
    mean: T,
    scale: T,
    slope: T,
    offset: T,
}

impl<T: Element> Line<T> {
    /// The update of a channel with `count` values and the sums `sum` of `dy` and `product` of
    /// `dy * (x - mean)`.
    fn new(gamma: T, mean: T, inv_std: T, count: f64, [sum, product]: [f64; 2]) -> Self {
        let inv_std = inv_std.to_f64();
        let scale = gamma.to_f64() * inv_std;
        Self {
            mean,
            scale: T::from_f64(scale),
            slope: T::from_f64(-scale * inv_std * inv_std * product / count),
            offset: T::from_f64(-scale * sum / count),
        }
    }
}

impl<T: Element> Lanewise<T, 1, 2> for Line<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, _: [T::V<S>; 1], [x, dy]: [T::V<S>; 2]) -> [T::V<S>; 1] {
        let deviation = T::vsub(s, x, T::splat(s, self.mean));
        let line = T::mul_add(s, T::splat(s, self.slope), deviation, T::splat(s, self.offset));
        [T::mul_add(s, T::splat(s, self.scale), dy, line)]
    }
}
