//! Categorical cross-entropy with targets that are shares of classes, as mixup makes them.

use super::{CategoricalCrossEntropy, LossOutput};
use isograd_kernels::{Element, Isa, softmax};

/// Shares of a shard's samples, and what their loss depends on beside the output.
pub(super) struct Shares<'a, T> {
    pub(super) loss: &'a CategoricalCrossEntropy,
    pub(super) isa: Isa,
    pub(super) n: usize,
    pub(super) classes: usize,
    /// `[classes, n]`.
    pub(super) targets: &'a [T],
    /// What the gradient is multiplied with.
    pub(super) scale: f64,
}

impl<T: Element> Shares<'_, T> {
    /// The sum over samples and classes of `-t ln p`. Overwrites the gradient, if it is wanted.
    pub(super) fn evaluate(&self, output: LossOutput<'_, T>, gradient: Option<&mut [T]>) -> f64 {
        match output {
            LossOutput::Network(y) => self.of_probabilities(y, gradient),
            LossOutput::LastLayer { x, y } => self.of_softmax(x, y, gradient),
        }
    }

    /// The target of `class` of a sample, with smoothing and weights.
    fn target(&self, class: usize, sample: usize) -> f64 {
        let CategoricalCrossEntropy { smoothing, class_weights } = self.loss;
        let share = self.targets[class * self.n + sample].to_f64();
        let weight = class_weights.as_ref().map_or(1.0, |weights| weights[class]);
        weight * ((1.0 - smoothing) * share + smoothing / self.classes as f64)
    }

    /// From the input `x` of a softmax; overwrites its output `y`.
    ///
    /// `-ln p[k] = x[m] - ln p[m] - x[k]` for every class `m`: that of the largest probability, which is at
    /// least `1 / classes`, loses nothing.
    fn of_softmax(&self, x: &[T], y: &mut [T], mut gradient: Option<&mut [T]>) -> f64 {
        let Self { classes, n, scale, .. } = *self;
        softmax::softmax(self.isa, classes, n, x, y);
        let mut total = 0.0;
        for sample in 0..n {
            let at = |values: &[T], class: usize| values[class * n + sample].to_f64();
            let mut largest = 0;
            for class in 1..classes {
                if at(y, class) > at(y, largest) {
                    largest = class;
                }
            }
            let log_sum = at(x, largest) - libm::log(at(y, largest));
            let sum: f64 = (0..classes).map(|class| self.target(class, sample)).sum();
            for class in 0..classes {
                let target = self.target(class, sample);
                // Without a target, an infinite distance has no part in the loss.
                if target != 0.0 {
                    total += target * (log_sum - at(x, class));
                }
                if let Some(gradient) = &mut gradient {
                    gradient[class * n + sample] = T::from_f64(scale * (sum * at(y, class) - target));
                }
            }
        }
        total
    }

    /// From probabilities, clamped at 1e-8 as of classes.
    fn of_probabilities(&self, y: &[T], mut gradient: Option<&mut [T]>) -> f64 {
        let Self { classes, n, scale, .. } = *self;
        let mut total = 0.0;
        for sample in 0..n {
            for class in 0..classes {
                let (target, p) = (self.target(class, sample), y[class * n + sample].to_f64());
                let p = if p < 1e-8 { 1e-8 } else { p };
                if target != 0.0 {
                    total -= target * libm::log(p);
                }
                if let Some(gradient) = &mut gradient {
                    gradient[class * n + sample] =
                        if target == 0.0 { T::ZERO } else { T::from_f64(-scale * target / p) };
                }
            }
        }
        total
    }
}
