//! A connection whose two ends are proving themselves: the [`Handshake`] over a socket, which never waits for
//! the socket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::proof::{Handshake, Identity, LONGEST, Outcome, Purpose, Refusal};
use crate::error::Error;
use crate::links::Link;

/// How long a connection may take to prove itself.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(1);

/// How long to wait before the next attempt: briefly at first, since the other rank may be just about to
/// listen.
pub(super) struct Backoff(Duration);

impl Backoff {
    const LONGEST: Duration = Duration::from_millis(20);

    pub(super) fn new() -> Self {
        Self(Duration::from_millis(1))
    }

    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (2 * pause).min(Self::LONGEST);
        pause
    }
}

/// How a handshake ended.
pub(super) enum HandshakeResult {
    /// Both ends have proved themselves.
    Link(Box<Link>),
    /// The other end has the key, but its settings keep it out of this group.
    Conflict(Error),
    /// The connection is not accepted.
    Refused(Refusal),
}

/// One end of a connection that is not yet proven.
pub(super) struct Handshaking<'a> {
    socket: TcpStream,
    address: SocketAddr,
    identity: &'a Identity,
    handshake: Handshake<'a>,
    buffer: [u8; LONGEST],
    filled: usize,
    silent: bool,
    since: Instant,
}

impl<'a> Handshaking<'a> {
    /// Connects to rank `to`, for at most a second and no longer than `until`. After an inner error the next
    /// attempt may succeed.
    pub(super) fn connect(
        address: SocketAddr,
        identity: &'a Identity,
        purpose: Purpose,
        to: usize,
        until: Instant,
    ) -> Result<io::Result<Self>, Error> {
        let (handshake, hello) = Handshake::client(identity, purpose, to)?;
        let left = until.saturating_duration_since(Instant::now()).min(CONNECT).max(Duration::from_millis(1));
        Ok(TcpStream::connect_timeout(&address, left).and_then(|mut socket| {
            socket.set_nodelay(true)?;
            socket.write_all(&hello)?;
            Self::new(socket, address, identity, handshake)
        }))
    }

    /// Accepts a connection. An inner error concerns this connection only.
    pub(super) fn accept(
        socket: TcpStream,
        address: SocketAddr,
        identity: &'a Identity,
        purpose: Purpose,
    ) -> Result<io::Result<Self>, Error> {
        let handshake = Handshake::server(identity, purpose)?;
        Ok(socket.set_nodelay(true).and_then(|()| Self::new(socket, address, identity, handshake)))
    }

    fn new(
        socket: TcpStream,
        address: SocketAddr,
        identity: &'a Identity,
        handshake: Handshake<'a>,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let since = Instant::now();
        let buffer = [0; LONGEST];
        Ok(Self { socket, address, identity, handshake, buffer, filled: 0, silent: true, since })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether nothing has arrived.
    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    /// When the proof must be complete.
    pub(super) fn due(&self) -> Instant {
        self.since + HANDSHAKE_TIMEOUT
    }

    #[cfg(test)]
    pub(super) fn age(&mut self, by: Duration) {
        self.since -= by;
    }

    /// Goes on as far as possible without waiting. Returns itself if the next message of the other end has
    /// not arrived.
    pub(super) fn advance(mut self) -> ControlFlow<HandshakeResult, Self> {
        loop {
            // Reads no more than the next message: what follows the handshake belongs to the link.
            match self.socket.read(&mut self.buffer[self.filled..self.handshake.wants()]) {
                Ok(0) => return refuse(self.handshake.closed()),
                Ok(bytes) => self.filled += bytes,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return ControlFlow::Continue(self),
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::ConnectionReset => return refuse(self.handshake.closed()),
                    _ => return refuse(Refusal::Other(error.to_string())),
                },
            }
            self.silent = false;
            if self.filled < self.handshake.wants() {
                continue;
            }
            let (reply, outcome) = self.handshake.take(&self.buffer[..self.filled]);
            self.filled = 0;
            // A socket always has room for the few bytes of a handshake, unless its other end does not read.
            let written = self.socket.write_all(&reply);
            match (outcome, written) {
                (Outcome::Refused(refusal), _) => return refuse(refusal),
                (Outcome::Conflict(error), _) => return ControlFlow::Break(HandshakeResult::Conflict(error)),
                (_, Err(error)) => return refuse(Refusal::Other(error.to_string())),
                (Outcome::More, Ok(())) => (),
                (Outcome::Joined { theirs, noise }, Ok(())) => {
                    let noise = noise.map(|noise| *noise);
                    let link = Link::new(self.socket, theirs.rank, self.address, self.identity.tag(), noise);
                    return match link {
                        Ok(link) => ControlFlow::Break(HandshakeResult::Link(Box::new(link))),
                        Err(error) => refuse(Refusal::Other(error.to_string())),
                    };
                }
            }
        }
    }
}

fn refuse<C>(refusal: Refusal) -> ControlFlow<HandshakeResult, C> {
    ControlFlow::Break(HandshakeResult::Refused(refusal))
}

impl AsFd for Handshaking<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
