//! A link: the proven, ordered, nonblocking stream of frames to one peer.

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
use super::outbound::Outbound;
use super::sealed::Sealed;
use super::stream::{AnyStream, Socket, Stream};
use crate::error::{Error, PeerError};

/// What is read beyond the payload that is expected: headers and small payloads.
const READ_AHEAD: usize = 8 << 10;
/// About how much one call reads, so that a fast sender cannot hold its caller.
const READ_BUDGET: usize = 4 << 20;
/// How long a rank sleeps that can only ask again.
const NAP: Duration = Duration::from_micros(100);

/// Where the payloads of frames come from and go to.
pub(crate) trait Memory {
    /// The payload of a frame to rank `to`: exactly `frame.bytes` long, unchanged until it is sent.
    fn outgoing(&self, to: usize, frame: &Frame) -> &[u8];

    /// What to do with the payload of a frame from rank `from`. Asked again at every call until the frame is complete.
    fn incoming(&mut self, from: usize, frame: &Frame) -> Incoming<'_>;

    /// The frame from rank `from` is complete.
    fn received(&mut self, from: usize, frame: Frame);
}

/// What to do with the payload of a frame.
pub(crate) enum Incoming<'m> {
    /// Put it here: exactly `frame.bytes` long.
    Here(&'m mut [u8]),
    /// Leave it on the link, and all that follows: the frame's turn has not come.
    Later,
    /// No such frame is expected, which is an error of the peer.
    Unexpected,
    /// A frame of another length is expected, which is an error of one of the two.
    OtherLength {
        /// That length.
        expected: u64,
    },
}

/// The stream of frames to one peer.
pub(crate) struct Link<S = Socket> {
    stream: S,
    peer: usize,
    tag: Tag,
    outbound: Outbound,
    inbound: Inbound,
    read_ahead: Box<[u8; READ_AHEAD]>,
    /// What was read behind the header of a frame whose turn has not come.
    held: Vec<u8>,
    is_held: bool,
    sealed: Option<Box<Sealed>>,
    /// Why nothing more can be written.
    broken: Option<Error>,
}

impl Link {
    /// The link over a connection whose other end has proved that it is rank `peer`; with `noise`, all bytes go in
    /// its records.
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
    /// The link over a stream whose other end is rank `peer`.
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

    /// The same for those to whom it is all one what links run over.
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

    /// Where the peer is, for messages.
    pub(crate) fn place(&self) -> String {
        self.stream.place()
    }

    /// Whether something can be waited for.
    pub(crate) fn wakes(&self) -> bool {
        self.stream.socket().is_some()
    }

    /// What to wait for, where that is possible.
    fn watch(&self, read: bool) -> Option<PollFd<'_>> {
        let write = if self.is_flushed() { PollFlags::empty() } else { PollFlags::OUT };
        let read = if read { PollFlags::IN } else { PollFlags::empty() };
        Some(PollFd::from_borrowed_fd(self.stream.socket()?, read | write))
    }

    /// Queues a frame; [`flush`](Self::flush) writes it.
    pub(crate) fn send(&mut self, frame: Frame) {
        self.outbound.push(frame);
    }

    /// Whether nothing waits to be written: the stream is done with all that was queued, or will never take it.
    pub(crate) fn is_flushed(&self) -> bool {
        self.broken.is_some() || self.is_written() && self.stream.is_flushed()
    }

    /// Whether the stream has all that was queued: its memory may change.
    pub(crate) fn is_written(&self) -> bool {
        let is_sealed_flushed = || self.sealed.as_ref().is_none_or(|sealed| sealed.is_flushed());
        self.broken.is_some() || self.outbound.is_empty() && is_sealed_flushed()
    }

    /// Writes as much as the stream takes.
    ///
    /// # Errors
    ///
    /// When the operating system gives up on the link. That the peer closed it is not said here but by
    /// [`receive`](Self::receive), after it has delivered what the peer sent last: that may be the cause.
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

    /// Writes once; whether the stream took everything.
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

    /// Reads as much as there is, within reason; whether any byte came.
    ///
    /// # Errors
    ///
    /// When the peer has closed the connection, sent something that is no expected frame, or the operating system
    /// gave up on the link. Complete frames before that have been delivered.
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

    /// Whether a frame waits for its turn: reading is of no use until the memory's owner has gone on.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Takes up what was held; returns how many bytes of it have found their place.
    fn resume(&mut self, memory: &mut impl Memory) -> Result<usize, String> {
        if !self.is_held {
            return Ok(0);
        }
        let taken = self.inbound.consume(&self.held, memory)?;
        self.held.drain(..taken);
        self.is_held = !self.held.is_empty() || self.inbound.is_early(memory)?;
        Ok(taken)
    }

    /// Reads once; the count of bytes, and whether there may be more.
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
        // The rest of a payload is read into its place, and what follows it in the same call.
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

    /// Throws away what has come; whether the peer has written its end, or is gone.
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

    /// The peer has sent `what`, which does not belong here.
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

/// Why one read gave nothing.
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

/// Sends what is queued and then the end, and throws away what comes, until the others have ended too or the time is over: a socket
/// that is closed with something unread takes back what is still on its way. Whether all have.
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

/// Sleeps until one of `links` takes more of what is queued or, of those marked with `true`, something has come, but no longer than
/// `limit`.
pub(crate) fn sleep<'l, S: Stream + 'l>(
    links: impl Iterator<Item = (&'l Link<S>, bool)>,
    mut limit: Duration,
) {
    let mut sockets = Vec::new();
    for (link, read) in links {
        match link.watch(read) {
            Some(socket) => sockets.push(socket),
            None => limit = limit.min(NAP),
        }
    }
    let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
    // Interrupted or not: whoever called looks again.
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
