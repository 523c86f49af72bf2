//! `isograd bench comm`: the time of an all-reduce between the ranks of the job.

use crate::cli::BenchCommArgs;
use crate::cli::plan::RankPlan;
use crate::failure::Failure;
use crate::output::Output;
use crate::rank::identity::RankIdentity;
use crate::rank::stop::StopRequest;
use isograd_comm::Communicator;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Elements of each vector: 4 B to 64 MiB, with simplecnn's 149,210 parameters among them.
const LENGTHS: [usize; 10] = [1, 256, 1 << 12, 1 << 14, 1 << 16, 149_210, 1 << 18, 1 << 20, 1 << 22, 1 << 24];

/// The elements to reduce in all for one length, and the most operations to do so.
const ELEMENTS: usize = 1 << 24;
const MOST: usize = 2000;
/// The number of rounds; their median counts.
const ROUNDS: usize = 5;

/// Prints a table with a row for each length.
pub(crate) fn start(args: BenchCommArgs, out: &mut Output) -> Result<(), Failure> {
    let plan = RankPlan::from(args.ranks);
    let identity = RankIdentity::find(&plan, out)?;
    if identity.world == 1 {
        return Err(Failure::Usage {
            problem: "bench comm needs at least two ranks".to_string(),
            hint: Some("isograd local -n 2 bench comm".to_string()),
        });
    }
    let agreement = || Ok(vec![("the longest vector", args.max_bytes.to_string())]);
    let request = StopRequest::listen().map_err(Failure::Signals)?;
    let mut communicator = identity.join(&plan, &request, agreement)?;
    request.end();
    out.line(&format!(
        "allreduce of f32, {} ranks, {}",
        identity.world,
        hosts(&communicator, plan.network())
    ))?;
    out.line(&format!("{:>10}  {:>12}  {:>8}  {:>12}", "bytes", "time", "GB/s", "of copy peak"))?;
    for len in LENGTHS.into_iter().filter(|len| len * size_of::<f32>() <= args.max_bytes) {
        let time = measure(&mut communicator, len)?;
        // The other ranks wait while rank 0 copies: this measures the peak of one core that is not disturbed.
        let peak = if identity.is_first() { copy_peak(len) } else { 0.0 };
        communicator.barrier()?;
        let bytes = len * size_of::<f32>();
        let rate = bytes as f64 / time.as_secs_f64() / 1e9;
        let microseconds = time.as_secs_f64() * 1e6;
        out.line(&format!(
            "{bytes:>10}  {microseconds:>9.1} us  {rate:>8.2}  {:>10.0} %",
            100.0 * rate / peak
        ))?;
    }
    Ok(())
}

fn hosts(communicator: &Communicator, network: &str) -> String {
    match communicator.ranks_per_host().as_slice() {
        [_] => "sharing memory".to_string(),
        hosts if hosts.iter().all(|ranks| *ranks == 1) => format!("over {network}"),
        hosts => format!("on {} hosts, sharing memory on each and over {network} between", hosts.len()),
    }
}

/// The median time of an all-reduce of `len` elements, whose result is checked.
fn measure(communicator: &mut Communicator, len: usize) -> Result<Duration, Failure> {
    let (rank, world) = (communicator.rank(), communicator.world_size());
    let value = |rank: usize, index: usize| ((index % 61) * (rank + 1)) as f32;
    let mut x: Vec<f32> = (0..len).map(|index| value(rank, index)).collect();
    communicator.allreduce(&mut x)?;
    let sum = |index: usize| (0..world).map(|rank| value(rank, index)).sum::<f32>();
    if let Some(index) = (0..len).find(|index| x[*index] != sum(*index)) {
        return Err(Failure::WrongSum { index, got: x[index], expected: sum(index) });
    }

    // Sums of zeros stay zero, so repeated sums do not overflow.
    x.fill(0.0);
    let operations = (ELEMENTS / len).clamp(1, MOST);
    for _ in 0..operations.div_ceil(10) {
        communicator.allreduce(&mut x)?;
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        communicator.barrier()?;
        let start = Instant::now();
        for _ in 0..operations {
            communicator.allreduce(black_box(&mut x))?;
        }
        rounds.push(start.elapsed() / operations as u32);
    }
    rounds.sort();
    Ok(rounds[ROUNDS / 2])
}

/// The speed in GB/s at which one core copies `len` elements. As in an all-reduce, each byte counts once.
fn copy_peak(len: usize) -> f64 {
    let (from, mut to) = (vec![1.0f32; len], vec![0.0f32; len]);
    let copies = (ELEMENTS / len).clamp(1, 100_000);
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..copies {
            black_box(&mut to).copy_from_slice(black_box(&from));
        }
        best = best.min(start.elapsed());
    }
    (copies * len * size_of::<f32>()) as f64 / best.as_secs_f64() / 1e9
}
