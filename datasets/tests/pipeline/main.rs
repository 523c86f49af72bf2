//! Streaming stages: order, results, ends, bad input, sources, memory, and thousands of random graphs.

mod bad_input;
mod ends;
mod memory;
mod monitor;
mod random_graphs;
mod sources;
mod stages;
mod trainers;

use std::sync::mpsc;
use std::time::Duration;

/// Runs `test` and fails if it has not ended in a time that only a deadlock takes. Its threads then stay
/// behind.
fn within<R: Send + 'static>(name: &str, limit: Duration, test: impl FnOnce() -> R + Send + 'static) -> R {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || sender.send(test()));
    match receiver.recv_timeout(limit) {
        Ok(result) => {
            let _ = thread.join();
            result
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{name} has not ended within {limit:?}"),
        // The test panicked: with its message.
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(payload) => std::panic::resume_unwind(payload),
            Ok(_) => unreachable!("it would have sent its result"),
        },
    }
}

const LONG: Duration = Duration::from_secs(60);
