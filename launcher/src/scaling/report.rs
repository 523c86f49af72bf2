//! The table and the file of a measurement.

use super::model::{BUCKET_BYTES, Link, exposed, fitted, interpolated};
use super::outcome::{Outcome, median};
use super::points::{Point, failure};
use crate::cli::ScalingArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::system::cores::CoreLimits;
use std::fs;

/// The network that hosts are predicted with, where none was measured or given: Gbit/s and microseconds.
const NETWORK: [f64; 2] = [10.0, 30.0];
/// The most hosts that are predicted.
const MOST_HOSTS: u32 = 1024;
/// Samples of a shard, by default: no more threads can work on a batch than it has shards.
const SHARD_SIZE: f64 = 32.0;
/// Bytes of an element.
const ELEMENT: f64 = 4.0;

/// The columns of scaling.csv. Times are of a step, in seconds.
const HEADER: &str = "kind,hosts,ranks,threads,batch,repeats,step_s,step_s_min,step_s_max,epoch_s,samples_per_s,speedup,\
    efficiency,compute_share,other_share,exchange_s,predicted_step_s,prediction_error_percent,joules";

/// What comes of a point.
struct Row {
    ranks: u32,
    /// Threads of a rank, and of all ranks that have a core of their own.
    threads: usize,
    workers: f64,
    batch: f64,
    samples: f64,
    /// Seconds of a step, of each run.
    steps: Vec<f64>,
    exchange: Option<f64>,
    last_bucket: Option<f64>,
    joules: Option<f64>,
}

impl Row {
    fn new(point: &Point, is_here: bool) -> Self {
        let first: &Outcome = &point.runs[0];
        let bytes = ELEMENT * first.parameters as f64;
        let all = (first.threads * point.ranks as usize) as f64;
        let cores = CoreLimits::of_this_process().usable() as f64;
        Self {
            ranks: point.ranks,
            threads: first.threads,
            workers: if is_here { all.min(cores) } else { all },
            batch: first.batch as f64,
            samples: first.samples as f64,
            steps: point.runs.iter().map(|run| run.batch as f64 / run.samples_per_s()).collect(),
            exchange: interpolated(&point.exchange, bytes),
            last_bucket: interpolated(&point.exchange, bytes.min(BUCKET_BYTES)),
            joules: (!point.joules.is_empty()).then(|| median(&point.joules)),
        }
    }

    fn step(&self) -> f64 {
        median(&self.steps)
    }

    fn rate(&self) -> f64 {
        self.batch / self.step()
    }

    fn range(&self) -> [f64; 2] {
        [
            self.steps.iter().copied().fold(f64::INFINITY, f64::min),
            self.steps.iter().copied().fold(0.0, f64::max),
        ]
    }

    /// What training waits for of the exchange, where computing takes `compute`.
    fn exposed(&self, compute: f64) -> f64 {
        match (self.exchange, self.last_bucket) {
            (Some(all), Some(last)) => exposed(all, last, compute, self.shards()),
            _ => 0.0,
        }
    }

    /// Shards of a thread in a step.
    fn shards(&self) -> f64 {
        (self.batch / SHARD_SIZE / self.workers).ceil()
    }
}

/// The time of computing that the point with the fewest ranks has, and what it is for others.
struct Compute {
    seconds: f64,
    batch: f64,
    workers: f64,
}

impl Compute {
    fn of(row: &Row) -> Self {
        // What the exchange hides behind depends on the time of computing, of which this is a first guess.
        let seconds = row.step() - row.exposed(row.step());
        Self { seconds, batch: row.batch, workers: row.workers }
    }

    /// With `batch` samples on `workers` threads, of which no more work than there are shards.
    fn at(&self, batch: f64, workers: f64) -> f64 {
        let busy = |batch: f64, workers: f64| workers.min((batch / SHARD_SIZE).ceil().max(1.0));
        let per_sample = self.seconds * busy(self.batch, self.workers) / self.batch;
        per_sample * batch / busy(batch, workers)
    }
}

/// Prints the table, and writes scaling.csv.
pub(super) fn print(args: &ScalingArgs, points: &[Point], out: &mut Output) -> Result<(), Failure> {
    let is_here = args.hostfile.is_none();
    let rows: Vec<Row> = points.iter().map(|point| Row::new(point, is_here)).collect();
    let first = &rows[0];
    let compute = Compute::of(first);
    let mut csv = HEADER.to_string() + "\n";
    out.line(&format!(
        "\n{:>6} {:>8} {:>11} {:>8} {:>12} {:>9} {:>11} {:>7} {:>11} {:>7} {:>9}",
        "ranks",
        "batch",
        "step",
        "spread",
        "samples/s",
        "speed-up",
        "efficiency",
        "other",
        "predicted",
        "error",
        "energy"
    ))?;
    for row in &rows {
        let ([least, most], step) = (row.range(), row.step());
        let speedup = row.rate() / first.rate();
        let growth = row.workers / first.workers;
        let ideal = compute.at(row.batch, row.workers);
        let predicted = ideal + row.exposed(ideal);
        let error = 100.0 * (predicted / step - 1.0);
        let energy = row.joules.map_or_else(|| "-".to_string(), |joules| format!("{joules:.0} J"));
        let other = (1.0 - ideal / step).max(0.0);
        out.line(&format!(
            "{:>6} {:>8} {:>8.3} ms {:>6.1} % {:>12.1} {:>9.2} {:>9.1} % {:>5.1} % {:>8.3} ms {:>5.1} % {:>9}",
            row.ranks,
            row.batch,
            1e3 * step,
            100.0 * (most - least) / step,
            row.rate(),
            speedup,
            100.0 * speedup / growth,
            100.0 * other,
            1e3 * predicted,
            error,
            energy
        ))?;
        let hosts = if is_here { 1 } else { row.ranks };
        let exchange = row.exchange.map_or_else(String::new, |seconds| seconds.to_string());
        let joules = row.joules.map_or_else(String::new, |joules| joules.to_string());
        let epoch = step * (row.samples / row.batch).ceil();
        csv += &format!(
            "measured,{hosts},{},{},{},{},{step},{least},{most},{epoch},{},{speedup},{},{},{other},{exchange},\
             {predicted},{error},{joules}\n",
            row.ranks,
            row.threads,
            row.batch,
            row.steps.len(),
            row.rate(),
            speedup / growth,
            1.0 - other,
        );
    }
    if rows.iter().all(|row| row.joules.is_none()) {
        out.line(
            "energy: the counters of the processors (RAPL) are not there, or this user may not read them",
        )?;
    }
    csv += &predict(args, points, &rows, &compute, out)?;
    let path = args.out.join("scaling.csv");
    fs::write(&path, csv).map_err(|source| failure(path.clone(), source))?;
    out.line(&format!("written: {}", path.display()))
}

/// Prints what hosts should reach that are like the one with the most ranks here, and returns the rows of it.
fn predict(
    args: &ScalingArgs,
    points: &[Point],
    rows: &[Row],
    compute: &Compute,
    out: &mut Output,
) -> Result<String, Failure> {
    let (host, first) = (rows.last().expect("a point"), &rows[0]);
    let measured = args.hostfile.as_ref().and_then(|_| {
        let point = points.iter().rev().find(|point| point.ranks > 1)?;
        fitted(&point.exchange, f64::from(point.ranks))
    });
    let given =
        Link::new(args.network_gbit.unwrap_or(NETWORK[0]), args.network_latency_us.unwrap_or(NETWORK[1]));
    let mut link = measured.unwrap_or(given);
    if args.network_gbit.is_some() {
        link.per_byte = given.per_byte;
    }
    if args.network_latency_us.is_some() {
        link.latency = given.latency;
    }
    let (gbit, latency) = (8e-9 / link.per_byte, 1e6 * link.latency);
    let kind = if measured.is_some() { "measured" } else { "assumed" };
    out.line(&format!(
        "\npredicted, with a network of {gbit:.1} Gbit/s and {latency:.0} us a message ({kind}):"
    ))?;
    out.line(&format!(
        "{:>6} {:>8} {:>11} {:>12} {:>9} {:>11}",
        "hosts", "batch", "step", "samples/s", "speed-up", "efficiency"
    ))?;
    // Of a host here; over hosts, each rank counts as one.
    let (ranks, workers) = match args.hostfile {
        None => (host.ranks, host.workers),
        Some(_) => (1, host.workers / f64::from(host.ranks)),
    };
    let bytes = ELEMENT * points[0].runs[0].parameters as f64;
    let mut csv = String::new();
    for hosts in
        std::iter::successors(Some(2), |hosts| Some(2 * hosts)).take_while(|hosts| *hosts <= MOST_HOSTS)
    {
        let count = f64::from(hosts);
        let batch = if args.weak {
            first.batch / f64::from(first.ranks) * f64::from(ranks) * count
        } else {
            first.batch
        };
        let ideal = compute.at(batch, workers * count);
        let inside = if args.hostfile.is_none() { [host.exchange, host.last_bucket] } else { [None; 2] };
        let exchange = |bytes: f64, inside: Option<f64>| link.exchange(bytes, count) + inside.unwrap_or(0.0);
        let (all, last) = (exchange(bytes, inside[0]), exchange(bytes.min(BUCKET_BYTES), inside[1]));
        let shards = (batch / SHARD_SIZE / (workers * count)).ceil();
        let step = ideal + exposed(all, last, ideal, shards);
        let (rate, speedup) = (batch / step, batch / step / first.rate());
        let efficiency = speedup / (workers * count / first.workers);
        out.line(&format!(
            "{hosts:>6} {batch:>8} {:>8.3} ms {rate:>12.1} {speedup:>9.2} {:>9.1} %",
            1e3 * step,
            100.0 * efficiency
        ))?;
        let (epoch, share) = (step * (first.samples / batch).ceil(), ideal / step);
        csv += &format!(
            "predicted,{hosts},{},{},{batch},0,{step},,,{epoch},{rate},{speedup},{efficiency},{share},{},{all},{step},,\n",
            hosts * ranks,
            host.threads,
            1.0 - share,
        );
    }
    Ok(csv)
}
