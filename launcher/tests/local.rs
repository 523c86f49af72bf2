//! Jobs on this machine: how they end when they are asked to, and what they may open.

mod common;

use common::{Outcome, lines};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(100);

/// Waits for a state that must come.
#[cfg(target_os = "linux")]
fn wait_until(problem: &str, mut is_reached: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_reached() {
        assert!(started.elapsed() < PATIENCE, "{problem}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The processes that the main thread of a process has started, and that it has not seen end.
#[cfg(target_os = "linux")]
fn children(id: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    list.split_whitespace().map(|id| id.parse().expect("a number")).collect()
}

/// Whether a child of an agent is a rank: another one removes the agent's folder.
#[cfg(target_os = "linux")]
fn is_rank(id: u32) -> bool {
    let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    !line.split(|byte| *byte == 0).any(|word| word == b"--remove")
}

#[cfg(target_os = "linux")]
fn signal(name: &str, id: u32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status();
    assert!(sent.expect("kill").success());
}

/// A library with which nothing that is written is safe on the disk as long as there is a file `slow` in
/// `folder`. Without a test that removes the file, the wait ends after two minutes.
#[cfg(target_os = "linux")]
fn slow_disk(folder: &Path) -> PathBuf {
    let source = folder.join("disk.c");
    let text = format!(
        "#include <unistd.h>\nint fsync(int file) {{\n(void)file;\n\
         for (int i = 0; i < 12000 && access(\"{}\", F_OK) == 0; i++) usleep(10000);\nreturn 0;\n}}\n",
        folder.join("slow").display()
    );
    std::fs::write(&source, text).expect("a file");
    let library = source.with_extension("so");
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(made.expect("cc").success());
    library
}

/// A job of two ranks that would train for hours.
#[cfg(target_os = "linux")]
struct Job {
    launcher: Child,
    stdout: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
}

#[cfg(target_os = "linux")]
impl Job {
    /// One that trains, on a disk that is slow from now on. Its first epoch has thousands of steps, so the
    /// only save is the one at the end.
    fn begin() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let library = format!("LD_PRELOAD={}", slow_disk(folder.path()).display());
        // A shell that runs the tests in the background has them ignore SIGINT, which is inherited.
        let mut launcher = Command::new("env");
        launcher.args(["--default-signal=INT", env!("CARGO_BIN_EXE_isograd")]);
        launcher.args(["local", "-n", "2", "-x", &library, "--output"]).arg(folder.path().join("output"));
        let train =
            "train --dataset synthetic --model simplemlp --batch-size 1 --shard-size 1 --threads 1 --save";
        launcher.args(train.split(' '));
        launcher.arg(folder.path().join("net")).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut launcher = launcher.spawn().expect("the program starts");
        let mut stdout = BufReader::new(launcher.stdout.take().expect("a pipe"));
        let mut line = String::new();
        // The last row of the settings: training begins.
        while !line.starts_with("save: ") {
            line.clear();
            assert_ne!(stdout.read_line(&mut line).expect("output"), 0, "it ended early");
        }
        std::fs::write(folder.path().join("slow"), "").expect("a file");
        Self { launcher, stdout, folder }
    }

    fn interrupt(&self) {
        signal("INT", self.launcher.id());
    }

    /// Waits until rank 1 has ended: rank 0 waits for its disk from then on, until the disk is fast again.
    fn wait_for_rank_1(&self) {
        wait_until("rank 1 has not ended", || {
            let agents = children(self.launcher.id());
            assert!(!agents.is_empty(), "the agent has ended, and rank 0 with it");
            agents
                .iter()
                .map(|agent| children(*agent).iter().filter(|child| is_rank(**child)).count())
                .sum::<usize>()
                == 1
        });
    }

    fn make_the_disk_fast(&self) {
        std::fs::remove_file(self.folder.path().join("slow")).expect("the file is there");
    }

    /// What it left.
    fn end(&mut self) -> Outcome {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).expect("output");
        self.launcher.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("output");
        let code = self.launcher.wait().expect("a child of this process").code();
        Outcome { code, stdout, stderr }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Job {
    /// A test that fails must not leave a job that trains for hours.
    fn drop(&mut self) {
        let _ = self.launcher.kill();
        let _ = self.launcher.wait();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_job_that_is_asked_to_stop_waits_for_what_is_saved() {
    let mut job = Job::begin();
    job.interrupt();
    job.wait_for_rank_1();
    // Longer than ranks have to end where one has failed.
    std::thread::sleep(Duration::from_secs(3));
    job.make_the_disk_fast();
    let outcome = job.end();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    let hint =
        format!("hint: {} holds the parameters after that step", job.folder.path().join("net").display());
    assert!(outcome.stderr.contains(&hint), "{outcome:?}");
    assert!(!outcome.stderr.contains("not saved"), "{outcome:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_second_signal_ends_a_job_that_saves_and_says_so() {
    let mut job = Job::begin();
    job.interrupt();
    job.wait_for_rank_1();
    job.interrupt();
    let outcome = job.end();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    let said = "rank 0 did not end by itself: the parameters after its last step were not saved\n";
    assert!(outcome.stderr.contains(said), "{outcome:?}");
    assert!(!outcome.stderr.contains("the launcher has ended"), "{outcome:?}");
}

/// A rank for each of these takes longer to start than launcher and agent wait for a sign of life of each
/// other.
#[test]
fn a_hundred_ranks_start_on_few_cores() {
    let mut job = Command::new(env!("CARGO_BIN_EXE_isograd"));
    job.args("local -n 100 train --dataset synthetic --steps 1 --global-batch-size 3200 --hash".split(' '));
    let ended = job.output().expect("a job");
    let text = String::from_utf8(ended.stdout).expect("the program prints UTF-8");
    assert_eq!(ended.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(lines(&text, "params: ").len(), 1, "{text}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_agent_leaves_no_folder() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().expect("a temporary folder");
    let program = env!("CARGO_BIN_EXE_isograd");
    let command = "local -n 2 train --dataset synthetic --epochs 100000 --threads 1";
    let mut job = Command::new("sh");
    job.args(["-c", &format!("umask 0 && exec '{program}' {command}")]).env("TMPDIR", place.path());
    let mut job = job.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a shell");
    let mut line = String::new();
    let mut stdout = BufReader::new(job.stdout.take().expect("a pipe"));
    while !line.starts_with("epoch 1/") {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).expect("output"), 0, "it ended early");
    }
    let entries =
        || std::fs::read_dir(place.path()).expect("the folder").map(|entry| entry.expect("an entry"));
    let modes: Vec<u32> =
        entries().map(|entry| entry.metadata().expect("a folder").permissions().mode() & 0o7777).collect();
    assert_eq!(modes, [0o700]);
    let agents = children(job.id());
    assert_eq!(agents.len(), 1);
    signal("KILL", agents[0]);
    drop(stdout);
    assert_ne!(job.wait().expect("a child of this process").code(), Some(0));
    wait_until("the folder is still there", || entries().count() == 0);
}

#[test]
fn the_usual_limit_of_open_files_does_not_limit_ranks() {
    let program = env!("CARGO_BIN_EXE_isograd");
    let command =
        "local -n 12 --bind none train --dataset synthetic --threads 1 --steps 2 --batch-size 1 --hash";
    let limited =
        Command::new("sh").args(["-c", &format!("ulimit -Sn 20 && exec '{program}' {command}")]).output();
    let limited = limited.expect("a shell");
    let text = String::from_utf8(limited.stdout).expect("the program prints UTF-8");
    assert_eq!(limited.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&limited.stderr));
    assert_eq!(lines(&text, "params: ").len(), 1, "{text}");
}

#[test]
fn a_slow_folder_for_output_does_not_end_a_job() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (output, fifo) = (folder.path().join("output"), folder.path().join("output/rank.1/stderr"));
    std::fs::create_dir_all(output.join("rank.1")).expect("a folder");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    // A process that opens it to write waits until another one reads, longer than an agent waits for its
    // launcher.
    let reader = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(17));
        std::fs::read(fifo)
    });
    let mut job = Command::new(env!("CARGO_BIN_EXE_isograd"));
    job.args(["local", "-n", "2", "--output"]).arg(&output);
    let ended =
        job.args("train --dataset synthetic --threads 1 --steps 2".split(' ')).output().expect("a job");
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(reader.join().expect("no panic").expect("what rank 1 wrote"), b"");
    assert!(std::fs::read_to_string(output.join("rank.0/stdout")).expect("a file").contains("\ntest_acc: "));
}

#[test]
#[cfg(target_os = "linux")]
fn a_missing_folder_for_shared_memory_is_named_with_its_option() {
    let args = ["local", "-n", "2", "train", "--dataset", "synthetic", "--shared-memory", "/nowhere/at/all"];
    let outcome = common::isograd(&args);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let problem = "--shared-memory /nowhere/at/all: there is no such folder\n";
    assert!(outcome.stderr.contains(problem), "{}", outcome.stderr);
}
