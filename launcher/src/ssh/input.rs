//! A queue from any thread to the standard input of a remote command, with a socket that wakes the thread in `poll`.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard};

/// The writing end. Dropping it is the end of the command's input.
pub(crate) struct Input {
    queue: Arc<Queue>,
    waker: UnixStream,
}

/// The reading end, for one `Session::run`. Once it is gone, what is sent vanishes.
pub(crate) struct Source {
    queue: Arc<Queue>,
    woken: UnixStream,
    /// Taken from the queue and not yet written; the first piece from `offset` on.
    pieces: VecDeque<Arc<[u8]>>,
    offset: usize,
    state: State,
}

/// Makes the two ends.
///
/// # Errors
/// The system has no more file descriptors.
pub(crate) fn input() -> io::Result<(Input, Source)> {
    let (waker, woken) = UnixStream::pair()?;
    waker.set_nonblocking(true)?;
    woken.set_nonblocking(true)?;
    let queue = Arc::new(Queue::default());
    let source = Source {
        queue: Arc::clone(&queue),
        woken,
        pieces: VecDeque::new(),
        offset: 0,
        state: State::default(),
    };
    Ok((Input { queue, waker }, source))
}

#[derive(Default)]
struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    pieces: VecDeque<Arc<[u8]>>,
    state: State,
    /// One byte lies in the waker's socket, so that it can never fill.
    signalled: bool,
    /// The source is gone.
    gone: bool,
}

#[derive(Default, Clone, Copy)]
struct State {
    ended: bool,
    aborted: bool,
    /// The input is gone too, and with it the other end of the socket.
    dropped: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().expect("nothing panics while it holds the queue")
    }
}

impl Input {
    /// Queues `bytes` for the command. Never blocks; ignored after `close` and once the command has ended.
    pub(crate) fn send(&self, bytes: impl Into<Arc<[u8]>>) {
        let bytes = bytes.into();
        self.change(|waiting| {
            if !waiting.state.ended && !bytes.is_empty() {
                waiting.pieces.push_back(bytes);
            }
        });
    }

    /// Ends the command's input after what was sent so far.
    pub(crate) fn close(&self) {
        self.change(|waiting| waiting.state.ended = true);
    }

    /// Makes `run` return `Error::Aborted` at once and drop the connection.
    pub(crate) fn abort(&self) {
        self.change(|waiting| waiting.state.aborted = true);
    }

    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.queue.lock();
        if waiting.gone {
            return;
        }
        change(&mut waiting);
        if !waiting.signalled {
            // The socket is empty, and if its other end is gone there is nobody to wake.
            waiting.signalled = (&self.waker).write(&[1]).is_ok();
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.change(|waiting| {
            waiting.state.ended = true;
            waiting.state.dropped = true;
        });
    }
}

impl Source {
    /// Takes over what was queued since the last time.
    pub(super) fn refresh(&mut self) {
        let mut waiting = self.queue.lock();
        self.pieces.append(&mut waiting.pieces);
        self.state = waiting.state;
        if waiting.signalled {
            let _ = (&self.woken).read(&mut [0]);
            waiting.signalled = false;
        }
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.state.aborted
    }

    /// No byte is left, and none will come.
    pub(super) fn is_finished(&self) -> bool {
        self.state.ended && self.pieces.is_empty()
    }

    /// What to write next: the same bytes until `consume` moves on.
    pub(super) fn next(&self) -> Option<&[u8]> {
        self.pieces.front().map(|piece| &piece[self.offset..])
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.offset += bytes;
        if self.pieces.front().is_some_and(|piece| piece.len() == self.offset) {
            self.pieces.pop_front();
            self.offset = 0;
        }
    }

    /// What becomes readable when there is news; nothing once no more can come.
    pub(super) fn wake(&self) -> Option<BorrowedFd<'_>> {
        (!self.state.dropped).then(|| self.woken.as_fd())
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        waiting.gone = true;
        waiting.pieces.clear();
    }
}
