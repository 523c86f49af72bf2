//! Commands on a host where we are logged in.
//!
//! libssh2 keeps one packet that it could not send whole, and packets that it read on the way to something else. So:
//! - a call that would have to wait is made again with the same bytes, until it went through, and nothing is sent before;
//! - before sleeping, everything it holds must be read, since no more of it may come from the socket: a pass over both
//!   streams, the input and the end that moves nothing may still have filled a stream that was passed already;
//! - room to send is waited for if any call of the pass asked for it, since later calls overwrite what earlier ones asked.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::event::PollFlags;

use super::error::{Address, Error};
use super::input::Source;
use super::jump::Jump;
use super::transport::{Held, Pass, Transport, attempt, wait, words};

/// Bytes of one read; two packets of the largest size.
const READ_BYTES: usize = 64 * 1024;
/// Packets written in a row before the output gets its turn.
const WRITES_A_PASS: usize = 16;
/// `LIBSSH2_ERROR_CHANNEL_FAILURE` and `_REQUEST_DENIED`: the server said no, and the connection lives.
const SAID_NO: [i32; 2] = [-21, -22];

/// One login. Commands run one after the other.
pub(crate) struct Session {
    pub(super) transport: Transport,
    address: Arc<Address>,
    /// Why no command can run any more.
    lost: Option<String>,
    jump: Option<Jump>,
}

/// Where a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// How a command ended. The signal is named without "SIG".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(String),
}

impl Session {
    /// Takes over a connection on which the login has succeeded.
    pub(super) fn new(transport: Transport, address: Arc<Address>, jump: Option<Jump>) -> Self {
        transport.ssh.set_blocking(false);
        Self { transport, address, lost: None, jump }
    }

    /// What was connected to.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Runs `command`, a line for the login shell, with `input` as its standard input, and calls `hear` with every piece of
    /// its output. Returns when the command has ended and all output is read (a process that it left behind with its
    /// output open keeps it from ending).
    ///
    /// # Errors
    /// `Start` if the server does not run it; `Lost` if the connection breaks; `Aborted` after `Input::abort`. After the last
    /// two the connection is gone.
    pub(crate) fn run(
        &mut self,
        command: &str,
        mut input: Source,
        mut hear: impl FnMut(Stream, &[u8]),
    ) -> Result<Exit, Error> {
        if let Some(problem) = &self.lost {
            return Err(Error::Lost { address: Arc::clone(&self.address), problem: problem.clone() });
        }
        let outcome = self.converse(command, &mut input, &mut hear);
        outcome.map_err(|stop| {
            let address = Arc::clone(&self.address);
            let problem = match stop {
                Stop::Refused(problem) => return Error::Start { address, problem },
                Stop::Aborted => "broken off".to_string(),
                Stop::Lost(ref problem) => match self.jump.as_ref().and_then(Jump::end) {
                    Some(end) => end.to_string(),
                    None => problem.clone(),
                },
            };
            self.transport.shut_down();
            self.lost = Some(problem.clone());
            match stop {
                Stop::Aborted => Error::Aborted { address },
                _ => Error::Lost { address, problem },
            }
        })
    }

    fn converse(
        &self,
        command: &str,
        input: &mut Source,
        hear: &mut impl FnMut(Stream, &[u8]),
    ) -> Result<Exit, Stop> {
        let mut channel = self.until(input, || self.transport.ssh.channel_session())?;
        self.until(input, || channel.exec(command))?;
        let mut conversation = Conversation {
            transport: &self.transport,
            channel: &mut channel,
            input,
            buffer: vec![0; READ_BYTES],
            in_flight: false,
            end_sent: false,
            closed: false,
        };
        conversation.hold(hear)?;
        let signal = channel.exit_signal().map_err(Stop::lost)?.exit_signal;
        let code = channel.exit_status().map_err(Stop::lost)?;
        while !self.transport.has_room() {
            self.wait(input, PollFlags::OUT)?;
        }
        self.until(input, || channel.close())?;
        Ok(signal.map_or(Exit::Code(code), Exit::Signal))
    }

    /// Calls `call` until it need not wait.
    fn until<T>(
        &self,
        input: &mut Source,
        mut call: impl FnMut() -> Result<T, ssh2::Error>,
    ) -> Result<T, Stop> {
        loop {
            let result = call();
            if let Err(error) = &result
                && let ssh2::ErrorCode::Session(code) = error.code()
                && SAID_NO.contains(&code)
            {
                return Err(Stop::Refused(error.message().to_string()));
            }
            if let Some(value) = attempt(result).map_err(Stop::Lost)? {
                return Ok(value);
            }
            self.wait(input, self.transport.interest(self.transport.wants_room()))?;
        }
    }

    fn wait(&self, input: &mut Source, wanted: PollFlags) -> Result<(), Stop> {
        wait_either(&self.transport, wanted, input);
        input.refresh();
        if input.is_aborted() { Err(Stop::Aborted) } else { Ok(()) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.lost.is_none() {
            let _ = self.transport.ssh.disconnect(None, "done", None);
        }
        self.transport.shut_down();
    }
}

/// Why a conversation stopped.
enum Stop {
    Refused(String),
    Lost(String),
    Aborted,
}

impl Stop {
    fn lost(error: ssh2::Error) -> Self {
        Self::Lost(words(&error))
    }
}

/// A command that runs.
struct Conversation<'a> {
    transport: &'a Transport,
    channel: &'a mut ssh2::Channel,
    input: &'a mut Source,
    buffer: Vec<u8>,
    /// The next bytes of the input may be half sent: until the rest is, nothing else can be.
    in_flight: bool,
    /// The command knows that its input has ended.
    end_sent: bool,
    /// The command has ended, and its output is read.
    closed: bool,
}

impl Conversation<'_> {
    /// Until the command has ended and its output is read.
    fn hold(&mut self, hear: &mut impl FnMut(Stream, &[u8])) -> Result<(), Stop> {
        let mut held = Held::of(self.channel);
        loop {
            self.input.refresh();
            if self.input.is_aborted() {
                return Err(Stop::Aborted);
            }
            let mut pass = Pass::default();
            self.read(Stream::Stdout, hear, &mut pass)?;
            self.read(Stream::Stderr, hear, &mut pass)?;
            self.write(&mut pass)?;
            if self.channel.eof() && self.finish(&mut pass)? {
                return Ok(());
            }
            pass.renew_keys(self.transport, self.channel).map_err(Stop::Lost)?;
            let now = Held::of(self.channel);
            if !pass.moved && now == held {
                wait_either(self.transport, self.transport.interest(pass.room), self.input);
            }
            held = now;
        }
    }

    fn read(
        &mut self,
        stream: Stream,
        hear: &mut impl FnMut(Stream, &[u8]),
        pass: &mut Pass,
    ) -> Result<(), Stop> {
        let result = match stream {
            Stream::Stdout => self.channel.read(&mut self.buffer),
            Stream::Stderr => self.channel.stderr().read(&mut self.buffer),
        };
        match self.transport.attempt_io(result).map_err(Stop::Lost)? {
            Some(0) => {}
            Some(bytes) => {
                hear(stream, &self.buffer[..bytes]);
                pass.moved = true;
            }
            None => pass.room |= self.transport.wants_room(),
        }
        Ok(())
    }

    fn write(&mut self, pass: &mut Pass) -> Result<(), Stop> {
        for _ in 0..WRITES_A_PASS {
            let Some(bytes) = self.input.next().filter(|_| self.in_flight || !self.closed) else { break };
            let result = self.channel.write(bytes);
            let written = self.transport.attempt_io(result).map_err(Stop::Lost)?;
            self.in_flight = written.is_none() && self.transport.wants_room();
            pass.room |= self.in_flight;
            match written {
                Some(written) if written > 0 => self.input.consume(written),
                _ => return Ok(()),
            }
            pass.moved = true;
        }
        if self.input.is_finished() && !self.end_sent && !self.closed {
            // libssh2 could not finish this packet later: it keeps it in a frame of its stack.
            pass.room |= !self.transport.has_room();
            if !pass.room {
                let sent = self.channel.send_eof();
                self.end_sent = attempt(sent).map_err(Stop::Lost)?.is_some();
                pass.moved |= self.end_sent;
            }
        }
        Ok(())
    }

    /// Once all output is read: whether the other end has closed the channel, and nothing of ours is half sent.
    fn finish(&mut self, pass: &mut Pass) -> Result<bool, Stop> {
        // Reads, which no longer come, have left this behind if it could not be sent whole.
        let adjusted = self.channel.adjust_receive_window(0, false);
        let adjusted = attempt(adjusted).map_err(Stop::Lost)?.is_some();
        pass.room |= !adjusted;
        let closed = self.channel.wait_close();
        self.closed = attempt(closed).map_err(Stop::Lost)?.is_some();
        pass.room |= !self.closed && self.transport.wants_room();
        Ok(self.closed && adjusted && !self.in_flight)
    }
}

/// Sleeps until the connection is ready for what is `wanted`, or the input has news.
fn wait_either(transport: &Transport, wanted: PollFlags, input: &Source) {
    let mut interests = vec![(transport.socket.as_fd(), wanted)];
    interests.extend(input.wake().map(|wake| (wake, PollFlags::IN)));
    wait(&interests);
}
