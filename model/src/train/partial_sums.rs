//! A worker's partial sums of gradients: the nodes of the shard tree inside its range.

use super::buckets::Buckets;
use super::ranks::Buffer;
use crate::network::GradientMemory;
use isograd_comm::tree;
use isograd_kernels::Element;
use std::ops::Range;

/// Pending nodes of the tree, in shard order, each with a buffer for every bucket. Siblings are joined when
/// the next shard needs a buffer, as a binary counter carries. The last carries are left to the code that
/// finishes the tree, which reads all data anyway.
#[derive(Debug)]
pub(super) struct PartialSums<T> {
    /// By node and bucket; `None` while the exchange with other ranks has the buffer.
    buffers: Vec<Vec<Option<Buffer<T>>>>,
    nodes: Vec<Range<usize>>,
    /// Shards of the whole step.
    shards: usize,
}

impl<T: Element> PartialSums<T> {
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

    /// Makes a node for the values of `shard`, the next shard in order. It is the last node; its contents are
    /// arbitrary.
    pub(super) fn push(&mut self, shard: usize) {
        let kept = self.carry(self.nodes.len());
        self.nodes.truncate(kept);
        self.nodes.push(shard..shard + 1);
    }

    /// Makes a node for each of the shards `own`, for values that are all written before any are joined.
    pub(super) fn push_all(&mut self, own: Range<usize>) {
        self.nodes.extend(own.map(|shard| shard..shard + 1));
    }

    /// Joins the nodes of [`push_all`](Self::push_all): they become those that as many calls of
    /// [`push`](Self::push) make.
    pub(super) fn join(&mut self) {
        let mut kept = 0;
        for index in 0..self.nodes.len() {
            kept = self.carry(kept);
            if kept < index {
                self.nodes[kept] = self.nodes[index].clone();
                // Other ranks know the buffers by their numbers, so the values move.
                let (to, from) = self.buffers.split_at_mut(index);
                for (to, from) in to[kept].iter_mut().zip(&from[0]) {
                    present_mut(to).copy_from_slice(present(from));
                }
            }
            kept += 1;
        }
        self.nodes.truncate(kept);
    }

    /// Joins the last of the first `count` nodes as long as they are siblings; returns how many nodes are
    /// left of them.
    fn carry(&mut self, mut count: usize) -> usize {
        while let [.., left, right] = &self.nodes[..count] {
            let Some(whole) = tree::parent(left, right, self.shards) else { break };
            let (keep, drop) = self.buffers.split_at_mut(count - 1);
            for (keep, drop) in keep[count - 2].iter_mut().zip(&drop[0]) {
                tree::add_assign(present_mut(keep), present(drop));
            }
            count -= 1;
            self.nodes[count - 1] = whole;
        }
        count
    }

    /// The number of the last node.
    pub(super) fn last(&self) -> usize {
        self.nodes.len() - 1
    }

    /// The values of node `index` in a bucket, to write them.
    pub(super) fn values_mut(&mut self, index: usize, bucket: usize) -> &mut [T] {
        present_mut(&mut self.buffers[index][bucket])
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
    #[cfg(feature = "ranks")]
    pub(super) fn take(&mut self, bucket: usize) -> impl Iterator<Item = Buffer<T>> {
        let pending = &mut self.buffers[..self.nodes.len()];
        pending
            .iter_mut()
            .map(move |node| node[bucket].take().expect("the exchange has given the buffer back"))
    }

    /// Takes back a buffer.
    #[cfg(feature = "ranks")]
    pub(super) fn give_back(&mut self, index: usize, bucket: usize, buffer: Buffer<T>) {
        self.buffers[index][bucket] = Some(buffer);
    }
}

fn present<T>(buffer: &Option<Buffer<T>>) -> &Buffer<T> {
    buffer.as_ref().expect("the exchange has given the buffer back")
}

fn present_mut<T>(buffer: &mut Option<Buffer<T>>) -> &mut Buffer<T> {
    buffer.as_mut().expect("the exchange has given the buffer back")
}

/// Writes the gradients of a backward pass into a node of a worker's sums, and calls `complete` with each
/// bucket that is complete.
pub(super) struct BucketWriter<'a, T, F> {
    pub(super) partial_sums: &'a mut PartialSums<T>,
    pub(super) buckets: &'a Buckets,
    /// The number of the node.
    pub(super) node: usize,
    /// How many buckets are complete; they are counted from the network's end.
    pub(super) done: usize,
    pub(super) complete: F,
}

impl<T: Element, F: FnMut(&mut PartialSums<T>, usize)> GradientMemory<T> for BucketWriter<'_, T, F> {
    fn of(&mut self, range: Range<usize>) -> &mut [T] {
        // A layer without parameters may lie at the start of a bucket that the exchange has by now.
        if range.is_empty() {
            return &mut [];
        }
        let bucket = self.buckets.holding(range.start);
        let start = self.buckets.range(bucket).start;
        &mut self.partial_sums.values_mut(self.node, bucket)[range.start - start..range.end - start]
    }

    fn complete_from(&mut self, start: usize) -> bool {
        let before = self.done;
        while self.done < self.buckets.count() && self.buckets.range(self.done).start >= start {
            (self.complete)(self.partial_sums, self.done);
            self.done += 1;
        }
        self.done > before
    }
}
