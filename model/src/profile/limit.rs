//! What limits a run: one line.

use super::record::Record;
use super::recorder::Work;
use super::rows::Profile;
use std::fmt;

/// A rank is slow from this ratio on: with less, ranks only wait for each other in turns.
const SLOW: f64 = 1.04;

/// Time beside computation is the limit of a run from this share on.
const NOTABLE: f64 = 0.05;

/// What limits a run: the largest avoidable part of its time if that is 5 % or more, else computation. Shares
/// are from 0 to 1, of the time of the run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Limit {
    /// A rank waits for another one, which takes longer for its part.
    SlowRank {
        /// The rank that waits longest.
        waiting: usize,
        /// The part of the time that it waits longer than the slow rank itself.
        share: f64,
        /// The rank that all wait for.
        slow: usize,
        /// The slow rank's host.
        host: String,
        /// The slow rank's time over that of the rank that waits.
        ratio: f64,
        /// Its samples over those of the rank that waits.
        samples: f64,
    },
    /// All ranks wait for sums, or spend time on moving them.
    Exchange {
        /// The part of the time.
        share: f64,
    },
    /// Workers read samples.
    Reading {
        /// The part of the time.
        share: f64,
    },
    /// Threads have no shard while other threads have one.
    Idle {
        /// The part of the time.
        share: f64,
    },
    /// The update of the parameters.
    Update {
        /// The part of the time.
        share: f64,
    },
    /// Work between the steps, such as callbacks and checkpoints.
    Between {
        /// The part of the time.
        share: f64,
    },
    /// Computation.
    Computation {
        /// The part of the time.
        share: f64,
        /// The layer and pass that takes most, and its part of the time.
        most: Option<(String, f64)>,
        /// Arithmetic of that layer and pass over the peak, if it is countable.
        peak_share: Option<f64>,
    },
}

impl Limit {
    pub(crate) fn find(profile: &Profile) -> Self {
        let wall = profile.mean(Record::wall).max(f64::MIN_POSITIVE);
        let share = |of: &dyn Fn(&Record) -> f64| profile.mean(of) / wall;
        let slow_rank = Self::slow_rank(profile, wall);
        // What a slow rank does not wait for is the fault of the exchange.
        let least_wait = profile.records.iter().map(wait).fold(f64::INFINITY, f64::min);
        let waits = if slow_rank.is_some() { least_wait / wall } else { share(&wait) };
        let exchange = match profile.ranks() {
            0 | 1 => 0.0,
            _ => waits + share(&|record| record.seconds(Work::HandOver)),
        };
        let rows = profile.rows();
        let other = rows.iter().filter(|row| row.name == "other" || row.name == super::SNAPSHOT);
        let limits = [
            slow_rank,
            Some(Self::Exchange { share: exchange }),
            Some(Self::Reading { share: share(&|record| record.seconds(Work::Read)) }),
            Some(Self::Idle { share: share(&Record::idle) }),
            Some(Self::Update { share: share(&|record| record.seconds(Work::Update)) }),
            Some(Self::Between { share: other.map(|row| row.share).sum() }),
        ];
        let notable = limits.into_iter().flatten().filter(|limit| limit.share() >= NOTABLE);
        notable.max_by(|a, b| a.share().total_cmp(&b.share())).unwrap_or_else(|| {
            let layers = rows.iter().filter(|row| !row.pass.is_empty());
            let most = layers.clone().max_by(|a, b| a.share.total_cmp(&b.share));
            Self::Computation {
                // A sum of nothing would be -0.
                share: layers.map(|row| row.share).fold(0.0, |sum, share| sum + share),
                most: most.map(|row| (format!("{}, {}", row.name, row.pass), row.share)),
                peak_share: most.and_then(|row| row.peak_share),
            }
        })
    }

    /// The part of the time.
    pub fn share(&self) -> f64 {
        match self {
            Self::SlowRank { share, .. }
            | Self::Exchange { share }
            | Self::Reading { share }
            | Self::Idle { share }
            | Self::Update { share }
            | Self::Between { share }
            | Self::Computation { share, .. } => *share,
        }
    }

    /// The rank whose part takes longest, if others wait for it.
    fn slow_rank(profile: &Profile, wall: f64) -> Option<Self> {
        let region = |record: &Record| record.seconds(Work::Region);
        let records = || profile.records.iter();
        let slow = records().max_by(|a, b| region(a).total_cmp(&region(b)))?;
        let waiting = records().max_by(|a, b| wait(a).total_cmp(&wait(b)))?;
        let samples = |record: &Record| record.total(Work::Read).samples as f64;
        // A rank without shards has no time to compare.
        let ratio = region(slow) / region(waiting).max(f64::MIN_POSITIVE);
        (slow.rank != waiting.rank && ratio >= SLOW && samples(waiting) > 0.0).then(|| Self::SlowRank {
            waiting: waiting.rank,
            share: (wait(waiting) - wait(slow)) / wall,
            slow: slow.rank,
            host: slow.host.clone(),
            ratio,
            samples: samples(slow) / samples(waiting),
        })
    }
}

fn wait(record: &Record) -> f64 {
    record.seconds(Work::Wait)
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = 100.0 * self.share();
        match self {
            Self::SlowRank { waiting, slow, host, ratio, samples, .. } => {
                let host = if host.is_empty() { String::new() } else { format!(" on {host}") };
                write!(f, "rank {waiting} waits {percent:.0} % of the time: rank {slow}{host} ")?;
                // The factor that is left when both have equally many samples.
                match ratio / samples {
                    slower if slower >= samples.max(1.0) => write!(f, "computes {slower:.2}x slower"),
                    _ => write!(f, "has {samples:.2}x as many samples"),
                }
            }
            Self::Exchange { .. } => write!(f, "the exchange between ranks takes {percent:.0} % of the time"),
            Self::Reading { .. } => write!(f, "reading samples takes {percent:.0} % of the time"),
            Self::Idle { .. } => {
                write!(f, "threads are idle {percent:.0} % of the time, while others have a shard")
            }
            Self::Update { .. } => write!(f, "the update of the parameters takes {percent:.0} % of the time"),
            Self::Between { .. } => write!(f, "work between the steps takes {percent:.0} % of the time"),
            Self::Computation { most, peak_share, .. } => {
                write!(f, "computation takes {percent:.0} % of the time")?;
                if let Some((name, share)) = most {
                    write!(f, "; most of it is {name}: {:.0} %", 100.0 * share)?;
                }
                match peak_share {
                    Some(share) => write!(f, ", at {:.0} % of the peak", 100.0 * share),
                    None => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::recorder::{Phase, Total};

    /// A rank of one thread in a run of a second: milliseconds of region and wait, busy all the time on
    /// `samples` samples, of which it reads for `read` milliseconds.
    fn record(rank: usize, region: u64, wait: u64, read: u64, samples: u64) -> Record {
        let mut totals = vec![Total::default(); Work::count(0)];
        let mut set = |work: Work, ms: u64| {
            totals[work.number()] = Total { calls: 1, samples, ns: ms * 1_000_000 };
        };
        set(Work::Region, region);
        set(Work::Wait, wait);
        set(Work::Read, read);
        set(Work::Loss, region - read);
        set(Work::Update, 1000 - region - wait);
        Record {
            rank,
            host: format!("node{rank}"),
            threads: 1,
            peak_gflops: 1.0,
            start_ns: 0,
            wall_ns: 1_000_000_000,
            totals: [totals, vec![Total::default(); Work::count(0)]],
            named: Vec::new(),
            lanes: Vec::new(),
            named_events: Vec::new(),
            trace_end_ns: None,
            clock: Vec::new(),
        }
    }

    fn limit(records: Vec<Record>) -> String {
        let (steps, bucket_bytes) = (Vec::new(), Vec::new());
        Limit::find(&Profile { records, steps, element: "f32", bucket_bytes }).to_string()
    }

    #[test]
    fn the_slow_rank_is_named() {
        let records = vec![record(0, 800, 180, 10, 100), record(1, 960, 20, 10, 100)];
        let expected = "rank 0 waits 16 % of the time: rank 1 on node1 computes 1.20x slower";
        assert_eq!(limit(records), expected);
        let records = vec![record(0, 480, 490, 10, 100), record(1, 960, 20, 10, 200)];
        let expected = "rank 0 waits 47 % of the time: rank 1 on node1 has 2.00x as many samples";
        assert_eq!(limit(records), expected);
    }

    #[test]
    fn the_largest_part_beside_computation_counts() {
        let both =
            |wait, read| vec![record(0, 980 - wait, wait, read, 9), record(1, 980 - wait, wait, read, 9)];
        assert_eq!(limit(both(120, 20)), "the exchange between ranks takes 12 % of the time");
        assert_eq!(limit(both(60, 90)), "reading samples takes 9 % of the time");
        assert_eq!(
            limit(vec![record(0, 900, 0, 0, 9)]),
            "the update of the parameters takes 10 % of the time"
        );
        let mut idle = record(0, 980, 0, 0, 9);
        idle.totals[Phase::Training as usize][Work::Loss.number()].ns /= 2;
        assert_eq!(limit(vec![idle]), "threads are idle 49 % of the time, while others have a shard");
        assert_eq!(limit(vec![record(0, 980, 0, 20, 9)]), "computation takes 0 % of the time");
    }
}
