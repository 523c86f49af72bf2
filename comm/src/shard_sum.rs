//! Sums over the shards of all ranks, bucket by bucket.

use crate::collective::{Call, Exchange, Goal, Neighbour, Plan, Rule, Topology, owners};
use crate::communicator::Communicator;
use crate::error::Error;
use crate::group::{Group, map, region};
use crate::shm::{Buffer, Carver, Region, RegionHandle, WAKER_END};
use crate::summand::Summand;
use crate::tree;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

/// How the shards of a step are divided among ranks: contiguous ranges in the order of ranks, in proportion
/// to weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// Sums of the weights of ranks `0..r`.
    before: Vec<usize>,
}

impl Shares {
    /// Equal weights.
    pub fn even(world: usize) -> Self {
        Self::new(&vec![1; world.max(1)]).expect("weights of one")
    }

    /// Rank `r` gets shards in proportion to `weights[r]`; `None` when all weights are 0, or their sum is
    /// more than 2^32.
    ///
    /// ```
    /// let shares = isograd_comm::Shares::new(&[5, 2, 1]).unwrap();
    /// assert_eq!([0, 1, 2].map(|rank| shares.range(rank, 8)), [0..5, 5..7, 7..8]);
    /// assert_eq!([0, 1, 2].map(|rank| shares.range(rank, 3)), [0..1, 1..2, 2..3]);
    /// ```
    pub fn new(weights: &[usize]) -> Option<Self> {
        let mut before = vec![0_usize];
        for weight in weights {
            before.push(before.last()?.checked_add(*weight)?);
        }
        (1..=1 << 32).contains(before.last()?).then_some(Self { before })
    }

    /// The number of ranks.
    pub fn world_size(&self) -> usize {
        self.before.len() - 1
    }

    /// The most shards that `rank` has out of `shards` or fewer.
    ///
    /// # Panics
    ///
    /// When there is no such rank.
    pub fn most(&self, rank: usize, shards: usize) -> usize {
        let weight = self.before[rank + 1] - self.before[rank];
        (shards as u128 * weight as u128).div_ceil(self.before[self.world_size()] as u128) as usize
    }

    /// The shards of `rank` out of `shards`.
    ///
    /// # Panics
    ///
    /// When there is no such rank.
    pub fn range(&self, rank: usize, shards: usize) -> Range<usize> {
        let total = self.before[self.world_size()] as u128;
        let bound = |rank: usize| (shards as u128 * self.before[rank] as u128 / total) as usize;
        bound(rank)..bound(rank + 1)
    }
}

/// The sizes of a [`ShardSum`].
#[derive(Debug, Clone)]
pub struct ShardPlan {
    /// Elements of each bucket.
    pub buckets: Vec<usize>,
    /// Buffers for nodes of the tree that this rank needs; ranks may differ in it.
    pub nodes: usize,
    /// The most shards of a step; fewer than 2^32.
    pub shards: usize,
    /// How the shards are divided among the ranks.
    pub shares: Shares,
}

/// The sum of a vector over the shards of all ranks, taken in the order of [`tree`]. The vector is cut into
/// buckets.
///
/// A step is: [`begin`](Self::begin); write the nodes' values into the buffers;
/// [`contribute`](Self::contribute) each bucket once it is complete, in any order that is the same at all
/// ranks; [`wait`](Self::wait); [`read`](Self::read) the sums; [`finish`](Self::finish), which returns the
/// buffers. Other ranks read the buffers in place.
///
/// The memory of a sum lives as long as its communicator.
#[derive(Debug)]
pub struct ShardSum<T> {
    exchange: usize,
    /// Elements of each bucket.
    buckets: Vec<usize>,
    shares: Shares,
    element: PhantomData<T>,
}

/// Elements in which each rank tells the others about its region.
const RECORD: usize = 16;

impl<T: Summand> ShardSum<T> {
    /// Prepares sums over the ranks of `communicator`; returns it with this rank's buffers, by node and
    /// bucket. All ranks must call it, with plans that differ at most in [`nodes`](ShardPlan::nodes).
    ///
    /// # Errors
    ///
    /// When the memory cannot be had, or a rank is lost.
    ///
    /// # Panics
    ///
    /// When the plan is for another number of ranks, or the communicator has only one.
    #[expect(clippy::type_complexity, reason = "buffers by node and bucket")]
    pub fn new(
        communicator: &mut Communicator,
        plan: &ShardPlan,
    ) -> Result<(Self, Vec<Vec<Buffer<T>>>), Error> {
        assert_eq!(plan.shares.world_size(), communicator.world_size(), "shares for another number of ranks");
        let group = communicator.group.as_mut().expect("a sum over the shards of several ranks");
        let topology = Arc::clone(&group.engine.topology);
        let sizes = Plan {
            buckets: plan.buckets.iter().map(|len| len * size_of::<T>()).collect(),
            own_nodes: plan.nodes,
            table: plan.shards,
            host_nodes: (0..topology.hosts.len()).map(|host| most_nodes(&topology, host, plan)).collect(),
            whole: 0,
        };
        let (own, neighbours) = share(group, &sizes)?;
        let mut own = Arc::new(own);
        let mut carver = Carver::new(&mut own);
        let exchange = group.engine.next_exchange();
        let (state, nodes) =
            Exchange::new(exchange as u32, &topology, &sizes, &mut carver, COUNTERS, neighbours);
        group.engine.add(state);
        communicator.barrier()?;
        own.close();
        let typed = |buckets: Vec<_>| buckets.into_iter().map(Buffer::from_raw).collect();
        let nodes = nodes.into_iter().map(typed).collect();
        let buckets = plan.buckets.clone();
        Ok((Self { exchange, buckets, shares: plan.shares.clone(), element: PhantomData }, nodes))
    }

    /// Starts a step of `shards` shards. This rank contributes the `nodes` of the tree, in order, each with
    /// the index of its buffer.
    ///
    /// # Errors
    ///
    /// When the group is broken.
    ///
    /// # Panics
    ///
    /// When the step before is not [finished](Self::finish), or has more nodes than planned shards.
    pub fn begin(
        &self,
        communicator: &mut Communicator,
        shards: usize,
        nodes: impl Iterator<Item = (Range<usize>, usize)>,
    ) -> Result<(), Error> {
        let engine = &mut group(communicator).engine;
        engine.check()?;
        engine.exchange_mut(self.exchange).set_shards(|rank| self.shares.range(rank, shards), nodes);
        for (bucket, len) in self.buckets.iter().enumerate() {
            let call = Call { kind: T::kind(), len: *len, rule: Rule::ALLREDUCE };
            engine.begin((self.exchange, bucket), call, *len)?;
        }
        Ok(())
    }

    /// Hands over the buffers of a bucket, in the order of the nodes. Then moves the sum as far as possible
    /// without waiting.
    ///
    /// # Errors
    ///
    /// When the group is broken.
    ///
    /// # Panics
    ///
    /// When these are not the buffers of that bucket whose indices [`begin`](Self::begin) was given, or a
    /// bucket is handed over twice in a step.
    pub fn contribute(
        &self,
        communicator: &mut Communicator,
        bucket: usize,
        nodes: impl Iterator<Item = Buffer<T>>,
    ) -> Result<(), Error> {
        let engine = &mut group(communicator).engine;
        engine.check()?;
        engine.exchange_mut(self.exchange).hand_over(bucket, nodes.map(Buffer::into_raw));
        engine.contribute((self.exchange, bucket))?;
        engine.advance_all(self.exchange)
    }

    /// Moves the sums as far as possible without waiting.
    ///
    /// # Errors
    ///
    /// When the group is broken.
    pub fn advance(&self, communicator: &mut Communicator) -> Result<(), Error> {
        group(communicator).engine.advance_all(self.exchange)
    }

    /// Waits for all sums.
    ///
    /// # Errors
    ///
    /// When a rank is lost or silent for longer than the timeout.
    ///
    /// # Panics
    ///
    /// When a bucket is not [contributed](Self::contribute): all ranks would wait for this one.
    pub fn wait(&self, communicator: &mut Communicator) -> Result<(), Error> {
        let engine = &mut group(communicator).engine;
        engine.check()?;
        engine.exchange(self.exchange).assert_contributed();
        let call = Call { kind: T::kind(), len: self.buckets.iter().sum(), rule: Rule::ALLREDUCE };
        engine.enter_exchange(self.exchange, call);
        for bucket in 0..self.buckets.len() {
            engine.wait(Goal::Bucket { exchange: self.exchange, bucket }, "allreduce")?;
        }
        Ok(())
    }

    /// `y = ` the sums of elements `range` of a bucket, as many as `y` has.
    ///
    /// # Panics
    ///
    /// When the step is not [complete](Self::wait), or the lengths differ.
    pub fn read(&self, communicator: &Communicator, bucket: usize, range: Range<usize>, y: &mut [T]) {
        assert_eq!(range.len(), y.len(), "elements {range:?} into {}", y.len());
        let group = communicator.group.as_ref().expect("a sum over the shards of several ranks");
        let (exchange, world) = (group.engine.exchange(self.exchange), group.engine.topology.world());
        for (owner, slice) in owners(range.clone(), world, self.buckets[bucket]) {
            let (start, end) = (range.start.max(slice.start), range.end.min(slice.end));
            if start < end {
                let sums = &exchange.result(bucket, owner)[start - slice.start..end - slice.start];
                y[start - range.start..end - range.start].copy_from_slice(sums);
            }
        }
    }

    /// Ends the step; `give_back(bucket, node, buffer)` gets the buffers.
    ///
    /// # Panics
    ///
    /// When the step is not [complete](Self::wait).
    pub fn finish(
        &self,
        communicator: &mut Communicator,
        mut give_back: impl FnMut(usize, usize, Buffer<T>),
    ) {
        let engine = &mut group(communicator).engine;
        for bucket in 0..self.buckets.len() {
            engine.consume((self.exchange, bucket));
            let state = &mut engine.exchange_mut(self.exchange).buckets[bucket];
            for (node, raw) in state.nodes.drain(..).enumerate() {
                give_back(bucket, node, Buffer::from_raw(raw));
            }
        }
    }
}

fn group(communicator: &mut Communicator) -> &mut Group {
    communicator.group.as_mut().expect("a sum over the shards of several ranks")
}

/// Offset of the counters of a sum in its region: behind the region's own.
const COUNTERS: usize = WAKER_END;

/// Makes this rank's region and maps those of its host's other ranks. If a rank cannot, all ranks learn it.
fn share(group: &mut Group, sizes: &Plan) -> Result<(Region, Vec<Neighbour>), Error> {
    let topology = Arc::clone(&group.engine.topology);
    let region = match region(group.folder(), COUNTERS + sizes.control(), sizes.data()) {
        Ok(region) => region,
        Err(error) => return group.engine.fail(error),
    };
    let mut records = vec![0.0f64; RECORD * topology.world()];
    if let Some(handle) = region.handle() {
        // Bytes that are transported as elements: nothing adds them.
        let record: &mut [u8] = bytemuck::cast_slice_mut(&mut records[RECORD * topology.rank..][..RECORD]);
        record[..RegionHandle::BYTES].copy_from_slice(&handle.encode());
    }
    group.by_owner(&mut records, Rule::ALLGATHER)?;
    let mut neighbours = Vec::new();
    for other in topology.locals().iter().filter(|other| **other != topology.rank) {
        let bytes: &[u8] = bytemuck::cast_slice(&records[RECORD * other..][..RECORD]);
        let handle = RegionHandle::decode(std::array::from_fn(|i| bytes[i]));
        // Each has mapped the other's first region, so they see each other's processes.
        match map((topology.rank, *other), &handle, true) {
            Ok(region) => neighbours.push(Neighbour { rank: *other, region }),
            Err(error) => return group.engine.fail(error),
        }
    }
    Ok((region, neighbours))
}

/// The most nodes that a host has for other hosts, in a step of any number of shards. An upper bound, where
/// counting would take long.
fn most_nodes(topology: &Topology, host: usize, plan: &ShardPlan) -> usize {
    const COUNTED: usize = 1 << 14;
    if plan.shards > COUNTED {
        return topology.hosts[host].len() * tree::max_pending(plan.shards);
    }
    let mut nodes = Vec::new();
    let count = |shards: usize| {
        nodes.clear();
        for range in topology.shards_of(host, |rank| plan.shares.range(rank, shards)) {
            tree::largest(range, shards, &mut nodes);
        }
        nodes.len()
    };
    (1..=plan.shards).map(count).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nobody_has_more_than_the_most(weights in proptest::collection::vec(0usize..6, 1..6), shards in 0usize..40) {
            let Some(shares) = Shares::new(&weights) else { return Ok(()) };
            for rank in 0..weights.len() {
                let most = (0..=shards).map(|fewer| shares.range(rank, fewer).len()).max();
                prop_assert!(most <= Some(shares.most(rank, shards)), "rank {rank} of {weights:?}, {shards} shards");
            }
        }
    }
}
