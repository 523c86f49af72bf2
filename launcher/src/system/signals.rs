//! The signals that ask a program to end.

use crate::failure::{CONSEQUENCE, Failure};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long the signal may take that another rank has had already, and the time between two looks.
const ARRIVAL: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(1);

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

/// A request to end in order.
#[derive(Debug, Clone)]
pub(crate) struct StopRequest {
    pub(crate) flag: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl StopRequest {
    /// From now on the first signal is a request; the second one ends the process at once, as a shell reports it.
    pub(crate) fn listen() -> io::Result<Self> {
        let this = Self { flag: Arc::default(), signal: Arc::default() };
        for signal in ending() {
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&this.flag))?;
            signal_hook::flag::register_usize(signal, Arc::clone(&this.signal), signal as usize)?;
            signal_hook::flag::register(signal, Arc::clone(&this.flag))?;
        }
        Ok(this)
    }

    /// What a run ends with that was stopped after `steps` steps and has saved its parameters, if it was to.
    pub(crate) fn failure(&self, steps: u64, saved: Option<PathBuf>) -> Failure {
        match self.await_signal() {
            Some(signal) => stopped(format!("{} after step {steps}", name(signal)), signal, saved),
            None => {
                let name = format!("another rank after step {steps}");
                Failure::Stopped { name, exit_code: CONSEQUENCE, saved }
            }
        }
    }

    /// The signal of this process. A request that came with another rank's sums may be ahead of the signal that goes to all.
    fn await_signal(&self) -> Option<i32> {
        let start = Instant::now();
        loop {
            match self.signal.load(Ordering::Relaxed) as i32 {
                0 if start.elapsed() < ARRIVAL => std::thread::sleep(LOOK),
                0 => return None,
                signal => return Some(signal),
            }
        }
    }
}

/// A run that a signal has ended.
pub(crate) fn stopped_by(signal: i32) -> Failure {
    stopped(name(signal), signal, None)
}

/// As a shell reports it.
fn stopped(name: String, signal: i32, saved: Option<PathBuf>) -> Failure {
    Failure::Stopped { name, exit_code: u8::try_from(128 + signal).unwrap_or(1), saved }
}

/// `SIGTERM`, or `signal 70`.
pub(crate) fn name(signal: i32) -> String {
    let name = signal_hook::low_level::signal_name(signal);
    name.map_or_else(|| format!("signal {signal}"), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(request: &StopRequest) -> (String, u8) {
        match request.failure(7, None) {
            Failure::Stopped { name, exit_code, .. } => (name, exit_code),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_own_signal_counts_although_it_comes_late() {
        let request = StopRequest { flag: Arc::default(), signal: Arc::default() };
        let late = Arc::clone(&request.signal);
        let sender = std::thread::spawn(move || late.store(SIGINT as usize, Ordering::Relaxed));
        assert_eq!(failure(&request), ("SIGINT after step 7".to_string(), 130));
        sender.join().unwrap();
        let alone = StopRequest { flag: Arc::default(), signal: Arc::default() };
        assert_eq!(failure(&alone), ("another rank after step 7".to_string(), CONSEQUENCE));
    }
}
