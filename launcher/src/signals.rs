//! The signals that ask a program to end.

use crate::failure::Failure;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// By an interrupt from the keyboard, by whoever manages processes, by a terminal that closes.
pub(crate) const ENDING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

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
        for signal in ENDING {
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&this.flag))?;
            signal_hook::flag::register_usize(signal, Arc::clone(&this.signal), signal as usize)?;
            signal_hook::flag::register(signal, Arc::clone(&this.flag))?;
        }
        Ok(this)
    }

    /// What a run ends with that was stopped after `steps` steps. Without a signal of its own, another rank had one.
    pub(crate) fn failure(&self, steps: u64) -> Failure {
        let signal = match self.signal.load(Ordering::Relaxed) as i32 {
            0 => SIGTERM,
            signal => signal,
        };
        Failure::Stopped {
            name: format!("{} after step {steps}", name(signal)),
            exit_code: 128 + signal as u8,
        }
    }
}

/// `SIGTERM`, or `signal 70`.
pub(crate) fn name(signal: i32) -> String {
    let name = signal_hook::low_level::signal_name(signal);
    name.map_or_else(|| format!("signal {signal}"), str::to_string)
}
