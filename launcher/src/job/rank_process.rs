//! A rank as a process of its agent.
//!
//! Each rank leads a process group of its own. When the rank has ended, the rest of the group is killed, and
//! only then does the agent let the system reuse the rank's process number.

use super::message::{Assignment, FromAgent, MeetingPoint, RankStatus, encode};
use crate::system::{cores, host_facts, variables};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

/// The most bytes of output in one message.
const PIECE: usize = 16 * 1024;

/// A rank that was started.
pub(super) struct RankProcess {
    pid: Pid,
    state: Arc<Mutex<ProcessState>>,
    /// The rank's standard input, until it has been told where the ranks meet.
    stdin: Option<ChildStdin>,
}

/// What has become of the process.
#[derive(Default)]
struct ProcessState {
    /// It has ended, so another process may have its number.
    is_over: bool,
    /// The agent has killed it.
    is_killed: bool,
}

impl RankProcess {
    /// Starts rank `local` of the assignment, bound to its `own` cores, if it has any, of `all` cores of this
    /// host. The calling thread must live as long as the agent: its end would end the rank.
    pub(super) fn start(
        assignment: &Assignment,
        local: u32,
        own: Option<&[usize]>,
        all: &[usize],
        post: impl Fn(FromAgent) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let rank = assignment.first_rank + local;
        let mut command = this_program()?;
        command.args(&assignment.args).process_group(0);
        let numbers = [
            (variables::RANK, rank),
            (variables::WORLD_SIZE, assignment.world),
            (variables::LOCAL_RANK, local),
            (variables::LOCAL_WORLD_SIZE, assignment.ranks),
            (variables::PARENT, std::process::id()),
        ];
        command.envs(assignment.env.iter().map(|(name, value)| (name, value)));
        command.envs(numbers.map(|(name, number)| (name, number.to_string())));
        for name in [variables::MASTER_ADDR, variables::MASTER_PORT, variables::PROGRESS] {
            command.env_remove(name);
        }
        if let Some(columns) = assignment.progress.filter(|_| rank == 0) {
            command.env(variables::PROGRESS, columns.to_string());
        }
        if let Some(folder) = &assignment.folder {
            command.current_dir(folder);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn_bound(&mut command, own, all)?;
        let state = Arc::new(Mutex::new(ProcessState::default()));
        let (pid, stdin) = (Pid::from_child(&child), child.stdin.take());
        let this = Self { pid, state: Arc::clone(&state), stdin };
        let pipes = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
        if let Err(error) = follow(rank, child, pipes, state, post) {
            // Without its threads, no one would notice its end.
            let _ = kill_process_group(pid, Signal::KILL);
            return Err(error);
        }
        Ok(this)
    }

    /// Tells the rank where the ranks meet.
    pub(super) fn tell(&mut self, point: &MeetingPoint) {
        if let Some(mut stdin) = self.stdin.take() {
            // Fewer bytes than a pipe holds, so this never waits. A rank that has ended does not read them.
            let _ = stdin.write_all(&encode(point));
        }
    }

    /// Sends the rank a signal, if it has not ended.
    pub(super) fn signal(&self, signal: Signal) {
        let state = self.state.lock().expect("no holder panics");
        if !state.is_over {
            // The only reason to fail: it has just ended.
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Kills the rank and the processes that it has started.
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

/// Starts a process on its `own` cores: a child has the cores that its parent has when it starts.
fn spawn_bound(command: &mut Command, own: Option<&[usize]>, all: &[usize]) -> io::Result<Child> {
    let Some(own) = own else { return command.spawn() };
    cores::bind(own)?;
    let child = command.spawn();
    cores::bind(all)?;
    child
}

/// Posts what a rank prints, and then how it ended.
fn follow(
    rank: u32,
    child: Child,
    (stdout, stderr): (ChildStdout, ChildStderr),
    state: Arc<Mutex<ProcessState>>,
    post: impl Fn(FromAgent) + Clone + Send + 'static,
) -> io::Result<()> {
    let stdout = read(rank, false, stdout, post.clone())?;
    let stderr = read(rank, true, stderr, post.clone())?;
    thread::Builder::new().spawn(move || {
        let status = wait(child, &state);
        for reader in [stdout, stderr] {
            reader.join().expect("reading a pipe does not panic");
        }
        post(FromAgent::Ended { rank, status });
    })?;
    Ok(())
}

/// Waits until a rank has ended.
fn wait(mut child: Child, state: &Mutex<ProcessState>) -> RankStatus {
    let pid = Pid::from_child(&child);
    // The ended rank stays a zombie, which keeps its number, until the rest of its group has been killed.
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

/// Posts all bytes that come through `pipe`, on a thread of its own.
fn read(
    rank: u32,
    is_error: bool,
    mut pipe: impl Read + Send + 'static,
    post: impl Fn(FromAgent) + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().spawn(move || {
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
