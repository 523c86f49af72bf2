//! A link: the ordered, nonblocking stream of frames to one peer that has proved itself.
//!
//! Payloads are not copied: they are written from the place where [`Memory`] has them, and read into the
//! place that it gives. A frame that is early stays on the link, and so does all that follows it.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use snow::TransportState;

use super::frame::{Frame, Tag};
use super::inbound::Inbound;
use super::memory::Memory;
use super::outbound::Outbound;
use super::sealed::Sealed;
use super::stream::{AnyStream, Socket, Stream};
use crate::error::{Error, PeerError};

/// Bytes that are read beyond the expected payload: headers and small payloads.
const READ_AHEAD: usize = 8 << 10;
/// About the bytes that one call reads, so that a fast sender cannot hold its caller.
const READ_BUDGET: usize = 4 << 20;
/// How long a rank sleeps between two looks at a stream without a socket.
const STREAM_PAUSE: Duration = Duration::from_micros(100);

/// The stream of frames to one peer.
pub(crate) struct Link<S = Socket> {
    stream: S,
    peer: usize,
    tag: Tag,
    outbound: Outbound,
    inbound: Inbound,
    read_ahead: Box<[u8; READ_AHEAD]>,
    /// What was read behind the header of an early frame.
    held: Vec<u8>,
    is_held: bool,
    sealed: Option<Box<Sealed>>,
    /// Why the link takes no more.
    broken: Option<Error>,
}

impl Link {
    /// Makes a link over a connection whose other end has proved that it is rank `peer`. With `noise`, all
    /// bytes go through its records.
    pub(crate) fn new(
        socket: TcpStream,
        peer: usize,
        address: SocketAddr,
        tag: Tag,
        noise: Option<TransportState>,
    ) -> io::Result<Self> {
        let mut link = Self::over(Socket::new(socket, address)?, peer, tag);
        link.sealed = noise.map(|noise| Box::new(Sealed::new(noise)));
        Ok(link)
    }

    /// The address of the other end.
    pub(crate) fn address(&self) -> SocketAddr {
        self.stream.address()
    }

    /// The address of this end.
    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.local_address()
    }

    /// Writes the header of a frame that has no payload.
    #[cfg(test)]
    pub(crate) fn send_raw_header(&mut self, frame: Frame) {
        io::Write::write_all(&mut self.stream, &frame.encode(self.tag))
            .expect("a fresh socket takes a header");
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl<S: Stream> Link<S> {
    /// Makes a link over a stream whose other end is rank `peer`.
    pub(crate) fn over(stream: S, peer: usize, tag: Tag) -> Self {
        Self {
            stream,
            peer,
            tag,
            outbound: Outbound::default(),
            inbound: Inbound::new(peer, tag),
            read_ahead: Box::new([0; READ_AHEAD]),
            held: Vec::new(),
            is_held: false,
            sealed: None,
            broken: None,
        }
    }

    /// The same link, with its kind of stream hidden.
    pub(crate) fn into_any(self) -> Link<AnyStream>
    where
        S: 'static,
    {
        let Self { stream, peer, tag, outbound, inbound, read_ahead, held, is_held, sealed, broken } = self;
        let stream: AnyStream = Box::new(stream);
        Link { stream, peer, tag, outbound, inbound, read_ahead, held, is_held, sealed, broken }
    }

    /// The rank at the other end.
    pub(crate) fn peer(&self) -> usize {
        self.peer
    }

    /// The peer's address, for messages.
    pub(crate) fn place(&self) -> String {
        self.stream.place()
    }

    /// Whether the stream has a socket to wait for.
    pub(crate) fn wakes(&self) -> bool {
        self.stream.socket().is_some()
    }

    /// The socket to wait for, if the stream has one.
    fn watch(&self, read: bool) -> Option<PollFd<'_>> {
        let write = if self.is_flushed() { PollFlags::empty() } else { PollFlags::OUT };
        let read = if read { PollFlags::IN } else { PollFlags::empty() };
        Some(PollFd::from_borrowed_fd(self.stream.socket()?, read | write))
    }

    /// Queues a frame; [`flush`](Self::flush) writes it.
    pub(crate) fn send(&mut self, frame: Frame) {
        self.outbound.push(frame);
    }

    /// Whether nothing is left to write: the stream has passed on all that was queued, or will never take it.
    pub(crate) fn is_flushed(&self) -> bool {
        self.broken.is_some() || self.is_written() && self.stream.is_flushed()
    }

    /// Whether the stream has taken all that was queued. Then the memory of the frames may change.
    pub(crate) fn is_written(&self) -> bool {
        let is_sealed_flushed = || self.sealed.as_ref().is_none_or(|sealed| sealed.is_flushed());
        self.broken.is_some() || self.outbound.is_empty() && is_sealed_flushed()
    }

    /// Writes as much as the stream takes.
    ///
    /// # Errors
    ///
    /// When the operating system gives up the link. If the peer has closed it, [`receive`](Self::receive)
    /// says so, after it has delivered what the peer sent last: that may be the cause.
    pub(crate) fn flush(&mut self, memory: &impl Memory) -> Result<(), Error> {
        while !self.is_flushed() {
            match self.write(memory) {
                Ok(true) => (),
                Ok(false) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => match self.failure(error) {
                    closed @ Error::Peer(PeerError::Closed { .. }) => self.broken = Some(closed),
                    other => return Err(other),
                },
            }
        }
        Ok(())
    }

    /// Writes once. Returns whether the stream took everything.
    fn write(&mut self, memory: &impl Memory) -> io::Result<bool> {
        let Self { stream, outbound, sealed, .. } = self;
        if outbound.is_empty() && sealed.as_ref().is_none_or(|sealed| sealed.is_flushed()) {
            return stream.flush().map(|()| true);
        }
        if let Some(sealed) = sealed {
            if sealed.is_flushed() {
                let bytes = outbound.offer(self.peer, self.tag, memory, |slices, _| sealed.seal(slices));
                outbound.advance(bytes);
            }
            sealed.write(stream)?;
            return Ok(sealed.is_flushed());
        }
        let (written, offered) = outbound
            .offer(self.peer, self.tag, memory, |slices, bytes| (stream.write_vectored(slices), bytes));
        match written? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            bytes => {
                outbound.advance(bytes);
                Ok(bytes == offered)
            }
        }
    }

    /// Reads what has arrived, up to a budget. Returns whether any byte has.
    ///
    /// # Errors
    ///
    /// When the peer has closed the connection or has sent something that is no expected frame, or when the
    /// operating system gives up the link. Complete frames before that have been delivered.
    pub(crate) fn receive(&mut self, memory: &mut impl Memory) -> Result<bool, Error> {
        let mut total = match self.resume(memory) {
            Ok(bytes) => bytes,
            Err(what) => return Err(self.unexpected(what)),
        };
        while total < READ_BUDGET && !self.is_held {
            match self.read(memory) {
                Ok((bytes, full)) => {
                    total += bytes;
                    if !full {
                        break;
                    }
                }
                Err(Interruption::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(Interruption::Io(error)) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(Interruption::Io(error)) => return Err(self.failure(error)),
                Err(Interruption::Nonsense(what)) => return Err(self.unexpected(what)),
            }
        }
        Ok(total > 0)
    }

    /// Whether an early frame waits: reading is of no use before its operation has begun.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Goes on with the bytes that were held. Returns how many of them have found their place.
    fn resume(&mut self, memory: &mut impl Memory) -> Result<usize, String> {
        if !self.is_held {
            return Ok(0);
        }
        let taken = self.inbound.consume(&self.held, memory)?;
        self.held.drain(..taken);
        self.is_held = !self.held.is_empty() || self.inbound.is_early(memory)?;
        Ok(taken)
    }

    /// Reads once. Returns the count of bytes, and whether there may be more.
    fn read(&mut self, memory: &mut impl Memory) -> Result<(usize, bool), Interruption> {
        let Self { stream, inbound, read_ahead, held, is_held, sealed, .. } = self;
        if let Some(sealed) = sealed {
            let (bytes, full) = sealed.read(stream)?;
            end_if_zero(bytes)?;
            sealed.open(|plain| {
                let taken = if held.is_empty() { inbound.consume(plain, memory)? } else { 0 };
                held.extend_from_slice(&plain[taken..]);
                Ok(())
            })?;
            *is_held = !held.is_empty() || inbound.is_early(memory)?;
            return Ok((bytes, full));
        }
        // The rest of a payload is read into its place, and what follows it by the same call.
        let rest = inbound.rest(memory)?.unwrap_or_default();
        let direct = rest.len();
        let bytes = match direct {
            0 => stream.read(&mut read_ahead[..])?,
            _ => stream.read_vectored(&mut [IoSliceMut::new(rest), IoSliceMut::new(&mut read_ahead[..])])?,
        };
        end_if_zero(bytes)?;
        if direct > 0 {
            inbound.advance(bytes.min(direct), memory);
        }
        let behind = &read_ahead[..bytes.saturating_sub(direct)];
        let taken = inbound.consume(behind, memory)?;
        held.extend_from_slice(&behind[taken..]);
        *is_held = !held.is_empty() || inbound.is_early(memory)?;
        Ok((bytes, bytes == direct + READ_AHEAD))
    }

    /// Discards what has arrived. Returns whether the peer has ended its stream.
    pub(crate) fn discard(&mut self) -> bool {
        let mut bytes = [0; 16 << 10];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }

    /// The error of a peer that has sent `what`, which does not belong here.
    pub(crate) fn unexpected(&self, what: impl Into<String>) -> Error {
        Error::Peer(PeerError::Protocol { rank: self.peer, address: self.place(), what: what.into() })
    }

    fn failure(&self, error: io::Error) -> Error {
        let (rank, address) = (self.peer, self.place());
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Error::Peer(PeerError::Closed { rank, address }),
            _ => Error::Peer(PeerError::Link { rank, address, source: Arc::new(error) }),
        }
    }
}

/// Why one read returned nothing.
enum Interruption {
    Io(io::Error),
    /// What the peer sent, in words.
    Nonsense(String),
}

impl From<io::Error> for Interruption {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<String> for Interruption {
    fn from(what: String) -> Self {
        Self::Nonsense(what)
    }
}

fn end_if_zero(bytes: usize) -> io::Result<()> {
    if bytes == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// Sends what is queued and then the end of the stream, and discards what arrives, until the peers have ended
/// too or the time is over: closing a socket with unread bytes would take back what is still on its way.
/// Returns whether all peers have ended.
pub(crate) fn close_all<S: Stream>(mut open: Vec<(&mut Link<S>, &impl Memory)>, until: Instant) -> bool {
    loop {
        open.retain_mut(|(link, memory)| {
            let sent = link.flush(*memory).is_ok();
            if !sent || link.is_flushed() {
                link.stream.shut_down();
            }
            sent && !(link.discard() && link.is_flushed())
        });
        let left = until.saturating_duration_since(Instant::now());
        if open.is_empty() || left.is_zero() {
            open.iter_mut().for_each(|(link, _)| link.stream.shut_down());
            return open.is_empty();
        }
        sleep(open.iter().map(|(link, _)| (&**link, true)), left);
    }
}

/// Sleeps until one of `links` takes more of what is queued, or until something has arrived at one of those
/// marked with `true`, but no longer than `limit`.
pub(crate) fn sleep<'l, S: Stream + 'l>(
    links: impl Iterator<Item = (&'l Link<S>, bool)>,
    mut limit: Duration,
) {
    let mut sockets = Vec::new();
    for (link, read) in links {
        match link.watch(read) {
            Some(socket) => sockets.push(socket),
            None => limit = limit.min(STREAM_PAUSE),
        }
    }
    let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
    // Interrupted or not: the caller looks again in any case.
    let _ = poll(&mut sockets, Some(&limit));
}

impl<S: Stream> fmt::Debug for Link<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("peer", &self.peer)
            .field("place", &self.stream.place())
            .finish_non_exhaustive()
    }
}
