//! Proving who we are: keys of the agent, key files, passphrases.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey};
use ssh2::ErrorCode;
use zeroize::Zeroizing;

use super::config::{AgentSocket, Hop};
use super::deadline::Deadline;
use super::error::{Address, Error};
use super::login::late;
use super::terminal::Terminal;
use super::transport::{is_broken, words};

/// A key file is a few kilobytes.
const KEY_FILE_BYTES: u64 = 1 << 20;
/// Passphrases asked for, as `ssh` does.
const PROMPTS: usize = 3;
/// `LIBSSH2_ERROR_FILE` and `_KEYFILE_AUTH_FAILED`: a private key that does not decrypt or is none. ssh2 does not export them.
const UNREADABLE: [i32; 2] = [-16, -48];
/// `LIBSSH2_ERROR_AUTHENTICATION_FAILED` and `_PUBLICKEY_UNVERIFIED`: the server does not know the key.
const NOT_ACCEPTED: [i32; 2] = [-18, -19];

/// The keys of a run, as far as passphrases were asked for.
pub(super) struct Keys {
    interactive: bool,
    /// By key file; `None` where the user gave no passphrase that fits. Locked while a prompt is on the terminal.
    unlocked: Mutex<HashMap<PathBuf, Option<Arc<Unlocked>>>>,
    pub(super) terminal: Terminal,
}

/// An encrypted key, and what it takes to use it: nothing any more or, in formats that libssh2 alone reads, its passphrase.
struct Unlocked {
    text: Zeroizing<String>,
    passphrase: Option<Zeroizing<String>>,
}

/// What became of a key.
enum Outcome {
    LoggedIn,
    /// In words for the message.
    Failed(String),
    /// The private key could not be read; with a passphrase, it is the wrong one.
    Unreadable,
    /// No further key need be tried.
    Stopped(Error),
}

/// One login under way.
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
        Self { interactive, unlocked: Mutex::default(), terminal: Terminal::new() }
    }

    /// Asks for nothing any more, and leaves the terminal as it was.
    pub(super) fn close_terminal(&self) {
        self.terminal.close();
    }

    /// Whether the user is asked for a passphrase.
    pub(super) fn is_asking(&self) -> bool {
        self.terminal.is_asking()
    }

    /// Logs in with the first key that the server accepts: those of the agent that are also named, the agent's others, the files.
    ///
    /// # Errors
    /// `Refused` with everything that was tried, `Late`.
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
                Err(error) => Outcome::Failed(error.to_string()),
            };
            match outcome {
                Outcome::LoggedIn => return Ok(true),
                Outcome::Failed(what) => login.tried.push(format!("{name} ({what})")),
                Outcome::Unreadable => login.tried.push(format!("{name} (no private key that can be read)")),
                Outcome::Stopped(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Asks for the passphrase of a key once in a run, with three tries, and never for two keys at a time.
    fn with_passphrase(&self, login: &mut Login<'_>, file: &Path, text: &str) -> Outcome {
        let deadline = login.deadline;
        let lock = || self.unlocked.lock().expect("nothing panics while it asks for a passphrase");
        let mut unlocked = deadline.stopped(lock);
        match unlocked.get(file).cloned() {
            Some(Some(key)) => {
                drop(unlocked);
                return login.with_unlocked(&key);
            }
            Some(None) => return Outcome::Failed("no passphrase that fits was given".to_string()),
            None if !self.interactive => {
                return Outcome::Failed(
                    "encrypted, and there is no terminal to ask for its passphrase".to_string(),
                );
            }
            None => {}
        }
        for _ in 0..PROMPTS {
            let question = format!("passphrase for {}: ", file.display());
            let answer = deadline.stopped(|| self.terminal.ask(&question));
            let key = match answer {
                Ok(passphrase) if passphrase.is_empty() => break,
                Ok(passphrase) => unlock(text, passphrase).map(Arc::new),
                Err(error) => {
                    // Those who wait for it must not ask again.
                    unlocked.insert(file.to_path_buf(), None);
                    return Outcome::Failed(format!("asking for its passphrase: {error}"));
                }
            };
            let Some(key) = key else { continue };
            if key.passphrase.is_none() {
                unlocked.insert(file.to_path_buf(), Some(Arc::clone(&key)));
                // The other hosts need not wait for this one.
                drop(unlocked);
                return login.with_unlocked(&key);
            }
            match login.with_unlocked(&key) {
                Outcome::Unreadable => {}
                outcome => {
                    unlocked.insert(file.to_path_buf(), Some(key));
                    return outcome;
                }
            }
        }
        unlocked.insert(file.to_path_buf(), None);
        Outcome::Failed("no passphrase that fits was given".to_string())
    }
}

/// Decrypts a key, which takes long by design, once for all hosts. `None` if the passphrase is the wrong one, as far as can be told
/// before a login.
fn unlock(text: &str, passphrase: Zeroizing<String>) -> Option<Unlocked> {
    let decrypted = PrivateKey::from_openssh(text)
        .and_then(|key| key.decrypt(passphrase.as_bytes()))
        .and_then(|key| key.to_openssh(LineEnding::LF));
    match decrypted {
        Ok(text) => Some(Unlocked { text, passphrase: None }),
        Err(ssh_key::Error::Crypto) => None,
        Err(_) => Some(Unlocked { text: Zeroizing::new(text.to_string()), passphrase: Some(passphrase) }),
    }
}

impl Login<'_> {
    /// Tries the keys of the agent. An agent that cannot be reached has none.
    fn with_agent(&mut self, hop: &Hop) -> Result<bool, Error> {
        if hop.identities.agent == AgentSocket::None {
            return Ok(false);
        }
        let listed = self.ssh.agent().and_then(|mut agent| {
            if let AgentSocket::Path(path) = &hop.identities.agent {
                agent.set_identity_path(path)?;
            }
            agent.connect()?;
            agent.list_identities()?;
            let keys = agent.identities()?;
            Ok((agent, keys))
        });
        let (agent, keys) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                log::debug!("{}: no agent: {}", self.address, words(&error));
                return Ok(false);
            }
        };
        let named: Vec<Vec<u8>> = hop.identities.files.iter().filter_map(|file| public_key(file)).collect();
        let (first, others): (Vec<_>, Vec<_>) =
            keys.iter().partition(|key| named.iter().any(|named| named == key.blob()));
        let others = if hop.identities.only { Vec::new() } else { others };
        for key in first.into_iter().chain(others) {
            let result = agent.userauth(self.user, key);
            match self.outcome(result) {
                Outcome::LoggedIn => return Ok(true),
                Outcome::Failed(what) => self.tried.push(format!("{} of the agent ({what})", describe(key))),
                Outcome::Unreadable => {
                    self.tried.push(format!("{} of the agent (unreadable)", describe(key)))
                }
                Outcome::Stopped(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn with_unlocked(&mut self, key: &Unlocked) -> Outcome {
        self.with_key(&key.text, key.passphrase.as_ref().map(|passphrase| passphrase.as_str()))
    }

    fn with_key(&mut self, text: &str, passphrase: Option<&str>) -> Outcome {
        self.outcome(self.ssh.userauth_pubkey_memory(self.user, None, text, passphrase))
    }

    fn outcome(&mut self, result: Result<(), ssh2::Error>) -> Outcome {
        let error = match result {
            Ok(()) => return Outcome::LoggedIn,
            Err(error) => error,
        };
        if let Some(error) = late(self.address, "the login", self.deadline) {
            return Outcome::Stopped(error);
        }
        match error.code() {
            ErrorCode::Session(code) if NOT_ACCEPTED.contains(&code) => {
                Outcome::Failed("not accepted".to_string())
            }
            ErrorCode::Session(code) if UNREADABLE.contains(&code) => Outcome::Unreadable,
            _ if is_broken(&error) => {
                self.tried.push(format!("one more, upon which the connection was {}", words(&error)));
                Outcome::Stopped(self.refused())
            }
            _ => Outcome::Failed(words(&error)),
        }
    }

    fn refused(&mut self) -> Error {
        let tried = std::mem::take(&mut self.tried);
        Error::Refused { address: Arc::clone(self.address), tried, offers: self.offers.clone() }
    }
}

/// The text of a private key.
///
/// # Errors
/// Those of the system, and one in the words of `ssh` if the key is ours and others may read it.
fn read_private(file: &Path) -> io::Result<Zeroizing<String>> {
    let opened = fs::File::open(file)?;
    let metadata = opened.metadata()?;
    let mode = metadata.mode() & 0o777;
    if metadata.uid() == rustix::process::getuid().as_raw() && mode & 0o077 != 0 {
        return Err(io::Error::other(format!("mode {mode:04o} is too open: others can read it")));
    }
    // With room for all of it from the start: no part stays behind when it grows.
    let room = metadata.len().min(KEY_FILE_BYTES) as usize + 1;
    let mut text = Zeroizing::new(String::with_capacity(room));
    opened.take(KEY_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Whether a private key in OpenSSH's or in PEM format needs a passphrase.
fn is_encrypted(text: &str) -> bool {
    match PrivateKey::from_openssh(text) {
        Ok(key) => key.is_encrypted(),
        Err(_) => text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED"),
    }
}

/// The public part of a key file, as the agent names it: of the file itself, which may be the public one, or of the `.pub`
/// beside it.
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

/// A key of the agent: its comment, or its fingerprint.
fn describe(key: &ssh2::PublicKey) -> String {
    match PublicKey::from_bytes(key.blob()) {
        _ if !key.comment().is_empty() => key.comment().to_string(),
        Ok(key) => key.fingerprint(HashAlg::Sha256).to_string(),
        Err(_) => "a key".to_string(),
    }
}
