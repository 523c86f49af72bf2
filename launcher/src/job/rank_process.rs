//! A rank as a process of its agent: its start, its output, its end.
//!
//! Each rank leads a process group of its own. Whatever is left of the group when the rank has ended is killed, before the
//! rank's number can be another process's.

use super::message::{Assignment, FromAgent, Meeting, RankStatus, encode};
use crate::system::{cores, host_facts};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

/// Names the file through which ranks of one host meet; `-` if a rank reads of the meeting from its standard input.
pub(crate) const MEETING: &str = "ISOGRAD_MEETING";
/// The process whose end ends a rank.
pub(crate) const PARENT: &str = "ISOGRAD_PARENT";
/// The columns of the terminal that shows a rank's progress.
pub(crate) const PROGRESS: &str = "ISOGRAD_PROGRESS";

/// Bytes of output that travel in one message.
const PIECE: usize = 16 * 1024;

/// A rank that was started.
pub(super) struct Rank {
    pid: Pid,
    /// Whether the process may still be signalled, and whether the agent has killed it.
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    is_over: bool,
    is_killed: bool,
}

impl Rank {
    /// Starts rank `local` of the assignment, bound to `own` cores if there are any. Ranks that are all of this
    /// host meet at the file `place`.
    /// The calling thread must live as long as the agent: its end would end the rank.
    pub(super) fn start(
        assignment: &Assignment,
        local: u32,
        own: Option<&[usize]>,
        place: Option<&Path>,
        post: impl Fn(FromAgent) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let rank = assignment.first_rank + local;
        let mut command = this_program()?;
        command.args(&assignment.args).process_group(0);
        let numbers = [
            ("RANK", rank),
            ("WORLD_SIZE", assignment.world),
            ("LOCAL_RANK", local),
            ("LOCAL_WORLD_SIZE", assignment.ranks),
            (PARENT, std::process::id()),
        ];
        command.envs(assignment.env.iter().map(|(name, value)| (name, value)));
        command.envs(numbers.map(|(name, number)| (name, number.to_string())));
        command.env_remove("MASTER_ADDR").env_remove("MASTER_PORT").env_remove(PROGRESS);
        if let Some(columns) = assignment.progress.filter(|_| rank == 0) {
            command.env(PROGRESS, columns.to_string());
        }
        if let Some(folder) = &assignment.folder {
            command.current_dir(folder);
        }
        match place {
            Some(file) => command.env(MEETING, file).stdin(Stdio::null()),
            None => command.env(MEETING, "-").stdin(Stdio::piped()),
        };
        // A child has the cores that its parent has when it starts.
        if let Some(own) = own {
            cores::bind(own)?;
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let state = Arc::new(Mutex::new(State::default()));
        let this = Self { pid: Pid::from_child(&child), state: Arc::clone(&state) };
        if let (Meeting::At(summons), Some(mut stdin)) = (&assignment.meeting, child.stdin.take()) {
            // Fewer bytes than a pipe holds; a rank that has ended already does not want them.
            let _ = stdin.write_all(&encode(summons));
        }
        let stdout = child.stdout.take().map(|pipe| read(rank, false, pipe, post.clone()));
        let stderr = child.stderr.take().map(|pipe| read(rank, true, pipe, post.clone()));
        thread::spawn(move || {
            let status = wait(child, &state);
            for reader in [stdout, stderr].into_iter().flatten() {
                reader.join().expect("reading a pipe does not panic");
            }
            post(FromAgent::Ended { rank, status });
        });
        Ok(this)
    }

    /// Sends the rank a signal, if it has not ended.
    pub(super) fn signal(&self, signal: Signal) {
        let state = self.state.lock().expect("no holder panics");
        if !state.is_over {
            // The only reason to fail: it has just ended.
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Ends the rank, and what it has started, at once.
    pub(super) fn kill(&self) {
        let mut state = self.state.lock().expect("no holder panics");
        if !state.is_over {
            state.is_killed = true;
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }
}

/// A command that runs this program.
pub(super) fn this_program() -> io::Result<Command> {
    let mut command = Command::new(host_facts::own_file()?);
    command.arg0("isograd");
    Ok(command)
}

/// Waits for a rank's end.
fn wait(mut child: Child, state: &Mutex<State>) -> RankStatus {
    let pid = Pid::from_child(&child);
    // It stays a zombie, so that its number remains its own while the rest of its group is killed.
    let ended = || waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    while ended().is_err_and(|error| error == rustix::io::Errno::INTR) {}
    let mut state = state.lock().expect("no holder panics");
    let _ = kill_process_group(pid, Signal::KILL);
    state.is_over = true;
    let status = child.wait().expect("a child of this process");
    match (status.code(), status.signal()) {
        (_, Some(signal)) if state.is_killed && signal == Signal::KILL.as_raw() => RankStatus::Killed,
        (_, Some(signal)) => RankStatus::Signal(signal),
        (code, None) => RankStatus::Code(code.unwrap_or(1)),
    }
}

/// Posts what comes through `pipe`, until its end.
fn read(
    rank: u32,
    is_error: bool,
    mut pipe: impl Read + Send + 'static,
    post: impl Fn(FromAgent) + Send + 'static,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = vec![0; PIECE];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => post(FromAgent::Output { rank, is_error, bytes: buffer[..count].to_vec() }),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(_) => break,
            }
        }
    })
}
