//! A connection through a jump host: a channel of the login there, joined to a socket here by a thread.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use rustix::event::PollFlags;

use super::session::Session;
use super::wire::wait;

/// The thread that owns the login on the jump host. It ends when either side does; dropping this waits for it, so the near
/// socket must be shut down before.
pub(super) struct Jump {
    thread: Option<JoinHandle<()>>,
    end: Arc<OnceLock<String>>,
}

impl Jump {
    /// Joins `channel` of the login `via` to the returned socket.
    ///
    /// # Errors
    /// The system has no more file descriptors or threads.
    pub(super) fn start(via: Session, channel: ssh2::Channel) -> io::Result<(UnixStream, Self)> {
        let (near, far) = UnixStream::pair()?;
        far.set_nonblocking(true)?;
        via.wire.ssh.set_blocking(false);
        let end = Arc::new(OnceLock::new());
        let told = Arc::clone(&end);
        let thread = thread::Builder::new().name("ssh-jump".to_string()).spawn(move || {
            let login = via.address().login();
            // Dropped after the reason is told: the near side reads it when its socket ends.
            let mut join = Join { via, channel, far, up: Pending::new(), down: Pending::new() };
            if let Err(problem) = join.until_end() {
                let _ = told.set(format!("the jump host {login}: {problem}"));
            }
        })?;
        Ok((near, Self { thread: Some(thread), end }))
    }

    /// What went wrong on the way, if the thread has ended for that.
    pub(super) fn end(&self) -> Option<&str> {
        self.end.get().map(String::as_str)
    }
}

impl Drop for Jump {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The two sides, and what is on its way between them.
struct Join {
    channel: ssh2::Channel,
    via: Session,
    far: UnixStream,
    /// From the socket to the channel.
    up: Pending,
    /// From the channel to the socket.
    down: Pending,
}

/// Bytes that were read and are not all written.
struct Pending {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
}

impl Pending {
    fn new() -> Self {
        Self { bytes: vec![0; 64 * 1024], from: 0, to: 0 }
    }

    fn is_empty(&self) -> bool {
        self.from == self.to
    }

    fn fill(&mut self, read: usize) {
        (self.from, self.to) = (0, read);
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }
}

impl Join {
    /// Carries bytes both ways. The near side may end it without an error.
    fn until_end(&mut self) -> Result<(), String> {
        let mut held = self.held();
        loop {
            let mut moved = false;
            let mut room = false;
            if self.down.is_empty() {
                let read = self.channel.read(&mut self.down.bytes);
                match self.via.wire.attempt_io(read)? {
                    Some(0) => {}
                    Some(bytes) => self.down.fill(bytes),
                    None => room |= self.via.wire.wants_room(),
                }
            }
            if !self.down.is_empty() {
                match self.far.write(&self.down.bytes[self.down.from..self.down.to]) {
                    Ok(bytes) => {
                        self.down.from += bytes;
                        moved = true;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return Ok(()),
                }
            }
            let mut near_ended = false;
            if self.up.is_empty() {
                match self.far.read(&mut self.up.bytes) {
                    Ok(0) => near_ended = true,
                    Ok(bytes) => self.up.fill(bytes),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => near_ended = true,
                }
            }
            if !self.up.is_empty() {
                let written = self.channel.write(self.up.rest());
                match self.via.wire.attempt_io(written)? {
                    Some(bytes) => {
                        self.up.from += bytes;
                        moved |= bytes > 0;
                    }
                    None => room |= self.via.wire.wants_room(),
                }
            }
            if near_ended {
                return Ok(());
            }
            if self.down.is_empty() && self.channel.eof() {
                return Err("it closed the connection".to_string());
            }
            let now = self.held();
            if !moved && now == held {
                self.sleep(room);
            }
            held = now;
        }
    }

    /// See `Session`: what libssh2 holds for us.
    fn held(&self) -> (u32, bool, u32) {
        (self.channel.read_window().available, self.channel.eof(), self.channel.write_window().remaining)
    }

    fn sleep(&self, room: bool) {
        let mut near = PollFlags::empty();
        near.set(PollFlags::IN, self.up.is_empty());
        near.set(PollFlags::OUT, !self.down.is_empty());
        let mut interests = vec![(self.far.as_fd(), near)];
        // While the near side takes nothing, only a write reads from the connection: waiting for bytes there would spin.
        if self.down.is_empty() || !self.up.is_empty() {
            interests.push((self.via.wire.socket.as_fd(), self.via.wire.interest(room)));
        }
        wait(&interests);
    }
}
