//! Categorical cross-entropy, on logits and on probabilities.

use super::check_len;
use crate::element::Element;
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
                // There are two subtractions, because the sum max + ln(sum) would lose the digits of its
                // smaller term.
                total -= self.logits[at].to_f64() - max[lane].to_f64() - libm::log(sum[lane].to_f64());
                if let Some((scale, dlogits)) = &mut self.gradient {
                    dlogits[at] = *scale * (self.probs[at] - T::ONE);
                }
            }
        }
        total
    }
}

pub(super) fn check_labels(what: &str, classes: usize, n: usize, labels: &[u32]) {
    assert_eq!(labels.len(), n, "{what}: there are {} labels for {n} samples", labels.len());
    for (sample, label) in labels.iter().enumerate() {
        assert!(
            (*label as usize) < classes,
            "{what}: sample {sample} has label {label}, but there are only {classes} classes"
        );
    }
}

/// Softmax and categorical cross-entropy in one pass: with `p = softmax(logits)`, the loss of a sample is
/// `-ln p[label] = ln(sum over k of e^(logits[k] - m)) - (logits[label] - m)`, `m` the sample's largest
/// logit.
///
/// `logits`, `probs` and `dlogits` are `[classes, n]`; `labels` are `n` class indices. Overwrites `probs`
/// with the softmax, and `dlogits` with `scale * (probs - onehot(label))`. Returns the sum of the `n` losses,
/// which is not scaled.
///
/// The loss stays finite and accurate where the probability itself underflows. A logit of minus infinity
/// excludes its class: the probability and the gradient are 0, and the loss is infinite if the class is the
/// label. A sample with a NaN or a plus infinity makes the loss NaN, and so does a sample whose logits are
/// all minus infinity.
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
    check_len("softmax_cross_entropy", "dlogits", dlogits, classes.saturating_mul(n));
    let gradient = Some((T::from_f64(scale), dlogits));
    run_softmax_cross_entropy(isa, SoftmaxCrossEntropy { classes, n, logits, labels, probs, gradient })
}

/// [`softmax_cross_entropy`] without the gradient. `probs` and the sum of the losses have the same bits.
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
    let (what, len) = ("softmax_cross_entropy", kernel.classes.saturating_mul(kernel.n));
    check_len(what, "logits", kernel.logits, len);
    check_len(what, "probs", kernel.probs, len);
    check_labels(what, kernel.classes, kernel.n, kernel.labels);
    isa.run(kernel)
}

/// Categorical cross-entropy on probabilities, for networks that do not end in a softmax: the loss of a
/// sample is `-ln max(probs[label], 1e-8)`.
///
/// `probs` and `dprobs` are `[classes, n]`; `labels` are `n` class indices. Overwrites `dprobs`, if given,
/// with `-scale / max(probs[label], 1e-8)` at the labels and 0 elsewhere. The derivative of the maximum would
/// be 0 below 1e-8; the gradient ignores it and keeps its direction. Returns the sum of the `n` losses, which
/// is not scaled. A NaN probability of a label makes the sum and its gradient NaN. The logarithms are
/// computed in f64, one at a time, and have the same bits at every level.
///
/// # Panics
/// When a length does not fit, or a label is not below `classes`.
pub fn cross_entropy<T: Element>(
    classes: usize,
    n: usize,
    probs: &[T],
    labels: &[u32],
    scale: f64,
    mut dprobs: Option<&mut [T]>,
) -> f64 {
    check_len("cross_entropy", "probs", probs, classes.saturating_mul(n));
    check_labels("cross_entropy", classes, n, labels);
    if let Some(dprobs) = &mut dprobs {
        check_len("cross_entropy", "dprobs", dprobs, classes.saturating_mul(n));
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
