//! A job: ranks on one host or many, started and watched.
//!
//! ```text
//! launcher --- agent of host 0 --- ranks 0, 1
//!          \-- agent of host 1 --- ranks 2, 3
//! ```
//!
//! An agent is this program as `isograd agent`: a child of the launcher on its own machine, started over SSH on another. The
//! two talk through the agent's standard input and output (see [`message`]). The agent starts the host's ranks, passes on
//! what they print and how they end, and ends them all when the launcher says so, closes, or falls silent. So nothing of a
//! job outlives its launcher, however that ends.

mod agent;
mod connection;
mod end;
mod message;
mod options;
mod rank;
mod reach;
mod relay;
mod screen;
mod supervisor;

pub(crate) use agent::run as run_agent;
pub(crate) use connection::{Connection, Ear, Event, Wire};
pub(crate) use message::{Assignment, Decoder, FromAgent, Meeting, Route, Summons, ToAgent, Way};
pub(crate) use options::{JobPlan, check_command};
pub(crate) use rank::{MEETING, PARENT, PROGRESS};
pub(crate) use reach::random;
pub(crate) use supervisor::{HostRanks, supervise};

use crate::failure::Failure;
use crate::system::signals::ending;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// Time between two signs of life, of launcher and agents alike.
pub(crate) const BEAT: Duration = Duration::from_secs(1);
/// How long one may be silent before the other takes it for lost.
pub(crate) const SILENCE: Duration = Duration::from_secs(5);
/// How long the other ranks may take to end by themselves once one has failed: they notice at once, and say so.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// Turns signals to this process into events.
pub(crate) fn watch_signals(events: &Sender<Event>) -> Result<(), Failure> {
    let mut signals = signal_hook::iterator::Signals::new(ending()).map_err(Failure::Signals)?;
    let events = events.clone();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            // Nobody waits any more when the job is over.
            let _ = events.send(Event::Signal(signal));
        }
    });
    Ok(())
}

/// What is said of a host whose agent was silent for too long.
pub(crate) fn silence() -> String {
    format!("it gave no sign of life for {} s", SILENCE.as_secs())
}
