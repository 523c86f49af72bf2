//! A connection whose two ends are proving themselves: the [`Handshake`] over a socket, which never waits for
//! the socket, not even to be connected.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, connect};

use super::poll::Poll;
use super::proof::{Handshake, Identity, LONGEST, Outcome, Purpose, Refusal};
use crate::error::Error;
use crate::links::Link;

/// How long a connection may take to prove itself.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one attempt to connect may take. If the other host starts meanwhile, the next attempt finds it
/// sooner than the operating system's own repetitions of this one.
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
    /// The first message, as long as the socket is being connected.
    hello: Option<Vec<u8>>,
    buffer: [u8; LONGEST],
    filled: usize,
    silent: bool,
    /// When the attempt to connect began; once connected, when the handshake did.
    since: Instant,
}

impl<'a> Handshaking<'a> {
    /// Begins to connect to rank `to`. After an inner error the next attempt may succeed.
    pub(super) fn connect(
        address: SocketAddr,
        identity: &'a Identity,
        purpose: Purpose,
        to: usize,
    ) -> Result<io::Result<Self>, Error> {
        let (handshake, hello) = Handshake::client(identity, purpose, to)?;
        Ok(begin_to_connect(&address)
            .and_then(|socket| Self::new(socket, address, identity, handshake))
            .map(|connecting| Self { hello: Some(hello), ..connecting }))
    }

    /// Accepts a connection. An inner error concerns this connection only.
    pub(super) fn accept(
        socket: TcpStream,
        address: SocketAddr,
        identity: &'a Identity,
        purpose: Purpose,
    ) -> Result<io::Result<Self>, Error> {
        let handshake = Handshake::server(identity, purpose)?;
        Ok(Self::new(socket, address, identity, handshake))
    }

    fn new(
        socket: TcpStream,
        address: SocketAddr,
        identity: &'a Identity,
        handshake: Handshake<'a>,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            address,
            identity,
            handshake,
            hello: None,
            buffer: [0; LONGEST],
            filled: 0,
            silent: true,
            since: Instant::now(),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether nothing has arrived.
    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    /// Adds the socket; it is ready when [`advance`](Self::advance) can go on.
    pub(super) fn watch<'fd>(&'fd self, poll: &mut Poll<'fd>) {
        if self.hello.is_some() { poll.writable(self) } else { poll.readable(self) }
    }

    /// When the socket must be connected; then, when the proof must be complete.
    pub(super) fn due(&self) -> Instant {
        self.since + if self.hello.is_some() { CONNECT } else { HANDSHAKE_TIMEOUT }
    }

    /// Why the connection is given up when it is past [`due`](Self::due).
    pub(super) fn late(&self) -> Refusal {
        match self.hello {
            Some(_) => Refusal::Other(String::from("connection timed out")),
            None => Refusal::Late(HANDSHAKE_TIMEOUT),
        }
    }

    #[cfg(test)]
    pub(super) fn age(&mut self, by: Duration) {
        self.since -= by;
    }

    /// Sends the first message once the socket is connected. Returns whether it is.
    fn greet(&mut self) -> io::Result<bool> {
        let Some(hello) = &self.hello else { return Ok(true) };
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
            connected => drop(connected?),
        }
        self.socket.write_all(hello)?;
        (self.hello, self.since) = (None, Instant::now());
        Ok(true)
    }

    /// Goes on as far as possible without waiting. Returns itself if the next message of the other end has
    /// not arrived.
    pub(super) fn advance(mut self) -> ControlFlow<HandshakeResult, Self> {
        match self.greet() {
            Ok(true) => (),
            Ok(false) => return ControlFlow::Continue(self),
            Err(error) => return refuse(Refusal::Other(error.to_string())),
        }
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

/// A socket that is being connected, and is writable once it is or cannot be.
fn begin_to_connect(address: &SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    // No child process inherits it. Other systems than Linux cannot make it so at once.
    #[cfg(target_os = "linux")]
    let socket =
        rustix::net::socket_with(family, SocketType::STREAM, rustix::net::SocketFlags::CLOEXEC, None)?;
    #[cfg(not(target_os = "linux"))]
    let socket = {
        let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        socket
    };
    let socket = TcpStream::from(socket);
    socket.set_nonblocking(true)?;
    match connect(&socket, address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno.into()),
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
