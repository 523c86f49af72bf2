//! The forward and the backward pass of one shard.

use super::{Network, ShardMemory};
use crate::layer::{Backward, Context, Gradients, Memory};
use isograd_kernels::Element;
use std::ops::Range;

/// Where a backward pass puts the gradients of the parameters.
pub(crate) trait GradientMemory<T> {
    /// Memory for the gradients of the parameters `range`, which are those of one layer.
    fn of(&mut self, range: Range<usize>) -> &mut [T];

    /// The gradients of all parameters from number `start` on are complete.
    fn complete_from(&mut self, start: usize);
}

/// One buffer for all gradients, which are read after the whole pass.
impl<T> GradientMemory<T> for [T] {
    fn of(&mut self, range: Range<usize>) -> &mut [T] {
        &mut self[range]
    }

    fn complete_from(&mut self, _start: usize) {}
}

impl<T: Element> Network<T> {
    /// Runs the first `layers` layers on the shard whose input is in `memory`; `statistics` takes the shard's
    /// share of all running statistics.
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
            let cx = &Context { input: self.input_of(index), ..*cx };
            layer.forward(cx, &left[x], &mut right[..y.len()], layer_memory);
        }
    }

    /// Runs the first `layers` layers backwards: from the gradient by the output of the last of them, in
    /// `memory.dy`, to the gradients of all parameters, which overwrite what is in `dw`.
    pub(crate) fn backward(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        dw: &mut (impl GradientMemory<T> + ?Sized),
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
                dw: Gradients::new(dw.of(step.elements.clone()), step.elements.start),
            };
            let layer_memory =
                Memory { saved: &mut memory.saved[saved], scratch: &mut memory.scratch, statistics: &mut [] };
            let cx = &Context { input: self.input_of(index), ..*cx };
            self.layers[index].backward(cx, tensors, layer_memory);
            std::mem::swap(&mut memory.dy, &mut memory.dx);
            dw.complete_from(step.elements.start);
        }
        dw.complete_from(0);
    }
}
