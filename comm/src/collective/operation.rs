//! The operation that a rank is in, for the other ranks of its host. Ranks in different operations may wait
//! for different counters: then nothing else tells them what is wrong.
//!
//! ```text
//! byte  0               8                         24          32     40
//!       | short counter | calls of short, by turn | operation | call |
//! ```
//!
//! All of it is in one cache line, because a short operation is to write no second one.

use super::bucket::Call;
use super::engine::Engine;
use super::failure::FAILURE_END;
use crate::error::Error;
use crate::shm::Region;
use std::sync::atomic::Ordering;

/// Offset of the counter of short operations.
pub(crate) const SHORT_COUNTER: usize = FAILURE_END.next_multiple_of(64);
/// The number of the rank's operation, in all but the last [`PLACE_BITS`]; and its place: the last bit of the
/// turn of a short operation, or else 2 + its exchange.
const OPERATION: usize = SHORT_COUNTER + 24;
const PLACE_BITS: u32 = 16;
/// The call of an operation that is not short.
const CALL: usize = SHORT_COUNTER + 32;
/// Offset behind all of these.
pub(crate) const OPERATION_END: usize = SHORT_COUNTER + 64;

/// Where the call of a short operation is. Two words alternate, as the buffers do.
pub(crate) fn short_call(turn: u64) -> usize {
    SHORT_COUNTER + 8 + 8 * (turn % 2) as usize
}

impl Engine {
    /// Says that this rank is in the short operation of `turn`. The counter is raised after that.
    pub(crate) fn enter_short(&mut self, turn: u64, call: Call) {
        self.own.counter(short_call(turn)).store(call.encode(), Ordering::Relaxed);
        self.enter(turn % 2);
    }

    /// Says that this rank is in an operation that waits for buckets of an exchange.
    pub(crate) fn enter_exchange(&mut self, exchange: usize, call: Call) {
        self.own.counter(CALL).store(call.encode(), Ordering::Relaxed);
        self.enter((2 + exchange as u64).min((1 << PLACE_BITS) - 1));
    }

    fn enter(&mut self, place: u64) {
        self.operation += 1;
        self.own.counter(OPERATION).store(self.operation << PLACE_BITS | place, Ordering::Release);
    }

    /// Fails if another rank of this host is in an operation with this one's number, but at another place.
    /// Calls at one place are compared when they are complete.
    pub(super) fn check_operations(&self) -> Result<(), Error> {
        let operation = |region: &Region| region.counter(OPERATION).load(Ordering::Acquire);
        let own = operation(&self.own);
        for local in &self.locals {
            let theirs = operation(&local.region);
            if theirs >> PLACE_BITS == own >> PLACE_BITS && theirs != own {
                let [own, theirs] = [call(&self.own, own), call(&local.region, theirs)];
                return Err(self.mismatch(own, local.rank, theirs));
            }
        }
        Ok(())
    }
}

/// The call of a region's operation.
fn call(region: &Region, operation: u64) -> Call {
    let offset = match operation & ((1 << PLACE_BITS) - 1) {
        place @ 0..2 => short_call(place),
        _ => CALL,
    };
    Call::decode(region.counter(offset).load(Ordering::Relaxed))
}
