//! From when to when a shard's buffers are used.
//!
//! Time counts the steps of the passes: the input is there at time 0, forward step `i` runs at `1 + i`, the
//! loss behind the last step, and the backward steps follow in reverse.

use super::arena::Item;
use super::graph::{GradientWrite, Op, Step};
use super::storage::Direction;
use super::{Network, Reservation};
use crate::layer::Mode;
use isograd_kernels::Element;

/// Which buffer of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The data of a value that has a buffer of its own.
    Data(usize),
    /// The gradient by such a value.
    Gradient(usize),
    /// What a step saves for its backward pass.
    Saved(usize),
    /// The gradient of a step that cannot add to another one.
    Spare(usize),
    /// The data of a value with a buffer of its own, computed again in the backward pass.
    Again(usize),
    /// The [copies](super::storage) that a step works on in a pass.
    Copies(Direction, usize),
    /// Targets of the loss.
    Targets,
}

impl<T: Element> Network<T> {
    /// The number of a slot's item among the [`items`](Self::items).
    pub(super) fn item(&self, slot: Slot) -> usize {
        let (values, steps) = (self.graph.values.len(), self.graph.steps.len());
        match slot {
            Slot::Data(value) => value,
            Slot::Gradient(value) => values + value,
            Slot::Saved(step) => 2 * values + step,
            Slot::Spare(step) => 2 * values + steps + step,
            Slot::Again(value) => 2 * values + 2 * steps + value,
            Slot::Copies(Direction::Forward, step) => 3 * values + 2 * steps + step,
            Slot::Copies(Direction::Backward, step) => 3 * values + 3 * steps + step,
            Slot::Targets => 3 * values + 4 * steps,
        }
    }

    /// The slot in which the backward pass has the data of `value`.
    pub(super) fn kept(&self, value: usize) -> Slot {
        let buffer = self.data[value].value;
        if self.recomputation.has(buffer) { Slot::Again(buffer) } else { Slot::Data(buffer) }
    }

    /// All buffers that a shard needs in `mode`.
    pub(super) fn items(&self, mode: Mode) -> Vec<Item> {
        let values = &self.graph.values;
        let mut items = vec![Item::default(); self.item(Slot::Targets) + 1];
        for (value, description) in values.iter().enumerate() {
            let size = Reservation { per_sample: description.elements, fixed: 0 };
            for slot in [Slot::Data(value), Slot::Gradient(value), Slot::Again(value)] {
                items[self.item(slot)] = Item::new(size, self.is_rounded(mode, slot));
            }
        }
        let mut lives = Lives { network: self, mode, items };
        lives.touch(Slot::Data(self.data[0].value), 0);
        for (index, step) in self.steps(mode).iter().enumerate().filter(|(_, step)| !step.skip_forward) {
            lives.forward(index, step);
        }
        lives.loss();
        if mode == Mode::Train {
            let with_backward = self.graph.steps.iter().enumerate().filter(|(_, step)| !step.skip_backward);
            for (index, step) in with_backward {
                lives.backward(index, step);
            }
        }
        lives.items
    }
}

struct Lives<'n, T> {
    network: &'n Network<T>,
    mode: Mode,
    items: Vec<Item>,
}

impl<T: Element> Lives<'_, T> {
    fn touch(&mut self, slot: Slot, time: usize) {
        let item = self.network.item(slot);
        self.items[item].touch(time);
    }

    fn touch_data(&mut self, value: usize, time: usize) {
        self.touch(Slot::Data(self.network.data[value].value), time);
    }

    /// A value as the backward pass has it.
    fn touch_kept(&mut self, value: usize, time: usize) {
        self.touch(self.network.kept(value), time);
    }

    fn touch_gradient(&mut self, value: usize, time: usize) {
        self.touch(Slot::Gradient(self.network.gradients[value].value), time);
    }

    fn touch_copies(&mut self, direction: Direction, index: usize, step: &Step, time: usize) {
        if self.mode == Mode::Train {
            let copies = self.network.item(Slot::Copies(direction, index));
            self.items[copies].size = self.network.copies_size(index, step, direction);
            self.items[copies].touch(time);
        }
    }

    fn forward(&mut self, index: usize, step: &Step) {
        let time = 1 + index;
        let addend = step.addend.map(|addend| addend.value);
        for value in step.reads.iter().chain([&step.writes]).chain(&addend) {
            self.touch_data(*value, time);
        }
        self.touch_copies(Direction::Forward, index, step, time);
        if let Op::Layer(layer) = step.op {
            let saved = self.network.item(Slot::Saved(index));
            self.items[saved].size = self.network.infos[layer].saved;
            self.items[saved].touch(time);
        }
    }

    /// The loss reads the output, or what the last step reads and then writes the output, and leaves the
    /// gradient by either.
    fn loss(&mut self) {
        let time = self.network.graph.steps.len() + 1;
        let last = self.network.graph.steps.last().map(|step| step.reads[0]);
        let mut elements = 0;
        for value in [Some(self.network.output), last].into_iter().flatten() {
            self.touch_data(value, time);
            self.touch_gradient(value, time);
            elements = elements.max(self.network.graph.values[value].elements);
        }
        let targets = self.network.item(Slot::Targets);
        self.items[targets].size = Reservation { per_sample: elements, fixed: 0 };
        self.items[targets].touch(time);
    }

    fn backward(&mut self, index: usize, step: &Step) {
        let time = 2 * self.network.graph.steps.len() + 1 - index;
        self.touch_gradient(step.writes, time);
        self.touch_copies(Direction::Backward, index, step, time);
        for (value, write) in step.reads.iter().zip(&step.gradients) {
            match write {
                GradientWrite::Unneeded | GradientWrite::Shared => {}
                GradientWrite::Direct(_) => self.touch_gradient(*value, time),
                GradientWrite::Spare => {
                    self.touch_gradient(*value, time);
                    let spare = self.network.item(Slot::Spare(index));
                    let elements = self.network.graph.values[*value].elements;
                    self.items[spare].size = Reservation { per_sample: elements, fixed: 0 };
                    self.items[spare].touch(time);
                }
            }
        }
        for writer in self.network.recomputation.before(index) {
            let Step { reads, writes, .. } = &self.network.graph.steps[*writer];
            self.touch_data(reads[0], time);
            self.touch_kept(*writes, time);
            self.touch(Slot::Saved(*writer), time);
        }
        if let Op::Layer(layer) = step.op {
            self.touch(Slot::Saved(index), time);
            let reads = self.network.layers[layer].backward_reads();
            if reads.x {
                self.touch_kept(step.reads[0], time);
            }
            if reads.y {
                self.touch_kept(step.writes, time);
            }
        }
    }
}
