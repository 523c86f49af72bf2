//! The messages of the rendezvous: each rank's information for rank 0, and the answer of rank 0 to all ranks.
//!
//! Every field is a length of four bytes (little-endian) and that many bytes. The first byte of a message is
//! its kind.

use std::net::SocketAddr;
use std::sync::Arc;

use super::host::HostId;
use super::rank_info::{LOCAL_INFO_LIMIT, MOST_ADDRESSES, RankInfo};
use crate::error::Error;
use crate::links::{Frame, FrameKind, Incoming, Link, Memory, Socket, Stream};

/// A list of settings and their values.
pub(super) type Agreement = Vec<(String, String)>;

/// The longest information of a rank with its agreement, in bytes.
pub(super) const INFO_LIMIT: u64 = 1 << 20;
/// The longest text of an address: `[`, 39 characters, `%`, 10 digits, `]:`, 5 digits, and a blank.
const ADDRESS_BYTES: usize = 60;
/// The longest entry of the table for a rank, in bytes: three lengths, the host, its addresses, the rest.
const ENTRY_LIMIT: u64 = (3 * 4 + 32 + ADDRESS_BYTES * (MOST_ADDRESSES + 1) + LOCAL_INFO_LIMIT) as u64;
/// The longest text of a failure, in bytes.
const TEXT_LIMIT: usize = 16 << 10;

/// The longest answer of rank 0 in bytes.
pub(super) fn answer_limit(world: usize) -> u64 {
    (world as u64 * ENTRY_LIMIT).max(1 + 4 + TEXT_LIMIT as u64)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// The information of a rank, and the settings that all ranks must agree on.
    RankInfo(RankInfo, Agreement),
    /// Rank 0's answer: the information of all ranks, by rank.
    Table(Vec<RankInfo>),
    /// Rank 0's other answer: why there is no group.
    Failure(String),
}

impl Message {
    pub(super) fn encode(&self) -> Arc<[u8]> {
        let mut bytes = Vec::new();
        match self {
            Self::RankInfo(info, agreement) => {
                bytes.push(1);
                put_info(&mut bytes, info);
                for (name, value) in agreement {
                    put(&mut bytes, name.as_bytes());
                    put(&mut bytes, value.as_bytes());
                }
            }
            Self::Table(infos) => {
                bytes.push(2);
                for info in infos {
                    put_info(&mut bytes, info);
                }
            }
            Self::Failure(cause) => {
                bytes.push(3);
                let end = (0..=TEXT_LIMIT.min(cause.len())).rev().find(|&end| cause.is_char_boundary(end));
                put(&mut bytes, &cause.as_bytes()[..end.unwrap_or(0)]);
            }
        }
        bytes.into()
    }

    /// Decodes a message; `None` if the bytes are none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, mut bytes) = bytes.split_first()?;
        let bytes = &mut bytes;
        let message = match kind {
            1 => {
                let info = info(bytes)?;
                let mut agreement = Vec::new();
                while !bytes.is_empty() {
                    agreement.push((text(bytes)?, text(bytes)?));
                }
                Self::RankInfo(info, agreement)
            }
            2 => {
                let mut infos = Vec::new();
                while !bytes.is_empty() {
                    infos.push(info(bytes)?);
                }
                Self::Table(infos)
            }
            3 => Self::Failure(text(bytes)?),
            _ => return None,
        };
        bytes.is_empty().then_some(message)
    }
}

fn put(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.extend((field.len() as u32).to_le_bytes());
    bytes.extend(field);
}

fn put_info(bytes: &mut Vec<u8>, info: &RankInfo) {
    put(bytes, &info.host.0);
    let addresses: Vec<String> = info.addresses.iter().map(SocketAddr::to_string).collect();
    put(bytes, addresses.join(" ").as_bytes());
    put(bytes, &info.local_info);
}

fn field<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (field, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    Some(field)
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    String::from_utf8(field(bytes)?.to_vec()).ok()
}

fn info(bytes: &mut &[u8]) -> Option<RankInfo> {
    let host = HostId(field(bytes)?.try_into().ok()?);
    let addresses = text(bytes)?.split(' ').map(str::parse).collect::<Result<Vec<SocketAddr>, _>>().ok()?;
    let local_info = field(bytes)?;
    // Rank 0 also listens at the place.
    let fits = local_info.len() <= LOCAL_INFO_LIMIT && addresses.len() <= MOST_ADDRESSES + 1;
    fits.then(|| RankInfo { host, addresses, local_info: local_info.to_vec() })
}

/// A link at the rendezvous: one message each way.
pub(super) struct MessageLink<S = Socket> {
    pub(super) link: Link<S>,
    memory: MessageMemory,
}

impl<S: Stream> MessageLink<S> {
    /// Accepts a message of at most `limit` bytes from the other end.
    pub(super) fn new(link: Link<S>, limit: u64) -> Self {
        let memory = MessageMemory { outgoing: Arc::default(), incoming: Vec::new(), limit, arrived: false };
        Self { link, memory }
    }

    /// Queues the message of this end.
    pub(super) fn post(&mut self, message: Arc<[u8]>) {
        let bytes = message.len() as u64;
        self.memory.outgoing = message;
        self.link.send(Frame {
            kind: FrameKind::Rendezvous,
            exchange: 0,
            operation: 0,
            bucket: 0,
            call: 0,
            bytes,
        });
    }

    /// Writes as much as the link takes.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        self.link.flush(&self.memory)
    }

    /// Reads what has arrived. Returns the message once it is complete, one time only.
    pub(super) fn receive(&mut self) -> Result<Option<Message>, Error> {
        let before = self.memory.arrived;
        let result = self.link.receive(&mut self.memory);
        if before || !self.memory.arrived {
            return result.map(|_| None);
        }
        let bytes = std::mem::take(&mut self.memory.incoming);
        Message::decode(&bytes).map(Some).ok_or_else(|| self.unexpected("a message that cannot be read"))
    }

    /// The link, and the memory of its messages.
    #[cfg(feature = "mpi")]
    pub(super) fn parts(&mut self) -> (&mut Link<S>, &impl Memory) {
        (&mut self.link, &self.memory)
    }

    pub(super) fn unexpected(&self, what: &str) -> Error {
        self.link.unexpected(what)
    }
}

struct MessageMemory {
    outgoing: Arc<[u8]>,
    incoming: Vec<u8>,
    limit: u64,
    arrived: bool,
}

impl Memory for MessageMemory {
    fn outgoing(&self, _to: usize, _frame: &Frame) -> &[u8] {
        &self.outgoing
    }

    fn incoming(&mut self, _from: usize, frame: &Frame) -> Incoming<'_> {
        if frame.kind != FrameKind::Rendezvous || frame.bytes > self.limit || self.arrived {
            return Incoming::Unexpected;
        }
        self.incoming.resize(frame.bytes as usize, 0);
        Incoming::Here(&mut self.incoming)
    }

    fn received(&mut self, _from: usize, _frame: Frame) {
        self.arrived = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_address() -> impl Strategy<Value = SocketAddr> {
        any::<SocketAddr>().prop_map(|mut address| {
            if let SocketAddr::V6(v6) = &mut address {
                // Text has no place for a flow label.
                v6.set_flowinfo(0);
            }
            address
        })
    }

    fn any_info() -> impl Strategy<Value = RankInfo> {
        let addresses = proptest::collection::vec(any_address(), 1..=4);
        let local_info = proptest::collection::vec(any::<u8>(), 0..=LOCAL_INFO_LIMIT);
        (any::<[u8; 32]>(), addresses, local_info).prop_map(|(host, addresses, local_info)| RankInfo {
            host: HostId(host),
            addresses,
            local_info,
        })
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let agreement = proptest::collection::vec((".{0,20}", ".{0,20}"), 0..5);
        prop_oneof![
            (any_info(), agreement).prop_map(|(info, agreement)| Message::RankInfo(info, agreement)),
            proptest::collection::vec(any_info(), 0..5).prop_map(Message::Table),
            ".{0,200}".prop_map(Message::Failure),
        ]
    }

    proptest! {
        #[test]
        fn messages_survive_the_wire(message in any_message(), cut in any::<proptest::sample::Index>()) {
            let bytes = message.encode();
            prop_assert_eq!(Message::decode(&bytes), Some(message.clone()));
            let cut = cut.index(bytes.len());
            prop_assert_ne!(Message::decode(&bytes[..cut]), Some(message));
        }

        #[test]
        fn nonsense_is_no_message(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0u8..5) {
            // Decoding does not panic, and makes no more of the bytes than there was.
            let bytes = [&[kind], &bytes[..]].concat();
            if let Some(message) = Message::decode(&bytes) {
                prop_assert!(message.encode().len() <= bytes.len() + 64);
            }
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = "é".repeat(TEXT_LIMIT);
        let encoded = Message::Failure(format!("x{text}")).encode();
        assert!(encoded.len() as u64 <= answer_limit(1));
        let Some(Message::Failure(cut)) = Message::decode(&encoded) else { panic!("{encoded:?}") };
        assert_eq!(cut.len(), TEXT_LIMIT - 1);
    }
}
