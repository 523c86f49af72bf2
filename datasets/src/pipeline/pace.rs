//! How many items move at a time, from the time that the last ones took.
//!
//! Fast items move in batches, since a lock or a sleep for each would take longer than the items. Slow items
//! move one at a time: they are worth a lock, and with them come large memory and uneven work.

use std::time::Duration;

/// How long the items that are taken at a time may keep a worker. The rest is left for other workers, and for
/// a look at the queue.
const STINT: Duration = Duration::from_micros(50);
/// The most items taken at a time.
const MOST: usize = 256;
/// The same where other workers wait for work: an item may suddenly be slow, and the others behind it with
/// it.
const MOST_OF_SEVERAL: usize = 32;
/// How many stints of work a queue of no given size holds, within [`ROOM`].
const STINTS_OF_ROOM: usize = 4;
/// The least and the greatest size of such a queue.
pub(super) const ROOM: (usize, usize) = (4, 1024);
/// Items that cost less than this, and come more often than once in [`FREQUENT`], are worth a wait for more
/// of them, up to [`WORTH`]. Rare items never wait, however little they cost.
const CHEAP: Duration = Duration::from_micros(1);
const FREQUENT: Duration = Duration::from_micros(50);
const WORTH: usize = 128;

/// What a consumer asks of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    limit: usize,
    /// The most items to take.
    pub(super) most: usize,
    /// The number that is worth a short wait.
    pub(super) worth: usize,
    /// The size of the queue, if none was given.
    pub(super) room: usize,
}

impl Pace {
    /// The pace of one of `workers` that knows nothing of its items yet.
    pub(super) fn new(workers: usize) -> Self {
        let limit = if workers > 1 { MOST_OF_SEVERAL } else { MOST };
        Self { limit, most: 1, worth: 1, room: ROOM.0 }
    }

    /// Learns from `count` items, for which the worker had waited for `waited`, on which it worked for
    /// `busy`, and after which it waited for `blocked` to get rid of what came of them.
    pub(super) fn update(&mut self, count: usize, [waited, busy, blocked]: [Duration; 3]) {
        let per_stint = |time: Duration| {
            let items = STINT.as_nanos() * count as u128 / time.as_nanos().max(1);
            usize::try_from(items).unwrap_or(usize::MAX)
        };
        self.most = per_stint(busy).clamp(1, self.limit);
        let times = u32::try_from(count).unwrap_or(u32::MAX);
        let is_worth = busy < CHEAP * times && waited + busy + blocked < FREQUENT * times;
        self.worth = if is_worth { (self.worth * 2).min(WORTH).min(self.most) } else { 1 };
        // A stage that others hold up is slow, too: large items must not pile up before it.
        let room = per_stint(busy + blocked).saturating_mul(STINTS_OF_ROOM);
        // Down in steps: a batch that the system interrupts says little.
        self.room = room.clamp(ROOM.0, ROOM.1).max(self.room / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_items_move_in_batches_and_slow_ones_alone() {
        let after = |workers, count, times_ns: [u64; 3]| {
            let mut pace = Pace::new(workers);
            pace.update(count, times_ns.map(Duration::from_nanos));
            (pace.most, pace.worth, pace.room)
        };
        assert_eq!(after(1, 1, [0, 50_000_000, 0]), (1, 1, 4), "50 ms");
        assert_eq!(after(1, 4, [0, 40_000, 0]), (5, 1, 20), "10 us");
        assert_eq!(after(1, 100, [0, 5_000, 0]), (256, 2, 1024), "50 ns");
        assert_eq!(after(3, 100, [0, 5_000, 0]), (32, 2, 1024), "others wait for work");
        assert_eq!(after(1, 1, [0, 50, 10_000_000]), (256, 1, 4), "held up by the next stage");
        assert_eq!(after(1, 1, [100_000, 50, 0]), (256, 1, 1024), "cheap, but rare");
        assert_eq!(after(1, 1, [0, 0, 0]), (256, 2, 1024), "faster than the clock");
        let mut pace = Pace::new(1);
        (0..10).for_each(|_| pace.update(100, [0, 5_000, 0].map(Duration::from_nanos)));
        assert_eq!(pace.worth, WORTH);
        let rooms = [(); 4].map(|()| {
            pace.update(1, [0, 1, 0].map(Duration::from_millis));
            pace.room
        });
        assert_eq!((rooms, pace.worth), ([512, 256, 128, 64], 1));
    }
}
