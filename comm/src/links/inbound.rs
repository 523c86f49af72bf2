//! Turns bytes into frames. Bytes may arrive in any pieces: headers are checked, and payloads are written
//! where [`Memory`] says.

use super::frame::{Frame, HEADER, Tag};
use super::memory::{Incoming, Memory};

#[derive(Debug)]
pub(super) struct Inbound {
    from: usize,
    tag: Tag,
    header: [u8; HEADER],
    /// Bytes of the header that have arrived.
    filled: usize,
    /// The frame whose payload comes next.
    frame: Option<Frame>,
    /// Bytes of the payload that have arrived.
    placed: usize,
}

impl Inbound {
    pub(super) fn new(from: usize, tag: Tag) -> Self {
        Self { from, tag, header: [0; HEADER], filled: 0, frame: None, placed: 0 }
    }

    /// The place for the rest of the payload: empty if a header comes next, `None` if the frame is early. The
    /// error says what the peer sent.
    pub(super) fn rest<'m>(&self, memory: &'m mut impl Memory) -> Result<Option<&'m mut [u8]>, String> {
        let Some(frame) = &self.frame else { return Ok(Some(&mut [])) };
        match memory.incoming(self.from, frame) {
            Incoming::Here(place) => {
                assert_eq!(place.len() as u64, frame.bytes, "place for {frame:?} from rank {}", self.from);
                Ok(Some(&mut place[self.placed..]))
            }
            Incoming::Later => Ok(None),
            Incoming::Unexpected => Err(format!("an unexpected frame: {frame:?}")),
            Incoming::OtherLength { expected } => {
                Err(format!("{} bytes where {expected} are expected: {frame:?}", frame.bytes))
            }
        }
    }

    /// Whether a frame has begun that is early: its operation has not begun here.
    pub(super) fn is_early(&self, memory: &mut impl Memory) -> Result<bool, String> {
        Ok(self.frame.is_some() && self.rest(memory)?.is_none())
    }

    /// Records that `bytes` of [`rest`](Self::rest) are filled.
    pub(super) fn advance(&mut self, bytes: usize, memory: &mut impl Memory) {
        self.placed += bytes;
        if let Some(frame) = self.frame.take_if(|frame| frame.bytes == self.placed as u64) {
            self.placed = 0;
            memory.received(self.from, frame);
        }
    }

    /// Takes `bytes` up to a frame that is early. Returns how many it took. The error says what the peer
    /// sent.
    pub(super) fn consume(&mut self, bytes: &[u8], memory: &mut impl Memory) -> Result<usize, String> {
        let mut taken = 0;
        loop {
            let bytes = &bytes[taken..];
            if self.frame.is_some() {
                // An empty frame is complete as soon as it begins, unless it is early.
                let Some(rest) = self.rest(memory)? else { return Ok(taken) };
                let count = rest.len().min(bytes.len());
                rest[..count].copy_from_slice(&bytes[..count]);
                self.advance(count, memory);
                taken += count;
                if self.frame.is_some() {
                    return Ok(taken);
                }
            } else if bytes.is_empty() {
                return Ok(taken);
            } else {
                let count = (HEADER - self.filled).min(bytes.len());
                self.header[self.filled..][..count].copy_from_slice(&bytes[..count]);
                self.filled += count;
                taken += count;
                if self.filled == HEADER {
                    self.filled = 0;
                    self.frame = Some(Frame::decode(&self.header, self.tag)?);
                }
            }
        }
    }
}
