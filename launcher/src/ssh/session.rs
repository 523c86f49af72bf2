//! Commands of a session.
//!
//! libssh2 buffers one packet that it could send only in part, and packets that it read while it looked for
//! others. So:
//! - a call that would block is repeated with the same bytes until it succeeds, and nothing else is sent in
//!   between;
//! - before the thread sleeps, all buffered packets must be read, since the socket may never become readable
//!   again. A pass over both streams and the input can fill a stream that it has already read, so the loop
//!   compares what libssh2 holds;
//! - the thread waits for room to send if any call of the pass asked for it: later calls overwrite the
//!   request of earlier ones.

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
/// Packets written in a row before the output is read again.
const WRITES_A_PASS: usize = 16;
/// `LIBSSH2_ERROR_CHANNEL_FAILURE` and `_REQUEST_DENIED`: the server refused, and the connection is still
/// good.
const SAID_NO: [i32; 2] = [-21, -22];

/// A login at a host. It runs one command at a time.
pub(crate) struct Session {
    pub(super) transport: Transport,
    address: Arc<Address>,
    /// Why the connection was lost, if it was: then no further command can run.
    lost: Option<String>,
    jump: Option<Jump>,
}

/// Which stream a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// How a command ended. The name of the signal has no "SIG".
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

    /// The other end of the connection.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Runs `command`, a line for the login shell, with `input` as its standard input, and calls `hear` with
    /// every piece of its output. Returns when the command has ended and all output is read; a background
    /// process that keeps the output open delays that.
    ///
    /// # Errors
    /// `Start` if the server does not run it; `Lost` if the connection breaks; `Aborted` after
    /// `Input::abort`. The last two end the connection.
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
                Stop::Aborted => "ended by this program".to_string(),
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
        let mut running = Running {
            transport: &self.transport,
            channel: &mut channel,
            input,
            buffer: vec![0; READ_BYTES],
            in_flight: false,
            end_sent: false,
            closed: false,
        };
        running.carry(hear)?;
        let signal = channel.exit_signal().map_err(Stop::lost)?.exit_signal;
        let code = channel.exit_status().map_err(Stop::lost)?;
        while !self.transport.has_room() {
            self.wait(input, PollFlags::OUT)?;
        }
        self.until(input, || channel.close())?;
        Ok(signal.map_or(Exit::Code(code), Exit::Signal))
    }

    /// Repeats `call` until it does not block.
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

/// Why a command could not be run to its end.
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

/// A command that is running.
struct Running<'a> {
    transport: &'a Transport,
    channel: &'a mut ssh2::Channel,
    input: &'a mut Source,
    buffer: Vec<u8>,
    /// The next bytes of the input may have been sent in part: the rest of them must be sent before anything
    /// else.
    in_flight: bool,
    /// The end of the input was sent to the command.
    end_sent: bool,
    /// The command has ended, and its output was read.
    closed: bool,
}

impl Running<'_> {
    /// Carries input and output until the command has ended and its output was read.
    fn carry(&mut self, hear: &mut impl FnMut(Stream, &[u8])) -> Result<(), Stop> {
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
            // This packet must be sent whole: libssh2 builds it on its stack, and could not send the rest
            // later.
            pass.room |= !self.transport.has_room();
            if !pass.room {
                let sent = self.channel.send_eof();
                self.end_sent = attempt(sent).map_err(Stop::Lost)?.is_some();
                pass.moved |= self.end_sent;
            }
        }
        Ok(())
    }

    /// After all output was read: whether the other end has closed the channel, and no packet of ours was
    /// sent in part.
    fn finish(&mut self, pass: &mut Pass) -> Result<bool, Stop> {
        // A read may have left a window adjustment that was sent in part, and there are no more reads to
        // finish it.
        let adjusted = self.channel.adjust_receive_window(0, false);
        let adjusted = attempt(adjusted).map_err(Stop::Lost)?.is_some();
        pass.room |= !adjusted;
        let closed = self.channel.wait_close();
        self.closed = attempt(closed).map_err(Stop::Lost)?.is_some();
        pass.room |= !self.closed && self.transport.wants_room();
        Ok(self.closed && adjusted && !self.in_flight)
    }
}

/// Sleeps until the connection is ready for what is `wanted`, or until the input has bytes or a request.
fn wait_either(transport: &Transport, wanted: PollFlags, input: &Source) {
    let mut interests = vec![(transport.socket.as_fd(), wanted)];
    interests.extend(input.wake().map(|wake| (wake, PollFlags::IN)));
    wait(&interests);
}
