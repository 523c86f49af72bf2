//! Requests to stop: after the first signal, a run ends when the current step is done.

use crate::failure::{CONSEQUENCE, Failure, Saved};
use crate::system::signals::{ending, name};
use signal_hook::consts::SIGTERM;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a signal may take to arrive that another rank has received already, and the time between two
/// looks for it.
const ARRIVAL: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(1);

/// Whether the run was asked to stop, and by which signal.
#[derive(Debug, Clone)]
pub(crate) struct StopRequest {
    pub(crate) flag: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
    /// Whether signals end the process again.
    is_over: Arc<AtomicBool>,
}

impl StopRequest {
    /// From now on the first signal is a request; the second one ends the process at once, as a shell reports
    /// it.
    pub(crate) fn listen() -> io::Result<Self> {
        let this = Self { flag: Arc::default(), signal: Arc::default(), is_over: Arc::default() };
        for signal in ending() {
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&this.is_over))?;
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&this.flag))?;
            signal_hook::flag::register_usize(signal, Arc::clone(&this.signal), signal as usize)?;
            signal_hook::flag::register(signal, Arc::clone(&this.flag))?;
        }
        Ok(this)
    }

    /// From now on, signals end the process at once.
    pub(crate) fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// The failure of a run that was stopped before its first step.
    pub(crate) fn early_failure(&self) -> Failure {
        Failure::stopped_by(self.await_signal().unwrap_or(SIGTERM))
    }

    /// The failure of a run that was stopped after `steps` steps, and has left `saved`.
    pub(crate) fn failure(&self, steps: u64, saved: Option<Saved>) -> Failure {
        match self.await_signal() {
            Some(signal) => Failure::stopped(format!("{} after step {steps}", name(signal)), signal, saved),
            None => {
                let name = format!("another rank after step {steps}");
                Failure::Stopped { name, exit_code: CONSEQUENCE, saved }
            }
        }
    }

    /// The signal that this process received. A request that came with the sums of another rank may arrive
    /// before the signal, which goes to all ranks.
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

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::consts::SIGINT;

    fn failure(request: &StopRequest) -> (String, u8) {
        match request.failure(7, None) {
            Failure::Stopped { name, exit_code, .. } => (name, exit_code),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_own_signal_counts_although_it_comes_late() {
        let request = StopRequest { flag: Arc::default(), signal: Arc::default(), is_over: Arc::default() };
        let late = Arc::clone(&request.signal);
        let sender = std::thread::spawn(move || late.store(SIGINT as usize, Ordering::Relaxed));
        assert_eq!(failure(&request), ("SIGINT after step 7".to_string(), 130));
        sender.join().unwrap();
        let alone = StopRequest { flag: Arc::default(), signal: Arc::default(), is_over: Arc::default() };
        assert_eq!(failure(&alone), ("another rank after step 7".to_string(), CONSEQUENCE));
    }
}
