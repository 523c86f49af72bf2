//! What a link runs over: a stream of bytes that never waits.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

/// Both directions of an ordered stream of bytes to one peer. Where a call would have to wait, it returns
/// [`io::ErrorKind::WouldBlock`]. At the end of the stream, a read returns 0 bytes.
pub(crate) trait Stream: Read + Write + Send + Sync {
    /// The peer's address, for messages.
    fn place(&self) -> String;

    /// Whether all that was written has left this process. If not, [flush](Write::flush) again.
    fn is_flushed(&self) -> bool;

    /// Ends the stream to the peer.
    fn shut_down(&mut self);

    /// The socket to wait for. Without one, only another read tells whether something has arrived.
    fn socket(&self) -> Option<BorrowedFd<'_>>;
}

/// A stream of any kind.
pub(crate) type AnyStream = Box<dyn Stream>;

impl Stream for AnyStream {
    fn place(&self) -> String {
        (**self).place()
    }

    fn is_flushed(&self) -> bool {
        (**self).is_flushed()
    }

    fn shut_down(&mut self) {
        (**self).shut_down();
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        (**self).socket()
    }
}

/// A nonblocking TCP connection.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    address: SocketAddr,
}

impl Socket {
    /// `address` is that of the other end.
    pub(super) fn new(stream: TcpStream, address: SocketAddr) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.read(bytes)
    }

    fn read_vectored(&mut self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.stream.read_vectored(slices)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Socket {
    fn place(&self) -> String {
        self.address.to_string()
    }

    /// The operating system has taken what was written.
    fn is_flushed(&self) -> bool {
        true
    }

    fn shut_down(&mut self) {
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
