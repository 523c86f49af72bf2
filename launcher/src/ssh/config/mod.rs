//! `~/.ssh/config` and `/etc/ssh/ssh_config`: the address, the user and the keys that belong to a name.
//!
//! Only the keywords of [`settings::Setting`] concern us, apart from `Host`, `Match` and `Include`. The lines
//! mean what they mean to OpenSSH: a test compares with `ssh -G`. `Match` is honoured for the criteria all,
//! host, originalhost, user and localuser; a section with another one is skipped, with a warning if it would
//! have made a difference.

mod conditions;
mod grammar;
mod include;
#[cfg(test)]
mod oracle;
mod sections;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::error::Error;
use crate::system::escape::excerpt;
use crate::system::text_file;
use conditions::Query;
use sections::Sections;
use settings::Settings;

pub(super) use settings::Proxy;

/// The configuration for all users of this machine.
const SYSTEM_FILE: &str = "/etc/ssh/ssh_config";
/// The files with the host keys that all users of this machine know, if the configuration names no others.
const SYSTEM_KNOWN_HOSTS: [&str; 2] = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];

/// The port of SSH, unless the user names another one.
pub(super) const SSH_PORT: u16 = 22;

/// A host to log in at, as the user named it. What is not given comes from the configuration, then from the
/// defaults of `ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) user: Option<String>,
    pub(crate) port: Option<u16>,
    /// The only key to try.
    pub(crate) identity: Option<PathBuf>,
}

/// One login on the way to a host, with all that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) identities: Identities,
    /// The first file gets new keys.
    pub(super) known_hosts: Vec<PathBuf>,
    /// The host's name in these files, whatever the port, if not that of `host` and `port`.
    pub(super) host_key_alias: Option<String>,
    pub(super) timeout: Option<Duration>,
}

/// Which keys to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identities {
    pub(super) files: Vec<PathBuf>,
    /// Whether the user names the files: then a missing one is reported.
    pub(super) named: bool,
    /// Whether the agent's keys are tried only if they are among `files`.
    pub(super) only: bool,
    pub(super) agent: AgentSocket,
}

/// Where the agent listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AgentSocket {
    /// At the path in `SSH_AUTH_SOCK`.
    Environment,
    Path(PathBuf),
    None,
}

impl AgentSocket {
    /// Where it is, in an error message.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Environment => match env::var_os("SSH_AUTH_SOCK") {
                Some(path) => Path::new(&path).display().to_string(),
                None => "SSH_AUTH_SOCK".to_string(),
            },
            Self::Path(path) => path.display().to_string(),
            Self::None => "none".to_string(),
        }
    }
}

/// The configuration of a run.
pub(super) struct Config {
    sections: Sections,
    home: PathBuf,
    /// In place of the files of known hosts that the sections name.
    known_hosts: Option<PathBuf>,
    /// The name of the user who runs this program, or why it is unknown.
    local_user: OnceLock<Result<String, String>>,
    /// The `Match` lines, and the names in them, of which the user was warned.
    warned: Mutex<HashSet<(String, String)>>,
}

impl Config {
    /// Reads `path`, or else `~/.ssh/config` and the file of the system, as far as they exist. With `none` as
    /// the path it reads nothing, as `ssh -F none` does.
    ///
    /// # Errors
    /// `NoHome`; `File` if a file cannot be read; `Config` if a line that concerns us makes no sense.
    pub(super) fn read(path: Option<&Path>, known_hosts: Option<PathBuf>) -> Result<Self, Error> {
        let home = env::home_dir().filter(|home| !home.as_os_str().is_empty()).ok_or(Error::NoHome)?;
        let sections = match path {
            Some(path) if path.as_os_str().eq_ignore_ascii_case("none") => Sections::read(&[], &home)?,
            Some(path) => Sections::read(&[text(path, home.join(".ssh"), true)?], &home)?,
            None => read_default(&home, Path::new(SYSTEM_FILE))?,
        };
        Ok(Self::new(sections, home, known_hosts, OnceLock::new()))
    }

    fn new(
        sections: Sections,
        home: PathBuf,
        known_hosts: Option<PathBuf>,
        local_user: OnceLock<Result<String, String>>,
    ) -> Self {
        Self { sections, home, known_hosts, local_user, warned: Mutex::default() }
    }

    /// What the sections say of a target.
    ///
    /// # Errors
    /// `NoUser`, if a `Match` asks for the user who runs this program.
    pub(super) fn settings(&self, target: &Target) -> Result<Settings, Error> {
        let local_user = || self.local_user().map(str::to_string);
        let query = Query { host: &target.host, user: target.user.as_deref(), local_user: &local_user };
        let mut unclear = Vec::new();
        let settings = self.sections.query(&query, &mut unclear)?;
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, criterion) in unclear {
            if warned.insert((place.to_string(), criterion.to_string())) {
                log::warn!(
                    "{place}: this section is skipped: 'Match {}' is not supported; supported are all, host, originalhost, \
                     user and localuser",
                    excerpt(criterion)
                );
            }
        }
        Ok(settings)
    }

    /// The login at `target`, whose `settings` these are.
    ///
    /// # Errors
    /// `NoUser`.
    pub(super) fn hop(&self, target: &Target, settings: &Settings) -> Result<Hop, Error> {
        let host = match &settings.host_name {
            Some(name) => expand(name, |token| (token == 'h').then(|| target.host.clone())),
            None => target.host.clone(),
        };
        let user = match target.user.as_ref().or(settings.user.as_ref()) {
            Some(user) => user.clone(),
            None => self.local_user()?.to_string(),
        };
        let port = target.port.or(settings.port).unwrap_or(SSH_PORT);
        let path = |text: &str| {
            self.in_home(&expand(text, |token| match token {
                'd' => Some(self.home.to_string_lossy().into_owned()),
                'h' => Some(host.clone()),
                'n' => Some(target.host.clone()),
                'p' => Some(port.to_string()),
                'r' => Some(user.clone()),
                'u' => self.local_user().ok().map(str::to_string),
                _ => None,
            }))
        };
        let identities = self.identities(target, settings, &path);
        let known_hosts = self.known_hosts_files(settings, &path);
        let host_key_alias = settings.host_key_alias.clone();
        let timeout = settings.connect_timeout.flatten();
        Ok(Hop { identities, known_hosts, host_key_alias, timeout, user, port, host })
    }

    fn identities(
        &self,
        target: &Target,
        settings: &Settings,
        path: &impl Fn(&str) -> PathBuf,
    ) -> Identities {
        let agent = match settings.identity_agent.as_deref() {
            None | Some("SSH_AUTH_SOCK") => AgentSocket::Environment,
            Some(none) if none.eq_ignore_ascii_case("none") => AgentSocket::None,
            Some(socket) => match socket.strip_prefix('$') {
                Some(variable) => {
                    env::var_os(variable).map_or(AgentSocket::None, |path| AgentSocket::Path(path.into()))
                }
                None => AgentSocket::Path(path(socket)),
            },
        };
        if let Some(file) = &target.identity {
            let files = vec![self.in_home(&file.to_string_lossy())];
            return Identities { files, named: true, only: true, agent };
        }
        let only = settings.identities_only.unwrap_or(false);
        let named = &settings.identity_files;
        let files = if named.is_empty() {
            ["id_ed25519", "id_ecdsa", "id_rsa"].map(|name| self.home.join(".ssh").join(name)).to_vec()
        } else {
            named.iter().filter(|file| !file.eq_ignore_ascii_case("none")).map(|file| path(file)).collect()
        };
        Identities { files, named: !named.is_empty(), only, agent }
    }

    fn known_hosts_files(&self, settings: &Settings, path: &impl Fn(&str) -> PathBuf) -> Vec<PathBuf> {
        if let Some(file) = &self.known_hosts {
            return vec![file.clone()];
        }
        let mut files: Vec<PathBuf> = match &settings.known_hosts {
            Some(files) => files.iter().map(|file| path(file)).collect(),
            None => ["known_hosts", "known_hosts2"].map(|name| self.home.join(".ssh").join(name)).to_vec(),
        };
        match &settings.system_known_hosts {
            Some(system) => files.extend(system.iter().map(|file| self.in_home(file))),
            None => files.extend(SYSTEM_KNOWN_HOSTS.map(PathBuf::from)),
        }
        files
    }

    fn in_home(&self, path: &str) -> PathBuf {
        match path.strip_prefix("~/") {
            Some(rest) => self.home.join(rest),
            None => PathBuf::from(path),
        }
    }

    /// The name of the user who runs this program. `id` is asked, since the variable USER survives a change
    /// of the user; logins that need the name meanwhile wait.
    fn local_user(&self) -> Result<&str, Error> {
        let user = self.local_user.get_or_init(|| {
            let output = Command::new("id").arg("-un").output().map_err(|error| error.to_string())?;
            match String::from_utf8_lossy(&output.stdout).trim() {
                "" => Err("'id -un' printed nothing".to_string()),
                user => Ok(user.to_string()),
            }
        });
        user.as_deref().map_err(|problem| Error::NoUser { problem: problem.clone() })
    }
}

/// The user's file, then that of the system: `ssh` reads them in this order, and the first value of a keyword
/// counts.
fn read_default(home: &Path, system: &Path) -> Result<Sections, Error> {
    let own = home.join(".ssh/config");
    let folder = system.parent().unwrap_or(system).to_path_buf();
    Sections::read(&[text(&own, home.join(".ssh"), false)?, text(system, folder, false)?], home)
}

/// The text of a file, and the `folder` of the files that it includes. A file that need not exist counts as
/// empty if it does not.
fn text(path: &Path, folder: PathBuf, must_exist: bool) -> Result<(String, &Path, PathBuf), Error> {
    match text_file::read_bytes(path) {
        Ok(bytes) => Ok((String::from_utf8_lossy(&bytes).into_owned(), path, folder)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => {
            Ok((String::new(), path, folder))
        }
        Err(source) => Err(Error::File { path: path.to_path_buf(), source }),
    }
}

/// Replaces `%x` by what `token` gives for `x`, and `%%` by `%`. Unknown tokens stay as they are.
fn expand(text: &str, token: impl Fn(char) -> Option<String>) -> String {
    let mut expanded = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            expanded.push(letter);
            continue;
        }
        match letters.next() {
            Some('%') => expanded.push('%'),
            Some(letter) => match token(letter) {
                Some(value) => expanded.push_str(&value),
                None => expanded.extend(['%', letter]),
            },
            None => expanded.push('%'),
        }
    }
    expanded
}

#[cfg(test)]
impl Config {
    /// What `text` says to the user `user`.
    pub(super) fn of_text(text: &str, home: &str, user: &str) -> Self {
        let home = PathBuf::from(home);
        let texts = [(text.to_string(), Path::new("config"), home.join(".ssh"))];
        let sections = Sections::read(&texts, &home).unwrap_or_else(|error| panic!("{error}"));
        Self::new(sections, home, None, OnceLock::from(Ok(user.to_string())))
    }
}
