//! One line on standard error that is drawn again and again, for somebody who watches.

use std::io::{self, IsTerminal, Write};

/// Columns of a terminal that does not say how many it has.
const COLUMNS: u16 = 80;

/// A line that is cleared when it is dropped.
#[derive(Debug)]
pub(crate) struct StatusLine {
    /// Columns of the launcher's terminal; `None` if standard error is a terminal itself.
    relayed_columns: Option<u16>,
}

impl StatusLine {
    /// A line on standard error, if that is a terminal.
    pub(crate) fn on_terminal() -> Option<Self> {
        // Made only where it is wanted: dropping a line clears it.
        io::stderr().is_terminal().then(|| Self { relayed_columns: None })
    }

    /// A line for a launcher that reads standard error and shows it on a terminal with so many columns.
    pub(crate) fn relayed(columns: u16) -> Self {
        Self { relayed_columns: Some(columns) }
    }

    /// The number of columns that a line may take.
    pub(crate) fn columns(&self) -> usize {
        let of_terminal = || rustix::termios::tcgetwinsize(io::stderr()).ok().map(|size| size.ws_col);
        let columns = self.relayed_columns.or_else(of_terminal).filter(|&columns| columns > 0);
        columns.unwrap_or(COLUMNS).into()
    }

    /// Shows `text`, as much of it as fits, in place of what the line showed before.
    pub(crate) fn show(&mut self, text: &str) {
        let text: String = text.chars().take(self.columns()).collect();
        self.write(&text);
    }

    fn write(&mut self, text: &str) {
        let line = match self.relayed_columns {
            // The launcher lets a line that ends with a carriage return replace the line before.
            Some(_) => format!("{text}\r"),
            None => format!("\r\x1b[2K{text}"),
        };
        // One write, as other ranks may write to the same terminal. A failure to show progress must not end a
        // run.
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.write("");
    }
}
