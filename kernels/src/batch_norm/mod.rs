//! Batch normalisation: each channel is brought to mean 0 and variance 1, then scaled and shifted.
//!
//! A channel of a `[C, H, W, N]` buffer is one contiguous block of `m = H*W*N` values, so every pass is a stream.
//!
//! # Source
//!
//! Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift", 2015,
//! algorithm 1 and section 3. Running statistics are the caller's.

mod moments;

use crate::element::Element;
use crate::simd::{Kernel, Level};
use crate::stretch::{Terms, sums};
use crate::{Activation, Isa};
use moments::Measure;

/// Normalises with the statistics of `x` itself, per channel:
///
/// `mean = sum(x) / m`, `var = sum((x - mean)^2) / m` (biased), `inv_std = 1 / sqrt(var + eps)`,
/// `y = (x - mean) * (inv_std * gamma) + beta`.
///
/// - `x`, `y`: `c` blocks of `m` values, `y` is overwritten.
/// - `gamma`, `beta`: `c` values.
/// - `mean`, `inv_std`, `var`: `c` values, overwritten. The first two are for [`batch_norm_backward`].
///
/// The sums are free of cancellation: each stretch of a channel is centred on the mean of what came before it, and the
/// stretches are combined in f64 (Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
/// Sample Variances", 1979). NaN and infinities in `x` make the channel NaN; squares that overflow `T` make its variance
/// infinite and its `y` equal `beta`. With `m = 0`, mean and variance are 0.
///
/// # Panics
///
/// When `x.len()` is no multiple of `c` or a length does not fit it.
#[expect(clippy::too_many_arguments, reason = "three outputs besides y are the operation's own")]
pub fn batch_norm_train<T: Element>(
    isa: Isa,
    c: usize,
    x: &[T],
    gamma: &[T],
    beta: &[T],
    eps: f64,
    y: &mut [T],
    mean: &mut [T],
    inv_std: &mut [T],
    var: &mut [T],
) {
    let m = block_len("batch_norm_train", c, x.len(), y.len());
    check_channels(
        c,
        [
            ("gamma", gamma.len()),
            ("beta", beta.len()),
            ("mean", mean.len()),
            ("inv_std", inv_std.len()),
            ("var", var.len()),
        ],
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

/// Normalises with given statistics, per channel:
/// `y = activation((x - running_mean) * (gamma / sqrt(running_var + eps)) + beta)`.
///
/// `x`, `y`: `c` blocks of equal length, `y` is overwritten; the others: `c` values. NaN propagates through the activation.
///
/// # Panics
///
/// When `x.len()` is no multiple of `c` or a length does not fit it.
#[expect(clippy::too_many_arguments, reason = "the operation has five inputs")]
pub fn batch_norm_eval<T: Element>(
    isa: Isa,
    c: usize,
    x: &[T],
    gamma: &[T],
    beta: &[T],
    running_mean: &[T],
    running_var: &[T],
    eps: f64,
    activation: Activation,
    y: &mut [T],
) {
    let m = block_len("batch_norm_eval", c, x.len(), y.len());
    check_channels(
        c,
        [
            ("gamma", gamma.len()),
            ("beta", beta.len()),
            ("running_mean", running_mean.len()),
            ("running_var", running_var.len()),
        ],
    );
    for channel in 0..c {
        let block = channel * m..(channel + 1) * m;
        let inv_std = inverse_std(running_var[channel].to_f64(), eps);
        isa.run(Normalise {
            x: &x[block.clone()],
            mean: running_mean[channel],
            scale: gamma[channel] * T::from_f64(inv_std),
            shift: beta[channel],
            relu: activation == Activation::Relu,
            y: &mut y[block],
        });
    }
}

/// The gradients of [`batch_norm_train`], per channel, with `xhat = (x - mean) * inv_std`:
///
/// `dbeta += sum(dy)`, `dgamma += sum(dy * xhat)`,
/// `dx = gamma * inv_std / m * (m * dy - sum(dy) - xhat * sum(dy * xhat))`.
///
/// - `x`, `dy`: `c` blocks of `m` values; `dx` the same, overwritten, or `None` when nobody needs it.
/// - `gamma`, `mean`, `inv_std`: `c` values, the last two as [`batch_norm_train`] wrote them.
/// - `dgamma`, `dbeta`: `c` values, added to.
///
/// # Panics
///
/// When `x.len()` is no multiple of `c` or a length does not fit it.
#[expect(clippy::too_many_arguments, reason = "the operation has five inputs and three outputs")]
pub fn batch_norm_backward<T: Element>(
    isa: Isa,
    c: usize,
    x: &[T],
    dy: &[T],
    gamma: &[T],
    mean: &[T],
    inv_std: &[T],
    mut dx: Option<&mut [T]>,
    dgamma: &mut [T],
    dbeta: &mut [T],
) {
    let m = block_len("batch_norm_backward", c, x.len(), dy.len());
    if let Some(dx) = &dx {
        block_len("batch_norm_backward", c, x.len(), dx.len());
    }
    check_channels(
        c,
        [
            ("gamma", gamma.len()),
            ("mean", mean.len()),
            ("inv_std", inv_std.len()),
            ("dgamma", dgamma.len()),
            ("dbeta", dbeta.len()),
        ],
    );
    for channel in 0..c {
        let block = channel * m..(channel + 1) * m;
        let (x, dy, mean) = (&x[block.clone()], &dy[block.clone()], mean[channel]);
        let [sum_dy, sum_product] = isa.run(Correlate { x, dy, mean });
        let inv_std = inv_std[channel].to_f64();
        dbeta[channel] += T::from_f64(sum_dy);
        dgamma[channel] += T::from_f64(sum_product * inv_std);
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
    assert_eq!(x, other, "{what}: buffers of {x} and {other} elements");
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
    // Folding the mean into the shift would save the subtraction and lose the small differences between large values.
    let y = T::mul_add(s, T::vsub(s, x, mean), scale, shift);
    if relu { T::relu(s, y) } else { y }
}

struct Correlate<'a, T> {
    x: &'a [T],
    dy: &'a [T],
    mean: T,
}

impl<T: Element> Kernel for Correlate<'_, T> {
    type Output = [f64; 2];

    /// `sum(dy)` and `sum(dy * (x - mean))`.
    #[inline(always)]
    fn run<S: Level>(self, s: S) -> [f64; 2] {
        sums(s, Correlation { mean: self.mean }, [self.x, self.dy])
    }
}

/// `dy` and `dy * (x - mean)`.
#[derive(Clone, Copy)]
struct Correlation<T> {
    mean: T,
}

impl<T: Element> Terms<T, 2, 2> for Correlation<T> {
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
