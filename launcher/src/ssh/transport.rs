//! A login's connection as its loops see it: calls into libssh2 that do not block, and the wait between them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ssh2::{BlockDirections, ErrorCode};

/// `LIBSSH2_ERROR_EAGAIN`, `_BANNER_RECV`, `_SOCKET_SEND`, `_SOCKET_DISCONNECT`, `_SOCKET_RECV`, which ssh2 does not export.
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
    /// A session over `socket` that has not said anything yet. Its calls block.
    pub(super) fn new(socket: OwnedFd) -> Result<Self, String> {
        let socket = Arc::new(socket);
        let mut ssh = ssh2::Session::new().map_err(|error| words(&error))?;
        ssh.set_tcp_stream(Arc::clone(&socket));
        Ok(Self { ssh, socket })
    }

    /// What `attempt` does, for a read or a write, whose error says less than what libssh2 keeps.
    pub(super) fn attempt_io(&self, result: io::Result<usize>) -> Result<Option<usize>, String> {
        match result {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(ssh2::Error::last_session_error(&self.ssh)
                .map_or_else(|| error.to_string(), |error| words(&error))),
        }
    }

    /// Whether the call that just would have had to wait waits for room to send.
    pub(super) fn wants_room(&self) -> bool {
        matches!(self.ssh.block_directions(), BlockDirections::Outbound | BlockDirections::Both)
    }

    /// What to wait for on the socket: something to read, and `room` to send.
    pub(super) fn interest(&self, room: bool) -> PollFlags {
        if room { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }
    }

    /// Whether a small packet can be sent whole. The system reports room only when a third of the buffer is free.
    pub(super) fn has_room(&self) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::OUT)];
        matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1))
    }

    /// Ends the connection under libssh2, whatever state that is in.
    pub(super) fn shut_down(&self) {
        let _ = rustix::net::shutdown(&*self.socket, rustix::net::Shutdown::Both);
    }
}

/// What one pass over the streams of a channel found.
#[derive(Default)]
pub(super) struct Pass {
    pub(super) moved: bool,
    /// A call waits for room to send. Gathered over the pass, since a later call overwrites what an earlier one asked for.
    pub(super) room: bool,
}

impl Pass {
    /// After a pass that moved nothing, lets libssh2 go on with a renewal of keys: reads and writes that have something half
    /// sent of their own never come to it, and wait for its packets.
    ///
    /// # Errors
    /// In words.
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

/// What libssh2 holds of a channel.
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

/// Sleeps until one of `interests` comes true.
pub(super) fn wait(interests: &[(BorrowedFd<'_>, PollFlags)]) {
    let mut fds: Vec<PollFd<'_>> =
        interests.iter().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    match poll(&mut fds, None) {
        // Interrupted: the loop goes round once more.
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => panic!("poll of {} descriptors: {error}", fds.len()),
    }
}

/// The outcome of a call into libssh2: `None` if it would have to wait.
///
/// # Errors
/// In words.
pub(super) fn attempt<T>(result: Result<T, ssh2::Error>) -> Result<Option<T>, String> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code() == ErrorCode::Session(EAGAIN) => Ok(None),
        Err(error) => Err(words(&error)),
    }
}

/// Whether the connection is gone.
pub(super) fn is_broken(error: &ssh2::Error) -> bool {
    matches!(error.code(), ErrorCode::Session(SOCKET_DISCONNECT | SOCKET_RECV | SOCKET_SEND))
}

/// Whether the server closed the connection instead of beginning, as it does when it is busy.
pub(super) fn is_closed(error: &ssh2::Error) -> bool {
    is_broken(error) || error.code() == ErrorCode::Session(BANNER_RECV)
}

/// An error of libssh2 in words that a user of the launcher understands.
pub(super) fn words(error: &ssh2::Error) -> String {
    match error.code() {
        ErrorCode::Session(SOCKET_DISCONNECT) => "closed by the other end".to_string(),
        ErrorCode::Session(SOCKET_RECV | SOCKET_SEND) => {
            "reset by the other end, or the link broke".to_string()
        }
        _ => error.message().to_string(),
    }
}
