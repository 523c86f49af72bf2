//! Standard output.

use crate::failure::Failure;
use std::io::{self, Write};

/// Writes to standard output; a closed pipe is a [`Failure`], where `println!` would panic.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: io::Stdout,
}

impl Default for Output {
    fn default() -> Self {
        Self { stdout: io::stdout() }
    }
}

impl Output {
    /// Writes `text` and a line's end, at once.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.text(&format!("{text}\n"))
    }

    /// Writes `text` at once.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.stdout.write_all(text.as_bytes()).and_then(|()| self.stdout.flush()).map_err(Failure::Stdout)
    }
}
