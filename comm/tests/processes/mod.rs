//! Groups whose ranks are processes: the test binary again, told by environment variables which rank it is.

use crate::common::{Arrangement, settings};
use isograd_comm::{Error, Settings};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long ranks wait for each other.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than anything takes that is expected to happen.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// How four ranks exchange data: all ways of it are among these.
pub(crate) const TRANSPORTS: [Arrangement; 3] =
    [Arrangement::Shared, Arrangement::Tcp, Arrangement::Blocks { size: 2 }];

const ACT: &str = "ISOGRAD_TEST_ACT";
const RANK: &str = "ISOGRAD_TEST_RANK";
const WORLD: &str = "ISOGRAD_TEST_WORLD";
const TRANSPORT: &str = "ISOGRAD_TEST_TRANSPORT";
const FOLDER: &str = "ISOGRAD_TEST_FOLDER";

/// What this process should do, and as which rank; nothing in the process that runs the tests.
pub(crate) fn this_rank() -> Option<(String, Settings)> {
    let act = std::env::var(ACT).ok()?;
    let text = |name: &str| std::env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    let number = |name: &str| text(name).parse::<usize>().expect("a number");
    let folder = PathBuf::from(text(FOLDER));
    let mut settings = settings(&folder, number(RANK), number(WORLD), TRANSPORTS[number(TRANSPORT)]);
    settings.meeting.timeout = TIMEOUT;
    settings.shared_memory = folder.join(MEMORY);
    Some((act, settings))
}

/// Tells the process that runs the tests how far this one is.
pub(crate) fn say(what: &str) {
    eprintln!("{what}");
}

/// Ends this rank's process as a program would.
pub(crate) fn end(result: Result<(), Error>) -> ! {
    match result {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("error: {error}");
            std::process::exit(1)
        }
    }
}

const MEETING: &str = "meeting";
const MEMORY: &str = "memory";

/// A group of ranks. What is left of them when it is dropped is killed.
pub(crate) struct Group {
    folder: TempDir,
    world: usize,
    transport: usize,
    ranks: Vec<Rank>,
}

struct Rank {
    number: usize,
    process: Child,
    lines: Receiver<String>,
}

/// How a rank has ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    /// Its last line.
    pub(crate) last: String,
}

impl Group {
    /// A group of `world` ranks, none of which runs yet.
    pub(crate) fn new(world: usize, transport: Arrangement) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
        std::fs::create_dir(folder.path().join(MEMORY)).expect("a folder in a folder");
        let transport = TRANSPORTS.iter().position(|other| *other == transport).expect("one of them");
        Self { folder, world, transport, ranks: Vec::new() }
    }

    /// Starts ranks, each with what it should do.
    pub(crate) fn start(&mut self, ranks: impl IntoIterator<Item = (usize, String)>) {
        let program = std::env::current_exe().expect("a program");
        for (rank, act) in ranks {
            self.spawn(rank, &act, Command::new(&program));
        }
    }

    /// Starts a rank through `command`, which is to run this program with the arguments that follow.
    pub(crate) fn spawn(&mut self, rank: usize, act: &str, mut command: Command) {
        command.args(["--exact", "rank_process", "--nocapture"]);
        command.env(ACT, act).env(FOLDER, self.folder.path());
        for (name, value) in [(RANK, rank), (WORLD, self.world), (TRANSPORT, self.transport)] {
            command.env(name, value.to_string());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("a process");
        let stderr = process.stderr.take().expect("a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // Nobody listens any more when the test is over.
                let _ = sender.send(line);
            }
        });
        self.ranks.push(Rank { number: rank, process, lines });
    }

    /// The folder of the ranks' shared memory.
    pub(crate) fn memory(&self) -> PathBuf {
        self.folder.path().join(MEMORY)
    }

    /// The file by which the ranks meet.
    pub(crate) fn meeting(&self) -> PathBuf {
        self.folder.path().join(MEETING)
    }

    /// Waits until all ranks that run have said `what`.
    pub(crate) fn all_say(&mut self, what: &str) {
        let until = Instant::now() + HANDSHAKE_TIMEOUT;
        for rank in &self.ranks {
            loop {
                let left = until.saturating_duration_since(Instant::now());
                let line = rank.lines.recv_timeout(left);
                let line = line.unwrap_or_else(|_| panic!("rank {} did not say {what:?}", rank.number));
                if line == what {
                    break;
                }
                assert!(!line.starts_with("error: "), "rank {}: {line}", rank.number);
            }
        }
    }

    /// Waits until a rank has `count` sockets open.
    pub(crate) fn has_sockets(&self, rank: usize, count: usize) {
        let until = Instant::now() + HANDSHAKE_TIMEOUT;
        let folder = format!("/proc/{}/fd", self.rank(rank).process.id());
        let is_socket = |path: &Path| {
            std::fs::read_link(path)
                .is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"socket:"))
        };
        let sockets = || {
            let files = std::fs::read_dir(&folder).expect("its descriptors").map_while(Result::ok);
            files.filter(|file| is_socket(&file.path())).count()
        };
        while sockets() < count {
            assert!(Instant::now() < until, "rank {rank} has {} sockets", sockets());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends a rank a signal that it cannot catch; of a killed one, waits for its end.
    pub(crate) fn signal(&mut self, rank: usize, signal: Signal) {
        kill_process(Pid::from_child(&self.rank(rank).process), signal).expect("its process");
        if signal == Signal::KILL {
            let at = self.ranks.iter().position(|other| other.number == rank).expect("it runs");
            self.ranks.remove(at).process.wait().expect("its end");
        }
    }

    fn rank(&self, number: usize) -> &Rank {
        self.ranks.iter().find(|rank| rank.number == number).expect("a rank that runs")
    }

    /// How all ranks but `stopped` end, by rank, which must be before `within` from now.
    pub(crate) fn ends(&mut self, within: Duration, stopped: Option<usize>) -> Vec<(usize, End)> {
        let until = Instant::now() + within;
        let mut ends = Vec::new();
        for rank in self.ranks.iter_mut().filter(|rank| Some(rank.number) != stopped) {
            let status = loop {
                match rank.process.try_wait().expect("its state") {
                    Some(status) => break status,
                    None if Instant::now() > until => {
                        panic!("rank {} has not ended in {within:?}", rank.number)
                    }
                    None => std::thread::sleep(Duration::from_millis(5)),
                }
            };
            // The channel ends with the process.
            let last = rank.lines.iter().last().unwrap_or_default();
            ends.push((rank.number, End { status, last }));
        }
        self.ranks.retain(|rank| Some(rank.number) == stopped);
        ends.sort_by_key(|(rank, _)| *rank);
        ends
    }

    /// Asserts that no file of the group exists.
    pub(crate) fn assert_nothing_left(&self) {
        for folder in [self.folder.path(), &self.memory()] {
            let names = std::fs::read_dir(folder)
                .expect("the folder is still there")
                .map(|entry| entry.expect("it").path());
            let names: Vec<_> = names.filter(|path| *path != self.memory()).collect();
            assert!(names.is_empty(), "{names:?} are left");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for rank in &mut self.ranks {
            // It may have ended already.
            let _ = rank.process.kill();
            let _ = rank.process.wait();
        }
    }
}
