//! Jobs: ranks on one host or many, started and watched.
//!
//! ```text
//! launcher --- agent of host 0 --- ranks 0, 1
//!          \-- agent of host 1 --- ranks 2, 3
//! ```
//!
//! An agent is this program as `isograd agent`: a child of the launcher on its own machine, started over SSH
//! on another. The two talk through the agent's standard input and output (see [`message`]). The agent starts
//! the host's ranks, passes on what they print and how they end, and kills them when the launcher says so,
//! closes the connection, or falls silent. So no process of a job outlives its launcher, however the launcher
//! ends.

mod agent;
mod agent_connection;
mod liveness;
mod message;
mod options;
mod outcomes;
mod private_folder;
mod rank_process;
mod reach;
mod relay;
mod screen;
mod supervisor;

pub(crate) use agent::run as run_agent;
pub(crate) use agent_connection::{AgentLink, Connection, Event, MessageReader};
pub(crate) use liveness::{Beats, Liveness};
pub(crate) use message::{
    Assignment, Decoder, FromAgent, Meeting, MeetingAddress, MeetingPoint, Route, ToAgent, Way,
};
pub(crate) use options::JobPlan;
pub(crate) use private_folder::remove_at_end;
pub(crate) use reach::random;
pub(crate) use supervisor::{HostRanks, supervise};

use crate::failure::Failure;
use crate::system::signals::ending;
use std::sync::mpsc::Sender;

/// Turns signals to this process into events.
pub(crate) fn watch_signals(events: &Sender<Event>) -> Result<(), Failure> {
    let mut signals = signal_hook::iterator::Signals::new(ending()).map_err(Failure::Signals)?;
    let events = events.clone();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            // When the job is over, nothing receives events any more.
            let _ = events.send(Event::Signal(signal));
        }
    });
    Ok(())
}
