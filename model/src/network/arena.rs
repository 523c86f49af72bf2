//! How buffers that are in use at different times share memory.

use crate::layer::Reservation;
use crate::memory::round_up;

/// A buffer, and the time from its first to its last use.
#[derive(Debug, Clone, Default)]
pub(super) struct Item {
    pub(super) size: Reservation,
    /// Whether its elements are bfloat16s.
    is_rounded: bool,
    life: Option<[usize; 2]>,
}

impl Item {
    pub(super) fn new(size: Reservation, is_rounded: bool) -> Self {
        Self { size, is_rounded, life: None }
    }

    /// Notes a use at `time`.
    pub(super) fn touch(&mut self, time: usize) {
        let [first, last] = self.life.unwrap_or([time, time]);
        self.life = Some([first.min(time), last.max(time)]);
    }

    /// The elements of the arena that it takes in a shard of `n` samples, in whole pairs of cache lines; 0 if
    /// it is never used.
    fn elements<T>(&self, n: usize) -> u128 {
        let pair = round_up::<T>(1) as u128;
        let elements = self.size.per_sample as u128 * n as u128 + self.size.fixed as u128;
        let of_element = if self.is_rounded { size_of::<T>() / size_of::<u16>() } else { 1 };
        let elements = elements.div_ceil(of_element as u128);
        if self.life.is_some() { elements.div_ceil(pair) * pair } else { 0 }
    }
}

/// Where each buffer begins, and the end of the last.
#[derive(Debug, Clone)]
pub(super) struct Packing {
    pub(super) starts: Vec<u128>,
    pub(super) end: u128,
}

/// A buffer that has its place.
struct Placed {
    start: u128,
    end: u128,
    life: [usize; 2],
}

/// Places `items` for shards of `n` samples, so that those in use at the same time do not overlap: each at
/// the lowest place that is free for as long as it is used. Of the orders that are tried, the largest first
/// and the longest used first, the better one counts.
pub(super) fn pack<T>(items: &[Item], n: usize) -> Packing {
    let sizes: Vec<u128> = items.iter().map(|item| item.elements::<T>(n)).collect();
    let used: Vec<usize> = (0..items.len()).filter(|i| sizes[*i] > 0).collect();
    let length = |i: usize| items[i].life.map_or(0, |[first, last]| last - first);
    let (mut by_size, mut by_length) = (used.clone(), used);
    by_size.sort_by_key(|i| (u128::MAX - sizes[*i], items[*i].life, *i));
    by_length.sort_by_key(|i| (usize::MAX - length(*i), u128::MAX - sizes[*i], *i));
    let packings = [by_size, by_length].map(|order| pack_in_order(items, &sizes, &order));
    let [first, second] = packings;
    if first.end <= second.end { first } else { second }
}

fn pack_in_order(items: &[Item], sizes: &[u128], order: &[usize]) -> Packing {
    let mut packing = Packing { starts: vec![0; items.len()], end: 0 };
    // By their starts.
    let mut placed: Vec<Placed> = Vec::with_capacity(order.len());
    for index in order.iter().copied() {
        let (len, life) = (sizes[index], items[index].life.unwrap_or_default());
        let mut start = 0;
        for other in placed.iter().filter(|other| other.life[0] <= life[1] && life[0] <= other.life[1]) {
            if other.start >= start + len {
                break;
            }
            start = start.max(other.end);
        }
        let end = start + len;
        placed.insert(placed.partition_point(|other| other.start <= start), Placed { start, end, life });
        packing.starts[index] = start;
        packing.end = packing.end.max(end);
    }
    packing
}

/// The elements in use at the time at which most are: no packing can take less.
#[cfg(test)]
pub(super) fn most_live<T>(items: &[Item], n: usize) -> u128 {
    let last = items.iter().filter_map(|item| item.life).map(|life| life[1]).max().unwrap_or(0);
    let (mut begins, mut ends) = (vec![0; last + 2], vec![0; last + 2]);
    for item in items {
        let Some([first, last]) = item.life else { continue };
        begins[first] += item.elements::<T>(n);
        ends[last + 1] += item.elements::<T>(n);
    }
    let (mut live, mut most) = (0, 0);
    for (begin, end) in begins.into_iter().zip(ends) {
        live = live + begin - end;
        most = most.max(live);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(per_sample: usize, fixed: usize, life: [usize; 2]) -> Item {
        Item { life: Some(life), ..Item::new(Reservation { per_sample, fixed }, false) }
    }

    #[test]
    fn what_is_used_at_different_times_shares_memory() {
        let items = [item(32, 0, [0, 2]), item(16, 0, [3, 4]), item(16, 0, [3, 5]), Item::default()];
        let packing = pack::<f32>(&items, 2);
        assert_eq!((packing.starts, packing.end), (vec![0, 0, 32, 0], 64));
    }

    proptest! {
        #[test]
        fn nothing_overlaps_what_is_used_at_the_same_time(
            items in proptest::collection::vec((0usize..100, 0usize..9, 0usize..20, 0usize..20), 0..30),
            n in 1usize..5,
        ) {
            let items: Vec<Item> =
                items.into_iter().map(|(a, b, from, to)| item(a, b, [from, from + to])).collect();
            let Packing { starts, end } = pack::<f64>(&items, n);
            prop_assert!(end >= most_live::<f64>(&items, n));
            let range = |i: usize| starts[i]..starts[i] + items[i].elements::<f64>(n);
            for a in 0..items.len() {
                prop_assert!(range(a).end <= end);
                for b in 0..a {
                    let ([a0, a1], [b0, b1]) = (items[a].life.unwrap(), items[b].life.unwrap());
                    let at_once = a0 <= b1 && b0 <= a1;
                    let (a, b) = (range(a), range(b));
                    prop_assert!(!at_once || a.is_empty() || b.is_empty() || a.end <= b.start || b.end <= a.start);
                }
            }
        }
    }
}
