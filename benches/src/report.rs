//! The line that a benchmark prints.

use crate::peak::copy_peak;
use isograd_kernels::Isa;
use isograd_kernels::peak::bf16_peak;
use std::time::Duration;

/// The work of one run of a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Floating-point operations. A multiply-add counts as two.
    Flops(usize),
    /// The same, where the factors of products are rounded to bfloat16.
    Bf16Flops(usize),
    /// Memory traffic.
    Bytes {
        /// The least number of bytes that the operation must read or write. A value that is read again after
        /// all others counts again.
        moved: usize,
        /// The number of bytes in all buffers.
        footprint: usize,
    },
    /// Samples that are trained on.
    Samples(usize),
    /// Items that go through a pipeline.
    Items(usize),
    /// A run that cannot take less than this: its critical path.
    AtLeast(Duration),
}

impl Work {
    /// The traffic of `passes` reads or writes of a whole f32 buffer. There are `buffers` buffers of `len`
    /// elements each.
    pub fn streams(len: usize, passes: usize, buffers: usize) -> Self {
        let bytes = len * size_of::<f32>();
        Self::Bytes { moved: passes * bytes, footprint: buffers * bytes }
    }
}

/// The measurements of a benchmark.
pub(crate) struct Report<'a> {
    pub(crate) name: &'a str,
    pub(crate) isa: Isa,
    pub(crate) threads: usize,
    pub(crate) work: Work,
    /// The median time of one run.
    pub(crate) median_ns: f64,
}

impl Report<'_> {
    /// The whole line. `fma_peak` is called only if the work is arithmetic in f32, and returns GFLOP/s.
    pub(crate) fn line(&self, fma_peak: impl FnOnce() -> f64) -> String {
        let Self { name, isa, threads, work, median_ns } = self;
        let rate = match *work {
            Work::Flops(flops) => against(flops as f64 / median_ns, "GFLOP/s", fma_peak(), "FMA"),
            Work::Bf16Flops(flops) => {
                against(flops as f64 / median_ns, "GFLOP/s", bf16_peak(*isa), "bfloat16")
            }
            Work::Bytes { moved, footprint } => {
                against(moved as f64 / median_ns, "GB/s", copy_peak(footprint), "copy")
            }
            Work::Samples(samples) => format!("{:.0} samples/s", samples as f64 / median_ns * 1e9),
            Work::Items(items) => format!("{:.0} items/s", items as f64 / median_ns * 1e9),
            Work::AtLeast(path) => {
                let path_ns = path.as_nanos() as f64;
                format!("{:.1} % of the critical path of {}", 100.0 * median_ns / path_ns, humanise(path_ns))
            }
        };
        let threads = format!("{threads} thread{}", if *threads == 1 { "" } else { "s" });
        format!("{name:<58} {:<8}  {threads}  median {:>9}  {rate}", isa.name(), humanise(*median_ns))
    }
}

fn against(rate: f64, unit: &str, peak: f64, peak_name: &str) -> String {
    let percent = 100.0 * rate / peak;
    format!("{rate:6.1} {unit}  {percent:3.0} % of the {peak_name} peak of {peak:.1}")
}

/// A time with four digits, in the unit that suits it.
fn humanise(ns: f64) -> String {
    let (value, unit) = match ns {
        ..1e3 => (ns, "ns"),
        ..1e6 => (ns / 1e3, "us"),
        ..1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    let decimals = if value < 10.0 {
        3
    } else if value < 100.0 {
        2
    } else {
        1
    };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_rate_and_percent_of_peak() {
        let report = Report {
            name: "conv forward",
            isa: Isa::portable(),
            threads: 1,
            work: Work::Flops(50_000),
            median_ns: 1e3,
        };
        let line = report.line(|| 200.0);
        assert!(line.starts_with("conv forward   "), "{line}");
        assert!(
            line.ends_with("1 thread  median  1.000 us    50.0 GFLOP/s   25 % of the FMA peak of 200.0"),
            "{line}"
        );
    }

    #[test]
    fn samples_have_no_peak() {
        let work = Work::Samples(64);
        let report = Report { name: "t", isa: Isa::portable(), threads: 2, work, median_ns: 1e6 };
        let line = report.line(|| panic!("samples are not compared with a peak"));
        assert!(line.ends_with("2 threads  median  1.000 ms  64000 samples/s"), "{line}");
    }

    #[test]
    fn times_have_four_digits() {
        let nanos = [3.0, 42.13e3, 999.9e6, 2.5e9].map(humanise);
        assert_eq!(nanos, ["3.000 ns", "42.13 us", "999.9 ms", "2.500 s"]);
    }

    #[test]
    fn streams_count_passes_and_buffers() {
        assert_eq!(Work::streams(10, 7, 4), Work::Bytes { moved: 280, footprint: 160 });
    }
}
