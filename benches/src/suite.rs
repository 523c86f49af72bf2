//! A benchmark binary. criterion runs the benchmarks, and each one that was timed gets a line of report.

use crate::report::{Report, Work};
use criterion::{Criterion, SamplingMode};
use isograd_kernels::Isa;
use isograd_kernels::peak::fma_peak;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The benchmarks of one family.
pub struct Suite {
    criterion: Criterion,
    family: &'static str,
    levels: Vec<Isa>,
    fma_peaks: Vec<(Isa, f64)>,
}

impl Suite {
    /// A suite of kernels called `family`. It takes 40 samples of each benchmark in 0.8 s, unless the command
    /// line says otherwise.
    pub fn new(family: &'static str) -> Self {
        Self::with_samples(family, 40, Duration::from_millis(800))
    }

    /// A suite that takes `samples` of each benchmark (at least 10) in about `time`, unless the command line
    /// says otherwise.
    pub fn with_samples(family: &'static str, samples: usize, time: Duration) -> Self {
        let criterion = Criterion::default()
            .without_plots()
            .sample_size(samples)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(time)
            .configure_from_args();
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Self { criterion, family, levels: levels(&arguments), fma_peaks: Vec::new() }
    }

    /// The levels to benchmark: the levels that the command line names, or else the best level of the CPU.
    pub fn levels(&self) -> Vec<Isa> {
        self.levels.clone()
    }

    /// Benchmarks a kernel on one thread. If the benchmark is selected, `setup` makes its data, checks its
    /// result, and returns the call whose time is measured.
    pub fn kernel<F: FnMut()>(&mut self, isa: Isa, name: &str, work: Work, setup: impl FnOnce() -> F) {
        self.custom(isa, 1, name, work, || {
            let mut call = setup();
            move |runs| {
                let start = Instant::now();
                for _ in 0..runs {
                    // The compiler must assume that everything the call writes is read here, so it leaves
                    // nothing out.
                    black_box(&mut call)();
                }
                start.elapsed()
            }
        });
    }

    /// As [`kernel`](Self::kernel), for any number of threads. The call takes a number of runs and returns
    /// the time that they took.
    pub fn custom<F: FnMut(u64) -> Duration>(
        &mut self,
        isa: Isa,
        threads: usize,
        name: &str,
        work: Work,
        setup: impl FnOnce() -> F,
    ) {
        let (mut setup, mut timed) = (Some(setup), None);
        let mut samples = Vec::new();
        let mut group = self.criterion.benchmark_group(self.family);
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(format!("{name} {isa}"), |bencher| {
            let timed =
                timed.get_or_insert_with(|| setup.take().expect("criterion calls the benchmark once")());
            bencher.iter_custom(|runs| {
                let elapsed = timed(runs);
                samples.push((runs, elapsed));
                elapsed
            });
        });
        group.finish();
        let Some(median_ns) = median_ns(&samples) else { return };
        let name = format!("{} {name}", self.family);
        let line = Report { name: &name, isa, threads, work, median_ns }.line(|| self.fma_peak(isa));
        println!("{line}\n");
    }

    /// Ends the run.
    pub fn finish(self) {
        self.criterion.final_summary();
    }

    fn fma_peak(&mut self, isa: Isa) -> f64 {
        if let Some((_, peak)) = self.fma_peaks.iter().find(|(level, _)| *level == isa) {
            return *peak;
        }
        let peak = fma_peak(isa);
        self.fma_peaks.push((isa, peak));
        peak
    }
}

fn levels(arguments: &[String]) -> Vec<Isa> {
    let named = |isa: &Isa| arguments.iter().any(|argument| argument.contains(isa.name()));
    let levels: Vec<Isa> = Isa::available().into_iter().filter(named).collect();
    if levels.is_empty() { vec![Isa::best()] } else { levels }
}

/// The median time of a run in nanoseconds, or `None` if nothing was timed. criterion's test mode makes only
/// one run and times nothing.
///
/// `samples` are criterion's calls, each with a number of runs and their time. During the warm-up this number
/// doubles from call to call; flat sampling follows, where it is constant.
fn median_ns(samples: &[(u64, Duration)]) -> Option<f64> {
    let &[_, .., (last_runs, _)] = samples else { return None };
    let mut times: Vec<f64> = samples
        .iter()
        .rev()
        .take_while(|(runs, _)| *runs == last_runs)
        .map(|(runs, time)| time.as_nanos() as f64 / *runs as f64)
        .collect();
    times.sort_by(f64::total_cmp);
    let middle = times.len() / 2;
    Some(if times.len() % 2 == 1 { times[middle] } else { (times[middle - 1] + times[middle]) / 2.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_leaves_the_warm_up_out() {
        let ms = Duration::from_millis;
        let warm_up = [(1, ms(900)), (2, ms(1800))];
        let odd = [(10, ms(30)), (10, ms(10)), (10, ms(20))];
        assert_eq!(median_ns(&[&warm_up[..], &odd].concat()), Some(2e6));
        assert_eq!(median_ns(&[&warm_up[..], &odd[..2]].concat()), Some(2e6));
        assert_eq!(median_ns(&[(1, ms(5))]), None);
        assert_eq!(median_ns(&[]), None);
    }

    #[test]
    fn a_filter_that_names_a_level_selects_it() {
        let portable = ["--bench".to_owned(), "conv2 portable".to_owned()];
        assert_eq!(levels(&portable), [Isa::portable()]);
        assert_eq!(levels(&portable[..1]), [Isa::best()]);
    }
}
