//! What [`queue`](super::queue) and [`sequencer`](super::sequencer) wait with.
//!
//! Both files are also compiled into `tests/pipeline_interleavings.rs`, where an interleaving checker takes
//! the place of this module. So the code that is checked is the code that runs.

use std::ops::Range;
use std::thread;

pub(super) use std::sync::atomic::{AtomicUsize, Ordering};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The looks of a thread before it sleeps. Sleeping and waking take microseconds, in which a fast stage
/// handles a hundred items.
pub(super) fn looks() -> Range<usize> {
    0..48
}

/// Whether the pause after look number `look` is a long one, in which other threads get the core.
pub(super) fn is_long(look: usize) -> bool {
    look >= 16
}

/// Passes a moment.
pub(super) fn pause(look: usize) {
    if is_long(look) {
        thread::yield_now();
    } else {
        (0..8).for_each(|_| std::hint::spin_loop());
    }
}
