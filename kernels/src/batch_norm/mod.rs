//! Batch normalisation: each channel gets mean 0 and variance 1, and is then scaled and shifted.
//!
//! A channel of a `[C, H, W, N]` buffer is one contiguous block of `m = H*W*N` values, so every pass reads
//! and writes memory in order.
//!
//! # Source
//!
//! Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
//! Shift", 2015, algorithm 1 and section 3. The caller keeps the running statistics.

mod moments;

use crate::element::Element;
use crate::long_sum::{Terms, sums};
use crate::simd::{Kernel, Level};
use crate::{Accum, Activation, Isa};
use moments::Measure;

/// The factor and the addend of each normalised channel: one value for each channel.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a, T> {
    /// Factors.
    pub gamma: &'a [T],
    /// Addends.
    pub beta: &'a [T],
}

/// The gradients of [`Affine`], one value for each channel.
#[derive(Debug)]
pub struct AffineGradient<'a, T> {
    /// Of `gamma`.
    pub dgamma: &'a mut [T],
    /// Of `beta`.
    pub dbeta: &'a mut [T],
}

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

/// The [`BatchStatistics`] that [`batch_norm_backward`] reads.
#[derive(Debug, Clone, Copy)]
pub struct SavedStatistics<'a, T> {
    /// The mean.
    pub mean: &'a [T],
    /// `1 / sqrt(var + eps)`.
    pub inv_std: &'a [T],
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
/// `y = (x - mean) * (inv_std * gamma) + beta`.
///
/// - `x`, `y`: one block of `m` values for each channel of `affine`; `y` is overwritten.
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
pub fn batch_norm_train<T: Element>(
    isa: Isa,
    x: &[T],
    affine: Affine<'_, T>,
    eps: f64,
    y: &mut [T],
    statistics: BatchStatistics<'_, T>,
) {
    let (Affine { gamma, beta }, BatchStatistics { mean, var, inv_std }) = (affine, statistics);
    let c = gamma.len();
    let m = block_len("batch_norm_train", c, x.len(), y.len());
    check_channels(
        c,
        [("beta", beta.len()), ("mean", mean.len()), ("var", var.len()), ("inv_std", inv_std.len())],
    );
    for channel in 0..c {
        let block = channel * m..(channel + 1) * m;
        let x = &x[block.clone()];
        let moments = isa.run(Measure { x });
        let variance = moments.variance();
        mean[channel] = T::from_f64(moments.mean);
        var[channel] = T::from_f64(variance);
        inv_std[channel] = T::from_f64(inverse_std(variance, eps));
        isa.run(Normalise {
            x,
            mean: mean[channel],
            scale: gamma[channel] * inv_std[channel],
            shift: beta[channel],
            relu: false,
            y: &mut y[block],
        });
    }
}

/// Normalises each channel with given statistics:
/// `y = activation((x - mean) * (gamma / sqrt(var + eps)) + beta)`.
///
/// `x`, `y`: one block of equal length for each channel of `affine`; `y` is overwritten. NaN propagates
/// through the activation.
///
/// # Panics
///
/// When `x` cannot be cut into as many equal blocks as there are channels, or a length does not fit.
pub fn batch_norm_eval<T: Element>(
    isa: Isa,
    x: &[T],
    affine: Affine<'_, T>,
    running: RunningStatistics<'_, T>,
    eps: f64,
    activation: Activation,
    y: &mut [T],
) {
    let (Affine { gamma, beta }, RunningStatistics { mean, var }) = (affine, running);
    let c = gamma.len();
    let m = block_len("batch_norm_eval", c, x.len(), y.len());
    check_channels(c, [("beta", beta.len()), ("mean", mean.len()), ("var", var.len())]);
    for channel in 0..c {
        let block = channel * m..(channel + 1) * m;
        let inv_std = inverse_std(var[channel].to_f64(), eps);
        isa.run(Normalise {
            x: &x[block.clone()],
            mean: mean[channel],
            scale: gamma[channel] * T::from_f64(inv_std),
            shift: beta[channel],
            relu: activation == Activation::Relu,
            y: &mut y[block],
        });
    }
}

/// The gradients of [`batch_norm_train`]. For each channel, with `xhat = (x - mean) * inv_std`:
///
/// `dbeta = sum(dy)`, `dgamma = sum(dy * xhat)`,
/// `dx = gamma * inv_std / m * (m * dy - sum(dy) - xhat * sum(dy * xhat))`.
///
/// - `x`, `dy`: one block of `m` values for each channel of `gamma`.
/// - `dx`: as `x`; overwritten. `None` if the gradient of `x` is not needed.
/// - `saved`: statistics that [`batch_norm_train`] wrote.
/// - `gradient`: overwritten or added to.
///
/// The error of the sums is that of [`reduce::sum`](crate::reduce::sum), plus a few roundings.
///
/// # Panics
///
/// When `x` cannot be cut into as many equal blocks as there are channels, or a length does not fit.
#[expect(clippy::too_many_arguments, reason = "each is one tensor or one group of vectors of the formula")]
pub fn batch_norm_backward<T: Element>(
    isa: Isa,
    x: &[T],
    dy: &[T],
    gamma: &[T],
    saved: SavedStatistics<'_, T>,
    accum: Accum,
    mut dx: Option<&mut [T]>,
    gradient: AffineGradient<'_, T>,
) {
    let (SavedStatistics { mean, inv_std }, AffineGradient { dgamma, dbeta }) = (saved, gradient);
    let c = gamma.len();
    let m = block_len("batch_norm_backward", c, x.len(), dy.len());
    if let Some(dx) = &dx {
        block_len("batch_norm_backward", c, x.len(), dx.len());
    }
    check_channels(
        c,
        [("mean", mean.len()), ("inv_std", inv_std.len()), ("dgamma", dgamma.len()), ("dbeta", dbeta.len())],
    );
    for channel in 0..c {
        let block = channel * m..(channel + 1) * m;
        let (x, dy, mean) = (&x[block.clone()], &dy[block.clone()], mean[channel]);
        let [sum_dy, sum_product] = isa.run(GradientSums { x, dy, mean });
        let inv_std = inv_std[channel].to_f64();
        let sums = [(&mut dbeta[channel], sum_dy), (&mut dgamma[channel], sum_product * inv_std)];
        for (gradient, sum) in sums {
            let sum = T::from_f64(sum);
            *gradient = match accum {
                Accum::Replace => sum,
                Accum::Add => *gradient + sum,
            };
        }
        if let Some(dx) = &mut dx {
            let scale = gamma[channel].to_f64() * inv_std;
            isa.run(Gradient {
                x,
                dy,
                mean,
                scale: T::from_f64(scale),
                slope: T::from_f64(-scale * inv_std * inv_std * sum_product / m as f64),
                offset: T::from_f64(-scale * sum_dy / m as f64),
                dx: &mut dx[block],
            });
        }
    }
}

fn block_len(what: &str, c: usize, x: usize, other: usize) -> usize {
    assert_eq!(x, other, "{what}: one buffer has {x} elements and another has {other}");
    assert!(c > 0 && x.is_multiple_of(c), "{what}: {x} elements cannot be {c} channels of equal length");
    x / c
}

fn check_channels<const N: usize>(c: usize, lengths: [(&str, usize); N]) {
    for (name, len) in lengths {
        assert_eq!(len, c, "batch normalisation of {c} channels: {name} has {len} values");
    }
}

fn inverse_std(variance: f64, eps: f64) -> f64 {
    1.0 / (variance + eps).sqrt()
}

struct Normalise<'a, T> {
    x: &'a [T],
    mean: T,
    scale: T,
    shift: T,
    relu: bool,
    y: &'a mut [T],
}

impl<T: Element> Kernel for Normalise<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        let Self { x, mean, scale, shift, relu, y } = self;
        let (mean, scale, shift) = (T::splat(s, mean), T::splat(s, scale), T::splat(s, shift));
        let (x, x_tail) = T::split::<S>(x);
        let (y, y_tail) = T::split_mut::<S>(y);
        for (y, x) in y.iter_mut().zip(x) {
            *y = normalise::<S, T>(s, *x, mean, scale, shift, relu);
        }
        let x = T::load_partial(s, x_tail);
        T::store_partial(s, y_tail, normalise::<S, T>(s, x, mean, scale, shift, relu));
    }
}

#[inline(always)]
fn normalise<S: Level, T: Element>(
    s: S,
    x: T::V<S>,
    mean: T::V<S>,
    scale: T::V<S>,
    shift: T::V<S>,
    relu: bool,
) -> T::V<S> {
    // The mean could be part of the shift, without this subtraction. But then small differences between large
    // values would be lost.
    let y = T::mul_add(s, T::vsub(s, x, mean), scale, shift);
    if relu { T::relu(s, y) } else { y }
}

struct GradientSums<'a, T> {
    x: &'a [T],
    dy: &'a [T],
    mean: T,
}

impl<T: Element> Kernel for GradientSums<'_, T> {
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

struct Gradient<'a, T> {
    x: &'a [T],
    dy: &'a [T],
    mean: T,
    scale: T,
    slope: T,
    offset: T,
    dx: &'a mut [T],
}

impl<T: Element> Kernel for Gradient<'_, T> {
    type Output = ();

    /// `dx = scale * dy + (slope * (x - mean) + offset)`.
    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        let Self { x, dy, mean, scale, slope, offset, dx } = self;
        let (mean, scale) = (T::splat(s, mean), T::splat(s, scale));
        let line = (T::splat(s, slope), T::splat(s, offset));
        let (x, x_tail) = T::split::<S>(x);
        let (dy, dy_tail) = T::split::<S>(dy);
        let (dx, dx_tail) = T::split_mut::<S>(dx);
        for ((dx, dy), x) in dx.iter_mut().zip(dy).zip(x) {
            *dx = gradient::<S, T>(s, *x, *dy, mean, scale, line);
        }
        let (x, dy) = (T::load_partial(s, x_tail), T::load_partial(s, dy_tail));
        T::store_partial(s, dx_tail, gradient::<S, T>(s, x, dy, mean, scale, line));
    }
}

#[inline(always)]
fn gradient<S: Level, T: Element>(
    s: S,
    x: T::V<S>,
    dy: T::V<S>,
    mean: T::V<S>,
    scale: T::V<S>,
    (slope, offset): (T::V<S>, T::V<S>),
) -> T::V<S> {
    T::mul_add(s, scale, dy, T::mul_add(s, slope, T::vsub(s, x, mean), offset))
}
