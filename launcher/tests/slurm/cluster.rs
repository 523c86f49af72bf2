//! A real Slurm of two nodes on this machine, started by `cluster.sh` for one test and ended with it.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Variables that make the tests fail where Slurm is missing; without them, the tests are skipped there.
const REQUIRE: [&str; 2] = ["ISOGRAD_REQUIRE_SLURM", "CI"];

/// The programs that the cluster consists of.
const PROGRAMS: [&str; 9] =
    ["slurmctld", "slurmd", "srun", "sbatch", "munged", "ip", "unshare", "nsenter", "bash"];

/// Longer than anything takes that a test waits for, on a loaded machine too.
const DEADLINE: Duration = Duration::from_secs(240);

/// A running cluster.
pub(crate) struct Cluster {
    /// Runs `cluster.sh`; everything in the cluster ends with it.
    unshare: Child,
    /// The first process of the cluster, on `n1`.
    first: u32,
    folder: TempDir,
}

impl Cluster {
    /// A cluster whose nodes are idle, or nothing where there is no Slurm or the user is not root.
    ///
    /// # Panics
    ///
    /// If the cluster does not start, or cannot and must.
    pub(crate) fn start() -> Option<Self> {
        if let Some(reason) = reason_to_skip() {
            skip(&reason);
            return None;
        }
        let folder = TempDir::new().expect("a temporary folder");
        // Slurm's daemons want to enter it.
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("a mode");
        fs::create_dir(folder.path().join("work")).expect("a folder");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slurm/cluster.sh");
        let mut unshare = Command::new("unshare")
            .args(["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "bash"])
            .arg(script)
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let mut line = String::new();
        let stdout = unshare.stdout.as_mut().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line of text");
        let Ok(first) = line.trim_end().parse() else {
            let _ = unshare.wait();
            panic!("the cluster does not start:{}", logs(folder.path()));
        };
        Some(Self { unshare, first, folder })
    }

    /// The working folder of the commands.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// A command that runs `program` on the first node.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first.to_string(), "--all"]);
        command.arg(format!("--wd={}", self.folder().display())).arg(program);
        command.env("SLURM_CONF", self.folder.path().join("slurm.conf")).stdin(Stdio::null());
        command
    }

    /// What `program` with `args` prints on the first node.
    #[track_caller]
    pub(crate) fn text(&self, program: &str, args: &[&str]) -> String {
        let output = self.command(program).args(args).output().expect("nsenter");
        assert!(output.status.success(), "{program} {args:?}: {output:?}{}", logs(self.folder.path()));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// All processes of the cluster, as this machine numbers them.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let namespace = |process: u32| fs::read_link(format!("/proc/{process}/ns/pid")).ok();
        let own = namespace(self.first);
        assert!(own.is_some(), "the cluster has ended:{}", logs(self.folder.path()));
        let numbers = fs::read_dir("/proc").expect("the processes").filter_map(|entry| {
            let number = entry.ok()?.file_name().to_str()?.parse().ok()?;
            (namespace(number) == own).then_some(number)
        });
        numbers.collect()
    }

    /// The files in the shared memory of both nodes.
    pub(crate) fn shared_memory(&self) -> Vec<PathBuf> {
        let is_second = |process: &u32| {
            let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            words.starts_with(b"slurmd\0") && words.ends_with(b"\0n2\0")
        };
        let second = self.processes().into_iter().find(is_second).expect("the daemon of n2");
        let files = [self.first, second].map(|process| {
            let folder = fs::read_dir(format!("/proc/{process}/root/dev/shm")).expect("shared memory");
            folder.map(|entry| entry.expect("a file").path()).collect::<Vec<_>>()
        });
        files.concat()
    }

    /// Waits until `condition` holds.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < DEADLINE, "not {what} in {DEADLINE:?}:{}", logs(self.folder.path()));
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until this job has ended, and gives its last state.
    #[track_caller]
    pub(crate) fn last_state(&self, job: &str) -> String {
        let mut last = String::new();
        self.wait_until("at an end", || {
            let told = self.text("scontrol", &["--oneliner", "show", "job", job]);
            let state = told.split_whitespace().find_map(|word| word.strip_prefix("JobState="));
            last = state.expect("a job has a state").to_string();
            !["PENDING", "CONFIGURING", "RUNNING", "COMPLETING"].contains(&last.as_str())
        });
        last
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // unshare ends the first process of the cluster, and the system all others with it.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        // The folder can be removed when nothing writes to it any more.
        let start = Instant::now();
        while Path::new("/proc").join(self.first.to_string()).exists() && start.elapsed() < DEADLINE {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn reason_to_skip() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can start a Slurm of its own".to_string());
    }
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    let is_missing = |program: &&str| !folders.iter().any(|folder| folder.join(program).is_file());
    let program = PROGRAMS.into_iter().find(is_missing)?;
    Some(format!("there is no {program} (Debian: slurmctld slurmd slurm-client munge iproute2)"))
}

/// Says on the real standard error, past what the test harness catches, that a test is skipped.
///
/// # Panics
///
/// If it must not be skipped.
fn skip(reason: &str) {
    if let Some(variable) = REQUIRE.iter().find(|variable| env::var_os(variable).is_some()) {
        panic!("{variable} is set, and {reason}");
    }
    let _ = writeln!(io::stderr(), "\nSKIPPED, since {reason}\n");
}

/// What the programs of the cluster wrote.
fn logs(folder: &Path) -> String {
    let names = ["munge/output", "slurmctld.log", "n1.log", "n2.log"];
    let text = |name: &&str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    names.iter().map(|name| format!("\n== {name}\n{}", text(name))).collect()
}
