//! Asks for passphrases on the user's terminal.
//!
//! While the user types an answer, the terminal does not show it. If the program ends meanwhile, it must
//! restore the terminal, and no thread may change it afterwards. So the terminal is changed only under a
//! lock, and after [`Terminal::close`] nothing is asked. The keyboard's signals stay enabled: Ctrl-C reaches
//! the launcher as always.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::getpgrp;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use zeroize::Zeroizing;

/// The longest answer, in bytes.
const ANSWER: usize = 4096;

/// The terminal of this process.
pub(super) struct Terminal {
    device: PathBuf,
    state: Mutex<State>,
}

enum State {
    Idle,
    /// A question is open: the terminal, and its settings before.
    Asking(File, Termios),
    /// The program ends, so nothing is asked any more.
    Closed,
}

impl Terminal {
    pub(super) fn new() -> Self {
        Self { device: "/dev/tty".into(), state: Mutex::new(State::Idle) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a line that the terminal does not show. There is one question at a time.
    ///
    /// # Errors
    /// Those of the system; no terminal, no answer, or the terminal is closed.
    pub(super) fn ask(&self, question: &str) -> io::Result<Zeroizing<String>> {
        let mut terminal = self.begin()?;
        let answer = terminal.write_all(question.as_bytes()).and_then(|()| read_line(&mut terminal));
        self.end();
        // The line break that the user typed was not shown either.
        let _ = terminal.write_all(b"\n");
        answer
    }

    /// Whether a question is open.
    pub(super) fn is_asking(&self) -> bool {
        matches!(*self.state(), State::Asking(..))
    }

    fn begin(&self) -> io::Result<File> {
        let mut state = self.state();
        if matches!(*state, State::Closed) {
            return Err(io::Error::other("the program ends"));
        }
        let terminal = File::options().read(true).write(true).open(&self.device)?;
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO;
        // Without Ctrl-Z: after a stop, the shell would reset the terminal, and the answer would be shown.
        silent.special_codes[SpecialCodeIndex::VSUSP] = 0;
        let own = terminal.try_clone()?;
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        *state = State::Asking(own, before);
        Ok(terminal)
    }

    fn end(&self) {
        let mut state = self.state();
        if let State::Asking(terminal, before) = &*state {
            restore(terminal, before);
            *state = State::Idle;
        }
    }

    /// Restores the terminal if a question is open, and lets no further one be asked. If no question is open,
    /// the terminal is not touched: a program in the background would be stopped.
    pub(super) fn close(&self) {
        let mut state = self.state();
        if let State::Asking(terminal, before) = &*state
            && tcgetpgrp(terminal).map_or(true, |foreground| foreground == getpgrp())
        {
            restore(terminal, before);
        }
        *state = State::Closed;
    }
}

fn restore(terminal: &File, before: &Termios) {
    // If the terminal no longer exists, there is nothing to restore.
    let _ = tcsetattr(terminal, OptionalActions::Now, before);
}

fn read_line(terminal: &mut File) -> io::Result<Zeroizing<String>> {
    // The capacity is reserved at once: a vector that grows would leave copies of the answer in memory.
    let mut line = Zeroizing::new(Vec::with_capacity(ANSWER));
    let mut byte = [0];
    loop {
        match terminal.read(&mut byte)? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no answer")),
            _ if byte == *b"\n" => break,
            _ if line.len() == ANSWER => return Err(io::Error::other(format!("more than {ANSWER} bytes"))),
            _ => line.push(byte[0]),
        }
    }
    let text = str::from_utf8(&line).map_err(|_| io::Error::other("the answer is not UTF-8"))?;
    Ok(Zeroizing::new(text.to_string()))
}

#[cfg(test)]
impl Terminal {
    /// A terminal, and the keyboard and screen that belong to it.
    pub(super) fn pair() -> (Self, File) {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&far).and_then(|()| unlockpt(&far)).expect("a terminal");
        let name = ptsname(&far, Vec::new()).expect("its name").into_string().expect("UTF-8");
        (Self { device: name.into(), state: Mutex::new(State::Idle) }, far.into())
    }

    /// One that somebody holds keeps what was written to it.
    pub(super) fn hold(&self) -> File {
        File::open(&self.device).expect("the terminal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Whether the terminal shows what is typed.
    fn shows(terminal: &Terminal) -> bool {
        tcgetattr(terminal.hold()).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Reads the screen up to the end of the question.
    fn await_question(far: &mut File) {
        let mut byte = [0];
        while byte != *b"?" {
            far.read_exact(&mut byte).unwrap();
        }
    }

    #[test]
    fn an_answer_is_not_shown() {
        let (terminal, mut far) = Terminal::pair();
        let _held = terminal.hold();
        thread::scope(|scope| {
            let asked = scope.spawn(|| terminal.ask("what?"));
            await_question(&mut far);
            assert!(!shows(&terminal));
            far.write_all("gehéim\n".as_bytes()).unwrap();
            assert_eq!(asked.join().unwrap().unwrap().as_str(), "gehéim");
        });
        assert!(shows(&terminal));
        let mut screen = [0; 64];
        let count = far.read(&mut screen).unwrap();
        assert_eq!(String::from_utf8_lossy(&screen[..count]), "\r\n");
    }

    #[test]
    fn a_closed_terminal_stays_as_it_was() {
        let (terminal, mut far) = Terminal::pair();
        let _held = terminal.hold();
        thread::scope(|scope| {
            let asked = scope.spawn(|| terminal.ask("what?"));
            await_question(&mut far);
            terminal.close();
            assert!(shows(&terminal), "an open question is undone");
            assert_eq!(terminal.ask("and?").unwrap_err().to_string(), "the program ends");
            assert!(shows(&terminal), "none is asked any more");
            far.write_all(b"late\n").unwrap();
            asked.join().unwrap().unwrap();
        });
        assert!(shows(&terminal));
    }

    #[test]
    fn the_end_of_input_is_no_answer() {
        let (terminal, mut far) = Terminal::pair();
        let _held = terminal.hold();
        thread::scope(|scope| {
            let asked = scope.spawn(|| terminal.ask("what?"));
            await_question(&mut far);
            far.write_all(&[4]).unwrap();
            assert_eq!(asked.join().unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        });
        assert!(shows(&terminal));
    }
}
