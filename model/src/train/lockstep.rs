//! Steps of networks with layers that [share sums](crate::layer::Layer::shared_sums) over all shards, as
//! batch normalisation with the statistics of the whole batch does.
//!
//! ```text
//! gather all shards
//! for each part of the network that ends before a layer with shared sums, or at the loss:
//!     in parallel over workers, for each shard of the worker: run the part, add up the layer's sums
//!     add up the sums of all shards in the tree, over all ranks
//! the same backwards
//! join the gradients of the shards in the tree
//! ```
//!
//! All shards are under way at the same time, so each has memory and gradients of its own.

use super::buckets::Buckets;
use super::partial_sums::BucketWriter;
use super::ranks::Exchange;
use super::report::{Flags, ShardSums};
use super::step::run;
use super::worker::{Job, Worker};
use crate::error::Error;
use crate::layer::Mode;
use crate::loss::{self, Gradient};
use crate::network::{Network, SharedStep};
use crate::profile::Work;
use isograd_kernels::Element;
use std::ops::Range;

/// The steps at which the shards of a training step wait for each other, and memory for the sums there.
#[derive(Debug)]
pub(super) struct Lockstep {
    steps: Vec<SharedStep>,
    sums: ShardSums,
    totals: Vec<f64>,
}

/// A part of a pass, between two steps with shared sums.
struct Part<'a> {
    /// The step with shared sums that the part begins with.
    entry: Option<SharedStep>,
    /// Its sums over all shards.
    totals: &'a [f64],
    /// The steps without shared sums.
    range: Range<usize>,
    /// The step with shared sums that comes next.
    exit: Option<SharedStep>,
}

impl Lockstep {
    /// What the steps of `network` need; `None` if it has no layer with shared sums.
    pub(super) fn new<T: Element>(network: &Network<T>) -> Option<Self> {
        let steps: Vec<_> = network.shared_steps().collect();
        let most = steps.iter().map(|step| step.sums).max()?;
        Some(Self { steps, sums: ShardSums::default(), totals: vec![0.0; most] })
    }

    /// Forward and backward of the shards `own`; leaves gradients, and sums of loss and metrics, as
    /// [`Worker::train`] does. All ranks make this call, with shards or without.
    pub(super) fn run<T: Element>(
        &mut self,
        job: &Job<'_, T>,
        own: Range<usize>,
        workers: &mut [Worker<T>],
        buckets: &Buckets,
        mut exchange: Option<&mut Exchange<T>>,
    ) -> Result<(), Error> {
        let Self { steps, sums, totals } = self;
        let end = loss::steps(&*job.config.loss, job.network);
        run(job.division, workers, own.clone(), |_, worker, own| worker.gather_all(job, own));
        let (mut entry, mut start) = (None, 0);
        for step in steps.iter().copied().filter(|step| step.index < end) {
            let part = Part { entry, totals, range: start..step.index, exit: Some(step) };
            run(job.division, workers, own.clone(), |_, worker, own| {
                worker.forward_part(job, own, buckets, &part)
            });
            let own_sums = workers.iter().flat_map(|worker| worker.layer_sums.iter().copied());
            let totals = &mut totals[..step.sums];
            sums.total(own_sums, exchange.as_deref_mut(), job.shards(), totals, Flags::default())?;
            (entry, start) = (Some(step), step.index + 1);
        }
        let part = Part { entry, totals, range: start..end, exit: None };
        run(job.division, workers, own.clone(), |_, worker, own| {
            worker.forward_part(job, own.clone(), buckets, &part);
            worker.evaluate_all(job, own);
        });

        let (mut entry, last) = (None, end);
        let mut end = last;
        for step in steps.iter().copied().rev().filter(|step| step.index < last && step.has_backward) {
            let part = Part { entry, totals, range: step.index + 1..end, exit: Some(step) };
            run(job.division, workers, own.clone(), |_, worker, own| {
                worker.backward_part(job, own, buckets, &part)
            });
            let own_sums = workers.iter().flat_map(|worker| worker.layer_sums.iter().copied());
            let totals = &mut totals[..step.sums];
            sums.total(own_sums, exchange.as_deref_mut(), job.shards(), totals, Flags::default())?;
            (entry, end) = (Some(step), step.index);
        }
        let part = Part { entry, totals, range: 0..end, exit: None };
        run(job.division, workers, own, |_, worker, own| {
            worker.backward_part(job, own, buckets, &part);
            worker.shards[0].memory.recording.begin();
            worker.partial_sums.join();
            worker.shards[0].memory.recording.lap(Work::Join, 0);
        });
        Ok(())
    }
}

impl<T: Element> Worker<T> {
    /// Starts a pass on all shards `own`. After a failure, the worker's sums are 0 and have no meaning; the
    /// other workers and ranks get them all the same, as they wait for them.
    fn gather_all(&mut self, job: &Job<'_, T>, own: Range<usize>) {
        self.partial_sums.start(job.shards());
        self.partial_sums.push_all(own.clone());
        let mut shards = self.shards.iter_mut().zip(own);
        self.failure = shards.find_map(|(work, index)| {
            let shard = job.shard(index);
            work.memory.recording.begin();
            let failure = job.gather(work, Mode::Train, &shard).err();
            work.memory.recording.lap(Work::Read, shard.len());
            failure
        });
    }

    fn forward_part(&mut self, job: &Job<'_, T>, own: Range<usize>, buckets: &Buckets, part: &Part<'_>) {
        let Part { entry, totals, range, exit } = part;
        let Self { shards, failure, partial_sums, layer_sums, .. } = self;
        let width = exit.map_or(0, |exit| exit.sums);
        layer_sums.clear();
        layer_sums.resize(own.len() * width, 0.0);
        if failure.is_some() {
            return;
        }
        let first = buckets.statistics(job.network);
        for (node, (work, index)) in shards.iter_mut().zip(own).enumerate() {
            let (cx, memory) = (job.context(Mode::Train, &job.shard(index)), &mut work.memory);
            memory.recording.begin();
            let statistics = &mut partial_sums.values_mut(node, 0)[first..];
            if let Some(entry) = entry {
                job.network.forward_shared(&cx, memory, statistics, entry.index, &totals[..entry.sums]);
            }
            job.network.forward_range(&cx, memory, statistics, range.clone());
            if let Some(exit) = exit {
                let sums = &mut layer_sums[node * width..][..width];
                job.network.forward_sums(&cx, memory, exit.index, sums);
            }
        }
    }

    /// Evaluates the loss of all shards `own` after their forward passes.
    fn evaluate_all(&mut self, job: &Job<'_, T>, own: Range<usize>) {
        let Self { shards, failure, sums, .. } = self;
        sums.clear();
        if failure.is_some() {
            sums.resize(own.len() * job.sum_layout.width(), 0.0);
            return;
        }
        for (work, index) in shards.iter_mut().zip(own) {
            let cx = job.context(Mode::Train, &job.shard(index));
            work.memory.recording.begin();
            job.evaluate(&cx, work, Gradient::Wanted, sums);
            work.memory.recording.lap(Work::Loss, cx.n);
        }
    }

    fn backward_part(&mut self, job: &Job<'_, T>, own: Range<usize>, buckets: &Buckets, part: &Part<'_>) {
        let Part { entry, totals, range, exit } = part;
        let Self { shards, failure, partial_sums, layer_sums, .. } = self;
        let width = exit.map_or(0, |exit| exit.sums);
        layer_sums.clear();
        layer_sums.resize(own.len() * width, 0.0);
        if failure.is_some() {
            return;
        }
        for (node, (work, index)) in shards.iter_mut().zip(own).enumerate() {
            let (cx, memory) = (job.context(Mode::Train, &job.shard(index)), &mut work.memory);
            memory.recording.begin();
            // Buckets are handed over when all shards are done.
            let mut dw = BucketWriter {
                partial_sums: &mut *partial_sums,
                buckets,
                node,
                done: 0,
                complete: |_: &mut _, _| (),
            };
            if let Some(entry) = entry {
                job.network.backward_shared(&cx, memory, &mut dw, entry.index, &totals[..entry.sums]);
            }
            job.network.backward_range(&cx, memory, &mut dw, range.clone());
            if let Some(exit) = exit {
                let sums = &mut layer_sums[node * width..][..width];
                job.network.backward_sums(&cx, memory, &mut dw, exit.index, sums);
            }
        }
    }
}
