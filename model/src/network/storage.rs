//! How the values of a shard lie in memory: in the element type, or rounded to bfloat16, in half of the
//! bytes.
//!
//! Layers compute in the element type. A layer that reads a rounded tensor gets a copy of it, and what it
//! writes is rounded behind it. So every layer works either way, those of a user too.
//!
//! ```text
//! forward   x rounded --widen--> copy --layer--> copy --round--> y
//! backward  x, y, dy  --widen--> copies --layer--> copy --round--> dx
//! ```
//!
//! The input, what the loss reads and the gradient that it leaves are never rounded, nor is what a layer
//! saves, nor are parameters, their gradients and statistics. In use, nothing is rounded.

use super::graph::{GradientWrite, Op, Step};
use super::lifetimes::Slot;
use super::memory::disjoint;
use super::{Network, ShardMemory};
use crate::error::Error;
use crate::layer::{Mode, Reservation};
use crate::memory::round_up;
use isograd_kernels::{Activation, Element, Isa, activation, elementwise, storage};
use std::ops::Range;

/// Elements of a block of a sum, which is computed in the first-level cache.
const BLOCK: usize = 1 << 11;

/// A pass of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Backward,
}

/// Where a tensor lies in a shard's arena.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Region {
    /// In elements of the arena, or in bfloat16s if it is rounded.
    range: Range<usize>,
    is_rounded: bool,
}

/// The bfloat16s that lie in an element of the arena.
fn of_element<T>() -> usize {
    size_of::<T>() / size_of::<u16>()
}

impl Region {
    /// No tensor.
    pub(super) const EMPTY: Self = Self { range: 0..0, is_rounded: false };

    /// Its elements in the arena.
    ///
    /// # Panics
    ///
    /// When it is rounded.
    pub(super) fn elements(&self) -> Range<usize> {
        assert!(!self.is_rounded, "the tensor at {:?} is rounded", self.range);
        self.range.clone()
    }

    fn part(&self, range: Range<usize>) -> Self {
        let start = self.range.start;
        Self { range: start + range.start..start + range.end, is_rounded: self.is_rounded }
    }

    /// Reads the tensor into the elements `to` of the arena.
    fn load<T: Element>(&self, isa: Isa, arena: &mut [T], to: Range<usize>) {
        match self.is_rounded {
            true => {
                let [numbers, place] = disjoint(arena, [to, self.place::<T>()]);
                storage::widen(isa, &bytemuck::cast_slice(place)[self.in_place::<T>()], numbers);
            }
            false => arena.copy_within(self.range.clone(), to.start),
        }
    }

    /// Writes the elements `from` of the arena to the tensor, where they do not lie there already.
    pub(super) fn store<T: Element>(&self, isa: Isa, arena: &mut [T], from: Range<usize>) {
        match self.is_rounded {
            true => {
                let [numbers, place] = disjoint(arena, [from, self.place::<T>()]);
                storage::round(isa, numbers, &mut bytemuck::cast_slice_mut(place)[self.in_place::<T>()]);
            }
            false if self.range == from => {}
            false => arena.copy_within(from, self.range.start),
        }
    }

    /// The elements of the arena in which the bfloat16s lie.
    fn place<T>(&self) -> Range<usize> {
        self.range.start / of_element::<T>()..self.range.end.div_ceil(of_element::<T>())
    }

    /// The bfloat16s among those in their [place](Self::place).
    fn in_place<T>(&self) -> Range<usize> {
        let start = self.range.start % of_element::<T>();
        start..start + self.range.len()
    }

    pub(super) fn clear<T: Element>(&self, arena: &mut [T]) {
        match self.is_rounded {
            true => bytemuck::cast_slice_mut::<T, u16>(arena)[self.range.clone()].fill(0),
            false => arena[self.range.clone()].fill(T::ZERO),
        }
    }
}

/// Copies of the rounded tensors of one step, one behind the other in the step's [slot](Slot::Copies).
pub(super) struct Copies {
    isa: Isa,
    /// Where the next one begins in the arena.
    next: usize,
}

impl Copies {
    /// `start` is where the slot begins.
    pub(super) fn new(isa: Isa, start: usize) -> Self {
        Self { isa, next: start }
    }

    /// Where in the arena a layer finds the tensor: in a copy, if it is rounded.
    pub(super) fn read<T: Element>(&mut self, arena: &mut [T], tensor: &Region) -> Range<usize> {
        let range = self.write::<T>(tensor);
        if tensor.is_rounded {
            tensor.load(self.isa, arena, range.clone());
        }
        range
    }

    /// Where in the arena a layer writes the tensor, which is [stored](Region::store) from there then.
    pub(super) fn write<T: Element>(&mut self, tensor: &Region) -> Range<usize> {
        if !tensor.is_rounded {
            return tensor.range.clone();
        }
        let start = self.next;
        self.next += round_up::<T>(tensor.range.len());
        start..start + tensor.range.len()
    }
}

impl<T: Element> Network<T> {
    /// Keeps activations and the gradients by them as bfloat16s in training: in half of the bytes. Layers
    /// compute with f32s all the same, on copies, for which a step needs room; their results are rounded, to
    /// nearest, before they are stored. A sum of several terms, as a gradient that several layers add to, is
    /// rounded after each addition. Parameters, their gradients, statistics and sums inside of layers stay
    /// f32s. In use, nothing is rounded.
    ///
    /// Results differ from those without it by the rounding: a bfloat16 has the range of an f32 and eight
    /// bits of precision. At one level of instructions they have the same bits on every machine.
    ///
    /// ```
    /// use isograd_model::{Network, layer::Mode, zoo};
    /// let model = zoo::find("resnet20_cifar10")?;
    /// let build = || Network::<f32>::build(model.layers(model.input, model.classes));
    /// let (full, half) = (build()?, build()?.with_bfloat16_values()?);
    /// assert!(10 * half.shard_bytes(Mode::Train, 32) < 7 * full.shard_bytes(Mode::Train, 32));
    /// # Ok::<(), isograd_model::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoBfloat16`] when the elements are not f32.
    pub fn with_bfloat16_values(mut self) -> Result<Self, Error> {
        if T::NAME != f32::NAME {
            return Err(Error::NoBfloat16 { dtype: T::NAME });
        }
        self.has_bfloat16_values = true;
        Ok(self)
    }

    /// Whether values are [rounded](Self::with_bfloat16_values) in training. The bits of a run depend on it.
    pub(crate) fn has_bfloat16_values(&self) -> bool {
        self.has_bfloat16_values
    }

    /// Whether a buffer is rounded in passes in `mode`.
    pub(super) fn is_rounded(&self, mode: Mode, slot: Slot) -> bool {
        if !self.has_bfloat16_values || mode == Mode::Eval {
            return false;
        }
        // What the loss may read, and leave a gradient by.
        let last = self.graph.steps.last().map(|step| step.reads[0]);
        let mut ends = [Some(self.output), last].into_iter().flatten();
        match slot {
            Slot::Data(buffer) | Slot::Again(buffer) => {
                buffer != self.data[0].value && ends.all(|value| self.data[value].value != buffer)
            }
            Slot::Gradient(buffer) => ends.all(|value| self.gradients[value].value != buffer),
            Slot::Saved(_) | Slot::Spare(_) | Slot::Copies(..) | Slot::Targets => false,
        }
    }

    /// The region of `elements` elements of each sample in a slot, from number `offset` on.
    pub(super) fn region(
        &self,
        memory: &ShardMemory<T>,
        slot: Slot,
        offset: usize,
        elements: usize,
    ) -> Region {
        let is_rounded = self.is_rounded(memory.mode, slot);
        let start = memory.plan.starts(memory.mode)[self.item(slot)];
        let start = if is_rounded { start * of_element::<T>() } else { start } + offset * memory.n;
        Region { range: start..start + elements * memory.n, is_rounded }
    }

    /// The memory for the copies of a step, in the forward pass or in the backward pass.
    pub(super) fn copies_size(&self, index: usize, step: &Step, direction: Direction) -> Reservation {
        if !self.has_bfloat16_values {
            return Reservation::default();
        }
        let (mut per_sample, mut most) = (0, 0);
        for tensors in self.used_at_once(index, step, direction) {
            let rounded = tensors.into_iter().filter(|(slot, _)| self.is_rounded(Mode::Train, *slot));
            let elements: Vec<usize> = rounded.map(|(_, value)| self.graph.values[value].elements).collect();
            (per_sample, most) = (per_sample.max(elements.iter().sum()), most.max(elements.len()));
        }
        // Each of them begins on a pair of cache lines; a sum needs two blocks.
        Reservation { per_sample, fixed: most * round_up::<T>(1) + 2 * BLOCK }
    }

    /// The tensors that the layer of a step works on at the same time, in a pass; in the backward pass also
    /// where outputs are computed again for it.
    fn used_at_once(&self, index: usize, step: &Step, direction: Direction) -> Vec<Vec<(Slot, usize)>> {
        let Op::Layer(layer) = step.op else { return Vec::new() };
        let data = |value: usize| (Slot::Data(self.data[value].value), value);
        let gradient = |value: usize| (Slot::Gradient(self.gradients[value].value), value);
        let kept = |value: usize| (self.kept(value), value);
        let (x, y) = (step.reads[0], step.writes);
        match direction {
            Direction::Forward => {
                vec![[x, y].into_iter().chain(step.addend.map(|addend| addend.value)).map(data).collect()]
            }
            Direction::Backward => {
                let reads = self.layers[layer].backward_reads();
                let writes_dx = matches!(step.gradients.first(), Some(GradientWrite::Direct(_)));
                let own = [
                    reads.x.then(|| kept(x)),
                    reads.y.then(|| kept(y)),
                    Some(gradient(y)),
                    writes_dx.then(|| gradient(x)),
                ];
                let again = self.recomputation.before(index).iter().map(|writer| {
                    let Step { reads, writes, .. } = &self.graph.steps[*writer];
                    vec![data(reads[0]), kept(*writes)]
                });
                again.chain([own.into_iter().flatten().collect()]).collect()
            }
        }
    }
}

/// Writes `function(the sum of terms)` to `sum`, where some of them are rounded. The terms are added in
/// order, and the sum is rounded once. At `copies`, there is room for two blocks.
pub(super) fn add_up<T: Element>(
    isa: Isa,
    terms: &[Region],
    function: Activation,
    sum: &Region,
    arena: &mut [T],
    copies: usize,
) {
    for range in blocks(sum) {
        let total = copies..copies + range.len();
        let term = total.start + BLOCK..total.end + BLOCK;
        terms[0].part(range.clone()).load(isa, arena, total.clone());
        for region in &terms[1..] {
            region.part(range.clone()).load(isa, arena, term.clone());
            let [total, term] = disjoint(arena, [total.clone(), term.clone()]);
            elementwise::add_assign(isa, term, Activation::Identity, total);
        }
        activation::apply_in_place(isa, function, &mut arena[total.clone()]);
        sum.part(range).store(isa, arena, total);
    }
}

/// Adds `x` to `sum`.
pub(super) fn add_to<T: Element>(isa: Isa, x: &Region, sum: &Region, arena: &mut [T], copies: usize) {
    if x.is_rounded || sum.is_rounded {
        return add_up(isa, &[sum.clone(), x.clone()], Activation::Identity, sum, arena, copies);
    }
    let [sum, x] = disjoint(arena, [sum.range.clone(), x.range.clone()]);
    elementwise::add_assign(isa, x, Activation::Identity, sum);
}

/// Copies `x` to `y`.
pub(super) fn copy_to<T: Element>(isa: Isa, x: &Region, y: &Region, arena: &mut [T], copies: usize) {
    match [x.is_rounded, y.is_rounded] {
        [false, false] => arena.copy_within(x.range.clone(), y.range.start),
        [true, true] => bytemuck::cast_slice_mut::<T, u16>(arena).copy_within(x.range.clone(), y.range.start),
        _ => add_up(isa, std::slice::from_ref(x), Activation::Identity, y, arena, copies),
    }
}

/// The blocks of a tensor.
fn blocks(tensor: &Region) -> impl Iterator<Item = Range<usize>> + use<> {
    let len = tensor.range.len();
    (0..len).step_by(BLOCK).map(move |start| start..len.min(start + BLOCK))
}
