//! The gradients of batch normalisation. The sums over a channel come first, because every value of `dx`
//! depends on them.

use super::forward::{self, check_affine};
use super::{Normalisation, SavedStatistics, block_len, check_channels, factor};
use crate::activation::between;
use crate::element::Element;
use crate::elementwise::{Lanewise, update_accumulated};
use crate::long_sum::{Terms, sums};
use crate::simd::{Kernel, Level};
use crate::{Accum, Activation, Isa};

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

/// The gradients of [`batch_norm_train`](super::batch_norm_train). For each channel, with
/// `xhat = (x - mean) * inv_std`, and with 0 in the place of `dy` where the activation is constant, which a
/// ReLU is up to 0, and a ReLU6 from 6 on as well:
///
/// `dbeta = sum(dy)`, `dgamma = sum(dy * xhat)`,
/// `dx = gamma * inv_std / m * (m * dy - sum(dy) - xhat * sum(dy * xhat))`.
///
/// - `x`, `dy`: one block of `m` values for each channel of `forward`.
/// - `forward`: what the forward pass normalised with.
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
    forward: Normalisation<'_, T>,
    mut dx: Option<InputGradient<'_, T>>,
    mut gradient: AffineGradient<'_, T>,
) {
    let c = forward.channels();
    let m = block_len("batch_norm_backward", c, x.len(), dy.len());
    if let Some(InputGradient { dx, .. }) = &dx {
        block_len("batch_norm_backward", c, x.len(), dx.len());
    }
    gradient.check(c);
    for channel in 0..c {
        let block = channel * m..(channel + 1) * m;
        let (x, dy) = (&x[block.clone()], &dy[block.clone()]);
        let sums = forward.sums(isa, channel, x, dy);
        gradient.store(channel, sums, forward.saved.inv_std[channel]);
        if let Some(InputGradient { accum, dx }) = &mut dx {
            forward.input_gradient(isa, channel, [x, dy], m as f64, sums, *accum, &mut dx[block]);
        }
    }
}

/// The sums that the gradients of batch normalisation depend on. For each channel:
/// `[sum(dy), sum(dy * (x - mean))]`; overwrites `sums`.
///
/// `x`, `dy`: one block of equal length for each channel of `forward`, which is what the forward pass
/// normalised with. As in [`batch_norm_backward`], an activation makes some of `dy` 0. The error of a sum is
/// that of [`reduce::sum`](crate::reduce::sum), plus two roundings.
///
/// # Panics
///
/// When `x` cannot be cut into as many equal blocks as there are channels, or a length does not fit.
pub fn batch_norm_gradient_sums<T: Element>(
    isa: Isa,
    x: &[T],
    dy: &[T],
    forward: Normalisation<'_, T>,
    sums: &mut [[f64; 2]],
) {
    let c = forward.channels();
    let m = block_len("batch_norm_gradient_sums", c, x.len(), dy.len());
    check_channels(c, [("sums", Some(sums.len()))]);
    for (channel, sums) in sums.iter_mut().enumerate() {
        let block = channel * m..(channel + 1) * m;
        *sums = forward.sums(isa, channel, &x[block.clone()], &dy[block]);
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
/// - `x`, `dy`: one block of equal length for each channel of `forward`. They may be a part of the `m`
///   values.
///   As in [`batch_norm_backward`], an activation makes some of `dy` 0.
/// - `forward`: what the forward pass normalised with.
/// - `sums`: `m`, and the sums of [`batch_norm_gradient_sums`], added up over all parts.
///
/// # Panics
///
/// When `x` cannot be cut into as many equal blocks as there are channels, or a length does not fit.
pub fn batch_norm_input_gradient<T: Element>(
    isa: Isa,
    x: &[T],
    dy: &[T],
    forward: Normalisation<'_, T>,
    sums: GradientSums<'_>,
    dx: InputGradient<'_, T>,
) {
    let (InputGradient { accum, dx }, GradientSums { count, sums }) = (dx, sums);
    let c = forward.channels();
    let m = block_len("batch_norm_input_gradient", c, x.len(), dy.len());
    block_len("batch_norm_input_gradient", c, x.len(), dx.len());
    check_channels(c, [("sums", Some(sums.len()))]);
    for (channel, sums) in sums.iter().enumerate() {
        let block = channel * m..(channel + 1) * m;
        let inputs = [&x[block.clone()], &dy[block.clone()]];
        forward.input_gradient(isa, channel, inputs, count, *sums, accum, &mut dx[block]);
    }
}

impl<T: Element> Normalisation<'_, T> {
    /// The number of channels, after a check that all lengths are equal.
    fn channels(&self) -> usize {
        let c = self.saved.mean.len();
        check_channels(c, [("inv_std", Some(self.saved.inv_std.len()))]);
        check_affine(c, self.affine);
        c
    }

    /// What the activation of a channel was applied to.
    fn activated(&self, channel: usize) -> forward::Line<T> {
        let SavedStatistics { mean, inv_std } = self.saved;
        forward::Line::new(channel, self.affine, mean[channel], inv_std[channel])
    }

    /// `sum(dy)` and `sum(dy * (x - mean))` of a channel.
    fn sums(&self, isa: Isa, channel: usize, x: &[T], dy: &[T]) -> [f64; 2] {
        let mean = self.saved.mean[channel];
        match self.activation {
            Activation::Identity => isa.run(Sums { x, dy, terms: GradientTerms { mean, mask: Everywhere } }),
            Activation::Relu => {
                let mask = WherePositive(self.activated(channel));
                isa.run(Sums { x, dy, terms: GradientTerms { mean, mask } })
            }
            Activation::Relu6 => {
                let mask = WhereBetween(self.activated(channel));
                isa.run(Sums { x, dy, terms: GradientTerms { mean, mask } })
            }
        }
    }

    /// The gradient of the input of a channel with `count` values and these `sums`.
    #[expect(clippy::too_many_arguments, reason = "each is one tensor or one number of the formula")]
    fn input_gradient(
        &self,
        isa: Isa,
        channel: usize,
        inputs: [&[T]; 2],
        count: f64,
        sums: [f64; 2],
        accum: Accum,
        dx: &mut [T],
    ) {
        const WHAT: &str = "the input gradient of a batch normalisation";
        let SavedStatistics { mean, inv_std } = self.saved;
        let gamma = factor(self.affine.gamma, channel);
        let line = Line::new(gamma, mean[channel], inv_std[channel], count, sums);
        match self.activation {
            Activation::Identity => update_accumulated(isa, WHAT, line, accum, dx, inputs),
            Activation::Relu => {
                let masked = Masked { line, mask: WherePositive(self.activated(channel)) };
                update_accumulated(isa, WHAT, masked, accum, dx, inputs);
            }
            Activation::Relu6 => {
                let masked = Masked { line, mask: WhereBetween(self.activated(channel)) };
                update_accumulated(isa, WHAT, masked, accum, dx, inputs);
            }
        }
    }
}

/// Which of the values of `dy` count.
trait Mask<T: Element>: Copy {
    /// `dy`, or 0.
    fn apply<S: Level>(self, s: S, x: T::V<S>, dy: T::V<S>) -> T::V<S>;
}

/// All.
#[derive(Clone, Copy)]
struct Everywhere;

impl<T: Element> Mask<T> for Everywhere {
    #[inline(always)]
    fn apply<S: Level>(self, _: S, _: T::V<S>, dy: T::V<S>) -> T::V<S> {
        dy
    }
}

/// Those where the normalised value is positive, or NaN.
#[derive(Clone, Copy)]
struct WherePositive<T>(forward::Line<T>);

impl<T: Element> Mask<T> for WherePositive<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, x: T::V<S>, dy: T::V<S>) -> T::V<S> {
        let zero = T::zero(s);
        let [normalised] = self.0.apply(s, [zero], [x]);
        T::select(s, T::less_or_equal(s, normalised, zero), zero, dy)
    }
}

/// Those where the normalised value is between 0 and 6, or NaN.
#[derive(Clone, Copy)]
struct WhereBetween<T>(forward::Line<T>);

impl<T: Element> Mask<T> for WhereBetween<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, x: T::V<S>, dy: T::V<S>) -> T::V<S> {
        let [normalised] = self.0.apply(s, [T::zero(s)], [x]);
        between::<T, S>(s, normalised, [0.0, 6.0], dy)
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

struct Sums<'a, T, M> {
    x: &'a [T],
    dy: &'a [T],
    terms: GradientTerms<T, M>,
}

impl<T: Element, M: Mask<T>> Kernel for Sums<'_, T, M> {
    type Output = [f64; 2];

    /// `sum(dy)` and `sum(dy * (x - mean))`.
    #[inline(always)]
    fn run<S: Level>(self, s: S) -> [f64; 2] {
        sums(s, self.terms, [self.x, self.dy])
    }
}

/// The terms `dy` and `dy * (x - mean)`.
#[derive(Clone, Copy)]
struct GradientTerms<T, M> {
    mean: T,
    mask: M,
}

impl<T: Element, M: Mask<T>> Terms<T, 2, 2> for GradientTerms<T, M> {
    #[inline(always)]
    fn add<S: Level>(self, s: S, [sum, product]: [T::V<S>; 2], [x, dy]: [T::V<S>; 2]) -> [T::V<S>; 2] {
        let deviation = T::vsub(s, x, T::splat(s, self.mean));
        let dy = self.mask.apply(s, x, dy);
        [T::vadd(s, sum, dy), T::mul_add(s, deviation, dy, product)]
    }

    #[inline(always)]
    fn nothing(self) -> [T; 2] {
        [self.mean, T::ZERO]
    }
}

/// An update by [`Line`] with some of `dy` made 0.
#[derive(Clone, Copy)]
struct Masked<T, M> {
    line: Line<T>,
    mask: M,
}

impl<T: Element, M: Mask<T>> Lanewise<T, 1, 2> for Masked<T, M> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, y: [T::V<S>; 1], [x, dy]: [T::V<S>; 2]) -> [T::V<S>; 1] {
        self.line.apply(s, y, [x, self.mask.apply(s, x, dy)])
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
