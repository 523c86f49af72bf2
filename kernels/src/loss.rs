//! Losses with their gradients: categorical and binary cross-entropy, mean squared error.
//!
//! Every function returns the *sum* of the losses in f64, added in the order of the elements, and writes gradients that are
//! already multiplied by `scale`. With `scale` = 1 / global batch size the gradients of all shards simply add up to that of
//! the mean loss, ragged last batches included.

use crate::element::Element;
use crate::elementwise::{Lanewise, update};
use crate::isa::Isa;
use crate::simd::{Kernel, Level};
use crate::softmax::Columns;

struct SoftmaxCrossEntropy<'a, T> {
    classes: usize,
    n: usize,
    logits: &'a [T],
    labels: &'a [u32],
    probs: &'a mut [T],
    gradient: Option<(T, &'a mut [T])>,
}

impl<T: Element> Kernel for SoftmaxCrossEntropy<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Level>(mut self, s: S) -> f64 {
        let mut total = 0.0;
        for first in (0..self.n).step_by(T::lanes::<S>()) {
            let columns = Columns::at::<T, S>(self.classes, self.n, first);
            let max = columns.max(s, self.logits);
            let sum = columns.exp_and_sum(s, self.logits, max, self.probs);
            for class in 0..self.classes {
                let p = T::vdiv(s, columns.load(s, self.probs, class), sum);
                columns.store(s, self.probs, class, p);
                if let Some((scale, dlogits)) = &mut self.gradient {
                    columns.store(s, dlogits, class, T::vmul(s, T::splat(s, *scale), p));
                }
            }
            let (max, sum) = ([max], [sum]);
            let (max, sum) = (bytemuck::cast_slice::<_, T>(&max), bytemuck::cast_slice::<_, T>(&sum));
            for lane in 0..columns.width {
                let sample = first + lane;
                let at = self.labels[sample] as usize * self.n + sample;
                // Two subtractions: max + ln(sum) would lose the small term.
                total -= self.logits[at].to_f64() - max[lane].to_f64() - libm::log(sum[lane].to_f64());
                if let Some((scale, dlogits)) = &mut self.gradient {
                    dlogits[at] = *scale * (self.probs[at] - T::ONE);
                }
            }
        }
        total
    }
}

fn check_labels(what: &str, classes: usize, n: usize, labels: &[u32]) {
    assert_eq!(labels.len(), n, "{what}: {} labels for {n} samples", labels.len());
    for (sample, label) in labels.iter().enumerate() {
        assert!(
            (*label as usize) < classes,
            "{what}: label {label} of sample {sample} with {classes} classes"
        );
    }
}

fn check_len<T>(what: &str, name: &str, x: &[T], len: usize) {
    assert_eq!(x.len(), len, "{what}: {name} has {} elements, expected {len}", x.len());
}

/// Softmax and categorical cross-entropy in one: with `p = softmax(logits)`, the loss of a sample is
/// `-ln p[label] = ln(sum over k of e^(logits[k] - m)) - (logits[label] - m)`, `m` the sample's largest logit.
///
/// `logits`, `probs`, `dlogits`: `[classes, n]`; `labels`: `n` class indices. Overwrites `probs` with the softmax and
/// `dlogits` with `scale * (probs - onehot(label))`. Returns the sum of the `n` losses, not scaled.
///
/// The loss stays finite and accurate where the probability itself underflows. NaN or infinite logits make the loss NaN.
///
/// # Panics
/// When a length does not fit, or a label is not below `classes`.
#[expect(clippy::too_many_arguments, reason = "each is one tensor or one number of the formula")]
pub fn softmax_cross_entropy<T: Element>(
    isa: Isa,
    classes: usize,
    n: usize,
    logits: &[T],
    labels: &[u32],
    scale: f64,
    probs: &mut [T],
    dlogits: &mut [T],
) -> f64 {
    check_len("softmax_cross_entropy", "dlogits", dlogits, classes * n);
    let gradient = Some((T::from_f64(scale), dlogits));
    run_softmax_cross_entropy(isa, SoftmaxCrossEntropy { classes, n, logits, labels, probs, gradient })
}

/// [`softmax_cross_entropy`] without the gradient: the same `probs` and the same sum of losses, bit for bit.
///
/// # Panics
/// When a length does not fit, or a label is not below `classes`.
pub fn softmax_cross_entropy_eval<T: Element>(
    isa: Isa,
    classes: usize,
    n: usize,
    logits: &[T],
    labels: &[u32],
    probs: &mut [T],
) -> f64 {
    run_softmax_cross_entropy(isa, SoftmaxCrossEntropy { classes, n, logits, labels, probs, gradient: None })
}

fn run_softmax_cross_entropy<T: Element>(isa: Isa, kernel: SoftmaxCrossEntropy<'_, T>) -> f64 {
    let (what, len) = ("softmax_cross_entropy", kernel.classes * kernel.n);
    check_len(what, "logits", kernel.logits, len);
    check_len(what, "probs", kernel.probs, len);
    check_labels(what, kernel.classes, kernel.n, kernel.labels);
    isa.run(kernel)
}

/// How far [`binary_cross_entropy`] keeps probabilities from 0 and 1: 1e-8, or in f32 half an `EPSILON`, the distance from
/// 1 to its lower neighbour.
fn margin<T: Element>() -> f64 {
    (T::EPSILON.to_f64() / 2.0).max(1e-8)
}

/// Categorical cross-entropy on probabilities, for networks that do not end in a softmax: the loss of a sample is
/// `-ln max(probs[label], 1e-8)`.
///
/// `probs`, `dprobs`: `[classes, n]`; `labels`: `n` class indices. Overwrites `dprobs`, if given, with
/// `-scale / max(probs[label], 1e-8)` at the labels and 0 elsewhere: below the clamp the gradient keeps its direction
/// instead of vanishing with the derivative of the clamp. Returns the sum of the `n` losses, not scaled. A NaN probability
/// makes both NaN. The logarithms are taken one by one in f64, the same at every level.
///
/// # Panics
/// When a length does not fit, or a label is not below `classes`.
pub fn cross_entropy<T: Element>(
    _isa: Isa,
    classes: usize,
    n: usize,
    probs: &[T],
    labels: &[u32],
    scale: f64,
    mut dprobs: Option<&mut [T]>,
) -> f64 {
    check_len("cross_entropy", "probs", probs, classes * n);
    check_labels("cross_entropy", classes, n, labels);
    if let Some(dprobs) = &mut dprobs {
        check_len("cross_entropy", "dprobs", dprobs, classes * n);
        dprobs.fill(T::ZERO);
    }
    let mut total = 0.0;
    for (sample, label) in labels.iter().enumerate() {
        let at = *label as usize * n + sample;
        let p = probs[at].to_f64();
        let p = if p < 1e-8 { 1e-8 } else { p };
        total -= libm::log(p);
        if let Some(dprobs) = &mut dprobs {
            dprobs[at] = T::from_f64(-scale / p);
        }
    }
    total
}

/// Binary cross-entropy on probabilities: `-(t ln p + (1 - t) ln(1 - p))` for each element.
///
/// `p`, `t`, `dp`: any equal length; targets in [0, 1]. `p` is clamped to `[eps, 1 - eps]` first, with `eps` = 1e-8 in f64
/// and 6.0e-8 (half an `EPSILON`, so that `1 - eps` is an f32) in f32. Overwrites `dp`, if given, with
/// `scale * (p - t) / (p (1 - p))` at the clamped `p`: there the gradient keeps its direction. Returns the sum over all
/// elements, not scaled. NaN makes both NaN. Computed in f64, the same at every level.
///
/// # Panics
/// When the lengths differ.
pub fn binary_cross_entropy<T: Element>(
    _isa: Isa,
    p: &[T],
    t: &[T],
    scale: f64,
    mut dp: Option<&mut [T]>,
) -> f64 {
    check_len("binary_cross_entropy", "t", t, p.len());
    if let Some(dp) = &dp {
        check_len("binary_cross_entropy", "dp", dp, p.len());
    }
    let eps = margin::<T>();
    let mut total = 0.0;
    for (i, (p, t)) in p.iter().zip(t).enumerate() {
        // `clamp` keeps NaN.
        let (p, t) = (p.to_f64().clamp(eps, 1.0 - eps), t.to_f64());
        total -= t * libm::log(p) + (1.0 - t) * libm::log1p(-p);
        if let Some(dp) = &mut dp {
            dp[i] = T::from_f64(scale * (p - t) / (p * (1.0 - p)));
        }
    }
    total
}

struct SquaredError<'a, T> {
    y: &'a [T],
    t: &'a [T],
}

impl<T: Element> Kernel for SquaredError<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Level>(self, _: S) -> f64 {
        // A plain loop: the eight independent sums are what the compiler needs to vectorise it.
        let (y, y_rest) = self.y.as_chunks::<8>();
        let (t, t_rest) = self.t.as_chunks::<8>();
        let mut sums = [0.0; 8];
        for (y, t) in y.iter().zip(t) {
            for lane in 0..8 {
                let d = y[lane].to_f64() - t[lane].to_f64();
                sums[lane] += d * d;
            }
        }
        for (sum, (y, t)) in sums.iter_mut().zip(y_rest.iter().zip(t_rest)) {
            let d = y.to_f64() - t.to_f64();
            *sum += d * d;
        }
        let [a, b, c, d, e, f, g, h] = sums;
        ((a + b) + (c + d)) + ((e + f) + (g + h))
    }
}

#[derive(Clone, Copy)]
struct ScaledDifference<T>(T);

impl<T: Element> Lanewise<T, 1, 2> for ScaledDifference<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, _: [T::V<S>; 1], [y, t]: [T::V<S>; 2]) -> [T::V<S>; 1] {
        [T::vmul(s, T::splat(s, self.0), T::vsub(s, y, t))]
    }
}

/// Squared error: the sum over all elements of `(y[i] - t[i])^2`; the caller divides.
///
/// `y`, `t`, `dy`: any equal length. Overwrites `dy`, if given, with `scale * 2 (y - t)`. The sum is taken in f64, element
/// `i` in the partial sum `i mod 8`, the same at every level. NaN makes both NaN.
///
/// # Panics
/// When the lengths differ.
pub fn mean_squared_error<T: Element>(isa: Isa, y: &[T], t: &[T], scale: f64, dy: Option<&mut [T]>) -> f64 {
    check_len("mean_squared_error", "t", t, y.len());
    if let Some(dy) = dy {
        update(isa, "mean_squared_error", ScaledDifference(T::from_f64(2.0 * scale)), [dy], [y, t]);
    }
    isa.run(SquaredError { y, t })
}
