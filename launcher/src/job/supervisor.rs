//! The launcher while ranks run: it shows their output, notices how they end, and passes on signals.

use super::agent_connection::{Connection, Event};
use super::liveness::{BEAT, Beats, Liveness};
use super::message::{Assignment, FromAgent, RankStatus, ToAgent};
use super::outcomes::{Outcome, Outcomes};
use super::relay::{Relay, RelayPlan};
use super::screen::Screen;
use crate::failure::{CONSEQUENCE, Failure};
use crate::system::cores;
use std::ffi::OsString;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// How long the other ranks may take to end by themselves once one has failed: they notice at once, and say
/// why they end.
const GRACE: Duration = Duration::from_secs(2);
/// The same when a host is lost: its peers notice at once or, behind a dead link, too late to wait for.
const LOSS_GRACE: Duration = Duration::from_secs(1);
/// How long agents may take to kill ranks.
const LAST_WAIT: Duration = Duration::from_secs(3);

/// A host whose agent has answered, and the ranks that it is to run.
pub(crate) struct HostRanks {
    /// Its number in events.
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) connection: Connection,
    pub(crate) assignment: Assignment,
}

/// Starts the ranks of all hosts and watches them until the last one has ended. `events` are those of all
/// connections.
pub(crate) fn supervise(
    hosts: Vec<HostRanks>,
    events: &Receiver<Event>,
    plan: RelayPlan,
) -> Result<(), Failure> {
    let names = hosts.iter().flat_map(|host| vec![host.name.clone(); host.assignment.ranks as usize]);
    let names: Vec<String> = names.collect();
    let labels = names.iter().enumerate().map(|(rank, name)| format!("{rank}@{name}")).collect();
    let is_saving = hosts.iter().any(|host| host.assignment.args.iter().any(is_save));
    let (mut watched, mut assignments) = (Vec::new(), Vec::new());
    for HostRanks { number, name, connection, assignment } in hosts {
        watched.push(WatchedHost {
            number,
            name,
            first: assignment.first_rank,
            count: assignment.ranks,
            liveness: Liveness::new(Instant::now()),
            bindings: None,
            is_open: true,
            connection: Arc::new(connection),
        });
        assignments.push(assignment);
    }
    // To create output files can take longer than agents wait for a sign of life.
    let _pulse = pulse(watched.iter().map(|host| Arc::downgrade(&host.connection)).collect());
    let relay = Relay::new(plan, Screen::new(), labels)?;
    for (host, mut assignment) in watched.iter_mut().zip(assignments) {
        assignment.progress = relay.progress_columns();
        host.liveness.hear(Instant::now());
        host.connection.tell(&ToAgent::Start(Box::new(assignment)));
    }
    let mut supervisor =
        Supervisor { hosts: watched, outcomes: Outcomes::new(names), relay, stop: None, deadline: None };
    let result = supervisor.watch(events);
    supervisor.close(events);
    result?;
    let Supervisor { outcomes, mut relay, stop, .. } = supervisor;
    let result = outcomes.result(stop);
    if stop.is_some() && is_saving && outcomes.was_cut_off(0) {
        relay.say("rank 0 did not end by itself: the parameters after its last step were not saved\n");
    }
    explain(&result, &outcomes, &mut relay);
    result
}

/// Shows how each rank ended where that tells more than the error, and the last lines of the rank that
/// failed.
fn explain(result: &Result<(), Failure>, outcomes: &Outcomes, relay: &mut Relay) {
    match result {
        Err(Failure::Rank { rank, .. }) if outcomes.count() > 1 => {
            let lines: Vec<&str> = relay.last_lines(*rank).collect();
            let last = match lines.as_slice() {
                [] => String::new(),
                lines => format!("the last lines of rank {rank}:\n  {}\n", lines.join("\n  ")),
            };
            relay.say(&format!("{}{last}", outcomes.table()));
        }
        Err(Failure::Host { .. } | Failure::SilentRank { .. }) => relay.say(&outcomes.table()),
        _ => (),
    }
}

/// Whether this argument of the ranks is `--save`.
fn is_save(arg: &OsString) -> bool {
    arg.to_str().is_some_and(|arg| arg == "--save" || arg.starts_with("--save="))
}

/// Gives the agents signs of life until the returned sender is dropped. A thread of its own does, since the
/// launcher itself may wait for a slow reader of its output.
fn pulse(connections: Vec<Weak<Connection>>) -> Sender<()> {
    let (pulse, stop) = channel();
    thread::spawn(move || {
        while stop.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
            connections.iter().filter_map(Weak::upgrade).for_each(|agent| agent.tell(&ToAgent::Beat));
        }
    });
    pulse
}

/// A host while its ranks run.
struct WatchedHost {
    number: usize,
    name: String,
    first: u32,
    count: u32,
    connection: Arc<Connection>,
    liveness: Liveness,
    bindings: Option<Vec<Option<Vec<usize>>>>,
    is_open: bool,
}

impl WatchedHost {
    fn ranks(&self) -> std::ops::Range<u32> {
        self.first..self.first + self.count
    }
}

struct Supervisor {
    hosts: Vec<WatchedHost>,
    outcomes: Outcomes,
    relay: Relay,
    /// The signal that asked for the end of the job.
    stop: Option<i32>,
    /// When ranks that still run are killed and, later, given up.
    deadline: Option<Deadline>,
}

#[derive(Debug, Clone, Copy)]
enum Deadline {
    Kill(Instant),
    GiveUp(Instant),
}

impl Deadline {
    fn time(self) -> Instant {
        match self {
            Self::Kill(time) | Self::GiveUp(time) => time,
        }
    }
}

impl Supervisor {
    fn watch(&mut self, events: &Receiver<Event>) -> Result<(), Failure> {
        // The pulse sends the signs of life; here, the turns of the loop tell whether this process ran.
        let mut beats = Beats::new(Instant::now());
        while !self.outcomes.are_all_known() {
            let now = Instant::now();
            if let Some(late) = beats.due(now) {
                self.hosts.iter_mut().for_each(|host| host.liveness.excuse(late));
            }
            for host in 0..self.hosts.len() {
                if self.hosts[host].is_open && self.hosts[host].liveness.is_lost(now) {
                    self.hosts[host].connection.cut();
                    self.lose(host, Liveness::problem());
                }
            }
            match self.deadline {
                Some(Deadline::Kill(time)) if now >= time => self.kill(),
                Some(Deadline::GiveUp(time)) if now >= time => break,
                _ => (),
            }
            let open = self.hosts.iter().filter(|host| host.is_open);
            let times = open.map(|host| host.liveness.deadline()).chain(self.deadline.map(Deadline::time));
            let wake = times.fold(beats.next(), Instant::min);
            match events.recv_timeout(wake.saturating_duration_since(now)) {
                Ok(event) => self.handle(event)?,
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => unreachable!("the caller holds a sender"),
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Signal(signal) => self.stop(signal),
            Event::Closed(number, loss) => {
                if let Some(host) = self.index_of(number) {
                    self.lose(host, loss.problem);
                }
            }
            Event::LoggedIn(_) | Event::Copying(..) => (),
            Event::Message(number, message) => {
                // Hosts without ranks are not watched.
                let Some(host) = self.index_of(number) else { return Ok(()) };
                self.hosts[host].liveness.hear(Instant::now());
                match message {
                    FromAgent::Output { rank, is_error, bytes } if self.has(host, rank) => {
                        self.take(rank, is_error, &bytes)?;
                    }
                    FromAgent::Ended { rank, status } if self.has(host, rank) => {
                        self.relay.finish(rank)?;
                        self.outcomes.add(rank, Outcome::Status(status));
                        if !self.is_expected(status) {
                            self.expect_the_end(GRACE);
                        }
                    }
                    FromAgent::Started(bindings) => {
                        self.hosts[host].bindings = Some(bindings);
                        self.announce_bindings()?;
                    }
                    FromAgent::Failed(problem) => self.lose(host, problem),
                    _ => (),
                }
            }
        }
        Ok(())
    }

    /// Whether the other ranks may go on when one ends like this. After a request to stop, all ranks end in
    /// order, and rank 0 last, as it may have parameters to save.
    fn is_expected(&self, status: RankStatus) -> bool {
        match (status, self.stop) {
            (RankStatus::Code(0), _) => true,
            (RankStatus::Code(code), Some(signal)) => code == 128 + signal || code == i32::from(CONSEQUENCE),
            _ => false,
        }
    }

    fn index_of(&self, number: usize) -> Option<usize> {
        self.hosts.iter().position(|host| host.number == number)
    }

    fn has(&self, host: usize, rank: u32) -> bool {
        self.hosts[host].ranks().contains(&rank)
    }

    /// Shows output. If that fails, the job ends, unless it is ending already.
    fn take(&mut self, rank: u32, is_error: bool, bytes: &[u8]) -> Result<(), Failure> {
        match self.relay.take(rank, is_error, bytes) {
            Err(_) if self.stop.is_some() => Ok(()),
            Err(failure) => {
                self.kill();
                Err(failure)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Prints the cores of each rank, once the ranks of all hosts have started.
    fn announce_bindings(&mut self) -> Result<(), Failure> {
        let is_one = self.hosts.len() == 1;
        let line = |host: &WatchedHost| {
            let place = if is_one { String::new() } else { format!(" of {}", host.name) };
            let bindings = binding(host.first, host.bindings.as_deref()?);
            Some(format!("ranks{place} and their cores: {bindings}"))
        };
        let lines: Option<Vec<String>> = self.hosts.iter().map(line).collect();
        lines.into_iter().flatten().try_for_each(|line| self.relay.announce(&line))
    }

    /// The first signal asks all ranks to end after the current step; the second one kills them.
    fn stop(&mut self, signal: i32) {
        if self.stop.replace(signal).is_some() {
            self.kill();
        } else {
            self.relay.say("stopping after the current step; a second signal stops at once\n");
            self.tell_all(&ToAgent::Signal(signal));
        }
    }

    /// Notes that a host is lost. Its agent and its ranks end by themselves.
    fn lose(&mut self, host: usize, problem: String) {
        let WatchedHost { is_open, name, .. } = &mut self.hosts[host];
        if !std::mem::take(is_open) {
            return;
        }
        let name = name.clone();
        let running: Vec<u32> =
            self.hosts[host].ranks().filter(|rank| !self.outcomes.is_known(*rank)).collect();
        if running.is_empty() {
            return;
        }
        self.outcomes.add_host(&name, problem);
        running.into_iter().for_each(|rank| self.outcomes.add(rank, Outcome::Lost));
        self.expect_the_end(LOSS_GRACE);
    }

    /// One rank has failed: the others may take `grace` to end by themselves.
    fn expect_the_end(&mut self, grace: Duration) {
        self.deadline.get_or_insert(Deadline::Kill(Instant::now() + grace));
    }

    fn kill(&mut self) {
        self.tell_all(&ToAgent::Kill);
        self.deadline = Some(Deadline::GiveUp(Instant::now() + LAST_WAIT));
    }

    fn tell_all(&self, message: &ToAgent) {
        self.hosts.iter().filter(|host| host.is_open).for_each(|host| host.connection.tell(message));
    }

    /// Closes all connections, and waits until the agents have ended.
    fn close(&mut self, events: &Receiver<Event>) {
        let open = self.hosts.iter().filter(|host| host.is_open);
        let mut open: Vec<usize> = open.map(|host| host.number).collect();
        self.hosts.clear();
        let deadline = Instant::now() + LAST_WAIT;
        while !open.is_empty() {
            match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::Closed(number, _)) => open.retain(|host| *host != number),
                Ok(_) => (),
                Err(_) => break,
            }
        }
    }
}

/// `0 on 0-1; 1 on 2`, or `all 2, not bound`.
fn binding(first: u32, bindings: &[Option<Vec<usize>>]) -> String {
    let part = |(own, rank): (&Option<Vec<usize>>, u32)| {
        own.as_ref().map(|own| format!("{rank} on {}", cores::list(own)))
    };
    let parts: Option<Vec<String>> = bindings.iter().zip(first..).map(part).collect();
    parts.map_or_else(|| format!("all {}, not bound", bindings.len()), |parts| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_listed_by_rank() {
        assert_eq!(binding(2, &[Some(vec![0, 1]), Some(vec![2])]), "2 on 0-1; 3 on 2");
        assert_eq!(binding(0, &[None, None]), "all 2, not bound");
    }
}
