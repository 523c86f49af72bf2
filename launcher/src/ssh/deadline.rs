//! The time that a login may take, and what ends it when that is over.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The longest time for which a watchdog sleeps: it does not hear of a clock that stops or goes on.
const NAP: Duration = Duration::from_millis(50);

/// When a login must have succeeded. The clock stops while the user types, or while the login waits for its
/// turn.
#[derive(Debug)]
pub(super) struct Deadline {
    pub(super) allowed: Duration,
    clock: Mutex<Clock>,
}

#[derive(Debug, Clone, Copy)]
enum Clock {
    Running { end: Instant },
    Stopped { left: Duration },
}

impl Deadline {
    pub(super) fn within(allowed: Duration) -> Self {
        Self { allowed, clock: Mutex::new(Clock::Running { end: Instant::now() + allowed }) }
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remaining(&self) -> Duration {
        match *self.clock() {
            Clock::Running { end } => end.saturating_duration_since(Instant::now()),
            Clock::Stopped { left } => left,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.remaining().is_zero()
    }

    /// Does `work` while the clock stands still.
    pub(super) fn stopped<T>(&self, work: impl FnOnce() -> T) -> T {
        *self.clock() = Clock::Stopped { left: self.remaining() };
        let done = work();
        *self.clock() = Clock::Running { end: Instant::now() + self.remaining() };
        done
    }
}

/// Ends a connection at the deadline, whatever the other end sends until then: a call into libssh2 waits for
/// as long as bytes come. Dropping it lets the connection live.
pub(super) struct Watchdog {
    _awake: Sender<()>,
}

impl Watchdog {
    pub(super) fn start(deadline: &Arc<Deadline>, socket: &Arc<OwnedFd>) -> Self {
        let (awake, dropped) = mpsc::channel();
        let (deadline, socket) = (Arc::clone(deadline), Arc::clone(socket));
        thread::spawn(move || {
            while dropped.recv_timeout(deadline.remaining().min(NAP)) == Err(RecvTimeoutError::Timeout) {
                if deadline.is_over() {
                    let _ = rustix::net::shutdown(&*socket, rustix::net::Shutdown::Both);
                    return;
                }
            }
        });
        Self { _awake: awake }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_stopped_clock_keeps_what_is_left() {
        let deadline = Deadline::within(Duration::from_secs(1000));
        let left = deadline.stopped(|| {
            let left = deadline.remaining();
            thread::sleep(Duration::from_millis(2));
            assert_eq!(deadline.remaining(), left);
            left
        });
        assert!(deadline.remaining() <= left && !deadline.is_over());
        assert!(Deadline::within(Duration::ZERO).is_over());
    }

    #[test]
    fn a_connection_ends_at_the_deadline_and_not_before() {
        let deadline = Arc::new(Deadline::within(Duration::from_millis(20)));
        let (socket, mut far) = UnixStream::pair().unwrap();
        let socket = Arc::new(OwnedFd::from(socket));
        deadline.stopped(|| {
            let watchdog = Watchdog::start(&deadline, &socket);
            thread::sleep(Duration::from_millis(100));
            far.set_nonblocking(true).unwrap();
            assert!(far.read(&mut [0]).is_err(), "nothing has ended it");
            drop(watchdog);
        });
        far.set_nonblocking(false).unwrap();
        let _watchdog = Watchdog::start(&deadline, &socket);
        assert_eq!(far.read(&mut [0]).unwrap(), 0, "the deadline has ended it");
    }
}
