//! Waiting for several sockets at once.

use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::error::Error;

/// The sockets to wait for.
#[derive(Default)]
pub(super) struct Poll<'fd>(Vec<PollFd<'fd>>);

impl<'fd> Poll<'fd> {
    pub(super) fn readable(&mut self, socket: &'fd impl AsFd) {
        self.0.push(PollFd::new(socket, PollFlags::IN));
    }

    pub(super) fn writable(&mut self, socket: &'fd impl AsFd) {
        self.0.push(PollFd::new(socket, PollFlags::OUT));
    }

    /// Waits until a socket is ready or broken, but no longer than `until`. Returns whether each socket is,
    /// in the order in which they were added.
    pub(super) fn wait(mut self, until: Instant) -> Result<std::vec::IntoIter<bool>, Error> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match rustix::event::poll(&mut self.0, Some(&timeout)) {
                Ok(_) => break,
                Err(Errno::INTR) => (),
                Err(errno) => return Err(Error::io("wait for connections", errno.into())),
            }
        }
        let ready: Vec<bool> = self.0.iter().map(|fd| !fd.revents().is_empty()).collect();
        Ok(ready.into_iter())
    }
}
