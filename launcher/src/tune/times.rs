//! Times of the passes of a convolution, while all threads compute them at once, as in training.

use crate::tune::choice::Pass as Kind;
use isograd_kernels::conv::{Conv2d, Conv2dShape, Path, Weights};
use isograd_kernels::{Accum, Activation, Element, Isa, Pass};
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Rounds in which each path is measured once.
const ROUNDS: usize = 9;
/// A path that takes so many times as long as the fastest one in the first rounds is not measured again.
const HOPELESS: f64 = 2.0;
/// The rounds after which that is judged.
const FIRST_ROUNDS: usize = 2;
/// A measurement takes at least so long: passes are repeated until it does.
const LEAST: Duration = Duration::from_millis(2);
const MOST_REPETITIONS: u32 = 1000;

/// What all passes have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bench {
    pub(super) isa: Isa,
    /// Samples in a shard.
    pub(super) n: usize,
    pub(super) threads: usize,
    /// Shards in a batch.
    pub(super) shards: usize,
}

impl Bench {
    /// The shards that a thread computes in a step.
    fn shards_of_thread(&self) -> usize {
        self.shards.div_ceil(self.threads).max(1)
    }
}

/// The tensors of one thread.
struct Lane<T> {
    x: Vec<T>,
    /// The output, or the gradient by it.
    y: Vec<T>,
    dx: Vec<T>,
    dw: Vec<T>,
    scratch: Vec<T>,
    prepared: Vec<T>,
}

/// The convolutions of a shape, with tensors for each thread.
pub(super) struct Passes<T> {
    bench: Bench,
    shape: Conv2dShape,
    w: Vec<T>,
    lanes: Vec<Mutex<Lane<T>>>,
}

impl<T: Element> Passes<T> {
    pub(super) fn new(bench: Bench, shape: Conv2dShape) -> Self {
        let conv = Conv2d::new(shape).expect("the shape of a convolution of a network");
        let lane = |_| {
            Mutex::new(Lane {
                x: numbers(conv.input_len(bench.n)),
                y: numbers(conv.output_len(bench.n)),
                dx: numbers(conv.input_len(bench.n)),
                dw: numbers(conv.weight_len()),
                scratch: Vec::new(),
                prepared: Vec::new(),
            })
        };
        Self { bench, shape, w: numbers(conv.weight_len()), lanes: (0..bench.threads).map(lane).collect() }
    }

    /// The median time of a pass on each path that serves it and `is_taken`, in seconds of a thread for a
    /// shard. That of a Winograd path contains the thread's part of the preparation of the weights.
    pub(super) fn times(&self, kind: Kind, is_taken: impl Fn(Path) -> bool) -> Vec<(Path, f64)> {
        let serves = |path: &Path| path.serves(&self.shape) && is_taken(*path);
        let paths: Vec<Path> = Path::ALL.into_iter().filter(serves).collect();
        let mut candidates: Vec<Candidate> =
            paths.into_iter().map(|path| self.candidate(kind, path)).collect();
        for round in 0..ROUNDS {
            if round == FIRST_ROUNDS {
                let fastest = candidates.iter().map(Candidate::median).fold(f64::INFINITY, f64::min);
                candidates.iter_mut().for_each(|each| each.is_over = each.median() > HOPELESS * fastest);
            }
            let count = candidates.len();
            for turn in 0..count {
                // Another path begins each round.
                let candidate = &mut candidates[(round + turn) % count];
                if !candidate.is_over {
                    let seconds = self.seconds(kind, &candidate.conv, candidate.repetitions);
                    candidate.seconds.push(seconds);
                }
            }
        }
        candidates.iter().map(|each| (each.path, each.median() + each.preparation)).collect()
    }

    /// A path that is warm: its memory is there, and it is known how often it runs in a measurement.
    fn candidate(&self, kind: Kind, path: Path) -> Candidate {
        let conv = Conv2d::with_path(self.shape, path).expect("a path that serves the shape");
        let (mut repetitions, preparation) = (1, self.preparation(kind, &conv));
        self.seconds(kind, &conv, 1);
        let once = self.seconds(kind, &conv, 1);
        if once > 0.0 {
            repetitions = (LEAST.as_secs_f64() / once).ceil().clamp(1.0, f64::from(MOST_REPETITIONS)) as u32;
        }
        Candidate { path, conv, repetitions, preparation, seconds: Vec::new(), is_over: false }
    }

    /// The seconds for which one of the threads prepares weights for each of its shards: they are prepared
    /// once for all shards of a step, on all threads.
    fn preparation(&self, kind: Kind, conv: &Conv2d) -> f64 {
        let len = prepared_len(kind, conv);
        if len == 0 {
            return 0.0;
        }
        let mut best = f64::INFINITY;
        for _ in 0..FIRST_ROUNDS + 1 {
            let all = self.on_all_threads(conv, |lane| {
                lane.prepared.resize(len, T::default());
                match kind {
                    Kind::InputGradient => conv.prepare_input_gradient(
                        self.bench.isa,
                        0..self.shape.c,
                        &self.w,
                        &mut lane.prepared,
                    ),
                    _ => conv.prepare_forward(self.bench.isa, 0..self.shape.f, &self.w, &mut lane.prepared),
                }
            });
            best = best.min(all);
        }
        best / (self.bench.threads * self.bench.shards_of_thread()) as f64
    }

    /// The seconds of a pass, the mean over all threads and `repetitions`.
    fn seconds(&self, kind: Kind, conv: &Conv2d, repetitions: u32) -> f64 {
        let Bench { isa, n, .. } = self.bench;
        let len = prepared_len(kind, conv);
        let seconds = self.on_all_threads(conv, |lane| {
            for _ in 0..repetitions {
                // Another candidate has other prepared weights of its own length.
                let weights = Weights { plain: &self.w[..], prepared: &lane.prepared[..len] };
                let pass = Pass { isa, n, scratch: &mut lane.scratch };
                match kind {
                    Kind::Forward => {
                        conv.forward(pass, &lane.x, weights, None, Activation::Identity, &mut lane.y)
                    }
                    Kind::InputGradient => {
                        conv.input_gradient(pass, &lane.y, weights, None, Accum::Replace, &mut lane.dx)
                    }
                    Kind::WeightGradient => {
                        conv.weight_gradient(pass, &lane.x, &lane.y, Accum::Replace, &mut lane.dw)
                    }
                }
            }
        });
        seconds / f64::from(repetitions)
    }

    /// Runs `work` on all threads at the same time; returns the mean of their seconds.
    fn on_all_threads(&self, conv: &Conv2d, work: impl Fn(&mut Lane<T>) + Sync) -> f64 {
        let (barrier, scratch_len) = (Barrier::new(self.lanes.len()), conv.scratch_len(self.bench.n));
        let seconds = rayon::broadcast(|context| {
            let mut lane = self.lanes[context.index()].lock().unwrap_or_else(PoisonError::into_inner);
            if lane.scratch.len() < scratch_len {
                lane.scratch.resize(scratch_len, T::default());
            }
            barrier.wait();
            let start = Instant::now();
            work(&mut lane);
            start.elapsed().as_secs_f64()
        });
        seconds.iter().sum::<f64>() / seconds.len() as f64
    }
}

/// The prepared weights that a pass reads.
fn prepared_len(kind: Kind, conv: &Conv2d) -> usize {
    match kind {
        Kind::Forward => conv.forward_prepared_len(),
        Kind::InputGradient => conv.input_gradient_prepared_len(),
        Kind::WeightGradient => 0,
    }
}

/// A path that is measured.
struct Candidate {
    path: Path,
    conv: Conv2d,
    repetitions: u32,
    /// The part of the preparation of weights that falls on a shard.
    preparation: f64,
    seconds: Vec<f64>,
    is_over: bool,
}

impl Candidate {
    fn median(&self) -> f64 {
        median(&self.seconds)
    }
}

/// The middle one of `seconds`, or the lower one of two.
pub(super) fn median(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) / 2]
}

/// `len` numbers from -1 to 1, none of which is denormal.
fn numbers<T: Element>(len: usize) -> Vec<T> {
    let mut state = 1u32;
    let mut number = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        T::from_f64(f64::from(state >> 16) / 32768.0 - 1.0 + 1.0 / 65536.0)
    };
    (0..len).map(|_| number()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_one_of_the_numbers() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.0);
        assert_eq!(median(&[5.0]), 5.0);
    }

    #[test]
    fn all_paths_that_serve_are_measured() {
        let [stride, padding, dilation] = [1, 1, 1].map(Into::into);
        let shape =
            Conv2dShape { c: 8, h: 4, w: 4, f: 8, kh: 3, kw: 3, stride, padding, dilation, groups: 1 };
        let bench = Bench { isa: Isa::best(), n: 4, threads: 2, shards: 3 };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads");
        pool.install(|| {
            let passes = Passes::<f32>::new(bench, shape);
            for kind in Kind::ALL {
                let times = passes.times(kind, |_| true);
                assert_eq!(times.iter().map(|(path, _)| *path).collect::<Vec<_>>(), Path::ALL);
                assert!(times.iter().all(|(_, seconds)| *seconds > 0.0 && seconds.is_finite()), "{times:?}");
            }
        });
    }
}
