//! What a metric sees of a shard.

use crate::targets::Targets;
use isograd_kernels::{Element, Isa};

/// The output of a shard with its targets.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct MetricInput<'a, T> {
    /// The instruction-set level of all kernels.
    pub isa: Isa,
    /// Samples in the shard.
    pub n: usize,
    /// Outputs of a sample.
    pub outputs: usize,
    /// The output of the network, `[outputs, n]`, samples innermost.
    pub output: &'a [T],
    /// What the output should be.
    pub targets: Targets<'a, T>,
}

impl<'a, T: Element> MetricInput<'a, T> {
    /// The `output` `[outputs, n]` of `n` samples.
    ///
    /// # Panics
    ///
    /// When there are no samples, or there is another number of targets.
    pub fn new(isa: Isa, n: usize, output: &'a [T], targets: Targets<'a, T>) -> Self {
        assert!(n > 0, "a metric of no samples");
        let outputs = output.len() / n;
        assert_eq!(targets.samples(outputs), n, "the targets of {n} samples");
        Self { isa, n, outputs, output, targets }
    }

    /// The number of classes that the outputs tell apart: two of a single output.
    pub fn classes(&self) -> usize {
        if self.outputs == 1 { 2 } else { self.outputs }
    }

    /// The output for `class` of sample number `sample`; of a single output, the probability of the class.
    pub fn probability(&self, class: usize, sample: usize) -> f64 {
        if self.outputs > 1 {
            return self.output[class * self.n + sample].to_f64();
        }
        let p = self.output[sample].to_f64();
        if class == 1 { p } else { 1.0 - p }
    }

    /// The class with the largest output of sample number `sample`, the first of equals; `None` if an output
    /// is NaN.
    pub fn predicted(&self, sample: usize) -> Option<usize> {
        let (mut best, mut largest) = (None, f64::NEG_INFINITY);
        for class in 0..self.classes() {
            let p = self.probability(class, sample);
            if p.is_nan() {
                return None;
            }
            if best.is_none() || p > largest {
                (best, largest) = (Some(class), p);
            }
        }
        best
    }

    /// The number of outputs of sample number `sample` that come before that of `class`: those that are
    /// larger or NaN, and those of earlier classes that are equal. All of them if that of the class is NaN.
    pub(super) fn rank(&self, class: usize, sample: usize) -> usize {
        let target = self.probability(class, sample);
        let is_behind = |other: usize| {
            let p = self.probability(other, sample);
            p < target || p == target && other >= class
        };
        (0..self.classes()).filter(|other| !is_behind(*other)).count()
    }

    /// Adds up `of_sample`, which takes a class and a number of a sample, over the samples and their classes:
    /// of shares of classes, the one with the largest.
    pub(super) fn sum_of_classes(&self, of_sample: impl Fn(usize, usize) -> f64) -> f64 {
        (0..self.n).fold(0.0, |sum, sample| {
            let class = match self.targets {
                Targets::Classes(labels) => labels[sample] as usize,
                Targets::Values(shares) => self.largest_share(shares, sample),
            };
            sum + of_sample(class, sample)
        })
    }

    /// The class with the largest share of sample number `sample`, the first of equals.
    fn largest_share(&self, shares: &[T], sample: usize) -> usize {
        let share = |class: usize| shares[class * self.n + sample];
        (1..self.outputs)
            .fold(0, |largest, class| if share(class) > share(largest) { class } else { largest })
    }
}
