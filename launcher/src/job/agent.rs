//! The agent: what runs on each host of a job, between the launcher and the host's ranks.
//!
//! ```text
//! say hello
//! until the launcher closes, falls silent, or says to kill:
//!     do what it says; pass on what ranks print and how they end; give a sign of life each second
//! kill all ranks
//! ```

use super::message::{Assignment, Decoder, FromAgent, MARK, Meeting, ToAgent, encode};
use super::rank_process::Rank;
use super::reach::{Listeners, reach};
use super::{BEAT, SILENCE};
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
    let mail = Mail::start(io::stdout());
    mail.post(FromAgent::Hello(Box::new(facts)));
    let hear = sender.clone();
    thread::spawn(move || listen(&mut io::stdin().lock(), &hear));
    let mut agent =
        Agent { mail, sender, listeners: None, ranks: Vec::new(), running: 0, is_over: false, folder: None };
    let is_orderly = agent.serve(&events);
    agent.end(&events);
    if is_orderly { Ok(()) } else { Err(Failure::Orphaned) }
}

/// What an agent waits for.
enum Event {
    Told(ToAgent),
    /// The launcher has closed, or sent what is no message.
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
    // Nobody listens any more when the agent ends first.
    let _ = events.send(Event::Closed);
}

/// The way to the launcher.
#[derive(Clone)]
struct Mail(SyncSender<Vec<u8>>);

impl Mail {
    fn start(mut output: impl Write + Send + 'static) -> Self {
        let (sender, messages) = sync_channel::<Vec<u8>>(BACKLOG);
        thread::spawn(move || {
            let mut write = |bytes: &[u8]| output.write_all(bytes).and_then(|()| output.flush());
            let mut is_open = write(MARK).is_ok();
            // A launcher that has gone is seen on the other side; until then, nothing may wait for it.
            messages.iter().for_each(|bytes| is_open = is_open && write(&bytes).is_ok());
        });
        Self(sender)
    }

    fn post(&self, message: FromAgent) {
        // The thread ends with the process.
        let _ = self.0.send(encode(&message));
    }

    /// Posts it if that takes no time.
    fn try_post(&self, message: &FromAgent) {
        let _ = self.0.try_send(encode(message));
    }
}

struct Agent {
    mail: Mail,
    sender: Sender<Event>,
    listeners: Option<Listeners>,
    ranks: Vec<Rank>,
    /// Ranks that have not ended.
    running: usize,
    /// Whether the launcher has ended the job: whatever still runs is not orphaned.
    is_over: bool,
    /// Where ranks of this host meet.
    folder: Option<tempfile::TempDir>,
}

impl Agent {
    /// Whether the launcher has closed in order: with no rank running, or none that it wants.
    fn serve(&mut self, events: &Receiver<Event>) -> bool {
        let (mut heard, mut next_beat) = (Instant::now(), Instant::now() + BEAT);
        loop {
            let now = Instant::now();
            if now >= next_beat {
                self.mail.try_post(&FromAgent::Beat);
                next_beat = now + BEAT;
            }
            if now >= heard + SILENCE {
                // A launcher that was stopped, or a network that comes back, may take it yet.
                let problem = format!("it heard nothing of the launcher for {} s", SILENCE.as_secs());
                self.mail.try_post(&FromAgent::Failed(problem));
                return false;
            }
            match events.recv_timeout(next_beat.min(heard + SILENCE) - now) {
                Ok(Event::Told(message)) => {
                    heard = Instant::now();
                    self.obey(message);
                }
                Ok(Event::RankEnded) => self.running -= 1,
                Ok(Event::Closed) => return self.running == 0 || self.is_over,
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => unreachable!("the agent holds a sender"),
            }
        }
    }

    fn obey(&mut self, message: ToAgent) {
        match message {
            ToAgent::Beat => (),
            ToAgent::Kill => {
                self.is_over = true;
                self.ranks.iter().for_each(Rank::kill);
            }
            ToAgent::Listen { host, addresses, secret } => match Listeners::open(host, &addresses, secret) {
                Ok(listeners) => {
                    self.mail.post(FromAgent::Listening(listeners.addresses()));
                    self.listeners = Some(listeners);
                }
                Err(error) => self.mail.post(FromAgent::Failed(format!("cannot listen: {error}"))),
            },
            ToAgent::Reach { targets, secret, timeout_ms, bytes } => {
                let timeout = Duration::from_millis(timeout_ms.into());
                self.answer(move || match reach(&targets, &secret, timeout, bytes) {
                    Ok(found) => FromAgent::Reached(found),
                    Err(error) => FromAgent::Failed(format!("cannot try other hosts: {error}")),
                });
            }
            ToAgent::Measure => {
                self.answer(|| FromAgent::Measured { gflops: host_facts::gflops() });
            }
            ToAgent::Start(assignment) => {
                // Rank 0 may need the port.
                self.listeners = None;
                if let Err(problem) = self.start(&assignment) {
                    self.ranks.iter().for_each(Rank::kill);
                    self.mail.post(FromAgent::Failed(problem));
                }
            }
            ToAgent::Signal(number) => {
                if let Some(signal) = rustix::process::Signal::from_named_raw(number) {
                    self.ranks.iter().for_each(|rank| rank.signal(signal));
                }
            }
        }
    }

    /// Posts what takes a while to find out: beats go on meanwhile.
    fn answer(&self, find: impl FnOnce() -> FromAgent + Send + 'static) {
        let mail = self.mail.clone();
        let started = thread::Builder::new().spawn(move || mail.post(find()));
        if let Err(error) = started {
            self.mail.post(FromAgent::Failed(format!("cannot start a thread: {error}")));
        }
    }

    fn start(&mut self, assignment: &Assignment) -> Result<(), String> {
        let place = match assignment.meeting {
            Meeting::Here => Some(self.make_folder()?.join("meeting")),
            Meeting::At(_) => None,
        };
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
        let given = assignment.cores.as_ref().map(|_| used);
        let mut bindings = Vec::new();
        for local in 0..assignment.ranks {
            let own =
                division.as_ref().map(|division| division[local as usize].as_slice()).or(given.as_deref());
            let (mail, sender) = (self.mail.clone(), self.sender.clone());
            let post = move |message| {
                if matches!(message, FromAgent::Ended { .. }) {
                    // Before the launcher can know of it, and close. Nobody listens any more when the agent ends first.
                    let _ = sender.send(Event::RankEnded);
                }
                mail.post(message);
            };
            let rank = Rank::start(assignment, local, own, place.as_deref(), post)
                .map_err(|error| format!("cannot start rank {}: {error}", assignment.first_rank + local))?;
            self.ranks.push(rank);
            self.running += 1;
            bindings.push(own.map(<[usize]>::to_vec));
        }
        if bindings.iter().any(Option::is_some) {
            cores::bind(&all).map_err(|error| format!("cannot bind to cores: {error}"))?;
        }
        self.mail.post(FromAgent::Started(bindings));
        Ok(())
    }

    /// A folder that only this user can enter, as long as the agent runs.
    fn make_folder(&mut self) -> Result<&Path, String> {
        let folder = tempfile::Builder::new().prefix("isograd-").tempdir();
        let folder = folder.map_err(|error| {
            format!("cannot make a temporary folder in {}: {error}", std::env::temp_dir().display())
        })?;
        Ok(self.folder.insert(folder).path())
    }

    /// Ends what still runs.
    fn end(&mut self, events: &Receiver<Event>) {
        self.ranks.iter().for_each(Rank::kill);
        let deadline = Instant::now() + LAST_WAIT;
        while self.running > 0 && Instant::now() < deadline {
            if let Ok(Event::RankEnded) = events.recv_timeout(Duration::from_millis(10)) {
                self.running -= 1;
            }
        }
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
