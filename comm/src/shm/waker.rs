//! How a rank waits for other ranks of its host, and how they wake it.
//!
//! A rank that waits looks at counters. It spins first: if the other ranks run, the counter is raised within
//! a microsecond. If there are more ranks than cores, it gives its core away between looks. Then it sleeps on
//! a futex in its own region. A rank that raises a counter wakes the ranks that sleep.

use super::region::Region;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

/// Offset of the futex in the control part.
const WORD: usize = 64;
/// Offset of the word that is 1 while the owner sleeps.
const SLEEPING: usize = 68;
/// Offset of the owner's count of looks.
const LOOKS: usize = 72;
/// Offset behind all of these.
pub(crate) const WAKER_END: usize = 128;

/// The futex in a rank's region.
#[derive(Clone, Copy)]
pub(crate) struct Waker<'r>(pub(crate) &'r Region);

impl Waker<'_> {
    /// Wakes the owner if it sleeps. A rank calls this after it has raised a counter.
    #[inline]
    pub(crate) fn wake(self) {
        // Either the owner sees the new counter before it sleeps, or this rank sees that the owner sleeps:
        // see `sleep`.
        fence(Ordering::SeqCst);
        if self.0.word(SLEEPING).load(Ordering::Relaxed) != 0 {
            self.wake_sleeper();
        }
    }

    #[cold]
    fn wake_sleeper(self) {
        let word = self.0.word(WORD);
        word.fetch_add(1, Ordering::Release);
        #[cfg(target_os = "linux")]
        {
            use rustix::thread::futex;
            // It fails only for a bad address.
            let _ = futex::wake(word, futex::Flags::empty(), 1);
        }
    }

    /// Counts one look of the owner, while it waits for other ranks.
    pub(crate) fn count_look(self) {
        self.0.counter(LOOKS).fetch_add(1, Ordering::Relaxed);
    }

    /// The number of the owner's looks. It grows while the owner waits, and does not while it works or is
    /// stopped.
    pub(crate) fn looks(self) -> u64 {
        self.0.counter(LOOKS).load(Ordering::Relaxed)
    }

    /// Sleeps until another rank wakes this one, at most `limit`; not at all if `ready`. Only the owner calls
    /// this.
    pub(crate) fn sleep(self, limit: Duration, ready: impl FnOnce() -> bool) {
        let (word, sleeping) = (self.0.word(WORD), self.0.word(SLEEPING));
        let seen = word.load(Ordering::Acquire);
        sleeping.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !ready() {
            wait(word, seen, limit);
        }
        sleeping.store(0, Ordering::Relaxed);
    }
}

#[cfg(target_os = "linux")]
fn wait(word: &std::sync::atomic::AtomicU32, seen: u32, limit: Duration) {
    use rustix::thread::{Timespec, futex};
    let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
    // Woken, changed before, interrupted or out of time: the caller looks again in any case.
    let _ = futex::wait(word, futex::Flags::empty(), seen, Some(&limit));
}

#[cfg(not(target_os = "linux"))]
fn wait(_word: &std::sync::atomic::AtomicU32, _seen: u32, limit: Duration) {
    std::thread::sleep(limit.min(Duration::from_micros(100)));
}

/// How often to look before sleeping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpinPolicy {
    /// Looks with a pause of some nanoseconds after each.
    pub(crate) spins: u32,
    /// Looks after each of which the rank gives its core away.
    pub(crate) yields: u32,
}

impl SpinPolicy {
    /// For `ranks` ranks on `cores` cores.
    pub(crate) fn new(ranks: usize, cores: usize) -> Self {
        if ranks <= cores { Self { spins: 500, yields: 200 } } else { Self { spins: 0, yields: 200 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_ring_wakes_the_sleeper() {
        let region = Region::private(WAKER_END, 0).unwrap();
        let counter = region.counter(256);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let start = Instant::now();
                while counter.load(Ordering::Acquire) == 0 {
                    Waker(&region).sleep(Duration::from_secs(60), || counter.load(Ordering::Acquire) != 0);
                }
                assert!(start.elapsed() < Duration::from_secs(50), "nobody woke the sleeper");
            });
            std::thread::sleep(Duration::from_millis(20));
            counter.store(1, Ordering::Release);
            Waker(&region).wake();
        });
    }

    #[test]
    fn who_is_ready_does_not_sleep() {
        let region = Region::private(WAKER_END, 0).unwrap();
        Waker(&region).sleep(Duration::from_secs(3600), || true);
    }
}
