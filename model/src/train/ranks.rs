//! The exchange with the other ranks of a training run: which rank has which shards, and the sums over all of
//! them.

use super::buckets::Buckets;
use super::division::Division;
use super::partial_sums::PartialSums;
use super::report::Flags;
use super::worker::Worker;
use crate::profile::{ClockPoint, Recording, Work};
use isograd_comm::{ClockOffset, Communicator, Error, ShardPlan, ShardSum, Shares, tree};
use isograd_kernels::Element;
use std::ops::Range;
use std::sync::Mutex;

pub(super) use isograd_comm::Buffer;

/// Memory for the sums of a process that shares them with nobody, zeroed.
pub(super) fn private_buffer<T: Element>(len: usize) -> Buffer<T> {
    Buffer::private(len)
}

/// How a trainer works together with those of other ranks.
#[derive(Debug)]
pub struct Ranks {
    /// The group.
    pub communicator: Communicator,
    /// How the shards of a step are divided among the ranks.
    pub shares: Shares,
    /// Gradients are summed up in buckets of at least this many bytes.
    pub bucket_bytes: usize,
    /// Whether buckets are summed up while the backward pass goes on.
    pub overlap: bool,
}

impl Ranks {
    /// Equal shares, buckets of 1 MiB, with overlap.
    pub fn new(communicator: Communicator) -> Self {
        let shares = Shares::even(communicator.world_size());
        Self { communicator, shares, bucket_bytes: 1 << 20, overlap: true }
    }

    /// Whether this rank is the only one.
    pub(super) fn is_alone(&self) -> bool {
        self.communicator.world_size() == 1
    }

    /// The most of this rank's shards out of `shards` or fewer.
    pub(super) fn most_shards(&self, shards: usize) -> usize {
        self.shares.most(self.communicator.rank(), shards)
    }

    pub(super) fn bucket_bytes(&self) -> usize {
        self.bucket_bytes
    }
}

/// The exchange of gradients and sums with the other ranks.
#[derive(Debug)]
pub(super) struct Exchange<T> {
    shares: Shares,
    overlap: bool,
    rank: usize,
    in_progress: Mutex<SumInProgress<T>>,
    /// Loss and metric sums of all shards of a pass.
    sums: Vec<f64>,
    /// The nodes of this rank in the step, with the index of their buffer; and where each worker's begin.
    nodes: Vec<(Range<usize>, usize)>,
    first_nodes: Vec<usize>,
    pending: Vec<Range<usize>>,
    division: Division,
    /// Nodes for which each worker has buffers.
    capacity: usize,
    /// Notes how long the training thread waits for other ranks.
    pub(super) recording: Recording,
}

/// The sum over the ranks, and what it needs; workers take turns with it.
#[derive(Debug)]
struct SumInProgress<T> {
    communicator: Communicator,
    sum: ShardSum<T>,
    /// By bucket and node: what this rank's workers have completed.
    complete: Vec<Vec<Option<Buffer<T>>>>,
    /// By bucket: nodes that are not complete.
    missing: Vec<usize>,
    /// The first failure in the step.
    failure: Option<Error>,
}

impl<T: Element> Exchange<T> {
    /// An exchange for steps of at most `shards` shards, and the buffers of this rank's workers, by worker,
    /// node and bucket: each worker has buffers for `capacity` nodes.
    #[expect(clippy::type_complexity, reason = "buffers by worker, node and bucket")]
    pub(super) fn new(
        ranks: Ranks,
        buckets: &Buckets,
        shards: usize,
        division: Division,
        capacity: usize,
    ) -> Result<(Self, Vec<Vec<Vec<Buffer<T>>>>), Error> {
        let Ranks { mut communicator, shares, overlap, .. } = ranks;
        let workers = division.workers();
        let plan = ShardPlan {
            buckets: buckets.lengths().collect(),
            nodes: workers * capacity,
            shards,
            shares: shares.clone(),
        };
        let (sum, buffers) = ShardSum::new(&mut communicator, &plan)?;
        let mut buffers = buffers.into_iter();
        let by_worker = (0..workers).map(|_| buffers.by_ref().take(capacity).collect()).collect();
        let rank = communicator.rank();
        let slots = || (0..workers * capacity).map(|_| None).collect();
        let complete = (0..buckets.count()).map(|_| slots()).collect();
        let missing = vec![0; buckets.count()];
        let in_progress = Mutex::new(SumInProgress { communicator, sum, complete, missing, failure: None });
        let first_nodes = Vec::with_capacity(workers);
        let exchange = Self {
            shares,
            overlap,
            rank,
            in_progress,
            sums: Vec::new(),
            nodes: Vec::with_capacity(workers * capacity),
            first_nodes,
            pending: Vec::with_capacity(capacity),
            division,
            capacity,
            recording: Recording::default(),
        };
        Ok((exchange, by_worker))
    }

    /// Whether buckets are summed up while the backward pass goes on.
    pub(super) fn overlaps(&self) -> bool {
        self.overlap
    }

    /// This rank's shards of a pass of `shards`.
    pub(super) fn own(&self, shards: usize) -> Range<usize> {
        self.shares.range(self.rank, shards)
    }

    /// Starts a step of `shards` shards.
    pub(super) fn begin(&mut self, shards: usize) -> Result<(), Error> {
        let own = self.own(shards);
        let Self { nodes, first_nodes, pending, in_progress, division, capacity, .. } = self;
        nodes.clear();
        first_nodes.clear();
        for worker in 0..division.workers() {
            first_nodes.push(nodes.len());
            let range = division.shards_of(worker, own.len());
            tree::pending(own.start + range.start..own.start + range.end, shards, pending);
            let buffer = |index| worker * *capacity + index;
            nodes.extend(pending.drain(..).enumerate().map(|(index, node)| (node, buffer(index))));
        }
        let SumInProgress { communicator, sum, missing, .. } =
            in_progress.get_mut().expect("no worker panicked");
        missing.fill(nodes.len());
        sum.begin(communicator, shards, nodes.iter().cloned())?;
        if nodes.is_empty() {
            for bucket in 0..missing.len() {
                sum.contribute(communicator, bucket, std::iter::empty())?;
            }
        }
        Ok(())
    }

    /// Takes a bucket of all nodes of `worker`, which has completed it. When the last worker has completed
    /// it, the bucket is contributed to the sum over the ranks. Every call also moves data that are under
    /// way.
    pub(super) fn complete(&self, worker: usize, partial_sums: &mut PartialSums<T>, bucket: usize) {
        let mut in_progress = self.in_progress.lock().expect("no worker panicked");
        let SumInProgress { communicator, sum, complete, missing, failure } = &mut *in_progress;
        let slots = &mut complete[bucket];
        for (slot, buffer) in slots[self.first_nodes[worker]..].iter_mut().zip(partial_sums.take(bucket)) {
            *slot = Some(buffer);
            missing[bucket] -= 1;
        }
        if failure.is_some() {
            return;
        }
        let result = if missing[bucket] == 0 {
            let buffers = slots.iter_mut().filter_map(Option::take);
            sum.contribute(communicator, bucket, buffers)
        } else {
            sum.advance(communicator)
        };
        *failure = result.err();
    }

    /// Takes all buckets of all workers, which share the shards `own`.
    pub(super) fn complete_all(&self, workers: &mut [Worker<T>], own: Range<usize>) {
        let buckets = self.in_progress.lock().expect("no worker panicked").missing.len();
        for (index, worker) in workers.iter_mut().enumerate() {
            if !self.division.shards_of(index, own.len()).is_empty() {
                (0..buckets).for_each(|bucket| self.complete(index, &mut worker.partial_sums, bucket));
            }
        }
    }

    /// Waits for the sums of all buckets.
    pub(super) fn wait(&mut self) -> Result<(), Error> {
        let started = self.recording.begin();
        let SumInProgress { communicator, sum, failure, .. } =
            self.in_progress.get_mut().expect("no worker panicked");
        failure.take().map_or(Ok(()), Err)?;
        sum.wait(communicator)?;
        self.recording.since(started, Work::Wait, 0);
        Ok(())
    }

    /// Copies sums: element `place` of a bucket and those that follow, to `g`.
    pub(super) fn reader(&mut self) -> impl Fn(usize, Range<usize>, &mut [T]) + Sync {
        let SumInProgress { communicator, sum, .. } = self.in_progress.get_mut().expect("no worker panicked");
        let (communicator, sum) = (&*communicator, &*sum);
        |bucket, place, g| sum.read(communicator, bucket, place, g)
    }

    /// Ends the step: the workers get their buffers back.
    pub(super) fn finish(&mut self, workers: &mut [Worker<T>]) {
        let Self { in_progress, first_nodes, .. } = self;
        let SumInProgress { communicator, sum, .. } = in_progress.get_mut().expect("no worker panicked");
        sum.finish(communicator, |bucket, node, buffer| {
            let worker = first_nodes.partition_point(|first| *first <= node) - 1;
            workers[worker].partial_sums.give_back(node - first_nodes[worker], bucket, buffer);
        });
    }

    /// Ends a step whose sums are not used. If a rank is lost meanwhile, the next step reports it.
    pub(super) fn discard(&mut self, workers: &mut [Worker<T>]) {
        if self.wait().is_ok() {
            self.finish(workers);
        }
    }

    /// The loss and metric sums of all shards of a pass, `width` numbers for each shard, where `own` are
    /// those of this rank's shards; and the flags that any rank has set, where `flags` are this rank's.
    pub(super) fn sums_of_all(
        &mut self,
        shards: usize,
        width: usize,
        own: impl Iterator<Item = f64>,
        flags: Flags,
    ) -> Result<(&[f64], Flags), Error> {
        let place = self.own(shards);
        self.sums.clear();
        self.sums.resize(shards * width + 2, 0.0);
        for (slot, value) in self.sums[place.start * width..place.end * width].iter_mut().zip(own) {
            *slot = value;
        }
        // Each number comes from the one rank that has the shard; the others add zeros.
        let numbers = [flags.stop, flags.failed].map(|flag| f64::from(u8::from(flag)));
        self.sums[shards * width..].copy_from_slice(&numbers);
        let in_progress = self.in_progress.get_mut().expect("no worker panicked");
        let started = self.recording.begin();
        in_progress.communicator.allreduce(&mut self.sums)?;
        self.recording.since(started, Work::Wait, 0);
        let (sums, flags) = self.sums.split_at(shards * width);
        Ok((sums, Flags { stop: flags[0] > 0.0, failed: flags[1] > 0.0 }))
    }

    /// This rank's number.
    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    /// The number of ranks.
    pub(super) fn world_size(&self) -> usize {
        self.shares.world_size()
    }

    /// How far this rank's clock is ahead of that of rank 0, where `now_ns` reads it. All ranks must call it.
    pub(super) fn clock_point(&mut self, now_ns: impl Fn() -> f64) -> Result<ClockPoint, Error> {
        let communicator = &mut self.in_progress.get_mut().expect("no worker panicked").communicator;
        let ClockOffset { at_ns, ahead_ns, error_ns } = communicator.clock_offset(now_ns)?;
        Ok(ClockPoint { at_ns, ahead_ns, error_ns })
    }

    /// Whether this is rank 0.
    pub(super) fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// Overwrites `x` with that of rank 0.
    pub(super) fn broadcast(&mut self, x: &mut [T]) -> Result<(), Error> {
        self.in_progress.get_mut().expect("no worker panicked").communicator.broadcast(x, 0)
    }

    /// `value` of each rank, by its number.
    pub(super) fn gather(&mut self, value: f64) -> Result<Vec<f64>, Error> {
        let communicator = &mut self.in_progress.get_mut().expect("no worker panicked").communicator;
        let mut values = vec![0.0; communicator.world_size()];
        // Each number comes from one rank; the others add zeros.
        values[communicator.rank()] = value;
        communicator.allreduce(&mut values)?;
        Ok(values)
    }

    /// Overwrites `bytes` with those of rank `root`.
    pub(super) fn broadcast_bytes(&mut self, bytes: &mut Vec<u8>, root: usize) -> Result<(), Error> {
        /// Bytes in each of the numbers that travel: f64 holds whole numbers of 32 bits.
        const EACH: usize = 4;
        let communicator = &mut self.in_progress.get_mut().expect("no worker panicked").communicator;
        // Exact below 2^53.
        let mut len = [bytes.len() as f64];
        communicator.broadcast(&mut len, root)?;
        let number = |part: &[u8]| {
            let mut word = [0; EACH];
            word[..part.len()].copy_from_slice(part);
            f64::from(u32::from_le_bytes(word))
        };
        bytes.resize(len[0] as usize, 0);
        let mut numbers: Vec<f64> = bytes.chunks(EACH).map(number).collect();
        communicator.broadcast(&mut numbers, root)?;
        for (part, number) in bytes.chunks_mut(EACH).zip(numbers) {
            part.copy_from_slice(&(number as u32).to_le_bytes()[..part.len()]);
        }
        Ok(())
    }

    /// Returns when all ranks have called it.
    pub(super) fn barrier(&mut self) -> Result<(), Error> {
        self.in_progress.get_mut().expect("no worker panicked").communicator.barrier()
    }

    /// Tells the other ranks that this rank ends, and why.
    pub(super) fn abort(&mut self, cause: &str) {
        self.in_progress.get_mut().expect("no worker panicked").communicator.abort(cause);
    }
}
