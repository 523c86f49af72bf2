//! How the gradient is cut into buckets, the units in which ranks sum it up.

use crate::network::Network;
use isograd_kernels::Element;
use std::ops::Range;

/// Ranges of the flat gradient with the running statistics behind it, from its end to its start: in the order
/// in which a backward pass completes them. Each holds whole layers; the statistics are in the first.
#[derive(Debug, Clone)]
pub(super) struct Buckets(Vec<Range<usize>>);

impl Buckets {
    /// Buckets of at least `bytes` each, but for the last.
    pub(super) fn new<T: Element>(network: &Network<T>, bytes: usize) -> Self {
        let mut end = network.parameter_count() + network.statistics_count();
        let mut buckets = Vec::new();
        for layer in network.layer_parameters().rev().filter(|layer| !layer.is_empty()) {
            if layer.start == 0 || (end - layer.start) * size_of::<T>() >= bytes {
                buckets.push(layer.start..end);
                end = layer.start;
            }
        }
        if buckets.is_empty() {
            buckets.push(0..end);
        }
        Self(buckets)
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn range(&self, bucket: usize) -> Range<usize> {
        self.0[bucket].clone()
    }

    /// The bucket that holds element `index`.
    pub(super) fn holding(&self, index: usize) -> usize {
        self.0.partition_point(|range| range.start > index)
    }

    /// Where the running statistics begin in the first bucket, behind the gradients of the last layers.
    pub(super) fn statistics<T: Element>(&self, network: &Network<T>) -> usize {
        network.parameter_count() - self.0[0].start
    }

    /// Lengths.
    pub(super) fn lengths(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(Range::len)
    }

    /// The parts of `range` in each bucket that has one: the bucket, the part's place in it, and its place in
    /// `range`.
    pub(super) fn parts(
        &self,
        range: Range<usize>,
    ) -> impl Iterator<Item = (usize, Range<usize>, Range<usize>)> {
        self.0.iter().enumerate().filter_map(move |(bucket, whole)| {
            let part = range.start.max(whole.start)..range.end.min(whole.end);
            (!part.is_empty()).then(|| {
                let within = |base: usize| part.start - base..part.end - base;
                (bucket, within(whole.start), within(range.start))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets() -> Buckets {
        Buckets(vec![70..100, 30..70, 0..30])
    }

    #[test]
    fn every_element_is_in_one_bucket() {
        assert_eq!([0, 29, 30, 69, 70, 99].map(|i| buckets().holding(i)), [2, 2, 1, 1, 0, 0]);
    }

    #[test]
    fn parts_tile_a_range() {
        let parts: Vec<_> = buckets().parts(20..75).collect();
        assert_eq!(parts, [(0, 0..5, 50..55), (1, 0..40, 10..50), (2, 20..30, 0..10)]);
        assert_eq!(buckets().parts(40..40).count(), 0);
    }

    #[test]
    fn buckets_hold_whole_layers() {
        use crate::layer::{Dense, Input};
        let layers = crate::layers![Input::vector(10), Dense::new(10), Dense::new(5), Dense::new(2)];
        let network = Network::<f32>::build(layers).expect("a network");
        assert_eq!(Buckets::new(&network, 1).0, [165..177, 110..165, 0..110]);
        assert_eq!(Buckets::new(&network, 4 * 50).0, [110..177, 0..110]);
        assert_eq!(Buckets::new(&network, usize::MAX).0, vec![0..177]);
    }
}
