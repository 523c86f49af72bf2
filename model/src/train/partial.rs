//! A worker's partial sums of gradients: the nodes of the shard tree inside its range.

use super::buckets::Buckets;
use crate::network::GradientMemory;
use isograd_comm::{Buffer, tree};
use isograd_kernels::Element;
use std::ops::Range;

/// Pending nodes of the tree, in shard order, each with a buffer for every bucket. Siblings are joined when the next shard needs a
/// buffer, as a binary counter carries; the last carries are left to whoever finishes the tree, who passes over the data
/// anyway.
#[derive(Debug)]
pub(super) struct Partial<T> {
    /// By node and bucket; `None` while others sum it up.
    buffers: Vec<Vec<Option<Buffer<T>>>>,
    nodes: Vec<Range<usize>>,
    /// Shards of the whole step.
    shards: usize,
}

impl<T: Element> Partial<T> {
    /// How many nodes a worker needs that has at most `own` shards out of `shards`.
    pub(super) fn capacity(own: usize, shards: usize) -> usize {
        own.min(tree::max_pending(shards))
    }

    /// Sums in `buffers`, by node and bucket.
    pub(super) fn new(buffers: Vec<Vec<Buffer<T>>>) -> Self {
        let nodes = Vec::with_capacity(buffers.len());
        let buffers = buffers.into_iter().map(|buckets| buckets.into_iter().map(Some).collect()).collect();
        Self { buffers, nodes, shards: 0 }
    }

    /// Forgets all sums: the next step has `shards` shards.
    pub(super) fn start(&mut self, shards: usize) {
        self.shards = shards;
        self.nodes.clear();
    }

    /// Makes room for the values of `shard`, the next one in order: in the last node, whose contents are arbitrary.
    pub(super) fn push(&mut self, shard: usize) {
        while let [.., left, right] = self.nodes.as_slice() {
            let Some(whole) = tree::parent(left, right, self.shards) else { break };
            let (keep, drop) = self.buffers.split_at_mut(self.nodes.len() - 1);
            for (keep, drop) in keep[self.nodes.len() - 2].iter_mut().zip(&drop[0]) {
                tree::add_assign(present_mut(keep), present(drop));
            }
            self.nodes.truncate(self.nodes.len() - 2);
            self.nodes.push(whole);
        }
        self.nodes.push(shard..shard + 1);
    }

    /// The last node's buffers, by bucket.
    pub(super) fn last_mut(&mut self) -> &mut [Option<Buffer<T>>] {
        &mut self.buffers[self.nodes.len() - 1]
    }

    /// The pending nodes, in order.
    pub(super) fn nodes(&self) -> &[Range<usize>] {
        &self.nodes
    }

    /// The values of node `index` in a bucket.
    pub(super) fn values(&self, index: usize, bucket: usize) -> &[T] {
        present(&self.buffers[index][bucket])
    }

    /// Hands out the buffers of a bucket, of all pending nodes in order.
    pub(super) fn take(&mut self, bucket: usize) -> impl Iterator<Item = Buffer<T>> {
        let pending = &mut self.buffers[..self.nodes.len()];
        pending.iter_mut().map(move |node| node[bucket].take().expect("nobody else has it"))
    }

    /// Takes back a buffer.
    pub(super) fn give_back(&mut self, index: usize, bucket: usize, buffer: Buffer<T>) {
        self.buffers[index][bucket] = Some(buffer);
    }
}

fn present<T>(buffer: &Option<Buffer<T>>) -> &Buffer<T> {
    buffer.as_ref().expect("nobody else has it")
}

fn present_mut<T>(buffer: &mut Option<Buffer<T>>) -> &mut Buffer<T> {
    buffer.as_mut().expect("nobody else has it")
}

/// A backward pass into the last node of a worker's sums; `complete` gets each bucket that is complete.
pub(super) struct Receiver<'a, T, F> {
    pub(super) partial: &'a mut Partial<T>,
    pub(super) buckets: &'a Buckets,
    /// How many buckets are complete; they are counted from the network's end.
    pub(super) done: usize,
    pub(super) complete: F,
}

impl<T: Element, F: FnMut(&mut Partial<T>, usize)> GradientMemory<T> for Receiver<'_, T, F> {
    fn of(&mut self, range: Range<usize>) -> &mut [T] {
        // A layer without parameters may lie where a bucket has just been handed out.
        if range.is_empty() {
            return &mut [];
        }
        let bucket = self.buckets.holding(range.start);
        let start = self.buckets.range(bucket).start;
        &mut present_mut(&mut self.partial.last_mut()[bucket])[range.start - start..range.end - start]
    }

    fn complete_from(&mut self, start: usize) {
        while self.done < self.buckets.count() && self.buckets.range(self.done).start >= start {
            (self.complete)(self.partial, self.done);
            self.done += 1;
        }
    }
}
