//! Losses of labelled samples.

use crate::layer::{Context, Fusible};
use crate::names::named;
use crate::network::{LastLayer, Network, OutputAndGradient, ShardMemory};
use isograd_kernels::{Element, loss};

/// What training minimises.
///
/// The target of a sample is its class. Losses on vectors take it as the vector `t` that is 1 at the class
/// and 0 elsewhere. A network with a single output tells two classes apart: its output is the probability of
/// class 1, and `t` is the class. The cross-entropy on categories cannot: it needs an output for each class.
/// There are no other targets: neither several classes at a time nor arbitrary numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Loss {
    /// `-ln p[class]`, of probabilities that add up to 1: the last layer should be a softmax. The loss is
    /// then computed from the softmax's input (log-softmax), where no probability underflows; from the output
    /// of another layer, it is computed with `p` clamped at 1e-8.
    #[default]
    CategoricalCrossEntropy,
    /// The mean over the outputs of `-t ln p - (1 - t) ln(1 - p)`, of probabilities: the last layer should be
    /// a sigmoid. The loss is then computed from the sigmoid's input, where no probability rounds to 0 or 1;
    /// from the output of another layer, it is computed with `p` clamped at 1e-8 (f64) or 6e-8 (f32) from
    /// both ends.
    BinaryCrossEntropy,
    /// The mean over the outputs of `(y - t)^2`, of any numbers.
    MeanSquaredError,
}

named!(Loss, "loss", {
    "categorical_cross_entropy" => Self::CategoricalCrossEntropy,
    "binary_cross_entropy" => Self::BinaryCrossEntropy,
    "mean_squared_error" => Self::MeanSquaredError,
});

/// Whether the gradient is wanted beside the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gradient {
    Wanted,
    Unwanted,
}

impl Loss {
    /// The most classes that a network of `outputs` outputs can be trained for: one for each output, or two
    /// for a single output where the loss allows it.
    pub fn most_classes(self, outputs: usize) -> usize {
        if outputs == 1 && self != Self::CategoricalCrossEntropy { 2 } else { outputs }
    }

    /// The steps that run before the loss: all, or all but a softmax or sigmoid that is fused with it.
    pub(crate) fn steps<T: Element>(self, network: &Network<T>) -> usize {
        if self.is_fused(network) { network.without_last() } else { network.all() }
    }

    fn is_fused<T: Element>(self, network: &Network<T>) -> bool {
        matches!(
            (self, network.last_function()),
            (Self::CategoricalCrossEntropy, Some(Fusible::Softmax))
                | (Self::BinaryCrossEntropy, Some(Fusible::Sigmoid))
        )
    }

    /// The sum of the losses of the shard in `memory`, after a forward pass through [`steps`](Self::steps). Completes
    /// the network's output; leaves the gradient, divided by the global batch size, for a backward pass through
    /// as many steps.
    pub(crate) fn evaluate<T: Element>(
        self,
        cx: &Context<'_, T>,
        network: &Network<T>,
        memory: &mut ShardMemory<T>,
        gradient: Gradient,
    ) -> f64 {
        let (isa, n) = (cx.isa, cx.n);
        let outputs = network.output_shape().elements();
        let scale = 1.0 / cx.global_batch_size as f64;
        let is_wanted = gradient == Gradient::Wanted;
        let fused = self.is_fused(network);
        if self == Self::CategoricalCrossEntropy {
            if !fused {
                let OutputAndGradient { y, dy, labels, .. } = network.output_and_gradient(memory);
                return loss::cross_entropy(outputs, n, y, labels, scale, is_wanted.then_some(dy));
            }
            let LastLayer { x, y, dx, labels, .. } = network.last_layer(memory);
            return if is_wanted {
                loss::softmax_cross_entropy(isa, outputs, n, x, labels, scale, y, dx)
            } else {
                loss::softmax_cross_entropy_eval(isa, outputs, n, x, labels, y)
            };
        }
        let scale = scale / outputs as f64;
        let sum = if fused {
            let LastLayer { x, y, dx, targets, labels } = network.last_layer(memory);
            set_targets(labels, targets);
            if is_wanted {
                loss::binary_cross_entropy_with_logits(isa, x, targets, scale, y, dx)
            } else {
                loss::binary_cross_entropy_with_logits_eval(isa, x, targets, y)
            }
        } else {
            let OutputAndGradient { y, dy, targets, labels } = network.output_and_gradient(memory);
            set_targets(labels, targets);
            let dy = is_wanted.then_some(dy);
            match self {
                Self::BinaryCrossEntropy => loss::binary_cross_entropy(y, targets, scale, dy),
                _ => loss::mean_squared_error(isa, y, targets, scale, dy),
            }
        };
        sum / outputs as f64
    }
}

/// `targets` `[outputs, n]` of the `n` samples with `labels`: 1 at the class of each; of one output, the
/// class.
fn set_targets<T: Element>(labels: &[u32], targets: &mut [T]) {
    let n = labels.len();
    if targets.len() == n {
        for (target, label) in targets.iter_mut().zip(labels) {
            assert!(*label < 2, "label {label} for a network with one output");
            *target = if *label == 1 { T::ONE } else { T::ZERO };
        }
        return;
    }
    targets.fill(T::ZERO);
    for (sample, label) in labels.iter().enumerate() {
        targets[*label as usize * n + sample] = T::ONE;
    }
}
