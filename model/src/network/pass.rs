//! The forward and the backward pass of one shard.

use super::graph::{GradientWrite, Op, Step};
use super::lifetimes::Slot;
use super::memory::disjoint;
use super::{Network, ShardMemory};
use crate::layer::{Backward, Context, Gradients, Memory, Mode};
use isograd_kernels::{Accum, Activation, Element, Isa, activation, elementwise};
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
    /// Runs the first `steps` steps on the shard whose input is in `memory`; `statistics` takes the shard's
    /// share of all running statistics.
    pub(crate) fn forward(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        statistics: &mut [T],
        steps: usize,
    ) {
        for (index, step) in self.graph.steps[..steps].iter().enumerate() {
            if step.skip_forward {
                continue;
            }
            match step.op {
                Op::Layer(layer) => self.forward_layer(cx, memory, &mut *statistics, index, layer),
                Op::Add { relu } => {
                    let function = if relu { Activation::Relu } else { Activation::Identity };
                    self.forward_add(cx.isa, memory, step, function);
                }
            }
        }
    }

    fn forward_layer(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        statistics: &mut [T],
        index: usize,
        layer: usize,
    ) {
        let (step, info) = (&self.graph.steps[index], &self.infos[layer]);
        let ranges = [
            self.data_range(memory, step.reads[0]),
            self.data_range(memory, step.writes),
            self.slot_range(memory, Slot::Saved(index), info.saved.elements(cx.n)),
        ];
        let [x, y, saved] = disjoint(&mut memory.arena, ranges);
        let layer_memory = Memory { saved, scratch: &mut memory.scratch, statistics };
        self.layers[layer].forward(&self.context_of(cx, step, layer), x, y, layer_memory);
    }

    /// The context of a layer. A frozen layer works as in use.
    fn context_of<'c>(&self, cx: &Context<'c, T>, step: &Step, layer: usize) -> Context<'c, T> {
        let mode = if self.infos[layer].frozen { Mode::Eval } else { cx.mode };
        Context { input: step.input, mode, ..*cx }
    }

    /// `y = function(the sum of what the step reads)`, added in the order of the paths.
    fn forward_add(&self, isa: Isa, memory: &mut ShardMemory<T>, step: &Step, function: Activation) {
        let y = self.data_range(memory, step.writes);
        let term = |memory: &ShardMemory<T>, place: usize| self.data_range(memory, step.reads[place]);
        let first = term(memory, 0);
        match step.reads.len() {
            1 => {
                let [y, x] = disjoint(&mut memory.arena, [y, first]);
                match function {
                    Activation::Relu => activation::relu(isa, x, y),
                    _ => y.copy_from_slice(x),
                }
            }
            count => {
                let second = term(memory, 1);
                // The function comes with the last term.
                let function_of = |place: usize| match place + 1 == count {
                    true => function,
                    false => Activation::Identity,
                };
                if first == second {
                    let [y, x] = disjoint(&mut memory.arena, [y.clone(), first]);
                    elementwise::add(isa, x, x, function_of(1), y);
                } else {
                    let [y, a, b] = disjoint(&mut memory.arena, [y.clone(), first, second]);
                    elementwise::add(isa, a, b, function_of(1), y);
                }
                for place in 2..count {
                    let x = term(memory, place);
                    let [y, x] = disjoint(&mut memory.arena, [y.clone(), x]);
                    elementwise::add_assign(isa, x, function_of(place), y);
                }
            }
        }
    }

    /// Runs the first `steps` steps backwards: from the gradient that the loss has left to the gradients of
    /// all parameters, which overwrite what is in `dw`. Those of frozen parameters become 0.
    pub(crate) fn backward(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        dw: &mut (impl GradientMemory<T> + ?Sized),
        steps: usize,
    ) {
        for (index, step) in self.graph.steps[..steps].iter().enumerate().rev() {
            for (value, range) in &step.zeros {
                let range = self.part_range(memory, Slot::Gradient(*value), range.start, range.len());
                memory.arena[range].fill(T::ZERO);
            }
            match step.op {
                Op::Layer(layer) => {
                    if step.skip_backward {
                        dw.of(self.infos[layer].elements.clone()).fill(T::ZERO);
                    } else {
                        self.backward_layer(cx, memory, dw, index, layer);
                    }
                    dw.complete_from(self.infos[layer].elements.start);
                }
                Op::Add { .. } if !step.skip_backward => self.backward_add(cx.isa, memory, step),
                Op::Add { .. } => {}
            }
        }
        dw.complete_from(0);
    }

    fn backward_layer(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        dw: &mut (impl GradientMemory<T> + ?Sized),
        index: usize,
        layer: usize,
    ) {
        let (step, info) = (&self.graph.steps[index], &self.infos[layer]);
        let reads = self.layers[layer].backward_reads();
        let only_if = |is_read: bool, range: Range<usize>| if is_read { range } else { 0..0 };
        let x_len = self.graph.values[step.reads[0]].elements * cx.n;
        let gradient = self.gradient_range(memory, step.reads[0]);
        let (dx, accum) = match step.gradients[0] {
            GradientWrite::Direct(accum) => (Some(gradient.clone()), accum),
            GradientWrite::Spare => {
                (Some(self.slot_range(memory, Slot::Spare(index), x_len)), Accum::Replace)
            }
            GradientWrite::Unneeded | GradientWrite::Shared => (None, Accum::Replace),
        };
        let has_dx = dx.is_some();
        let ranges = [
            only_if(reads.x, self.data_range(memory, step.reads[0])),
            only_if(reads.y, self.data_range(memory, step.writes)),
            self.gradient_range(memory, step.writes),
            dx.clone().unwrap_or_default(),
            self.slot_range(memory, Slot::Saved(index), info.saved.elements(cx.n)),
        ];
        let [x, y, dy, dx_values, saved] = disjoint(&mut memory.arena, ranges);
        let tensors = Backward {
            x,
            y,
            dy,
            dx: has_dx.then_some(dx_values),
            accum,
            dw: Gradients::new(dw.of(info.elements.clone()), info.elements.start),
        };
        let layer_memory = Memory { saved, scratch: &mut memory.scratch, statistics: &mut [] };
        self.layers[layer].backward(&self.context_of(cx, step, layer), tensors, layer_memory);
        // Frozen parameters have no part in the norm that a gradient is clipped to.
        for tensor in self.parameters[info.parameters.clone()].iter().filter(|tensor| tensor.frozen) {
            dw.of(tensor.range.clone()).fill(T::ZERO);
        }
        if let (GradientWrite::Spare, Some(spare)) = (step.gradients[0], dx) {
            let [dx, spare] = disjoint(&mut memory.arena, [gradient, spare]);
            elementwise::add_assign(cx.isa, spare, Activation::Identity, dx);
        }
    }

    /// Passes the gradient of a sum on to the terms that do not share its buffer.
    fn backward_add(&self, isa: Isa, memory: &mut ShardMemory<T>, step: &Step) {
        let dy = self.gradient_range(memory, step.writes);
        for (value, write) in step.reads.iter().zip(&step.gradients) {
            let dx = self.gradient_range(memory, *value);
            match write {
                GradientWrite::Direct(Accum::Replace) => memory.arena.copy_within(dy.clone(), dx.start),
                GradientWrite::Direct(Accum::Add) => {
                    let [dx, dy] = disjoint(&mut memory.arena, [dx, dy.clone()]);
                    elementwise::add_assign(isa, dy, Activation::Identity, dx);
                }
                GradientWrite::Unneeded | GradientWrite::Shared | GradientWrite::Spare => {}
            }
        }
    }
}
