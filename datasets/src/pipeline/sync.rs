//! What [`queue`](super::queue) and [`sequencer`](super::sequencer) wait with.
//!
//! Both files are also compiled into `tests/pipeline_interleavings.rs`, where an interleaving checker takes
//! the place of this module. So the code that is checked is the code that runs.

use std::ops::Range;

pub(super) use std::sync::atomic::{AtomicUsize, Ordering};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The looks of a thread before it sleeps: some two microseconds in all, as sleeping and waking take.
///
/// Between looks a thread keeps its core. Offering it to others (`yield_now`) looks cheaper, and on a machine
/// with more to do than cores costs a whole time slice of each of the others, again and again; a thread that
/// sleeps and is woken comes back at once.
pub(super) fn looks() -> Range<usize> {
    0..32
}

/// Whether look number `look` is one of the later ones.
pub(super) fn is_late(look: usize) -> bool {
    look >= 16
}

/// Passes a moment.
pub(super) fn pause() {
    (0..8).for_each(|_| std::hint::spin_loop());
}
