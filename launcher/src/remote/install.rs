//! The agent on a remote host: this program, copied there if it is not there already.
//!
//! The copy's name is the SHA-256 of its content, so each version has its own file, and a running job keeps
//! its version. A copy gets its name when all its bytes have arrived. The agent reports the hash of its own
//! file: a copy that was changed since, or that does not start, is replaced.

use super::program::{ABSENT, Cache, Existing, PRESENT, Program, Programs, UNSAFE};
use crate::job::{AgentLink, Connection, Event, FromAgent, MessageReader};
use crate::ssh::{Exit, Input, Session, Stream, input};
use crate::system::escape::one_line;
use crate::system::host_facts::HostFacts;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much is kept of what a host prints beside the agent's messages, in bytes.
const SAID: usize = 4096;

/// The input of an agent over SSH. What is sent before the agent runs is discarded.
#[derive(Clone, Default)]
pub(super) struct SshInput(Arc<Mutex<Current>>);

#[derive(Default)]
struct Current {
    /// The input of the command that runs.
    input: Option<Input>,
    /// The agent is not needed any more, so no further command is started.
    is_closed: bool,
}

impl SshInput {
    pub(super) fn connection(&self) -> Connection {
        Connection::new(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AgentLink for SshInput {
    fn send(&self, bytes: Vec<u8>) {
        if let Some(input) = &self.lock().input {
            input.send(bytes);
        }
    }

    fn close(&self) {
        *self.lock() = Current { input: None, is_closed: true };
    }

    fn cut(&self) {
        if let Some(input) = &self.lock().input {
            input.abort();
        }
    }
}

/// Runs the agent of host `host` until it or the connection ends; its messages go to `events`. Returns why it
/// ended.
pub(super) fn run_agent(
    session: &mut Session,
    host: usize,
    programs: &Programs,
    cache: &Cache,
    to_agent: &SshInput,
    events: &Sender<Event>,
) -> Result<(), String> {
    let (mut program, mut is_installed) = (programs.here().clone(), false);
    loop {
        let mut output = AgentOutput {
            reader: MessageReader::new(host, events.clone()),
            said: String::new(),
            verdict: None,
        };
        let exit = run(session, to_agent, &program.start_command(cache), None, |stream, bytes| {
            output.hear(stream, bytes, &program);
            if output.verdict.as_ref().is_some_and(Result::is_err) {
                to_agent.lock().input = None;
            }
        });
        let noise = output.reader.noise();
        // The shell may have printed text without a line break before.
        let behind = |words| noise.split_once(words).and_then(|(_, rest)| rest.lines().next()).map(str::trim);
        let mut existing = Existing::Keep;
        match (output.verdict, exit) {
            (Some(Ok(())), Ok(_)) => return Ok(()),
            (Some(Ok(())) | None, Err(problem)) => return Err(problem),
            (Some(Err(Unfit::OtherFile)), Ok(_)) if !is_installed => existing = Existing::Replace,
            (Some(Err(unfit)), _) => return Err(unfit.describe()),
            (None, Ok(exit)) => match behind(ABSENT) {
                Some(platform) if platform != program.platform => {
                    program = programs.for_platform(platform)?;
                    // The host may have a copy of that one.
                    continue;
                }
                Some(_) if !is_installed => (),
                Some(_) => {
                    return Err(format!(
                        "programs in {cache} cannot be executed; choose another folder with --cache"
                    ));
                }
                None if !is_installed && noise.contains(PRESENT) => existing = Existing::Replace,
                None => {
                    let other = || no_agent(&exit, &noise.replace(PRESENT, ""), &output.said);
                    return Err(behind(UNSAFE).map_or_else(other, unsafe_folder));
                }
            },
        }
        install(session, host, &program, cache, existing, to_agent, events)?;
        is_installed = true;
    }
}

/// Runs a command. Its input is `bytes` or, if there are none, what is sent to the agent.
fn run(
    session: &mut Session,
    to_agent: &SshInput,
    command: &str,
    bytes: Option<Arc<[u8]>>,
    hear: impl FnMut(Stream, &[u8]),
) -> Result<Exit, String> {
    let (input, source) = input().map_err(|error| error.to_string())?;
    if let Some(bytes) = bytes {
        input.send(bytes);
        input.close();
    }
    {
        let mut current = to_agent.lock();
        if current.is_closed {
            return Err("it is not needed any more".to_string());
        }
        current.input = Some(input);
    }
    let exit = session.run(command, source, hear);
    to_agent.lock().input = None;
    exit.map_err(|error| error.to_string())
}

/// Copies the program to the host.
fn install(
    session: &mut Session,
    host: usize,
    program: &Program,
    cache: &Cache,
    existing: Existing,
    to_agent: &SshInput,
    events: &Sender<Event>,
) -> Result<(), String> {
    let (bytes, length) = (Arc::clone(&program.bytes), program.bytes.len());
    // The receiver is gone when the job is over.
    let _ = events.send(Event::Copying(host, length as u64));
    let (command, mut said) = (program.install_command(cache, existing), String::new());
    match run(session, to_agent, &command, Some(bytes), |_, bytes| keep(&mut said, bytes))? {
        Exit::Code(0) => Ok(()),
        _ => {
            let said = last_lines(&said);
            Err(format!("cannot copy the program to {cache} ({length} bytes): {said}"))
        }
    }
}

/// The output of a host whose agent is being started or runs.
struct AgentOutput {
    reader: MessageReader,
    /// The last part of its standard error.
    said: String,
    /// Whether the agent can be used; `None` before its first message.
    verdict: Option<Result<(), Unfit>>,
}

/// Why an agent cannot be used.
#[derive(Debug)]
enum Unfit {
    /// Its file differs from the program that was copied.
    OtherFile,
    /// It sent bytes that are not a message.
    Message(String),
}

impl Unfit {
    fn describe(self) -> String {
        match self {
            Self::OtherFile => "its copy of the program differs from what was sent".to_string(),
            Self::Message(problem) => problem,
        }
    }
}

impl AgentOutput {
    fn hear(&mut self, stream: Stream, bytes: &[u8], program: &Program) {
        if stream == Stream::Stderr {
            return keep(&mut self.said, bytes);
        }
        if matches!(self.verdict, Some(Err(_))) {
            return;
        }
        let verdict = &mut self.verdict;
        let check = |message: &FromAgent| match (verdict.is_some(), message) {
            (false, FromAgent::Hello(facts)) => {
                let is_fit = is_copy(facts, program);
                *verdict = Some(if is_fit { Ok(()) } else { Err(Unfit::OtherFile) });
                is_fit
            }
            (has_spoken, _) => has_spoken,
        };
        if let Err(problem) = self.reader.read(bytes, check) {
            self.verdict = Some(Err(Unfit::Message(problem)));
        }
    }
}

fn is_copy(facts: &HostFacts, program: &Program) -> bool {
    facts.digest == Some(program.digest)
}

/// Appends to what a host has said, and keeps the last part of it.
fn keep(said: &mut String, bytes: &[u8]) {
    said.push_str(&String::from_utf8_lossy(bytes));
    let mut cut = said.len().saturating_sub(SAID);
    while !said.is_char_boundary(cut) {
        cut += 1;
    }
    said.drain(..cut);
}

fn unsafe_folder(folder: &str) -> String {
    format!(
        "{} does not belong to the user, or others can write to it, so nothing in it is started; choose another folder with --cache",
        one_line(folder)
    )
}

fn no_agent(exit: &Exit, noise: &str, said: &str) -> String {
    let end = match exit {
        Exit::Code(code) => format!("exit status {code}"),
        Exit::Signal(name) => format!("signal {}", one_line(name)),
    };
    let words = [said, noise].map(last_lines);
    let words = words.iter().find(|words| !words.is_empty()).map_or("nothing", String::as_str);
    format!("its agent did not start ({end}); the host said: {words}")
}

/// The last lines of what a host has said, as one line without control characters.
fn last_lines(text: &str) -> String {
    const LINES: usize = 3;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    one_line(&lines[lines.len().saturating_sub(LINES)..].join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_talk_is_cut_at_a_character() {
        let mut said = String::new();
        (0..3000).for_each(|_| keep(&mut said, "é\n".as_bytes()));
        assert!(said.len() <= SAID && said.ends_with("é\n"));
        assert_eq!(last_lines("a\n\nb\nc\nd\n"), "b; c; d");
    }

    #[test]
    fn what_a_host_says_commands_no_terminal() {
        let problem = no_agent(&Exit::Code(1), "", "go\x1b]0;owned\x07 away\r\n\u{9b}2J\n");
        assert_eq!(
            problem,
            "its agent did not start (exit status 1); the host said: go\\u{1b}]0;owned\\u{7} away; \\u{9b}2J"
        );
    }
}
