//! The login itself: keys of the agent, key files, passphrases.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use ssh_key::{HashAlg, PrivateKey, PublicKey};
use ssh2::ErrorCode;
use zeroize::Zeroizing;

use super::config::{AgentSocket, Hop, Identities};
use super::deadline::Deadline;
use super::error::{Address, Error};
use super::login::late;
use super::terminal::Terminal;
use super::transport::{is_broken, words};
use crate::system::text_file;

/// The most that is read of a key file; real ones have a few kilobytes.
const KEY_FILE_BYTES: u64 = 1 << 20;
/// How often a passphrase is asked for: as often as `ssh` does.
const PROMPTS: usize = 3;
/// How long after the deadline the watchdog has surely ended a call to a server.
const SERVER_CUT: Duration = Duration::from_secs(1);
/// `LIBSSH2_ERROR_FILE` and `_KEYFILE_AUTH_FAILED`: a file that is not a private key, or a wrong
/// passphrase. ssh2 does not export them.
const UNREADABLE: [i32; 2] = [-16, -48];
/// `LIBSSH2_ERROR_AUTHENTICATION_FAILED` and `_PUBLICKEY_UNVERIFIED`: the server does not know the key.
const NOT_ACCEPTED: [i32; 2] = [-18, -19];

/// The passphrases of a run, so that each is asked for once.
pub(super) struct Keys {
    interactive: bool,
    /// By key file; `None` if the user gave no right one. Locked while the user is asked.
    passphrases: Mutex<HashMap<PathBuf, Option<Arc<Zeroizing<String>>>>>,
    pub(super) terminal: Terminal,
}

/// The result of trying a key.
enum Tried {
    LoggedIn,
    /// It was not accepted; the reason, for the error message.
    Failed(String),
    /// The private key cannot be read. If a passphrase was given, that is wrong.
    Unreadable,
    /// The login is over: no further key can be tried.
    Stopped(Error),
}

/// A login that is being made.
struct Login<'a> {
    ssh: &'a ssh2::Session,
    user: &'a str,
    address: &'a Arc<Address>,
    deadline: &'a Deadline,
    tried: Vec<String>,
    offers: String,
}

impl Keys {
    pub(super) fn new(interactive: bool) -> Self {
        Self { interactive, passphrases: Mutex::default(), terminal: Terminal::new() }
    }

    /// Restores the terminal, and asks for nothing any more.
    pub(super) fn close_terminal(&self) {
        self.terminal.close();
    }

    /// Whether the user is being asked for a passphrase.
    pub(super) fn is_asking(&self) -> bool {
        self.terminal.is_asking()
    }

    /// Logs in with the first key that the server accepts: those of the agent that are also named, the
    /// agent's others, the files.
    ///
    /// # Errors
    /// `Refused` with everything that was tried, `Late`, `SilentAgent`.
    pub(super) fn authenticate(
        &self,
        ssh: &ssh2::Session,
        hop: &Hop,
        address: &Arc<Address>,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let offers = match ssh.auth_methods(&hop.user) {
            Ok(_) if ssh.authenticated() => return Ok(()),
            Ok(offers) => offers.to_string(),
            Err(error) => {
                return Err(late(address, "the login", deadline).unwrap_or_else(|| Error::Handshake {
                    address: Arc::clone(address),
                    problem: words(&error),
                }));
            }
        };
        let by_key = offers.split(',').any(|method| method == "publickey");
        let mut login = Login { ssh, user: &hop.user, address, deadline, tried: Vec::new(), offers };
        if by_key && (login.with_agent(hop)? || self.with_files(&mut login, hop)?) {
            return Ok(());
        }
        Err(login.refused())
    }

    fn with_files(&self, login: &mut Login<'_>, hop: &Hop) -> Result<bool, Error> {
        for file in &hop.identities.files {
            let name = file.display();
            let outcome = match read_private(file) {
                Ok(text) if is_encrypted(&text) => self.with_passphrase(login, file, &text),
                Ok(text) => login.with_key(&text, None),
                Err(error) if error.kind() == io::ErrorKind::NotFound && !hop.identities.named => continue,
                Err(error) => Tried::Failed(error.to_string()),
            };
            match outcome {
                Tried::LoggedIn => return Ok(true),
                Tried::Failed(what) => login.tried.push(format!("{name} ({what})")),
                Tried::Unreadable => login.tried.push(format!("{name} (no private key that can be read)")),
                Tried::Stopped(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Tries a key that needs a passphrase. Each key is asked for once in a run, and one at a time.
    fn with_passphrase(&self, login: &mut Login<'_>, file: &Path, text: &str) -> Tried {
        let deadline = login.deadline;
        let lock = || self.passphrases.lock().expect("nothing panics while it asks for a passphrase");
        let mut passphrases = deadline.stopped(lock);
        match passphrases.get(file).cloned() {
            Some(Some(passphrase)) => {
                drop(passphrases);
                return login.with_key(text, Some(&passphrase));
            }
            Some(None) => return Tried::Failed("no right passphrase was given".to_string()),
            None if !self.interactive => {
                return Tried::Failed(
                    "encrypted, and there is no terminal to ask for its passphrase".to_string(),
                );
            }
            None => {}
        }
        for _ in 0..PROMPTS {
            let question = format!("passphrase for {}: ", file.display());
            let passphrase = match deadline.stopped(|| self.terminal.ask(&question)) {
                Ok(passphrase) if passphrase.is_empty() => break,
                Ok(passphrase) => passphrase,
                Err(error) => {
                    // Other logins that wait for this key must not ask again.
                    passphrases.insert(file.to_path_buf(), None);
                    return Tried::Failed(format!("asking for its passphrase: {error}"));
                }
            };
            // Whether it is right shows at the login.
            match login.with_key(text, Some(&passphrase)) {
                Tried::Unreadable => {}
                outcome => {
                    passphrases.insert(file.to_path_buf(), Some(Arc::new(passphrase)));
                    return outcome;
                }
            }
        }
        passphrases.insert(file.to_path_buf(), None);
        Tried::Failed("no right passphrase was given".to_string())
    }
}

impl Login<'_> {
    /// Tries the keys of the agent. If there is no agent, there are no keys to try.
    ///
    /// A call to the agent has no time limit of its own, so it is made on another thread, which we leave
    /// behind with the SSH session if the agent hangs.
    fn with_agent(&mut self, hop: &Hop) -> Result<bool, Error> {
        if hop.identities.agent == AgentSocket::None {
            return Ok(false);
        }
        let mut calls = AgentCalls {
            ssh: self.ssh.clone(),
            user: self.user.to_string(),
            address: Arc::clone(self.address),
            identities: hop.identities.clone(),
            tried: Vec::new(),
        };
        let (answer, answered) = mpsc::channel();
        thread::spawn(move || {
            let outcome = calls.log_in();
            // The receiver is gone if the agent was too slow.
            let _ = answer.send((outcome, calls.tried));
        });
        // If it is the server that hangs, the watchdog ends the call at the deadline.
        let Ok((outcome, tried)) = answered.recv_timeout(self.deadline.remaining() + SERVER_CUT) else {
            return Err(Error::SilentAgent {
                address: Arc::clone(self.address),
                agent: hop.identities.agent.place(),
                after: self.deadline.allowed,
            });
        };
        self.tried.extend(tried);
        match outcome {
            Ok(true) => Ok(true),
            Ok(false) => late(self.address, "the login", self.deadline).map_or(Ok(false), Err),
            Err(error) => Err(self.stop(&error)),
        }
    }

    fn with_key(&mut self, text: &str, passphrase: Option<&str>) -> Tried {
        self.outcome(self.ssh.userauth_pubkey_memory(self.user, None, text, passphrase))
    }

    fn outcome(&mut self, result: Result<(), ssh2::Error>) -> Tried {
        let error = match result {
            Ok(()) => return Tried::LoggedIn,
            Err(error) => error,
        };
        match error.code() {
            _ if self.deadline.is_over() || is_broken(&error) => Tried::Stopped(self.stop(&error)),
            ErrorCode::Session(code) if UNREADABLE.contains(&code) => Tried::Unreadable,
            _ => Tried::Failed(why_not(&error)),
        }
    }

    /// The end of the login: the time was over, or the connection was lost.
    fn stop(&mut self, error: &ssh2::Error) -> Error {
        late(self.address, "the login", self.deadline).unwrap_or_else(|| {
            self.tried.push(format!("one more key, after which the connection was {}", words(error)));
            self.refused()
        })
    }

    fn refused(&mut self) -> Error {
        let tried = std::mem::take(&mut self.tried);
        Error::Refused { address: Arc::clone(self.address), tried, offers: self.offers.clone() }
    }
}

/// Why a key was not accepted.
fn why_not(error: &ssh2::Error) -> String {
    match error.code() {
        ErrorCode::Session(code) if NOT_ACCEPTED.contains(&code) => "not accepted".to_string(),
        _ => words(error),
    }
}

/// What the thread that speaks to the agent needs.
struct AgentCalls {
    ssh: ssh2::Session,
    user: String,
    address: Arc<Address>,
    identities: Identities,
    tried: Vec<String>,
}

impl AgentCalls {
    /// Tries the agent's keys: first those that are also named, then the others, if they may be tried. False
    /// if none was accepted or there is no agent.
    ///
    /// # Errors
    /// Those after which no further key can be tried.
    fn log_in(&mut self) -> Result<bool, ssh2::Error> {
        let (agent, keys) = match self.list() {
            Ok(listed) => listed,
            Err(error) => {
                log::debug!("{}: no agent: {}", self.address, words(&error));
                return Ok(false);
            }
        };
        let named: Vec<Vec<u8>> = self.identities.files.iter().filter_map(|file| public_key(file)).collect();
        let (first, others): (Vec<_>, Vec<_>) =
            keys.iter().partition(|key| named.iter().any(|named| named == key.blob()));
        let others = if self.identities.only { Vec::new() } else { others };
        for key in first.into_iter().chain(others) {
            match agent.userauth(&self.user, key) {
                Ok(()) => return Ok(true),
                Err(error) if is_broken(&error) => return Err(error),
                Err(error) => {
                    self.tried.push(format!("{} of the agent ({})", describe(key), why_not(&error)));
                }
            }
        }
        Ok(false)
    }

    fn list(&self) -> Result<(ssh2::Agent, Vec<ssh2::PublicKey>), ssh2::Error> {
        let mut agent = self.ssh.agent()?;
        if let AgentSocket::Path(path) = &self.identities.agent {
            agent.set_identity_path(path)?;
        }
        agent.connect()?;
        agent.list_identities()?;
        let keys = agent.identities()?;
        Ok((agent, keys))
    }
}

/// The text of a private key.
///
/// # Errors
/// Those of the system; and, as in `ssh`, if the file belongs to the user and others can read it.
fn read_private(file: &Path) -> io::Result<Zeroizing<String>> {
    let opened = fs::File::open(file)?;
    let metadata = opened.metadata()?;
    let mode = metadata.mode() & 0o777;
    if metadata.uid() == rustix::process::getuid().as_raw() && mode & 0o077 != 0 {
        return Err(io::Error::other(format!("mode {mode:04o} is too open: others can read it")));
    }
    // The capacity is reserved at once: a string that grows would leave copies of the key in memory.
    let room = metadata.len().min(KEY_FILE_BYTES) as usize + 1;
    let mut text = Zeroizing::new(String::with_capacity(room));
    opened.take(KEY_FILE_BYTES).read_to_string(&mut text)?;
    text_file::check_start(text.as_bytes())?;
    Ok(text)
}

/// Whether a private key in OpenSSH's or in PEM format needs a passphrase.
fn is_encrypted(text: &str) -> bool {
    match PrivateKey::from_openssh(text) {
        Ok(key) => key.is_encrypted(),
        Err(_) => text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED"),
    }
}

/// The public key that belongs to a key file, in the agent's encoding: read from the file itself, or from the
/// `.pub` file beside it.
fn public_key(file: &Path) -> Option<Vec<u8>> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".pub");
    let texts = [file.to_path_buf(), PathBuf::from(beside)]
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    texts
        .filter_map(|text| match PrivateKey::from_openssh(&text) {
            Ok(key) => key.public_key().to_bytes().ok(),
            Err(_) => PublicKey::from_openssh(text.trim()).ok()?.to_bytes().ok(),
        })
        .next()
}

/// Names a key of the agent: by its comment, or by its fingerprint.
fn describe(key: &ssh2::PublicKey) -> String {
    match PublicKey::from_bytes(key.blob()) {
        _ if !key.comment().is_empty() => key.comment().to_string(),
        Ok(key) => key.fingerprint(HashAlg::Sha256).to_string(),
        Err(_) => "a key".to_string(),
    }
}
