//! Binary cross-entropy.

use super::{Loss, LossInput, LossOutput, Takes, one_output_for_two_classes};
use crate::layer::Fusible;
use crate::targets::Targets;
use isograd_kernels::{Element, loss};

/// The mean over the outputs of `-t ln p - (1 - t) ln(1 - p)`, of probabilities: the last layer should be a
/// sigmoid. The loss is then computed from the sigmoid's input, where no probability rounds to 0 or 1; from
/// the output of another layer, it is computed with `p` clamped at 1e-8 (f64) or 6e-8 (f32) from both ends.
///
/// Targets are classes, or values in [0, 1]: several labels at a time, or probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BinaryCrossEntropy;

impl<T: Element> Loss<T> for BinaryCrossEntropy {
    fn name(&self) -> &'static str {
        "binary_cross_entropy"
    }

    fn takes(&self) -> Takes {
        Takes::Probabilities
    }

    fn fuses(&self) -> Option<Fusible> {
        Some(Fusible::Sigmoid)
    }

    fn takes_values(&self) -> bool {
        true
    }

    fn takes_value(&self, target: f64) -> bool {
        (0.0..=1.0).contains(&target)
    }

    fn most_classes(&self, outputs: usize) -> usize {
        one_output_for_two_classes(outputs)
    }

    fn evaluate(&self, input: LossInput<'_, T>) -> f64 {
        let LossInput { isa, outputs, global_batch_size, output, targets, scratch, gradient, .. } = input;
        if let Targets::Values(values) = targets
            && !values.iter().all(|value| (0.0..=1.0).contains(&value.to_f64()))
        {
            return f64::NAN;
        }
        let scale = 1.0 / global_batch_size as f64 / outputs as f64;
        let targets = targets.dense(outputs, scratch);
        let sum = match (output, gradient) {
            (LossOutput::Network(y), dy) => loss::binary_cross_entropy(y, targets, scale, dy),
            (LossOutput::LastLayer { x, y }, Some(dx)) => {
                loss::binary_cross_entropy_with_logits(isa, x, targets, scale, y, dx)
            }
            (LossOutput::LastLayer { x, y }, None) => {
                loss::binary_cross_entropy_with_logits_eval(isa, x, targets, y)
            }
        };
        sum / outputs as f64
    }
}
