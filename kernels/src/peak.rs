//! The peak of arithmetic of a core, which kernels are compared with.

use crate::bf16::{Bf16, Bf16Kernel};
use crate::isa::Isa;
use crate::simd::{Kernel, Level, Vectors};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The shortest time of one measurement.
const BURST: Duration = Duration::from_millis(2);

/// The number of measurements. The best one counts, because interruptions can only make a measurement slower.
const BURSTS: usize = 20;

/// The peak of f32 arithmetic on one thread at level `isa`, in GFLOP/s. It is measured with independent
/// chains of multiply-adds that stay in registers; each counts as two operations. The portable level has no
/// fused multiply-add, so there it is measured with a multiplication and an addition.
///
/// It takes about 50 ms. With more threads than cores, or on a processor that slows down when all cores work,
/// the peak of a thread is smaller where all threads measure at a time.
pub fn fma_peak(isa: Isa) -> f64 {
    fastest(|| isa.run(Chains) as f64) / 1e9
}

/// The peak of products of bfloat16s with sums in f32, on one thread at level `isa`, in GFLOP/s, measured as
/// [`fma_peak`]. Each of the two products of an instruction counts as two operations.
pub fn bf16_peak(isa: Isa) -> f64 {
    fastest(|| isa.run_bf16(Dots) as f64) / 1e9
}

/// The units of work for each second in the best measurement. `work` returns the number of units that it has
/// done.
pub fn fastest(mut work: impl FnMut() -> f64) -> f64 {
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
            // Reading the clock takes as long as copying a kilobyte, so it is read ever more rarely.
            calls = calls.saturating_mul(2);
        }
    };
    (0..BURSTS).map(|_| burst()).fold(0.0, f64::max)
}

/// Independent sums `a = a * x + y`. There are enough of them to hide the latency, and they fit in the
/// registers with `x` and `y`.
struct Chains;

impl Kernel for Chains {
    type Output = usize;

    #[inline(always)]
    fn run<S: Level>(self, s: S) -> usize {
        if S::WIDE_FILE { chains::<S, 24>(s) } else { chains::<S, 12>(s) }
    }
}

/// Runs `CHAINS` of [`Chains`], and returns the number of operations.
#[inline(always)]
fn chains<S: Level, const CHAINS: usize>(s: S) -> usize {
    const STEPS: usize = 1000;
    // Every chain tends to 2. The starts differ, because the compiler would merge chains with equal starts.
    let (x, y) = (s.vsplat_f32s(black_box(0.5)), s.vsplat_f32s(black_box(1.0)));
    let mut chains = [x; CHAINS];
    for (start, chain) in chains.iter_mut().enumerate() {
        *chain = s.vsplat_f32s(black_box(start as f32));
    }
    for _ in 0..STEPS {
        for chain in &mut chains {
            *chain = <f32 as Vectors>::mul_add(s, *chain, x, y);
        }
    }
    black_box(chains);
    STEPS * CHAINS * S::F32_LANES * 2
}

/// Independent sums of products of bfloat16s.
struct Dots;

impl Bf16Kernel for Dots {
    type Output = usize;

    #[inline(always)]
    fn run<S: Level, B: Bf16<S>>(self, s: S, bf16: B) -> usize {
        const STEPS: usize = 1000;
        let chains = if S::WIDE_FILE { 24 } else { 12 };
        // The products are a quarter and an eighth, and a sum never reaches a power of two so large that they
        // are lost.
        let words = [0x3f00_3f00, 0x3f00_3e80].map(|word| s.splat_u32s(black_box(word)));
        let mut sums = [s.vsplat_f32s(0.0); 24];
        // The compiler would merge sums with equal starts.
        for (start, sum) in sums.iter_mut().enumerate() {
            *sum = s.vsplat_f32s(black_box(start as f32));
        }
        for _ in 0..STEPS {
            for sum in &mut sums[..chains] {
                *sum = bf16.dot(s, words[0], words[1], *sum);
            }
        }
        black_box(sums);
        STEPS * chains * S::F32_LANES * 4
    }
}
