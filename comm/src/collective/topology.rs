//! Which ranks share a host, and which of them exchanges data with other hosts.

use std::ops::Range;

/// The hosts of a group.
///
/// Every rank owns one slice of each vector. For the owner of a slice on another host, one rank of this host
/// collects and sends the data of all of them, so that a host's data crosses the network once: the owner's
/// [`delegate`](Self::delegate).
#[derive(Debug, Clone)]
pub(crate) struct Topology {
    pub(crate) rank: usize,
    /// Ranks of each host, ascending; hosts in the order of their first ranks.
    pub(crate) hosts: Vec<Vec<usize>>,
    /// Host of each rank.
    pub(crate) host_of: Vec<usize>,
    /// Place of each rank among the ranks of its host.
    place_of: Vec<usize>,
    /// The owners on other hosts for which this rank is the delegate, ascending.
    delegated_owners: Vec<usize>,
}

impl Topology {
    /// Makes the topology of ranks `0..names.len()` as `rank` sees it. Ranks with equal names share a host.
    pub(crate) fn new<H: PartialEq>(rank: usize, names: &[H]) -> Self {
        let mut hosts: Vec<Vec<usize>> = Vec::new();
        let (mut host_of, mut place_of) = (Vec::new(), Vec::new());
        for rank in 0..names.len() {
            let known = hosts.iter().position(|ranks| names[ranks[0]] == names[rank]);
            let host = known.unwrap_or_else(|| {
                hosts.push(Vec::new());
                hosts.len() - 1
            });
            host_of.push(host);
            place_of.push(hosts[host].len());
            hosts[host].push(rank);
        }
        let mut topology = Self { rank, hosts, host_of, place_of, delegated_owners: Vec::new() };
        let is_delegated = |owner: &usize| !topology.is_local(*owner) && topology.holder(*owner) == rank;
        topology.delegated_owners = (0..names.len()).filter(is_delegated).collect();
        topology
    }

    pub(crate) fn world(&self) -> usize {
        self.host_of.len()
    }

    /// This rank's host.
    pub(crate) fn host(&self) -> usize {
        self.host_of[self.rank]
    }

    /// The ranks of this host, this one among them.
    pub(crate) fn locals(&self) -> &[usize] {
        &self.hosts[self.host()]
    }

    pub(crate) fn is_local(&self, rank: usize) -> bool {
        self.host_of[rank] == self.host()
    }

    /// The rank of `host` that exchanges data with `owner`, a rank of another host. Owners are spread evenly.
    pub(crate) fn delegate(&self, host: usize, owner: usize) -> usize {
        let ranks = &self.hosts[host];
        ranks[(self.host_of[owner] + self.place_of[owner]) % ranks.len()]
    }

    /// The rank of this host whose memory holds the results of `owner`.
    pub(crate) fn holder(&self, owner: usize) -> usize {
        if self.is_local(owner) { owner } else { self.delegate(self.host(), owner) }
    }

    /// The owners on other hosts for which this rank is the delegate.
    pub(crate) fn delegated_owners(&self) -> impl Iterator<Item = usize> {
        self.delegated_owners.iter().copied()
    }

    /// The hosts other than this one.
    pub(crate) fn other_hosts(&self) -> impl Iterator<Item = usize> {
        (0..self.hosts.len()).filter(|host| *host != self.host())
    }

    /// The shards of `host` when rank `r` has `shards(r)`: ranges in order, neighbours joined.
    pub(crate) fn shards_of(&self, host: usize, shards: impl Fn(usize) -> Range<usize>) -> Vec<Range<usize>> {
        let mut joined: Vec<Range<usize>> = Vec::new();
        for range in self.hosts[host].iter().map(|rank| shards(*rank)).filter(|range| !range.is_empty()) {
            match joined.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => joined.push(range),
            }
        }
        joined
    }
}

/// Slices begin at multiples of this many elements: a cache line of `f32`.
pub(crate) const SLICE_ELEMENTS: usize = 16;

/// How the elements of an operation are divided among owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slices {
    /// Every rank owns a slice, of about equal length.
    Split,
    /// Every rank owns everything: for vectors so short that a second exchange costs more than repeating all
    /// work at each rank.
    Whole,
    /// One rank owns everything.
    Of(usize),
}

impl Slices {
    /// The slice of `rank` in `len` elements.
    pub(crate) fn of(self, rank: usize, world: usize, len: usize) -> Range<usize> {
        let start = |rank: usize| (len * rank / world).next_multiple_of(SLICE_ELEMENTS).min(len);
        match self {
            Self::Split if rank + 1 == world => start(rank)..len,
            Self::Split => start(rank)..start(rank + 1),
            Self::Whole => 0..len,
            Self::Of(root) if root == rank => 0..len,
            Self::Of(_) => 0..0,
        }
    }
}

/// The owners of elements `range` out of `len`, ascending, and the slice of each. There may be owners of
/// nothing among them.
pub(crate) fn owners(
    range: Range<usize>,
    world: usize,
    len: usize,
) -> impl Iterator<Item = (usize, Range<usize>)> {
    let slice = move |owner: usize| (owner, Slices::Split.of(owner, world, len));
    // Slices begin where equal parts would, or up to a unit later.
    let mut first = (range.start * world).checked_div(len).unwrap_or(0).min(world - 1);
    while first > 0 && slice(first).1.start > range.start {
        first -= 1;
    }
    (first..world).map(slice).take_while(move |(_, slice)| slice.start < range.end)
}

/// The most words of eight bytes in one of `world` slices of up to `bytes` bytes, whatever their element
/// type.
pub(super) fn most_words(bytes: usize, world: usize) -> usize {
    // A slice may begin one unit late: a unit is one word for each `f64`, half of that for each `f32`.
    (bytes.div_ceil(world).div_ceil(8) + SLICE_ELEMENTS).min(bytes.div_ceil(8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hosts_are_found_by_name() {
        let topology = Topology::new(3, &["a", "b", "a", "b", "c"]);
        assert_eq!(topology.hosts, [vec![0, 2], vec![1, 3], vec![4]]);
        assert_eq!(topology.locals(), [1, 3]);
        assert_eq!(topology.other_hosts().collect::<Vec<_>>(), [0, 2]);
        assert_eq!(topology.delegated_owners().collect::<Vec<_>>(), [2]);
        assert_eq!(
            Topology::new(1, &["a", "b", "a", "b", "c"]).delegated_owners().collect::<Vec<_>>(),
            [0, 4]
        );
    }

    #[test]
    fn shards_of_neighbours_are_one_range() {
        let topology = Topology::new(0, &["a", "a", "b", "a"]);
        assert_eq!(topology.shards_of(0, |rank| rank * 2..rank * 2 + 2), [0..4, 6..8]);
        assert_eq!(topology.shards_of(1, |rank| rank..2 * rank), vec![2..4]);
    }

    proptest! {
        #[test]
        fn slices_tile_the_vector(world in 1usize..20, len in 0usize..1000) {
            let mut end = 0;
            for rank in 0..world {
                let slice = Slices::Split.of(rank, world, len);
                prop_assert_eq!(slice.start, end);
                prop_assert!(slice.len() <= len / world + 2 * SLICE_ELEMENTS);
                end = slice.end;
            }
            prop_assert_eq!(end, len);
        }

        #[test]
        fn owners_of_a_range_have_all_of_it(
            world in 1usize..20, len in 0usize..1000, from in 0usize..1000, count in 0usize..1000
        ) {
            let (start, end) = (from.min(len), (from + count).min(len));
            let mut at = start;
            for (owner, slice) in owners(start..end, world, len) {
                prop_assert_eq!(&slice, &Slices::Split.of(owner, world, len));
                let part = slice.start.max(start)..slice.end.min(end);
                if !part.is_empty() {
                    prop_assert_eq!(part.start, at);
                    at = part.end;
                }
            }
            prop_assert_eq!(at, end);
        }

        #[test]
        fn no_slice_has_more_than_the_most_words(world in 1usize..70, bytes in 0usize..4000, fewer in 0usize..100) {
            for element in [4, 8] {
                let len = bytes.saturating_sub(fewer) / element;
                for rank in 0..world {
                    let words = (Slices::Split.of(rank, world, len).len() * element).div_ceil(8);
                    prop_assert!(words <= most_words(bytes, world), "rank {} of {}, {} elements", rank, world, len);
                }
            }
        }

        #[test]
        fn each_owner_has_one_delegate_on_every_other_host(names in proptest::collection::vec(0u8..4, 1..12)) {
            for owner in 0..names.len() {
                let holds_result: Vec<usize> = (0..names.len())
                    .filter(|rank| Topology::new(*rank, &names).delegated_owners().any(|charge| charge == owner))
                    .collect();
                let hosts = Topology::new(owner, &names);
                prop_assert_eq!(holds_result.len(), hosts.hosts.len() - 1);
            }
        }
    }
}
