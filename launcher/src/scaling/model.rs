//! What a step should take at other numbers of ranks and hosts.
//!
//! ```text
//! step(P)     = compute(P) + exposed(P)
//! compute(P)  = the measured step of the fewest ranks, over the growth of cores; weak: the same
//! exposed(P)  = what the backward pass of the last shards does not hide
//!             = max(exchange(last bucket), exchange(all) - 2/3 compute / shards of a thread)
//! exchange(n) = measured on P ranks (bench comm), between its lengths on a line
//! exchange(n, H hosts) = 2 (L + (H - 1) o) + 2 n (H - 1)/H G       LogGP, of comm/ALGORITHMS.md
//! ```
//!
//! `n` are bytes; `L` is the latency of a message, `o` the processor's time for one, `G` the time of a byte
//! on the wire. The forward and the backward pass take a third and two thirds of a shard's time. What the
//! fewest ranks exchange is a part of their measured step already, and is taken off.

/// The part of a shard's time that its backward pass takes.
const BACKWARD: f64 = 2.0 / 3.0;
/// Seconds of processor time for a message: two system calls and the look for it.
const OVERHEAD: f64 = 3e-6;
/// Gradients are exchanged in buckets of this many bytes, by default.
pub(super) const BUCKET_BYTES: f64 = 1_048_576.0;

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

    /// The exchange of `bytes` between `hosts` hosts.
    pub(super) fn exchange(&self, bytes: f64, hosts: f64) -> f64 {
        if hosts < 2.0 {
            return 0.0;
        }
        let messages = 2.0 * (self.latency + (hosts - 1.0) * OVERHEAD);
        messages + 2.0 * bytes * (hosts - 1.0) / hosts * self.per_byte
    }
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

/// Latency and time of a byte of a network, from times of exchanges on `ranks` hosts.
pub(super) fn fitted(times: &[(f64, f64)], ranks: f64) -> Option<Link> {
    let (short, long) = (times.first()?, times.last()?);
    let per_byte = (long.1 - short.1) / (long.0 - short.0) / (2.0 * (ranks - 1.0) / ranks);
    let latency = (short.1 / 2.0 - (ranks - 1.0) * OVERHEAD).max(1e-6);
    (per_byte > 0.0).then_some(Link { latency, per_byte })
}

/// Of the exchange of a step, what training waits for: `all` is the time of all buckets, `last` that of the
/// last one, and `compute` the time of `shards` shards one after the other on a thread.
pub(super) fn exposed(all: f64, last: f64, compute: f64, shards: f64) -> f64 {
    (all - BACKWARD * compute / shards.max(1.0)).max(last.min(all))
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
        let times: Vec<(f64, f64)> =
            [4.0, 1e6, 6.4e7].map(|bytes| (bytes, link.exchange(bytes, 4.0))).to_vec();
        let found = fitted(&times, 4.0).unwrap();
        assert!((found.per_byte / link.per_byte - 1.0).abs() < 1e-6, "{found:?}");
        assert!((found.latency / link.latency - 1.0).abs() < 1e-3, "{found:?}");
        assert_eq!(link.exchange(1e6, 1.0), 0.0);
        // 2 x 1 MB x 1/2 at 10 Gbit/s is 800 us.
        assert!((link.exchange(1e6, 2.0) - 2.0 * 33e-6 - 800e-6).abs() < 1e-9);
    }

    #[test]
    fn the_last_bucket_is_never_hidden() {
        assert_eq!(exposed(1.0, 0.1, 30.0, 2.0), 0.1);
        assert_eq!(exposed(12.0, 0.1, 30.0, 2.0), 2.0);
        assert_eq!(exposed(0.05, 0.1, 30.0, 2.0), 0.05);
    }
}
