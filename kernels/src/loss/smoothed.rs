//! Categorical cross-entropy with label smoothing and weights of classes.

use super::categorical::check_labels;
use super::check_len;
use crate::element::Element;
use crate::isa::Isa;
use crate::simd::{Kernel, Level};
use crate::softmax::Columns;

/// How the target of a sample is shared out among the classes: class `k` of a sample with the label `l` has
/// the target `weights[k] * ((1 - smoothing) [k = l] + smoothing / classes)`.
///
/// # Source
///
/// Szegedy et al.: "Rethinking the Inception architecture for computer vision", CVPR 2016, section 7. With
/// weights, the targets are those of PyTorch's `CrossEntropyLoss`. Its mean divides the sum by the sum of the
/// weights of the labels; here the caller divides.
#[derive(Debug, Clone, Copy, Default)]
pub struct LabelShares<'a> {
    /// The part of each target that all classes share equally, in [0, 1].
    pub smoothing: f64,
    /// The weight of each class, at least 0; `None` weighs all classes with 1.
    pub weights: Option<&'a [f64]>,
}

impl LabelShares<'_> {
    fn check(&self, what: &str, classes: usize) {
        let Self { smoothing, weights } = *self;
        assert!((0.0..=1.0).contains(&smoothing), "{what}: smoothing is {smoothing}, but must be in [0, 1]");
        if let Some(weights) = weights {
            check_len(what, "weights", weights, classes);
            for (class, weight) in weights.iter().enumerate() {
                let valid = *weight >= 0.0 && weight.is_finite();
                assert!(valid, "{what}: the weight of class {class} is {weight}, but must be at least 0");
            }
        }
    }

    #[inline(always)]
    fn weight(&self, class: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[class])
    }

    /// The target of a class that is not the label.
    #[inline(always)]
    fn spread(&self, class: usize, classes: usize) -> f64 {
        self.smoothing / classes as f64 * self.weight(class)
    }

    /// What the label has beyond [`spread`](Self::spread).
    #[inline(always)]
    fn own(&self, label: usize) -> f64 {
        (1.0 - self.smoothing) * self.weight(label)
    }

    /// The sum of [`spread`](Self::spread) over all classes.
    fn spread_total(&self, classes: usize) -> f64 {
        (0..classes).map(|class| self.spread(class, classes)).sum()
    }
}

struct SmoothedSoftmax<'a, T> {
    classes: usize,
    n: usize,
    logits: &'a [T],
    labels: &'a [u32],
    shares: LabelShares<'a>,
    /// The sum of the targets of all classes, without the label's own part.
    spread_total: f64,
    probs: &'a mut [T],
    gradient: Option<(f64, &'a mut [T])>,
}

impl<T: Element> Kernel for SmoothedSoftmax<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Level>(mut self, s: S) -> f64 {
        let mut total = 0.0;
        for first in (0..self.n).step_by(T::lanes::<S>()) {
            let columns = Columns::at::<T, S>(self.classes, self.n, first);
            let max = columns.max(s, self.logits);
            let sum = columns.exp_and_sum(s, self.logits, max, self.probs);
            let distance = self.spread_and_gradient(s, columns, max, sum);
            total += self.add_labels(columns, [[max], [sum], [distance]].map(copied::<T, S>));
        }
        total
    }
}

/// The lanes of a vector. No level has more than 16.
#[inline(always)]
fn copied<T: Element, S: Level>(vector: [T::V<S>; 1]) -> [f64; 16] {
    let mut lanes = [0.0; 16];
    for (lane, value) in lanes.iter_mut().zip(bytemuck::cast_slice::<_, T>(&vector)) {
        *lane = value.to_f64();
    }
    lanes
}

impl<T: Element> SmoothedSoftmax<'_, T> {
    /// Makes the exponentials probabilities, writes the gradient as if the labels had no part of their own,
    /// and returns the sum over the classes of `spread * (max - logits)`.
    #[inline(always)]
    fn spread_and_gradient<S: Level>(
        &mut self,
        s: S,
        columns: Columns,
        max: T::V<S>,
        sum: T::V<S>,
    ) -> T::V<S> {
        let mut target = [T::splat(s, T::ZERO)];
        let lanes: &mut [T] = bytemuck::cast_slice_mut(&mut target);
        for (lane, sample) in lanes[..columns.width].iter_mut().zip(columns.first..) {
            *lane = T::from_f64(self.spread_total + self.shares.own(self.labels[sample] as usize));
        }
        let mut distance = T::zero(s);
        for class in 0..self.classes {
            let p = T::vdiv(s, columns.load(s, self.probs, class), sum);
            columns.store(s, self.probs, class, p);
            let spread = self.shares.spread(class, self.classes);
            // Zero times infinity must be zero here: a class without a target costs nothing.
            if spread > 0.0 {
                let below = T::vsub(s, max, columns.load(s, self.logits, class));
                distance = T::mul_add(s, T::splat(s, T::from_f64(spread)), below, distance);
            }
            if let Some((scale, dlogits)) = &mut self.gradient {
                let spread = T::splat(s, T::from_f64(spread));
                let difference = T::vsub(s, T::vmul(s, target[0], p), spread);
                columns.store(s, dlogits, class, T::vmul(s, T::splat(s, T::from_f64(*scale)), difference));
            }
        }
        distance
    }

    /// Adds the labels' own parts to the gradient, and returns the sum of the losses of these columns.
    #[inline(always)]
    fn add_labels(&mut self, columns: Columns, [max, sum, distance]: [[f64; 16]; 3]) -> f64 {
        let mut total = 0.0;
        for lane in 0..columns.width {
            let sample = columns.first + lane;
            let label = self.labels[sample] as usize;
            let at = label * self.n + sample;
            let (own, spread) = (self.shares.own(label), self.shares.spread(label, self.classes));
            let target = self.spread_total + own;
            let mut loss = target * libm::log(sum[lane]) + distance[lane];
            if own > 0.0 {
                loss += own * (max[lane] - self.logits[at].to_f64());
            }
            total += loss;
            if let Some((scale, dlogits)) = &mut self.gradient {
                // Computed anew: the sum of two rounded parts would lose digits where p is close to 1.
                let difference = target * self.probs[at].to_f64() - (own + spread);
                dlogits[at] = T::from_f64(*scale * difference);
            }
        }
        total
    }
}

/// Softmax and categorical cross-entropy with shared targets in one pass: with `p = softmax(logits)`, the
/// loss of a sample is `-sum over k of target[k] ln p[k]`, with the targets of [`LabelShares`].
///
/// `logits`, `probs` and `dlogits` are `[classes, n]`; `labels` are `n` class indices. Overwrites `probs`
/// with the softmax, and `dlogits`, if given, with
/// `scale * (p[k] * (sum over j of target[j]) - target[k])`. Returns the sum of the `n` losses, which is not
/// scaled; it has the same bits with and without `dlogits`. Without smoothing and weights, this is
/// [`softmax_cross_entropy`](super::softmax_cross_entropy), which is faster.
///
/// The losses stay finite and accurate where probabilities underflow. A logit of minus infinity excludes its
/// class, and makes the loss infinite if the class has a target. A sample with a NaN or a plus infinity makes
/// the loss NaN.
///
/// # Panics
/// When a length does not fit, a label is not below `classes`, or a number of `shares` is outside its range.
#[expect(clippy::too_many_arguments, reason = "each is one tensor or one number of the formula")]
pub fn smoothed_softmax_cross_entropy<T: Element>(
    isa: Isa,
    classes: usize,
    n: usize,
    logits: &[T],
    labels: &[u32],
    shares: LabelShares<'_>,
    scale: f64,
    probs: &mut [T],
    dlogits: Option<&mut [T]>,
) -> f64 {
    let (what, len) = ("smoothed_softmax_cross_entropy", classes.saturating_mul(n));
    check_len(what, "logits", logits, len);
    check_len(what, "probs", probs, len);
    check_labels(what, classes, n, labels);
    shares.check(what, classes);
    if let Some(dlogits) = &dlogits {
        check_len(what, "dlogits", dlogits, len);
    }
    let (gradient, spread_total) = (dlogits.map(|dlogits| (scale, dlogits)), shares.spread_total(classes));
    isa.run(SmoothedSoftmax { classes, n, logits, labels, shares, spread_total, probs, gradient })
}

/// Categorical cross-entropy with shared targets on probabilities, for networks that do not end in a softmax:
/// the loss of a sample is `-sum over k of target[k] ln max(probs[k], 1e-8)`, with the targets of
/// [`LabelShares`].
///
/// `probs` and `dprobs` are `[classes, n]`; `labels` are `n` class indices. Overwrites `dprobs`, if given,
/// with `-scale * target[k] / max(probs[k], 1e-8)`, and with 0 where there is no target. Returns the sum of
/// the `n` losses, which is not scaled. A NaN probability of a class with a target makes the sum and its
/// gradient NaN. The computation is in f64 and gives the same bits at every level.
///
/// # Panics
/// When a length does not fit, a label is not below `classes`, or a number of `shares` is outside its range.
pub fn smoothed_cross_entropy<T: Element>(
    classes: usize,
    n: usize,
    probs: &[T],
    labels: &[u32],
    shares: LabelShares<'_>,
    scale: f64,
    mut dprobs: Option<&mut [T]>,
) -> f64 {
    let (what, len) = ("smoothed_cross_entropy", classes.saturating_mul(n));
    check_len(what, "probs", probs, len);
    check_labels(what, classes, n, labels);
    shares.check(what, classes);
    if let Some(dprobs) = &mut dprobs {
        check_len(what, "dprobs", dprobs, len);
        dprobs.fill(T::ZERO);
    }
    let mut total = 0.0;
    for class in 0..classes {
        let spread = shares.spread(class, classes);
        for (sample, label) in labels.iter().enumerate() {
            let is_label = *label as usize == class;
            let target = spread + if is_label { shares.own(class) } else { 0.0 };
            if target > 0.0 {
                let at = class * n + sample;
                let p = probs[at].to_f64();
                let p = if p < 1e-8 { 1e-8 } else { p };
                total -= target * libm::log(p);
                if let Some(dprobs) = &mut dprobs {
                    dprobs[at] = T::from_f64(-scale * target / p);
                }
            }
        }
    }
    total
}
