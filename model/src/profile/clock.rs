//! Times, and how those of one rank become those of another.

use serde::{Deserialize, Serialize};
use std::time::Instant;

/// A monotonic clock that starts with the profiler.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start.
    pub(crate) fn ns(&self) -> u64 {
        // Fits for 584 years.
        self.0.elapsed().as_nanos() as u64
    }
}

/// How far a rank's clock was ahead of that of rank 0 at a moment. All times are in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClockPoint {
    /// The moment, by the rank's own clock.
    pub(crate) at_ns: f64,
    pub(crate) ahead_ns: f64,
    /// The largest error of `ahead_ns`.
    pub(crate) error_ns: f64,
}

/// Turns a rank's times into those of rank 0. Clocks of two machines drift apart by tens of microseconds a
/// second, so the offset is measured at the start and at the end, and taken as a straight line between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClockLine {
    first: ClockPoint,
    /// What the clock gains on that of rank 0, for each nanosecond.
    drift: f64,
}

impl ClockLine {
    /// A line through the measured points; the clock of rank 0 itself where there are none.
    pub(crate) fn new(points: &[ClockPoint]) -> Self {
        match points {
            [] => Self { first: ClockPoint { at_ns: 0.0, ahead_ns: 0.0, error_ns: 0.0 }, drift: 0.0 },
            [first, rest @ ..] => {
                let last = rest.last().unwrap_or(first);
                let span = last.at_ns - first.at_ns;
                let drift = if span > 0.0 { (last.ahead_ns - first.ahead_ns) / span } else { 0.0 };
                Self { first: *first, drift }
            }
        }
    }

    /// The time of rank 0 at the rank's time `ns`.
    pub(crate) fn of_first_rank(&self, ns: u64) -> f64 {
        let ns = ns as f64;
        ns - self.first.ahead_ns - self.drift * (ns - self.first.at_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_through_its_points() {
        let point = |at_ns, ahead_ns| ClockPoint { at_ns, ahead_ns, error_ns: 5.0 };
        let line = ClockLine::new(&[point(1000.0, 200.0), point(3000.0, 300.0)]);
        assert_eq!([1000, 2000, 3000].map(|ns| line.of_first_rank(ns)), [800.0, 1750.0, 2700.0]);
        assert_eq!(ClockLine::new(&[point(1000.0, -200.0)]).of_first_rank(5000), 5200.0);
        assert_eq!(ClockLine::new(&[]).of_first_rank(5000), 5000.0);
    }
}
