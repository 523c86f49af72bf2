//! What the ranks print, on its way to the launcher's own output and to files.

use crate::failure::Failure;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

/// Lines of each rank that are remembered for the case that it fails.
const LAST_LINES: usize = 10;
/// A line without an end is shown in pieces of this many bytes.
const LONGEST_LINE: usize = 64 * 1024;
/// Colours of the labels, as ANSI codes: rank after rank.
const COLORS: [u8; 6] = [36, 33, 32, 35, 34, 31];
const CLEAR_LINE: &str = "\r\x1b[2K";

/// What is shown, and what is kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct RelayPlan {
    /// Whether lines begin with `[rank@host]`.
    pub(crate) with_labels: bool,
    /// Whether only errors are shown.
    pub(crate) is_quiet: bool,
    /// The one rank that is shown.
    pub(crate) only: Option<u32>,
    /// Where the output of each rank is written.
    pub(crate) folder: Option<PathBuf>,
}

/// Shows lines whole, one after the other, whatever pieces they come in.
pub(super) struct Relay {
    plan: RelayPlan,
    ranks: Vec<Printer>,
    has_colors: [bool; 2],
    /// The line of progress at the bottom of the terminal.
    progress: String,
}

/// A rank's output.
struct Printer {
    label: String,
    /// What has come of the next line, of standard output and standard error.
    begun: [Vec<u8>; 2],
    files: Option<[File; 2]>,
    last_lines: VecDeque<String>,
}

impl Relay {
    /// For ranks with these labels.
    pub(super) fn new(plan: RelayPlan, labels: Vec<String>) -> Result<Self, Failure> {
        let open = |rank: usize| {
            let folder = plan.folder.as_ref()?.join(format!("rank.{rank}"));
            let create = |name| File::create(folder.join(name));
            let files = fs::create_dir_all(&folder).and_then(|()| Ok([create("stdout")?, create("stderr")?]));
            Some(files.map_err(|source| Failure::Write { option: "--output", path: folder.clone(), source }))
        };
        let printer = |(rank, label)| {
            let files = open(rank).transpose()?;
            Ok(Printer { label, begun: Default::default(), files, last_lines: VecDeque::new() })
        };
        let ranks = labels.into_iter().enumerate().map(printer).collect::<Result<_, Failure>>()?;
        let wants_colors = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let has_colors =
            [io::stdout().is_terminal(), io::stderr().is_terminal()].map(|is| is && wants_colors);
        Ok(Self { plan, ranks, has_colors, progress: String::new() })
    }

    /// The columns that the progress of rank 0 may take, if it is to be shown.
    pub(super) fn progress_columns(&self) -> Option<u16> {
        let shows =
            io::stderr().is_terminal() && !self.plan.is_quiet && self.plan.only.is_none_or(|rank| rank == 0);
        let size = rustix::termios::tcgetwinsize(io::stderr()).ok().filter(|_| shows)?;
        let label = if self.plan.with_labels { self.ranks[0].label.len() + 3 } else { 0 };
        size.ws_col.checked_sub(label as u16).filter(|columns| *columns > 0)
    }

    /// Takes what `rank` has printed.
    pub(super) fn take(&mut self, rank: u32, is_error: bool, bytes: &[u8]) -> Result<(), Failure> {
        let Some(printer) = self.ranks.get_mut(rank as usize) else { return Ok(()) };
        let stream = usize::from(is_error);
        if let (Some(files), Some(folder)) = (&mut printer.files, &self.plan.folder) {
            let path = folder.join(format!("rank.{rank}"));
            files[stream].write_all(bytes).map_err(|source| Failure::Write {
                option: "--output",
                path,
                source,
            })?;
        }
        let begun = &mut printer.begun[stream];
        begun.extend_from_slice(bytes);
        let is_end = |byte: &u8| *byte == b'\n' || (*byte == b'\r' && is_error);
        while let Some(end) = self.ranks[rank as usize].begun[stream].iter().position(is_end) {
            let line: Vec<u8> = self.ranks[rank as usize].begun[stream].drain(..=end).collect();
            let (line, end) = line.split_at(line.len() - 1);
            let text = String::from_utf8_lossy(line).into_owned();
            if end == b"\n" { self.line(rank, is_error, text)? } else { self.show_progress(rank, &text) }
        }
        if self.ranks[rank as usize].begun[stream].len() > LONGEST_LINE {
            self.flush(rank, is_error)?;
        }
        Ok(())
    }

    /// Shows lines of `rank` that have no end.
    pub(super) fn finish(&mut self, rank: u32) -> Result<(), Failure> {
        self.flush(rank, false)?;
        self.flush(rank, true)
    }

    fn flush(&mut self, rank: u32, is_error: bool) -> Result<(), Failure> {
        let Some(printer) = self.ranks.get_mut(rank as usize) else { return Ok(()) };
        let line = std::mem::take(&mut printer.begun[usize::from(is_error)]);
        if line.is_empty() {
            Ok(())
        } else {
            self.line(rank, is_error, String::from_utf8_lossy(&line).into_owned())
        }
    }

    fn line(&mut self, rank: u32, is_error: bool, line: String) -> Result<(), Failure> {
        let label = self.label(rank, is_error);
        let printer = &mut self.ranks[rank as usize];
        printer.last_lines.truncate(LAST_LINES - 1);
        printer.last_lines.push_front(line.clone());
        let is_shown = self.plan.only.is_none_or(|only| only == rank) && (is_error || !self.plan.is_quiet);
        if is_shown { self.print(is_error, &format!("{label}{line}\n")) } else { Ok(()) }
    }

    /// `[0@node1] `, or nothing.
    fn label(&self, rank: u32, is_error: bool) -> String {
        let label = &self.ranks[rank as usize].label;
        match (self.plan.with_labels, self.has_colors[usize::from(is_error)]) {
            (false, _) => String::new(),
            (true, false) => format!("[{label}] "),
            (true, true) => format!("\x1b[{}m[{label}]\x1b[0m ", COLORS[rank as usize % COLORS.len()]),
        }
    }

    /// Rank 0 ends the lines of its progress with a carriage return: each replaces the one before.
    fn show_progress(&mut self, rank: u32, text: &str) {
        if rank == 0 && self.progress_columns().is_some() {
            let label = if text.is_empty() { String::new() } else { self.label(rank, true) };
            self.progress = format!("{label}{text}");
            // Without standard error there is nobody to show it to.
            let _ = io::stderr().write_all(format!("{CLEAR_LINE}{}", self.progress).as_bytes());
        }
    }

    /// Prints whole lines above the line of progress.
    fn print(&mut self, is_error: bool, lines: &str) -> Result<(), Failure> {
        if !self.progress.is_empty() {
            let _ = io::stderr().write_all(CLEAR_LINE.as_bytes());
        }
        if is_error {
            let _ = io::stderr().write_all(lines.as_bytes());
        } else {
            let mut stdout = io::stdout();
            stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::Stdout)?;
        }
        if !self.progress.is_empty() {
            let _ = io::stderr().write_all(self.progress.as_bytes());
        }
        Ok(())
    }

    /// Says something of the launcher's own, on standard error.
    pub(super) fn say(&mut self, lines: &str) {
        self.print(true, lines).expect("standard error never fails");
    }

    /// The last lines of `rank`, the oldest first.
    pub(super) fn last_lines(&self, rank: u32) -> impl Iterator<Item = &str> {
        self.ranks[rank as usize].last_lines.iter().rev().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_kept_in_files_and_the_last_lines_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let plan =
            RelayPlan { only: Some(7), folder: Some(folder.path().join("out")), ..RelayPlan::default() };
        let mut relay = Relay::new(plan, vec!["0@a".into(), "1@a".into()]).unwrap();
        for number in 0..30 {
            relay.take(1, false, format!("line {number}\n").as_bytes()).unwrap();
        }
        relay.take(1, true, b"half a").unwrap();
        relay.take(1, true, b" line\xff").unwrap();
        relay.finish(1).unwrap();
        let last: Vec<&str> = relay.last_lines(1).collect();
        assert_eq!((last.len(), last[0], last[9]), (LAST_LINES, "line 21", "half a line\u{fffd}"));
        let file = |name| fs::read(folder.path().join("out").join(name)).unwrap();
        assert!(file("rank.1/stdout").starts_with(b"line 0\nline 1\n"));
        assert_eq!(file("rank.1/stderr"), b"half a line\xff");
        assert!(file("rank.0/stdout").is_empty());
        assert_eq!(relay.last_lines(0).count(), 0);
    }

    #[test]
    fn a_line_without_end_takes_no_end_of_memory() {
        let plan = RelayPlan { only: Some(7), ..RelayPlan::default() };
        let mut relay = Relay::new(plan, vec!["0@a".into()]).unwrap();
        for _ in 0..10 {
            relay.take(0, false, &vec![b'x'; LONGEST_LINE / 3]).unwrap();
        }
        assert!(relay.ranks[0].begun[0].len() <= LONGEST_LINE);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let plan = RelayPlan { folder: Some("/dev/null/x".into()), ..RelayPlan::default() };
        let failure = Relay::new(plan, vec!["0@a".into()]).err().unwrap();
        assert!(failure.to_string().starts_with("--output /dev/null/x/rank.0: cannot write: "), "{failure}");
    }
}
