//! The launcher's end of the connection to an agent.

use super::message::{Decoder, FromAgent, ToAgent, encode};
use super::rank_process::this_program;
use crate::failure::HostFailure;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// Events that the launcher waits for, with the number of the host.
#[derive(Debug)]
pub(crate) enum Event {
    Message(usize, FromAgent),
    /// The login at the host has succeeded.
    LoggedIn(usize),
    /// The program is being copied to the host; the number of its bytes.
    Copying(usize, u64),
    /// The connection to the agent could not be made, or has ended.
    Closed(usize, HostFailure),
    /// The launcher has received a signal.
    Signal(i32),
}

/// Carries bytes to an agent: through a pipe, or over SSH.
pub(crate) trait AgentLink: Send + Sync {
    /// Sends bytes, without waiting.
    fn send(&self, bytes: Vec<u8>);

    /// Closes the agent's standard input when all bytes have been sent. The agent ends then.
    fn close(&self);

    /// Ends the connection at once.
    fn cut(&self);
}

/// The connection to an agent. Dropping it ends the agent.
pub(crate) struct Connection(Box<dyn AgentLink>);

impl Connection {
    pub(crate) fn new(wire: impl AgentLink + 'static) -> Self {
        Self(Box::new(wire))
    }

    pub(crate) fn tell(&self, message: &ToAgent) {
        self.0.send(encode(message));
    }

    pub(crate) fn cut(&self) {
        self.0.cut();
    }

    /// Starts an agent on this machine, as host `host`; its messages go to `events`.
    pub(crate) fn here(host: usize, events: &Sender<Event>) -> io::Result<Self> {
        let mut command = this_program()?;
        // In a process group of its own, Ctrl-C reaches only the launcher, which decides what ends.
        command.arg("agent").process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (mut stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (sender, messages) = channel::<Vec<u8>>();
        thread::spawn(move || {
            for bytes in messages {
                // The thread that reads from the agent learns of its end.
                if stdin.as_mut().is_some_and(|stdin| stdin.write_all(&bytes).is_err()) {
                    break;
                }
            }
        });
        let running = Arc::new(Mutex::new(Some(Pid::from_child(&child))));
        let wire = LocalLink { sender: Mutex::new(Some(sender)), child: Arc::clone(&running) };
        let events = events.clone();
        thread::spawn(move || {
            let mut reader = MessageReader::new(host, events);
            let mut buffer = vec![0; 64 * 1024];
            let mut stdout = stdout.expect("it was piped");
            let problem = loop {
                match stdout.read(&mut buffer) {
                    Ok(0) => break "it has ended".to_string(),
                    Ok(count) => {
                        if let Err(problem) = reader.read(&buffer[..count], |_| true) {
                            break problem;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                    Err(error) => break error.to_string(),
                }
            };
            drop(stdout);
            // From here on another process may get its number.
            *running.lock().expect("no holder panics") = None;
            let problem = match child.wait() {
                Ok(status) if !status.success() => format!("its agent ended with {status}"),
                _ => problem,
            };
            reader.close(problem.into());
        });
        Ok(Self::new(wire))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A pipe to a child of this process.
struct LocalLink {
    sender: Mutex<Option<Sender<Vec<u8>>>>,
    /// The child, until it has closed its output.
    child: Arc<Mutex<Option<Pid>>>,
}

impl AgentLink for LocalLink {
    fn send(&self, bytes: Vec<u8>) {
        if let Some(sender) = &*self.sender.lock().expect("no holder panics") {
            // The thread that reads from the agent learns of its end.
            let _ = sender.send(bytes);
        }
    }

    fn close(&self) {
        self.sender.lock().expect("no holder panics").take();
    }

    /// A silent agent may be stopped by a signal. Only SIGKILL ends such a process, and its ranks end with
    /// it.
    fn cut(&self) {
        let child = self.child.lock().expect("no holder panics");
        if let Some(pid) = *child {
            // The only reason to fail: it has just ended.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Turns an agent's bytes into events.
pub(crate) struct MessageReader {
    host: usize,
    decoder: Decoder,
    events: Sender<Event>,
}

impl MessageReader {
    pub(crate) fn new(host: usize, events: Sender<Event>) -> Self {
        Self { host, decoder: Decoder::behind_mark(), events }
    }

    /// Takes bytes, and sends an event for each message that `is_wanted`. Bytes that are no message are an
    /// error.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        mut is_wanted: impl FnMut(&FromAgent) -> bool,
    ) -> Result<(), String> {
        self.decoder.push(bytes);
        while let Some(message) = self.decoder.next().map_err(|error| format!("its agent sent {error}"))? {
            if is_wanted(&message) {
                // When the job is over, nothing receives events any more.
                let _ = self.events.send(Event::Message(self.host, message));
            }
        }
        Ok(())
    }

    /// The text that came before the agent's first message, or instead of it.
    pub(crate) fn noise(&self) -> String {
        self.decoder.noise()
    }

    /// Reports that the connection has ended.
    pub(crate) fn close(self, loss: HostFailure) {
        let _ = self.events.send(Event::Closed(self.host, loss));
    }
}
