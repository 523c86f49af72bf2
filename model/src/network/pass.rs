//! The forward and the backward pass of one shard.

use super::{Network, ShardMemory};
use crate::layer::{Backward, Context, Memory};
use isograd_kernels::Element;

impl<T: Element> Network<T> {
    /// Runs the first `layers` layers on the shard whose input is in `memory`; `statistics` takes the shard's share of all
    /// running statistics.
    pub(crate) fn forward(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        statistics: &mut [T],
        layers: usize,
    ) {
        for (index, (layer, step)) in self.layers.iter().zip(&self.steps).take(layers).enumerate() {
            if step.skip_forward {
                continue;
            }
            let (x, y) =
                (self.activation(memory, step.input, cx.n), self.activation(memory, step.output, cx.n));
            let saved = self.saved(memory, index, cx.n);
            let (left, right) = memory.activations.split_at_mut(y.start);
            let layer_memory = Memory {
                saved: &mut memory.saved[saved],
                scratch: &mut memory.scratch,
                statistics: &mut *statistics,
            };
            layer.forward(cx, &left[x], &mut right[..y.len()], layer_memory);
        }
    }

    /// Runs the first `layers` layers backwards: from the gradient by the output of the last of them, in `memory.dy`, to the
    /// gradients of all parameters, which overwrite `dw`.
    pub(crate) fn backward(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        dw: &mut [T],
        layers: usize,
    ) {
        for index in (self.first_trained..layers).rev() {
            let step = &self.steps[index];
            if step.skip_backward {
                continue;
            }
            let (x, y) =
                (self.activation(memory, step.input, cx.n), self.activation(memory, step.output, cx.n));
            let saved = self.saved(memory, index, cx.n);
            let (dy_len, dx_len) = (y.len(), x.len());
            let needs_dx = index > self.first_trained;
            let tensors = Backward {
                x: &memory.activations[x],
                y: &memory.activations[y],
                dy: &memory.dy[..dy_len],
                dx: needs_dx.then_some(&mut memory.dx[..dx_len]),
                dw: &mut *dw,
            };
            let layer_memory =
                Memory { saved: &mut memory.saved[saved], scratch: &mut memory.scratch, statistics: &mut [] };
            self.layers[index].backward(cx, tensors, layer_memory);
            std::mem::swap(&mut memory.dy, &mut memory.dx);
        }
    }
}
