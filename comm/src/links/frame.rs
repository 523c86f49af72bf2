//! What is sent over a link: a header of fixed size, then the payload that it announces.
//!
//! ```text
//! byte  0        4         6      7       8     16          24      32         36       40     48
//!       | magic  | version | kind | order | tag | operation | bytes | exchange | bucket | call |
//! ```
//!
//! Little-endian. `order` is the byte order of the numbers in payloads, which are copied from memory to
//! memory as they are.

use sha2::{Digest, Sha256};

/// The version of all that ranks send each other: proofs, messages of the rendezvous, frames.
pub(crate) const PROTOCOL: u16 = 4;

/// The length of a header in bytes.
pub(super) const HEADER: usize = 48;

const MAGIC: [u8; 4] = *b"isoG";

/// The byte order of this host's numbers: 1 if the most significant byte comes first, else 0.
const ORDER: u8 = cfg!(target_endian = "big") as u8;

/// What a frame's payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FrameKind {
    /// Partial sums for the owner of their slice.
    Scatter = 1,
    /// A slice's result for all ranks.
    Gather = 2,
    /// The first cause of a failure, as UTF-8 text of at most 1 KiB.
    Failure = 3,
    /// A message of the rendezvous.
    Rendezvous = 4,
}

impl FrameKind {
    fn from_wire(number: u8) -> Option<Self> {
        [Self::Scatter, Self::Gather, Self::Failure, Self::Rendezvous]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// A frame without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: FrameKind,
    /// The number of the exchange.
    pub(crate) exchange: u32,
    /// The number of the operation since the group met.
    pub(crate) operation: u64,
    /// The bucket of the exchange; of a failure, the rank that found its cause.
    pub(crate) bucket: u32,
    /// The sender's operation, as the collective encodes it; 0 in other frames.
    pub(crate) call: u64,
    /// The length of the payload.
    pub(crate) bytes: u64,
}

/// Marks every frame with its job and generation, so that frames of others are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag([u8; 8]);

impl Tag {
    pub(crate) fn new(job: &str, generation: u64) -> Self {
        let digest = Sha256::new()
            .chain_update(b"isograd tag")
            .chain_update(generation.to_le_bytes())
            .chain_update(job)
            .finalize();
        Self(std::array::from_fn(|i| digest[i]))
    }
}

impl Frame {
    pub(super) fn encode(&self, tag: Tag) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[0..4].copy_from_slice(&MAGIC);
        header[4..6].copy_from_slice(&PROTOCOL.to_le_bytes());
        (header[6], header[7]) = (self.kind as u8, ORDER);
        header[8..16].copy_from_slice(&tag.0);
        header[16..24].copy_from_slice(&self.operation.to_le_bytes());
        header[24..32].copy_from_slice(&self.bytes.to_le_bytes());
        header[32..36].copy_from_slice(&self.exchange.to_le_bytes());
        header[36..40].copy_from_slice(&self.bucket.to_le_bytes());
        header[40..48].copy_from_slice(&self.call.to_le_bytes());
        header
    }

    /// Decodes a header. The error says what is wrong with it.
    pub(super) fn decode(header: &[u8; HEADER], tag: Tag) -> Result<Self, String> {
        let version = u16::from_le_bytes(field(header, 4));
        let [kind, order] = field(header, 6);
        if field(header, 0) != MAGIC {
            return Err("bytes that are no frame".into());
        }
        if version != PROTOCOL {
            return Err(format!("a frame of protocol version {version}, not {PROTOCOL}"));
        }
        if order != ORDER {
            return Err("numbers in another byte order than this host's".into());
        }
        if Tag(field(header, 8)) != tag {
            return Err("a frame of another job or generation".into());
        }
        Ok(Self {
            kind: FrameKind::from_wire(kind).ok_or_else(|| format!("a frame of unknown kind {kind}"))?,
            operation: u64::from_le_bytes(field(header, 16)),
            bytes: u64::from_le_bytes(field(header, 24)),
            exchange: u32::from_le_bytes(field(header, 32)),
            bucket: u32::from_le_bytes(field(header, 36)),
            call: u64::from_le_bytes(field(header, 40)),
        })
    }
}

fn field<const N: usize>(header: &[u8; HEADER], at: usize) -> [u8; N] {
    std::array::from_fn(|i| header[at + i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_wire_and_others_are_refused() {
        let tag = Tag::new("job", 3);
        let frame = Frame {
            kind: FrameKind::Gather,
            exchange: 0x0102_0304,
            operation: u64::MAX - 5,
            bucket: 77,
            call: 0x0908_0706_0504_0302,
            bytes: 0x1_0000_0001,
        };
        let header = frame.encode(tag);
        assert_eq!(Frame::decode(&header, tag), Ok(frame));
        for other in [Tag::new("job", 4), Tag::new("jo", 3), Tag::new("", 3)] {
            assert_eq!(Frame::decode(&header, other), Err("a frame of another job or generation".into()));
        }
        let changed = |at: usize| {
            let mut header = header;
            header[at] ^= 0x40;
            Frame::decode(&header, tag).unwrap_err()
        };
        assert_eq!(changed(0), "bytes that are no frame");
        assert_eq!(changed(4), format!("a frame of protocol version {}, not {PROTOCOL}", 64 + PROTOCOL));
        assert_eq!(changed(6), "a frame of unknown kind 66");
        assert_eq!(changed(7), "numbers in another byte order than this host's");
        assert_eq!(changed(15), "a frame of another job or generation");
    }
}
