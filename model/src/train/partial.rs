//! A worker's partial sums of gradients: the nodes of the shard tree inside its range.

use crate::memory::Aligned;
use isograd_kernels::{Element, Isa, elementwise, tree};
use std::ops::Range;

/// Pending nodes of the tree, in shard order, each with a buffer. Siblings are joined when the next shard needs a buffer,
/// as a binary counter carries; the last carries are left to whoever finishes the tree, who passes over the data anyway.
#[derive(Debug)]
pub(super) struct Partial<T> {
    buffers: Vec<Aligned<T>>,
    nodes: Vec<Range<usize>>,
    /// Shards of the whole step.
    shards: usize,
}

impl<T: Element> Partial<T> {
    /// Room for the sums of any range of `own` shards out of `shards`, of `len` elements each.
    pub(super) fn new(own: usize, shards: usize, len: usize) -> Self {
        let capacity = own.min(tree::max_pending(shards));
        Self {
            buffers: (0..capacity).map(|_| Aligned::zeroed(len)).collect(),
            nodes: Vec::with_capacity(capacity),
            shards,
        }
    }

    /// Forgets all sums: the next step has `shards` shards.
    pub(super) fn start(&mut self, shards: usize) {
        self.shards = shards;
        self.nodes.clear();
    }

    /// A buffer for the values of `shard`, the next one in order; its contents are arbitrary.
    pub(super) fn push(&mut self, isa: Isa, shard: usize) -> &mut [T] {
        while let [.., left, right] = self.nodes.as_slice() {
            let Some(whole) = tree::parent(left, right, self.shards) else { break };
            let (keep, drop) = self.buffers.split_at_mut(self.nodes.len() - 1);
            elementwise::add_assign(isa, &mut keep[self.nodes.len() - 2], &drop[0]);
            self.nodes.truncate(self.nodes.len() - 2);
            self.nodes.push(whole);
        }
        self.nodes.push(shard..shard + 1);
        &mut self.buffers[self.nodes.len() - 1]
    }

    /// The pending nodes, in order.
    pub(super) fn nodes(&self) -> &[Range<usize>] {
        &self.nodes
    }

    /// The values of node `index`.
    pub(super) fn values(&self, index: usize) -> &[T] {
        &self.buffers[index]
    }
}
