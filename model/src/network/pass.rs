//! The forward and the backward pass of one shard.

use super::graph::{Addend, GradientWrite, Op, Step};
use super::lifetimes::Slot;
use super::memory::{disjoint, disjoint_from_reads, team};
use super::storage::{self, Copies, Direction, Region};
use super::{Network, ShardMemory};
use crate::layer::{Backward, Context, Gradients, Memory, Mode, Team};
use crate::profile::Work;
use isograd_kernels::{Accum, Activation, Element, Finish, Isa, activation, elementwise};
use std::ops::Range;

/// Where a backward pass puts the gradients of the parameters.
pub(crate) trait GradientMemory<T> {
    /// Memory for the gradients of the parameters `range`, which are those of one layer.
    fn of(&mut self, range: Range<usize>) -> &mut [T];

    /// The gradients of all parameters from number `start` on are complete. Returns whether they were handed
    /// on.
    fn complete_from(&mut self, start: usize) -> bool;
}

/// One buffer for all gradients, which are read after the whole pass.
impl<T> GradientMemory<T> for [T] {
    fn of(&mut self, range: Range<usize>) -> &mut [T] {
        &mut self[range]
    }

    fn complete_from(&mut self, _start: usize) -> bool {
        false
    }
}

/// The part of a layer's pass that is to run. Layers with [shared sums](crate::layer::Layer::shared_sums)
/// have two, with the sum over all shards of the step in between.
enum Part<'s> {
    /// The shard's own sums, to be overwritten.
    Sums(&'s mut [f64]),
    /// Everything else, given the sums over all shards.
    Rest(&'s [f64]),
}

/// A step at which the shards of a training step wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SharedStep {
    pub(crate) index: usize,
    /// The number of its sums in either direction.
    pub(crate) sums: usize,
    pub(crate) has_backward: bool,
}

impl<T: Element> Network<T> {
    /// The steps with sums over all shards in training, in order.
    pub(crate) fn shared_steps(&self) -> impl DoubleEndedIterator<Item = SharedStep> {
        let steps = self.graph.steps.iter().enumerate();
        steps.filter_map(|(index, step)| {
            let sums = self.sums_of(step)?;
            Some(SharedStep { index, sums, has_backward: !step.skip_backward })
        })
    }

    /// The number of shared sums of a step in training, if it has some.
    fn sums_of(&self, step: &Step) -> Option<usize> {
        let Op::Layer(layer) = step.op else { return None };
        let sums = if self.infos[layer].frozen { 0 } else { self.layers[layer].shared_sums() };
        (sums > 0 && !step.skip_forward).then_some(sums)
    }

    /// Runs the first `steps` steps on the shard whose input is in `memory`; `statistics` takes the shard's
    /// share of all running statistics. It is the only shard of its step, or no step has shared sums.
    pub(crate) fn forward(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        statistics: &mut [T],
        steps: usize,
    ) {
        let mut start = 0;
        if cx.mode == Mode::Train {
            for SharedStep { index, sums, .. } in self.shared_steps().take_while(|step| step.index < steps) {
                self.forward_range(cx, memory, statistics, start..index);
                let mut own = std::mem::take(&mut memory.sums);
                self.forward_sums(cx, memory, index, &mut own[..sums]);
                self.forward_shared(cx, memory, statistics, index, &own[..sums]);
                memory.sums = own;
                start = index + 1;
            }
        }
        self.forward_range(cx, memory, statistics, start..steps);
    }

    /// Runs the steps `range`, none of which has shared sums.
    pub(crate) fn forward_range(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        statistics: &mut [T],
        range: Range<usize>,
    ) {
        for index in range {
            let step = &self.steps(cx.mode)[index];
            if step.skip_forward {
                continue;
            }
            match step.op {
                Op::Layer(layer) => {
                    self.forward_layer(cx, memory, &mut *statistics, index, layer, Part::Rest(&[]));
                }
                Op::Add { activation } if cx.mode == Mode::Train && self.has_bfloat16_values => {
                    self.forward_add_rounded(cx.isa, memory, index, step, activation);
                }
                Op::Add { activation } => self.forward_add(cx.isa, memory, step, activation),
            }
            let work = if cx.mode == Mode::Train { Work::Forward(index) } else { Work::Use(index) };
            memory.recording.lap(work, cx.n);
        }
    }

    /// The shard's part of the sums of step `index`, which reads values that are complete.
    pub(crate) fn forward_sums(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        index: usize,
        sums: &mut [f64],
    ) {
        if let Op::Layer(layer) = self.graph.steps[index].op {
            self.forward_layer(cx, memory, &mut [], index, layer, Part::Sums(sums));
            memory.recording.lap(Work::Forward(index), 0);
        }
    }

    /// Runs step `index`, given its sums over all shards.
    pub(crate) fn forward_shared(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        statistics: &mut [T],
        index: usize,
        sums: &[f64],
    ) {
        if let Op::Layer(layer) = self.graph.steps[index].op {
            self.forward_layer(cx, memory, statistics, index, layer, Part::Rest(sums));
            memory.recording.lap(Work::Forward(index), cx.n);
        }
    }

    fn forward_layer(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        statistics: &mut [T],
        index: usize,
        layer: usize,
        part: Part<'_>,
    ) {
        let (step, info) = (&self.steps(cx.mode)[index], &self.infos[layer]);
        let reads = [self.data_region(memory, step.reads[0]), self.addend_region(memory, step)];
        let output = self.data_region(memory, step.writes);
        let saved = self.slot_range(memory, Slot::Saved(index), info.saved.elements(cx.n));
        let mut copies = Copies::new(cx.isa, self.copies(memory, Direction::Forward, index));
        let ShardMemory { arena, scratch, threads, .. } = memory;
        let reads = reads.map(|region| copies.read(arena, &region));
        let y_range = copies.write::<T>(&output);
        let ([x, addend], [y, saved]) = disjoint_from_reads(arena, reads, [y_range.clone(), saved]);
        let (context, layer) = (self.context_of(cx, step, layer, addend), &self.layers[layer]);
        let (scratch, team) = team(scratch, *threads);
        let of_layer = Memory { saved, scratch, statistics, sums: &[], team };
        match part {
            Part::Sums(sums) => layer.forward_sums(&context, x, of_layer, sums),
            Part::Rest(sums) => {
                layer.forward(&context, x, y, Memory { sums, ..of_layer });
                output.store(cx.isa, arena, y_range);
            }
        }
    }

    /// Where the data lie that the layer of a step adds to its output; empty if it adds nothing.
    pub(super) fn addend_region(&self, memory: &ShardMemory<T>, step: &Step) -> Region {
        step.addend.map_or(Region::EMPTY, |addend| self.data_region(memory, addend.value))
    }

    /// The context of a layer, which adds `addend` to its output if its step has an addend. A frozen layer
    /// works as in use.
    pub(super) fn context_of<'c>(
        &self,
        cx: &Context<'c, T>,
        step: &Step,
        layer: usize,
        addend: &'c [T],
    ) -> Context<'c, T> {
        let mode = if self.infos[layer].frozen { Mode::Eval } else { cx.mode };
        let has_backward = cx.mode == Mode::Train && !step.skip_backward;
        let prepared = &cx.prepared[self.prepared.ranges(cx.mode)[layer].clone()];
        let addition =
            step.addend.map(|Addend { activation, .. }| Finish { addend: Some(addend), activation });
        Context { input: step.input, mode, has_backward, prepared, addition, ..*cx }
    }

    /// `y = function(the sum of what the step reads)`, added in the order of the paths.
    fn forward_add(&self, isa: Isa, memory: &mut ShardMemory<T>, step: &Step, function: Activation) {
        let team = Team::new(memory.threads, &mut []);
        let y = self.data_region(memory, step.writes).elements();
        let term =
            |memory: &ShardMemory<T>, place: usize| self.data_region(memory, step.reads[place]).elements();
        let first = term(memory, 0);
        match step.reads.len() {
            1 => {
                let [y, x] = disjoint(&mut memory.arena, [y, first]);
                team.elements(y, [x], |y, [x]| {
                    y.copy_from_slice(x);
                    activation::apply_in_place(isa, function, y);
                });
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
                    team.elements(y, [x], |y, [x]| elementwise::add(isa, x, x, function_of(1), y));
                } else {
                    let [y, a, b] = disjoint(&mut memory.arena, [y.clone(), first, second]);
                    team.elements(y, [a, b], |y, [a, b]| elementwise::add(isa, a, b, function_of(1), y));
                }
                for place in 2..count {
                    let (x, function) = (term(memory, place), function_of(place));
                    let [y, x] = disjoint(&mut memory.arena, [y.clone(), x]);
                    team.elements(y, [x], |y, [x]| elementwise::add_assign(isa, x, function, y));
                }
            }
        }
    }

    /// As [`forward_add`](Self::forward_add), on one thread and for values that are rounded: so is the sum,
    /// after each addition.
    fn forward_add_rounded(
        &self,
        isa: Isa,
        memory: &mut ShardMemory<T>,
        index: usize,
        step: &Step,
        function: Activation,
    ) {
        let (y, copies) =
            (self.data_region(memory, step.writes), self.copies(memory, Direction::Forward, index));
        let mut sum = self.data_region(memory, step.reads[0]);
        let (last, others) = match &step.reads[1..] {
            [] => return storage::add_up(isa, &[sum], function, &y, &mut memory.arena, copies),
            [others @ .., last] => (*last, others),
        };
        for value in others {
            let terms = [sum, self.data_region(memory, *value)];
            storage::add_up(isa, &terms, Activation::Identity, &y, &mut memory.arena, copies);
            sum = y.clone();
        }
        let terms = [sum, self.data_region(memory, last)];
        storage::add_up(isa, &terms, function, &y, &mut memory.arena, copies);
    }

    /// Runs the first `steps` steps backwards: from the gradient that the loss has left to the gradients of
    /// all parameters, which overwrite what is in `dw`. Those of frozen parameters become 0. The shard is as
    /// in [`forward`](Self::forward).
    pub(crate) fn backward(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        dw: &mut (impl GradientMemory<T> + ?Sized),
        steps: usize,
    ) {
        let mut end = steps;
        for SharedStep { index, sums, has_backward } in self.shared_steps().rev() {
            if index >= steps || !has_backward {
                continue;
            }
            self.backward_range(cx, memory, dw, index + 1..end);
            let mut own = std::mem::take(&mut memory.sums);
            self.backward_sums(cx, memory, dw, index, &mut own[..sums]);
            self.backward_shared(cx, memory, dw, index, &own[..sums]);
            memory.sums = own;
            end = index;
        }
        self.backward_range(cx, memory, dw, 0..end);
        dw.complete_from(0);
    }

    /// Runs the steps `range` backwards; none of them has shared sums, unless its backward pass is not
    /// needed.
    pub(crate) fn backward_range(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        dw: &mut (impl GradientMemory<T> + ?Sized),
        range: Range<usize>,
    ) {
        for index in range.rev() {
            let step = &self.graph.steps[index];
            match step.op {
                Op::Layer(layer) if step.skip_backward => {
                    let elements = self.infos[layer].elements.clone();
                    dw.of(elements.clone()).fill(T::ZERO);
                    dw.complete_from(elements.start);
                }
                Op::Layer(_) => self.backward_shared(cx, memory, dw, index, &[]),
                Op::Add { .. } if step.skip_backward => {}
                Op::Add { .. } => {
                    self.clear(memory, step);
                    self.backward_add(cx.isa, memory, index, step);
                    memory.recording.lap(Work::Backward(index), cx.n);
                }
            }
        }
    }

    /// The shard's part of the sums that step `index` needs for its backward pass.
    pub(crate) fn backward_sums(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        dw: &mut (impl GradientMemory<T> + ?Sized),
        index: usize,
        sums: &mut [f64],
    ) {
        if let Op::Layer(layer) = self.graph.steps[index].op {
            self.backward_layer(cx, memory, dw, index, layer, Part::Sums(sums));
            memory.recording.lap(Work::Backward(index), 0);
        }
    }

    /// Runs step `index`, that of a layer, backwards, given its sums over all shards.
    pub(crate) fn backward_shared(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        dw: &mut (impl GradientMemory<T> + ?Sized),
        index: usize,
        sums: &[f64],
    ) {
        let step = &self.graph.steps[index];
        if let Op::Layer(layer) = step.op {
            self.clear(memory, step);
            self.backward_layer(cx, memory, dw, index, layer, Part::Rest(sums));
            memory.recording.lap(Work::Backward(index), cx.n);
            if dw.complete_from(self.infos[layer].elements.start) {
                memory.recording.lap(Work::HandOver, cx.n);
            }
        }
    }

    /// Sets those parts of gradients to 0 that a step adds to and nothing has written.
    fn clear(&self, memory: &mut ShardMemory<T>, step: &Step) {
        for (value, range) in &step.zeros {
            let region = self.region(memory, Slot::Gradient(*value), range.start, range.len());
            region.clear(&mut memory.arena);
        }
    }

    fn backward_layer(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        dw: &mut (impl GradientMemory<T> + ?Sized),
        index: usize,
        layer: usize,
        part: Part<'_>,
    ) {
        for writer in self.recomputation.before(index) {
            self.forward_again(cx, memory, *writer, index);
        }
        let (step, info) = (&self.graph.steps[index], &self.infos[layer]);
        let reads = self.layers[layer].backward_reads();
        let only_if = |is_read: bool, region: Region| if is_read { region } else { Region::EMPTY };
        let gradient = self.gradient_region(memory, step.reads[0]);
        let (dx, accum) = match step.gradients[0] {
            _ if matches!(part, Part::Sums(_)) => (None, Accum::Replace),
            GradientWrite::Direct(accum) => (Some(gradient.clone()), accum),
            GradientWrite::Spare => {
                let elements = self.graph.values[step.reads[0]].elements;
                (Some(self.region(memory, Slot::Spare(index), 0, elements)), Accum::Replace)
            }
            GradientWrite::Unneeded | GradientWrite::Shared => (None, Accum::Replace),
        };
        let read = [
            only_if(reads.x, self.kept_region(memory, step.reads[0])),
            only_if(reads.y, self.kept_region(memory, step.writes)),
            self.gradient_region(memory, step.writes),
        ];
        let saved = self.slot_range(memory, Slot::Saved(index), info.saved.elements(cx.n));
        let copies_start = self.copies(memory, Direction::Backward, index);
        let mut copies = Copies::new(cx.isa, copies_start);
        let ShardMemory { arena, scratch, threads, .. } = memory;
        let [x, y, dy] = read.map(|region| copies.read(arena, &region));
        let dx_range = dx.as_ref().map_or(0..0, |dx| match accum {
            Accum::Replace => copies.write::<T>(dx),
            Accum::Add => copies.read(arena, dx),
        });
        let [x, y, dy, dx_values, saved] = disjoint(arena, [x, y, dy, dx_range.clone(), saved]);
        let tensors = Backward {
            x,
            y,
            dy,
            dx: dx.is_some().then_some(dx_values),
            accum,
            dw: Gradients::new(dw.of(info.elements.clone()), info.elements.start),
        };
        let (scratch, team) = team(scratch, *threads);
        let of_layer = Memory { saved, scratch, statistics: &mut [], sums: &[], team };
        let context = self.context_of(cx, step, layer, &[]);
        match part {
            Part::Sums(sums) => {
                self.layers[layer].backward_sums(&context, tensors, of_layer, sums);
                return;
            }
            Part::Rest(sums) => {
                self.layers[layer].backward(&context, tensors, Memory { sums, ..of_layer });
            }
        }
        if let Some(dx) = &dx {
            dx.store(cx.isa, arena, dx_range);
        }
        // Frozen parameters have no part in the norm that a gradient is clipped to.
        for tensor in self.parameters[info.parameters.clone()].iter().filter(|tensor| tensor.frozen) {
            dw.of(tensor.range.clone()).fill(T::ZERO);
        }
        if let (GradientWrite::Spare, Some(spare)) = (step.gradients[0], dx) {
            storage::add_to(cx.isa, &spare, &gradient, &mut memory.arena, copies_start);
        }
    }

    /// Computes the output of step `index` again, for the backward pass of step `for_step`.
    fn forward_again(&self, cx: &Context<'_, T>, memory: &mut ShardMemory<T>, index: usize, for_step: usize) {
        let step = &self.graph.steps[index];
        let Op::Layer(layer) = step.op else { return };
        let input = self.data_region(memory, step.reads[0]);
        let output = self.kept_region(memory, step.writes);
        let saved = self.slot_range(memory, Slot::Saved(index), self.infos[layer].saved.elements(cx.n));
        let mut copies = Copies::new(cx.isa, self.copies(memory, Direction::Backward, for_step));
        let ShardMemory { arena, scratch, threads, .. } = memory;
        let (x, y_range) = (copies.read(arena, &input), copies.write::<T>(&output));
        let [x, y, saved] = disjoint(arena, [x, y_range.clone(), saved]);
        let (scratch, team) = team(scratch, *threads);
        let of_layer = Memory { saved, scratch, statistics: &mut [], sums: &[], team };
        self.layers[layer].forward_again(&self.context_of(cx, step, layer, &[]), x, y, of_layer);
        output.store(cx.isa, arena, y_range);
    }

    /// Passes the gradient of a sum on to the terms that do not share its buffer.
    fn backward_add(&self, isa: Isa, memory: &mut ShardMemory<T>, index: usize, step: &Step) {
        let copies = self.copies(memory, Direction::Backward, index);
        let dy = self.gradient_region(memory, step.writes);
        for (value, write) in step.reads.iter().zip(&step.gradients) {
            let dx = self.gradient_region(memory, *value);
            let arena = &mut memory.arena;
            match write {
                GradientWrite::Direct(Accum::Replace) => storage::copy_to(isa, &dy, &dx, arena, copies),
                GradientWrite::Direct(Accum::Add) => storage::add_to(isa, &dy, &dx, arena, copies),
                GradientWrite::Unneeded | GradientWrite::Shared | GradientWrite::Spare => {}
            }
        }
    }
}
