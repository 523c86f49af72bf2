//! Jobs on this machine: how they end when they are asked to, and what they may open.

mod common;

use common::{Outcome, lines};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A library with which what is written takes three seconds to be safe on the disk, while there is a file `slow` in `folder`.
#[cfg(target_os = "linux")]
fn slow_disk(folder: &Path) -> PathBuf {
    let source = folder.join("disk.c");
    let text = format!(
        "#include <unistd.h>\nint fsync(int file) {{ (void)file; if (access(\"{}\", F_OK) == 0) sleep(3); return 0; }}\n",
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
    /// One that trains, on a disk that is slow from now on.
    fn begin() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let library = format!("LD_PRELOAD={}", slow_disk(folder.path()).display());
        let mut launcher = Command::new(env!("CARGO_BIN_EXE_isograd"));
        launcher.args(["local", "-n", "2", "-x", &library, "--output"]).arg(folder.path().join("output"));
        launcher.args("train --dataset synthetic --epochs 100000 --threads 1 --save".split(' '));
        launcher.arg(folder.path().join("net")).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut launcher = launcher.spawn().expect("the program starts");
        let mut stdout = BufReader::new(launcher.stdout.take().expect("a pipe"));
        let mut line = String::new();
        while !line.starts_with("epoch 1/") {
            line.clear();
            assert_ne!(stdout.read_line(&mut line).expect("output"), 0, "it ended early");
        }
        std::fs::write(folder.path().join("slow"), "").expect("a file");
        Self { launcher, stdout, folder }
    }

    fn interrupt(&self) {
        let sent = Command::new("kill").args(["-INT", &self.launcher.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    /// What it left, and where.
    fn end(mut self) -> (Outcome, tempfile::TempDir) {
        let mut stdout = String::new();
        std::io::Read::read_to_string(&mut self.stdout, &mut stdout).expect("output");
        let ended = self.launcher.wait_with_output().expect("a child of this process");
        let stderr = String::from_utf8(ended.stderr).expect("the program prints UTF-8");
        (Outcome { code: ended.status.code(), stdout, stderr }, self.folder)
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_job_that_is_asked_to_stop_waits_for_what_is_saved() {
    let job = Job::begin();
    let started = Instant::now();
    job.interrupt();
    let (outcome, folder) = job.end();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    assert!(started.elapsed() >= Duration::from_secs(3), "the disk was not slow");
    let hint = format!("hint: {} holds the parameters after that step", folder.path().join("net").display());
    assert!(outcome.stderr.contains(&hint), "{outcome:?}");
    assert!(!outcome.stderr.contains("not saved"), "{outcome:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_second_signal_ends_a_job_that_saves_and_says_so() {
    let job = Job::begin();
    job.interrupt();
    // The other rank has ended, and rank 0 waits for its disk.
    let started = Instant::now();
    let waits = |id: u32| std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let ranks = || {
        let agent = waits(job.launcher.id()).unwrap_or_default();
        let agent = agent.trim().parse().map(waits);
        agent.ok().and_then(Result::ok).map_or(0, |ranks| ranks.split_whitespace().count())
    };
    while ranks() != 1 {
        assert!(started.elapsed() < PATIENCE, "the other rank still runs");
        std::thread::sleep(Duration::from_millis(5));
    }
    job.interrupt();
    let (outcome, _folder) = job.end();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    let said = "rank 0 did not end by itself: the parameters after its last step were not saved\n";
    assert!(outcome.stderr.contains(said), "{outcome:?}");
    assert!(!outcome.stderr.contains("the launcher has gone"), "{outcome:?}");
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
    // Whoever opens it to write waits until somebody reads: longer than an agent waits for its launcher.
    let reader = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(6));
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
