//! The samples that this rank will read, told to the data set before.

use super::Trainer;
use super::cut::Cut;
use super::division::Division;
use isograd_datasets::Dataset;
use isograd_kernels::Element;
use std::ops::Range;

impl<T: Element> Trainer<T> {
    /// Announces this rank's samples of the open epoch in `order`, step after step, from its next step on.
    pub(super) fn announce_epoch(&self, dataset: &dyn Dataset, order: &[u32]) {
        let batch_size = self.config.batch_size;
        let mut upcoming = (self.open_epoch.position..order.len()).step_by(batch_size).flat_map(|first| {
            let samples = batch_size.min(order.len() - first);
            let positions = self.positions(samples, self.network.least_samples());
            positions.map(move |position| order[first + position])
        });
        dataset.announce(self.epoch, &mut upcoming);
    }

    /// Announces this rank's samples of an evaluation.
    pub(super) fn announce_evaluation(&self, dataset: &dyn Dataset) {
        let mut upcoming = self.positions(dataset.len(), 1).map(|position| position as u32);
        dataset.announce(self.epoch, &mut upcoming);
    }

    /// Positions of this rank's samples in a pass of `samples`.
    fn positions(&self, samples: usize, least: usize) -> impl Iterator<Item = usize> + use<T> {
        let cut = Cut { samples, shard_len: self.config.shard_len(), least };
        reading_order(cut, self.own_shards(cut.shards()), self.division)
    }
}

/// The positions of the shards `own` in about the order in which workers read them: each begins with its
/// first shard, so the first samples of these come first.
fn reading_order(cut: Cut, own: Range<usize>, division: Division) -> impl Iterator<Item = usize> {
    let part = move |worker: usize| {
        let part = division.shards_of(worker, own.len());
        own.start + part.start..own.start + part.end
    };
    let parts = move || (0..division.workers()).map(part.clone());
    let rounds = parts().map(|part| part.len()).max().unwrap_or(0);
    (0..rounds).flat_map(move |round| {
        let parts = parts.clone();
        (0..cut.shard_len).flat_map(move |sample| {
            let shards = parts().filter_map(move |mut part| part.nth(round));
            shards.filter_map(move |shard| cut.shard(shard).nth(sample))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_take_turns() {
        let cut = Cut { samples: 13, shard_len: 3, least: 1 };
        let order = |own, workers| reading_order(cut, own, Division::new(workers, 1)).collect::<Vec<_>>();
        assert_eq!(order(0..5, 1), (0..13).collect::<Vec<_>>());
        // The first worker has the shards 0 and 1, the second 2 to 4, the last of which has a single sample.
        assert_eq!(order(0..5, 2), [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11, 12]);
        assert_eq!(order(3..4, 2), [9, 10, 11]);
        assert!(order(2..2, 2).is_empty());
    }

    #[test]
    fn every_position_of_the_rank_comes_once() {
        for samples in [1, 31, 32, 33, 100] {
            for workers in 1..6 {
                let cut = Cut { samples, shard_len: 8, least: 2 };
                for own in [0..cut.shards(), 1..cut.shards(), 0..cut.shards() / 2] {
                    let mut order: Vec<_> =
                        reading_order(cut, own.clone(), Division::new(workers, 1)).collect();
                    order.sort_unstable();
                    let expected: Vec<_> = own.flat_map(|shard| cut.shard(shard)).collect();
                    assert_eq!(order, expected, "{cut:?}, {workers} workers");
                }
            }
        }
    }
}
