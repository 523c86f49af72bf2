//! The memory that one shard needs for its passes through the network.
//!
//! All buffers of a pass lie in one arena, planned once. Training and use have plans of their own in the same
//! memory: use keeps nothing for a backward pass.

use super::Network;
use super::arena::{self, Packing};
use super::graph::Inside;
use super::lifetimes::Slot;
use super::storage::{Direction, Region};
use super::views::ViewMemory;
use crate::error::Error;
use crate::layer::{Mode, Team};
use crate::memory::{self, Aligned, round_up};
use crate::profile::Recording;
use crate::targets::Targets;
use isograd_kernels::Element;
use std::ops::Range;
use std::sync::Arc;

/// Where the buffers of shards of at most `capacity` samples lie.
#[derive(Debug)]
pub(crate) struct MemoryPlan {
    capacity: usize,
    /// By [item](Network::item); empty for a mode that is not planned for.
    train: Vec<usize>,
    eval: Vec<usize>,
    arena_len: usize,
    /// Elements of scratch space for a thread: whole pairs of cache lines.
    lane_len: usize,
    /// The most shared sums of a layer.
    sums_len: usize,
}

impl MemoryPlan {
    pub(super) fn starts(&self, mode: Mode) -> &[usize] {
        match mode {
            Mode::Train => &self.train,
            Mode::Eval => &self.eval,
        }
    }

    /// Memory for one shard at a time, on up to `threads` threads.
    pub(crate) fn allocate<T: Element>(plan: &Arc<Self>, threads: usize) -> ShardMemory<T> {
        ShardMemory {
            arena: Aligned::zeroed(plan.arena_len),
            scratch: Aligned::zeroed(plan.lane_len * threads),
            most_threads: threads,
            threads,
            sums: vec![0.0; plan.sums_len],
            mode: Mode::Train,
            n: 0,
            has_values: false,
            labels: Vec::with_capacity(plan.capacity),
            recording: Recording::default(),
            views: ViewMemory::default(),
            plan: Arc::clone(plan),
        }
    }
}

/// Activations, what layers save for the backward pass, scratch space and gradients of one shard, allocated
/// once.
#[derive(Debug)]
pub(crate) struct ShardMemory<T> {
    pub(super) plan: Arc<MemoryPlan>,
    pub(super) arena: Aligned<T>,
    /// Scratch space for each thread that may work on the shard.
    pub(super) scratch: Aligned<T>,
    /// As many threads as there is scratch space for.
    most_threads: usize,
    /// The threads that share the work of the pass under way.
    pub(super) threads: usize,
    /// Sums of a layer over the shard, where it is the only one of its step.
    pub(super) sums: Vec<f64>,
    /// The mode of the pass under way, and the samples of its shard.
    pub(super) mode: Mode,
    pub(super) n: usize,
    /// Whether the targets are values, which lie in a slot of the arena.
    has_values: bool,
    /// Classes of the shard's samples.
    pub(crate) labels: Vec<u32>,
    /// Notes how long the shard's passes take.
    pub(crate) recording: Recording,
    /// For passes over several views of the shard's samples.
    pub(super) views: ViewMemory<T>,
}

impl<T: Element> ShardMemory<T> {
    /// Makes room for `threads` threads on a shard.
    pub(crate) fn reserve_threads(&mut self, threads: usize) {
        if self.most_threads < threads {
            self.scratch = Aligned::zeroed(threads * self.plan.lane_len);
            self.most_threads = threads;
        }
    }

    /// Lets `threads` threads share the work on a shard until this is called again, or as many as there is
    /// room for.
    pub(crate) fn set_threads(&mut self, threads: usize) {
        self.threads = threads.clamp(1, self.most_threads);
    }
}

/// The scratch space of the first of `threads` threads, and the team of all.
pub(super) fn team<T: Element>(scratch: &mut [T], threads: usize) -> (&mut [T], Team<'_, T>) {
    let lane = scratch.len() / threads;
    let (first, others) = scratch[..lane * threads].split_at_mut(lane);
    (first, Team::new(threads, others))
}

impl<T: Element> Network<T> {
    /// Plans the memory of shards of at most `capacity` samples for passes in `modes`.
    ///
    /// # Errors
    ///
    /// When there is no memory for `count` of them at a time, with `lanes` threads' scratch space together.
    pub(crate) fn plan_memory(
        &self,
        capacity: usize,
        modes: &[Mode],
        count: usize,
        lanes: usize,
    ) -> Result<Arc<MemoryPlan>, Error> {
        let pack = |mode| modes.contains(&mode).then(|| self.pack(mode, capacity));
        let [train, eval] = [Mode::Train, Mode::Eval].map(pack);
        let arena_len = train.iter().chain(&eval).map(|packing| packing.end).max().unwrap_or(0);
        let arenas_len = arena_len.saturating_mul(count as u128);
        let check = |elements: u128| {
            let bytes = elements.saturating_mul(size_of::<T>() as u128);
            memory::check(|| format!("shards of {capacity} samples, {count} at a time"), bytes)
        };
        // The scratch memory of so many samples might overflow, so the samples themselves are checked first.
        check(arenas_len)?;
        let lane_len = round_up::<T>(self.scratch_len(capacity));
        check(arenas_len.saturating_add((lane_len as u128).saturating_mul(lanes as u128)))?;
        let starts = |packing: Option<Packing>| {
            packing.map_or_else(Vec::new, |packing| {
                packing.starts.into_iter().map(|start| start as usize).collect()
            })
        };
        let (train, eval) = (starts(train), starts(eval));
        let sums_len = self.shared_steps().map(|step| step.sums).max().unwrap_or(0);
        let arena_len = arena_len as usize;
        Ok(Arc::new(MemoryPlan { capacity, train, eval, arena_len, lane_len, sums_len }))
    }

    fn pack(&self, mode: Mode, capacity: usize) -> Packing {
        arena::pack::<T>(&self.items(mode), capacity)
    }

    fn scratch_len(&self, capacity: usize) -> usize {
        self.layers.iter().map(|layer| layer.scratch_len(capacity)).max().unwrap_or(0)
    }

    /// Bytes of memory that a shard of `n` samples takes in `mode`: activations, what layers save, gradients
    /// by activations, and scratch space for one thread. Buffers that are in use at different times share
    /// memory.
    pub fn shard_bytes(&self, mode: Mode, n: usize) -> u128 {
        (self.pack(mode, n).end + self.scratch_len(n) as u128) * size_of::<T>() as u128
    }

    /// Starts a pass in `mode` over `n` samples; returns the network's input, to be filled with them: `[C, H,
    /// W, n]`.
    pub(crate) fn start_pass<'m>(&self, memory: &'m mut ShardMemory<T>, mode: Mode, n: usize) -> &'m mut [T] {
        let capacity = memory.plan.capacity;
        assert!(n <= capacity, "a shard of {n} samples in memory for {capacity}");
        (memory.mode, memory.n, memory.has_values) = (mode, n, false);
        let range = self.data_region(memory, 0).elements();
        &mut memory.arena[range]
    }

    /// The network's output in `memory` after a forward pass.
    pub(crate) fn output<'m>(&self, memory: &'m ShardMemory<T>) -> &'m [T] {
        &memory.arena[self.data_region(memory, self.output).elements()]
    }

    /// The input of the last step in `memory` after a forward pass without that step.
    pub(crate) fn last_input<'m>(&self, memory: &'m ShardMemory<T>) -> &'m [T] {
        let last = &self.graph.steps[self.graph.steps.len() - 1];
        &memory.arena[self.data_region(memory, last.reads[0]).elements()]
    }

    /// Makes values the targets of the pass under way; returns the memory for them, `[outputs, n]`. Until the
    /// forward pass has ended, it is used for something else.
    pub(crate) fn target_values<'m>(&self, memory: &'m mut ShardMemory<T>) -> &'m mut [T] {
        memory.has_values = true;
        let range = self.targets_range(memory, self.output);
        &mut memory.arena[range]
    }

    /// The targets of the pass under way.
    pub(crate) fn targets<'m>(&self, memory: &'m ShardMemory<T>) -> Targets<'m, T> {
        match memory.has_values {
            true => Targets::Values(&memory.arena[self.targets_range(memory, self.output)]),
            false => Targets::Classes(&memory.labels),
        }
    }

    /// Input and output of the last step, the gradient buffer for its input (empty in use), and the targets.
    pub(crate) fn last_layer<'m>(&self, memory: &'m mut ShardMemory<T>) -> LastLayer<'m, T> {
        let last = &self.graph.steps[self.graph.steps.len() - 1];
        let (x, y) = (last.reads[0], last.writes);
        let ranges = [
            self.data_region(memory, x).elements(),
            self.data_region(memory, y).elements(),
            self.loss_gradient_range(memory, x),
            self.targets_range(memory, x),
        ];
        let [x, y, dx, targets] = disjoint(&mut memory.arena, ranges);
        LastLayer { x, y, dx, targets: TargetMemory::new(&memory.labels, targets, memory.has_values) }
    }

    /// The network's output, the gradient buffer for it (empty in use), and the targets.
    pub(crate) fn output_and_gradient<'m>(&self, memory: &'m mut ShardMemory<T>) -> OutputAndGradient<'m, T> {
        let y = self.output;
        let ranges = [
            self.data_region(memory, y).elements(),
            self.loss_gradient_range(memory, y),
            self.targets_range(memory, y),
        ];
        let [y, dy, targets] = disjoint(&mut memory.arena, ranges);
        OutputAndGradient { y, dy, targets: TargetMemory::new(&memory.labels, targets, memory.has_values) }
    }

    fn loss_gradient_range(&self, memory: &ShardMemory<T>, value: usize) -> Range<usize> {
        match memory.mode {
            Mode::Train => self.gradient_region(memory, value).elements(),
            Mode::Eval => 0..0,
        }
    }

    fn targets_range(&self, memory: &ShardMemory<T>, value: usize) -> Range<usize> {
        self.slot_range(memory, Slot::Targets, self.graph.values[value].elements * memory.n)
    }

    /// Where the data of `value` lie in the arena.
    pub(super) fn data_region(&self, memory: &ShardMemory<T>, value: usize) -> Region {
        let Inside { value: buffer, offset } = self.data[value];
        self.region(memory, Slot::Data(buffer), offset, self.graph.values[value].elements)
    }

    /// Where the backward pass has the data of `value`.
    pub(super) fn kept_region(&self, memory: &ShardMemory<T>, value: usize) -> Region {
        self.region(memory, self.kept(value), self.data[value].offset, self.graph.values[value].elements)
    }

    /// Where the gradient by `value` lies.
    pub(super) fn gradient_region(&self, memory: &ShardMemory<T>, value: usize) -> Region {
        let Inside { value: buffer, offset } = self.gradients[value];
        self.region(memory, Slot::Gradient(buffer), offset, self.graph.values[value].elements)
    }

    /// Where the [copies](super::storage::Copies) of a step begin in the arena.
    pub(super) fn copies(&self, memory: &ShardMemory<T>, direction: Direction, step: usize) -> usize {
        memory.plan.starts(memory.mode)[self.item(Slot::Copies(direction, step))]
    }

    /// The first `len` elements of a slot that is not rounded.
    pub(super) fn slot_range(&self, memory: &ShardMemory<T>, slot: Slot, len: usize) -> Range<usize> {
        let start = memory.plan.starts(memory.mode)[self.item(slot)];
        start..start + len
    }
}

/// Buffers that are in use at the same time.
pub(super) fn disjoint<T, const COUNT: usize>(
    arena: &mut [T],
    ranges: [Range<usize>; COUNT],
) -> [&mut [T]; COUNT] {
    // An empty range inside of another one would count as an overlap.
    let ranges = ranges.map(|range| if range.is_empty() { 0..0 } else { range });
    arena.get_disjoint_mut(ranges).expect("buffers in use at the same time do not overlap")
}

/// As [`disjoint`], where the buffers `reads` are only read, and may overlap each other.
pub(super) fn disjoint_from_reads<T>(
    arena: &mut [T],
    reads: [Range<usize>; 2],
    writes: [Range<usize>; 2],
) -> ([&[T]; 2], [&mut [T]; 2]) {
    let [one, other] = reads.clone();
    let overlap = one.start.max(other.start) < one.end.min(other.end);
    let [first, second] = match overlap {
        true => [one.start.min(other.start)..one.end.max(other.end), 0..0],
        false => [one, other],
    };
    let start = first.start;
    let [into, also_into] = writes;
    let [first, second, into, also_into] = disjoint(arena, [first, second, into, also_into]);
    let (first, second) = (&*first, &*second);
    let reads = match overlap {
        true => reads.map(|range| &first[range.start - start..range.end - start]),
        false => [first, second],
    };
    (reads, [into, also_into])
}

/// What a loss that is fused with the last layer works on.
pub(crate) struct LastLayer<'m, T> {
    pub(crate) x: &'m [T],
    pub(crate) y: &'m mut [T],
    pub(crate) dx: &'m mut [T],
    pub(crate) targets: TargetMemory<'m, T>,
}

/// What a loss of the network's output works on.
pub(crate) struct OutputAndGradient<'m, T> {
    pub(crate) y: &'m [T],
    pub(crate) dy: &'m mut [T],
    pub(crate) targets: TargetMemory<'m, T>,
}

/// The targets of a shard: its labels, and memory that holds them as numbers, or is there to do so.
pub(crate) struct TargetMemory<'m, T> {
    labels: &'m [u32],
    values: &'m mut [T],
    has_values: bool,
}

impl<'m, T> TargetMemory<'m, T> {
    fn new(labels: &'m [u32], values: &'m mut [T], has_values: bool) -> Self {
        Self { labels, values, has_values }
    }

    /// The targets, and memory to write classes to as numbers.
    pub(crate) fn split(self) -> (Targets<'m, T>, &'m mut [T]) {
        match self.has_values {
            true => (Targets::Values(self.values), &mut []),
            false => (Targets::Classes(self.labels), self.values),
        }
    }
}
