//! What this core can do at most: arithmetic in registers, and copies of a given footprint.

use crate::data::Buffer;
use isograd_kernels::Isa;
use pulp::{Scalar128b, Simd, WithSimd};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The shortest time that is measured at once.
const BURST: Duration = Duration::from_millis(2);

/// Bursts of which the best one counts: interruptions only ever make one slower.
const BURSTS: usize = 20;

/// The most f32 arithmetic that one thread can do at level `isa`, in GFLOP/s: independent chains of multiply-adds that stay
/// in registers, two operations each. At the portable level, which has no fused one, a multiplication and an addition.
pub fn fma_peak(isa: Isa) -> f64 {
    fastest(|| run_chains(isa) as f64) / 1e9
}

/// How fast one thread copies when source and destination together occupy `footprint_bytes`, in GB/s: bytes read plus bytes
/// written.
pub fn copy_peak(footprint_bytes: usize) -> f64 {
    let len = (footprint_bytes / 2 / size_of::<f32>()).max(1);
    let (from, mut to) = (Buffer::zeroed(len), Buffer::zeroed(len));
    let copy = || {
        black_box(&mut to).copy_from_slice(black_box(&from));
        (2 * len * size_of::<f32>()) as f64
    };
    fastest(copy) / 1e9
}

/// Units of work a second in the best burst; `work` returns how many units it has done.
fn fastest(mut work: impl FnMut() -> f64) -> f64 {
    let mut burst = || {
        let (start, mut units, mut calls) = (Instant::now(), 0.0, 1u32);
        loop {
            for _ in 0..calls {
                units += work();
            }
            let elapsed = start.elapsed();
            if elapsed >= BURST {
                return units / elapsed.as_secs_f64();
            }
            // Few looks at the clock: it costs as much as copying a kilobyte.
            calls = calls.saturating_mul(2);
        }
    };
    (0..BURSTS).map(|_| burst()).fold(0.0, f64::max)
}

/// Runs multiply-adds at level `isa`; returns the number of operations.
fn run_chains(isa: Isa) -> usize {
    let missing = "an Isa exists only for levels that the CPU has";
    match isa.name() {
        #[cfg(target_arch = "x86_64")]
        "avx2" => Simd::vectorize(pulp::x86::V3::try_new().expect(missing), Chains::<12, true>),
        #[cfg(target_arch = "x86_64")]
        "avx512" => Simd::vectorize(pulp::x86::V4::try_new().expect(missing), Chains::<24, true>),
        #[cfg(target_arch = "aarch64")]
        "neon" => Simd::vectorize(pulp::aarch64::Neon::try_new().expect(missing), Chains::<24, true>),
        "portable" => Scalar128b.vectorize(Chains::<12, false>),
        name => panic!("no peak is known for level {name}"),
    }
}

/// `CHAINS` accumulators `a = a * x + y`: as many as hide the latency and, with `x` and `y`, fit the register file.
struct Chains<const CHAINS: usize, const FUSED: bool>;

impl<const CHAINS: usize, const FUSED: bool> WithSimd for Chains<CHAINS, FUSED> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) -> usize {
        const STEPS: usize = 1000;
        // Towards 2, whatever the start; equal starts would be one chain to the compiler.
        let (x, y) = (s.splat_f32s(black_box(0.5)), s.splat_f32s(black_box(1.0)));
        let mut chains = [x; CHAINS];
        for (start, chain) in chains.iter_mut().enumerate() {
            *chain = s.splat_f32s(black_box(start as f32));
        }
        for _ in 0..STEPS {
            for chain in &mut chains {
                *chain =
                    if FUSED { s.mul_add_f32s(*chain, x, y) } else { s.add_f32s(s.mul_f32s(*chain, x), y) };
            }
        }
        black_box(chains);
        STEPS * CHAINS * S::F32_LANES * 2
    }
}
