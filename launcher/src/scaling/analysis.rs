//! From what was measured to the rows of a report: each point beside its prediction, and more hosts.

use super::model::{Compute, Division, Link, exposed, interpolated, scattered};
use super::outcome::{Outcome, Shares, median};
use super::points::{Measurement, Point};
use crate::cli::ScalingArgs;
use crate::system::cores::CoreLimits;

/// The network that hosts are predicted with, where none was measured or given: Gbit/s and microseconds.
const NETWORK: [f64; 2] = [10.0, 30.0];
/// The most hosts that are predicted.
pub(super) const MOST_HOSTS: u32 = 1024;

/// All that a report shows.
#[derive(Debug)]
pub(super) struct Analysis {
    pub(super) command: String,
    pub(super) is_weak: bool,
    /// Measured, by rising numbers of ranks.
    pub(super) measured: Vec<Row>,
    /// Predicted alone, by rising numbers of hosts.
    pub(super) further: Vec<Row>,
    pub(super) link: Link,
    /// Whether it comes from an exchange over hosts.
    pub(super) is_link_measured: bool,
}

/// A number of ranks.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) hosts: u32,
    /// Of all hosts.
    pub(super) ranks: u32,
    /// Of a rank.
    pub(super) threads: usize,
    /// Threads of all ranks that have a core of their own.
    pub(super) workers: f64,
    pub(super) batch: usize,
    /// Samples of an epoch.
    pub(super) samples: usize,
    pub(super) measured: Option<Measured>,
    pub(super) predicted: Predicted,
}

/// What runs took.
#[derive(Debug)]
pub(super) struct Measured {
    /// Seconds of a step, of each run.
    pub(super) steps: Vec<f64>,
    pub(super) shares: Shares,
    /// Seconds of an exchange of all gradients alone.
    pub(super) exchange: Option<f64>,
    /// Energy of a run.
    pub(super) joules: Option<f64>,
}

/// What the model says of a step, in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Predicted {
    pub(super) compute: f64,
    pub(super) exposed: f64,
    /// The exchange of all gradients alone.
    pub(super) exchange: f64,
}

impl Predicted {
    pub(super) fn step(&self) -> f64 {
        self.compute + self.exposed
    }
}

impl Measured {
    /// Seconds of a step: the fastest run and the slowest one.
    pub(super) fn range(&self) -> [f64; 2] {
        let steps = || self.steps.iter().copied();
        [steps().fold(f64::INFINITY, f64::min), steps().fold(0.0, f64::max)]
    }
}

impl Row {
    /// Seconds of a step: the median of the runs, or what is predicted.
    pub(super) fn step(&self) -> f64 {
        self.measured.as_ref().map_or(self.predicted.step(), |measured| median(&measured.steps))
    }

    /// Samples per second.
    pub(super) fn rate(&self) -> f64 {
        self.batch as f64 / self.step()
    }

    /// Seconds of an epoch, of training alone.
    pub(super) fn epoch(&self) -> f64 {
        self.step() * self.samples.div_ceil(self.batch) as f64
    }

    /// How much too long the prediction is, over what was measured.
    pub(super) fn error(&self) -> f64 {
        self.predicted.step() / self.step() - 1.0
    }
}

impl Analysis {
    pub(super) fn new(args: &ScalingArgs, measurement: &Measurement) -> Self {
        let points = &measurement.points;
        let bytes = |point: &Point| point.runs[0].bucket_bytes.iter().sum::<f64>();
        let found = points.iter().find_map(|point| {
            let exchange = point.exchange.as_ref().filter(|exchange| exchange.hosts > 1)?;
            Link::fitted(&exchange.times, exchange.hosts, bytes(point))
        });
        let (gbit, latency) = (args.network_gbit, args.network_latency_us);
        let given = Link::new(gbit.unwrap_or(NETWORK[0]), latency.unwrap_or(NETWORK[1]));
        let mut link = found.unwrap_or(given);
        link.per_byte = gbit.map_or(link.per_byte, |_| given.per_byte);
        link.latency = latency.map_or(link.latency, |_| given.latency);
        let model = Model::new(args, measurement, link);
        let measured: Vec<Row> = points.iter().map(|point| model.measured(point)).collect();
        let last = measured.last().expect("clap wants ranks");
        let hosts = std::iter::successors(Some(2), |hosts| Some(2 * hosts));
        let hosts = hosts.skip_while(|hosts| *hosts <= last.hosts).take_while(|hosts| *hosts <= MOST_HOSTS);
        let further = hosts.map(|hosts| model.further(points, last, hosts)).collect();
        Self {
            command: measurement.command.clone(),
            is_weak: args.weak,
            further,
            measured,
            link,
            is_link_measured: found.is_some() && (gbit.is_none() || latency.is_none()),
        }
    }

    /// The row that all others are compared with: that of the fewest ranks.
    pub(super) fn first(&self) -> &Row {
        &self.measured[0]
    }

    /// Samples per second over those of the fewest ranks.
    pub(super) fn speedup(&self, row: &Row) -> f64 {
        row.rate() / self.first().rate()
    }

    /// The speed-up over the growth of cores.
    pub(super) fn efficiency(&self, row: &Row) -> f64 {
        self.speedup(row) / (row.workers / self.first().workers)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.measured.iter().chain(&self.further)
    }

    /// `10.0 Gbit/s and 30 us a message (assumed)`.
    pub(super) fn network(&self) -> String {
        let kind = if self.is_link_measured { "measured" } else { "given or assumed" };
        let (gbit, latency) = (8e-9 / self.link.per_byte, 1e6 * self.link.latency);
        format!("{gbit:.2} Gbit/s and {latency:.0} us a message ({kind})")
    }
}

/// What predictions are made of.
struct Model<'a> {
    args: &'a ScalingArgs,
    link: Link,
    compute: Compute,
    /// Bytes of the buckets of gradients.
    buckets: Vec<f64>,
    overlap: bool,
    cores: f64,
}

impl<'a> Model<'a> {
    fn new(args: &'a ScalingArgs, measurement: &Measurement, link: Link) -> Self {
        let Measurement { points, bucket_bytes, overlap, .. } = measurement;
        let cores = CoreLimits::of_this_process().usable() as f64;
        let (first, most) = (&points[0], &points[points.len() - 1]);
        let buckets = match most.runs[0].bucket_bytes.as_slice() {
            // One rank has one. Several have at least this many bytes in each.
            [bytes] if most.ranks == 1 => {
                let count = (bytes / *bucket_bytes as f64).floor().max(1.0);
                vec![bytes / count; count as usize]
            }
            buckets => buckets.to_vec(),
        };
        let shares = Shares::mean(&first.runs.iter().map(|run| run.shares).collect::<Vec<_>>());
        let step = median(&steps(first));
        let region = step * (shares.shards + shares.hidden + shares.data + shares.waiting);
        let fixed = step * (shares.parameters + shares.other);
        let division = division(args, &first.runs[0], first.ranks, first.runs[0].batch, cores);
        let compute = Compute::new(&division, region, fixed);
        Self { args, link, compute, buckets, overlap: *overlap, cores }
    }

    /// A point with its prediction.
    fn measured(&self, point: &Point) -> Row {
        let first = &point.runs[0];
        let bytes = self.buckets.iter().sum();
        let exchange = point.exchange.as_ref();
        let hosts = exchange.map_or(1, |exchange| exchange.hosts);
        let all = (first.threads * point.ranks as usize) as f64;
        let division = division(self.args, first, point.ranks, first.batch, self.cores);
        let inside = exchange.filter(|exchange| exchange.hosts == 1).map(|exchange| &*exchange.times);
        Row {
            hosts,
            ranks: point.ranks,
            threads: first.threads,
            workers: if is_here(self.args) { all.min(self.cores) } else { all },
            batch: first.batch,
            samples: first.samples,
            measured: Some(Measured {
                steps: steps(point),
                shares: Shares::mean(&point.runs.iter().map(|run| run.shares).collect::<Vec<_>>()),
                exchange: exchange.and_then(|exchange| interpolated(&exchange.times, bytes)),
                joules: (!point.joules.is_empty()).then(|| median(&point.joules)),
            }),
            predicted: self.predict(&division, hosts, inside),
        }
    }

    /// Hosts like those of the row `last`, which has the most ranks: of this machine, or of a hostfile.
    fn further(&self, points: &[Point], last: &Row, hosts: u32) -> Row {
        let point = &points[points.len() - 1];
        let first = &point.runs[0];
        // Hosts may have had different numbers of ranks.
        let ranks = (last.ranks / last.hosts).max(1);
        let batch = match self.args.weak {
            true => points[0].runs[0].batch / points[0].ranks as usize * (ranks * hosts) as usize,
            false => points[0].runs[0].batch,
        };
        let inside = point.exchange.as_ref().filter(|exchange| exchange.hosts == 1);
        let division = Division {
            ranks: u64::from(ranks * hosts),
            ..division(self.args, first, ranks, batch, self.cores)
        };
        Row {
            hosts,
            ranks: ranks * hosts,
            threads: first.threads,
            workers: last.workers / f64::from(last.hosts) * f64::from(hosts),
            batch,
            samples: first.samples,
            measured: None,
            predicted: self.predict(&division, hosts, inside.map(|exchange| &*exchange.times)),
        }
    }

    /// `inside` are the times of exchanges of the ranks of a host.
    fn predict(&self, division: &Division, hosts: u32, inside: Option<&[(f64, f64)]>) -> Predicted {
        let scattered = scattered(division.shards() as usize, hosts);
        let exchange = |bytes: f64| {
            let inside = inside.and_then(|times| interpolated(times, bytes)).unwrap_or(0.0);
            inside + self.link.exchange(bytes, hosts, scattered)
        };
        let is_alone = division.ranks == 1;
        let times: Vec<f64> = match is_alone {
            true => Vec::new(),
            false => self.buckets.iter().map(|bytes| exchange(*bytes)).collect(),
        };
        let backward = if self.overlap { self.compute.backward(division) } else { 0.0 };
        Predicted {
            compute: self.compute.at(division),
            exposed: exposed(&times, backward),
            exchange: if is_alone { 0.0 } else { exchange(self.buckets.iter().sum()) },
        }
    }
}

/// Seconds of a step of each run.
fn steps(point: &Point) -> Vec<f64> {
    point.runs.iter().map(|run| run.batch as f64 / run.samples_per_s()).collect()
}

fn is_here(args: &ScalingArgs) -> bool {
    args.hostfile.is_none()
}

/// How a step of `batch` samples is divided among `ranks` ranks like those of `run`.
fn division(args: &ScalingArgs, run: &Outcome, ranks: u32, batch: usize, cores: f64) -> Division {
    let threads = f64::from(ranks) * run.threads as f64;
    Division {
        batch: batch as u64,
        shard_size: run.shard_size as u64,
        ranks: u64::from(ranks),
        workers: (run.threads / run.threads_per_shard).max(1) as u64,
        crowd: if is_here(args) { (threads / cores).max(1.0) } else { 1.0 },
    }
}
