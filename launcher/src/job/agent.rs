//! The agent: runs on each host of a job, between the launcher and the host's ranks.
//!
//! ```text
//! say hello
//! until the launcher closes, falls silent, or says to kill:
//!     start the next rank, if one is left to start
//!     do what the launcher says; pass on what ranks print and how they end; give a sign of life each second
//! kill all ranks
//! ```
//!
//! A host may have hundreds of ranks, which take longer to start than the launcher waits for a sign of life.
//! So ranks are started one at a time between two looks at what the launcher says, and each waits to be told
//! where the ranks meet until the last one has been started: ranks that compute would slow down the start of
//! the others.

use super::liveness::{Beats, Liveness, SILENCE};
use super::message::{
    Assignment, Decoder, FromAgent, MARK, Meeting, MeetingPoint, RankStatus, ToAgent, encode,
};
use super::private_folder::PrivateFolder;
use super::rank_process::RankProcess;
use super::reach::{Listeners, reach};
use crate::failure::Failure;
use crate::system::cpu_quota::cpu_quota;
use crate::system::{cores, host_facts};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Messages that wait for the launcher to take them: then ranks that print more wait too.
const BACKLOG: usize = 64;
/// How long killed ranks may take to end.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Runs an agent on standard input and output.
pub(crate) fn run(with_digest: bool) -> Result<(), Failure> {
    let facts = host_facts::collect(with_digest);
    let (sender, events) = channel();
    let to_launcher = ToLauncher::start(io::stdout());
    to_launcher.post(FromAgent::Hello(Box::new(facts)));
    let listener = sender.clone();
    thread::spawn(move || listen(&mut io::stdin().lock(), &listener));
    let mut agent = Agent {
        to_launcher,
        sender,
        listeners: None,
        starting: None,
        ranks: Vec::new(),
        running: 0,
        is_over: false,
        folder: None,
    };
    let is_orderly = agent.serve(&events);
    agent.end(&events);
    if is_orderly { Ok(()) } else { Err(Failure::Orphaned) }
}

/// What an agent waits for.
enum Event {
    Told(ToAgent),
    /// The launcher has closed, or sent bytes that are no message.
    Closed,
    RankEnded,
}

/// Turns the launcher's bytes into events.
fn listen(input: &mut impl Read, events: &Sender<Event>) {
    let (mut decoder, mut buffer) = (Decoder::new(), vec![0; 64 * 1024]);
    loop {
        match decoder.next() {
            Ok(Some(message)) => {
                if events.send(Event::Told(message)).is_err() {
                    return;
                }
                continue;
            }
            Ok(None) => (),
            Err(_) => break,
        }
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => decoder.push(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(_) => break,
        }
    }
    // The agent may have ended first, and receives no more events.
    let _ = events.send(Event::Closed);
}

/// Messages to the launcher, which a thread of their own writes.
#[derive(Clone)]
struct ToLauncher(SyncSender<Vec<u8>>);

impl ToLauncher {
    fn start(mut output: impl Write + Send + 'static) -> Self {
        let (sender, messages) = sync_channel::<Vec<u8>>(BACKLOG);
        thread::spawn(move || {
            let mut write = |bytes: &[u8]| output.write_all(bytes).and_then(|()| output.flush());
            let mut is_open = write(MARK).is_ok();
            // The agent learns from its input that the launcher has ended. Until then, ranks that print must
            // not wait.
            messages.iter().for_each(|bytes| is_open = is_open && write(&bytes).is_ok());
        });
        Self(sender)
    }

    fn post(&self, message: FromAgent) {
        // The thread ends with the process.
        let _ = self.0.send(encode(&message));
    }

    /// Posts the message unless that would take time.
    fn try_post(&self, message: &FromAgent) {
        let _ = self.0.try_send(encode(message));
    }
}

struct Agent {
    to_launcher: ToLauncher,
    sender: Sender<Event>,
    listeners: Option<Listeners>,
    /// The ranks that are being started.
    starting: Option<Starting>,
    ranks: Vec<RankProcess>,
    /// Ranks that have not ended.
    running: usize,
    /// Whether the launcher has ended the job: ranks that still run are not orphaned.
    is_over: bool,
    /// Where the ranks of this host meet.
    folder: Option<PrivateFolder>,
}

/// Ranks of which some may not have been started yet.
struct Starting {
    assignment: Assignment,
    /// The cores of this host.
    all: Vec<usize>,
    /// By rank of the host: the cores that it is bound to, if it is.
    bindings: Vec<Option<Vec<usize>>>,
}

impl Agent {
    /// Whether the launcher has closed in order: with no rank running, or none that it wants.
    fn serve(&mut self, events: &Receiver<Event>) -> bool {
        let start = Instant::now();
        let (mut launcher, mut beats) = (Liveness::new(start), Beats::new(start));
        loop {
            let now = Instant::now();
            if let Some(late) = beats.due(now) {
                self.to_launcher.try_post(&FromAgent::Beat);
                launcher.excuse(late);
            }
            if launcher.is_lost(now) {
                // A launcher that was stopped, or a network that works again, may still deliver this.
                let problem = format!("it heard nothing from the launcher for {} s", SILENCE.as_secs());
                self.to_launcher.try_post(&FromAgent::Failed(problem));
                return false;
            }
            let wait = match self.starting {
                Some(_) => Duration::ZERO,
                None => beats.next().min(launcher.deadline()).saturating_duration_since(now),
            };
            match events.recv_timeout(wait) {
                Ok(Event::Told(message)) => {
                    launcher.hear(Instant::now());
                    self.obey(message);
                }
                Ok(Event::RankEnded) => self.running -= 1,
                Ok(Event::Closed) => return self.running == 0 || self.is_over,
                Err(RecvTimeoutError::Timeout) => self.start_next(),
                Err(RecvTimeoutError::Disconnected) => unreachable!("the agent holds a sender"),
            }
        }
    }

    fn obey(&mut self, message: ToAgent) {
        match message {
            ToAgent::Beat => (),
            ToAgent::Kill => {
                self.is_over = true;
                self.abandon_starts();
                self.ranks.iter().for_each(RankProcess::kill);
            }
            ToAgent::Listen { host, addresses, secret } => match Listeners::open(host, &addresses, secret) {
                Ok(listeners) => {
                    self.to_launcher.post(FromAgent::Listening(listeners.addresses()));
                    self.listeners = Some(listeners);
                }
                Err(error) => self.to_launcher.post(FromAgent::Failed(format!("cannot listen: {error}"))),
            },
            ToAgent::Reach { targets, secret, timeout_ms, bytes } => {
                let timeout = Duration::from_millis(timeout_ms.into());
                self.answer(move || match reach(&targets, &secret, timeout, bytes) {
                    Ok(found) => FromAgent::Reached(found),
                    Err(error) => FromAgent::Failed(format!("cannot connect to other hosts: {error}")),
                });
            }
            ToAgent::Measure => {
                self.answer(|| FromAgent::Measured { gflops: host_facts::gflops() });
            }
            ToAgent::Start(assignment) => {
                // Rank 0 may need the port of a listener.
                self.listeners = None;
                match Starting::prepare(*assignment) {
                    Ok(starting) => self.starting = Some(starting),
                    Err(problem) => self.fail(problem),
                }
            }
            ToAgent::Signal(number) => {
                self.abandon_starts();
                if let Some(signal) = rustix::process::Signal::from_named_raw(number) {
                    self.ranks.iter().for_each(|rank| rank.signal(signal));
                }
            }
        }
    }

    /// Posts an answer that takes a while to find: the loop goes on meanwhile.
    fn answer(&self, find: impl FnOnce() -> FromAgent + Send + 'static) {
        let to_launcher = self.to_launcher.clone();
        let started = thread::Builder::new().spawn(move || to_launcher.post(find()));
        if let Err(error) = started {
            self.to_launcher.post(FromAgent::Failed(format!("cannot start a thread: {error}")));
        }
    }

    fn fail(&mut self, problem: String) {
        self.starting = None;
        self.ranks.iter().for_each(RankProcess::kill);
        self.to_launcher.post(FromAgent::Failed(problem));
    }

    /// Starts one more rank, if one is left; behind the last one, tells all where they meet.
    fn start_next(&mut self) {
        let Some(Starting { assignment, all, bindings }) = &self.starting else { return };
        let local = self.ranks.len();
        let Some(own) = bindings.get(local) else { return self.finish_starts() };
        let (to_launcher, sender) = (self.to_launcher.clone(), self.sender.clone());
        let post = move |message| {
            if matches!(message, FromAgent::Ended { .. }) {
                // The agent must know first: as soon as the launcher knows, it may close. An agent that has
                // ended receives no more events.
                let _ = sender.send(Event::RankEnded);
            }
            to_launcher.post(message);
        };
        match RankProcess::start(assignment, local as u32, own.as_deref(), all, post) {
            Ok(rank) => {
                self.ranks.push(rank);
                self.running += 1;
            }
            Err(error) => {
                let (rank, ranks) = (assignment.first_rank + local as u32, assignment.ranks);
                self.fail(format!("cannot start rank {rank} ({local} of {ranks} run here): {error}"));
            }
        }
    }

    /// All ranks have been started.
    fn finish_starts(&mut self) {
        let Some(Starting { assignment, bindings, .. }) = self.starting.take() else { return };
        let point = match assignment.meeting {
            Meeting::Here => match PrivateFolder::make() {
                Ok(folder) => MeetingPoint::File(self.folder.insert(folder).path().join("meeting")),
                Err(problem) => return self.fail(problem),
            },
            Meeting::At(address) => MeetingPoint::Address(address),
        };
        self.ranks.iter_mut().for_each(|rank| rank.tell(&point));
        self.to_launcher.post(FromAgent::Started(bindings));
    }

    /// Starts no more ranks. The launcher waits for the end of each.
    fn abandon_starts(&mut self) {
        let Some(Starting { assignment, .. }) = self.starting.take() else { return };
        let ranks = assignment.first_rank + self.ranks.len() as u32..assignment.first_rank + assignment.ranks;
        ranks.for_each(|rank| self.to_launcher.post(FromAgent::Ended { rank, status: RankStatus::Killed }));
    }

    /// Kills the ranks that still run, and waits a while for their ends.
    fn end(&mut self, events: &Receiver<Event>) {
        self.ranks.iter().for_each(RankProcess::kill);
        let deadline = Instant::now() + LAST_WAIT;
        while self.running > 0 && Instant::now() < deadline {
            if let Ok(Event::RankEnded) = events.recv_timeout(Duration::from_millis(10)) {
                self.running -= 1;
            }
        }
    }
}

impl Starting {
    /// Divides the cores among the ranks of an assignment.
    fn prepare(assignment: Assignment) -> Result<Self, String> {
        if let Some(folder) = assignment.folder.as_deref().filter(|folder| !Path::new(folder).is_dir()) {
            return Err(format!("workdir={folder}: there is no such folder"));
        }
        let all = cores::available();
        let used = match &assignment.cores {
            Some(wanted) if wanted.iter().all(|core| all.contains(core)) => wanted.clone(),
            Some(wanted) => {
                let [wanted, all] = [wanted, &all].map(|cores| cores::list(cores));
                return Err(format!("cpus={wanted}: this host has {all}"));
            }
            None => all.clone(),
        };
        let ranks = assignment.ranks as usize;
        let division = if assignment.bind { cores::divide(&used, cpu_quota(), ranks) } else { None };
        let given = assignment.cores.is_some().then_some(used);
        let bindings = match division {
            Some(division) => division.into_iter().map(Some).collect(),
            None => vec![given; ranks],
        };
        Ok(Self { assignment, all, bindings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_knows_its_host() {
        let facts = host_facts::collect(false);
        assert_eq!(facts.version, env!("CARGO_PKG_VERSION"));
        assert!(!facts.cores.is_empty() && facts.digest.is_none());
        assert!(facts.memory_bytes.is_none_or(|bytes| bytes > 1 << 20));
        assert!(facts.addresses.iter().any(|(_, address)| address.is_loopback()));
    }
}
