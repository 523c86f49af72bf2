//! Standard output.

use crate::failure::Failure;
use std::io::{self, Write};

/// Writes to standard output; a closed pipe is a [`Failure`], where `println!` would panic.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: io::Stdout,
    /// The rank of this process, if it is one of several.
    rank: Option<usize>,
}

impl Default for Output {
    fn default() -> Self {
        Self { stdout: io::stdout(), rank: None }
    }
}

impl Output {
    /// This process is one of several ranks: only the first one prints.
    pub(crate) fn set_rank(&mut self, rank: usize) {
        self.rank = Some(rank);
    }

    /// The rank of this process, if it is one of several.
    pub(crate) fn rank(&self) -> Option<usize> {
        self.rank
    }

    /// Writes `text` as a line, and flushes.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.text(&format!("{text}\n"))
    }

    /// Writes `text` as a line, also where this is not the first rank: then its number is in front.
    pub(crate) fn line_of_rank(&mut self, text: &str) -> Result<(), Failure> {
        match self.rank.filter(|rank| *rank > 0) {
            Some(rank) => self.write(&format!("rank {rank}: {text}\n")),
            None => self.write(&format!("{text}\n")),
        }
    }

    /// Writes `text`, and flushes.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        if self.rank.is_some_and(|rank| rank > 0) {
            return Ok(());
        }
        self.write(text)
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.stdout.write_all(text.as_bytes()).and_then(|()| self.stdout.flush()).map_err(Failure::Stdout)
    }
}
