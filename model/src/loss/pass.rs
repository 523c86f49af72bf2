//! Where a loss stands in a pass: behind the network, or in the place of its last layer.

use super::{Loss, LossInput, LossOutput};
use crate::layer::{Context, Fusible};
use crate::network::{LastLayer, Network, OutputAndGradient, ShardMemory};
use isograd_kernels::Element;

/// Whether the gradient is wanted beside the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gradient {
    Wanted,
    Unwanted,
}

/// The steps that run before `loss`: all, or all but a softmax or sigmoid that is fused with it.
pub(crate) fn steps<T: Element>(loss: &dyn Loss<T>, network: &Network<T>) -> usize {
    if is_fused(loss, network) { network.without_last() } else { network.all() }
}

fn is_fused<T: Element>(loss: &dyn Loss<T>, network: &Network<T>) -> bool {
    // An activation may be a part of the layer in front of it, and no step of its own.
    let fused = loss.fuses().filter(|function| !matches!(function, Fusible::Activation(_)));
    fused.is_some() && fused == network.last_function()
}

/// The sum of the losses of the shard in `memory`, after a forward pass through [`steps`]. Completes the
/// network's output; leaves the gradient, divided by the global batch size, for a backward pass through as
/// many steps.
pub(crate) fn evaluate<T: Element>(
    loss: &dyn Loss<T>,
    cx: &Context<'_, T>,
    network: &Network<T>,
    memory: &mut ShardMemory<T>,
    gradient: Gradient,
) -> f64 {
    let (output, gradient_memory, (targets, scratch)) = if is_fused(loss, network) {
        let LastLayer { x, y, dx, targets } = network.last_layer(memory);
        (LossOutput::LastLayer { x, y }, dx, targets.split())
    } else {
        let OutputAndGradient { y, dy, targets } = network.output_and_gradient(memory);
        (LossOutput::Network(y), dy, targets.split())
    };
    loss.evaluate(LossInput {
        isa: cx.isa,
        n: cx.n,
        outputs: network.output_shape().elements(),
        global_batch_size: cx.global_batch_size,
        output,
        targets,
        scratch,
        gradient: (gradient == Gradient::Wanted).then_some(gradient_memory),
    })
}
