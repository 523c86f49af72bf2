//! Logins at all hosts of a job at the same time.

use super::install::{SshInput, run_agent};
use super::needed;
use super::program::{Cache, Programs};
use crate::cli::LoginArgs;
use crate::failure::{Failure, HostFailure};
use crate::hosts::Host;
use crate::job::{Beats, Connection, Event, FromAgent, ToAgent};
use crate::ssh::{self, Logins, Options, Target};
use crate::system::escape::one_line;
use crate::system::host_facts::HostFacts;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// The longest time between a login and the agent's first message, apart from copying the program.
const AGENT_START: Duration = Duration::from_secs(20);
/// The lowest rate at which the program may be copied, in bytes per second.
const SLOWEST_COPY: u64 = 50_000;

/// A host whose agent has answered.
pub(crate) struct Member {
    /// The host's number in events.
    pub(crate) number: usize,
    pub(crate) host: Host,
    pub(crate) facts: HostFacts,
    pub(crate) connection: Connection,
    /// The host's clock minus the launcher's, in seconds, at the agent's first message.
    pub(crate) clock_skew_s: f64,
}

/// The hosts of a job while their agents are being started.
pub(crate) struct Roster {
    entries: Vec<Entry>,
    /// `None` if all hosts are this machine.
    shared: Option<Arc<Shared>>,
}

struct Entry {
    host: Host,
    connection: Connection,
    /// When to give it up; `None` while its login goes on.
    until: Option<Instant>,
    outcome: Option<Result<(Box<HostFacts>, f64), HostFailure>>,
}

impl Roster {
    /// Starts to log in at all hosts.
    pub(crate) fn start(hosts: &[Host], args: &LoginArgs, events: &Sender<Event>) -> Result<Self, Failure> {
        let mut entries = Vec::new();
        let is_remote = hosts.iter().any(|host| !host.is_here());
        let shared = is_remote.then(|| Shared::new(args)).transpose()?.map(Arc::new);
        for (number, host) in hosts.iter().enumerate() {
            let (connection, until) = match &shared {
                Some(shared) if !host.is_here() => {
                    let to_agent = SshInput::default();
                    let connection = to_agent.connection();
                    let (shared, host, events) = (Arc::clone(shared), host.clone(), events.clone());
                    thread::spawn(move || shared.serve(number, &host, &to_agent, &events));
                    // A login has a time limit of its own, which stops while the user is asked for something.
                    (connection, None)
                }
                _ => {
                    let connection = Connection::here(number, events).map_err(Failure::Start)?;
                    (connection, Some(Instant::now() + AGENT_START))
                }
            };
            entries.push(Entry { host: host.clone(), connection, until, outcome: None });
        }
        Ok(Self { entries, shared })
    }

    /// Waits until each host has an agent or a reason why not, or until the first ones have slots for all
    /// `ranks`.
    pub(crate) fn wait(&mut self, ranks: Option<u32>, events: &Receiver<Event>) -> Result<(), Failure> {
        let mut beats = Beats::new(Instant::now());
        while let Some(until) = self.next_deadline() {
            if self.covering(ranks).is_some() {
                // The logins that go on must not ask the user for anything.
                self.close_terminal();
                break;
            }
            let now = Instant::now();
            // An agent that has answered would end its host's part if the launcher were silent.
            if beats.due(now).is_some() {
                self.entries.iter().for_each(|entry| entry.connection.tell(&ToAgent::Beat));
            }
            match events.recv_timeout(until.min(beats.next()).saturating_duration_since(now)) {
                Ok(Event::Signal(signal)) => {
                    self.close_terminal();
                    return Err(Failure::stopped_by(signal));
                }
                Ok(event) => self.handle(event),
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => unreachable!("the caller holds a sender"),
            }
            self.give_up();
        }
        Ok(())
    }

    fn close_terminal(&self) {
        self.shared.iter().for_each(|shared| shared.logins.close_terminal());
    }

    /// How many of the first hosts have answered and have slots for all `ranks`.
    fn covering(&self, ranks: Option<u32>) -> Option<usize> {
        let answered = self.entries.iter().map_while(|entry| match &entry.outcome {
            Some(Ok((facts, _))) => Some(needed::slots(&entry.host, facts)),
            _ => None,
        });
        needed::covering(answered, ranks)
    }

    /// The first deadline of the hosts without an outcome; `None` if all have one.
    fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.entries.iter().filter(|entry| entry.outcome.is_none());
        let far = Instant::now() + Duration::from_secs(3600);
        waiting.map(|entry| entry.until.unwrap_or(far)).min()
    }

    fn handle(&mut self, event: Event) {
        let now = Instant::now();
        let (number, outcome) = match event {
            Event::LoggedIn(number) => {
                self.entries[number].until = Some(now + AGENT_START);
                return;
            }
            Event::Copying(number, bytes) => {
                let entry = &mut self.entries[number];
                entry.until = Some(now + AGENT_START + Duration::from_secs(bytes / SLOWEST_COPY));
                let megabytes = bytes as f64 / 1e6;
                eprintln!("host {}: copying the program ({megabytes:.1} MB)", entry.host.name);
                return;
            }
            Event::Message(number, FromAgent::Hello(facts)) => {
                let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                let here = here.unwrap_or_default().as_secs_f64();
                let skew = facts.clock_us as f64 / 1e6 - here;
                let outcome = match facts.version == env!("CARGO_PKG_VERSION") {
                    true => Ok((facts, skew)),
                    false => Err(format!("its agent has version {}", one_line(&facts.version)).into()),
                };
                (number, outcome)
            }
            Event::Message(number, FromAgent::Failed(problem)) => (number, Err(one_line(&problem).into())),
            Event::Closed(number, loss) => (number, Err(loss)),
            Event::Message(..) | Event::Signal(_) => return,
        };
        let slot = &mut self.entries[number].outcome;
        // A failure replaces an answer: then the agent was lost after it.
        if outcome.is_err() || slot.is_none() {
            *slot = Some(outcome);
        }
    }

    /// Gives up the hosts whose time is over. This does not depend on whether other hosts send something.
    fn give_up(&mut self) {
        for entry in &mut self.entries {
            if entry.outcome.is_none() && entry.until.is_some_and(|until| until <= Instant::now()) {
                entry.connection.cut();
                entry.outcome = Some(Err("its agent did not answer in time".to_string().into()));
            }
        }
    }

    /// The outcome of each host.
    pub(crate) fn into_outcomes(self) -> Vec<(Host, Result<Member, HostFailure>)> {
        let outcome = |(number, entry): (usize, Entry)| {
            let Entry { host, connection, outcome, .. } = entry;
            let member = outcome.expect("each host has an outcome").map(|(facts, clock_skew_s)| Member {
                number,
                host: host.clone(),
                facts: *facts,
                connection,
                clock_skew_s,
            });
            (host, member)
        };
        self.entries.into_iter().enumerate().map(outcome).collect()
    }

    /// The hosts that are needed for `ranks`, or the reasons of all that do not take part. The others are let
    /// go.
    pub(crate) fn into_members(mut self, ranks: Option<u32>) -> Result<Vec<Member>, Failure> {
        self.entries.truncate(self.covering(ranks).unwrap_or(self.entries.len()));
        let (mut members, mut losses) = (Vec::new(), Vec::new());
        for (host, outcome) in self.into_outcomes() {
            match outcome {
                Ok(member) => members.push(member),
                Err(loss) => losses.push((host.name, loss)),
            }
        }
        if losses.is_empty() { Ok(members) } else { Err(Failure::LostHosts { losses }) }
    }
}

/// Warns of hosts that are one machine under several names.
pub(crate) fn warn_of_aliases(members: &[Member]) {
    for problem in aliases(members) {
        log::warn!("{problem}");
    }
}

fn aliases(members: &[Member]) -> Vec<String> {
    let machine = |member: &Member| member.facts.machine.clone();
    let alias = |(place, member): (usize, &Member)| {
        let own = machine(member)?;
        let first = members[..place].iter().find(|other| machine(other).as_ref() == Some(&own))?;
        let [first, name] = [first, member].map(|member| &member.host.name);
        Some(format!("hosts {first} and {name} are one machine: their ranks share its cores"))
    };
    members.iter().enumerate().filter_map(alias).collect()
}

/// Prepares the logins at all hosts: reads the configuration of SSH.
pub(super) fn logins(args: &LoginArgs) -> Result<Logins, Failure> {
    let options = Options {
        config: args.ssh_config.clone(),
        known_hosts: args.known_hosts.clone(),
        timeout: args.connect_timeout,
        interactive: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
    };
    Logins::new(options).map_err(|error| {
        let is_own = |path: &PathBuf| args.ssh_config.as_ref() == Some(path);
        let option = match &error {
            ssh::Error::File { path, .. } | ssh::Error::Config { path, .. } if is_own(path) => {
                "--ssh-config "
            }
            _ => "",
        };
        Failure::Logins { problem: format!("{option}{error}"), hint: error.hint() }
    })
}

/// What a hostfile says of the login at a host.
pub(super) fn target(host: &Host) -> Target {
    let identity = host.identity.clone().map(with_home);
    Target { host: host.name.clone(), user: host.user.clone(), port: host.port, identity }
}

/// What the logins at all hosts share.
struct Shared {
    logins: Logins,
    programs: Programs,
    cache: Cache,
}

impl Shared {
    fn new(args: &LoginArgs) -> Result<Self, Failure> {
        Ok(Self {
            logins: logins(args)?,
            programs: Programs::own().map_err(Failure::Start)?,
            cache: Cache::new(args.cache.as_deref()),
        })
    }

    /// Logs in at a host, and runs its agent until that ends.
    fn serve(&self, number: usize, host: &Host, to_agent: &SshInput, events: &Sender<Event>) {
        let end = match self.logins.connect(&target(host)) {
            Ok(mut session) => {
                let _ = events.send(Event::LoggedIn(number));
                match run_agent(&mut session, number, &self.programs, &self.cache, to_agent, events) {
                    Ok(()) => "its agent has ended".to_string().into(),
                    Err(problem) => one_line(&problem).into(),
                }
            }
            Err(error) => cannot_log_in(host, &error),
        };
        // The receiver is gone when the job is over.
        let _ = events.send(Event::Closed(number, end));
    }
}

/// Replaces a `~` at the beginning by the home folder.
fn with_home(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

pub(super) fn cannot_log_in(host: &Host, error: &ssh::Error) -> HostFailure {
    HostFailure { problem: one_line(&error.to_string()), hint: error.hint().or_else(|| host.port_hint()) }
}

#[cfg(test)]
mod tests {
    use super::super::discard::Discard;
    use super::*;
    use crate::system::host_facts;
    use std::sync::mpsc::channel;

    fn entry(name: &str, until: Instant) -> Entry {
        let host = Host { name: name.to_string(), ..Host::default() };
        Entry { host, connection: Connection::new(Discard), until: Some(until), outcome: None }
    }

    fn member(name: &str, machine: Option<&str>) -> Member {
        let facts = HostFacts { machine: machine.map(str::to_string), ..host_facts::collect(false) };
        let host = Host { name: name.to_string(), ..Host::default() };
        Member { number: 0, host, facts, connection: Connection::new(Discard), clock_skew_s: 0.0 }
    }

    #[test]
    fn names_of_one_machine_are_found() {
        let members = [("a", Some("1")), ("b", Some("2")), ("c", None), ("d", Some("1")), ("e", None)];
        let members = members.map(|(name, machine)| member(name, machine));
        assert_eq!(aliases(&members), ["hosts a and d are one machine: their ranks share its cores"]);
    }

    #[test]
    fn what_an_agent_says_stays_on_its_line() {
        let (sender, events) = channel();
        let soon = Instant::now() + Duration::from_secs(20);
        let mut roster = Roster { entries: vec![entry("a", soon)], shared: None };
        sender.send(Event::Message(0, FromAgent::Failed("no\nerror: \x1b[2J".to_string()))).unwrap();
        roster.wait(None, &events).unwrap();
        let loss = roster.into_outcomes().remove(0).1.err().unwrap();
        assert_eq!(loss.problem, "no\\nerror: \\u{1b}[2J");
    }

    #[test]
    fn hosts_behind_those_that_have_slots_for_all_ranks_are_let_go() {
        let (sender, events) = channel();
        let late = Instant::now() + Duration::from_secs(3600);
        let mut roster =
            Roster { entries: ["a", "b", "c"].map(|name| entry(name, late)).into(), shared: None };
        roster.entries[0].host.slots = Some(2);
        let hello = || FromAgent::Hello(Box::new(host_facts::collect(false)));
        sender.send(Event::Closed(2, "it is down".to_string().into())).unwrap();
        sender.send(Event::Message(0, hello())).unwrap();
        sender.send(Event::Message(1, hello())).unwrap();
        assert!(roster.covering(Some(1)).is_none(), "no host has answered");
        roster.wait(Some(3), &events).unwrap();
        let names = roster.into_members(Some(3)).unwrap().into_iter().map(|member| member.host.name);
        assert_eq!(names.collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_silent_host_is_given_up_while_others_speak() {
        let (sender, events) = channel();
        let soon = Instant::now() + Duration::from_millis(50);
        let mut roster = Roster { entries: vec![entry("a", soon), entry("b", soon)], shared: None };
        sender.send(Event::Message(0, FromAgent::Hello(Box::new(host_facts::collect(false))))).unwrap();
        let speaker = thread::spawn(move || {
            // More often than any time limit, until the receiver is dropped.
            while sender.send(Event::Message(0, FromAgent::Beat)).is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
        });
        roster.wait(None, &events).unwrap();
        drop(events);
        speaker.join().unwrap();
        let outcomes = roster.into_outcomes();
        assert!(outcomes[0].1.is_ok());
        let loss = outcomes[1].1.as_ref().err().unwrap();
        assert_eq!(loss.problem, "its agent did not answer in time");
    }
}
