//! The standard output of a command as a source.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::error::{Cause, SourceError};
use super::files::Records;
use super::run::lock;
use super::source::Source;

/// How much of the end of a command's standard error is kept for an error.
const STDERR_BYTES: usize = 2048;
/// How long the end of its standard error is waited for when a command has failed. It is there at once,
/// unless a process that the command left behind holds it open.
const STDERR_PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks at something that is about to end.
const PAUSE: Duration = Duration::from_millis(1);

/// A command whose standard output is read in chunks of whole records. Its standard input is empty.
///
/// After the output has ended, the command must exit with 0; anything else is an error that has its status
/// and the end of its standard error. Processes that it leaves behind are not waited for, unless they hold
/// its output open. When the run ends before the command does, the command is killed, on Unix with all that
/// it started: it has a process group of its own.
///
/// ```
/// use isograd_datasets::pipeline::{CommandOutput, Pipeline};
///
/// let mut out = Pipeline::new()
///     .source("letters", CommandOutput::new("printf", ["abcdefgh"], 1, 3))
///     .map("length", |chunk| chunk.len())
///     .collect("lengths")
///     .build()?
///     .run()?;
/// assert_eq!(out.take::<Vec<usize>>("lengths")?, [3, 3, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CommandOutput {
    program: OsString,
    arguments: Vec<OsString>,
    record_bytes: usize,
    records: usize,
    child: Arc<Mutex<Option<Child>>>,
}

impl CommandOutput {
    /// Chunks of `records` records of `record_bytes` bytes each.
    ///
    /// # Panics
    ///
    /// If one of them is 0.
    pub fn new(
        program: impl Into<OsString>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        record_bytes: usize,
        records: usize,
    ) -> Self {
        assert!(record_bytes > 0 && records > 0, "chunks of {records} records of {record_bytes} bytes");
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        Self { program: program.into(), arguments, record_bytes, records, child: Arc::default() }
    }

    /// The command in words.
    fn words(&self) -> String {
        let words = [&self.program].into_iter().chain(&self.arguments);
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

impl Source for CommandOutput {
    type Item = Vec<u8>;
    type Items = Box<dyn Iterator<Item = Result<Vec<u8>, Cause>>>;

    fn open(&self) -> Result<Self::Items, Cause> {
        let command = self.words();
        let unstarted = |reason| SourceError::Spawn { command: command.clone(), reason };
        let mut command_line = Command::new(&self.program);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command_line, 0);
        let mut child = command_line
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(unstarted)?;
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let kill_on_drop = Running { child: Arc::clone(&self.child) };
        *lock(&self.child) = Some(child);
        // A command that says much waits for its reader.
        let name = "standard error".to_owned();
        let said = Arc::<Mutex<VecDeque<u8>>>::default();
        let kept = Arc::clone(&said);
        let listen = move || stderr.into_iter().for_each(|stderr| keep_end(stderr, &kept));
        let listener = Builder::new().name(name).spawn(listen).map_err(unstarted)?;
        let reader = Output { stdout, read_bytes: 0 };
        let (record_bytes, records) = (self.record_bytes, self.records);
        let chunks =
            Records { reader, origin: format!("`{command}`"), record_bytes, records, is_over: false };
        let stderr = Stderr { said, listener };
        Ok(Box::new(CommandChunks { chunks, command, stderr, running: kill_on_drop, is_over: false }))
    }

    fn interrupt(&self) {
        if let Some(child) = &mut *lock(&self.child) {
            kill(child);
        }
    }
}

/// Kills a command that has not been waited for, and on Unix all that it started: a shell's children hold its
/// output open.
fn kill(child: &mut Child) {
    #[cfg(unix)]
    let killed = rustix::process::kill_process_group(
        rustix::process::Pid::from_child(child),
        rustix::process::Signal::KILL,
    );
    #[cfg(not(unix))]
    let killed = child.kill();
    // It may have ended; either way its output ends.
    let _ = killed;
}

/// Keeps the last bytes of what a command says on its standard error in `end`.
fn keep_end(mut stderr: impl Read, end: &Mutex<VecDeque<u8>>) {
    let mut buffer = [0; 512];
    while let Ok(count @ 1..) = stderr.read(&mut buffer) {
        let mut end = lock(end);
        end.extend(&buffer[..count]);
        let surplus = end.len().saturating_sub(STDERR_BYTES);
        end.drain(..surplus);
    }
}

/// The end of a standard error that a thread listens to.
struct Stderr {
    said: Arc<Mutex<VecDeque<u8>>>,
    listener: JoinHandle<()>,
}

impl Stderr {
    /// What a command that has ended said last. The listener ends with the last process that could say more,
    /// which may be a daemon that the command started: it is not waited for.
    fn end(&self) -> String {
        let deadline = Instant::now() + STDERR_PATIENCE;
        while !self.listener.is_finished() && Instant::now() < deadline {
            std::thread::sleep(PAUSE);
        }
        String::from_utf8_lossy(lock(&self.said).make_contiguous()).into_owned()
    }
}

/// The standard output, counted.
struct Output {
    stdout: Option<ChildStdout>,
    read_bytes: u64,
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stdout.as_mut().map_or(Ok(0), |stdout| stdout.read(buffer))?;
        self.read_bytes += count as u64;
        Ok(count)
    }
}

/// A command that is killed, and waited for, when nobody reads it any more.
struct Running {
    child: Arc<Mutex<Option<Child>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = lock(&self.child).take() {
            kill(&mut child);
            let _ = child.wait();
        }
    }
}

struct CommandChunks {
    chunks: Records<Output>,
    command: String,
    stderr: Stderr,
    running: Running,
    is_over: bool,
}

impl CommandChunks {
    /// The error with which the command ended, if it did not exit with 0.
    fn exit(&mut self) -> Option<SourceError> {
        // Its output has ended, so it is about to end. Left in place while it does, so that an interrupt
        // finds it.
        let status = loop {
            let mut child = lock(&self.running.child);
            match child.as_mut()?.try_wait() {
                Ok(None) => (),
                ended => {
                    *child = None;
                    break ended;
                }
            }
            drop(child);
            std::thread::sleep(PAUSE);
        };
        let status = match status {
            Ok(Some(status)) if status.success() => return None,
            Ok(status) => status.map(|status| status.to_string()).unwrap_or_default(),
            Err(reason) => format!("an unknown status ({reason})"),
        };
        let (stderr, stdout_bytes) = (self.stderr.end(), self.chunks.reader.read_bytes);
        Some(SourceError::Command { command: self.command.clone(), status, stdout_bytes, stderr })
    }
}

impl Iterator for CommandChunks {
    type Item = Result<Vec<u8>, Cause>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        match self.chunks.next() {
            Some(Ok(chunk)) => Some(Ok(chunk)),
            // A command that fails may leave a cut record behind: that it failed says more.
            cut => {
                self.is_over = true;
                self.exit().map(|error| Err(error.into())).or(cut)
            }
        }
    }
}
