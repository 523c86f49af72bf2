//! The launcher's standard output and standard error: whole lines, and on a terminal a line of progress below
//! them.

use crate::failure::Failure;
use std::io::{self, IsTerminal, Write};

/// Colours of labels, as ANSI codes: rank after rank.
const COLORS: [u8; 6] = [36, 33, 32, 35, 34, 31];
const CLEAR_LINE: &str = "\r\x1b[2K";

/// Standard output and standard error.
pub(super) struct Screen {
    streams: [Box<dyn Write>; 2],
    has_colors: [bool; 2],
    /// The columns of the terminal that shows progress, if there is one.
    columns: Option<u16>,
    /// The line at the bottom of the terminal.
    progress: String,
}

impl Screen {
    pub(super) fn new() -> Self {
        let wants_colors = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let are_terminals = [io::stdout().is_terminal(), io::stderr().is_terminal()];
        let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
        Self {
            streams: [Box::new(io::stdout()), Box::new(io::stderr())],
            has_colors: are_terminals.map(|is_terminal| is_terminal && wants_colors),
            columns: size.filter(|_| are_terminals[1]).map(|size| size.ws_col),
            progress: String::new(),
        }
    }

    /// Columns for progress, if it is shown.
    pub(super) fn columns(&self) -> Option<u16> {
        self.columns
    }

    /// `[0@node1] `, in the colour of the rank where there are colours.
    pub(super) fn label(&self, rank: u32, name: &str, is_error: bool) -> String {
        if self.has_colors[usize::from(is_error)] {
            format!("\x1b[{}m[{name}]\x1b[0m ", COLORS[rank as usize % COLORS.len()])
        } else {
            format!("[{name}] ")
        }
    }

    /// Prints whole lines. A closed standard error is not a failure.
    pub(super) fn print(&mut self, is_error: bool, lines: &str) -> Result<(), Failure> {
        if !self.progress.is_empty() {
            self.write_error(CLEAR_LINE);
        }
        if is_error {
            self.write_error(lines);
        } else {
            let stdout = &mut self.streams[0];
            stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::Stdout)?;
        }
        let progress = std::mem::take(&mut self.progress);
        self.write_error(&progress);
        self.progress = progress;
        Ok(())
    }

    /// Replaces the line of progress; an empty one removes it.
    pub(super) fn show_progress(&mut self, line: String) {
        self.write_error(&format!("{CLEAR_LINE}{line}"));
        self.progress = line;
    }

    fn write_error(&mut self, text: &str) {
        let _ = self.streams[1].write_all(text.as_bytes());
    }

    /// A screen that writes to memory.
    #[cfg(test)]
    pub(super) fn in_memory(columns: Option<u16>) -> (Self, Memory) {
        let memory = Memory::default();
        let streams: [Box<dyn Write>; 2] = [Box::new(memory.clone()), Box::new(memory.clone())];
        (Self { streams, has_colors: [columns.is_some(); 2], columns, progress: String::new() }, memory)
    }
}

/// The text of both streams, in order.
#[cfg(test)]
#[derive(Clone, Default)]
pub(super) struct Memory(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl Memory {
    /// Takes the text out.
    pub(super) fn text(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

#[cfg(test)]
impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_above_the_progress() {
        let (mut screen, memory) = Screen::in_memory(Some(80));
        screen.show_progress("10 %".into());
        screen.print(false, "a line\n").unwrap();
        screen.show_progress("20 %".into());
        screen.show_progress(String::new());
        screen.print(true, "an error\n").unwrap();
        assert_eq!(memory.text(), "\r\x1b[2K10 %\r\x1b[2Ka line\n10 %\r\x1b[2K20 %\r\x1b[2Kan error\n");
    }

    #[test]
    fn labels_have_the_colours_of_their_ranks() {
        let (screen, _) = Screen::in_memory(Some(80));
        assert_eq!(screen.label(1, "1@a", false), "\x1b[33m[1@a]\x1b[0m ");
        let (screen, _) = Screen::in_memory(None);
        assert_eq!(screen.label(1, "1@a", false), "[1@a] ");
    }
}
