//! The connection of a login: non-blocking calls into libssh2, and the wait between them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ssh2::{BlockDirections, ErrorCode};

/// `LIBSSH2_ERROR_EAGAIN`, `_BANNER_RECV`, `_SOCKET_SEND`, `_SOCKET_DISCONNECT`, `_SOCKET_RECV`, which ssh2
/// does not export.
const EAGAIN: i32 = -37;
const BANNER_RECV: i32 = -2;
const SOCKET_SEND: i32 = -7;
const SOCKET_DISCONNECT: i32 = -13;
const SOCKET_RECV: i32 = -43;

/// The libssh2 session and the socket under it.
pub(super) struct Transport {
    pub(super) ssh: ssh2::Session,
    pub(super) socket: Arc<OwnedFd>,
}

impl Transport {
    /// A new session over `socket`, before the handshake. Its calls block.
    pub(super) fn new(socket: OwnedFd) -> Result<Self, String> {
        let socket = Arc::new(socket);
        let mut ssh = ssh2::Session::new().map_err(|error| words(&error))?;
        ssh.set_tcp_stream(Arc::clone(&socket));
        Ok(Self { ssh, socket })
    }

    /// Like `attempt`, for a read or a write. Their errors lack the message, which libssh2 keeps.
    pub(super) fn attempt_io(&self, result: io::Result<usize>) -> Result<Option<usize>, String> {
        match result {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(ssh2::Error::last_session_error(&self.ssh)
                .map_or_else(|| error.to_string(), |error| words(&error))),
        }
    }

    /// Whether the call that just failed because it would block needs room to send.
    pub(super) fn wants_room(&self) -> bool {
        matches!(self.ssh.block_directions(), BlockDirections::Outbound | BlockDirections::Both)
    }

    /// The events to wait for on the socket: bytes to read, and room to send if `room` is needed.
    pub(super) fn interest(&self, room: bool) -> PollFlags {
        if room { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }
    }

    /// Whether a small packet can be sent whole: the system reports room only when a third of the buffer is
    /// free.
    pub(super) fn has_room(&self) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::OUT)];
        matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1))
    }

    /// Ends the connection, whatever libssh2 is doing with it.
    pub(super) fn shut_down(&self) {
        let _ = rustix::net::shutdown(&*self.socket, rustix::net::Shutdown::Both);
    }
}

/// The result of one pass over the streams of a channel.
#[derive(Default)]
pub(super) struct Pass {
    pub(super) moved: bool,
    /// A call of the pass needs room to send. It is kept here, since later calls overwrite the request of
    /// earlier ones.
    pub(super) room: bool,
}

impl Pass {
    /// After a pass that moved nothing, lets libssh2 continue a renewal of keys. Reads and writes that have
    /// sent a packet in part do not continue it themselves, although they wait for its packets.
    ///
    /// # Errors
    /// The message of libssh2.
    pub(super) fn renew_keys(
        &mut self,
        transport: &Transport,
        channel: &mut ssh2::Channel,
    ) -> Result<(), String> {
        if !self.moved && attempt(channel.wait_eof())?.is_none() {
            self.room |= transport.wants_room();
        }
        Ok(())
    }
}

/// The state of a channel inside libssh2, compared to see whether a pass changed it.
#[derive(PartialEq, Eq)]
pub(super) struct Held {
    unread_bytes: u32,
    ended: bool,
    writable_bytes: u32,
}

impl Held {
    pub(super) fn of(channel: &ssh2::Channel) -> Self {
        Self {
            unread_bytes: channel.read_window().available,
            ended: channel.eof(),
            writable_bytes: channel.write_window().remaining,
        }
    }
}

/// Sleeps until one of the descriptors is ready for its events.
pub(super) fn wait(interests: &[(BorrowedFd<'_>, PollFlags)]) {
    let mut fds: Vec<PollFd<'_>> =
        interests.iter().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    match poll(&mut fds, None) {
        // After an interrupt, the caller's loop makes one more pass.
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => panic!("poll of {} descriptors: {error}", fds.len()),
    }
}

/// The result of a call into libssh2: `None` if it would block.
///
/// # Errors
/// The message of libssh2.
pub(super) fn attempt<T>(result: Result<T, ssh2::Error>) -> Result<Option<T>, String> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code() == ErrorCode::Session(EAGAIN) => Ok(None),
        Err(error) => Err(words(&error)),
    }
}

/// Whether the error means that the connection is lost.
pub(super) fn is_broken(error: &ssh2::Error) -> bool {
    matches!(error.code(), ErrorCode::Session(SOCKET_DISCONNECT | SOCKET_RECV | SOCKET_SEND))
}

/// Whether the server closed the connection instead of beginning, as it does when it is busy.
pub(super) fn is_closed(error: &ssh2::Error) -> bool {
    is_broken(error) || error.code() == ErrorCode::Session(BANNER_RECV)
}

/// An error of libssh2 in words that the user understands.
pub(super) fn words(error: &ssh2::Error) -> String {
    match error.code() {
        ErrorCode::Session(SOCKET_DISCONNECT) => "closed by the other end".to_string(),
        ErrorCode::Session(SOCKET_RECV | SOCKET_SEND) => {
            "reset by the other end, or the link broke".to_string()
        }
        _ => error.message().to_string(),
    }
}
