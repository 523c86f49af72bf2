//! Buckets in which operations are under way, and the memory of a host's ranks that these operations read and
//! write.
//!
//! ```text
//! contribute(bucket)   raise Published
//! advance(bucket)      wait for Published of the host's ranks
//!                      for each owner on another host that this rank is the delegate for:
//!                          add the host's nodes up to its largest ones, send its slice of them     (Scatter)
//!                      wait for the other hosts' nodes; result = the tree's sum, for the own slice
//!                      send the result to one rank of each other host                             (Gather)
//!                      wait for the results of these owners; raise Ready
//!                      wait for Ready of the host's ranks
//! consume(bucket)      raise Consumed
//! ```
//!
//! A rank's region has a counter of each kind for each bucket, a table of its nodes, and, as data, the
//! results and then its node buffers, each an array of all buckets.

use super::bucket::{Bucket, Call, Counter, Inbox, Rule, Stage};
use super::sources::{Source, Sources};
use super::topology::{Topology, most_words};
use crate::links::{AnyStream, Frame, FrameKind, Link};
use crate::shm::{Carver, RawBuffer, Region};
use crate::summand::{Kind, Summand};
use crate::tree;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Counters are this far apart, so that no two share a cache line.
const LINE: usize = 64;

/// The sizes of an exchange; equal at all ranks but for `own_nodes`.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Bytes of each bucket.
    pub(crate) buckets: Vec<usize>,
    /// Node buffers of this rank.
    pub(crate) own_nodes: usize,
    /// The most nodes that any rank of the host has.
    pub(crate) table: usize,
    /// The most nodes that each host has for others.
    pub(crate) host_nodes: Vec<usize>,
    /// Bytes up to which a rank may own all of a bucket.
    pub(crate) whole: usize,
}

impl Plan {
    /// Bytes of counters and of the node table.
    pub(crate) fn control(&self) -> usize {
        LINE * 3 * self.buckets.len() + 8 + 16 * self.table
    }

    /// Bytes from one array of all buckets to the next. Not a multiple of a page: equal elements of two
    /// arrays would compete for the same lines of the first-level cache.
    fn stride(&self) -> usize {
        self.buckets.iter().sum::<usize>().next_multiple_of(LINE) + 5 * LINE
    }

    pub(crate) fn data(&self) -> usize {
        self.stride() * (1 + self.own_nodes)
    }
}

/// Another rank of this host.
#[derive(Debug)]
pub(crate) struct Neighbour {
    pub(crate) rank: usize,
    pub(crate) region: Arc<Region>,
}

/// A set of buckets, as this rank sees it: see the module's documentation.
#[derive(Debug)]
pub(crate) struct Exchange {
    id: u32,
    pub(super) topology: Arc<Topology>,
    own: Arc<Region>,
    neighbours: Vec<Neighbour>,
    /// Offset of the counters in every rank's control part.
    counters: usize,
    stride: usize,
    table: usize,
    pub(crate) buckets: Vec<Bucket>,
    /// Shards of each rank in the operations under way.
    shards: Vec<Range<usize>>,
    /// This rank's nodes, each with the index of its buffer.
    own_nodes: Vec<(Range<usize>, usize)>,
    /// The nodes that each host has for others.
    pub(super) host_nodes: Vec<Vec<Range<usize>>>,
    /// All nodes of this host, and all nodes of all; in order.
    host_sources: Sources,
    all_sources: Sources,
}

/// The effect of one call of `advance`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Advance {
    /// Whether a counter was raised for which another rank may wait.
    pub(crate) raised: bool,
    /// Whether the operation is complete.
    pub(crate) complete: bool,
    /// A neighbour that did a different operation, and that operation.
    pub(crate) mismatch: Option<(usize, Call)>,
}

impl Exchange {
    /// An exchange in `carver`'s region, whose counters begin at `counters`; and its node buffers, by node
    /// and bucket.
    pub(crate) fn new(
        id: u32,
        topology: &Arc<Topology>,
        plan: &Plan,
        carver: &mut Carver,
        counters: usize,
        neighbours: Vec<Neighbour>,
    ) -> (Self, Vec<Vec<RawBuffer>>) {
        let (world, stride, base) = (topology.world(), plan.stride(), carver.offset());
        let mut array = |index: usize| {
            carver.skip_to(base + index * stride);
            plan.buckets.iter().map(|bytes| carver.carve(*bytes)).collect::<Vec<_>>()
        };
        let results = array(0);
        let nodes = (0..plan.own_nodes).map(|node| array(1 + node)).collect();
        let mut start = 0;
        let buckets = plan.buckets.iter().zip(results).map(|(bytes, result)| {
            let slice = most_words(*bytes, world).max(plan.whole.min(*bytes).div_ceil(8));
            let inboxes = (0..topology.hosts.len()).map(|host| {
                let words = if host == topology.host() { 0 } else { plan.host_nodes[host] * slice };
                Inbox { words: vec![0; words], arrived: false }
            });
            let mut outboxes = vec![Vec::new(); world];
            for owner in topology.delegated_owners() {
                outboxes[owner] = vec![0; plan.host_nodes[topology.host()] * slice];
            }
            let bucket = Bucket {
                start,
                capacity: *bytes,
                turn: 0,
                kind: Kind::F32,
                len: 0,
                vector_len: 0,
                rule: Rule::ALLREDUCE,
                nodes: Vec::with_capacity(plan.own_nodes),
                result,
                inboxes: inboxes.collect(),
                outboxes,
                gathered: vec![false; world],
                stage: Stage::Idle,
                published: 0,
                ready: 0,
                consumed: 0,
            };
            start += bytes;
            bucket
        });
        let exchange = Self {
            id,
            topology: Arc::clone(topology),
            buckets: buckets.collect(),
            own: Arc::clone(carver.region()),
            neighbours,
            counters,
            stride,
            table: plan.table,
            shards: vec![0..0; world],
            own_nodes: Vec::new(),
            host_nodes: vec![Vec::new(); topology.hosts.len()],
            host_sources: Sources::default(),
            all_sources: Sources::default(),
        };
        (exchange, nodes)
    }

    /// Sets the shards of each rank in the operations to come, and the nodes that this rank contributes, each
    /// with the index of its buffer. No operation may have begun.
    pub(crate) fn set_shards(
        &mut self,
        shards: impl Fn(usize) -> Range<usize>,
        nodes: impl Iterator<Item = (Range<usize>, usize)>,
    ) {
        // Neighbours read the table once for all buckets, so it may change only between steps.
        for (index, bucket) in self.buckets.iter().enumerate() {
            assert_eq!(bucket.stage, Stage::Idle, "the step before is not finished in bucket {index}");
        }
        for (rank, range) in self.shards.iter_mut().enumerate() {
            *range = shards(rank);
        }
        let total = self.shards.iter().map(|range| range.end).max().unwrap_or(0);
        for (host, nodes) in self.host_nodes.iter_mut().enumerate() {
            nodes.clear();
            for range in self.topology.shards_of(host, |rank| self.shards[rank].clone()) {
                tree::largest(range, total, nodes);
            }
        }
        self.own_nodes.clear();
        let table = self.table_offset();
        for (node, buffer) in nodes {
            let entry = table + 8 + 16 * self.own_nodes.len();
            assert!(self.own_nodes.len() < self.table, "more nodes than the planned {}", self.table);
            self.own.counter(entry).store((node.start as u64) << 32 | node.end as u64, Ordering::Relaxed);
            self.own.counter(entry + 8).store(buffer as u64, Ordering::Relaxed);
            self.own_nodes.push((node, buffer));
        }
        // Relaxed is enough: other ranks read this after they have seen a counter that is raised later.
        self.own.counter(table).store(self.own_nodes.len() as u64, Ordering::Relaxed);
        self.all_sources.nodes.clear();
    }

    fn table_offset(&self) -> usize {
        self.counters + LINE * 3 * self.buckets.len()
    }

    fn counter(&self, bucket: usize, counter: Counter) -> usize {
        self.counters + LINE * (3 * bucket + counter as usize)
    }

    fn raise(&self, bucket: usize, counter: Counter) {
        self.own.counter(self.counter(bucket, counter)).store(self.buckets[bucket].turn, Ordering::Release);
    }

    /// How many of the neighbours, from the first on, have raised the counter to `turn`. The first `known` of
    /// them are known to have.
    fn reached(&self, bucket: usize, counter: Counter, turn: u64, known: usize) -> usize {
        let offset = self.counter(bucket, counter);
        let rest = &self.neighbours[known..];
        known + rest.iter().take_while(|n| n.region.counter(offset).load(Ordering::Acquire) >= turn).count()
    }

    /// Begins the next turn of a bucket, with `len` elements.
    pub(crate) fn begin(&mut self, bucket: usize, call: Call, len: usize) {
        self.buckets[bucket].begin(call, len);
    }

    /// Takes over the buffers of this rank's nodes in a bucket, in the order of
    /// [`set_shards`](Self::set_shards).
    ///
    /// # Panics
    ///
    /// When they are not the buffers that were announced there. Other ranks read at the announced places, and
    /// only a buffer that the exchange holds is not written meanwhile.
    pub(crate) fn hand_over(&mut self, bucket: usize, buffers: impl Iterator<Item = RawBuffer>) {
        let Self { own, own_nodes, stride, buckets, .. } = self;
        let state = &mut buckets[bucket];
        assert_eq!(state.stage, Stage::Begun, "contribution to a bucket that is not begun");
        state.nodes.extend(buffers);
        let (given, announced) = (state.nodes.len(), own_nodes.len());
        assert_eq!(given, announced, "{given} buffers for the {announced} nodes of bucket {bucket}");
        for (raw, (node, buffer)) in state.nodes.iter().zip(own_nodes) {
            let offset = (1 + *buffer) * *stride + state.start;
            assert!(
                raw.is_at(own, offset, state.capacity),
                "shards {node:?} of bucket {bucket} are in another buffer than number {buffer}, which was announced"
            );
        }
    }

    /// All that this rank contributes is in place.
    pub(crate) fn contribute(&mut self, bucket: usize) {
        let state = &mut self.buckets[bucket];
        assert_eq!(state.stage, Stage::Begun, "contribution to a bucket that is not begun");
        state.stage = Stage::Contributed;
        let (word, offset) = (state.call().encode(), self.call_offset(bucket));
        self.own.counter(offset).store(word, Ordering::Relaxed);
        self.raise(bucket, Counter::Published);
    }

    /// # Panics
    ///
    /// When this rank has not contributed to every bucket.
    pub(crate) fn assert_contributed(&self) {
        for (index, bucket) in self.buckets.iter().enumerate() {
            assert!(bucket.stage > Stage::Begun, "a wait for bucket {index}, which was not contributed");
        }
    }

    /// Moves the operation as far as possible without waiting.
    pub(crate) fn advance(&mut self, bucket: usize, links: &mut [Option<Link<AnyStream>>]) -> Advance {
        let (others, mut raised) = (self.neighbours.len(), false);
        if self.buckets[bucket].stage == Stage::Contributed && self.is_cleared(bucket) {
            self.buckets[bucket].stage = Stage::Cleared;
        }
        if self.buckets[bucket].stage == Stage::Cleared {
            let state = &self.buckets[bucket];
            let published = if state.rule.reduce {
                self.reached(bucket, Counter::Published, state.turn, state.published)
            } else {
                others
            };
            self.buckets[bucket].published = published;
            if published == others {
                if self.buckets[bucket].rule.reduce {
                    self.find_nodes();
                    self.scatter(bucket, links);
                }
                self.buckets[bucket].stage = Stage::Sent;
            }
        }
        if self.buckets[bucket].stage == Stage::Sent && self.awaited_inbox(bucket).is_none() {
            self.reduce(bucket, links);
            self.buckets[bucket].stage = Stage::Reduced;
        }
        if self.buckets[bucket].stage == Stage::Reduced && self.awaited_result(bucket).is_none() {
            self.raise(bucket, Counter::Ready);
            raised = true;
            self.buckets[bucket].stage = Stage::Held;
        }
        if self.buckets[bucket].stage == Stage::Held {
            let state = &self.buckets[bucket];
            let ready = self.reached(bucket, Counter::Ready, state.turn, state.ready);
            self.buckets[bucket].ready = ready;
            if ready == others {
                self.buckets[bucket].stage = Stage::Complete;
                let mismatch = self.mismatched_neighbour(bucket);
                return Advance { raised, complete: true, mismatch };
            }
        }
        Advance { raised, complete: self.buckets[bucket].stage == Stage::Complete, mismatch: None }
    }

    /// Where a rank writes its operation for its neighbours: beside its first counter. Two words alternate,
    /// because the next turn may begin before all neighbours have read this one.
    fn call_offset(&self, bucket: usize) -> usize {
        self.counter(bucket, Counter::Published) + 8 + 8 * (self.buckets[bucket].turn % 2) as usize
    }

    /// A neighbour whose operation differs from this rank's, although both are complete; and that operation.
    fn mismatched_neighbour(&self, bucket: usize) -> Option<(usize, Call)> {
        let (own, offset) = (self.buckets[bucket].call(), self.call_offset(bucket));
        let calls =
            self.neighbours.iter().map(|n| (n.rank, n.region.counter(offset).load(Ordering::Relaxed)));
        calls.map(|(rank, word)| (rank, Call::decode(word))).find(|(_, call)| *call != own)
    }

    /// Whether all neighbours have read the results of the turn before.
    pub(super) fn is_cleared(&mut self, bucket: usize) -> bool {
        let state = &self.buckets[bucket];
        let consumed = self.reached(bucket, Counter::Consumed, state.turn - 1, state.consumed);
        self.buckets[bucket].consumed = consumed;
        consumed == self.neighbours.len()
    }

    /// This rank has read the results. Its buffers return to it.
    pub(crate) fn consume(&mut self, bucket: usize) {
        assert_eq!(self.buckets[bucket].stage, Stage::Complete, "an operation that is not complete");
        self.buckets[bucket].stage = Stage::Idle;
        self.raise(bucket, Counter::Consumed);
    }

    /// The first host whose contribution to this rank's slice has not arrived.
    fn awaited_inbox(&self, bucket: usize) -> Option<usize> {
        let state = &self.buckets[bucket];
        if !state.rule.reduce || self.slice(bucket, self.topology.rank).is_empty() {
            return None;
        }
        let waits = |host: &usize| !self.host_nodes[*host].is_empty() && !state.inboxes[*host].arrived;
        self.topology.other_hosts().find(waits)
    }

    /// The first owner on another host whose result has not arrived.
    fn awaited_result(&self, bucket: usize) -> Option<usize> {
        let state = &self.buckets[bucket];
        if !state.rule.gather {
            return None;
        }
        let waits = |owner: &usize| !state.gathered[*owner] && !self.slice(bucket, *owner).is_empty();
        self.topology.delegated_owners().find(waits)
    }

    pub(super) fn slice(&self, bucket: usize, owner: usize) -> Range<usize> {
        self.buckets[bucket].slice(owner, self.topology.world())
    }

    /// The rank that an operation waits for, what it owes, and how many ranks may lie between it and the rank
    /// that is late: a rank that owes a result may itself wait for a contribution.
    pub(crate) fn awaited(&self, bucket: usize) -> Option<(usize, &'static str, u32)> {
        let state = &self.buckets[bucket];
        match state.stage {
            Stage::Contributed => {
                Some((self.neighbours.get(state.consumed)?.rank, "to read the results before", 0))
            }
            Stage::Cleared => Some((self.neighbours.get(state.published)?.rank, "its contribution", 0)),
            Stage::Sent => {
                let host = self.awaited_inbox(bucket)?;
                let between = u32::from(self.topology.hosts[host].len() > 1);
                Some((self.topology.delegate(host, self.topology.rank), "its host's contribution", between))
            }
            Stage::Reduced => Some((self.awaited_result(bucket)?, "its result", 2)),
            Stage::Held => Some((self.neighbours.get(state.ready)?.rank, "its result", 0)),
            Stage::Idle | Stage::Begun | Stage::Complete => None,
        }
    }

    /// Collects the nodes that all ranks contribute in this operation, once all of the host have published
    /// them.
    fn find_nodes(&mut self) {
        if !self.all_sources.nodes.is_empty() {
            return;
        }
        let Self { host_sources: here, all_sources: all, .. } = self;
        let (mut here, mut all) = (std::mem::take(here), std::mem::take(all));
        here.clear();
        for (index, (node, _)) in self.own_nodes.iter().enumerate() {
            here.push(node.clone(), Source::Own(index));
        }
        let table = self.table_offset();
        for (neighbour, Neighbour { region, .. }) in self.neighbours.iter().enumerate() {
            let count = region.counter(table).load(Ordering::Relaxed) as usize;
            for entry in (0..count.min(self.table)).map(|index| table + 8 + 16 * index) {
                let packed = region.counter(entry).load(Ordering::Relaxed);
                let range = (packed >> 32) as usize..(packed & 0xffff_ffff) as usize;
                let buffer = region.counter(entry + 8).load(Ordering::Relaxed) as usize;
                here.push(range, Source::Neighbour { neighbour, buffer });
            }
        }
        here.sort();
        all.clear();
        all.nodes.extend_from_slice(&here.nodes);
        all.sources.extend_from_slice(&here.sources);
        for host in self.topology.other_hosts() {
            for (node, range) in self.host_nodes[host].iter().enumerate() {
                all.push(range.clone(), Source::Host { host, node });
            }
        }
        all.sort();
        (self.host_sources, self.all_sources) = (here, all);
    }

    /// Sends this host's contribution to the owners on other hosts for which this rank is the delegate.
    fn scatter(&mut self, bucket: usize, links: &mut [Option<Link<AnyStream>>]) {
        let topology = Arc::clone(&self.topology);
        for owner in topology.delegated_owners() {
            let slice = self.slice(bucket, owner);
            if slice.is_empty() || self.host_nodes[topology.host()].is_empty() {
                continue;
            }
            let bytes = match self.buckets[bucket].kind {
                Kind::F32 => self.fill_outbox::<f32>(bucket, owner, &slice),
                Kind::F64 => self.fill_outbox::<f64>(bucket, owner, &slice),
            };
            self.send(links, owner, FrameKind::Scatter, bucket, bytes);
        }
    }

    /// Adds this host's nodes up to its largest ones; returns their bytes.
    fn fill_outbox<T: Summand>(&mut self, bucket: usize, owner: usize, slice: &Range<usize>) -> usize {
        let mut outbox = std::mem::take(&mut self.buckets[bucket].outboxes[owner]);
        let nodes = &self.host_nodes[self.topology.host()];
        let values: &mut [T] = bytemuck::cast_slice_mut(&mut outbox);
        let mut first = 0;
        for (root, y) in nodes.iter().zip(values.chunks_exact_mut(slice.len())) {
            let count =
                self.host_sources.nodes[first..].iter().take_while(|node| node.end <= root.end).count();
            let part = &self.host_sources.nodes[first..first + count];
            let data = |i: usize| self.values::<T>(bucket, self.host_sources.sources[first + i], slice);
            tree::sum_node(root.clone(), part, data, y);
            first += count;
        }
        let bytes = nodes.len() * size_of_val(&values[..slice.len()]);
        self.buckets[bucket].outboxes[owner] = outbox;
        bytes
    }

    /// The values of a node in a slice, once they are there.
    fn values<T: Summand>(&self, bucket: usize, source: Source, slice: &Range<usize>) -> &[T] {
        let state = &self.buckets[bucket];
        match source {
            Source::Own(node) => &state.nodes[node].elements()[slice.clone()],
            Source::Neighbour { neighbour, buffer } => {
                let (counter, offset) =
                    (self.counter(bucket, Counter::Published), (1 + buffer) * self.stride + state.start);
                let region = &self.neighbours[neighbour].region;
                region.published(counter, state.turn, offset, slice.clone()).expect("all have published")
            }
            Source::Host { host, node } => {
                let values: &[T] = bytemuck::cast_slice(&state.inboxes[host].words);
                &values[node * slice.len()..][..slice.len()]
            }
        }
    }

    /// Finishes the sum of this rank's slice, and sends it to the other hosts.
    fn reduce(&mut self, bucket: usize, links: &mut [Option<Link<AnyStream>>]) {
        let topology = Arc::clone(&self.topology);
        let slice = self.slice(bucket, topology.rank);
        if slice.is_empty() {
            return;
        }
        let Bucket { kind, rule, .. } = self.buckets[bucket];
        if !rule.reduce {
            let bytes = slice.start * kind.bytes()..slice.end * kind.bytes();
            let state = &mut self.buckets[bucket];
            state.result.elements_mut::<u8>()[bytes.clone()]
                .copy_from_slice(&state.nodes[0].elements()[bytes]);
        } else {
            match kind {
                Kind::F32 => self.finish_slice::<f32>(bucket, &slice),
                Kind::F64 => self.finish_slice::<f64>(bucket, &slice),
            }
        }
        if rule.gather {
            for host in topology.other_hosts() {
                let to = topology.delegate(host, topology.rank);
                self.send(links, to, FrameKind::Gather, bucket, slice.len() * kind.bytes());
            }
        }
    }

    fn finish_slice<T: Summand>(&mut self, bucket: usize, slice: &Range<usize>) {
        // The buffer is taken out for a moment, so that the rest of `self` can be borrowed beside it.
        let mut result = self.buckets[bucket].result.take();
        let Sources { nodes, sources } = &self.all_sources;
        let data = |i: usize| self.values::<T>(bucket, sources[i], slice);
        tree::sum(nodes, data, &mut result.elements_mut()[slice.clone()]);
        self.buckets[bucket].result = result;
    }

    fn send(
        &self,
        links: &mut [Option<Link<AnyStream>>],
        to: usize,
        kind: FrameKind,
        bucket: usize,
        bytes: usize,
    ) {
        let state = &self.buckets[bucket];
        let frame = Frame {
            kind,
            exchange: self.id,
            operation: state.turn,
            bucket: bucket as u32,
            call: state.call().encode(),
            bytes: bytes as u64,
        };
        links[to].as_mut().expect("there is a link to every rank of another host").send(frame);
    }

    /// The result of `owner`, once the operation is complete. If results are not gathered, only this rank's
    /// own.
    pub(crate) fn result<T: Summand>(&self, bucket: usize, owner: usize) -> &[T] {
        let (state, slice) = (&self.buckets[bucket], self.slice(bucket, owner));
        assert_eq!(state.stage, Stage::Complete, "results of an operation that is not complete");
        let holder = self.topology.holder(owner);
        if holder == self.topology.rank {
            return &state.result.elements()[slice];
        }
        let neighbour = self.neighbours.iter().find(|n| n.rank == holder).expect("a rank of this host");
        let counter = self.counter(bucket, Counter::Ready);
        neighbour
            .region
            .published(counter, state.turn, state.start, slice)
            .expect("the operation is complete")
    }
}
