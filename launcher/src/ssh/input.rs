//! The standard input of a remote command: any thread can queue bytes, and a socket wakes the thread that
//! waits in `poll`.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard};

/// The writing end. Dropping it ends the command's input.
pub(crate) struct Input {
    queue: Arc<Queue>,
    waker: UnixStream,
}

/// The reading end, for one `Session::run`. Once it is dropped, bytes that are sent are discarded.
pub(crate) struct Source {
    queue: Arc<Queue>,
    woken: UnixStream,
    /// Pieces that were taken from the queue and are not yet written, the first one from `offset` on.
    pieces: VecDeque<Arc<[u8]>>,
    offset: usize,
    requests: Requests,
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
        requests: Requests::default(),
    };
    Ok((Input { queue, waker }, source))
}

#[derive(Default)]
struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    pieces: VecDeque<Arc<[u8]>>,
    requests: Requests,
    /// Whether a wake-up byte is in the socket. There is never more than one, so the socket cannot fill up.
    signalled: bool,
    /// The source was dropped.
    gone: bool,
}

#[derive(Default, Clone, Copy)]
struct Requests {
    ended: bool,
    aborted: bool,
    /// The input was dropped, and with it the other end of the socket.
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
            if !waiting.requests.ended && !bytes.is_empty() {
                waiting.pieces.push_back(bytes);
            }
        });
    }

    /// Ends the command's input after the bytes that were sent so far.
    pub(crate) fn close(&self) {
        self.change(|waiting| waiting.requests.ended = true);
    }

    /// Makes `run` return `Error::Aborted` at once and drop the connection.
    pub(crate) fn abort(&self) {
        self.change(|waiting| waiting.requests.aborted = true);
    }

    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.queue.lock();
        if waiting.gone {
            return;
        }
        change(&mut waiting);
        if !waiting.signalled {
            // This fails only if the source was dropped: then there is no thread to wake.
            waiting.signalled = (&self.waker).write(&[1]).is_ok();
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.change(|waiting| {
            waiting.requests.ended = true;
            waiting.requests.dropped = true;
        });
    }
}

impl Source {
    /// Takes the pieces that were queued since the last call.
    pub(super) fn refresh(&mut self) {
        let mut waiting = self.queue.lock();
        self.pieces.append(&mut waiting.pieces);
        self.requests = waiting.requests;
        if waiting.signalled {
            let _ = (&self.woken).read(&mut [0]);
            waiting.signalled = false;
        }
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.requests.aborted
    }

    /// Whether all bytes are written and no more can come.
    pub(super) fn is_finished(&self) -> bool {
        self.requests.ended && self.pieces.is_empty()
    }

    /// The next bytes to write: the same ones until `consume` is called.
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

    /// A descriptor that becomes readable when bytes or a request arrive; `None` once the input was dropped.
    pub(super) fn wake(&self) -> Option<BorrowedFd<'_>> {
        (!self.requests.dropped).then(|| self.woken.as_fd())
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        waiting.gone = true;
        waiting.pieces.clear();
    }
}
