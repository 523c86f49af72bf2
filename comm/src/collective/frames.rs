//! Where the bytes of an exchange's frames come from and go to.

use super::bucket::{Call, Stage};
use super::exchange::Exchange;
use crate::links::{Frame, FrameKind, Incoming};

impl Exchange {
    pub(crate) fn outgoing(&self, to: usize, frame: &Frame) -> &[u8] {
        let state = &self.buckets[frame.bucket as usize];
        let bytes = match frame.kind {
            FrameKind::Scatter => bytemuck::cast_slice(&state.outboxes[to]),
            _ => &state.result.elements()
                [self.slice(frame.bucket as usize, self.topology.rank).start * state.kind.bytes()..],
        };
        &bytes[..frame.bytes as usize]
    }

    /// The operations of this rank and of the sender of a frame, if they differ.
    pub(crate) fn mismatch_with_sender(&self, frame: &Frame) -> Option<[Call; 2]> {
        let state = self.buckets.get(frame.bucket as usize)?;
        let own = state.call();
        let is_same = frame.operation != state.turn || state.turn == 0 || frame.call == own.encode();
        (!is_same).then(|| [own, Call::decode(frame.call)])
    }

    /// The place for a frame's bytes.
    pub(crate) fn incoming(&mut self, from: usize, frame: &Frame) -> Incoming<'_> {
        let bucket = frame.bucket as usize;
        if bucket >= self.buckets.len() {
            return Incoming::Unexpected;
        }
        let turn = self.buckets[bucket].turn;
        if frame.operation > turn {
            return Incoming::Later;
        }
        let (own, theirs) = (self.slice(bucket, self.topology.rank), self.slice(bucket, from));
        let (host, rank) = (self.topology.host_of[from], self.topology.rank);
        let nodes = self.host_nodes[host].len();
        let is_delegate = host != self.topology.host() && self.topology.delegate(host, rank) == from;
        let (holds_result, cleared) = (self.topology.holder(from) == rank, self.is_cleared(bucket));
        let state = &mut self.buckets[bucket];
        let expects = |elements: usize| frame.bytes == (elements * state.kind.bytes()) as u64;
        match frame.kind {
            _ if frame.operation < turn || state.stage == Stage::Idle => Incoming::Unexpected,
            FrameKind::Scatter if state.rule.reduce && is_delegate && !state.inboxes[host].arrived => {
                if expects(nodes * own.len()) {
                    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut state.inboxes[host].words);
                    Incoming::Here(&mut bytes[..frame.bytes as usize])
                } else {
                    Incoming::OtherLength { expected: (nodes * own.len() * state.kind.bytes()) as u64 }
                }
            }
            FrameKind::Gather if state.rule.gather && holds_result && !state.gathered[from] => {
                if !expects(theirs.len()) {
                    Incoming::OtherLength { expected: (theirs.len() * state.kind.bytes()) as u64 }
                } else if cleared {
                    let start = theirs.start * state.kind.bytes();
                    Incoming::Here(&mut state.result.elements_mut()[start..][..frame.bytes as usize])
                } else {
                    Incoming::Later
                }
            }
            _ => Incoming::Unexpected,
        }
    }

    /// All bytes of a frame have arrived.
    pub(crate) fn received(&mut self, from: usize, frame: &Frame) {
        let state = &mut self.buckets[frame.bucket as usize];
        match frame.kind {
            FrameKind::Scatter => state.inboxes[self.topology.host_of[from]].arrived = true,
            _ => state.gathered[from] = true,
        }
    }
}
