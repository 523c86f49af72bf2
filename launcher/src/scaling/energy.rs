//! The energy counters of the processors (RAPL), where the system shows them.

use std::fs;
use std::path::PathBuf;

/// Where Linux has the counters.
const FOLDER: &str = "/sys/class/powercap";

/// The counters of all processors at one time.
#[derive(Debug)]
pub(super) struct Energy(Vec<Counter>);

#[derive(Debug)]
struct Counter {
    path: PathBuf,
    microjoules: u64,
    /// The counter begins again at 0 behind this.
    most: u64,
}

fn number(path: PathBuf) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

impl Energy {
    /// The counters now; `None` if there are none that may be read.
    pub(super) fn now() -> Option<Self> {
        let entries = fs::read_dir(FOLDER).ok()?.flatten().map(|entry| entry.path());
        // `intel-rapl:0` is a processor; `intel-rapl:0:1` is a part of it.
        let is_processor = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("intel-rapl:") && name.matches(':').count() == 1
        };
        let counter = |path: PathBuf| {
            let microjoules = number(path.join("energy_uj"))?;
            let most = number(path.join("max_energy_range_uj"))?;
            Some(Counter { path, microjoules, most })
        };
        let counters: Vec<Counter> = entries.filter(is_processor).filter_map(counter).collect();
        (!counters.is_empty()).then_some(Self(counters))
    }

    /// Joules since these counters were read, if they can still be.
    pub(super) fn joules_since(&self) -> Option<f64> {
        let since = |counter: &Counter| {
            let now = number(counter.path.join("energy_uj"))?;
            Some(difference(counter.microjoules, now, counter.most))
        };
        let parts: Option<Vec<u64>> = self.0.iter().map(since).collect();
        Some(parts?.into_iter().sum::<u64>() as f64 / 1e6)
    }
}

/// From `before` to `now`, of a counter that begins again behind `most`.
fn difference(before: u64, now: u64, most: u64) -> u64 {
    if now >= before { now - before } else { most.saturating_sub(before) + now }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_may_begin_again() {
        assert_eq!([difference(10, 30, 100), difference(90, 5, 100)], [20, 15]);
    }
}
