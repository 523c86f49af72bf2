//! The memory that one shard needs for its passes through the network.

use super::{Network, offsets};
use crate::error::Error;
use crate::memory::{self, Aligned, round_up};
use isograd_kernels::Element;
use std::ops::Range;

/// Activations, what layers save for the backward pass, scratch space and gradients of at most `capacity`
/// samples, allocated once.
#[derive(Debug)]
pub(crate) struct ShardMemory<T> {
    capacity: usize,
    /// Where each activation buffer starts.
    activation_offsets: Vec<usize>,
    /// Where each layer's saved values start.
    saved_offsets: Vec<usize>,
    pub(super) activations: Aligned<T>,
    pub(super) saved: Aligned<T>,
    pub(super) scratch: Aligned<T>,
    /// The gradient by a layer's output, and the gradient by its input, which the layer computes from it.
    pub(super) dy: Aligned<T>,
    pub(super) dx: Aligned<T>,
    /// Classes of the shard's samples.
    pub(crate) labels: Vec<u32>,
}

impl<T: Element> Network<T> {
    /// Checks that there is memory for `count` shards of at most `capacity` samples at a time.
    pub(crate) fn check_shard_memory(&self, capacity: usize, count: usize) -> Result<(), Error> {
        let of_samples = |per_sample: usize| per_sample as u128 * capacity as u128;
        let pair = round_up::<T>(1);
        let activations = self.buffers.iter().flat_map(|elements| [of_samples(*elements), pair as u128]);
        let saved = self
            .steps
            .iter()
            .flat_map(|step| [of_samples(step.saved.per_sample), step.saved.fixed as u128, pair as u128]);
        let gradients = [of_samples(self.buffers.iter().copied().max().unwrap_or(0)); 2];
        let elements = activations.chain(saved).chain(gradients).fold(0, u128::saturating_add);
        let check = |elements: u128| {
            let bytes = elements.saturating_mul(size_of::<T>() as u128).saturating_mul(count as u128);
            memory::check(|| format!("shards of {capacity} samples, {count} at a time"), bytes)
        };
        // The scratch memory of so many samples might overflow, so the samples themselves are checked first.
        check(elements)?;
        check(elements.saturating_add(self.scratch_len(capacity) as u128))
    }

    fn scratch_len(&self, capacity: usize) -> usize {
        self.layers.iter().map(|layer| layer.scratch_len(capacity)).max().unwrap_or(0)
    }

    /// Memory for shards of at most `capacity` samples.
    pub(crate) fn shard_memory(&self, capacity: usize) -> ShardMemory<T> {
        let activation_offsets = self.activation_offsets(capacity);
        let saved_offsets = offsets::<T>(self.steps.iter().map(|step| step.saved.elements(capacity)));
        let gradient = self.buffers.iter().max().unwrap_or(&0) * capacity;
        let end = |offsets: &[usize]| offsets[offsets.len() - 1];
        ShardMemory {
            capacity,
            activations: Aligned::zeroed(end(&activation_offsets)),
            saved: Aligned::zeroed(end(&saved_offsets)),
            scratch: Aligned::zeroed(self.scratch_len(capacity)),
            dy: Aligned::zeroed(gradient),
            dx: Aligned::zeroed(gradient),
            labels: Vec::with_capacity(capacity),
            activation_offsets,
            saved_offsets,
        }
    }

    /// The network's input in `memory`, to be filled with `n` samples: `[C, H, W, n]`.
    pub(crate) fn input_mut<'m>(&self, memory: &'m mut ShardMemory<T>, n: usize) -> &'m mut [T] {
        assert!(n <= memory.capacity, "a shard of {n} samples in memory for {}", memory.capacity);
        let range = self.activation(memory, 0, n);
        &mut memory.activations[range]
    }

    /// The network's output in `memory` after a forward pass of `n` samples.
    pub(crate) fn output<'m>(&self, memory: &'m ShardMemory<T>, n: usize) -> &'m [T] {
        &memory.activations[self.activation(memory, self.steps[self.steps.len() - 1].output, n)]
    }

    /// Input and output of the last layer, the gradient buffer for its input, scratch space of the same size,
    /// and the labels.
    pub(crate) fn last_layer<'m>(&self, memory: &'m mut ShardMemory<T>, n: usize) -> LastLayer<'m, T> {
        let step = &self.steps[self.steps.len() - 1];
        let (input, output) =
            (self.activation(memory, step.input, n), self.activation(memory, step.output, n));
        let (left, right) = memory.activations.split_at_mut(output.start);
        let len = input.len();
        LastLayer {
            x: &left[input],
            y: &mut right[..output.len()],
            dx: &mut memory.dy[..len],
            targets: &mut memory.dx[..len],
            labels: &memory.labels,
        }
    }

    /// The network's output, the gradient buffer for it, scratch space of the same size, and the labels.
    pub(crate) fn output_and_gradient<'m>(
        &self,
        memory: &'m mut ShardMemory<T>,
        n: usize,
    ) -> OutputAndGradient<'m, T> {
        let output = self.activation(memory, self.steps[self.steps.len() - 1].output, n);
        let len = output.len();
        OutputAndGradient {
            y: &memory.activations[output],
            dy: &mut memory.dy[..len],
            targets: &mut memory.dx[..len],
            labels: &memory.labels,
        }
    }

    /// The range of activation buffer `index` for `n` samples.
    pub(super) fn activation(&self, memory: &ShardMemory<T>, index: usize, n: usize) -> Range<usize> {
        let start = memory.activation_offsets[index];
        start..start + self.buffers[index] * n
    }

    /// The range of what layer `index` saves of `n` samples.
    pub(super) fn saved(&self, memory: &ShardMemory<T>, index: usize, n: usize) -> Range<usize> {
        let start = memory.saved_offsets[index];
        start..start + self.steps[index].saved.elements(n)
    }
}

/// What a loss that is fused with the last layer works on.
pub(crate) struct LastLayer<'m, T> {
    pub(crate) x: &'m [T],
    pub(crate) y: &'m mut [T],
    pub(crate) dx: &'m mut [T],
    pub(crate) targets: &'m mut [T],
    pub(crate) labels: &'m [u32],
}

/// What a loss of the network's output works on.
pub(crate) struct OutputAndGradient<'m, T> {
    pub(crate) y: &'m [T],
    pub(crate) dy: &'m mut [T],
    pub(crate) targets: &'m mut [T],
    pub(crate) labels: &'m [u32],
}
