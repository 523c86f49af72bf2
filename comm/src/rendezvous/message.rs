//! What proven ranks tell each other at the rendezvous: their cards to rank 0, and its answer to all.
//!
//! Every field is a length of four bytes (little-endian) and that many bytes; the first byte of a message says which
//! one it is.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Card, HostId, NOTE_LIMIT};
use crate::error::Error;
use crate::links::{Frame, Incoming, Kind, Link, Memory, Socket, Stream};

/// A list of settings and their values.
pub(super) type Agreement = Vec<(String, String)>;

/// The longest card with its agreement, in bytes.
pub(super) const CARD_LIMIT: u64 = 1 << 20;
/// The most that the table holds for each rank, in bytes.
const ENTRY_LIMIT: u64 = 1 << 10;
/// The longest text of a failure, in bytes.
const TEXT_LIMIT: usize = 16 << 10;

/// The longest answer of rank 0 in bytes.
pub(super) fn answer_limit(world: usize) -> u64 {
    (world as u64 * ENTRY_LIMIT).max(1 + 4 + TEXT_LIMIT as u64)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// A rank's card, and what it wants all to agree on.
    Card(Card, Agreement),
    /// Rank 0's answer: the cards of all, by rank.
    Table(Vec<Card>),
    /// Rank 0's other answer: why there is no group.
    Failure(String),
}

impl Message {
    pub(super) fn encode(&self) -> Arc<[u8]> {
        let mut bytes = Vec::new();
        match self {
            Self::Card(card, agreement) => {
                bytes.push(1);
                put_card(&mut bytes, card);
                for (name, value) in agreement {
                    put(&mut bytes, name.as_bytes());
                    put(&mut bytes, value.as_bytes());
                }
            }
            Self::Table(cards) => {
                bytes.push(2);
                for card in cards {
                    put_card(&mut bytes, card);
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

    /// The message of these bytes, or nothing if they are none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, mut bytes) = bytes.split_first()?;
        let bytes = &mut bytes;
        let message = match kind {
            1 => {
                let card = card(bytes)?;
                let mut agreement = Vec::new();
                while !bytes.is_empty() {
                    agreement.push((text(bytes)?, text(bytes)?));
                }
                Self::Card(card, agreement)
            }
            2 => {
                let mut cards = Vec::new();
                while !bytes.is_empty() {
                    cards.push(card(bytes)?);
                }
                Self::Table(cards)
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

fn put_card(bytes: &mut Vec<u8>, card: &Card) {
    put(bytes, &card.host.0);
    put(bytes, card.address.to_string().as_bytes());
    put(bytes, &card.note);
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

fn card(bytes: &mut &[u8]) -> Option<Card> {
    let host = HostId(field(bytes)?.try_into().ok()?);
    let address: SocketAddr = text(bytes)?.parse().ok()?;
    let note = field(bytes)?;
    (note.len() <= NOTE_LIMIT).then(|| Card { host, address, note: note.to_vec() })
}

/// A link at the rendezvous: one message each way.
pub(super) struct Correspondent<S = Socket> {
    pub(super) link: Link<S>,
    mail: Mail,
}

impl<S: Stream> Correspondent<S> {
    /// Accepts a message of at most `limit` bytes from the other end.
    pub(super) fn new(link: Link<S>, limit: u64) -> Self {
        let mail = Mail { outgoing: Arc::default(), incoming: Vec::new(), limit, arrived: false };
        Self { link, mail }
    }

    /// Queues this end's message.
    pub(super) fn post(&mut self, message: Arc<[u8]>) {
        let bytes = message.len() as u64;
        self.mail.outgoing = message;
        self.link.send(Frame {
            kind: Kind::Rendezvous,
            exchange: 0,
            operation: 0,
            bucket: 0,
            call: 0,
            bytes,
        });
    }

    /// Writes what the link takes.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        self.link.flush(&self.mail)
    }

    /// Reads what there is; the message when it has come, once.
    pub(super) fn receive(&mut self) -> Result<Option<Message>, Error> {
        let before = self.mail.arrived;
        let result = self.link.receive(&mut self.mail);
        if before || !self.mail.arrived {
            return result.map(|_| None);
        }
        let bytes = std::mem::take(&mut self.mail.incoming);
        Message::decode(&bytes).map(Some).ok_or_else(|| self.unexpected("a message that cannot be read"))
    }

    /// The link, and where the bytes of its frames are.
    #[cfg(feature = "mpi")]
    pub(super) fn parts(&mut self) -> (&mut Link<S>, &impl Memory) {
        (&mut self.link, &self.mail)
    }

    pub(super) fn unexpected(&self, what: &str) -> Error {
        self.link.unexpected(what)
    }
}

struct Mail {
    outgoing: Arc<[u8]>,
    incoming: Vec<u8>,
    limit: u64,
    arrived: bool,
}

impl Memory for Mail {
    fn outgoing(&self, _to: usize, _frame: &Frame) -> &[u8] {
        &self.outgoing
    }

    fn incoming(&mut self, _from: usize, frame: &Frame) -> Incoming<'_> {
        if frame.kind != Kind::Rendezvous || frame.bytes > self.limit || self.arrived {
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

    fn any_card() -> impl Strategy<Value = Card> {
        let address = any::<SocketAddr>();
        let note = proptest::collection::vec(any::<u8>(), 0..=NOTE_LIMIT);
        (any::<[u8; 32]>(), address, note).prop_map(|(host, mut address, note)| {
            if let SocketAddr::V6(v6) = &mut address {
                // Text has no place for a flow label.
                v6.set_flowinfo(0);
            }
            Card { host: HostId(host), address, note }
        })
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let agreement = proptest::collection::vec((".{0,20}", ".{0,20}"), 0..5);
        prop_oneof![
            (any_card(), agreement).prop_map(|(card, agreement)| Message::Card(card, agreement)),
            proptest::collection::vec(any_card(), 0..5).prop_map(Message::Table),
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
            // Reads it without a panic; what it makes of it must be no more than there was.
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
