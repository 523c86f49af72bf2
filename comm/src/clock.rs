//! How the clocks of ranks differ.
//!
//! ```text
//! ROUNDS times: rank 0 notes its time t0 and broadcasts
//!               every rank r notes its time t when it has received that
//!               all gather what they have noted; rank 0 notes its time t1
//! ```
//!
//! Rank `r` noted `t` between `t0` and `t1`, so its clock is ahead of that of rank 0 by `t - t1` to `t - t0`.
//! Of all rounds the shortest one counts: its middle is the offset, half of its length the largest error.

use crate::communicator::Communicator;
use crate::error::Error;

/// How often the ranks exchange their times. The shortest round counts: the first ones are often slow.
const ROUNDS: usize = 24;

/// How far the clock of a rank is ahead of that of rank 0. All times are in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ClockOffset {
    /// When it was measured, by the clock of the rank.
    pub at_ns: f64,
    /// The time of the rank minus that of rank 0; negative if its clock is behind.
    pub ahead_ns: f64,
    /// The true offset is at most this far from [`ahead_ns`](Self::ahead_ns).
    pub error_ns: f64,
}

impl Communicator {
    /// Measures the offsets of all ranks' clocks, over whatever joins the ranks; returns that of this rank.
    /// `now` gives the time in nanoseconds since any moment, whole numbers below 2^53. All ranks must call
    /// it.
    ///
    /// # Errors
    ///
    /// As [`allreduce`](Self::allreduce).
    pub fn clock_offset(&mut self, now: impl Fn() -> f64) -> Result<ClockOffset, Error> {
        let (rank, world) = (self.rank(), self.world_size());
        if world == 1 {
            return Ok(ClockOffset { at_ns: now(), ..ClockOffset::default() });
        }
        self.barrier()?;
        let slices: Vec<_> = (0..world).map(|rank| self.slice_of(rank, WIDTH * world)).collect();
        let mut offsets = vec![[0.0, 0.0, f64::INFINITY]; world];
        let mut noted = vec![0.0; WIDTH * world];
        for _ in 0..ROUNDS {
            let start = now();
            self.broadcast(&mut [start], 0)?;
            noted[slices[rank].start] = now();
            self.allgather(&mut noted)?;
            let end = now();
            // Only rank 0 knows both ends of a round.
            for (offset, slice) in offsets.iter_mut().zip(&slices) {
                let (at, error) = (noted[slice.start], (end - start) / 2.0);
                if error < offset[2] {
                    *offset = [at, at - (start + end) / 2.0, error];
                }
            }
        }
        let mut flat: Vec<f64> = offsets.into_iter().flatten().collect();
        self.broadcast(&mut flat, 0)?;
        match rank {
            0 => Ok(ClockOffset { at_ns: now(), ..ClockOffset::default() }),
            _ => {
                let own = &flat[3 * rank..][..3];
                Ok(ClockOffset { at_ns: own[0], ahead_ns: own[1], error_ns: own[2] })
            }
        }
    }
}

/// Elements for each rank: slices begin at multiples of 16 elements.
const WIDTH: usize = 16;
