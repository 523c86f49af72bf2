//! Whether the program at the other end of a connection is alive.
//!
//! Launcher and agents each send a sign of life every [`BEAT`], whatever else they do; any message counts as
//! one too. A side that hears nothing for [`SILENCE`] takes the other for lost. Time in which the listening
//! process itself did not run does not count: it may have been stopped, and what the other has sent meanwhile
//! is still on its way.

use std::time::{Duration, Instant};

/// Time between two signs of life.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// How long one side may be silent before the other takes it for lost. A busy host that swaps, or a virtual
/// machine that is moved, may stand still for some seconds. Where a process ends, its connection closes at
/// once.
pub(super) const SILENCE: Duration = Duration::from_secs(15);

/// When the next sign of life is due. A loop that sends them waits no longer than until then.
#[derive(Debug)]
pub(crate) struct Beats {
    next: Instant,
}

impl Beats {
    /// The first sign of life is due at once.
    pub(crate) fn new(now: Instant) -> Self {
        Self { next: now }
    }

    /// If a sign of life is due: how much later than planned this process looks, where it can have missed one
    /// itself.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Duration> {
        let late = now.checked_duration_since(self.next)?;
        self.next = now + BEAT;
        Some(if late > BEAT { late } else { Duration::ZERO })
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }
}

/// The signs of life of one other program.
#[derive(Debug, Clone)]
pub(crate) struct Liveness {
    heard: Instant,
}

impl Liveness {
    /// Of a program that was heard `now`.
    pub(crate) fn new(now: Instant) -> Self {
        Self { heard: now }
    }

    /// It was heard.
    pub(crate) fn hear(&mut self, now: Instant) {
        self.heard = now;
    }

    /// This process did not run for `late`, and so cannot have heard it.
    pub(crate) fn excuse(&mut self, late: Duration) {
        self.heard += late;
    }

    /// When it counts as lost, if it stays silent.
    pub(crate) fn deadline(&self) -> Instant {
        self.heard + SILENCE
    }

    /// Whether it counts as lost.
    pub(crate) fn is_lost(&self, now: Instant) -> bool {
        now >= self.deadline()
    }

    /// What is said of one that counts as lost.
    pub(crate) fn problem() -> String {
        format!("it gave no sign of life for {} s", SILENCE.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_is_silent_for_too_long_is_lost() {
        let start = Instant::now();
        let mut other = Liveness::new(start);
        assert!(!other.is_lost(start + SILENCE - BEAT) && other.is_lost(start + SILENCE));
        other.hear(start + BEAT);
        assert!(!other.is_lost(start + SILENCE));
        assert_eq!(other.deadline(), start + BEAT + SILENCE);
    }

    #[test]
    fn time_in_which_this_process_did_not_run_does_not_count() {
        let start = Instant::now();
        let (mut beats, mut other) = (Beats::new(start), Liveness::new(start));
        assert_eq!(beats.due(start), Some(Duration::ZERO));
        assert_eq!((beats.due(start), beats.next()), (None, start + BEAT));
        assert_eq!(beats.due(start + 2 * BEAT), Some(Duration::ZERO), "no more than one beat late");
        let woken = start + 100 * BEAT;
        other.excuse(beats.due(woken).unwrap());
        assert!(!other.is_lost(woken), "{other:?}");
    }
}
