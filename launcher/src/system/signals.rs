//! The signals that ask a program to end.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// An interrupt from the keyboard, a request of whoever manages processes, a terminal that closes: but for those that this
/// process was started to ignore, as `nohup` does.
pub(crate) fn ending() -> impl Iterator<Item = i32> {
    let ignored = ignored();
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(move |signal| ignored & (1 << (signal - 1)) == 0)
}

/// A bit for each signal that this process ignores, as far as known.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// `SIGTERM`, or `signal 70`.
pub(crate) fn name(signal: i32) -> String {
    let name = signal_hook::low_level::signal_name(signal);
    name.map_or_else(|| format!("signal {signal}"), str::to_string)
}
