//! Hosts as network namespaces, each with an SSH server, and one namespace that the launcher runs in; joined
//! by a bridge.
//!
//! ```text
//! launcher 10.77.0.254 -- bridge -+- host 0: 10.77.0.1
//!                                 +- host 1: 10.77.0.2 ...
//! host 0: 10.77.1.1 -- the first host that is hidden: 10.77.1.2
//!
//! launcher 10.78.0.254 -- host 0 with cables: 10.78.0.1      launcher 10.78.1.254 -- host 1: 10.78.1.1 ...
//! host 0: 10.79.1.1 -- host 1: 10.79.1.2      host 0: 10.79.2.1 -- host 2: 10.79.2.2
//! host 1: 10.79.18.1 -- host 2: 10.79.18.2
//! ```
//!
//! Nothing of it is in the namespace of the tests, so the addresses of one network do not concern another
//! one.

use crate::common::Outcome;
use crate::job::Job;
use crate::sshd::{Place, Sshd, skip};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What no wait of a test exceeds unless something hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// How long processes of a job may outlive whatever ended it.
pub(crate) const LAST_PROCESS: Duration = Duration::from_secs(30);
const PORT: u16 = 22;

/// What is special about a host.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HostPlan<'a> {
    /// Lines of its `sshd_config`.
    pub(crate) sshd: &'a str,
    /// What a shell does in the host's own view of the file system, where it mounts what it likes; `$CACHE`
    /// is the folder of the copies.
    pub(crate) before: &'a str,
    /// Whether only host 0 reaches it.
    pub(crate) is_hidden: bool,
    /// Whether it is not on the bridge, but has a cable to the launcher and one to each other host of this
    /// kind.
    pub(crate) is_cabled: bool,
}

/// A network that is removed, with all its processes, when it is dropped.
pub(crate) struct Network {
    /// In each but the last one a host, in the last one the launcher.
    namespaces: Vec<String>,
    hosts: Vec<(String, Sshd)>,
    folder: TempDir,
}

impl Network {
    /// Of `hosts` hosts with nothing special about them, or nothing where that is not possible.
    pub(crate) fn of(hosts: usize) -> Option<Self> {
        Self::start(&vec![HostPlan::default(); hosts])
    }

    /// Of such hosts.
    ///
    /// # Panics
    /// It is not possible and required; or a server does not start.
    pub(crate) fn start(plans: &[HostPlan<'_>]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("isograd-test-{}-{number}", std::process::id());
        let names = (0..plans.len()).map(|host| format!("{prefix}-host{host}"));
        let namespaces: Vec<String> = names.chain([format!("{prefix}-launcher")]).collect();
        // From here on, whatever is there already is removed again.
        let mut this = Self { namespaces, hosts: Vec::new(), folder: TempDir::new().expect("a folder") };
        let script = script(&this.namespaces, plans);
        let made = Command::new("sh").args(["-ec", &script]).stdin(Stdio::null()).output().expect("sh");
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr);
            skip(&format!("there can be no network namespaces (iproute2, root): {}", said.trim()));
            return None;
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(this.copies()).expect("a folder");
        for (number, plan) in plans.iter().enumerate() {
            let name = address(number, plan);
            let setup = format!("{}\nexec \"$@\"", plan.before);
            let cache = format!("CACHE={}", this.cache().display());
            let enter =
                ["ip", "netns", "exec", &this.namespaces[number], "env", &cache, "sh", "-ec", &setup, "sh"];
            let enter = enter.map(String::from).to_vec();
            let place = Place { address: name.parse().expect("an address"), port: Some(PORT), enter };
            // Agents that are killed leave their temporary folders.
            let sshd = format!("SetEnv SHLVL=2 TMPDIR={}\n{}", this.folder().display(), plan.sshd);
            this.hosts.push((name, Sshd::start_at(&place, &["ed25519"], &sshd)?));
        }
        let (mut config, mut known_hosts) = (String::new(), String::new());
        for (name, sshd) in &this.hosts {
            config += &format!("Host {name}\n  IdentityFile {}\n", sshd.identity().display());
            known_hosts += &sshd.known_hosts_line("ed25519");
        }
        let hidden = this.hosts.iter().zip(plans).filter(|(_, plan)| plan.is_hidden);
        config += &hidden
            .map(|((name, _), _)| format!("Host {name}\n  ProxyJump {}\n", this.name(0)))
            .collect::<String>();
        config +=
            &format!("Host *\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n", this.known_hosts().display());
        fs::write(this.config(), config).expect("a configuration");
        fs::write(this.known_hosts(), known_hosts).expect("known hosts");
        fs::hard_link(program(), this.copy())
            .or_else(|_| fs::copy(program(), this.copy()).map(drop))
            .expect("a copy");
        Some(this)
    }

    /// A place for files of the test.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The cache folder, which all hosts share.
    pub(crate) fn cache(&self) -> PathBuf {
        self.folder().join("cache")
    }

    /// The folder of the program's copies.
    pub(crate) fn copies(&self) -> PathBuf {
        self.cache().join("isograd")
    }

    /// The program's copy for the hosts. It is there.
    pub(crate) fn copy(&self) -> PathBuf {
        static DIGEST: OnceLock<String> = OnceLock::new();
        let digest = DIGEST.get_or_init(|| sha256(program()));
        self.copies().join(digest)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder().join("ssh_config")
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.folder().join("known_hosts")
    }

    /// The name of a host: its address.
    pub(crate) fn name(&self, host: usize) -> &str {
        &self.hosts[host].0
    }

    pub(crate) fn sshd(&mut self, host: usize) -> &mut Sshd {
        &mut self.hosts[host].1
    }

    /// Where a file of a host, in the host's own view of the file system, is in ours.
    pub(crate) fn view(&self, host: usize, path: &Path) -> PathBuf {
        let inner = path.strip_prefix("/").expect("an absolute path");
        Path::new(&format!("/proc/{}/root", self.hosts[host].1.id())).join(inner)
    }

    /// Writes a hostfile: a line a host, its name before what `options` has for it.
    pub(crate) fn hostfile(&self, options: &[&str]) -> PathBuf {
        let lines =
            options.iter().enumerate().map(|(host, options)| format!("{} {options}\n", self.name(host)));
        self.file("hosts", &lines.collect::<String>())
    }

    /// Writes a file.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder().join(name);
        fs::write(&path, text).expect("a file");
        path
    }

    /// `isograd ARGS` at the launcher.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new("ip");
        let launcher = self.namespaces.last().expect("the launcher's namespace");
        // Whoever runs the tests in the background has some signals ignored, which is inherited.
        let default = "--default-signal=INT,TERM,HUP";
        command.args(["netns", "exec", launcher, "env", default]).arg(program()).args(args);
        // Keys and settings of whoever runs the tests.
        command.env_remove("SSH_AUTH_SOCK").env_remove("RUST_LOG").env("TMPDIR", self.folder());
        command
    }

    /// `isograd WHAT` at the launcher, with this network's logins: `what` is `ssh` or `hosts check`; the
    /// other words are separated by blanks.
    pub(crate) fn remote(&self, what: &str, options: &str) -> Command {
        let logins =
            format!("{what} --ssh-config {} --cache {}", self.config().display(), self.cache().display());
        self.command(logins.split_whitespace().chain(options.split_whitespace()))
    }

    /// Runs `isograd ssh OPTIONS` with this network's logins.
    pub(crate) fn ssh(&self, options: &str) -> Outcome {
        self.begin(options).end()
    }

    /// Starts it.
    pub(crate) fn begin(&self, options: &str) -> Job {
        Job::start(self.remote("ssh", options))
    }

    /// Starts another command on a host, or in the launcher's namespace, which is the one behind the last
    /// host's.
    pub(crate) fn inside(&self, host: usize, words: &[&str]) -> Job {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespaces[host]]).args(words);
        Job::start(command)
    }

    /// Takes the link between a host and the bridge down.
    pub(crate) fn cut(&self, host: usize) {
        let launcher = self.namespaces.last().expect("the launcher's namespace");
        let link = format!("host{host}");
        let cut = Command::new("ip").args(["-n", launcher, "link", "set", &link, "down"]).status();
        assert!(cut.expect("ip").success(), "{link} goes down");
    }

    /// What runs on a host, apart from its SSH server; behind the last host: at the launcher.
    pub(crate) fn processes_of(&self, host: usize) -> BTreeSet<u32> {
        let is_server = |id: &u32| {
            let name = fs::read_to_string(format!("/proc/{id}/comm"));
            name.is_ok_and(|name| name.starts_with("sshd"))
        };
        self.everything_of(host).into_iter().filter(|id| !is_server(id)).collect()
    }

    /// The same with the SSH server.
    pub(crate) fn everything_of(&self, host: usize) -> Vec<u32> {
        pids(&self.namespaces[host])
    }

    /// What runs on all hosts and at the launcher.
    pub(crate) fn processes(&self) -> BTreeSet<u32> {
        (0..self.namespaces.len()).flat_map(|host| self.processes_of(host)).collect()
    }

    /// Requires that nothing but `others` runs, soon, and that all of `others` still do.
    #[track_caller]
    pub(crate) fn assert_nothing_but(&self, others: &BTreeSet<u32>) {
        let start = Instant::now();
        loop {
            let running = self.processes();
            assert!(others.is_subset(&running), "{others:?} ran, now {running:?}");
            let left: Vec<String> = running.difference(others).map(|id| describe(*id)).collect();
            if left.is_empty() {
                return;
            }
            assert!(start.elapsed() < LAST_PROCESS, "left after {LAST_PROCESS:?}: {left:#?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let start = Instant::now();
        for namespace in &self.namespaces {
            loop {
                let left = pids(namespace);
                if left.is_empty() || start.elapsed() > LIMIT {
                    break;
                }
                // One that has ended in between is none of our concern.
                let ids = left.iter().map(u32::to_string);
                let _ = Command::new("kill").arg("-KILL").args(ids).stderr(Stdio::null()).status();
                thread::sleep(Duration::from_millis(2));
            }
            let _ = Command::new("ip").args(["netns", "del", namespace]).stderr(Stdio::null()).status();
        }
    }
}

/// Makes namespaces and links.
fn script(namespaces: &[String], plans: &[HostPlan<'_>]) -> String {
    let launcher = namespaces.last().expect("the launcher's namespace");
    let mut script = String::new();
    for namespace in namespaces {
        script += &format!("ip netns add {namespace}; ip -n {namespace} link set lo up\n");
    }
    script += &format!(
        "ip -n {launcher} link add bridge type bridge\n\
         ip -n {launcher} addr add 10.77.0.254/24 dev bridge; ip -n {launcher} link set bridge up\n"
    );
    for (host, plan) in plans.iter().enumerate() {
        let (namespace, own, first) = (&namespaces[host], address(host, plan), &namespaces[0]);
        if plan.is_cabled {
            script += &cables(namespaces, plans, host);
        }
        script += &match plan.is_hidden {
            false if plan.is_cabled => format!(
                "ip -n {launcher} link add host{host} type veth peer name eth0 netns {namespace}\n\
                 ip -n {launcher} addr add 10.78.{host}.254/24 dev host{host}; ip -n {launcher} link set host{host} up\n"
            ),
            false => format!(
                "ip -n {launcher} link add host{host} type veth peer name eth0 netns {namespace}\n\
                 ip -n {launcher} link set host{host} master bridge up\n"
            ),
            true => format!(
                "ip -n {first} link add eth1 type veth peer name eth0 netns {namespace}\n\
                 ip -n {first} addr add 10.77.1.1/24 dev eth1; ip -n {first} link set eth1 up\n"
            ),
        };
        script +=
            &format!("ip -n {namespace} addr add {own}/24 dev eth0; ip -n {namespace} link set eth0 up\n");
    }
    script
}

/// The cables of a host to those before it.
fn cables(namespaces: &[String], plans: &[HostPlan<'_>], host: usize) -> String {
    let others = (0..host).filter(|other| plans[*other].is_cabled);
    let cable = |other: usize| {
        let (one, two, net) = (&namespaces[other], &namespaces[host], 16 * other + host);
        format!(
            "ip -n {one} link add cable{host} type veth peer name cable{other} netns {two}\n\
             ip -n {one} addr add 10.79.{net}.1/24 dev cable{host}; ip -n {one} link set cable{host} up\n\
             ip -n {two} addr add 10.79.{net}.2/24 dev cable{other}; ip -n {two} link set cable{other} up\n"
        )
    };
    others.map(cable).collect()
}

fn address(host: usize, plan: &HostPlan<'_>) -> String {
    if plan.is_cabled {
        return format!("10.78.{host}.1");
    }
    format!("10.77.{}.{}", u8::from(plan.is_hidden), host + 1)
}

fn pids(namespace: &str) -> Vec<u32> {
    let listed = Command::new("ip").args(["netns", "pids", namespace]).stderr(Stdio::null()).output();
    let listed = listed.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&listed).split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// The program, without what only a debugger wants: a fourth of the bytes to copy and to hash.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let whole = Path::new(env!("CARGO_BIN_EXE_isograd"));
        let small = Path::new(env!("CARGO_TARGET_TMPDIR")).join("isograd");
        let time = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
        if time(&small) <= time(whole) {
            let part = small.with_extension(std::process::id().to_string());
            let stripped = Command::new("strip").arg("-o").args([&part, &whole.to_path_buf()]).status();
            match stripped {
                Ok(status) if status.success() => {
                    // Whatever the mask: a copy that others can write to is none.
                    fs::set_permissions(&part, fs::Permissions::from_mode(0o755)).expect("a mode");
                    fs::rename(part, &small).expect("a program");
                }
                _ => return whole.to_path_buf(),
            }
        }
        small
    })
}

/// The SHA-256 of a file, in hexadecimal digits.
pub(crate) fn sha256(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The variables of a process, or its arguments, separated by blanks.
pub(crate) fn read_of(id: u32, what: &str) -> String {
    let bytes = fs::read(format!("/proc/{id}/{what}")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn describe(id: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let state = status.lines().find(|line| line.starts_with("State:")).unwrap_or_default();
    format!("{id}: {} {state}", read_of(id, "cmdline"))
}
