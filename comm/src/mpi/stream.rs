//! A stream of bytes as messages of MPI.
//!
//! ```text
//! write   copy up to SEGMENT bytes, MPI_Isend          at most FLIGHTS under way; the end has no bytes
//! read    MPI_Test of the oldest MPI_Irecv, copy out   always FLIGHTS posted, with a buffer each
//! ```
//!
//! Messages between two ranks under one tag arrive in the order in which they were sent.

use super::flight::{Flight, Outcome};
use super::session::Mpi;
use crate::links;
use std::collections::VecDeque;
use std::ffi::c_int;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// The longest message in bytes.
const SEGMENT: usize = 256 << 10;
/// Messages under way in each direction.
const FLIGHTS: usize = 4;
/// The pause between two looks whether the last messages have left.
const STREAM_PAUSE: Duration = Duration::from_micros(100);

/// The stream to one rank.
pub(crate) struct MpiStream {
    peer: c_int,
    tag: c_int,
    /// In the order of their messages.
    outgoing: VecDeque<Flight>,
    incoming: VecDeque<Flight>,
    /// Buffers for messages to send.
    spare: Vec<Vec<u8>>,
    /// The message that is being read, and the rest of it.
    arrived: Option<(Vec<u8>, Range<usize>)>,
    /// Whether this rank has ended its stream.
    is_shut: bool,
    /// Whether the end of the peer's stream has been read.
    is_ended: bool,
    /// How long the peer may take to receive the last messages.
    timeout: Duration,
    /// Declared after the flights, so that it is dropped after them.
    mpi: Mpi,
}

impl MpiStream {
    /// The stream to rank `peer` under a tag that it shares with no other stream between the two.
    pub(crate) fn new(mpi: &Mpi, peer: usize, tag: c_int, timeout: Duration) -> io::Result<Self> {
        let peer = c_int::try_from(peer).expect("a rank of MPI");
        let incoming = (0..FLIGHTS).map(|_| Flight::receive(vec![0; SEGMENT], peer, tag));
        Ok(Self {
            peer,
            tag,
            outgoing: VecDeque::new(),
            incoming: incoming.collect::<io::Result<_>>()?,
            spare: Vec::new(),
            arrived: None,
            is_shut: false,
            is_ended: false,
            timeout,
            mpi: mpi.clone(),
        })
    }

    /// Takes back the buffers of messages that have left.
    fn settle(&mut self) -> io::Result<()> {
        while let Some(flight) = self.outgoing.pop_front() {
            match flight.land()? {
                Outcome::Landed { buffer, .. } => self.spare.push(buffer),
                Outcome::Aloft(flight) => {
                    self.outgoing.push_front(flight);
                    break;
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, buffer: Vec<u8>) -> io::Result<()> {
        self.outgoing.push_back(Flight::send(buffer, self.peer, self.tag)?);
        Ok(())
    }

    /// The bytes that have arrived and are not read, if any; empty at the end of the stream.
    fn arrived(&mut self) -> io::Result<&[u8]> {
        if self.arrived.is_none() && !self.is_ended {
            let flight = self.incoming.pop_front().expect("as many as there were");
            match flight.land()? {
                Outcome::Landed { bytes: 0, .. } => self.is_ended = true,
                Outcome::Landed { buffer, bytes } => self.arrived = Some((buffer, 0..bytes)),
                Outcome::Aloft(flight) => {
                    self.incoming.push_front(flight);
                    return Err(io::ErrorKind::WouldBlock.into());
                }
            }
        }
        Ok(self.arrived.as_ref().map_or(&[], |(buffer, rest)| &buffer[rest.clone()]))
    }

    /// Records that `bytes` were read. An empty buffer waits for the next message.
    fn consume(&mut self, bytes: usize) -> io::Result<()> {
        let Some((buffer, mut rest)) = self.arrived.take() else { return Ok(()) };
        rest.start += bytes;
        if rest.is_empty() {
            self.incoming.push_back(Flight::receive(buffer, self.peer, self.tag)?);
        } else {
            self.arrived = Some((buffer, rest));
        }
        Ok(())
    }
}

impl Read for MpiStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(bytes)])
    }

    fn read_vectored(&mut self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let arrived = self.arrived()?;
        let mut read = 0;
        for slice in slices {
            let count = slice.len().min(arrived.len() - read);
            slice[..count].copy_from_slice(&arrived[read..read + count]);
            read += count;
        }
        self.consume(read)?;
        Ok(read)
    }
}

impl Write for MpiStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.settle()?;
        let mut slices = slices.iter().map(|slice| &**slice).filter(|slice| !slice.is_empty());
        let (mut rest, mut written): (&[u8], usize) = (slices.next().unwrap_or_default(), 0);
        while self.outgoing.len() < FLIGHTS && !rest.is_empty() {
            let mut buffer = self.spare.pop().unwrap_or_default();
            buffer.clear();
            while buffer.len() < SEGMENT && !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(SEGMENT - buffer.len()));
                buffer.extend_from_slice(now);
                rest = if later.is_empty() { slices.next().unwrap_or_default() } else { later };
            }
            written += buffer.len();
            self.send(buffer)?;
        }
        if written == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.settle()?;
        if self.outgoing.is_empty() { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }
}

impl links::Stream for MpiStream {
    fn place(&self) -> String {
        "MPI".to_owned()
    }

    /// A long message moves only while this process calls MPI. It has left when MPI is done with it.
    fn is_flushed(&self) -> bool {
        self.outgoing.is_empty()
    }

    fn shut_down(&mut self) {
        if !self.is_shut {
            // If the peer has ended, nobody reads it.
            let _ = self.send(Vec::new());
            self.is_shut = true;
        }
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl Drop for MpiStream {
    /// Delivers what was sent: the peer still reads, unless this stream was ended because of a failure.
    fn drop(&mut self) {
        let until = Instant::now() + self.timeout;
        while !self.is_shut && self.settle().is_ok() && !self.outgoing.is_empty() && Instant::now() < until {
            std::thread::sleep(STREAM_PAUSE);
        }
        if self.is_shut && !self.is_ended || !self.outgoing.is_empty() {
            self.mpi.abandon();
        }
    }
}
