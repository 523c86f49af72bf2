//! How the threads of a rank divide its shards among themselves.

use std::ops::Range;

/// The workers, each of which has its own shards and memory for the work on them, and the threads of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Division {
    threads: usize,
    workers: usize,
}

impl Division {
    /// A division of `threads` threads, of which at least `of_shard` work on a shard, or all of them, if they
    /// are fewer.
    pub(super) fn new(threads: usize, of_shard: usize) -> Self {
        let threads = threads.max(1);
        Self { threads, workers: (threads / of_shard).max(1) }
    }

    /// All threads.
    pub(super) fn threads(self) -> usize {
        self.threads
    }

    /// The number of workers.
    pub(super) fn workers(self) -> usize {
        self.workers
    }

    /// The threads of each worker, also where none helps.
    pub(super) fn threads_of_worker(self) -> usize {
        self.threads / self.workers
    }

    /// The shards of `worker`: contiguous ranges that tile `0..shards` as evenly as can be.
    pub(super) fn shards_of(self, worker: usize, shards: usize) -> Range<usize> {
        worker * shards / self.workers..(worker + 1) * shards / self.workers
    }

    /// How many threads share the work on each of `shards` shards: those of workers without a shard help.
    pub(super) fn threads_of_shard(self, shards: usize) -> usize {
        self.threads / self.workers.min(shards.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_without_a_shard_help() {
        let of_shard = |threads, least, shards| {
            let division = Division::new(threads, least);
            (division.workers(), division.threads_of_shard(shards))
        };
        assert_eq!([of_shard(4, 1, 8), of_shard(4, 1, 4), of_shard(4, 1, 3)], [(4, 1), (4, 1), (4, 1)]);
        assert_eq!([of_shard(4, 1, 2), of_shard(5, 1, 1), of_shard(2, 1, 0)], [(4, 2), (5, 5), (2, 2)]);
        assert_eq!([of_shard(4, 2, 8), of_shard(4, 2, 1), of_shard(5, 2, 8)], [(2, 2), (2, 4), (2, 2)]);
        assert_eq!([of_shard(4, 4, 8), of_shard(2, 9, 8), of_shard(0, 1, 8)], [(1, 4), (1, 2), (1, 1)]);
    }

    #[test]
    fn every_shard_has_one_worker() {
        for threads in 1..6 {
            for least in 1..4 {
                let division = Division::new(threads, least);
                for shards in 0..9 {
                    let all = (0..division.workers()).flat_map(|worker| division.shards_of(worker, shards));
                    assert!(all.eq(0..shards), "{division:?}, {shards} shards");
                }
            }
        }
    }
}
