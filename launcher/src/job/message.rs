//! What launcher and agent say to each other.
//!
//! ```text
//! message = length (4 bytes, little-endian) | content (postcard)
//! ```
//!
//! What a login shell prints before the agent speaks is not part of it: the agent begins with [`MARK`].

use crate::system::host_facts::HostFacts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// The first bytes that an agent sends. A different version has a different mark.
pub(super) const MARK: &[u8] = b"\0isograd agent 1\0";

/// The longest message, in bytes: room for the environment of a job.
pub(crate) const LIMIT: usize = 4 << 20;
/// What is kept of the noise before the mark, in bytes.
const NOISE: usize = 4096;

/// What the launcher tells an agent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToAgent {
    /// A sign of life.
    Beat,
    /// Listen at these addresses, so that the other hosts can try them.
    Listen { host: u32, addresses: Vec<IpAddr>, secret: [u8; 32] },
    /// Try the addresses of the other hosts, by host. With `bytes`, measure how fast that many go there.
    Reach { targets: Vec<(u32, Vec<SocketAddr>)>, secret: [u8; 32], timeout_ms: u32, bytes: u64 },
    /// Measure how fast a core of this host is.
    Measure,
    /// Start ranks.
    Start(Box<Assignment>),
    /// Send this signal to all ranks.
    Signal(i32),
    /// End all ranks at once.
    Kill,
}

/// What an agent tells the launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromAgent {
    /// A sign of life.
    Beat,
    /// The first message.
    Hello(Box<HostFacts>),
    /// Where it listens: a subset of the addresses that it was told.
    Listening(Vec<SocketAddr>),
    /// For each target: how it was reached, or why not.
    Reached(Vec<(u32, Result<Vec<Way>, String>)>),
    /// Of one core.
    Measured { gflops: f64 },
    /// By rank of the host: the cores that it is bound to, if it is.
    Started(Vec<Option<Vec<usize>>>),
    /// It cannot do what it was told, and ends.
    Failed(String),
    /// Bytes of a rank's standard output or standard error.
    Output { rank: u32, is_error: bool, bytes: Vec<u8> },
    /// A rank has ended.
    Ended { rank: u32, status: RankStatus },
}

/// How one host reached another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    pub(crate) round_trip_us: f64,
    pub(crate) gbytes_per_s: Option<f64>,
}

/// The ranks of a host.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Assignment {
    /// What each rank runs: this program with these arguments.
    pub(crate) args: Vec<std::ffi::OsString>,
    /// Variables of all ranks, beside those of the agent.
    pub(crate) env: Vec<(String, std::ffi::OsString)>,
    /// The folder they start in, if not the agent's.
    pub(crate) folder: Option<String>,
    pub(crate) world: u32,
    pub(crate) first_rank: u32,
    pub(crate) ranks: u32,
    /// The cores to use; all, if not given.
    pub(crate) cores: Option<Vec<usize>>,
    /// Whether each rank keeps to cores of its own.
    pub(crate) bind: bool,
    /// Columns of the terminal that rank 0 draws its progress for.
    pub(crate) progress: Option<u16>,
    pub(crate) meeting: Meeting,
}

/// Where the ranks of a job meet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Meeting {
    /// All on this host, which makes a private folder for it.
    Here,
    /// At an address of rank 0's host.
    At(Summons),
}

/// What a rank is told through its standard input, as its arguments and variables can be read by others.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summons {
    /// Where ranks of this host reach rank 0.
    pub(crate) address: SocketAddr,
    /// Where ranks of this host listen. The ports are those of rank 0; other ranks take any free ones.
    pub(crate) listen: Vec<SocketAddr>,
    /// Where ranks of this host reach those of a host that does not have one address for all.
    pub(crate) routes: Vec<Route>,
    pub(crate) key: [u8; 32],
    pub(crate) job: String,
}

/// The address at which the ranks of one host reach those of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    /// The other host's ranks.
    pub(crate) first_rank: u32,
    pub(crate) ranks: u32,
    pub(crate) address: IpAddr,
}

impl Summons {
    /// Where a rank of this host listens.
    pub(crate) fn listen_of(&self, rank: usize) -> Vec<SocketAddr> {
        let port = |address: &SocketAddr| if rank == 0 { address.port() } else { 0 };
        self.listen.iter().map(|address| SocketAddr::new(address.ip(), port(address))).collect()
    }

    /// By rank: the address at which to connect to it, if that is not the first one of its host.
    pub(crate) fn routes_by_rank(&self, world: usize) -> Vec<Option<IpAddr>> {
        let mut routes = vec![None; world];
        for route in &self.routes {
            let first = (route.first_rank as usize).min(world);
            let end = first.saturating_add(route.ranks as usize).min(world);
            routes[first..end].fill(Some(route.address));
        }
        routes
    }
}

/// How a rank ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RankStatus {
    /// By itself, with this exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// The agent ended it.
    Killed,
}

/// The bytes of a message.
pub(crate) fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    let frame = vec![0; size_of::<u32>()];
    let mut frame = postcard::to_extend(message, frame).expect("every message has a form in bytes");
    let content = frame.len() - size_of::<u32>();
    assert!(content <= LIMIT, "a message of {content} bytes, at most {LIMIT} fit");
    frame[..size_of::<u32>()].copy_from_slice(&(content as u32).to_le_bytes());
    frame
}

/// Bytes that are no message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadMessage {
    #[error("a message of {0} bytes was announced, at most {LIMIT} can be")]
    TooLong(usize),
    #[error("a message that cannot be read")]
    Unreadable,
}

/// Makes messages of bytes that come in pieces.
#[derive(Debug)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    /// Where the next message starts.
    start: usize,
    is_marked: bool,
    /// The last bytes before the mark.
    noise: Vec<u8>,
}

impl Decoder {
    /// For messages from the first byte on.
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new(), start: 0, is_marked: true, noise: Vec::new() }
    }

    /// For messages behind a [`MARK`].
    pub(crate) fn behind_mark() -> Self {
        Self { is_marked: false, ..Self::new() }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
        if !self.is_marked {
            self.look_for_mark();
        }
    }

    fn look_for_mark(&mut self) {
        let place = self.bytes.windows(MARK.len()).position(|window| window == MARK);
        // Without the mark, its beginning may stand at the end.
        let noise = place.unwrap_or((self.bytes.len() + 1).saturating_sub(MARK.len()));
        self.noise.extend(self.bytes.drain(..noise));
        self.noise.drain(..self.noise.len().saturating_sub(NOISE));
        if place.is_some() {
            self.bytes.drain(..MARK.len());
            self.is_marked = true;
        }
    }

    /// What came before the mark, or instead of it; of much, the last part.
    pub(crate) fn noise(&self) -> String {
        let rest = if self.is_marked { &[][..] } else { &self.bytes };
        String::from_utf8_lossy(&[&self.noise, rest].concat()).into_owned()
    }

    /// The next message, if all of it has come.
    pub(crate) fn next<M: DeserializeOwned>(&mut self) -> Result<Option<M>, BadMessage> {
        let rest = &self.bytes[self.start..];
        let Some((length, rest)) = rest.split_first_chunk().filter(|_| self.is_marked) else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > LIMIT {
            return Err(BadMessage::TooLong(length));
        }
        let Some(content) = rest.get(..length) else { return Ok(None) };
        match postcard::take_from_bytes(content) {
            Ok((message, [])) => {
                self.start += size_of::<u32>() + length;
                Ok(Some(message))
            }
            _ => Err(BadMessage::Unreadable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(rank: u32) -> FromAgent {
        FromAgent::Ended { rank, status: RankStatus::Signal(9) }
    }

    fn ranks(decoder: &mut Decoder) -> Vec<u32> {
        let next = || match decoder.next::<FromAgent>().unwrap()? {
            FromAgent::Ended { rank, .. } => Some(rank),
            other => panic!("{other:?}"),
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn messages_come_in_any_pieces_behind_noise() {
        let mut stream = b"Welcome!\n\0isograd agen".to_vec();
        stream.extend_from_slice(MARK);
        (0..20).for_each(|rank| stream.extend(encode(&ended(rank))));
        for piece in [1, 2, 7, 1000] {
            let mut decoder = Decoder::behind_mark();
            let mut seen = Vec::new();
            for bytes in stream.chunks(piece) {
                decoder.push(bytes);
                seen.extend(ranks(&mut decoder));
            }
            assert_eq!(seen, (0..20).collect::<Vec<_>>(), "pieces of {piece}");
            assert_eq!(decoder.noise(), "Welcome!\n\0isograd agen");
        }
    }

    #[test]
    fn only_the_end_of_long_noise_is_kept() {
        let mut decoder = Decoder::behind_mark();
        (0..10_000).for_each(|line| decoder.push(format!("{line}\n").as_bytes()));
        assert!(!decoder.is_marked && decoder.noise().ends_with("9998\n9999\n"));
        assert!(decoder.noise().len() <= NOISE + MARK.len());
        assert!(decoder.bytes.len() < MARK.len());
    }

    #[test]
    fn other_bytes_are_refused_before_memory_is_taken() {
        let mut decoder = Decoder::new();
        decoder.push(&u32::MAX.to_le_bytes());
        assert_eq!(decoder.next::<FromAgent>().unwrap_err(), BadMessage::TooLong(u32::MAX as usize));
        let mut decoder = Decoder::new();
        decoder.push(&[1, 0, 0, 0, 0xff]);
        assert_eq!(decoder.next::<FromAgent>().unwrap_err(), BadMessage::Unreadable);
    }
}
