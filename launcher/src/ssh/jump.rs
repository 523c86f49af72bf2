//! A connection through a jump host: a thread copies bytes between a channel of the login there and a socket
//! here.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use rustix::event::PollFlags;

use super::session::Session;
use super::transport::{Held, Pass, wait};

/// How long the end of a connection may take, in milliseconds.
const CLOSE_MS: u32 = 1000;

/// The thread that owns the login at the jump host. The thread ends when either side does. Dropping this
/// waits for the thread, so the near socket must be shut down first.
pub(super) struct Jump {
    thread: Option<JoinHandle<(ssh2::Channel, Session)>>,
    end: Arc<OnceLock<String>>,
}

impl Jump {
    /// Starts to copy between `channel` of the login `via` and the returned socket.
    ///
    /// # Errors
    /// The system has no more file descriptors or threads.
    pub(super) fn start(via: Session, channel: ssh2::Channel) -> io::Result<(UnixStream, Self)> {
        let (near, far) = UnixStream::pair()?;
        far.set_nonblocking(true)?;
        via.transport.ssh.set_blocking(false);
        let end = Arc::new(OnceLock::new());
        let told = Arc::clone(&end);
        let thread = thread::Builder::new().name("ssh-jump".to_string()).spawn(move || {
            let login = via.address().login();
            let mut relay = Relay { via, channel, far, up: Pending::new(), down: Pending::new() };
            if let Err(problem) = relay.until_end() {
                let _ = told.set(format!("the jump host {login}: {problem}"));
            }
            // The far end of the socket closes here: the near side then reads the reason.
            let Relay { channel, via, .. } = relay;
            (channel, via)
        })?;
        Ok((near, Self { thread: Some(thread), end }))
    }

    /// Why the connection to the jump host ended, if it did.
    pub(super) fn end(&self) -> Option<&str> {
        self.end.get().map(String::as_str)
    }

    /// Waits for the thread, and gives the login back for another connection. The near socket must be shut
    /// down before.
    pub(super) fn into_login(mut self) -> Option<Session> {
        let (channel, via) = self.thread.take()?.join().ok()?;
        // Closing the channel must not leave a packet half sent.
        via.transport.ssh.set_blocking(true);
        via.transport.ssh.set_timeout(CLOSE_MS);
        drop(channel);
        via.transport.ssh.set_timeout(0);
        Some(via)
    }
}

impl Drop for Jump {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The two sides, and the bytes on their way between them.
struct Relay {
    channel: ssh2::Channel,
    via: Session,
    far: UnixStream,
    /// From the socket to the channel.
    up: Pending,
    /// From the channel to the socket.
    down: Pending,
}

/// Bytes that were read, and the part of them that is not yet written.
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

impl Relay {
    /// Carries bytes both ways until either side has ended; an error if the connection to the jump host has.
    fn until_end(&mut self) -> Result<(), String> {
        let mut held = Held::of(&self.channel);
        loop {
            let mut pass = Pass::default();
            let near_listens = self.carry_down(&mut pass)?;
            let near_speaks = self.carry_up(&mut pass)?;
            if !near_listens || !near_speaks {
                return Ok(());
            }
            if self.down.is_empty() && self.channel.eof() {
                return Ok(());
            }
            pass.renew_keys(&self.via.transport, &mut self.channel)?;
            let now = Held::of(&self.channel);
            if !pass.moved && now == held {
                self.sleep(pass.room);
            }
            held = now;
        }
    }

    /// Copies from the channel to the socket; false if the socket is closed.
    fn carry_down(&mut self, pass: &mut Pass) -> Result<bool, String> {
        if self.down.is_empty() {
            let read = self.channel.read(&mut self.down.bytes);
            match self.via.transport.attempt_io(read)? {
                Some(bytes) => self.down.fill(bytes),
                None => pass.room |= self.via.transport.wants_room(),
            }
        }
        if !self.down.is_empty() {
            match self.far.write(self.down.rest()) {
                Ok(bytes) => {
                    self.down.from += bytes;
                    pass.moved = true;
                }
                Err(error) => return Ok(error.kind() == io::ErrorKind::WouldBlock),
            }
        }
        Ok(true)
    }

    /// Copies from the socket to the channel; false if the socket is closed.
    fn carry_up(&mut self, pass: &mut Pass) -> Result<bool, String> {
        if self.up.is_empty() {
            match self.far.read(&mut self.up.bytes) {
                Ok(0) => return Ok(false),
                Ok(bytes) => self.up.fill(bytes),
                Err(error) => return Ok(error.kind() == io::ErrorKind::WouldBlock),
            }
        }
        let written = self.channel.write(self.up.rest());
        match self.via.transport.attempt_io(written)? {
            Some(bytes) => {
                self.up.from += bytes;
                pass.moved |= bytes > 0;
            }
            None => pass.room |= self.via.transport.wants_room(),
        }
        Ok(true)
    }

    fn sleep(&self, room: bool) {
        let mut near = PollFlags::empty();
        near.set(PollFlags::IN, self.up.is_empty());
        near.set(PollFlags::OUT, !self.down.is_empty());
        let mut interests = vec![(self.far.as_fd(), near)];
        // While the socket takes no bytes, the channel is read only as part of a write. Waiting for bytes of
        // the connection would then return at once, again and again.
        if self.down.is_empty() || !self.up.is_empty() {
            interests.push((self.via.transport.socket.as_fd(), self.via.transport.interest(room)));
        }
        wait(&interests);
    }
}
