//! Categorical cross-entropy.

use super::shares::Shares;
use super::{Loss, LossInput, LossOutput, Takes};
use crate::error::Error;
use crate::layer::Fusible;
use crate::targets::Targets;
use isograd_kernels::Element;
use isograd_kernels::loss::{self, LabelShares};

/// `-ln p[class]`, of probabilities that add up to 1: the last layer should be a softmax. The loss is then
/// computed from the softmax's input (log-softmax), where no probability underflows; from the output of
/// another layer, it is computed with `p` clamped at 1e-8. Targets are classes, or shares of classes, as
/// mixup makes them.
///
/// With shares, smoothing or weights, the loss of a sample is `-sum over k of t[k] ln p[k]` with `t[k] =
/// weights[k] * ((1 - smoothing) share[k] + smoothing / classes)`; of a class, its own share is 1. The mean
/// is that over samples: the sum is divided by their number, and not by the sum of their weights, as in
/// PyTorch's `CrossEntropyLoss`.
///
/// # Source
///
/// Smoothing: Szegedy et al.: "Rethinking the Inception architecture for computer vision", CVPR 2016, section
/// 7.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CategoricalCrossEntropy {
    /// The part of each target that all classes share equally, in [0, 1].
    pub smoothing: f64,
    /// The weight of each class, at least 0; `None` weighs all classes with 1.
    pub class_weights: Option<Vec<f64>>,
}

impl CategoricalCrossEntropy {
    /// Without smoothing and weights.
    pub const fn new() -> Self {
        Self { smoothing: 0.0, class_weights: None }
    }

    fn is_plain(&self) -> bool {
        self.smoothing == 0.0 && self.class_weights.is_none()
    }
}

impl<T: Element> Loss<T> for CategoricalCrossEntropy {
    fn name(&self) -> &'static str {
        "categorical_cross_entropy"
    }

    fn takes(&self) -> Takes {
        Takes::Distribution
    }

    fn fuses(&self) -> Option<Fusible> {
        Some(Fusible::Softmax)
    }

    fn takes_shares(&self) -> bool {
        true
    }

    fn check(&self, outputs: usize) -> Result<(), Error> {
        if !(0.0..=1.0).contains(&self.smoothing) {
            let (name, expected) = ("the label smoothing", "at least 0 and at most 1");
            return Err(Error::OutOfRange { name, expected, value: self.smoothing.to_string() });
        }
        let Some(weights) = &self.class_weights else { return Ok(()) };
        if weights.len() != outputs {
            let (name, expected) = ("the number of class weights", "that of the network's outputs");
            let value = format!("{} for {outputs} outputs", weights.len());
            return Err(Error::OutOfRange { name, expected, value });
        }
        if let Some(class) = weights.iter().position(|weight| !(*weight >= 0.0 && weight.is_finite())) {
            let (name, expected) = ("the weight of each class", "a number of at least 0");
            let value = format!("{} for class {class}", weights[class]);
            return Err(Error::OutOfRange { name, expected, value });
        }
        Ok(())
    }

    fn evaluate(&self, input: LossInput<'_, T>) -> f64 {
        let LossInput { isa, n, outputs, global_batch_size, output, targets, gradient, .. } = input;
        let scale = 1.0 / global_batch_size as f64;
        let labels = match targets {
            Targets::Classes(labels) => labels,
            Targets::Values(targets) => {
                return Shares { loss: self, isa, n, classes: outputs, targets, scale }
                    .evaluate(output, gradient);
            }
        };
        let shares = LabelShares { smoothing: self.smoothing, weights: self.class_weights.as_deref() };
        match (output, gradient) {
            (LossOutput::Network(y), dy) if self.is_plain() => {
                loss::cross_entropy(outputs, n, y, labels, scale, dy)
            }
            (LossOutput::Network(y), dy) => {
                loss::smoothed_cross_entropy(outputs, n, y, labels, shares, scale, dy)
            }
            (LossOutput::LastLayer { x, y }, Some(dx)) if self.is_plain() => {
                loss::softmax_cross_entropy(isa, outputs, n, x, labels, scale, y, dx)
            }
            (LossOutput::LastLayer { x, y }, None) if self.is_plain() => {
                loss::softmax_cross_entropy_eval(isa, outputs, n, x, labels, y)
            }
            (LossOutput::LastLayer { x, y }, dx) => {
                loss::smoothed_softmax_cross_entropy(isa, outputs, n, x, labels, shares, scale, y, dx)
            }
        }
    }
}
