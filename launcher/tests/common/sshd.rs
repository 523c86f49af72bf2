//! An OpenSSH server of one's own: on 127.0.0.1 or where it is wanted, with a port, host keys and a login key
//! made for it, ended with everything that it started.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The variables with which a missing sshd fails the tests that need one, which are skipped otherwise.
const REQUIRE: [&str; 2] = ["ISOGRAD_REQUIRE_SSHD", "CI"];

/// How long it may take to start.
const START: Duration = Duration::from_secs(20);

/// A server that runs. Who logs in is the user who runs the tests.
pub(crate) struct Sshd {
    listener: Child,
    address: IpAddr,
    port: u16,
    folder: TempDir,
}

/// Where a server runs.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) address: IpAddr,
    /// A free one, if not given.
    pub(crate) port: Option<u16>,
    /// The command that starts the server there, without the server's own words.
    pub(crate) enter: Vec<String>,
}

impl Place {
    /// On this machine.
    const HERE: Self = Self { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: None, enter: Vec::new() };
}

impl Sshd {
    /// A server with an Ed25519 host key, or nothing where there is no sshd.
    ///
    /// # Panics
    /// There is no sshd and one is required; or it does not start.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&["ed25519"], "")
    }

    /// The same with host keys of these `types` (of `ssh-keygen -t`), and with lines of `sshd_config` that
    /// win over ours.
    pub(crate) fn start_with(types: &[&str], config: &str) -> Option<Self> {
        Self::start_at(&Place::HERE, types, config)
    }

    /// The same elsewhere.
    pub(crate) fn start_at(place: &Place, types: &[&str], config: &str) -> Option<Self> {
        let Some(program) = find() else {
            skip("there is no sshd (openssh-server)");
            return None;
        };
        let folder = TempDir::new().expect("a folder for sshd");
        for kind in types {
            make_key(&folder.path().join(format!("host_{kind}")), kind, "");
        }
        let login = folder.path().join("id");
        make_key(&login, "ed25519", "");
        fs::copy(login.with_extension("pub"), folder.path().join("authorized_keys"))
            .expect("the authorized key");
        // sshd confines its unprivileged half to this folder, if it is started by root.
        let _ = fs::create_dir_all("/run/sshd");
        let (listener, port) = launch(&program, folder.path(), place, types, config);
        let sshd = Self { listener, address: place.address, port, folder };
        let lines: String = types.iter().map(|kind| sshd.known_hosts_line(kind)).collect();
        fs::write(sshd.known_hosts(), lines).expect("the known hosts");
        Some(sshd)
    }

    /// The process that listens.
    pub(crate) fn id(&self) -> u32 {
        self.listener.id()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The private key of the login.
    pub(crate) fn identity(&self) -> PathBuf {
        self.folder.path().join("id")
    }

    /// A file with all host keys of the server.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    /// The line of `known_hosts` for the host key of this type.
    pub(crate) fn known_hosts_line(&self, kind: &str) -> String {
        let name = match self.port {
            22 => self.address.to_string(),
            port => format!("[{}]:{port}", self.address),
        };
        format!("{name} {}\n", self.host_key(kind))
    }

    /// The public host key of this type: its algorithm and its base64.
    pub(crate) fn host_key(&self, kind: &str) -> String {
        let text =
            fs::read_to_string(self.folder.path().join(format!("host_{kind}.pub"))).expect("a host key");
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// A place for files of the test.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Lets the private key at `key` log in too.
    pub(crate) fn authorize(&self, key: &Path) {
        let line = fs::read(key.with_extension("pub")).expect("a public key");
        let mut file =
            File::options().append(true).open(self.folder.path().join("authorized_keys")).expect("the keys");
        file.write_all(&line).expect("one more key");
    }

    /// Ends the server and everything that it started, at once.
    pub(crate) fn kill(&mut self) {
        // Stopped first, so that it starts nothing more.
        let listener = self.listener.id();
        signal("-STOP", &[listener]);
        let mut processes = vec![listener];
        let mut next = 0;
        while next < processes.len() {
            processes.extend(children(processes[next]));
            next += 1;
        }
        signal("-KILL", &processes);
        let _ = self.listener.wait();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        if matches!(self.listener.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

/// Says on the real standard error, past what the test harness catches, that a test is skipped.
///
/// # Panics
/// It must not be skipped.
pub(crate) fn skip(reason: &str) {
    if let Some(variable) = REQUIRE.iter().find(|variable| env::var_os(variable).is_some()) {
        panic!("{variable} is set, and {reason}");
    }
    let _ = writeln!(io::stderr(), "\nSKIPPED, since {reason}\n");
}

/// Makes a key pair with `ssh-keygen`: `path`, and `path.pub`.
pub(crate) fn make_key(path: &Path, kind: &str, passphrase: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .status();
    assert!(made.expect("ssh-keygen").success(), "ssh-keygen made no {kind} key at {}", path.display());
}

fn find() -> Option<PathBuf> {
    ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
}

/// Starts the server; on a free port, if none is given, and on another one if somebody is faster. A bash that
/// takes itself for an inner one does not read the user's `.bashrc`, which may print whatever it likes.
fn launch(program: &Path, folder: &Path, place: &Place, types: &[&str], config: &str) -> (Child, u16) {
    let address = place.address;
    loop {
        let port = place.port.unwrap_or_else(|| {
            let free = TcpListener::bind((address, 0)).and_then(|listener| listener.local_addr());
            free.expect("a port").port()
        });
        let keys: String =
            types.iter().map(|kind| format!("HostKey {}/host_{kind}\n", folder.display())).collect();
        let text = format!(
            "{config}\nPort {port}\nListenAddress {address}\n{keys}AuthorizedKeysFile {}/authorized_keys\n\
             StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             SetEnv SHLVL=2\nPermitRootLogin yes\nMaxStartups 100\nPrintMotd no\nPrintLastLog no\n",
            folder.display()
        );
        fs::write(folder.join("sshd_config"), text).expect("the server's configuration");
        let log = folder.join("log");
        let mut words = place.enter.iter().map(String::as_ref).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().expect("the server at least"));
        command.args(words).args(["-D", "-e", "-f"]).arg(folder.join("sshd_config"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&log).expect("the server's log"));
        let mut listener = command.spawn().expect("sshd");
        if listens(&mut listener, &log) {
            return (listener, port);
        }
        let log = fs::read_to_string(log).unwrap_or_default();
        let is_taken = place.port.is_none() && log.contains("Address already in use");
        assert!(is_taken, "sshd does not start: {log}");
    }
}

/// Waits until the server says that it listens; false if it ends before. A connection would prove nothing:
/// the port may be another server's.
fn listens(listener: &mut Child, log: &Path) -> bool {
    let started = Instant::now();
    while started.elapsed() < START {
        if fs::read_to_string(log).is_ok_and(|log| log.contains("Server listening on ")) {
            return true;
        }
        if listener.try_wait().expect("sshd's state").is_some() {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("sshd does not listen within {START:?}");
}

fn children(process: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

fn signal(name: &str, processes: &[u32]) {
    let ids = processes.iter().map(u32::to_string);
    // One that has ended in between is none of our concern.
    let _ = Command::new("kill").arg(name).args(ids).stderr(Stdio::null()).status();
}
