//! Moves operations forward, and frames to and from links.
//!
//! No thread works for communication alone: whoever calls a collective moves everything that is under way.

use super::bucket::Call;
use super::exchange::{Advance, Exchange};
use super::failure;
use super::topology::Topology;
use crate::error::{Error, PeerError, RankValue};
use crate::links::{AnyStream, Frame, FrameKind, Incoming, Link, Memory};
use crate::shm::{Process, Region, SpinPolicy, Waker};
use std::sync::Arc;
use std::time::Duration;

/// Another rank of this host.
#[derive(Debug)]
pub(crate) struct LocalRank {
    pub(crate) rank: usize,
    pub(crate) region: Arc<Region>,
    /// Its process; `None` for a rank in this process, as tests have them.
    pub(crate) process: Option<Process>,
}

/// One rank's view of its group: regions, links, and the operations under way.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) topology: Arc<Topology>,
    /// This rank's region, with its waker and its failure.
    pub(crate) own: Arc<Region>,
    pub(crate) locals: Vec<LocalRank>,
    pub(super) links: Vec<Option<Link<AnyStream>>>,
    /// By rank: why the link to it has ended.
    pub(super) ended: Vec<Option<Error>>,
    /// Names of ranks in messages.
    pub(super) names: Vec<String>,
    pub(super) frame_memory: FrameMemory,
    pub(super) spin_policy: SpinPolicy,
    pub(super) timeout: Duration,
    /// The number of the operation that this rank is in, or was in last.
    pub(super) operation: u64,
    pub(super) failure: Option<Error>,
}

impl Engine {
    pub(crate) fn new(
        topology: Arc<Topology>,
        own: Arc<Region>,
        locals: Vec<LocalRank>,
        links: Vec<Option<Link<AnyStream>>>,
        names: Vec<String>,
        spin_policy: SpinPolicy,
        timeout: Duration,
    ) -> Self {
        let world = topology.world();
        Self {
            topology,
            own,
            locals,
            ended: vec![None; world],
            frame_memory: FrameMemory {
                exchanges: Vec::new(),
                failure_text: Vec::new(),
                reports: links
                    .iter()
                    .map(|link| link.as_ref().map(|_| Vec::new()).unwrap_or_default())
                    .collect(),
                reporter: None,
                mismatch: None,
            },
            links,
            names,
            spin_policy,
            timeout,
            operation: 0,
            failure: None,
        }
    }

    /// The number of the next exchange.
    pub(crate) fn next_exchange(&self) -> usize {
        self.frame_memory.exchanges.len()
    }

    pub(crate) fn add(&mut self, exchange: Exchange) {
        self.frame_memory.exchanges.push(exchange);
    }

    pub(crate) fn exchange(&self, index: usize) -> &Exchange {
        &self.frame_memory.exchanges[index]
    }

    pub(crate) fn exchange_mut(&mut self, index: usize) -> &mut Exchange {
        &mut self.frame_memory.exchanges[index]
    }

    /// Begins an operation on `len` elements of the vector of `call`. After that, this rank writes its
    /// contribution.
    pub(crate) fn begin(
        &mut self,
        (exchange, bucket): (usize, usize),
        call: Call,
        len: usize,
    ) -> Result<(), Error> {
        self.check()?;
        self.frame_memory.exchanges[exchange].begin(bucket, call, len);
        Ok(())
    }

    /// This rank's contribution is written.
    pub(crate) fn contribute(&mut self, (exchange, bucket): (usize, usize)) -> Result<(), Error> {
        self.check()?;
        self.frame_memory.exchanges[exchange].contribute(bucket);
        self.wake();
        self.advance((exchange, bucket)).or_else(|error| self.fail(error))?;
        Ok(())
    }

    /// This rank has read the results.
    pub(crate) fn consume(&mut self, (exchange, bucket): (usize, usize)) {
        self.frame_memory.exchanges[exchange].consume(bucket);
        self.wake();
    }

    /// Returns the first failure, at every call.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// Wakes the host's other ranks.
    pub(crate) fn wake(&self) {
        for local in &self.locals {
            Waker(&local.region).wake();
        }
    }

    /// Moves one operation as far as possible without waiting. Returns whether it is complete.
    pub(super) fn advance(&mut self, (exchange, bucket): (usize, usize)) -> Result<bool, Error> {
        let Advance { raised, complete, mismatch } =
            self.frame_memory.exchanges[exchange].advance(bucket, &mut self.links);
        if raised {
            self.wake();
        }
        if let Some((other, theirs)) = mismatch {
            let own = self.frame_memory.exchanges[exchange].buckets[bucket].call();
            return Err(self.mismatch(own, other, theirs));
        }
        if !self.is_one_host() {
            self.flush()?;
        }
        Ok(complete)
    }

    /// The error of two ranks that do different operations at the same time.
    pub(crate) fn mismatch(&self, own: Call, other: usize, theirs: Call) -> Error {
        let [first, second] =
            RankValue::ordered((self.topology.rank, own.to_string()), (other, theirs.to_string()));
        PeerError::Mismatch { first, second }.into()
    }

    /// Whether all ranks share this host.
    pub(crate) fn is_one_host(&self) -> bool {
        self.locals.len() + 1 == self.topology.world()
    }

    /// Moves all operations of an exchange, and reads what has arrived.
    pub(crate) fn advance_all(&mut self, exchange: usize) -> Result<(), Error> {
        self.check()?;
        let all = usize::MAX;
        self.receive().and_then(|_| self.advance_others(exchange, all)).or_else(|error| self.fail(error))
    }

    /// Moves all operations of an exchange except that of one bucket.
    pub(super) fn advance_others(&mut self, exchange: usize, bucket: usize) -> Result<(), Error> {
        for other in 0..self.frame_memory.exchanges[exchange].buckets.len() {
            if other != bucket && self.frame_memory.exchanges[exchange].buckets[other].is_active() {
                self.advance((exchange, other))?;
            }
        }
        Ok(())
    }

    /// Writes what the links take.
    fn flush(&mut self) -> Result<(), Error> {
        for link in self.links.iter_mut().flatten().filter(|link| !link.is_flushed()) {
            link.flush(&self.frame_memory)?;
        }
        Ok(())
    }

    /// The first rank that still has frames queued for it.
    pub(super) fn unsent(&self) -> Option<usize> {
        self.open().find(|link| !link.is_written()).map(Link::peer)
    }

    /// The links that have not ended.
    pub(super) fn open(&self) -> impl Iterator<Item = &Link<AnyStream>> {
        self.links.iter().flatten().filter(|link| self.ended[link.peer()].is_none())
    }

    /// Reads what has arrived. Returns whether anything has. The end of a link is no error yet: perhaps
    /// nothing more is needed from that rank.
    pub(super) fn receive(&mut self) -> Result<bool, Error> {
        let mut came = false;
        for link in self.links.iter_mut().flatten() {
            let ended = &mut self.ended[link.peer()];
            if ended.is_some() {
                continue;
            }
            match link.receive(&mut self.frame_memory) {
                Ok(more) => came |= more,
                Err(error @ Error::Peer(PeerError::Closed { .. })) => *ended = Some(error),
                Err(error) => {
                    return Err(match self.frame_memory.mismatch.take() {
                        Some((other, [own, theirs])) => self.mismatch(own, other, theirs),
                        None => error,
                    });
                }
            }
        }
        if let Some((from, by)) = self.frame_memory.reporter {
            let cause = String::from_utf8_lossy(&self.frame_memory.reports[from]).into_owned();
            return Err(Error::Peer(PeerError::Reported { by, cause }));
        }
        Ok(came)
    }
}

/// Finds the memory that frames are sent from and received into.
#[derive(Debug)]
pub(super) struct FrameMemory {
    pub(super) exchanges: Vec<Exchange>,
    /// Why this rank has failed.
    pub(super) failure_text: Vec<u8>,
    /// By rank: why it has failed, as it reported.
    reports: Vec<Vec<u8>>,
    /// The rank whose report came first, and the rank that found the cause.
    reporter: Option<(usize, usize)>,
    /// A rank whose operation differs from this rank's, and the two operations.
    mismatch: Option<(usize, [Call; 2])>,
}

impl Memory for FrameMemory {
    fn outgoing(&self, to: usize, frame: &Frame) -> &[u8] {
        match frame.kind {
            FrameKind::Failure => &self.failure_text,
            _ => self.exchanges[frame.exchange as usize].outgoing(to, frame),
        }
    }

    fn incoming(&mut self, from: usize, frame: &Frame) -> Incoming<'_> {
        match frame.kind {
            FrameKind::Failure
                if frame.bytes <= failure::TEXT_BYTES as u64
                    && (frame.bucket as usize) < self.reports.len() =>
            {
                self.reports[from].resize(frame.bytes as usize, 0);
                Incoming::Here(&mut self.reports[from])
            }
            FrameKind::Failure | FrameKind::Rendezvous => Incoming::Unexpected,
            // The peer is ahead: it has made an exchange that this rank has still to make.
            _ if frame.exchange as usize == self.exchanges.len() => Incoming::Later,
            _ => {
                let Some(exchange) = self.exchanges.get_mut(frame.exchange as usize) else {
                    return Incoming::Unexpected;
                };
                if let Some(calls) = exchange.mismatch_with_sender(frame) {
                    self.mismatch = Some((from, calls));
                    return Incoming::Unexpected;
                }
                exchange.incoming(from, frame)
            }
        }
    }

    fn received(&mut self, from: usize, frame: Frame) {
        match frame.kind {
            FrameKind::Failure => {
                self.reporter = self.reporter.or(Some((from, frame.bucket as usize)));
            }
            _ => self.exchanges[frame.exchange as usize].received(from, &frame),
        }
    }
}
