//! The join proof: before anything else, two processes prove to each other that they have the job's key.
//!
//! ```text
//! client                                   server
//!   magic, nonce c                   ->
//!                                    <-    nonce s
//!   claim C, MAC("client", c, s, C)  ->    checks the MAC, and only then looks at C
//!                                    <-    claim S, MAC("server", c, s, C, S)
//!   checks the MAC, then looks at S
//!   with encryption: Noise NNpsk0, psk = MAC("noise", c, s, C, S)
//! ```
//!
//! MAC is HMAC-SHA256 under the job's key over the job's id, a role and fixed-size fields: a MAC of one role,
//! job, generation, purpose or pair of ranks says nothing in another, and fresh nonces make a repeated one
//! worthless. This module does no input or output: a [`Handshake`] is given messages of the length that it
//! [`wants`](Handshake::wants).

#[cfg(test)]
mod tests;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use snow::{HandshakeState, TransportState};

use super::meeting::Meeting;
use crate::error::{Error, RendezvousError};
use crate::key::{Key, random};
use crate::links::{PROTOCOL, Tag};

const MAGIC: [u8; 8] = *b"isograd\n";
const NONCE: usize = 32;
const CLAIM: usize = 32;
const MAC: usize = 32;
/// Both messages of the Noise pattern: an ephemeral key and an authenticator.
const NOISE: usize = 32 + 16;
const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";

/// The longest message of a handshake.
pub(super) const LONGEST: usize = CLAIM + MAC;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Purpose {
    /// A rank comes to rank 0.
    Rendezvous = 1,
    /// The link of two ranks.
    Link = 2,
}

/// What a process says about itself under its MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    version: u16,
    purpose: u8,
    encrypt: bool,
    generation: u64,
    world: u32,
    pub(super) rank: usize,
    /// The rank that it speaks to.
    to: u32,
}

impl Claim {
    fn encode(&self) -> [u8; CLAIM] {
        let mut bytes = [0; CLAIM];
        bytes[0..2].copy_from_slice(&self.version.to_le_bytes());
        bytes[2] = self.purpose;
        bytes[3] = self.encrypt.into();
        bytes[4..12].copy_from_slice(&self.generation.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.world.to_le_bytes());
        bytes[16..20].copy_from_slice(&(self.rank as u32).to_le_bytes());
        bytes[20..24].copy_from_slice(&self.to.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; CLAIM]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        Self {
            version: u16::from_le_bytes([bytes[0], bytes[1]]),
            purpose: bytes[2],
            encrypt: bytes[3] != 0,
            generation: u64::from_le_bytes(std::array::from_fn(|i| bytes[4 + i])),
            world: u32_at(12),
            rank: u32_at(16) as usize,
            to: u32_at(20),
        }
    }
}

/// The rank and job of this process, and the means to prove them.
pub(super) struct Identity {
    /// With the key and the job's id already in it.
    mac: Hmac<Sha256>,
    version: u16,
    rank: usize,
    world: usize,
    generation: u64,
    encrypt: bool,
    tag: Tag,
}

impl Identity {
    pub(super) fn new(meeting: &Meeting, key: &Key) -> Self {
        let mut mac = Hmac::new_from_slice(key.bytes()).expect("HMAC takes keys of any length");
        mac.update(b"isograd join");
        mac.update(&(meeting.job.len() as u64).to_le_bytes());
        mac.update(meeting.job.as_bytes());
        Self {
            mac,
            version: PROTOCOL,
            rank: meeting.rank,
            world: meeting.world_size,
            generation: meeting.generation,
            encrypt: meeting.encrypt,
            tag: Tag::new(&meeting.job, meeting.generation),
        }
    }

    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    /// The tag of the frames on links between proven ranks.
    pub(super) fn tag(&self) -> Tag {
        self.tag
    }

    #[cfg(test)]
    pub(super) fn with_version(self, version: u16) -> Self {
        Self { version, ..self }
    }

    fn claim(&self, purpose: Purpose, to: usize) -> Claim {
        Claim {
            version: self.version,
            purpose: purpose as u8,
            encrypt: self.encrypt,
            generation: self.generation,
            world: self.world as u32,
            rank: self.rank,
            to: to as u32,
        }
    }

    fn mac(&self, role: &[u8; 6], fields: &[&[u8; 32]]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(role);
        for field in fields {
            mac.update(*field);
        }
        mac
    }

    /// Why two ranks that both have the key cannot work together.
    fn conflict(&self, theirs: &Claim) -> Option<Error> {
        let differ = |what: &str, ours: String, other: String| {
            Some(RendezvousError::disagreement(what, (self.rank, ours), (theirs.rank, other)).into())
        };
        let switch = |on: bool| String::from(if on { "on" } else { "off" });
        if theirs.version != self.version {
            differ("protocol version", self.version.to_string(), theirs.version.to_string())
        } else if theirs.world as usize != self.world {
            differ("world size", self.world.to_string(), theirs.world.to_string())
        } else if theirs.encrypt != self.encrypt {
            differ("encryption", switch(self.encrypt), switch(theirs.encrypt))
        } else if theirs.rank >= self.world {
            Some(Error::Rank { rank: theirs.rank, world_size: self.world })
        } else {
            None
        }
    }
}

/// Why a connection is not accepted. In messages, the address of the connection comes first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it does not begin as a rank does")]
    Opening,
    #[error("its proof is wrong: another key or job, or a repeated or reflected message")]
    Proof,
    #[error("it is of generation {theirs}, not {ours}")]
    Generation { ours: u64, theirs: u64 },
    #[error("it has the key but wants another rank or purpose")]
    Purpose,
    #[error("its Noise handshake is wrong")]
    Noise,
    #[error("it closed the connection before its proof")]
    Closed,
    #[error("it closed the connection when it had seen this rank's proof")]
    Dismissed,
    #[error("no proof within {} s", .0.as_secs_f64())]
    Late(std::time::Duration),
    #[error("dropped for a newer connection: {0} were pending")]
    Crowded(usize),
    #[error("the group is complete")]
    Complete,
    #[error("{0}")]
    Other(String),
}

/// How a handshake goes on after a message.
pub(super) enum Outcome {
    /// The handshake waits for the next message.
    More,
    /// Both ends have proved themselves. With encryption, all that follows goes through Noise.
    Joined { theirs: Claim, noise: Option<Box<TransportState>> },
    /// The other end has the key, but its settings keep it out of this group.
    Conflict(Error),
    /// The connection must be closed.
    Refused(Refusal),
}

enum Expected {
    /// Server: waits for magic and nonce.
    Hello,
    /// Client: waits for the server's nonce.
    Nonce,
    /// Server: waits for the claim and its proof.
    Claim,
    /// Client: waits for the server's claim and its proof.
    Answer,
    /// Both: wait for the other's Noise message.
    Noise { theirs: Claim, noise: Box<HandshakeState> },
}

/// One end of a connection that is not yet proven.
pub(super) struct Handshake<'a> {
    identity: &'a Identity,
    ours: Claim,
    /// The client's, then the server's.
    nonces: [[u8; NONCE]; 2],
    expected: Expected,
}

impl<'a> Handshake<'a> {
    /// The end that connects to rank `to`, and its first message.
    pub(super) fn client(
        identity: &'a Identity,
        purpose: Purpose,
        to: usize,
    ) -> Result<(Self, Vec<u8>), Error> {
        let nonce: [u8; NONCE] = random()?;
        let ours = identity.claim(purpose, to);
        let handshake = Self { identity, ours, nonces: [nonce, [0; NONCE]], expected: Expected::Nonce };
        Ok((handshake, [&MAGIC[..], &nonce].concat()))
    }

    /// The end that was connected to.
    pub(super) fn server(identity: &'a Identity, purpose: Purpose) -> Result<Self, Error> {
        // The rank at the other end is known once the client's claim has arrived.
        let ours = identity.claim(purpose, identity.rank);
        Ok(Self { identity, ours, nonces: [[0; NONCE], random()?], expected: Expected::Hello })
    }

    /// The length of the next message in bytes.
    pub(super) fn wants(&self) -> usize {
        match self.expected {
            Expected::Hello => MAGIC.len() + NONCE,
            Expected::Nonce => NONCE,
            Expected::Claim | Expected::Answer => CLAIM + MAC,
            Expected::Noise { .. } => NOISE,
        }
    }

    /// Why the other end may have closed the connection in this state.
    pub(super) fn closed(&self) -> Refusal {
        if matches!(self.expected, Expected::Answer) { Refusal::Dismissed } else { Refusal::Closed }
    }

    /// Takes the next message. Returns the reply, which may be empty, and how the handshake goes on. After
    /// anything but [`Outcome::More`] the handshake is over.
    ///
    /// # Panics
    ///
    /// When the message is not as long as [`wants`](Self::wants) says.
    pub(super) fn take(&mut self, message: &[u8]) -> (Vec<u8>, Outcome) {
        assert_eq!(message.len(), self.wants(), "length of a message of the handshake");
        match &mut self.expected {
            Expected::Hello => {
                let Some(nonce) = message.strip_prefix(&MAGIC) else {
                    return refused(Refusal::Opening);
                };
                self.nonces[0].copy_from_slice(nonce);
                self.expected = Expected::Claim;
                (self.nonces[1].to_vec(), Outcome::More)
            }
            Expected::Nonce => {
                self.nonces[1].copy_from_slice(message);
                let claim = self.ours.encode();
                let mac = self.mac(b"client", &[&claim]).finalize().into_bytes();
                self.expected = Expected::Answer;
                ([&claim[..], &mac].concat(), Outcome::More)
            }
            Expected::Claim => self.answer(message),
            Expected::Answer => self.check_answer(message),
            Expected::Noise { theirs, noise } => {
                if noise.read_message(message, &mut []).is_err() {
                    return refused(Refusal::Noise);
                }
                let reply = if !noise.is_handshake_finished() { noise_message(noise) } else { Vec::new() };
                let theirs = *theirs;
                let Expected::Noise { noise, .. } = std::mem::replace(&mut self.expected, Expected::Hello)
                else {
                    unreachable!("the state was matched above")
                };
                let transport = noise.into_transport_mode().expect("both messages of NNpsk0 are done");
                (reply, Outcome::Joined { theirs, noise: Some(Box::new(transport)) })
            }
        }
    }

    /// The server, with the client's claim and proof.
    fn answer(&mut self, message: &[u8]) -> (Vec<u8>, Outcome) {
        let (claim, proof) = split_claim(message);
        if self.mac(b"client", &[claim]).verify_slice(proof).is_err() {
            return refused(Refusal::Proof);
        }
        let theirs = Claim::decode(claim);
        self.ours.to = theirs.rank as u32;
        let ours = self.ours.encode();
        let mac = self.mac(b"server", &[claim, &ours]).finalize().into_bytes();
        // A client that is refused also gets our claim, and learns the reason from it.
        let reply = [&ours[..], &mac].concat();
        if let Err(outcome) = self.judge(&theirs) {
            return (reply, outcome);
        }
        if !self.ours.encrypt {
            return (reply, Outcome::Joined { theirs, noise: None });
        }
        let psk = self.mac(b"noise ", &[claim, &ours]).finalize().into_bytes().into();
        self.expected = Expected::Noise { theirs, noise: Box::new(noise(&psk, false)) };
        (reply, Outcome::More)
    }

    /// The client, with the server's claim and proof.
    fn check_answer(&mut self, message: &[u8]) -> (Vec<u8>, Outcome) {
        let (claim, proof) = split_claim(message);
        let ours = self.ours.encode();
        if self.mac(b"server", &[&ours, claim]).verify_slice(proof).is_err() {
            return refused(Refusal::Proof);
        }
        let theirs = Claim::decode(claim);
        if let Err(outcome) = self.judge(&theirs) {
            return (Vec::new(), outcome);
        }
        if !self.ours.encrypt {
            return (Vec::new(), Outcome::Joined { theirs, noise: None });
        }
        let psk = self.mac(b"noise ", &[&ours, claim]).finalize().into_bytes().into();
        let mut noise = Box::new(noise(&psk, true));
        let reply = noise_message(&mut noise);
        self.expected = Expected::Noise { theirs, noise };
        (reply, Outcome::More)
    }

    /// Whether a process that has the key may go on.
    fn judge(&self, theirs: &Claim) -> Result<(), Outcome> {
        let ours = &self.ours;
        // If the versions differ, only the version itself can be read.
        if theirs.version == ours.version {
            if theirs.generation != ours.generation {
                let (ours, theirs) = (ours.generation, theirs.generation);
                return Err(Outcome::Refused(Refusal::Generation { ours, theirs }));
            }
            if theirs.purpose != ours.purpose
                || theirs.to as usize != ours.rank
                || theirs.rank != ours.to as usize
            {
                return Err(Outcome::Refused(Refusal::Purpose));
            }
        }
        match self.identity.conflict(theirs) {
            Some(error) => Err(Outcome::Conflict(error)),
            None => Ok(()),
        }
    }

    fn mac(&self, role: &[u8; 6], claims: &[&[u8; CLAIM]]) -> Hmac<Sha256> {
        self.identity.mac(role, &[&[&self.nonces[0], &self.nonces[1]], claims].concat())
    }
}

fn refused(refusal: Refusal) -> (Vec<u8>, Outcome) {
    (Vec::new(), Outcome::Refused(refusal))
}

fn split_claim(message: &[u8]) -> (&[u8; CLAIM], &[u8]) {
    message.split_first_chunk().expect("the length was checked")
}

fn noise(psk: &[u8; 32], initiator: bool) -> HandshakeState {
    let builder = snow::Builder::new(PATTERN.parse().expect("a Noise pattern")).psk(0, psk);
    builder
        .and_then(|builder| if initiator { builder.build_initiator() } else { builder.build_responder() })
        .expect("NNpsk0 needs the pre-shared key only")
}

fn noise_message(noise: &mut HandshakeState) -> Vec<u8> {
    let mut message = vec![0; NOISE];
    let length = noise.write_message(&[], &mut message).expect("an empty payload fits");
    assert_eq!(length, NOISE, "length of a Noise message");
    message
}
