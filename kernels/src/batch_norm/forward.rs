//! Normalisation with the statistics of the values at hand, or with given ones.

use super::moments::Measure;
use super::{Affine, SavedStatistics, block_len, check_channels, factor};
use crate::element::Element;
use crate::elementwise::{Lanewise, update_finished};
use crate::simd::Level;
use crate::{Finish, Isa};

/// The statistics that [`batch_norm_train`] computes, one value for each channel.
#[derive(Debug)]
pub struct BatchStatistics<'a, T> {
    /// `sum(x) / m`.
    pub mean: &'a mut [T],
    /// `sum((x - mean)^2) / m`, which is the biased variance.
    pub var: &'a mut [T],
    /// `1 / sqrt(var + eps)`.
    pub inv_std: &'a mut [T],
}

/// The statistics that replace those of the batch in evaluation, one value for each channel.
#[derive(Debug, Clone, Copy)]
pub struct RunningStatistics<'a, T> {
    /// The mean.
    pub mean: &'a [T],
    /// The variance.
    pub var: &'a [T],
}

/// Normalises each channel with its own statistics:
///
/// `mean = sum(x) / m`, `var = sum((x - mean)^2) / m`, `inv_std = 1 / sqrt(var + eps)`,
/// `y = activation((x - mean) * (inv_std * gamma) + beta)`, with an addend before the activation if `finish`
/// has one.
///
/// - `x`, `y`: one block of `m` values for each channel of `statistics`; `y` is overwritten.
/// - `statistics`: overwritten.
///
/// The sums do not cancel: the mean of all values before a chunk of a channel is subtracted from the chunk,
/// and the chunks are combined in f64 (Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm
/// for Computing Sample Variances", 1979). NaN and infinities in `x` make the channel NaN. Squares that
/// overflow `T` make the variance infinite and `y` equal to `beta`. With `m = 0`, mean and variance are 0.
///
/// # Panics
///
/// When `x` cannot be cut into as many equal blocks as there are channels, or a length does not fit.
pub fn batch_norm_train<'f, T: Element>(
    isa: Isa,
    x: &[T],
    affine: Affine<'_, T>,
    eps: f64,
    finish: impl Into<Finish<'f, T>>,
    y: &mut [T],
    statistics: BatchStatistics<'_, T>,
) {
    let BatchStatistics { mean, var, inv_std } = statistics;
    let c = mean.len();
    let m = block_len("batch_norm_train", c, x.len(), y.len());
    let finish = finish.into();
    finish.check(y.len());
    check_channels(c, [("var", Some(var.len())), ("inv_std", Some(inv_std.len()))]);
    check_affine(c, affine);
    for channel in 0..c {
        let block = channel * m..(channel + 1) * m;
        let x = &x[block.clone()];
        let moments = isa.run(Measure { x });
        mean[channel] = T::from_f64(moments.mean);
        var[channel] = T::from_f64(moments.variance());
        inv_std[channel] = T::from_f64(moments.inverse_std(eps));
        let line = Line::new(channel, affine, mean[channel], inv_std[channel]);
        let finish = finish.part(block.clone());
        update_finished(isa, "batch_norm_train", line, finish, &mut y[block], x);
    }
}

/// Normalises each channel with given statistics:
/// `y = activation((x - mean) * (gamma / sqrt(var + eps)) + beta)`.
///
/// `x`, `y`: one block of equal length for each channel of `running`; `y` is overwritten. NaN propagates
/// through the activation. If `finish` has an addend, it is added before the activation.
///
/// # Panics
///
/// When `x` cannot be cut into as many equal blocks as there are channels, or a length does not fit.
pub fn batch_norm_eval<'f, T: Element>(
    isa: Isa,
    x: &[T],
    affine: Affine<'_, T>,
    running: RunningStatistics<'_, T>,
    eps: f64,
    finish: impl Into<Finish<'f, T>>,
    y: &mut [T],
) {
    let RunningStatistics { mean, var } = running;
    let c = mean.len();
    let m = block_len("batch_norm_eval", c, x.len(), y.len());
    let finish = finish.into();
    finish.check(y.len());
    check_channels(c, [("var", Some(var.len()))]);
    check_affine(c, affine);
    for channel in 0..c {
        let block = channel * m..(channel + 1) * m;
        let inv_std = T::from_f64(inverse_std(var[channel].to_f64(), eps));
        let line = Line::new(channel, affine, mean[channel], inv_std);
        let finish = finish.part(block.clone());
        update_finished(isa, "batch_norm_eval", line, finish, &mut y[block.clone()], &x[block]);
    }
}

/// Normalises each channel with a given mean and standard deviation:
/// `y = activation((x - mean) * (inv_std * gamma) + beta)`.
///
/// `x`, `y`: one block of equal length for each channel of `statistics`; `y` is overwritten. NaN propagates
/// through the activation. If `finish` has an addend, it is added before the activation.
///
/// # Panics
///
/// When `x` cannot be cut into as many equal blocks as there are channels, or a length does not fit.
pub fn batch_norm_normalise<'f, T: Element>(
    isa: Isa,
    x: &[T],
    affine: Affine<'_, T>,
    statistics: SavedStatistics<'_, T>,
    finish: impl Into<Finish<'f, T>>,
    y: &mut [T],
) {
    let SavedStatistics { mean, inv_std } = statistics;
    let c = mean.len();
    let m = block_len("batch_norm_normalise", c, x.len(), y.len());
    let finish = finish.into();
    finish.check(y.len());
    check_channels(c, [("inv_std", Some(inv_std.len()))]);
    check_affine(c, affine);
    for channel in 0..c {
        let block = channel * m..(channel + 1) * m;
        let line = Line::new(channel, affine, mean[channel], inv_std[channel]);
        let finish = finish.part(block.clone());
        update_finished(isa, "batch_norm_normalise", line, finish, &mut y[block.clone()], &x[block]);
    }
}

pub(super) fn check_affine<T>(c: usize, Affine { gamma, beta }: Affine<'_, T>) {
    check_channels(c, [("gamma", gamma.map(<[T]>::len)), ("beta", beta.map(<[T]>::len))]);
}

pub(super) fn inverse_std(variance: f64, eps: f64) -> f64 {
    1.0 / (variance + eps).sqrt()
}

/// The update `y = (x - mean) * scale + shift`.
///
/// The mean could be part of the shift, without this subtraction. But then small differences between large
/// values would be lost.
#[derive(Clone, Copy)]
pub(super) struct Line<T> {
    mean: T,
    scale: T,
    shift: T,
}

impl<T: Element> Line<T> {
    pub(super) fn new(channel: usize, Affine { gamma, beta }: Affine<'_, T>, mean: T, inv_std: T) -> Self {
        let shift = beta.map_or(T::ZERO, |beta| beta[channel]);
        Self { mean, scale: factor(gamma, channel) * inv_std, shift }
    }
}

impl<T: Element> Lanewise<T, 1, 1> for Line<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, _: [T::V<S>; 1], [x]: [T::V<S>; 1]) -> [T::V<S>; 1] {
        let deviation = T::vsub(s, x, T::splat(s, self.mean));
        [T::mul_add(s, deviation, T::splat(s, self.scale), T::splat(s, self.shift))]
    }
}
