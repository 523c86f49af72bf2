//! Binary cross-entropy, on logits and on probabilities.

use super::check_len;
use crate::element::Element;
use crate::isa::Isa;
use crate::simd::{Kernel, Level};
use crate::softmax::Columns;

struct SigmoidCrossEntropy<'a, T> {
    logits: &'a [T],
    t: &'a [T],
    probs: &'a mut [T],
    gradient: Option<(T, &'a mut [T])>,
}

impl<T: Element> Kernel for SigmoidCrossEntropy<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Level>(mut self, s: S) -> f64 {
        let (zero, one) = (T::zero(s), T::splat(s, T::ONE));
        let mut total = 0.0;
        for first in (0..self.logits.len()).step_by(T::lanes::<S>()) {
            let columns = Columns::at::<T, S>(1, self.logits.len(), first);
            let (x, t) = (columns.load(s, self.logits, 0), columns.load(s, self.t, 0));
            let positive = T::less_than(s, zero, x);
            let e = T::exp(s, T::vneg(s, x));
            let p = T::vdiv(s, one, T::vadd(s, one, e));
            columns.store(s, self.probs, 0, p);

            // The share of the target that disagrees with the sign of the logit: t for negative logits, 1 - t
            // for positive ones.
            let not_t = T::vsub(s, one, t);
            let contradicted = T::select(s, positive, not_t, t);
            let distance = T::vmul(s, contradicted, T::abs(s, x));
            // Here zero times infinity must be zero, so that an infinite logit that agrees with its target
            // costs nothing.
            let distance = T::select(s, T::equal(s, contradicted, zero), zero, distance);
            let decay = T::select(s, positive, e, T::vdiv(s, one, e));
            let loss = [T::vadd(s, distance, T::ln_1p(s, decay))];
            for loss in &bytemuck::cast_slice::<_, T>(&loss)[..columns.width] {
                total += loss.to_f64();
            }

            if let Some((scale, dlogits)) = &mut self.gradient {
                // 1 - p would lose all digits where p is close to 1.
                let not_p = T::select(s, positive, T::vmul(s, e, p), T::vsub(s, one, p));
                let difference = T::vsub(s, T::vmul(s, not_t, p), T::vmul(s, t, not_p));
                columns.store(s, dlogits, 0, T::vmul(s, T::splat(s, *scale), difference));
            }
        }
        total
    }
}

/// Sigmoid and binary cross-entropy in one pass: with `p = sigmoid(logits)`, the loss of an element is
/// `-(t ln p + (1 - t) ln(1 - p)) = max(x, 0) - x t + ln(1 + e^-|x|)`, `x` its logit.
///
/// `logits`, `t`, `probs` and `dlogits` have one length. The targets `t` are in [0, 1]. Overwrites `probs`
/// with the sigmoid, which has the same bits as that of [`sigmoid`](crate::activation::sigmoid), and
/// `dlogits` with `scale * (p - t)`. Returns the sum of the losses of all elements, which is not scaled.
///
/// Losses and gradients stay accurate where `p` rounds to 0 or 1. The relative error of each loss is at most
/// `6 EPSILON`. The error of each gradient is at most `8 EPSILON * scale * ((1 - t) p + t (1 - p))`, unless
/// this is subnormal. The loss of an infinite logit is 0 where the target agrees with the logit, and infinite
/// elsewhere. A NaN makes the sum NaN, and its own probability and gradient.
///
/// # Panics
/// When the lengths differ.
pub fn binary_cross_entropy_with_logits<T: Element>(
    isa: Isa,
    logits: &[T],
    t: &[T],
    scale: f64,
    probs: &mut [T],
    dlogits: &mut [T],
) -> f64 {
    check_len("binary_cross_entropy_with_logits", "dlogits", dlogits, logits.len());
    let gradient = Some((T::from_f64(scale), dlogits));
    run_sigmoid_cross_entropy(isa, SigmoidCrossEntropy { logits, t, probs, gradient })
}

/// [`binary_cross_entropy_with_logits`] without the gradient. `probs` and the sum of the losses have the same
/// bits.
///
/// # Panics
/// When the lengths differ.
pub fn binary_cross_entropy_with_logits_eval<T: Element>(
    isa: Isa,
    logits: &[T],
    t: &[T],
    probs: &mut [T],
) -> f64 {
    run_sigmoid_cross_entropy(isa, SigmoidCrossEntropy { logits, t, probs, gradient: None })
}

fn run_sigmoid_cross_entropy<T: Element>(isa: Isa, kernel: SigmoidCrossEntropy<'_, T>) -> f64 {
    let (what, len) = ("binary_cross_entropy_with_logits", kernel.logits.len());
    check_len(what, "t", kernel.t, len);
    check_len(what, "probs", kernel.probs, len);
    isa.run(kernel)
}

/// The distance that [`binary_cross_entropy`] keeps probabilities from 0 and 1: 1e-8 in f64. In f32 it is
/// half an `EPSILON`, which is the distance from 1 to the next smaller value.
fn margin<T: Element>() -> f64 {
    (T::EPSILON.to_f64() / 2.0).max(1e-8)
}

/// Binary cross-entropy on probabilities: `-(t ln p + (1 - t) ln(1 - p))` for each element.
///
/// `p`, `t` and `dp` have one length. The targets `t` are in [0, 1]. `p` is clamped to `[eps, 1 - eps]`
/// first. `eps` is 1e-8 in f64; in f32 it is 6.0e-8 (half an `EPSILON`), so that `1 - eps` is an f32.
/// Overwrites `dp`, if given, with `scale * (p - t) / (p (1 - p))` for the clamped `p`, so that the gradient
/// keeps its direction where `p` is clamped. Returns the sum over all elements, which is not scaled. NaN
/// makes the sum and the gradient NaN. The computation is in f64 and gives the same bits at every level.
///
/// # Panics
/// When the lengths differ.
pub fn binary_cross_entropy<T: Element>(p: &[T], t: &[T], scale: f64, mut dp: Option<&mut [T]>) -> f64 {
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
