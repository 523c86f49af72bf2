//! The frames that are queued, and how much of the first one is written.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::frame::{Frame, HEADER, Tag};
use super::memory::Memory;

/// How many frames go into one system call.
const BATCH: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Outbound {
    queue: VecDeque<Frame>,
    /// Bytes of the first frame, header and payload, that are written.
    sent: usize,
}

impl Outbound {
    pub(super) fn push(&mut self, frame: Frame) {
        self.queue.push_back(frame);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Calls `write` with the rest of the first few frames, as headers and payloads in turn, and with its
    /// length in bytes.
    pub(super) fn offer<R>(
        &self,
        to: usize,
        tag: Tag,
        memory: &impl Memory,
        write: impl FnOnce(&[IoSlice<'_>], usize) -> R,
    ) -> R {
        let count = self.queue.len().min(BATCH);
        let mut headers = [[0; HEADER]; BATCH];
        let mut slices = [IoSlice::new(&[]); 2 * BATCH];
        let mut skip = self.sent;
        let mut bytes = 0;
        for ((frame, header), pair) in self.queue.iter().zip(&mut headers).zip(slices.chunks_exact_mut(2)) {
            *header = frame.encode(tag);
            let payload = memory.outgoing(to, frame);
            assert_eq!(payload.len() as u64, frame.bytes, "payload of {frame:?} to rank {to}");
            let header: &[u8] = &header[skip.min(HEADER)..];
            let payload = &payload[skip.saturating_sub(HEADER)..];
            skip = 0;
            bytes += header.len() + payload.len();
            pair.copy_from_slice(&[IoSlice::new(header), IoSlice::new(payload)]);
        }
        write(&slices[..2 * count], bytes)
    }

    /// Records that the first `bytes` of what was offered are written.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        while let Some(first) = self.queue.front() {
            let length = HEADER + first.bytes as usize;
            if self.sent < length {
                break;
            }
            self.sent -= length;
            self.queue.pop_front();
        }
    }
}
