//! The output of ranks on its way to the screen and to files.

use super::screen::Screen;
use crate::failure::Failure;
use crate::system::escape::one_line;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The last lines of each rank that are kept, to be shown again if it fails.
const LAST_LINES: usize = 10;
/// A line that is longer is shown in pieces of this many bytes.
const LONGEST_LINE: usize = 64 * 1024;
/// The names of a rank's files in its folder.
const STREAMS: [&str; 2] = ["stdout", "stderr"];

/// Which output is shown, and where it is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct RelayPlan {
    /// Whether lines begin with `[rank@host]`.
    pub(crate) with_labels: bool,
    /// Whether only errors are shown.
    pub(crate) is_quiet: bool,
    /// The only rank that is shown, if one was chosen.
    pub(crate) only: Option<u32>,
    /// Where the output of each rank is written.
    pub(crate) folder: Option<PathBuf>,
}

/// Shows whole lines one after the other, however their bytes are split between messages.
pub(super) struct Relay {
    plan: RelayPlan,
    screen: Screen,
    ranks: Vec<Printer>,
}

/// A rank's output.
struct Printer {
    /// `0@node1`.
    name: String,
    /// The beginning of the next line, of standard output and of standard error.
    begun: [Vec<u8>; 2],
    /// Open from the first byte of a stream to the rank's end.
    files: [Option<File>; 2],
    /// The newest first.
    last_lines: VecDeque<String>,
}

impl Relay {
    /// A relay for ranks with these names.
    pub(super) fn new(plan: RelayPlan, screen: Screen, names: Vec<String>) -> Result<Self, Failure> {
        if let Some(rank) = plan.only.filter(|rank| *rank as usize >= names.len()) {
            let problem = format!("--only-rank {rank}: there are ranks 0 to {}", names.len() - 1);
            return Err(Failure::Usage { problem, hint: None });
        }
        if let Some(folder) = &plan.folder {
            for rank in 0..names.len() {
                let folder = folder.join(format!("rank.{rank}"));
                make_files(&folder).map_err(|source| cannot_write(folder, source))?;
            }
        }
        let printer = |name| Printer {
            name,
            begun: Default::default(),
            files: Default::default(),
            last_lines: VecDeque::new(),
        };
        let ranks = names.into_iter().map(printer).collect();
        Ok(Self { plan, screen, ranks })
    }

    /// The columns for the progress of rank 0, if it is shown.
    pub(super) fn progress_columns(&self) -> Option<u16> {
        let is_shown = !self.plan.is_quiet && self.plan.only.is_none_or(|rank| rank == 0);
        let label = if self.plan.with_labels { self.ranks[0].name.len() + "[] ".len() } else { 0 };
        let columns = self.screen.columns().filter(|_| is_shown)?;
        columns.checked_sub(u16::try_from(label).ok()?).filter(|columns| *columns > 0)
    }

    /// Takes bytes that `rank` has printed.
    pub(super) fn take(&mut self, rank: u32, is_error: bool, bytes: &[u8]) -> Result<(), Failure> {
        let Some(printer) = self.ranks.get_mut(rank as usize) else { return Ok(()) };
        let stream = usize::from(is_error);
        if let Some(folder) = &self.plan.folder {
            let folder = folder.join(format!("rank.{rank}"));
            let file = &mut printer.files[stream];
            if file.is_none() {
                let opened = File::options().append(true).open(folder.join(STREAMS[stream]));
                *file = Some(opened.map_err(|source| cannot_write(folder.clone(), source))?);
            }
            let written = file.as_mut().map_or(Ok(()), |file| file.write_all(bytes));
            written.map_err(|source| cannot_write(folder, source))?;
        }
        let mut begun = std::mem::take(&mut printer.begun[stream]);
        begun.extend_from_slice(bytes);
        let is_progress = rank == 0 && is_error && self.progress_columns().is_some();
        let mut rest = begun.as_slice();
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (text, behind) = (&rest[..end], &rest[end + 1..]);
            rest = match (rest[end], behind) {
                (b'\r', [b'\n', behind @ ..]) => {
                    self.line(rank, is_error, text)?;
                    behind
                }
                (b'\r', behind) if is_progress => {
                    self.show_progress(text);
                    behind
                }
                // A line feed may follow in the next piece.
                (b'\r', []) => break,
                (_, behind) => {
                    self.line(rank, is_error, text)?;
                    behind
                }
            };
        }
        if rest.len() > LONGEST_LINE {
            self.line(rank, is_error, rest)?;
            rest = &[];
        }
        self.ranks[rank as usize].begun[stream] = rest.to_vec();
        Ok(())
    }

    /// Shows the rest of `rank`'s output: its last lines may have no line feed.
    pub(super) fn finish(&mut self, rank: u32) -> Result<(), Failure> {
        for is_error in [false, true] {
            let Some(printer) = self.ranks.get_mut(rank as usize) else { return Ok(()) };
            printer.files[usize::from(is_error)] = None;
            let line = std::mem::take(&mut printer.begun[usize::from(is_error)]);
            if !line.is_empty() {
                self.line(rank, is_error, line.strip_suffix(b"\r").unwrap_or(&line))?;
            }
        }
        Ok(())
    }

    fn line(&mut self, rank: u32, is_error: bool, text: &[u8]) -> Result<(), Failure> {
        let line = printable(text);
        let label = self.label(rank, is_error);
        let is_shown = self.plan.only.is_none_or(|only| only == rank) && (is_error || !self.plan.is_quiet);
        let shown = if is_shown { self.screen.print(is_error, &format!("{label}{line}\n")) } else { Ok(()) };
        let last_lines = &mut self.ranks[rank as usize].last_lines;
        last_lines.truncate(LAST_LINES - 1);
        last_lines.push_front(line);
        shown
    }

    fn label(&self, rank: u32, is_error: bool) -> String {
        match self.plan.with_labels {
            true => self.screen.label(rank, &self.ranks[rank as usize].name, is_error),
            false => String::new(),
        }
    }

    /// Rank 0 ends the lines of its progress with a carriage return: each replaces the one before.
    fn show_progress(&mut self, text: &[u8]) {
        let label = if text.is_empty() { String::new() } else { self.label(0, true) };
        self.screen.show_progress(format!("{label}{}", printable(text)));
    }

    /// Prints a line of the launcher's own on standard output.
    pub(super) fn announce(&mut self, line: &str) -> Result<(), Failure> {
        let is_shown = !self.plan.is_quiet && self.plan.only.is_none();
        if is_shown { self.screen.print(false, &format!("{line}\n")) } else { Ok(()) }
    }

    /// Prints lines of the launcher's own on standard error.
    pub(super) fn say(&mut self, lines: &str) {
        self.screen.print(true, lines).expect("standard error never fails");
    }

    /// The last lines of `rank`, the oldest first.
    pub(super) fn last_lines(&self, rank: u32) -> impl Iterator<Item = &str> {
        self.ranks[rank as usize].last_lines.iter().rev().map(String::as_str)
    }
}

/// Makes a rank's folder, with files that are empty.
fn make_files(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    STREAMS.iter().try_for_each(|name| File::create(folder.join(name)).map(drop))
}

fn cannot_write(path: PathBuf, source: io::Error) -> Failure {
    Failure::Write { option: "--output", path, source }
}

/// A line of a rank without control characters but tabs, so that it cannot command the reader's terminal.
fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.split('\t').map(one_line).collect::<Vec<_>>().join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::screen::Memory;

    fn relay(plan: RelayPlan, columns: Option<u16>) -> (Relay, Memory) {
        let (screen, memory) = Screen::in_memory(columns);
        (Relay::new(plan, screen, vec!["0@a".into(), "1@b".into()]).unwrap(), memory)
    }

    #[test]
    fn lines_are_shown_whole_with_their_rank() {
        let (mut relay, memory) = relay(RelayPlan { with_labels: true, ..RelayPlan::default() }, None);
        relay.take(0, false, b"one\ntw").unwrap();
        relay.take(1, true, b"error").unwrap();
        relay.take(0, false, b"o\n").unwrap();
        relay.finish(1).unwrap();
        relay.take(7, false, b"there is no such rank\n").unwrap();
        assert_eq!(memory.text(), "[0@a] one\n[0@a] two\n[1@b] error\n");
    }

    #[test]
    fn what_is_shown_can_be_chosen() {
        let shown = |plan| {
            let (mut relay, memory) = relay(plan, None);
            for rank in [0, 1] {
                relay.take(rank, false, b"out\n").unwrap();
                relay.take(rank, true, b"err\n").unwrap();
            }
            memory.text()
        };
        assert_eq!(shown(RelayPlan { only: Some(1), ..RelayPlan::default() }), "out\nerr\n");
        assert_eq!(shown(RelayPlan { is_quiet: true, ..RelayPlan::default() }), "err\nerr\n");
    }

    #[test]
    fn the_progress_of_rank_0_is_one_line() {
        let plan = RelayPlan { with_labels: true, ..RelayPlan::default() };
        let (mut relay, memory) = relay(plan.clone(), Some(80));
        assert_eq!(relay.progress_columns(), Some(74));
        relay.take(0, true, b"50 %\r").unwrap();
        relay.take(0, true, b"\r").unwrap();
        assert_eq!(memory.text(), "\r\x1b[2K\x1b[36m[0@a]\x1b[0m 50 %\r\x1b[2K");
        for plan in [RelayPlan { is_quiet: true, ..plan.clone() }, RelayPlan { only: Some(1), ..plan }] {
            assert_eq!(self::relay(plan, Some(80)).0.progress_columns(), None);
        }
    }

    #[test]
    fn a_carriage_return_ends_a_line_unless_it_is_progress() {
        for (columns, rank, is_error) in [(None, 0, true), (Some(80), 1, true), (Some(80), 0, false)] {
            let (mut relay, memory) = relay(RelayPlan::default(), columns);
            for piece in ["a\r\nb\rc\r", "\nd\r", "e\n\r\n", "f\r"] {
                relay.take(rank, is_error, piece.as_bytes()).unwrap();
            }
            relay.finish(rank).unwrap();
            assert_eq!(memory.text(), "a\nb\nc\nd\ne\n\nf\n", "rank {rank} of {columns:?} columns");
        }
        let (mut relay, memory) = relay(RelayPlan::default(), Some(80));
        relay.take(0, true, b"a line\r\n50 %\r").unwrap();
        assert_eq!(memory.text(), "a line\n\r\x1b[2K50 %");
    }

    #[test]
    fn ranks_do_not_command_the_terminal() {
        let (mut relay, memory) = relay(RelayPlan::default(), None);
        relay.take(1, true, "a\tb\x1b]0;title\x07\u{9b}2J\n".as_bytes()).unwrap();
        assert_eq!(memory.text(), "a\tb\\u{1b}]0;title\\u{7}\\u{9b}2J\n");
    }

    #[test]
    fn files_are_open_while_a_rank_prints() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rank.1/stdout");
        fs::create_dir(folder.path().join("rank.1")).unwrap();
        fs::write(&file, "of the run before").unwrap();
        let (mut relay, _) =
            relay(RelayPlan { folder: Some(folder.path().into()), ..RelayPlan::default() }, None);
        assert_eq!(fs::read(&file).unwrap(), b"");
        let open = |relay: &Relay| relay.ranks.iter().flat_map(|rank| &rank.files).flatten().count();
        assert_eq!(open(&relay), 0);
        relay.take(1, false, b"one\n").unwrap();
        relay.take(1, false, b"two\n").unwrap();
        assert_eq!(open(&relay), 1);
        relay.finish(1).unwrap();
        assert_eq!((open(&relay), fs::read(&file).unwrap().as_slice()), (0, &b"one\ntwo\n"[..]));
    }

    #[test]
    fn output_is_kept_in_files_and_the_last_lines_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let plan = RelayPlan { folder: Some(folder.path().join("out")), ..RelayPlan::default() };
        let (mut relay, _) = relay(plan, None);
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
        let (mut relay, memory) = relay(RelayPlan::default(), None);
        for _ in 0..10 {
            relay.take(0, false, &vec![b'x'; LONGEST_LINE / 3]).unwrap();
            assert!(relay.ranks[0].begun[0].len() <= LONGEST_LINE);
        }
        relay.finish(0).unwrap();
        assert_eq!(memory.text().matches('x').count(), LONGEST_LINE / 3 * 10);
    }

    #[test]
    fn a_folder_that_cannot_be_made_and_a_rank_that_there_is_not() {
        let message =
            |plan| Relay::new(plan, Screen::in_memory(None).0, vec!["0@a".into()]).err().unwrap().to_string();
        let message_of_folder =
            message(RelayPlan { folder: Some("/dev/null/x".into()), ..RelayPlan::default() });
        assert!(
            message_of_folder.starts_with("--output /dev/null/x/rank.0: cannot write: "),
            "{message_of_folder}"
        );
        let message_of_rank = message(RelayPlan { only: Some(1), ..RelayPlan::default() });
        assert_eq!(message_of_rank, "--only-rank 1: there are ranks 0 to 0");
    }
}
