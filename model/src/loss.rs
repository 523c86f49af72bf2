//! Losses of labelled samples.

use crate::error::Error;
use crate::layer::Context;
use crate::network::{Network, ShardMemory};
use isograd_kernels::{Element, loss};

/// What training minimises. A target is the class of a sample; losses on vectors take it as a one-hot vector `t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Loss {
    /// `-ln p[class]`. Of a network that ends with a softmax, it is computed from the softmax's input (log-softmax), where no
    /// probability underflows; of any other, from the output, clamped at 1e-8.
    #[default]
    CategoricalCrossEntropy,
    /// The mean over the outputs of `-t ln p - (1 - t) ln(1 - p)`.
    BinaryCrossEntropy,
    /// The mean over the outputs of `(y - t)^2`.
    MeanSquaredError,
}

const NAMES: [(&str, Loss); 3] = [
    ("categorical_cross_entropy", Loss::CategoricalCrossEntropy),
    ("binary_cross_entropy", Loss::BinaryCrossEntropy),
    ("mean_squared_error", Loss::MeanSquaredError),
];

impl std::str::FromStr for Loss {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, loss)| *loss)
            .ok_or_else(|| Error::unknown_name("loss", name, &NAMES.map(|(known, _)| known)))
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(NAMES.iter().find(|(_, loss)| loss == self).map_or("", |(name, _)| name))
    }
}

/// Whether the gradient is wanted beside the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gradient {
    Wanted,
    Unwanted,
}

impl Loss {
    /// The layers that run before the loss: all, or all but a softmax that is fused with it.
    pub(crate) fn layers<T: Element>(self, network: &Network<T>) -> usize {
        if self.is_fused(network) { network.without_last() } else { network.all() }
    }

    fn is_fused<T: Element>(self, network: &Network<T>) -> bool {
        self == Self::CategoricalCrossEntropy && network.ends_with_softmax()
    }

    /// The sum of the losses of the shard in `memory`, after a forward pass through [`layers`](Self::layers). Completes the
    /// network's output; leaves the gradient, divided by the global batch size, for a backward pass through as many layers.
    pub(crate) fn evaluate<T: Element>(
        self,
        cx: &Context<'_, T>,
        network: &Network<T>,
        memory: &mut ShardMemory<T>,
        gradient: Gradient,
    ) -> f64 {
        let outputs = network.output_shape().elements();
        let scale = 1.0 / cx.global_batch_size as f64;
        if self.is_fused(network) {
            let last = network.last_layer(memory, cx.n);
            return match gradient {
                Gradient::Wanted => loss::softmax_cross_entropy(
                    cx.isa,
                    outputs,
                    cx.n,
                    last.x,
                    last.labels,
                    scale,
                    last.y,
                    last.dx,
                ),
                Gradient::Unwanted => {
                    loss::softmax_cross_entropy_eval(cx.isa, outputs, cx.n, last.x, last.labels, last.y)
                }
            };
        }
        let tensors = network.output_and_gradient(memory, cx.n);
        let dy = (gradient == Gradient::Wanted).then_some(tensors.dy);
        if self == Self::CategoricalCrossEntropy {
            return loss::cross_entropy(outputs, cx.n, tensors.y, tensors.labels, scale, dy);
        }
        one_hot(tensors.labels, cx.n, tensors.targets);
        let scale = scale / outputs as f64;
        let sum = match self {
            Self::BinaryCrossEntropy => loss::binary_cross_entropy(tensors.y, tensors.targets, scale, dy),
            _ => loss::mean_squared_error(cx.isa, tensors.y, tensors.targets, scale, dy),
        };
        sum / outputs as f64
    }
}

/// `targets` `[outputs, n]`: 1 at the class of each sample.
fn one_hot<T: Element>(labels: &[u32], n: usize, targets: &mut [T]) {
    targets.fill(T::ZERO);
    for (sample, label) in labels.iter().enumerate() {
        targets[*label as usize * n + sample] = T::ONE;
    }
}
