//! What a step should take at other numbers of ranks and hosts.
//!
//! ```text
//! step(P)    = region(P) + parameters + exposed(P)
//! region(P)  = the time of a sample on a thread, times the samples of the thread that has most shards
//! parameters = each rank prepares and updates all of them, whatever the number of ranks
//! exposed(P) = what is left of the exchange when the backward pass of a thread's last shard has ended
//! exchange(n bytes, P ranks of one host) = as bench comm has measured it, between its lengths on a line
//! exchange(n bytes, H hosts) = 2 (L + (H - 1) o) + n (s + (H - 1)/H) G      LogGP, of comm/ALGORITHMS.md
//! ```
//!
//! `L` is the latency of a message, `o` the processor's time for one, `G` the time of a byte on the wire. A
//! host sends and receives `s` times the gradients to add them up: (H - 1)/H if each has one node of the tree
//! of sums, as where shards are divided by powers of two. Buckets are complete one after the other during the
//! backward pass, and are exchanged one after the other.

use isograd_comm::{Shares, tree};

/// The part of a shard's time that its backward pass takes.
const BACKWARD: f64 = 2.0 / 3.0;
/// Seconds of processor time for a message: two system calls and the look for it.
const OVERHEAD: f64 = 3e-6;

/// A network between hosts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Link {
    /// Seconds.
    pub(super) latency: f64,
    /// Seconds of a byte.
    pub(super) per_byte: f64,
}

impl Link {
    pub(super) fn new(gbit_per_s: f64, latency_us: f64) -> Self {
        Self { latency: latency_us * 1e-6, per_byte: 8e-9 / gbit_per_s }
    }

    /// The exchange of `bytes` between `hosts` hosts, of which one sends or receives `scattered` times the
    /// bytes to add them up.
    pub(super) fn exchange(&self, bytes: f64, hosts: u32, scattered: f64) -> f64 {
        if hosts < 2 {
            return 0.0;
        }
        let messages = 2.0 * (self.latency + f64::from(hosts - 1) * OVERHEAD);
        messages + bytes * (scattered + gathered(hosts)) * self.per_byte
    }

    /// The network of which these are times of exchanges between `hosts` hosts, at about `bytes`.
    pub(super) fn fitted(times: &[(f64, f64)], hosts: u32, bytes: f64) -> Option<Self> {
        let (short, long) = (times.first()?, times.last()?);
        // A short vector takes one message.
        let latency = (short.1 - f64::from(hosts - 1) * OVERHEAD).max(1e-6);
        let messages = 2.0 * (latency + f64::from(hosts - 1) * OVERHEAD);
        let per_byte = |bytes: f64, time: f64| (time - messages) / (2.0 * bytes * gathered(hosts));
        let here = per_byte(bytes, interpolated(times, bytes)?);
        // The time of a short exchange says nothing of a byte.
        let per_byte = if here > 0.0 { here } else { per_byte(long.0, long.1) };
        (per_byte > 0.0).then_some(Self { latency, per_byte })
    }
}

/// What each host sends of a sum, and receives of the others.
fn gathered(hosts: u32) -> f64 {
    f64::from(hosts - 1) / f64::from(hosts)
}

/// How many times its gradients a host sends, or receives of the others, until all shards are added up: the
/// most of all hosts.
pub(super) fn scattered(shards: usize, hosts: u32) -> f64 {
    let shares = Shares::even(hosts as usize);
    let mut largest = Vec::new();
    let nodes: Vec<f64> = (0..hosts as usize)
        .map(|host| {
            largest.clear();
            tree::largest(shares.range(host, shards), shards, &mut largest);
            largest.len() as f64
        })
        .collect();
    let all: f64 = nodes.iter().sum();
    let of_host = |nodes: &f64| (nodes * f64::from(hosts - 1)).max(all - nodes) / f64::from(hosts);
    nodes.iter().map(of_host).fold(0.0, f64::max)
}

/// The time of an exchange of `bytes`, on a line between those that were measured.
pub(super) fn interpolated(times: &[(f64, f64)], bytes: f64) -> Option<f64> {
    let (first, last) = (times.first()?, times.last()?);
    if bytes <= first.0 {
        return Some(first.1);
    }
    // Behind the longest vector, the time of a byte stays.
    let (a, b) = match times.windows(2).find(|pair| bytes <= pair[1].0) {
        Some(pair) => (pair[0], pair[1]),
        None if times.len() > 1 => (times[times.len() - 2], *last),
        None => return Some(last.1 * bytes / last.0),
    };
    Some(a.1 + (b.1 - a.1) * (bytes - a.0) / (b.0 - a.0))
}

/// How the work of a step is divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Division {
    /// Samples of a step, and of a shard.
    pub(super) batch: u64,
    pub(super) shard_size: u64,
    /// Of all hosts.
    pub(super) ranks: u64,
    /// Of a rank: the shards that it works on at a time.
    pub(super) workers: u64,
    /// Threads of a core, at least 1.
    pub(super) crowd: f64,
}

impl Division {
    pub(super) fn shards(&self) -> u64 {
        self.batch.div_ceil(self.shard_size).max(1)
    }

    fn shard_len(&self) -> u64 {
        self.shard_size.min(self.batch)
    }

    /// Samples of the worker that has most.
    fn most(&self) -> f64 {
        let shards = self.shards().div_ceil(self.ranks).div_ceil(self.workers);
        (shards * self.shard_len()) as f64 * self.crowd
    }
}

/// The time of computing, as the point with the fewest ranks has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Compute {
    /// Of a sample on a thread.
    pub(super) sample: f64,
    /// Of a step, with a core for each thread: what does not shrink with the number of ranks.
    pub(super) fixed: f64,
}

impl Compute {
    /// Of a step that takes `region` seconds for its shards, and `fixed` for what all ranks do.
    pub(super) fn new(division: &Division, region: f64, fixed: f64) -> Self {
        Self { sample: region / division.most(), fixed: fixed / division.crowd }
    }

    /// Of a step that is divided so.
    pub(super) fn at(&self, division: &Division) -> f64 {
        self.sample * division.most() + self.fixed * division.crowd
    }

    /// Of the backward pass of a thread's last shard.
    pub(super) fn backward(&self, division: &Division) -> f64 {
        BACKWARD * self.sample * division.shard_len() as f64 * division.crowd
    }
}

/// Of the exchange of a step, what training waits for: `buckets` are the times of the buckets, in the order
/// in which they are complete while the last `backward` seconds of the backward pass go on.
pub(super) fn exposed(buckets: &[f64], backward: f64) -> f64 {
    let count = buckets.len() as f64;
    let end = buckets.iter().zip(1..).fold(0.0, |end: f64, (time, number)| {
        let complete = backward * f64::from(number) / count;
        end.max(complete) + time
    });
    (end - backward).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_lie_on_lines_between_the_measured_ones() {
        let times = [(4.0, 1.0), (100.0, 2.0), (200.0, 4.0)];
        let at = |bytes| interpolated(&times, bytes).unwrap();
        assert_eq!([at(1.0), at(52.0), at(150.0), at(300.0)], [1.0, 1.5, 3.0, 6.0]);
        assert_eq!(interpolated(&[], 1.0), None);
    }

    #[test]
    fn a_network_is_found_again_from_its_times() {
        let link = Link::new(10.0, 30.0);
        let mut times: Vec<(f64, f64)> =
            [1e5, 1e6, 6.4e7].map(|bytes| (bytes, link.exchange(bytes, 4, 0.75))).to_vec();
        times.insert(0, (4.0, 30e-6 + 3.0 * OVERHEAD));
        for bytes in [1e5, 6e5, 6.4e7] {
            let found = Link::fitted(&times, 4, bytes).unwrap();
            assert!((found.per_byte / link.per_byte - 1.0).abs() < 1e-6, "{found:?}");
            assert!((found.latency / link.latency - 1.0).abs() < 1e-6, "{found:?}");
        }
        assert!(Link::fitted(&times, 4, 1.0).unwrap().per_byte > 0.0);
        assert_eq!(link.exchange(1e6, 1, 0.0), 0.0);
        // 2 x 1 MB x 1/2 at 10 Gbit/s is 800 us.
        assert!((link.exchange(1e6, 2, 0.5) - 2.0 * 33e-6 - 800e-6).abs() < 1e-9);
    }

    #[test]
    fn a_host_sends_each_of_its_largest_nodes() {
        // A node each.
        assert_eq!([scattered(2, 2), scattered(8, 4), scattered(2048, 1024)], [0.5, 0.75, 1023.0 / 1024.0]);
        // Of [0, 3) the nodes [0, 2) and [2, 3), of [3, 6) the nodes [3, 4) and [4, 6).
        assert_eq!(scattered(6, 2), 1.0);
        // The third host has no shard, but receives those of both others.
        assert!((scattered(2, 3) - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_thread_with_most_shards_takes_longest() {
        let division = Division { batch: 128, shard_size: 32, ranks: 1, workers: 1, crowd: 1.0 };
        let compute = Compute::new(&division, 4.0, 0.5);
        let at = |ranks, workers, crowd| compute.at(&Division { ranks, workers, crowd, ..division });
        assert_eq!([at(1, 1, 1.0), at(2, 1, 1.0), at(2, 2, 1.0)], [4.5, 2.5, 1.5]);
        // Two shards of four are with one of three ranks, and more ranks than shards bring nothing.
        assert_eq!([at(3, 1, 1.0), at(8, 1, 1.0), at(4, 1, 2.0)], [2.5, 1.5, 3.0]);
        assert!((compute.backward(&division) - 2.0 / 3.0).abs() < 1e-12);
        let small = Division { batch: 20, ..division };
        assert_eq!((small.shards(), compute.at(&small)), (1, 20.0 / 32.0 + 0.5));
    }

    #[test]
    fn the_last_bucket_is_never_hidden() {
        assert!((exposed(&[0.1], 30.0) - 0.1).abs() < 1e-9);
        assert_eq!(exposed(&[1.0, 1.0], 10.0), 1.0);
        // The first one is complete at 5 and ends at 13, three behind the pass.
        assert_eq!(exposed(&[8.0, 1.0], 10.0), 4.0);
        assert_eq!(exposed(&[2.0, 1.0], 0.0), 3.0);
        assert_eq!(exposed(&[], 1.0), 0.0);
    }
}
